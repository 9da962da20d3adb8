"""Logits of a model directory beside those of transformers, in float32, on random ids of several lengths.

    python bench/peers/parity.py MODEL [--criticrm bin/criticrm] [--lengths 7,64,700]

For each length: the largest difference, the relative error (Frobenius), and how often the likeliest token is the same. Exits with 1 where
the relative error is above 1e-4 or a likeliest token differs.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("model")
p.add_argument("--criticrm", default="bin/criticrm")
p.add_argument("--lengths", default="7,64,700")
a = p.parse_args()

model = AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32, attn_implementation="eager").eval()
torch.manual_seed(0)
texts = [torch.randint(5, model.config.vocab_size - 300, (int(n),)).tolist() for n in a.lengths.split(",")]
with tempfile.TemporaryDirectory() as folder:
    ids, out = pathlib.Path(folder, "ids"), pathlib.Path(folder, "logits")
    ids.write_text("".join(json.dumps(t) + "\n" for t in texts))
    subprocess.check_call([a.criticrm, "logits", "--model", a.model, "--ids", ids, "--out", out], stdout=subprocess.DEVNULL)
    ours = load_file(out)

bad = False
for i, text in enumerate(texts):
    with torch.no_grad():
        theirs = model(torch.tensor([text])).logits[0]
    x = ours[f"logits.{i}"]
    error, same = ((x - theirs).norm() / theirs.norm()).item(), (x.argmax(-1) == theirs.argmax(-1)).float().mean().item()
    bad |= not error < 1e-4 or same < 1
    print(f"{len(text)} tokens: largest difference {(x - theirs).abs().max().item():.2g} (logits up to {theirs.abs().max().item():.0f}), "
          f"relative error {error:.1e}, the same likeliest token at {100 * same:.0f} %")
sys.exit(bad)
