"""The ops of BenchmarkLarge in PyTorch, with the same shapes and names: a line of JSON for each op and way to do it.

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

from gpu_sizes import bf16, device, f32, forest, gpu, sizes

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
def rope(qk, cos, sin):
    a, b = qk.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(bf16)


def general(n, m):
    def copy():
        x, y = normal(n), normal(n)
        return lambda: y.copy_(x)

    def product():
        x, w = normal(m, m), normal(m, m)
        return lambda: F.linear(x, w)

    def grad_norm():
        g = normal(n // 4, dtype=f32)
        return lambda: torch.linalg.vector_norm(g)

    def adamw():
        p = torch.nn.Parameter(normal(n // 4, dtype=f32))
        p.grad = normal(n // 4, dtype=f32)
        o = torch.optim.AdamW([p], lr=1e-9, fused=True)
        return o.step

    measure("copy", "copy_", copy)
    measure("matmul/8192", "linear", product)
    measure("grad_norm", "vector_norm", grad_norm)
    measure("adamw", "fused AdamW, no bf16 copy", adamw)


def rows(model, n, loss_rows):
    _, h, a, g, d, f, v = sizes[model]
    at = f"/{model}_TREE16"

    def embed():
        table, ids = normal(v, h), torch.randint(v, (n,), device=device)
        return lambda: F.embedding(ids, table)

    def embed_backward():
        dout, ids = normal(n, h), torch.randint(v, (n,), device=device)
        return lambda: torch.ops.aten.embedding_dense_backward(dout, ids, v, -1, False)

    def gather():
        x, row = normal(n, h), torch.randint(n, (loss_rows,), device=device)
        return lambda: x.index_select(0, row)

    def norm(backward):
        def make():
            x, res, w = normal(n, h, grad=backward), normal(n, h), normal(h, grad=backward)
            return with_backward(rmsnorm, (x, res, w), (normal(n, h), normal(n, h))) if backward else lambda: rmsnorm(x, res, w)
        return make

    def turn():
        qk, cos, sin = normal(n, a + g, d), normal(n, 1, d // 2, dtype=f32), normal(n, 1, d // 2, dtype=f32)
        return lambda: rope(qk, cos, sin)

    def gated(backward):
        def make():
            gu = normal(n, 2 * f, grad=backward)
            return with_backward(swiglu, (gu,), (normal(n, f),)) if backward else lambda: swiglu(gu)
        return make

    measure("embed" + at, "embedding", embed)
    measure("embed_backward" + at, "embedding_dense_backward, bf16 gradient", embed_backward)
    measure("gather" + at, "index_select", gather)
    measure("rmsnorm" + at, "compiled", norm(False), 8 * n * h)
    measure("rmsnorm_backward" + at, "compiled", norm(True), 8 * n * h)
    measure("rope" + at, "compiled", turn, 4 * n * (a + g) * d)
    measure("swiglu" + at, "compiled", gated(False), 6 * n * f)
    measure("swiglu_backward" + at, "compiled", gated(True), 10 * n * f)


def products(model, n):
    _, h, a, g, d, f, v = sizes[model]

    def linear(o, i):
        def make():
            x, w = normal(n, i), normal(o, i)
            return lambda: F.linear(x, w)
        return make

    def dx():
        dy, w = normal(n, 2 * f), normal(2 * f, h)
        return lambda: dy @ w

    def dw():
        dy, x = normal(n, 2 * f), normal(n, h)
        return lambda: dy.t() @ x

    for name, o, i in ("qkv", (a + 2 * g) * d, h), ("out", h, a * d), ("gate_up", 2 * f, h), ("down", h, f):
        measure(f"matmul/{model}_{name}", "linear", linear(o, i))
    measure(f"matmul_dx/{model}_gate_up", "matmul", dx)
    measure(f"matmul_dw/{model}_gate_up", "matmul, bf16 result", dw)


def heads(count, n, length, d):
    """Rows of n heads as a model's projection leaves them: the heads of a token beside each other in memory."""
    return normal(count, length, n, d).transpose(1, 2)


def attention(model, batch, shape):
    """Causal rows, as SDPA does them; for TREE16 the rows that a tree replaces."""
    _, _, a, g, d, _, _ = sizes[model]
    count, length = shape
    name = f"{model}_{batch}"
    rows = ", unshared rows" if batch == "TREE16" else ""
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
        measure("attention/" + name, peer + rows, forward, bytes)
        measure("attention_backward/" + name, peer + rows, lambda: with_backward(run, tensors(True), (heads(count, a, length, d),)), 2 * bytes)


