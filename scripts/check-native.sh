#!/bin/sh
# The program under sanitizers, where Go meets C++: data races, addresses, undefined behaviour, and the rules for pointers in cgo calls.
# `make check-native` runs it; it takes the better part of an hour on 2 cores and is no part of `make test`. An argument names one part.
#
#   race       Go's race detector, all packages but the kernels' own suite (its C++ threads are the thread sanitizer's, in make test)
#   address    AddressSanitizer and LeakSanitizer, packages with cgo
#   undefined  UndefinedBehaviorSanitizer, the CPU's kernels: any finding ends the run
#   pointers   GOEXPERIMENT=cgocheck2: Go pointers that C memory keeps
set -eu
me=check-native
. "$(dirname "$0")/lib.sh"
GO=${GO:-go}
native="./kernels ./model ./engine ./trainer"

part() {
	[ "${only:-all}" = all ] || [ "$only" = "$1" ] || return 1
	echo "== $1"
}
only=${1:-all}

# The kernels' suite in pieces that finish: each test by itself.
pieces() {
	for t in $($GO test -list '^(Test|Example|Fuzz)' ./kernels | grep -E '^(Test|Example|Fuzz)' | grep -vE 'PlantedMistakes|NoRace|NoDataRace'); do
		"$@" -run "^$t\$" ./kernels
	done
}

if part race; then
	# shellcheck disable=SC2046
	$GO test -race -short -timeout 60m $($GO list ./... | grep -v /kernels$)
fi
if part address; then
	$GO test -asan -short -timeout 60m ./model ./engine ./trainer
	pieces $GO test -asan -short -timeout 60m
fi
if part undefined; then
	CGO_CXXFLAGS="-O1 -g -fsanitize=undefined -fno-sanitize-recover=undefined" CGO_LDFLAGS="-fsanitize=undefined" $GO test -short -timeout 60m $native
fi
if part pointers; then
	GOEXPERIMENT=cgocheck2 $GO test -short -timeout 60m $native
fi
