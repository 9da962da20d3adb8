#!/bin/sh
# Everything the build needs beside this repository: g++, Go, Go modules. What is missing is installed from the distribution or fetched
# into build/, and said; where there are no rights, the command to run by hand is. `make setup` runs this.
# The machine's Go and g++ are used if they are new enough. Else build/bin, first on PATH in the Makefile and the scripts, has links to
# others: a Go that is fetched, a g++ of another version.
set -eu
me=setup
GO=${GO:-go}
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fetch-go.sh"
cd "$root"

gcc_oldest=12
go_oldest=$(sed -n 's/^go //p' go.mod)

link() { # link NAME TARGET: build/bin/NAME, or none where TARGET is empty
	if [ -z "$2" ]; then
		rm -f "$tools/$1"
	elif [ "$(readlink "$tools/$1" 2>/dev/null)" != "$2" ]; then
		mkdir -p "$tools"
		ln -sfn "$2" "$tools/$1"
	fi
}

# The suffix of the g++ to use: none, or -12 and the like; fails if there is no g++ that will do.
gcc_suffix() {
	for suffix in "" -12 -13 -14 -15 -16; do
		gxx=$(machines "g++$suffix") || continue
		machines "gcc$suffix" >/dev/null || continue
		major=$("$gxx" -dumpversion | cut -d. -f1)
		[ "$major" -lt $gcc_oldest ] || return 0
	done
	return 1
}

# Makes GO one that will do; fails if it has to be fetched.
find_go() {
	if [ "$GO" != go ]; then
		command -v "$GO" >/dev/null 2>&1 || fail "GO is $GO, and there is no such program: correct it, or unset it to have Go found or fetched"
		go_fits "$GO" || fail "GO is $GO, Go $(go_is "$GO"): $go_oldest or newer is needed. Correct it, or unset it to have Go found or fetched"
		return 0
	fi
	use=$go_root/bin
	! theirs=$(machines go) || ! go_fits "$theirs" || use=
	[ -z "$use" ] || [ -x "$use/go" ] || return 1
	link go "${use:+$use/go}"
	link gofmt "${use:+$use/gofmt}"
}
go_is() { GOTOOLCHAIN=local "$1" version 2>/dev/null | sed -n 's/^go version [^0-9]*\([0-9][0-9.]*\).*/\1/p'; }
go_fits() { at_least "$go_oldest" "$(go_is "$1")"; }

modules_are_here() { GOPROXY=off "$GO" list -deps -test ./... tool >/dev/null 2>&1; }

# What the distribution has to give, all in one command.
packages=
what=
gcc_suffix || {
	what="a C++ compiler, g++ $gcc_oldest or newer"
	packages=g++
	! grep -qsE '^(UBUNTU|VERSION)_CODENAME=jammy' /etc/os-release || packages=g++-12
}
find_go || {
	what="$what${what:+; }what Go is fetched with"
	packages="$packages $(fetch_needs)"
}
https= # whether something is to be fetched so
if { ! find_go || ! modules_are_here; } && [ ! -e /etc/ssl/certs/ca-certificates.crt ] && [ -z "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}" ]; then
	case ,${GOPROXY:-direct}, in *https://* | *,direct,*) https=yes ;; esac
fi
[ -z "$https" ] || {
	what="$what${what:+; }the certificates of web servers"
	packages="$packages ca-certificates"
}
# shellcheck disable=SC2086
set -- $packages
[ $# -eq 0 ] || install "$what" "$@"

gcc_suffix || fail "g++ is older than $gcc_oldest, which is needed, and the distribution's package $packages gives no other: install a newer one"
for name in gcc g++; do
	target=
	[ -z "$suffix" ] || target=$(machines $name$suffix)
	link $name "$target"
	link "$(echo $name | sed 's/gcc/cc/; s/g++/c++/')" "$target"
done

find_go || {
	fetch_go
	find_go
}

modules_are_here || {
	echo "setup: downloading Go modules"
	"$GO" mod download || fail "the Go modules cannot be downloaded: check the network, https_proxy and GOPROXY"
	modules_are_here || fail "the Go modules do not fit go.mod: $("$GO" list -deps -test ./... tool 2>&1 >/dev/null | head -n 1)"
}
