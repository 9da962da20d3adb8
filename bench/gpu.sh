#!/bin/sh
# Everything that only a GPU can show, in under ten minutes, on a machine that has one but no Go:
#   sh bench/gpu.sh build                here: cross-compiles into .gpu/, which travels with the repository (ARCH=100: for another device)
#   sh bench/gpu.sh run DIR [part ...]   there: logs go to DIR, the whole table to DIR/table.md; what is printed ends with what matters most
# A part, a kernel or a peer that fails, hangs or runs out of time does not stop the others. While the parts before "kernels" run, which
# take no times, PyTorch compiles in the background what "peers" and "peersteps" will time. Parts:
parts="device conformance curve sanitizer kernels steps peers peersteps again"
set -u
cd "$(dirname "$0")/.." || exit 1

build() {
	set -e
	ANY_DRIVER=1 sh scripts/cuda.sh
	. build/cuda/env
	arch=${ARCH:-90a}
	CUDACXX=$NVCC cmake -S . -B "build/cuda/gpu-$arch" -DCMAKE_BUILD_TYPE=Release -DARCHITECTURES="$arch" -DLIBRARIES="$PWD/build/cuda/gpu-$arch/lib" >/dev/null
	cmake --build "build/cuda/gpu-$arch" --parallel "$(nproc)"
	export CGO_LDFLAGS="'-L$PWD/build/cuda/gpu-$arch/lib' $CGO_LDFLAGS" # before the other library folder
	rm -rf .gpu
	mkdir .gpu
	set -- -trimpath -tags cuda -ldflags "-s -w '-extldflags=-Wl,--build-id=0x$(sha1sum <"build/cuda/gpu-$arch/lib/libcriticrm_cuda.a" | cut -c1-40)'"
	"${GO:-go}" test -c "$@" -o .gpu/bench.test ./bench
	"${GO:-go}" test -c "$@" -o .gpu/trainer.test ./trainer
	cp bench/peers/gpu_*.py bench/peers/compare.py bench/peers/shapes.* .gpu
	sed -n '/define KERNEL_OPS/,/[^\\]$/p' kernels/kernels.h | grep -o 'X([a-z0-9_]*)' | sed 's/X(\(.*\))/\1/' >.gpu/ops
	git describe --always --dirty >.gpu/commit
	du -sh .gpu
}

# each JOBS SECONDS COMMAND...: conformance of each op in a process of its own, several at a time, since a fault of the device ends all that
# its process does after it. A line of the form "op NAME exit CODE" ends each op's output; any failure fails all. It ends before $limit.
each() {
	jobs=$1 seconds=$2 ends=$(($(date +%s) + ${limit:-600} - 7))
	shift 2
	export seconds ends
	# shellcheck disable=SC2016
	{ cat .gpu/ops; echo "(distribution|philox|chance)"; } | xargs -P "$jobs" -I OP sh -c 'op=$1
		shift
		left=$((ends - $(date +%s)))
		[ "$left" -le "$seconds" ] || left=$seconds
		[ "$left" -gt 0 ] || { echo "op $op exit 124"; exit 1; }
		log=$(mktemp)
		timeout -k 2 "$left" "$@" -test.run "^TestDevice\$/^$op\$" >"$log" 2>&1
		code=$?
		{ cat "$log"; echo "op $op exit $code"; } | dd bs=16M iflag=fullblock status=none
		rm "$log"
		[ "$code" -eq 0 ]' each OP "$@"
}

case ${1:-} in
build) build && exit ;;
each) shift && each "$@"; exit ;;
run) ;;
*) sed -n '2,7s/^# //p' "$0" >&2 && exit 2 ;;
esac

out=${2:?usage: gpu.sh run DIR [part ...]}
shift 2
mkdir -p "$out"
out=$(cd "$out" && pwd)
bin=$PWD/.gpu
[ -x "$bin/bench.test" ] || { echo "gpu: .gpu is not there: run 'sh bench/gpu.sh build' on the machine with Go first" >&2; exit 1; }
started=$(date +%s)
budget=${BUDGET:-560} # seconds in total
large=${LARGE:-L8,Q05}
python=${PYTHON:-python3}
: >"$out/summary.txt"

