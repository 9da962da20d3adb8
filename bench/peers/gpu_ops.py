"""The ops of BenchmarkLarge in PyTorch, at its cases (shapes.py): a line of JSON for each case and way to do it.

    python bench/peers/gpu_ops.py Q05,L8 [name of an op ...]

Times are by CUDA events, so many ops queued between two events, the median of eleven; on several sets of tensors in turn where a cache
could hold one. What decides comes first. A way that fails is a line that says so; one that takes over a minute is given up, and
after a fault of the device, which ends every later call too, the program starts again behind it. Model "tiny" runs on a CPU, to see that everything works.
"""
import gc
import json
import os
import signal
import statistics
import sys
import time
import traceback

import torch
import torch._functorch.config
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from gpu_sizes import bf16, device, f32, forest, gpu
from shapes import cases, models

torch.manual_seed(1)
torch._functorch.config.donated_buffer = False  # backwards are timed many times on one graph
done = int(os.environ.get("DONE", 0))  # measurements up to the fault after which this program started again
warm = "WARM" in os.environ  # only compile, so that a later run finds it done
measured = 0


def normal(*shape, dtype=bf16, grad=False):
    return torch.randn(*shape, device=device, dtype=dtype).requires_grad_(grad)


def spend(works, count, start):
    """Seconds of count ops from set number start on."""
    if not gpu:
        t = time.perf_counter()
        for i in range(count):
            works[(start + i) % len(works)]()
        return time.perf_counter() - t
    a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    a.record()
    for i in range(count):
        works[(start + i) % len(works)]()
    b.record()
    b.synchronize()
    return a.elapsed_time(b) / 1e3


def give_up(*_):
    raise TimeoutError("over a minute")


