# shellcheck shell=sh disable=SC2086
# What the scripts share. Sourced; `me` is the name that messages begin with.

root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/build/bin # links to the Go and the compiler of scripts/setup.sh, where the machine's own will not do
machine=$(printf ':%s:' "$PATH" | sed ":again; s|:$tools:|:|; t again; s|^:||; s|:\$||")
PATH=$tools:$machine
export PATH

fail() {
	echo "$me: $*" >&2
	exit 1
}

install() { # install "what for" package...
	why=$1
	shift
	byhand="sudo apt-get update && sudo apt-get install -y $*"
	command -v apt-get >/dev/null 2>&1 || fail "missing: $why. There is no apt-get here: install the equivalent of: $*"
	as=
	if [ "$(id -u)" -ne 0 ]; then
		as="sudo -n"
		if [ -t 0 ] && [ -t 2 ] && command -v sudo >/dev/null 2>&1; then
			echo "$me: sudo may ask for your password, to install $*"
			as=sudo
		fi
		{ command -v sudo >/dev/null 2>&1 && $as true 2>/dev/null; } || fail "missing: $why. It cannot be installed without rights. Run: $byhand"
	fi
	echo "$me: installing $* ($why)"
	# sudo forgets the environment.
	as="$as env DEBIAN_FRONTEND=noninteractive http_proxy=${http_proxy:-} https_proxy=${https_proxy:-} no_proxy=${no_proxy:-}"
	$as apt-get update -qq || fail "apt-get update failed. Run by hand: $byhand"
	$as apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >/dev/null || fail "the installation failed. Run by hand: $byhand"
}

at_least() { # at_least 12.4 VERSION
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

machines() { # machines PROGRAM: where the machine has it, apart from build/bin
	(
		PATH=$machine
		command -v "$1"
	)
}