# cuBLASLt comes with PyTorch, if the machine has no toolkit.
for lib in $("$python" -c 'import glob, site, sys; print(*[d for s in set(site.getsitepackages() + sys.path) if s for d in glob.glob(s + "/nvidia/cu1*/lib") + glob.glob(s + "/nvidia/cublas/lib")])' 2>/dev/null); do
	export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$lib"
done

say() { echo "$*" | tee -a "$out/summary.txt"; }

# limited SECONDS LOG COMMAND...: runs it for at most so long, and not past the budget; says how it went.
limited() {
	limit=$1 log=$out/$2
	shift 2
	left=$((budget - $(date +%s) + started))
	[ "$limit" -le "$left" ] || limit=$left
	what=$(echo "$*" | sed "s|$bin/||g; s|-test\.||g" | cut -c1-80)
	if [ "$limit" -lt 5 ]; then
		say "- $part: no time left for: $what"
		return 1
	fi
	export limit
	begin=$(date +%s)
	echo "== $*" >>"$log"
	timeout -k 5 "$limit" "$@" >>"$log" 2>&1
	code=$?
	took=$(($(date +%s) - begin))
	case $code in
	0) say "- $part: ok, $took s: $what" ;;
	124 | 137) say "- $part: STOPPED after $took s: $what" ;;
	*) say "- $part: FAILED ($code), $took s: $what; the end of $(basename "$log"): $(tail -n 3 "$log" | tr '\n' ' ' | cut -c1-300)" ;;
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
	limited "$seconds" peers.txt "$python" "$bin/$script" "$@"
}

clocks() {
	nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw,clocks_throttle_reasons.active --format=csv,noheader 2>/dev/null ||
		nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv,noheader 2>/dev/null || echo 'no nvidia-smi'
}

device() {
	limited 20 device.txt nvidia-smi
	limited 60 device.txt "$python" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name())'
}

# Every case of the kernels' specification against float64, twice with the same bits.
conformance() {
	limited 120 conformance.txt sh bench/gpu.sh each 6 90 "$bin/bench.test" -test.v
	say "- $part: $(grep -c '^ *--- PASS: .*/.*/.*/' "$out/conformance.txt") cases passed, $(grep -c '^ *--- FAIL: .*/.*/.*/' "$out/conformance.txt") failed, in $(grep -c '^op .* exit 0$' "$out/conformance.txt") of $(($(wc -l <"$bin/ops") + 1)) ops all passed"
	sed -n 's/^\(op .* exit\) 124$/FAILED: \1 124, it did not end in time/p; s/^op .* exit [1-9].*/FAILED: &/p' "$out/conformance.txt" | sort -u | while read -r x; do say "- $part: $x"; done
	grep '^ *--- FAIL: .*/.*/.*/' "$out/conformance.txt" | head -n 12 | while read -r x; do say "- $part: $x"; done
}

# By group, for the same reason as conformance's ops.
kernels() {
	for group in '(copy|matmul|grad_norm|adamw|adamw_8bit)$' '(attention|attention_backward)$' '(critique_loss|reward_loss)$/^[^_]*$' \
		'(embed|embed_backward|gather|rmsnorm|rmsnorm_backward|rope|swiglu|swiglu_backward)$' '(matmul_dx|matmul_dw)$/gate_up' '(attention_decode|sample|sample_top_p)$'; do
		go_bench 60 "^BenchmarkLarge\$/^$group" -models "$large"
	done
}

# An optimizer step at the sizes of Qwen2.5-0.5B and Llama-3.1-8B: of the latter all layers where they fit, with 8-bit moments, else two
# depths, through which the table draws the straight line.
steps() {
	big=${large%%,*}
	go_bench 60 '^BenchmarkStep$' -models "${large##*,}"
	[ "$big" != "$large" ] || return
	if [ -z "${LAYERS:-}" ]; then
		for flags in '' -recompute; do
			# shellcheck disable=SC2086
			go_bench 110 '^BenchmarkStep$' -models "$big" -optim adamw_8bit $flags
			! grep -q "^BenchmarkStep/$big[-[:space:]].*ns/op" "$out/go.txt" || return
		done
	fi
	for layers in ${LAYERS:-6 14}; do
		go_bench 50 '^BenchmarkStep$' -models "$big" -layers "$layers"
	done
}