def measure(name, peer, make, bytes=1 << 28):
    """make() gives the op on new tensors; bytes is what they are in total, at least."""
    global measured
    if wanted and name.split("/")[0] not in wanted:
        return
    measured += 1
    if measured <= done:
        return
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    try:
        if warm:
            make()()
            return
        works = [make() for _ in range(1 if bytes >= 1 << 28 or not gpu else min(64, (1 << 28) // bytes + 1))]
        spend(works, max(3, len(works)), 0)
        if gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        n = int(min(100, max(1, 0.02 / (spend(works, 2, 0) / 2))))
        seconds = statistics.median(spend(works, n, i * n) for i in range(11)) / n
        line = {"name": name, "peer": peer, "us": seconds * 1e6}
        if gpu:
            line["MiB"] = (torch.cuda.max_memory_allocated() - before) / 2**20
        print(json.dumps(line), flush=True)
    except Exception as e:  # one way that does not work must not stop the others
        failed(name, peer, e)
    finally:
        signal.alarm(0)
        works = make = None
        clean(name, peer)


def failed(name, peer, e):
    if not warm:
        print(json.dumps({"name": name, "peer": peer, "error": f"{type(e).__name__}: {e}".split("\n")[0][:200]}), flush=True)
    if not gpu:
        traceback.print_exc(limit=2)
    if "CUDA error" in str(e):
        os.environ["DONE"] = str(measured)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def clean(name, peer):
    gc.collect()
    if gpu:
        try:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        except Exception as e:
            failed(name, peer, e)


def with_backward(f, inputs, grads):
    """The forward and the backward of f as two ops; the graph is kept for many backwards."""
    out = f(*inputs)
    out = out if isinstance(out, tuple) else (out,)
    wrt = [i for i in inputs if torch.is_tensor(i) and i.requires_grad]
    return lambda: torch.autograd.grad(out, wrt, grads, retain_graph=True)


compiled = torch.compile(dynamic=False)


@compiled
def rmsnorm(x, res, w):
    s = x + res
    y = s.float()
    return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5)).to(bf16) * w, s


@compiled
def swiglu(gu):
    gate, up = gu.chunk(2, -1)
    return F.silu(gate) * up


@compiled
def geglu(gu):
    gate, up = gu.chunk(2, -1)
    return F.gelu(gate, approximate="tanh") * up


@compiled
def rope(qk, cos, sin):
    a, b = qk.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(bf16)


def once(model):
    """What is measured once, whatever the models."""
    n = models[model].Parameters

    def copy():
        x, y = normal(4 * n), normal(4 * n)
        return lambda: y.copy_(x)

    def grad_norm():
        g = normal(n, dtype=f32)
        return lambda: torch.linalg.vector_norm(g)

    def adamw():
        p = torch.nn.Parameter(normal(n, dtype=f32))
        p.grad = normal(n, dtype=f32)
        o = torch.optim.AdamW([p], lr=1e-9, fused=True)
        return o.step

    measure("copy", "copy_", copy)
    products(c for c in cases(model, "matmul") if c.name == SQUARE)
    measure("grad_norm", "vector_norm", grad_norm)
    measure("adamw", "fused AdamW, no bf16 copy", adamw)


def row(c):
    """The way to do an op that is bound by memory: what it is called, the op on new tensors, bytes if they are worth naming."""

    def embed():
        table, ids = normal(c.V, c.H), torch.randint(c.V, (c.N,), device=device)
        return lambda: F.embedding(ids, table)

    def embed_backward():
        dout, ids = normal(c.N, c.H), torch.randint(c.V, (c.N,), device=device)
        return lambda: torch.ops.aten.embedding_dense_backward(dout, ids, c.V, -1, False)

    def gather():
        x, rows = normal(c.N, c.H), torch.randint(c.N, (c.R,), device=device)
        return lambda: x.index_select(0, rows)

    def norm(backward):
        def make():
            x, res, w = normal(c.N, c.H, grad=backward), normal(c.N, c.H), normal(c.H, grad=backward)
            return with_backward(rmsnorm, (x, res, w), (normal(c.N, c.H), normal(c.N, c.H))) if backward else lambda: rmsnorm(x, res, w)
        return make

    def turn():
        qk, cos, sin = normal(c.N, c.A + c.G, c.D), normal(c.N, 1, c.D // 2, dtype=f32), normal(c.N, 1, c.D // 2, dtype=f32)
        return lambda: rope(qk, cos, sin)

    def slice_norm():
        qkv, w = normal(c.N, c.C), normal(c.Width)
        heads = qkv[:, :c.Groups * c.Width].view(c.N, c.Groups, c.Width)
        return lambda: F.rms_norm(heads, (c.Width,), w, 1e-6)

    def add_bias():
        y, b = normal(c.N, c.O), normal(c.O)
        return lambda: y.add_(b)

    def add_bias_backward():
        dy = normal(c.N, c.O)
        return lambda: dy.sum(0)

    def lora():
        y, t, b = normal(c.N, c.C), normal(c.N, c.P), normal(c.O, c.R)
        return lambda: torch.addmm(y, t, b.T, out=y)

    def lora_backward():
        dy, t, b = normal(c.N, c.C), normal(c.N, c.P), normal(c.O, c.R)
        return lambda: (dy @ b, dy.T @ t)

    def scale():
        x = normal(c.N)
        return lambda: x.mul_(1)

    def gated(op, backward):
        def make():
            gu = normal(c.N, 2 * c.F, grad=backward)
            return with_backward(op, (gu,), (normal(c.N, c.F),)) if backward else lambda: op(gu)
        return make

    return {
        "embed": lambda: ("embedding", embed),
        "embed_backward": lambda: ("embedding_dense_backward, bf16 gradient", embed_backward),
        "gather": lambda: ("index_select", gather),
        "rmsnorm": lambda: ("compiled", norm(False), 8 * c.N * c.H),
        "rmsnorm_backward": lambda: ("compiled", norm(True), 8 * c.N * c.H),
        "rope": lambda: ("compiled", turn, 4 * c.N * (c.A + c.G) * c.D),
        "slice_norm": lambda: ("rms_norm to new tensors", slice_norm, 4 * c.N * c.Groups * c.Width),
        "add_bias": lambda: ("add_", add_bias),
        "add_bias_backward": lambda: ("sum, bf16 result", add_bias_backward),
        "lora": lambda: ("addmm", lora),
        "lora_backward": lambda: ("two products, bf16 results", lora_backward),
        "swiglu": lambda: ("compiled", gated(swiglu, False), 6 * c.N * c.F),
        "swiglu_backward": lambda: ("compiled", gated(swiglu, True), 10 * c.N * c.F),
        "scale": lambda: ("mul_", scale, 2 * c.N),
        "geglu": lambda: ("compiled", gated(geglu, False), 6 * c.N * c.F),
        "geglu_backward": lambda: ("compiled", gated(geglu, True), 10 * c.N * c.F),
    }[c.op]()


ROWS = "embed", "embed_backward", "gather", "rmsnorm", "rmsnorm_backward", "slice_norm", "rope", "add_bias", "add_bias_backward", "lora", "lora_backward", "swiglu", "swiglu_backward", "geglu", "geglu_backward", "scale"
SQUARE = "matmul/8192"


def products(list):
    def linear(c):
        x, w = normal(c.N, c.I), normal(c.O, c.I)
        return lambda: F.linear(x, w)

    def dx(c):
        dy, w = normal(c.N, c.O), normal(c.O, c.I)
        return lambda: dy @ w

    def dw(c):
        dy, x = normal(c.N, c.O), normal(c.N, c.I)
        return lambda: dy.t() @ x

    def packed(c):
        x, w = normal(c.N, 64 * c.B), normal(c.O, 64 * c.B)
        return lambda: F.linear(x, w)

    for c in list:
        peer, make = {"matmul_nf4": ("linear, bf16 weight", packed), "matmul_blocks": ("linear, bf16 weight", linear), "matmul": ("linear", linear), "matmul_dx": ("matmul", dx), "matmul_dw": ("matmul, bf16 result", dw)}[c.op]
        measure(c.name, peer, lambda: make(c))


def heads(count, n, length, d):
    """Rows of n heads as a model's projection leaves them: the heads of a token beside each other in memory."""
    return normal(count, length, n, d).transpose(1, 2)


def attention(model, batch, count, length):
    """Causal rows, as SDPA does them; for TREE16 the rows that a tree replaces."""
    m = models[model]
    a, g, d = m.A, m.G, m.D
    rows = ", unshared rows" if batch == m.Trees else ""
    backends = {"SDPA flash": SDPBackend.FLASH_ATTENTION, "SDPA cuDNN": SDPBackend.CUDNN_ATTENTION}
    if not gpu:
        backends = {"SDPA flash": SDPBackend.FLASH_ATTENTION}
    for peer, backend in backends.items():
        def run(q, k, v):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

        def tensors(grad):
            return [heads(count, n, length, d).requires_grad_(grad) for n in (a, g, g)]

        def forward():
            t = tensors(False)
            return lambda: run(*t)

        bytes = 4 * count * length * (a + g) * d
        for c in of_batch(model, batch):
            if c.op == "attention":
                measure(c.name, peer + rows, forward, bytes)
            else:
                measure(c.name, peer + rows, lambda: with_backward(run, tensors(True), (heads(count, a, length, d),)), 2 * bytes)


def of_batch(model, batch):
    return [c for c in cases(model, "attention", "attention_backward") if c.name.endswith("_" + batch)]


def flex(model):
    m = models[model]
    a, g, d = m.A, m.G, m.D
    end = forest(m.Pairs, m.Prompt, m.Response, m.Critique, m.K)
    n = len(end)
    mask = create_block_mask(lambda b, h, q, k: (k <= q) & (q < end[k]), None, None, n, n, device=device)
    run = compiled(lambda q, k, v: flex_attention(q, k, v, block_mask=mask, enable_gqa=True))

    def tensors(grad):
        return [heads(1, count, n, d).requires_grad_(grad) for count in (a, g, g)]

    def forward():
        t = tensors(False)
        return lambda: run(*t)

    for c in of_batch(model, m.Trees):
        if c.op == "attention":
            measure(c.name, "FlexAttention", forward, 4 * n * (a + g) * d)
        else:
            measure(c.name, "FlexAttention", lambda: with_backward(run, tensors(True), (heads(1, a, n, d),)), 8 * n * (a + g) * d)


def chunked_loss(x, w, target, rows):
    """Gradient in forward, chunk by chunk: what Liger's fused linear cross-entropy does."""
    dx, dw, loss = torch.empty_like(x), torch.zeros_like(w, dtype=f32), torch.zeros((), device=device)
    for at in range(0, len(x), rows):
        part, t = x[at:at + rows], target[at:at + rows]
        logits = F.linear(part, w)
        l, grad = loss_gradient(logits, t)
        loss += l
        dx[at:at + rows] = grad @ w
        dw += grad.t() @ part
    return loss, dx, dw


@compiled
def loss_gradient(logits, target):
    x = logits.float()
    lse = x.logsumexp(-1, keepdim=True)
    grad = (x - lse).exp()
    one = torch.arange(x.shape[1], device=x.device)[None] == target[:, None]
    return (lse[:, 0] - x.gather(1, target[:, None])[:, 0]).sum(), torch.where(one, grad - 1, grad).to(bf16)


def critique_loss(c):
    def cross_entropy(x, w, t):
        return F.cross_entropy(F.linear(x, w).float(), t, reduction="sum")

    def autograd(f):
        def make():
            x, w, t = normal(c.R, c.H, grad=True), normal(c.V, c.H, grad=True), torch.randint(c.V, (c.R,), device=device)
            return lambda: torch.autograd.grad(f(x, w, t), (x, w))
        return make

    def chunked():
        x, w, t = normal(c.R, c.H), normal(c.V, c.H), torch.randint(c.V, (c.R,), device=device)
        return lambda: chunked_loss(x, w, t, max(1, (1 << 28) // c.V))

    measure(c.name, "eager", autograd(cross_entropy))
    measure(c.name, "compiled", autograd(compiled(cross_entropy)))
    measure(c.name, "chunked, gradient in forward", chunked)


def reward_loss(c):
    def reward(x, w):
        r = (x.float() @ w).view(c.P, 2, -1)
        return -F.logsigmoid(r[:, 0, :, None] - r[:, 1, None, :]).mean()

    def head(f):
        def make():
            x, w = normal(c.L, c.H, grad=True), normal(c.H, dtype=f32, grad=True)
            return lambda: torch.autograd.grad(f(x, w), (x, w))
        return make

    measure(c.name, "eager", head(reward))
    measure(c.name, "compiled", head(compiled(reward)))


def losses(model):
    for c in cases(model, "critique_loss"):
        if not c.name.endswith(("_no_gradient", "_capped")):
            critique_loss(c)
    for c in cases(model, "reward_loss"):
        reward_loss(c)


def decoding(model):
    depth = models[model].Prefix + models[model].Depth

    def attend(c):
        q = normal(c.B, c.A, 1, c.D)
        k, w = normal(c.B, c.G, depth, c.D), normal(c.B, c.G, depth, c.D)
        return lambda: F.scaled_dot_product_attention(q, k, w, enable_gqa=True)

    def draw(c):
        logits = normal(c.B, c.V, dtype=f32)
        return lambda: torch.multinomial(F.softmax(logits / 0.7, -1), 1)

    def draw_top_p(c):
        logits = normal(c.B, c.V, dtype=f32)

        def run():
            p, order = F.softmax(logits / 0.7, -1).sort(-1, descending=True)
            p = p.masked_fill(p.cumsum(-1) - p >= 0.95, 0)
            return order.gather(1, torch.multinomial(p, 1))
        return run

    def of_tokens(c):
        logits, ids = normal(c.B, c.V, dtype=f32), torch.randint(c.V, (c.B, 1), device=device)
        return lambda: logits.log_softmax(-1).gather(1, ids)

    ways = {"attention_decode": ("SDPA, prefix not shared", attend), "sample": ("softmax, multinomial", draw), "sample_top_p": ("sort, multinomial", draw_top_p),
            "logprobs": ("log_softmax, gather", of_tokens)}
    for c in cases(model, "attention_decode", "sample", "logprobs"):
        peer, make = ways[c.name.split("/")[0]]
        measure(c.name, peer, lambda: make(c))


def rows(model):
    for c in cases(model, *ROWS):
        measure(c.name, *row(c))


def everything(model):
    """The measurements of a model, in the order of what hangs on them."""
    m = models[model]
    yield lambda: attention(model, "VAR16", m.Documents, m.Document)
    yield lambda: attention(model, "CAU16", m.Long, m.Longest)
    yield lambda: flex(model)
    yield lambda: losses(model)
    yield lambda: products(c for c in cases(model, "matmul", "matmul_dx", "matmul_dw", "matmul_nf4", "matmul_blocks") if c.name != SQUARE)
    yield lambda: rows(model)
    yield lambda: decoding(model)
    yield lambda: attention(model, m.Trees, 2 * m.K * m.Pairs, m.Prompt + m.Response + m.Critique)


names, wanted = sys.argv[1].split(","), sys.argv[2:]
if not warm:
    print(json.dumps({"torch": torch.__version__, "device": torch.cuda.get_device_name() if gpu else "cpu"}), flush=True)
once(names[0])
for group in zip(*map(everything, names)):
    for run in group:
        try:
            run()
        except Exception as e:
            failed("preparation", "", e)
