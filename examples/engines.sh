#!/bin/sh
# Critiques by engines that you run already, selected by the labels of pairs:
#
#   sh examples/engines.sh http://gpu1:8000/v1,http://gpu2:8000/v1 pairs.jsonl critiques
#
# leaves critiques-1.jsonl (sampled), -2 (selected) and -3 (refined; what `criticrm train` reads). The same command goes on where it was stopped. A key
# for the servers, if they want one, is in ENGINE_KEY. Each of these is such a server:
#
#   vllm serve Qwen/Qwen2.5-7B-Instruct --port 8000 --enable-prefix-caching
#   llama-server -m qwen2.5-7b-instruct-q8_0.gguf --port 8000 --ctx-size 32768 --parallel 8 --jinja
#   python3 -m sglang.launch_server --model-path Qwen/Qwen2.5-7B-Instruct --port 8000
#   criticrm serve --model my-model --port 8000
#
# Of these only the last has been run with it. docs/serving.md, "Critiques from other engines", says what is sent and what comes back.
set -eu
[ $# -ge 3 ] || { echo "usage: sh $0 URL,… PAIRS.jsonl OUT [flags of generate and refine]: got $# arguments" >&2; exit 2; }
url=$1 pairs=$2 out=$3
shift 3
set -- --engine openai --base_url "$url" "$@"
if [ "${ENGINE_KEY:-}" ]; then set -- "$@" --api_key_env ENGINE_KEY; fi
criticrm generate "$@" --in "$pairs" --out "$out-1.jsonl" --critiques 10
criticrm filter --in "$out-1.jsonl" --out "$out-2.jsonl"
criticrm refine "$@" --in "$out-2.jsonl" --out "$out-3.jsonl"