peers() {
	peer "${PEERS:-210}" gpu_ops.py "$large"
}

peersteps() {
	peer 110 gpu_step.py "${large%%,*}"
	peer 90 gpu_step.py "${large##*,}"
	for layers in $(sed -n "s/^BenchmarkStep\/${large%%,*}_\([0-9]*\)layers.*/\1/p" "$out/go.txt" | sort -nu); do
		peer 60 gpu_step.py "${large%%,*}" "$layers"
	done
}

warm() {
	# shellcheck disable=SC2016
	WARM=1 timeout -k 5 170 sh -c '"$1" "$2/gpu_ops.py" "$3"; "$1" "$2/gpu_step.py" "${3%%,*}" 1; "$1" "$2/gpu_step.py" "${3##*,}" 1' warm "$python" "$bin" "$large"
} >>"$out/peers.txt" 2>&1

sanitizer() {
	if ! command -v compute-sanitizer >/dev/null 2>&1; then
		say "- $part: there is no compute-sanitizer on this machine"
		return 1
	fi
	for tool in memcheck racecheck synccheck initcheck; do
		limited 45 sanitizer.txt sh bench/gpu.sh each 8 35 compute-sanitizer --tool $tool --error-exitcode 1 "$bin/bench.test" \
			-test.skip 'TestDevice/(distribution|philox|chance)|TestDevice/.*/.*/(stream|.*100003|.*65539|.*long|.*about_128|forty|random300)'
		sed -n "/--tool $tool/,\$p" "$out/sanitizer.txt" | sed -n "s/^\(op .* exit\) 124\$/- $part: $tool STOPPED: \1 124/p; s/^op .* exit [1-9].*/- $part: $tool FAILED: &/p" | sort -u | head -n 8 | while read -r x; do say "$x"; done
		say "- $part: $tool: $(sed -n "/--tool $tool/,\$p" "$out/sanitizer.txt" | grep -c '^op .* exit 0$') ops clean"
	done
}

# A small training run gives the CPU's loss curve; resuming is exact.
curve() {
	limited 60 conformance.txt "$bin/trainer.test" -test.v
}

again() { kernels; } # the spread against a second run; the table has the medians

part=clocks
say "- clocks before: $(clocks); commit $(cat "$bin/commit")"
nvidia-smi --query-gpu=clocks.sm,power.draw,temperature.gpu --format=csv,noheader,nounits -l 2 >>"$out/device.txt" 2>/dev/null &
watching=$!
trap 'kill $watching 2>/dev/null' EXIT
warming=
case " ${*:-$parts} " in *" conformance "*peers*) warm & warming=$! ;; esac
for part in ${*:-$parts}; do
	case $part in
	device | conformance | curve | sanitizer) ;;
	*)
		[ -z "$warming" ] || wait "$warming" || say "- warm: PyTorch's compiler did not finish in the background, see peers.txt; the peers go on without"
		warming=
		;;
	esac
	case " $parts " in
	*" $part "*) $part ;;
	*) say "- there is no part '$part': $parts" ;;
	esac
done
say "- clocks after: $(clocks); of the samples in between, SM clock in MHz: $(sed -n 's/^\([0-9]*\), [0-9.]*, [0-9]*$/\1/p' "$out/device.txt" | sort -n | awk '{x[NR] = $1} END {if (NR) print "median " x[int((NR + 1) / 2)] ", highest " x[NR]}')"
say "- total: $(($(date +%s) - started)) s"
touch "$out/go.txt" "$out/peers.txt"
echo
"$python" "$bin/compare.py" "$out"
! grep -q FAILED "$out/summary.txt"
