#!/bin/sh
# Everything the build needs beside this repository: Go, g++, Go modules. Installs g++ from the distribution if it is missing, says
# so, and gives the command to run by hand where there are no rights.
set -eu
GO=${GO:-go}

me=setup
. "$(dirname "$0")/lib.sh"

command -v "$GO" >/dev/null 2>&1 || fail "Go is missing: install Go 1.26 or newer (https://go.dev/dl) and put it on PATH"
version=$("$GO" env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
at_least 1.26 "$version" || fail "Go $version is too old: Go 1.26 or newer is needed (https://go.dev/dl)"

command -v g++ >/dev/null 2>&1 || install "the C++ compiler" g++
gcc_major=$(g++ -dumpversion | cut -d. -f1)
[ "$gcc_major" -ge 12 ] || fail "g++ $gcc_major is too old: 12 or newer is needed. Run: sudo apt-get install -y g++-12, and build with CXX=g++-12 CC=gcc-12"

if ! GOPROXY=off "$GO" list -deps -test ./... >/dev/null 2>&1; then
	echo "setup: downloading Go modules"
	"$GO" mod download || fail "the Go modules cannot be downloaded: check the network, or GOPROXY"
fi
