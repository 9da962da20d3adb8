#!/bin/sh
# The smallest honest experiment on real text (README.md beside this). Flags are those of `criticrm demo text`; the later of two counts.
set -eu
cd "$(dirname "$0")/../.."
[ -x bin/criticrm ] || make build
sh scripts/smollm2.sh
run="bin/criticrm demo text --model build/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
case " $* " in
*" --pairs"*) exec $run "$@" ;; # files of one's own, and no others
esac
sh scripts/gsm8k.sh
# Nine rows of HH are cut or have no answer.
exec $run --pairs build/gsm8k/train.jsonl --other build/gsm8k/example_model_solutions.jsonl --null build/gsm8k/harmless.jsonl.gz \
	--max_bad 9 --size evening --output_dir runs/text "$@"
