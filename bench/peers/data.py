"""Reading pairs: this program beside Hugging Face datasets with TRL's RewardTrainer, in turn on the same file.

    go build -o build/data ./bench/data
    python bench/peers/data.py MODEL [--ours build/data] [--pairs 100000] [--threads 2] [--memory 256] [--rounds 2] [--only ours,trl]

MODEL is a directory of Hugging Face's; of it the tokenizer and its chat template are used. The file has pairs of made-up text (build/data pairs N).
Both sides do what a training does before and around its first epoch, each in a process of its own with an empty cache: read the file, render every pair
with the chat template, and go through all pairs once in shuffled order in batches of 96, packed here, padded there. Ours also compares the rows with
each other (check). TRL's part is load_dataset, RewardTrainer's own preparation (its map and its filter by length) with as many processes as we have
threads, and its collator. The numbers of tokens must agree. The least CPU time of all rounds counts, because others may use the machine.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def trl_side(model, file, processes):
    """Prints what each part takes, as bench/data does."""
    import datasets
    import torch
    import transformers
    from trl import RewardConfig, RewardTrainer
    from trl.trainer.reward_trainer import DataCollatorForPreference
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(model)  # as tokenizer.json has it: some classes prepare text otherwise
    scratch = tempfile.mkdtemp()

    def used():
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in both), both[0].ru_maxrss >> 10, both[1].ru_maxrss >> 10

    def measure(what, work):
        start, before = time.time(), used()
        rows, tokens = work()
        after = used()
        print(json.dumps({"what": what, "seconds": time.time() - start, "cpu": after[0] - before[0], "rows": rows, "tokens": tokens,
                          "peak_mib": after[1], "child_mib": after[2]}), flush=True)

    data = None

    def load():
        nonlocal data
        data = datasets.load_dataset("json", data_files=file, split="train", cache_dir=os.path.join(scratch, "cache"))
        return len(data), 0

    def render():
        nonlocal data
        args = RewardConfig(output_dir=os.path.join(scratch, "out"), max_length=8192, dataset_num_proc=processes if processes > 1 else None,
                            report_to=[], use_cpu=True, bf16=False)
        data = RewardTrainer._prepare_dataset(object.__new__(RewardTrainer), data, tokenizer, args, "train")
        return len(data), 0

    def pack():
        columns = data.select_columns(["chosen_ids", "rejected_ids"])
        generator = torch.Generator().manual_seed(42)
        batches = torch.utils.data.DataLoader(columns, batch_size=96, shuffle=True, generator=generator, collate_fn=DataCollatorForPreference(tokenizer.pad_token_id))
        rows = tokens = 0
        for b in batches:
            rows += len(b["input_ids"]) // 2
            tokens += int(b["attention_mask"].sum())
        return rows, tokens

    for what, work in (("load", load), ("render", render), ("pack", pack)):
        measure(what, work)


def main():
    if sys.argv[1:2] == ["--trl"]:
        return trl_side(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--ours", default=os.path.join(root, "build", "data"))
    p.add_argument("--pairs", type=int, default=100000)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--memory", type=int, default=256)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--only", default="ours,trl")
    a = p.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as dir:
        file = os.path.join(dir, "pairs.jsonl")
        with open(file, "wb") as f:
            subprocess.run([a.ours, "pairs", str(a.pairs)], stdout=f, check=True)
        print(f"{a.pairs} pairs, {os.path.getsize(file) >> 20} MiB", flush=True)
        sides = {"ours": [a.ours, "read", a.model, file, str(a.threads), str(a.memory)],
                 "trl": [sys.executable, os.path.abspath(__file__), "--trl", a.model, file, str(a.threads)]}
        for round in range(a.rounds):
            for side in a.only.split(","):
                with tempfile.TemporaryDirectory() as scratch:  # TRL's caches
                    start = time.time()
                    before = resource.getrusage(resource.RUSAGE_CHILDREN)
                    out = subprocess.run(sides[side], stdout=subprocess.PIPE, check=True, text=True, env=os.environ | {"TMPDIR": scratch, "HF_HOME": scratch})
                    after = resource.getrusage(resource.RUSAGE_CHILDREN)
                lines = [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]
                lines.append({"what": "process", "seconds": time.time() - start, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                              "rows": a.pairs, "tokens": 0, "peak_mib": max(x["peak_mib"] for x in lines)})
                for x in lines:
                    print(round, side, json.dumps(x), flush=True)
                    best = found.setdefault((side, x["what"]), dict(x))
                    best["cpu"], best["seconds"] = min(best["cpu"], x["cpu"]), min(best["seconds"], x["seconds"])
    tokens = {x["tokens"] for (_, what), x in found.items() if what == "pack"}
    if len(tokens) > 1:
        sys.exit(f"the sides have seen other tokens: {tokens}")
    for (side, what), x in found.items():
        print(f"{side:5} {what:8} {x['seconds']:8.1f} s {x['cpu']:8.1f} s of CPU {x['peak_mib']:6d} MiB" + (f" + {x['child_mib']} MiB a process" if x.get("child_mib") else ""))


main()
