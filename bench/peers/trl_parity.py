"""The losses of the first updates of a Bradley-Terry training beside those of TRL's RewardTrainer, for every option that both have.

    python bench/peers/trl_parity.py [--model demo/base] [--pairs examples/pairs.jsonl] [--updates 20] [--criticrm bin/criticrm]

Both begin from the same weights: a reward head of zeros, and for LoRA matrices A as criticrm draws them. Both see the same pairs in the same order, in float32,
with AdamW. Prints a line for each option, and exits with 1 where a loss differs by more than 1e-4 of the largest.
Needs trl, peft and torch from PyPI; no network is touched.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", WANDB_DISABLED="true")
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--model", default="demo/base")
p.add_argument("--pairs", default="examples/pairs.jsonl")
p.add_argument("--criticrm", default="bin/criticrm")
p.add_argument("--updates", type=int, default=20)
a = p.parse_args()

BATCH, SEED, MASK = 8, 5, (1 << 64) - 1


def mix(x):
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


def lora_a(name, shape):
    """criticrm's draw of a matrix A: uniform within 1/sqrt(I), by seed, name and index."""
    h = 14695981039346656037
    for b in name.encode():
        h = ((h ^ b) * 1099511628211) & MASK
    key, bound = mix(SEED ^ h), 1 / math.sqrt(shape[1])
    x = [bound * ((mix((key + i * 0x9E3779B97F4A7C15) & MASK) >> 11) / (1 << 52) - 1) for i in range(shape[0] * shape[1])]
    return torch.tensor(x, dtype=torch.float32).view(shape)


rows = [json.loads(line) for line in open(a.pairs)][: BATCH * a.updates]
for i, r in enumerate(rows):
    r["margin"] = [0.0, 0.5, 1.0, 2.0][i % 4]
turn = lambda r, side: [{"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r[side]}]


class Exact(RewardTrainer):
    """Keeps every loss as it is: the trainer's own log rounds."""

    def compute_loss(self, *args, **kw):
        out = super().compute_loss(*args, **kw)
        self.losses.append((out[0] if isinstance(out, tuple) else out).item())
        return out

    def _get_train_sampler(self, *args):
        return torch.utils.data.SequentialSampler(self.train_dataset)


def theirs(settings, lora, margin):
    model = AutoModelForSequenceClassification.from_pretrained(a.model, num_labels=1, dtype=torch.float32, attn_implementation="eager")
    model.score.weight.data.zero_()
    with tempfile.TemporaryDirectory() as folder:
        c = RewardConfig(output_dir=folder, per_device_train_batch_size=BATCH, max_steps=a.updates, logging_steps=1, report_to="none", save_strategy="no", use_cpu=True, max_length=None,
                         gradient_checkpointing=False, bf16=False, seed=SEED, learning_rate=1e-3, adam_beta2=0.95, max_grad_norm=1.0, disable_dropout=True, **(dict(lr_scheduler_type="constant") | settings))
        data = Dataset.from_list([{"chosen": turn(r, "chosen"), "rejected": turn(r, "rejected")} | ({"margin": r["margin"]} if margin else {}) for r in rows])
        peft = LoraConfig(task_type="SEQ_CLS", modules_to_save=["score"], lora_dropout=0.0, **lora) if lora else None
        trainer = Exact(model=model, args=c, train_dataset=data, processing_class=AutoTokenizer.from_pretrained(a.model), peft_config=peft)
        for n, w in trainer.model.named_parameters():
            if "lora_A" in n:
                w.data.copy_(lora_a(n.removeprefix("base_model.model.").replace(".default", ""), tuple(w.shape)))
            if "score" in n:
                w.data.zero_()
        trainer.losses = []
        trainer.train()
    return trainer.losses


def ours(flags):
    with tempfile.TemporaryDirectory() as folder:
        data, out = pathlib.Path(folder, "pairs.jsonl"), pathlib.Path(folder, "run")
        data.write_text("".join(json.dumps(r) + "\n" for r in rows))
        subprocess.run([a.criticrm, "train", "--model", a.model, "--method", "bt", "--train_file", data, "--output_dir", out, "--per_device_train_batch_size", str(BATCH), "--gradient_accumulation_steps", "1",
                        "--max_steps", str(a.updates), "--data_order", "sequential", "--learning_rate", "1e-3", "--lr_scheduler_type", "constant", "--adam_beta2", "0.95", "--max_grad_norm", "1",
                        "--warmup_ratio", "0", "--seed", str(SEED), *flags], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return [m["reward_loss"] for m in map(json.loads, open(out / "metrics.jsonl")) if "reward_loss" in m and "grad_norm" in m]


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
OPTIONS = {
    "plain": ({}, None, False, []),
    "margins": ({}, None, True, ["--use_margin"]),
    "centring": (dict(center_rewards_coefficient=0.01), None, False, ["--center_rewards_coefficient", "0.01"]),
    "weight decay": (dict(weight_decay=0.1), None, False, ["--weight_decay", "0.1", "--head_weight_decay"]),
    "accumulation 2 × 4": (dict(), None, False, ["--per_device_train_batch_size", "4", "--gradient_accumulation_steps", "2"]),
    "linear decay, 5 updates of warm-up": (dict(lr_scheduler_type="linear", warmup_steps=5), None, False, ["--lr_scheduler_type", "linear", "--warmup_steps", "5", "--warmup_from_zero", "--min_lr_ratio", "0"]),
    "cosine decay, 10 % warm-up": (dict(lr_scheduler_type="cosine", warmup_steps=2), None, False, ["--lr_scheduler_type", "cosine", "--warmup_ratio", "0.1", "--warmup_from_zero", "--min_lr_ratio", "0"]),
    "LoRA, rank 8, all projections": ({}, dict(r=8, lora_alpha=16, target_modules=ALL), False, ["--lora_r", "8"]),
    "LoRA, q and v, rank-stabilised": ({}, dict(r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "v_proj"]), False, ["--lora_r", "4", "--use_rslora", "--lora_target_modules", "q_proj,v_proj"]),
    "LoRA, margins, weight decay": (dict(weight_decay=0.1), dict(r=8, lora_alpha=16, target_modules=ALL), True, ["--lora_r", "8", "--use_margin", "--weight_decay", "0.1", "--head_weight_decay"]),
}

bad = False
for name, (settings, lora, margin, flags) in OPTIONS.items():
    t = theirs(settings, lora, margin)
    o = ours(flags)
    n = min(len(t), len(o))
    error = max(abs(x - y) for x, y in zip(t, o)) / max(t)
    fine = len(o) == len(t) == a.updates and error < 1e-4
    bad |= not fine
    print(f"{name}: {n} losses, from {o[0]:.4f} to {o[-1]:.4f}; largest difference {error:.1e} of the largest{'' if fine else '  DIFFERS: ' + str([round(x - y, 6) for x, y in zip(t, o)])}", flush=True)
sys.exit(bad)
