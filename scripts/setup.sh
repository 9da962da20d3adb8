#!/bin/sh
# Everything the build needs beside this repository: Go, g++, Go modules. Installs g++ from the distribution if it is missing, says
# so, and gives the command to run by hand where there are no rights.
set -eu
GO=${GO:-go}

fail() {
	echo "setup: $*" >&2
	exit 1
}

command -v "$GO" >/dev/null 2>&1 || fail "Go is missing: install Go 1.26 or newer (https://go.dev/dl) and put it on PATH"
version=$("$GO" env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
major=${version%%.*}
minor=$(echo "$version" | cut -d. -f2)
[ "$major" -gt 1 ] || [ "$minor" -ge 26 ] || fail "Go $version is too old: Go 1.26 or newer is needed (https://go.dev/dl)"

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
	echo "setup: installing $* ($why)"
	$as apt-get update -qq || fail "apt-get update failed. Run by hand: sudo apt-get update && sudo apt-get install -y $*"
	DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq "$@" >/dev/null ||
		fail "the installation failed. Run by hand: sudo apt-get update && sudo apt-get install -y $*"
}

command -v g++ >/dev/null 2>&1 || install "the C++ compiler" g++
gcc_major=$(g++ -dumpversion | cut -d. -f1)
[ "$gcc_major" -ge 12 ] || fail "g++ $gcc_major is too old: 12 or newer is needed. Run: sudo apt-get install -y g++-12, and build with CXX=g++-12 CC=gcc-12"

if ! GOPROXY=off "$GO" list -deps -test ./... >/dev/null 2>&1; then
	echo "setup: downloading Go modules"
	"$GO" mod download || fail "the Go modules cannot be downloaded: check the network, or GOPROXY"
fi
