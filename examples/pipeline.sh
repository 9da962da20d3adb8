#!/bin/sh
# The whole method on a model directory and two files of preference pairs, every command spelled out:
#
#   examples/pipeline.sh MODEL PAIRS EVAL OUT [STEPS]
#
# MODEL is a Hugging Face directory (Llama family) with tokenizer and chat template, PAIRS and EVAL are JSON Lines with prompt, chosen and
# rejected, OUT is a new directory, STEPS the updates of training (200). The program is bin/criticrm, or what CRITICRM names.
#
# Training is stopped by SIGTERM halfway and resumed, to show that nothing is lost by it. Every stage goes on where it was when the script
# is run again after an interruption.
#
# The learning rate and the short critiques suit a toy model, so that the script ends in minutes on a CPU; for a real one take
# examples/critic-rm.yaml as it is and drop --max_tokens. A model with random weights proves that the path works and says nothing about
# accuracy: its critiques end in no score, so the filter has nothing to go by. The script then says so and trains on unfiltered critiques
# (filter --rule none, refine --mode random-all), which is not the method.
set -eu

[ $# -ge 4 ] || { echo "usage: $0 MODEL PAIRS EVAL OUT [STEPS]" >&2; exit 2; }
model=$1 pairs=$2 eval=$3 out=$4 steps=${5:-200}
here=$(dirname "$0")
criticrm=${CRITICRM:-$here/../bin/criticrm}
mkdir -p "$out"

say() { printf '\n== %s\n' "$*"; }

say "generate: critiques of both responses, blind to the label"
"$criticrm" generate --model "$model" --in "$pairs" --out "$out/1.jsonl" --critiques 4 --max_tokens 48 --temperature 0.9 --seed 1 --chunk 8 --overlong drop

say "filter: keep what agrees with the preference labels; refine: the best two of each side"
if "$criticrm" filter --in "$out/1.jsonl" --out "$out/2.jsonl" --rule mean+each --restart; then
    "$criticrm" refine --model "$model" --in "$out/2.jsonl" --out "$out/3.jsonl" --mode rank --top_k 2 --max_tokens 48 --overlong drop --restart
else
    say "NOTE: hardly any critique has a score that agrees with its label. Going on with unfiltered critiques: what follows shows the path, not the method."
    "$criticrm" filter --in "$out/1.jsonl" --out "$out/2.jsonl" --rule none --restart
    "$criticrm" refine --in "$out/2.jsonl" --out "$out/3.jsonl" --mode random-all --top_k 2 --restart
fi
"$criticrm" inspect "$out/3.jsonl"

say "train: $steps updates, stopped halfway by SIGTERM"
lines() { if [ -f "$out/run/metrics.jsonl" ]; then wc -l < "$out/run/metrics.jsonl"; else echo 0; fi; }

if [ ! -d "$out/run/model" ]; then
    "$criticrm" train --recipe "$here/critic-rm.yaml" --model "$model" --train_file "$out/3.jsonl" --output_dir "$out/run" \
        --per_device_train_batch_size 8 --gradient_accumulation_steps 1 --max_steps "$steps" --learning_rate 2e-3 \
        --lambda_schedule linear --lambda_hold 0.3 --logging_steps 20 --save_steps 50 --resume auto &
    job=$!
    while kill -0 $job 2> /dev/null && [ "$(lines)" -lt $((steps / 2)) ]; do sleep 0.1; done
    kill -TERM $job 2> /dev/null || true
    code=0
    wait $job || code=$?
    echo "exit code $code after $(lines) updates"
    [ $code = 143 ] || [ $code = 0 ] || exit $code

    say "train: resumed"
    "$criticrm" train --recipe "$here/critic-rm.yaml" --model "$model" --train_file "$out/3.jsonl" --output_dir "$out/run" \
        --per_device_train_batch_size 8 --gradient_accumulation_steps 1 --max_steps "$steps" --learning_rate 2e-3 \
        --lambda_schedule linear --lambda_hold 0.3 --logging_steps 20 --save_steps 50 --resume latest
    echo "updates in metrics.jsonl: $(lines), of them different: $(sed 's/,.*//' "$out/run/metrics.jsonl" | sort -u | wc -l)"
fi
"$criticrm" inspect "$out/run"

say "eval: held-out pairs, four critiques of each response"
"$criticrm" eval --model "$out/run/model" --in "$eval" --out "$out/scored.jsonl" --samples 4 --max_tokens 48 --overlong drop --category subset --json "$out/eval.json"

say "the base model as judge, for comparison"
"$criticrm" eval --model "$model" --judge --in "$eval" --samples 4 --max_tokens 48 --overlong drop --category subset

say "export: what transformers, TRL and vLLM load as a reward model"
[ -d "$out/reward-model" ] || "$criticrm" export --model "$out/run/model" --format sequence-classification --out "$out/reward-model"
