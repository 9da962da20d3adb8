#!/bin/sh
# Everything that only a GPU can show, on a machine that has one but no Go, in four calls of under ten minutes each:
#   sh bench/gpu.sh build                here: cross-compiles into .gpu/, which git ignores: name it where only tracked files travel (ARCH=100: for another device)
#   sh bench/gpu.sh run DIR one          there: is it right, how fast is it; the most important first
#   sh bench/gpu.sh run DIR two          there: PyTorch beside it
#   sh bench/gpu.sh run DIR three        there: compute-sanitizer, and what the profiler counts
#   sh bench/gpu.sh run DIR four         there: NCCL, alone and, where there are two GPUs or more, between them
#   sh bench/gpu.sh run DIR part ...     there: some of the parts alone
#   sh bench/gpu.sh table DIR FROM ...   anywhere: one table in DIR of the logs of several calls
#   sh bench/gpu.sh list                 the calls, their parts and the seconds that each may take; with DRY=1 run says its commands and runs none
# Logs go to DIR, the table to DIR/table.md; what is printed ends with what matters most. A part, a kernel or a peer that fails, hangs or
# runs out of time does not stop the others and takes none of their time.
one="device:50 probes:80 conformance:120 curve:40 kernels:150 steps:120"
two="device:60 peers:210 peersteps:200 again:90"
three="device:60 sanitizer:370 ncu:130"
four="nccl:240"
set -u
cd "$(dirname "$0")/.." || exit 1

# seconds_of PART: what it may take, of the first call that names it.
seconds_of() {
	for entry in $one $two $three $four; do
		[ "${entry%:*}" != "$1" ] || { echo "${entry#*:}" && return; }
	done
	return 1
}

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
	"${GO:-go}" test -c "$@" -o .gpu/cuda.test ./cuda
	"${GO:-go}" test -c "$@" -o .gpu/collective.test ./collective
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
	{ cat .gpu/ops; echo "(distribution|philox|chance|moments|blocks|swiglu_again|rmsnorm_again)"; } | xargs -P "$jobs" -I OP sh -c 'op=$1
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
list)
	for call in one two three four; do
		eval "entries=\$$call"
		sum=0
		# shellcheck disable=SC2154
		for entry in $entries; do
			echo "$call ${entry%:*} ${entry#*:}"
			sum=$((sum + ${entry#*:}))
		done
		echo "$call all $sum"
	done
	exit
	;;
table)
	out=${2:?usage: gpu.sh table DIR FROM ...}
	shift 2
	mkdir -p "$out"
	for log in go.txt peers.txt summary.txt; do
		: >"$out/$log"
		for from; do [ ! -f "$from/$log" ] || cat "$from/$log" >>"$out/$log"; done
	done
	"${PYTHON:-python3}" bench/peers/compare.py "$out"
	exit
	;;
run) ;;
*) sed -n '2,12s/^# //p' "$0" >&2 && exit 2 ;;
esac

out=${2:?usage: gpu.sh run DIR one|two|three|four|part ...}
shift 2
# shellcheck disable=SC2046 # names of entries, a word each
case ${1:-one} in
one) set -- $(for entry in $one; do echo "${entry%:*}"; done) ;;
two) set -- $(for entry in $two; do echo "${entry%:*}"; done) ;;
three) set -- $(for entry in $three; do echo "${entry%:*}"; done) ;;
four) set -- $(for entry in $four; do echo "${entry%:*}"; done) ;;
esac
mkdir -p "$out"
out=$(cd "$out" && pwd)
bin=$PWD/.gpu
[ -n "${DRY:-}" ] || [ -x "$bin/bench.test" ] || { echo "gpu: .gpu is not there: run 'sh bench/gpu.sh build' on the machine with Go first" >&2; exit 1; }
started=$(date +%s)
budget=${BUDGET:-560} # seconds in total
large=${LARGE:-L8,Q05}
python=${PYTHON:-python3}
: >"$out/summary.txt"

# cuBLASLt and NCCL come with PyTorch, if the machine has no toolkit.
for lib in $("$python" -c 'import glob, site, sys; print(*[d for s in set(site.getsitepackages() + sys.path) if s for d in glob.glob(s + "/nvidia/cu1*/lib") + glob.glob(s + "/nvidia/cublas/lib") + glob.glob(s + "/nvidia/nccl/lib")])' 2>/dev/null); do
	export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$lib"
done

say() { echo "$*" | tee -a "$out/summary.txt"; }

