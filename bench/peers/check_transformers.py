"""Loads a model directory that criticrm wrote in Hugging Face transformers and compares it with `criticrm logits`.

    criticrm logits --model DIR --ids ids.jsonl --out out.safetensors
    python bench/peers/check_transformers.py DIR ids.jsonl out.safetensors

ids.jsonl: one JSON array of token ids a line. For a …ForSequenceClassification directory the reward is compared. Exits with 1 if a
value is further off than float32 rounding explains, or if transformers misses a weight.
"""
import json
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer


def main(directory, ids_file, values_file):
    values = load_file(values_file)
    classifier = json.load(open(f"{directory}/config.json"))["architectures"][0].endswith("SequenceClassification")
    cls = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    model, info = cls.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    bad = {k: v for k, v in info.items() if v}
    print(type(model).__name__, "loading:", bad or "every weight", "| tokenizer:", len(AutoTokenizer.from_pretrained(directory)), "tokens")
    failed = bool(bad)
    for i, line in enumerate(open(ids_file)):
        ids = torch.tensor([json.loads(line)])
        with torch.no_grad():
            out = model(ids, output_hidden_states=True)
        pairs = [("reward", out.logits[0])] if classifier else [("logits", out.logits[0]), ("hidden", out.hidden_states[-1][0])]
        for name, theirs in pairs:
            ours = values[f"{name}.{i}"]
            error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
            print(f"line {i}: {name} differ by {error:.1e} of the largest")
            failed |= not error < 2e-5
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
