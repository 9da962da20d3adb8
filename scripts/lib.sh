# What the scripts share. Sourced; `me` is the name that messages begin with.

fail() {
	echo "$me: $*" >&2
	exit 1
}

install() { # install "what for" package...
	why=$1
	shift
	command -v apt-get >/dev/null 2>&1 || fail "$why is missing and there is no apt-get here: install the equivalent of: $*"
	as=""
	if [ "$(id -u)" -ne 0 ]; then
		as="sudo -n"
		if ! command -v sudo >/dev/null 2>&1 || ! sudo -n true 2>/dev/null; then
			fail "$why is missing and cannot be installed without rights. Run: sudo apt-get update && sudo apt-get install -y $*"
		fi
	fi
	echo "$me: installing $* ($why)"
	$as apt-get update -qq || fail "apt-get update failed. Run by hand: sudo apt-get update && sudo apt-get install -y $*"
	DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq "$@" >/dev/null ||
		fail "the installation failed. Run by hand: sudo apt-get update && sudo apt-get install -y $*"
}

at_least() { # at_least 12.4 VERSION
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}