# limited SECONDS LOG COMMAND...: runs it for at most so long, and not past the budget; says how it went.
limited() {
	limit=$1 log=$out/$2
	shift 2
	left=$((budget - $(date +%s) + started))
	[ "$limit" -le "$left" ] || limit=$left
	left=$((part_ends - $(date +%s))) # the next part's time is its own
	[ "$limit" -le "$left" ] || limit=$left
	what=$(echo "$*" | sed "s|$bin/||g; s|-test\.||g" | cut -c1-80)
	if [ "$limit" -lt 5 ]; then
		say "- $part: no time left for: $what"
		return 1
	fi
	if [ -n "${DRY:-}" ]; then
		say "- $part: would run for at most $limit s: $what"
		return 0
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
	limited 15 device.txt nvidia-smi
	limited 45 device.txt "$python" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name())'
}

# The faults that only a device has, one process each: threads without a context first, since all that follows would be flaky with it; then
# what is right and the same twice at full size. A probe that is skipped has found no device. Algorithms and cuBLASLt's version are in the log.
probes() {
	for probe in TestFreshThread TestWorkspace TestTail TestSampled TestSampledAttention TestSampledLoss TestStepAgain; do
		limited 30 probes.txt "$bin/cuda.test" -test.v -test.run "^$probe\$"
	done
	! grep -q '^--- SKIP' "$out/probes.txt" 2>/dev/null || say "- $part: FAILED: a probe found no device, see probes.txt"
}

# Every case of the kernels' specification against float64, twice with the same bits.
conformance() {
	limited 120 conformance.txt sh bench/gpu.sh each 6 90 "$bin/bench.test" -test.v
	[ -z "${DRY:-}" ] || return 0
	say "- $part: $(grep -c '^ *--- PASS: .*/.*/.*/' "$out/conformance.txt") cases passed, $(grep -c '^ *--- FAIL: .*/.*/.*/' "$out/conformance.txt") failed, in $(grep -c '^op .* exit 0$' "$out/conformance.txt") of $(($(wc -l <"$bin/ops") + 1)) ops all passed"
	sed -n 's/^\(op .* exit\) 124$/FAILED: \1 124, it did not end in time/p; s/^op .* exit [1-9].*/FAILED: &/p' "$out/conformance.txt" | sort -u | while read -r x; do say "- $part: $x"; done
	grep '^ *--- FAIL: .*/.*/.*/' "$out/conformance.txt" | head -n 12 | while read -r x; do say "- $part: $x"; done
}

# By group, for the same reason as conformance's ops.
kernels() {
	for group in '(copy|matmul|grad_norm|adamw|adamw_8bit)$' '(attention|attention_backward)$' '(critique_loss|reward_loss)$/^[^_]*$' \
		'(embed|embed_backward|gather|rmsnorm|rmsnorm_backward|slice_norm|slice_norm_backward|rope|add_bias|add_bias_backward|lora|lora_backward|swiglu|swiglu_backward|geglu|geglu_backward|scale|soft_cap)$' '(matmul_dx|matmul_dw|matmul_nf4|matmul_blocks)$/gate_up' '(attention_decode|sample|sample_top_p|logprobs)$'; do
		go_bench 25 "^BenchmarkLarge\$/^$group" -models "$large"
	done
}

# An optimizer step at the sizes of Qwen2.5-0.5B and Llama-3.1-8B: of the latter fourteen layers, which PyTorch has room for too, and all
# of them with 8-bit moments where there is time.
steps() {
	big=${large%%,*}
	go_bench 40 '^BenchmarkStep$' -models "${large##*,}"
	[ "$big" != "$large" ] || return
	go_bench 40 '^BenchmarkStep$' -models "$big" -layers 14
	go_bench 110 '^BenchmarkStep$' -models "$big" -optim adamw_8bit
}

peers() {
	peer "${PEERS:-210}" gpu_ops.py "$large"
}

peersteps() {
	peer 70 gpu_step.py "${large##*,}"
	[ "${large%%,*}" != "$large" ] || return
	peer 60 gpu_step.py "${large%%,*}" 14
	peer 110 gpu_step.py "${large%%,*}"
}

