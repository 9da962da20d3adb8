"""The optimizer step of BenchmarkStep in PyTorch: a line of JSON for each way to do it.

    python bench/peers/gpu_step.py Q05 [layers]

"rows" is how trainers do it: a row for each critique with its prompt and response before it, all of the same length, so nothing is
padded; causal SDPA. "tree" shares prompt and response with FlexAttention, as ours does. Both have what is fastest in PyTorch: weights,
gradients and AdamW's state in bfloat16 (ours keeps float32 gradients and more of the state, so it moves more bytes), blocks and loss
compiled, logits of critique tokens only, fused AdamW, as many pairs in a micro-batch as fit, activations of blocks computed again only
where nothing else fits. The weights are random. Model "tiny" runs on a CPU.
"""
import gc
import json
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint

from gpu_sizes import bf16, device, f32, forest, gpu
from shapes import models


class Block(torch.nn.Module):
    def __init__(self, h, a, g, d, f):
        super().__init__()
        self.a, self.g, self.d = a, g, d
        self.norm1, self.norm2 = (torch.nn.Parameter(torch.ones(h)) for _ in range(2))
        self.qkv, self.out = torch.nn.Linear(h, (a + 2 * g) * d, False), torch.nn.Linear(a * d, h, False)
        self.gate_up, self.down = torch.nn.Linear(h, 2 * f, False), torch.nn.Linear(f, h, False)

    def forward(self, x, cos, sin, mask):
        b, n, _ = x.shape
        qkv = self.qkv(F.rms_norm(x, x.shape[-1:], self.norm1, 1e-5)).view(b, n, -1, self.d)
        q, k, v = (t.transpose(1, 2) for t in qkv.split([self.a, self.g, self.g], 2))
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        if mask is None:
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            o = flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
        x = x + self.out(o.transpose(1, 2).reshape(b, n, -1))
        gate, up = self.gate_up(F.rms_norm(x, x.shape[-1:], self.norm2, 1e-5)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


def turn(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Model(torch.nn.Module):
    def __init__(self, layers, h, a, g, d, f, v, tied):
        super().__init__()
        self.embed = torch.nn.Embedding(v, h)
        self.blocks = torch.nn.ModuleList(Block(h, a, g, d, f) for _ in range(layers))
        self.norm = torch.nn.Parameter(torch.ones(h))
        self.head = self.embed if tied else torch.nn.Linear(h, v, False)
        self.d, self.again = d, False

    def forward(self, ids, pos, mask):
        angle = pos[:, None].float() * 1e4 ** (-torch.arange(0, self.d, 2, device=pos.device).float() / self.d)
        cos, sin, x = angle.cos(), angle.sin(), self.embed(ids)
        for block in self.blocks:
            x = checkpoint(block, x, cos, sin, mask, use_reentrant=False) if self.again else block(x, cos, sin, mask)
        return F.rms_norm(x, x.shape[-1:], self.norm, 1e-5)


@torch.compile(dynamic=False)
def joint(hidden, w, target, leaf, score, scale):
    critique = F.cross_entropy(F.linear(hidden, w).float(), target)
    r = (leaf.float() @ score).view(-1, 2, k)
    margin = r[:, 0, :, None] - r[:, 1, None, :]
    return scale * (.5 * critique - .5 * F.logsigmoid(margin).mean())


def batch(kind, n):
    """ids, positions, mask of n pairs; which tokens predict critique tokens, which those are, and where rewards are read."""
    prompt, response, critique = lengths
    if kind == "rows":
        length = prompt + response + critique
        ids = torch.randint(vocab, (2 * k * n, length), device=device)
        first = torch.arange(2 * k * n, device=device)[:, None] * length + prompt + response
        tokens = first + torch.arange(critique, device=device)
        return ids, torch.arange(length, device=device), None, (tokens - 1).flatten(), tokens.flatten(), tokens[:, -1]
    end = forest(n, prompt, response, critique, k)
    ids, pos, before, tokens, leaf, at = torch.randint(vocab, (1, len(end)), device=device), [], [], [], [], 0
    for _ in range(n):
        pos += range(prompt)
        at += prompt
        for _ in range(2):
            pos += range(prompt, prompt + response)
            at += response
            last = at - 1
            for _ in range(k):
                pos += range(prompt + response, prompt + response + critique)
                before += [last, *range(at, at + critique - 1)]
                tokens += range(at, at + critique)
                at += critique
                leaf.append(at - 1)
    mask = create_block_mask(lambda b, h, q, key: (key <= q) & (q < end[key]), None, None, at, at, device=device)
    index = lambda x: torch.tensor(x, device=device)
    return ids, index(pos), mask, index(before), index(tokens), index(leaf)


def step(model, score, optimizer, micro):
    optimizer.zero_grad()
    for ids, pos, mask, before, tokens, leaf in micro:
        hidden = model(ids, pos, mask).flatten(0, 1)
        joint(hidden[before], model.head.weight, ids.flatten()[tokens], hidden[leaf], score, 1 / len(micro)).backward()
    torch.nn.utils.clip_grad_norm_([*model.parameters(), score], 1.0, foreach=True)
    optimizer.step()


def measure(kind, micro_pairs, again, peer):
    torch.manual_seed(0)
    torch._dynamo.reset()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    torch.set_default_dtype(bf16)
    with torch.device(device):
        model = Model(*shape, tied=m.Tied)
    torch.set_default_dtype(f32)
    model.again = again
    for block in model.blocks:
        block.compile(dynamic=False)
    score = torch.nn.Parameter(torch.zeros(shape[1], device=device, dtype=f32))
    optimizer = torch.optim.AdamW([*model.parameters(), score], lr=1e-6, fused=True)
    micro = [batch(kind, micro_pairs) for _ in range(pairs // micro_pairs)]
    times = []
    for i in range(1 if warm else 13):
        start = time.perf_counter()
        step(model, score, optimizer, micro)
        if gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    if warm:
        return
    seconds = statistics.median(times[3:])
    line = {"name": "step/" + label, "peer": peer, "us": seconds * 1e6, "pairs/s": pairs / seconds}
    if gpu:
        line["GiB"] = torch.cuda.max_memory_allocated() / 2**30
    print(json.dumps(line), flush=True)


warm = "WARM" in os.environ  # only compile, so that a later run finds it done
name, layers = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
m = models[name]
shape = layers or m.Layers, m.Hidden, m.A, m.G, m.D, m.F, m.Vocab
label = f"{name}_{layers}layers" if layers else name
vocab, k = m.Vocab, m.K
lengths, pairs = (m.Prompt, m.Response, m.Critique), 1 if m.Hidden > 2048 else m.Pairs
for kind in "rows", "tree":
    for micro_pairs, again in ((pairs, False), (1, False), (1, True)) if pairs > 1 else ((1, False), (1, True)):
        peer = f"{kind}, {micro_pairs} pairs at a time, bf16 AdamW" + (", recomputation" if again else "")
        try:
            measure(kind, micro_pairs, again, peer)
            break
        except Exception as e:
            if not warm:
                print(json.dumps({"name": "step/" + label, "peer": peer, "error": f"{type(e).__name__}: {e}".split("\n")[0][:200]}), flush=True)
        gc.collect()
        if gpu:
            torch.cuda.empty_cache()
