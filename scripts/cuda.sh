#!/bin/sh
# sh scripts/cuda.sh           finds the CUDA compiler, or fetches it, and writes the environment of a CUDA build to build/cuda/env
# sh scripts/cuda.sh kernels   also compiles the kernels
# The compiler is that of CUDA_HOME, else the nvcc on PATH, else NVIDIA's wheels in build/cuda/toolkit. Go commands with the tag cuda
# need the environment: . build/cuda/env
# A compiler of CUDA 13 is refused where the installed driver is of CUDA 12, which cannot run what it makes; ANY_DRIVER=1 takes it all
# the same, to build for another machine. There are no wheels of a CUDA 12 compiler.
set -eu
me=cuda
. "$(dirname "$0")/lib.sh"
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/build/cuda
oldest=12.4
checked=13.0 # the wheels' release; warnings are errors with it, others may spill a register here or there
wheels="nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
nvidia-cuda-cuobjdump==13.2.51 nvidia-cuda-nvdisasm==13.2.51"

release() { "$1" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p'; }

# The newest CUDA that this machine's driver runs, nothing without a driver. What a compiler makes runs on drivers of its major version.
driver=$(nvidia-smi 2>/dev/null | sed -n 's/.*CUDA Version: *\([0-9][0-9.]*\).*/\1/p')
runs() { [ -z "$driver" ] || [ -n "${ANY_DRIVER:-}" ] || at_least "${1%%.*}.0" "$driver"; }
update="Update the driver to 580 or newer, or install a toolkit of CUDA 12 ($oldest or newer) and set CUDA_HOME to its folder. To build for another machine, set ANY_DRIVER=1"

fetch() { # all or nothing: a half-written toolkit has another name
	nvcc=$out/toolkit/nvidia/cu13/bin/nvcc
	[ "$(cat "$out/toolkit/wheels" 2>/dev/null)" = "$wheels" ] && return
	command -v python3 >/dev/null 2>&1 || install "python3, to fetch the CUDA compiler with" python3 python3-pip
	python3 -m pip --version >/dev/null 2>&1 || install "pip, to fetch the CUDA compiler with" python3-pip
	echo "$me: fetching NVIDIA's compiler wheels (nvcc 13.0, 110 MB, NVIDIA's licence) into build/cuda/toolkit"
	mkdir -p "$out"
	tmp=$(mktemp -d "$out/fetching.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM
	# shellcheck disable=SC2086
	PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: --target "$tmp/toolkit" $wheels ||
		fail "there is no CUDA compiler and its wheels cannot be fetched. Install CUDA $oldest or newer and set CUDA_HOME or PATH, or check pip's network"
	ln -s lib "$tmp/toolkit/nvidia/cu13/lib64" # where nvcc looks
	[ "$(release "$tmp/toolkit/nvidia/cu13/bin/nvcc")" ] || fail "the fetched nvcc does not run on this machine ($(uname -sm))"
	echo "$wheels" >"$tmp/toolkit/wheels"
	rm -rf "$out/toolkit" "$out/cmake"
	mv "$tmp/toolkit" "$out/toolkit"
}

if [ -n "${CUDA_HOME:-}" ]; then
	nvcc=$CUDA_HOME/bin/nvcc
	[ -x "$nvcc" ] || fail "CUDA_HOME is $CUDA_HOME, but there is no bin/nvcc in it: correct it, or unset it to have a compiler fetched"
	[ "$(release "$nvcc")" ] || fail "$nvcc does not run on this machine ($(uname -sm)): correct CUDA_HOME, or unset it to have a compiler fetched"
	at_least "$oldest" "$(release "$nvcc")" || fail "$nvcc is CUDA $(release "$nvcc"): $oldest or newer is needed. Unset CUDA_HOME to have a compiler fetched"
elif nvcc=$(command -v nvcc) && at_least "$oldest" "$(release "$nvcc")"; then
	:
else
	[ -z "$nvcc" ] || echo "$me: $nvcc is CUDA $(release "$nvcc"), $oldest or newer is needed: it is not used"
	runs "$checked" || fail "there is no CUDA compiler that this machine's driver would do for: it is for CUDA $driver, and the compiler that can be fetched is CUDA $checked. $update"
	fetch
fi
runs "$(release "$nvcc")" || fail "$nvcc is CUDA $(release "$nvcc"), and this machine's driver, for CUDA $driver, would not run what it makes. $update"

# Where the toolkit keeps headers and libraries, nvcc itself tells.
told=$("$nvcc" --dryrun -x cu -c /dev/null -o /dev/null 2>&1)
include=$(printf "%s\n" "$told" | sed -n 's/^#\$ INCLUDES="-I\([^"]*\)".*/\1/p')
lib=$(printf "%s\n" "$told" | sed -n 's/^#\$ LIBRARIES=.*"-L\([^"]*\)" *$/\1/p')
[ -z "$include" ] || include=$(cd "$include" && pwd)
[ -z "$lib" ] || lib=$(cd "$lib" && pwd)

strict=OFF
[ "$(release "$nvcc")" != "$checked" ] || strict=ON

mkdir -p "$out"
cat >"$out/env.new" <<END
export NVCC='$nvcc' NVCC_STRICT=$strict
export CGO_CFLAGS="\${CGO_CFLAGS:--O2 -g} '-I$root/cuda/include'${include:+ '-I$include'}"
export CGO_LDFLAGS="\${CGO_LDFLAGS:--O2 -g} '-L$out/lib'${lib:+ '-L$lib'}"
END
mv "$out/env.new" "$out/env"
sh "$root/cuda/driver/build.sh" "$out/lib" || fail "the driver's entry points do not compile"
echo "$me: nvcc $(release "$nvcc"), $nvcc"
[ "${1:-}" = kernels ] || exit 0

command -v cmake >/dev/null 2>&1 || install cmake cmake
grep -qsx "CMAKE_CUDA_COMPILER:[A-Z]*=$nvcc" "$out/cmake/CMakeCache.txt" || rm -rf "$out/cmake" # made for another compiler
generator=
[ -f "$out/cmake/CMakeCache.txt" ] || ! command -v ninja >/dev/null 2>&1 || generator=Ninja
CUDACXX=$nvcc cmake -S "$root" -B "$out/cmake" ${generator:+-G $generator} -DCMAKE_BUILD_TYPE=Release -DSTRICT="$strict" >"$out/cmake.log" || {
	cat "$out/cmake.log" >&2
	rm -rf "$out/cmake"
	! grep -q 'unsupported GNU version' "$out/cmake.log" || fail "nvcc $(release "$nvcc") takes no C++ compiler as new as the installed one: install an older g++ and set CUDAHOSTCXX to it"
	fail "cmake cannot configure the CUDA kernels"
}
cmake --build "$out/cmake" --parallel "$(nproc)" || fail "the CUDA kernels do not compile"
# Go links again when the kernels have changed, because the flags have.
echo "export GOFLAGS=\"\${GOFLAGS:-} -ldflags=-extldflags=-Wl,--build-id=0x$(cat "$out"/lib/*.a | sha1sum | cut -c1-40)\"" >>"$out/env"