sanitizer() {
	if ! command -v compute-sanitizer >/dev/null 2>&1; then
		say "- $part: there is no compute-sanitizer on this machine"
		return 1
	fi
	for tool in memcheck racecheck synccheck initcheck; do
		limited 92 sanitizer.txt sh bench/gpu.sh each 8 80 compute-sanitizer --tool $tool --error-exitcode 1 --print-limit 20 "$bin/bench.test" \
			-test.skip 'TestDevice/(distribution|philox|chance)|TestDevice/.*/.*/(stream|.*100003|.*65539|.*long|.*about_128|forty|random300)'
		sed -n "/--tool $tool/,\$p" "$out/sanitizer.txt" | sed -n "s/^\(op .* exit\) 124\$/- $part: $tool STOPPED: \1 124/p; s/^op .* exit [1-9].*/- $part: $tool FAILED: &/p" | sort -u | head -n 8 | while read -r x; do say "$x"; done
		say "- $part: $tool: $(sed -n "/--tool $tool/,\$p" "$out/sanitizer.txt" | grep -c '^op .* exit 0$') ops clean"
	done
}

# A small training run gives the CPU's loss curve; resuming is exact.
curve() {
	limited 40 curve.txt "$bin/trainer.test" -test.v
}

again() { kernels; } # the spread against a second run; the table has the medians

# NCCL: its calls with one rank; between GPUs sums to the bit and how fast they are, and that a rank that dies or stops is named. The same sums between ranks on
# the CPU, if there is an mpirun.
nccl() {
	limited 60 nccl.txt "$bin/collective.test" -test.v -test.run '^TestNCCLAlone$'
	limited 60 nccl.txt "$bin/collective.test" -test.v -test.run '^TestNCCLSums$'
	limited 60 nccl.txt "$bin/collective.test" -test.v -test.run '^TestNCCLSpeed$'
	limited 60 nccl.txt "$bin/collective.test" -test.v -test.run '^TestNCCLFaults$'
	limited 60 nccl.txt "$bin/collective.test" -test.v -test.run '^TestSums$'
	[ -z "${DRY:-}" ] || return 0
	say "- $part: $(grep -c '^ *--- PASS' "$out/nccl.txt") passed, $(grep -c '^ *--- SKIP' "$out/nccl.txt") skipped: $(sed -n 's/.*\(NCCL [0-9.]*\|[0-9.]* GPUs are needed.*\|.*no mpirun.*\|.* GB\/s\)$/\1/p' "$out/nccl.txt" | sort -u | tr '\n' ';')"
}

# What one launch of each kernel does to memory and tensor cores.
ncu() {
	if ! command -v ncu >/dev/null 2>&1; then
		say "- $part: there is no ncu on this machine"
		return 1
	fi
	limited 125 ncu.txt ncu --clock-control none --launch-skip 20 --launch-count 200 --metrics \
		gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed,sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active,sm__warps_active.avg.pct_of_peak_sustained_active \
		"$bin/bench.test" -test.run '^$' -test.bench '^BenchmarkLarge$' -test.benchtime 1x -models "${large##*,}"
}

# capped: a log of more than 15 MiB keeps its beginning and its end, since a larger file may not come back at all.
capped() {
	for log in "$out"/*.txt; do
		[ "$(wc -c <"$log")" -gt 15728640 ] || continue
		{ head -c 7340032 "$log"; printf '\n... left out ...\n'; tail -c 7340032 "$log"; } >"$log.cut" && mv "$log.cut" "$log"
	done
}

part=clocks
say "- clocks before: $(clocks); commit $(cat "$bin/commit" 2>/dev/null)"
nvidia-smi --query-gpu=clocks.sm,power.draw,temperature.gpu --format=csv,noheader,nounits -l 2 >>"$out/device.txt" 2>/dev/null &
watching=$!
trap 'kill $watching 2>/dev/null' EXIT
for part; do
	seconds=$(seconds_of "$part") || {
		say "- there is no part '$part': sh bench/gpu.sh list"
		continue
	}
	part_ends=$(($(date +%s) + seconds))
	"$part"
	capped
done
say "- clocks after: $(clocks); of the samples in between, SM clock in MHz: $(sed -n 's/^\([0-9]*\), [0-9.]*, [0-9]*$/\1/p' "$out/device.txt" | sort -n | awk '{x[NR] = $1} END {if (NR) print "median " x[int((NR + 1) / 2)] ", highest " x[NR]}')"
say "- total: $(($(date +%s) - started)) s"
touch "$out/go.txt" "$out/peers.txt"
[ -z "${DRY:-}" ] || exit 0
echo
"$python" "$bin/compare.py" "$out"
! grep -q FAILED "$out/summary.txt"
