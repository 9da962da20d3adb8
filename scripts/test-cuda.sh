#!/bin/sh
# What can be tested of the CUDA implementation without a GPU: the kernels on the software GPU, and, with NVIDIA's compiler, that they
# compile and what they compile to. `make test` runs this.
set -eu
me="test"
. "$(dirname "$0")/lib.sh"
GO=${GO:-go}
export ANY_DRIVER=1 # nothing here runs on this machine's device

packages="./kernels ./model ./engine ./trainer"
compiler=yes
if sh scripts/cuda.sh; then
	sh scripts/cuda.sh kernels
	# shellcheck source=/dev/null
	. build/cuda/env
	packages="./cuda/... ./device ./collective $packages"
else
	compiler=
fi

# nvcc gives a·b + c one rounding; so does g++ where the processor has an instruction for it. The tests before these have compiled the CPU's
# kernels for all instruction sets: here they are for this processor's alone.
flags="${CGO_CXXFLAGS:--O2}"
# Warnings are errors with the compiler that the code is checked with; another may find others.
[ "$(g++ -dumpversion | cut -d. -f1)" != 12 ] || flags="$flags -Werror"
! grep -qsw fma /proc/cpuinfo || flags="$flags -march=native -DARCH_NATIVE"
export CGO_CXXFLAGS="$flags"
# shellcheck disable=SC2086
$GO vet -tags cuda,emu $packages
# shellcheck disable=SC2086
$GO test -timeout 60m -tags cuda,emu $packages
[ -z "$compiler" ] || $GO test -timeout 10m -tags cuda,emu -run '^TestGPURanks$' ./cmd/criticrm

if [ -z "$compiler" ]; then
	echo "SKIPPED, for want of a CUDA compiler (see above): package cuda, that the kernels compile, and what they compile to" >&2
	exit 0
fi
$GO run ./bench/sass -tools "$(dirname "$NVCC")" build/cuda/lib/libcriticrm_cuda.a || {
	[ "$NVCC_STRICT" = OFF ] || exit 1
	echo "no failure: what the kernels compile to is settled for another release of the compiler"
}
$GO vet -tags cuda ./cuda/... ./collective ./bench/... ./cmd/...
$GO test -timeout 60m -tags cuda ./cuda ./device
