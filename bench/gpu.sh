#!/bin/sh
# Everything that only a GPU can show, in under ten minutes, on a machine that has one but no Go:
#   sh bench/gpu.sh build                here: cross-compiles into .gpu/, which travels with the repository (ARCH=100: for another device)
#   sh bench/gpu.sh run DIR [part ...]   there: logs go to DIR, the short table comes last
# A part that fails or runs out of time does not stop the others. Parts, the most valuable first:
parts="device conformance kernels step05 step8 sanitizer curve again"
set -u
cd "$(dirname "$0")/.." || exit 1

build() {
	set -e
	sh scripts/cuda.sh
	. build/cuda/env
	arch=${ARCH:-90a}
	CUDACXX=$NVCC cmake -S . -B "build/cuda/gpu-$arch" -DCMAKE_BUILD_TYPE=Release -DARCHITECTURES="$arch" -DLIBRARIES="$PWD/build/cuda/gpu-$arch/lib" >/dev/null
	cmake --build "build/cuda/gpu-$arch" --parallel "$(nproc)"
	export CGO_LDFLAGS="-L$PWD/build/cuda/gpu-$arch/lib $CGO_LDFLAGS" # before the other library folder
	rm -rf .gpu
	mkdir .gpu
	set -- -trimpath -tags cuda -ldflags "-s -w '-extldflags=-Wl,--build-id=0x$(sha1sum <"build/cuda/gpu-$arch/lib/libcriticrm_cuda.a" | cut -c1-40)'"
	"${GO:-go}" test -c "$@" -o .gpu/bench.test ./bench
	"${GO:-go}" test -c "$@" -o .gpu/trainer.test ./trainer
	cp bench/peers/gpu_*.py bench/peers/compare.py .gpu
	git describe --always --dirty >.gpu/commit
	du -sh .gpu
}

case ${1:-} in
build) build && exit ;;
run) ;;
*) sed -n '2,6s/^# //p' "$0" >&2 && exit 2 ;;
esac

out=${2:?usage: gpu.sh run DIR [part ...]}
shift 2
mkdir -p "$out"
out=$(cd "$out" && pwd)
bin=$PWD/.gpu
[ -x "$bin/bench.test" ] || { echo "gpu: .gpu is not there: run 'sh bench/gpu.sh build' on the machine with Go first" >&2; exit 1; }
started=$(date +%s)
budget=${BUDGET:-570} # seconds in total
large=${LARGE:-Q05,L8}
: >"$out/summary.txt"

# cuBLASLt comes with PyTorch, if the machine has no toolkit.
for lib in $("${PYTHON:-python3}" -c 'import glob, site, sys; print(*[d for s in set(site.getsitepackages() + sys.path) if s for d in glob.glob(s + "/nvidia/cu1*/lib") + glob.glob(s + "/nvidia/cublas/lib")])' 2>/dev/null); do
	export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$lib"
done

say() { echo "$*" | tee -a "$out/summary.txt"; }

# limited SECONDS LOG COMMAND...: runs it for at most so long, and not past the budget; says how it went.
limited() {
	limit=$1 log=$out/$2
	shift 2
	left=$((budget - $(date +%s) + started))
	[ "$limit" -le "$left" ] || limit=$left
	if [ "$limit" -lt 5 ]; then
		say "- $part: no time left for: $(echo "$*" | cut -c1-100)"
		return 1
	fi
	begin=$(date +%s)
	echo "== $*" >>"$log"
	timeout -k 5 "$limit" "$@" >>"$log" 2>&1
	code=$?
	took=$(($(date +%s) - begin))
	case $code in
	0) say "- $part: ok, $took s: $(echo "$*" | sed "s|$bin/||g" | cut -c1-100)" ;;
	124 | 137) say "- $part: STOPPED after $took s: $(echo "$*" | sed "s|$bin/||g" | cut -c1-100)" ;;
	*) say "- $part: FAILED ($code), $took s: $(echo "$*" | sed "s|$bin/||g" | cut -c1-100); the end of $(basename "$log"): $(tail -n 3 "$log" | tr '\n' ' ' | cut -c1-300)" ;;
	esac
	return $code
}

go_bench() { # SECONDS pattern flags...
	seconds=$1 pattern=$2
	shift 2
	limited "$seconds" go.txt "$bin/bench.test" -test.run '^$' -test.bench "$pattern" -test.benchtime 11x "$@"
}
peer() { # SECONDS script arguments...
	seconds=$1 script=$2
	shift 2
	limited "$seconds" peers.txt "${PYTHON:-python3}" "$bin/$script" "$@"
}

device() {
	limited 20 device.txt nvidia-smi
	limited 60 device.txt "${PYTHON:-python3}" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name())'
	say "- $part: commit $(cat "$bin/commit"), $(nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv,noheader 2>/dev/null || echo 'no nvidia-smi')"
}

# Every case of the kernels' specification against float64, twice with the same bits.
conformance() {
	limited 150 conformance.txt "$bin/bench.test" -test.v -test.run 'TestDevice'
	say "- $part: $(grep -c '^ *--- PASS' "$out/conformance.txt") passed, $(grep -c '^ *--- FAIL' "$out/conformance.txt") failed"
	grep '^ *--- FAIL' "$out/conformance.txt" | head -n 20 | tee -a "$out/summary.txt"
}

kernels() {
	go_bench 90 '^BenchmarkLarge$' -models "$large"
	peer 200 gpu_ops.py "$large"
}

step05() {
	go_bench 60 '^BenchmarkStep$' -models "${large%%,*}"
	peer 100 gpu_step.py "${large%%,*}"
}

# A model of which not all layers fit: two depths, of which the time of all layers follows (a straight line).
step8() {
	for layers in ${LAYERS:-6 14}; do
		go_bench 60 '^BenchmarkStep$' -models "${large##*,}" -layers "$layers"
		peer 60 gpu_step.py "${large##*,}" "$layers"
	done
}

sanitizer() {
	if ! command -v compute-sanitizer >/dev/null 2>&1; then
		say "- $part: there is no compute-sanitizer on this machine"
		return 1
	fi
	for tool in memcheck racecheck initcheck synccheck; do
		limited 40 sanitizer.txt compute-sanitizer --tool $tool --error-exitcode 1 "$bin/bench.test" -test.run TestDevice \
			-test.skip 'TestDevice/(distribution|philox)|TestDevice/.*/.*/(stream|.*long|.*about_128|forty|random300)'
	done
	say "- $part: $(grep -h 'ERROR SUMMARY\|RACECHECK SUMMARY' "$out/sanitizer.txt" | sed 's/=*//' | tr '\n' ';')"
}

# A small training run gives the CPU's loss curve; resuming is exact.
curve() {
	limited 60 conformance.txt "$bin/trainer.test" -test.v
}

again() { kernels; } # the spread against a second run; the table has the medians

for part in ${*:-$parts}; do
	case " $parts " in
	*" $part "*) $part ;;
	*) say "- there is no part '$part': $parts" ;;
	esac
done
touch "$out/go.txt" "$out/peers.txt"
"${PYTHON:-python3}" "$bin/compare.py" "$out/go.txt" "$out/peers.txt" >"$out/table.md" && cat "$out/table.md"
echo "total: $(($(date +%s) - started)) s"
! grep -q FAILED "$out/summary.txt"
