#!/bin/sh
# The server as its clients see it, on this machine alone: throughput beside the command score, latency, a soak, and requests that are cut or wrong.
#
#   sh bench/serving.sh CRITIC SCALAR PAIRS [PYTHON]
#
# CRITIC is a model that writes critiques, SCALAR one of method bt, PAIRS rows with prompt, chosen and rejected. With PYTHON (torch, transformers, fastapi and
# uvicorn in it) a plain server on PyTorch answers for the scalar model, too. The figures are lines of JSON; it fails where an answer is wrong, lost or doubled.
set -eu
[ $# -ge 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
critic=$1 scalar=$2 pairs=$3 python=${4:-}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
(cd "$root" && go build -o "$work/criticrm" ./cmd/criticrm && go build -o "$work/load" ./bench/load)
"$work/load" rows "$pairs" >"$work/rows.jsonl"
part() { # part NAME MODEL FLAG...
	name=$1 model=$2
	shift 2
	uptime
	"$work/load" "$name" -program "$work/criticrm" -model "$model" -rows "$work/rows.jsonl" "$@"
}
part throughput "$critic"
part latency "$scalar" -runs 5 -seconds 2s
part chaos "$critic" -samples 2
part soak "$scalar"
if [ -n "$python" ]; then
	"$work/criticrm" export --model "$scalar" --format sequence-classification --out "$work/export"
	part peer "$scalar" -runs 2 -seconds 6s -python "$python" -peer "$root/bench/peers/serve.py" -export "$work/export"
fi
