"""A real model on the CPU: this program, PyTorch with transformers and, where it is installed, llama.cpp (xllamacpp), in turn on the same work.

    go build -o build/real ./bench/real
    python bench/peers/real.py MODEL [--ours build/real] [--threads 1] [--rounds 3] [--gguf FILE] [--sequences 16] [--only load,rows,trees,sample]

MODEL is a directory of Hugging Face's with a tokenizer.json. The text is this repository's documentation, cut into pieces of fixed lengths:
rows: 8 sequences of 103 to 239 tokens, a loss on every token. trees: 2 pairs with 4 critiques a response (prompt 50, response 188, critique 55
tokens), trees of 1732 tokens here, 16 rows of 4688 there. sample: two prefixes of 238 tokens, --sequences in all, 64 tokens each, temperature 0.7,
top-p 0.9. Each side has a process of its own; the least CPU time of all rounds counts, because others may use the machine. The two losses must agree.

With FILE, a GGUF file of the same weights, llama.cpp samples too; its type says how it computes. It caches prompts between calls, so its first call counts apart.
"""
import argparse
import glob
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def prepare(model, sequences):
    from tokenizers import Tokenizer
    text = "\n\n".join(open(f, encoding="utf-8").read() for f in sorted(glob.glob(os.path.join(root, "docs", "*.md"))))
    ids = iter(Tokenizer.from_file(os.path.join(model, "tokenizer.json")).encode(text, add_special_tokens=False).ids)

    def take(n):
        return [next(ids) for _ in range(n)]

    def side():
        return {"Response": take(188), "Critiques": [take(55) for _ in range(4)]}

    rows = [take(n) for n in (103, 239, 128, 211, 146, 190, 168, 188)]
    pairs = [{"Prompt": take(50), "Chosen": side(), "Rejected": side()} for _ in range(2)]
    prefixes = [pairs[0]["Prompt"] + pairs[0][s]["Response"] for s in ("Chosen", "Rejected")]
    return {"Rows": rows, "Pairs": pairs, "Prefixes": prefixes, "N": sequences // 2, "New": 64}


def cpu():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


def answer(jobs, load):
    """Prints what load took, then does a job for each line of standard input, as bench/real does."""
    def figures(what, f):
        start, before = time.time(), cpu()
        tokens, loss = f()
        print(json.dumps({"what": what, "seconds": time.time() - start, "cpu": cpu() - before, "tokens": tokens, "loss": loss,
                          "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}), flush=True)
    figures("load", load)
    for line in sys.stdin:
        figures(line.strip(), jobs[line.strip()])


def torch_side(model, work, threads):
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    mapping = transformers.AutoModelForCausalLM._model_mapping
    mapping[type(transformers.AutoConfig.from_pretrained(model))]  # imports what loading would import
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x, m, ce = json.load(open(work)), None, torch.nn.functional.cross_entropy

    def load():
        nonlocal m
        m = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        m.head = torch.nn.Parameter(torch.zeros(m.config.hidden_size))
        return 0, 0

    def padded(rows, left=False):
        n = max(map(len, rows))
        ids, mask = torch.zeros((len(rows), n), dtype=torch.long), torch.zeros((len(rows), n), dtype=torch.long)
        for i, r in enumerate(rows):
            at = slice(n - len(r), n) if left else slice(len(r))
            ids[i, at], mask[i, at] = torch.tensor(r), 1
        return ids, mask

    def step(rows, first, reward):
        m.zero_grad()
        ids, mask = padded(rows)
        h = m.model(input_ids=ids, attention_mask=mask).last_hidden_state
        learned = mask.clone()
        for i, n in enumerate(first):
            learned[i, :n] = 0
        at = learned[:, 1:] == 1
        loss = ce(m.lm_head(h[:, :-1][at]), ids[:, 1:][at])
        if reward:
            r = (h[torch.arange(len(rows)), mask.sum(1) - 1] @ m.head).view(len(x["Pairs"]), 2, -1)
            loss = .5 * loss - .5 * torch.nn.functional.logsigmoid(r[:, 0, :, None] - r[:, 1, None, :]).mean()
        loss.backward()
        return int(mask.sum()), loss.item()

    def tree_rows():
        rows, first = [], []
        for p in x["Pairs"]:
            for s in ("Chosen", "Rejected"):
                shared = p["Prompt"] + p[s]["Response"]
                rows += [shared + c for c in p[s]["Critiques"]]
                first += [len(shared)] * len(p[s]["Critiques"])
        return step(rows, first, True)

    def sample():
        ids, mask = padded([p for p in x["Prefixes"] for _ in range(x["N"])], left=True)
        with torch.inference_mode():
            out = m.generate(ids, attention_mask=mask, do_sample=True, temperature=.7, top_p=.9, top_k=0, max_new_tokens=x["New"],
                             min_new_tokens=x["New"], pad_token_id=0, use_cache=True)
        return (out.shape[1] - ids.shape[1]) * len(ids), 0

    answer({"rows": lambda: step(x["Rows"], [1] * len(x["Rows"]), False), "trees": tree_rows, "sample": sample}, load)


def llama_side(gguf, work, threads):
    import threading
    import xllamacpp
    x, server = json.load(open(work)), None
    sequences = len(x["Prefixes"]) * x["N"]

    def load():
        nonlocal server
        p = xllamacpp.CommonParams()
        p.model.path, p.n_parallel, p.n_ctx, p.n_batch = gguf, sequences, sequences * 512, 2048
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
        p.n_gpu_layers, p.warmup, p.kv_unified, p.sampling.ignore_eos = 0, False, True, True
        server = xllamacpp.Server(p)
        return 0, 0

    def ask(prefix, wrong):
        out = server.handle_completions({"prompt": prefix, "n": x["N"], "n_predict": x["New"], "temperature": .7, "top_p": .9, "top_k": 0, "min_p": 0,
                                         "ignore_eos": True, "cache_prompt": True})
        out = json.loads(out) if isinstance(out, (str, bytes)) else out
        if "error" in str(out)[:200]:
            wrong.append(str(out)[:300])

    def sample():
        wrong = []
        threads = [threading.Thread(target=ask, args=(p, wrong)) for p in x["Prefixes"]]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if wrong:
            sys.exit(f"llama.cpp: {wrong[0]}")
        return sequences * x["New"], 0

    answer({"sample": sample}, load)


class Side:
    def __init__(self, name, command):
        self.name, self.best, self.first = name, {}, {}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.read()

    def read(self):
        while True:
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"{self.name} ended with {self.process.wait()}")
            if line.startswith("{"):  # others print on standard output, too
                break
        f = json.loads(line)
        what = f["what"]
        self.first.setdefault(what, f)
        if what not in self.best or f["cpu"] < self.best[what]["cpu"]:
            self.best[what] = f
        print(f"  {self.name:12} {line.strip()}", file=sys.stderr, flush=True)

    def do(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(what, ours, peers, rate=True):
    a = ours.best[what]
    print(f"{what:8} {'ours':14} {a['cpu']:8.2f} s CPU  {a['tokens'] / a['cpu'] if rate else 0:8.1f} tokens/s  peak {a['peak_mib']} MiB  loss {a['loss']:.6f}")
    for p in peers:
        b = p.best[what]
        print(f"{'':8} {p.name:14} {b['cpu']:8.2f} s CPU  {b['tokens'] / b['cpu'] if rate else 0:8.1f} tokens/s  peak {b['peak_mib']} MiB  loss {b['loss']:.6f}"
              f"  ratio {b['cpu'] / a['cpu']:.2f}" + (f"  (first call {p.first[what]['cpu']:.2f} s)" if what == "sample" else ""))
        if abs(a["loss"] - b["loss"]) > 1e-4 * abs(b["loss"]):
            sys.exit(f"{what}: the losses differ: {a['loss']} and {b['loss']}: this is not the same work")


def main():
    o = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    o.add_argument("model")
    o.add_argument("--ours", default=os.path.join(root, "build", "real"))
    o.add_argument("--threads", type=int, default=1)
    o.add_argument("--rounds", type=int, default=3)
    o.add_argument("--sequences", type=int, default=16)
    o.add_argument("--gguf")
    o.add_argument("--only", default="load,rows,trees,sample")
    o.add_argument("--side", help=argparse.SUPPRESS)
    o.add_argument("--work", help=argparse.SUPPRESS)
    a = o.parse_args()
    if a.side:
        return torch_side(a.model, a.work, a.threads) if a.side == "torch" else llama_side(a.gguf, a.work, a.threads)
    if a.sequences < 2 or a.sequences % 2:
        sys.exit("--sequences: want an even number")
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "work.json")
        with open(path, "w") as f:
            json.dump(prepare(a.model, a.sequences), f)
        me = [sys.executable, os.path.abspath(__file__), a.model, "--work", path, "--threads", str(a.threads)]
        only = a.only.split(",")
        for mode, jobs in (("train", ["rows", "trees"]), ("infer", ["sample"])):
            jobs = [j for j in jobs if j in only]
            if not jobs and "load" not in only:
                continue
            print(f"{mode}: {a.threads} thread(s), {a.rounds} rounds", flush=True)
            ours = Side("ours", [a.ours, a.model, path, str(a.threads), mode])
            peers = [Side("transformers", me + ["--side", "torch"])]
            if a.gguf and mode == "infer":
                peers.append(Side("llama.cpp", me + ["--side", "llama", "--gguf", a.gguf]))
            for _ in range(a.rounds):
                for j in jobs:
                    for s in [ours] + peers:
                        s.do(j)
            if "load" in only:
                compare("load", ours, peers, rate=False)
            for j in jobs:
                compare(j, ours, peers)
            for s in [ours] + peers:
                s.close()


main()
