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

# The packages that fetching takes and this machine lacks.
fetch_needs() {
	command -v curl >/dev/null 2>&1 || command -v wget >/dev/null 2>&1 || command -v python3 >/dev/null 2>&1 || echo curl
	command -v unzip >/dev/null 2>&1 || python3 -c 'import zipfile' >/dev/null 2>&1 || echo unzip
}

shown() { printf '%s' "$1" | sed 's|//[^/@]*@|//|g'; } # an address without its password

download() { # download ADDRESS FILE
	case $1 in file://*) cp "${1#file://}" "$2" && return ;; esac
	if command -v curl >/dev/null 2>&1; then
		for try in 1 2 3; do
			status=0
			curl --fail --silent --show-error --location --netrc-optional --connect-timeout 30 --speed-limit 1 --speed-time 60 --retry 2 -o "$2" "$1" || status=$?
			case $status in 18 | 56 | 92) ;; *) break ;; esac # broken off in the middle, which --retry lets be
		done
		return "$status"
	elif command -v wget >/dev/null 2>&1; then
		https_proxy=${https_proxy:-${HTTPS_PROXY:-}} http_proxy=${http_proxy:-${HTTP_PROXY:-}} wget --no-verbose --timeout 60 --tries 3 -O "$2" "$1"
	else
		python3 -c 'import shutil, sys, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=60) as answer, open(sys.argv[2], "wb") as f:
        shutil.copyfileobj(answer, f)
except OSError as e:
    sys.exit(str(e))' "$1" "$2"
	fi
}

unpack() { # unpack ZIP FOLDER
	if command -v unzip >/dev/null 2>&1; then
		unzip -q "$1" -d "$2"
	else
		python3 -m zipfile -e "$1" "$2"
	fi
}