def flex(model, end):
    _, _, a, g, d, _, _ = sizes[model]
    n = len(end)
    mask = create_block_mask(lambda b, h, q, k: (k <= q) & (q < end[k]), None, None, n, n, device=device)
    run = compiled(lambda q, k, v: flex_attention(q, k, v, block_mask=mask, enable_gqa=True))

    def tensors(grad):
        return [heads(1, count, n, d).requires_grad_(grad) for count in (a, g, g)]

    def forward():
        t = tensors(False)
        return lambda: run(*t)

    measure(f"attention/{model}_TREE16", "FlexAttention", forward, 4 * n * (a + g) * d)
    measure(f"attention_backward/{model}_TREE16", "FlexAttention", lambda: with_backward(run, tensors(True), (heads(1, a, n, d),)), 8 * n * (a + g) * d)


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


def losses(model, loss_rows, leaves):
    _, h, _, _, _, _, v = sizes[model]

    def cross_entropy(x, w, t):
        return F.cross_entropy(F.linear(x, w).float(), t, reduction="sum")

    def tensors():
        return normal(loss_rows, h, grad=True), normal(v, h, grad=True), torch.randint(v, (loss_rows,), device=device)

    def autograd(f):
        def make():
            x, w, t = tensors()
            return lambda: torch.autograd.grad(f(x, w, t), (x, w))
        return make

    def chunked():
        x, w, t = normal(loss_rows, h), normal(v, h), torch.randint(v, (loss_rows,), device=device)
        return lambda: chunked_loss(x, w, t, max(1, (1 << 28) // v))

    def reward(x, w):
        r = (x.float() @ w).view(-1, 2, 4)
        return -F.logsigmoid(r[:, 0, :, None] - r[:, 1, None, :]).mean()

    def head(f):
        def make():
            x, w = normal(leaves, h, grad=True), normal(h, dtype=f32, grad=True)
            return lambda: torch.autograd.grad(f(x, w), (x, w))
        return make

    measure("critique_loss/" + model, "eager", autograd(cross_entropy))
    measure("critique_loss/" + model, "compiled", autograd(compiled(cross_entropy)))
    measure("critique_loss/" + model, "chunked, gradient in forward", chunked)
    measure("reward_loss/" + model, "eager", head(reward))
    measure("reward_loss/" + model, "compiled", head(compiled(reward)))


def decoding(model, sequences, prefix, depth):
    _, _, a, g, d, _, v = sizes[model]

    def attend():
        q = normal(sequences, a, 1, d)
        k, w = normal(sequences, g, prefix + depth, d), normal(sequences, g, prefix + depth, d)
        return lambda: F.scaled_dot_product_attention(q, k, w, enable_gqa=True)

    def draw():
        logits = normal(sequences, v, dtype=f32)
        return lambda: torch.multinomial(F.softmax(logits / 0.7, -1), 1)

    def draw_top_p():
        logits = normal(sequences, v, dtype=f32)

        def run():
            p, order = F.softmax(logits / 0.7, -1).sort(-1, descending=True)
            p = p.masked_fill(p.cumsum(-1) - p >= 0.95, 0)
            return order.gather(1, torch.multinomial(p, 1))
        return run

    measure("attention_decode/" + model, "SDPA, prefix not shared", attend)
    measure("sample/" + model, "softmax, multinomial", draw)
    measure("sample_top_p/" + model, "sort, multinomial", draw_top_p)


def everything(model):
    """The measurements of a model, in the order of what hangs on them."""
    tiny = model == "tiny"
    tree = (1, 24, 16, 8, 4) if tiny else (5, 512, 384, 256, 4)
    pairs, prompt, response, critique, k = tree
    tokens, leaves = pairs * (prompt + 2 * response + 2 * k * critique), pairs * 2 * k
    yield lambda: attention(model, "VAR16", (2, 64) if tiny else (8, 2048))
    yield lambda: attention(model, "CAU16", (1, 128) if tiny else (2, 8192))
    yield lambda: flex(model, forest(*tree))
    yield lambda: losses(model, 32 if tiny else 4096, leaves)
    yield lambda: products(model, tokens)
    yield lambda: rows(model, tokens, leaves * critique)
    yield lambda: decoding(model, 20 if tiny else 260, 16 if tiny else 896, 8 if tiny else 128)
    yield lambda: attention(model, "TREE16", (leaves, prompt + response + critique))


names, wanted = sys.argv[1].split(","), sys.argv[2:]
if not warm:
    print(json.dumps({"torch": torch.__version__, "device": torch.cuda.get_device_name() if gpu else "cpu"}), flush=True)
general(1 << 12 if "tiny" in names else 1 << 29, 64 if "tiny" in names else 8192)
for group in zip(*map(everything, names)):
    for run in group:
        try:
            run()
        except Exception as e:
            failed("preparation", "", e)
