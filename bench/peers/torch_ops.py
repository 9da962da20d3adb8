"""Single ops in PyTorch on the CPU, at the shapes of BenchmarkKernels: best of several runs.

    python bench/peers/torch_ops.py [threads]
"""
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)


def best(f, n=7):
    f()
    times = []
    for _ in range(n):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


for s, d in [(1024, 64), (2048, 64), (2048, 128)]:
    q, k, v = (torch.randn(1, 8, s, d, requires_grad=True) for _ in range(3))
    flops = 4 * s * (s + 1) / 2 * 8 * d
    forward = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)
    grad = torch.randn(1, 8, s, d)
    with torch.no_grad():
        t = best(forward)
    both = best(lambda: forward().backward(grad), 4)
    print(f"sdpa causal S {s} D {d}: forward {flops / t / 1e9:.0f}, backward {2.5 * flops / (both - t) / 1e9:.0f} GFLOP/s")
for n, o, i in [(4096, 640, 128), (2048, 1536, 1024), (2048, 5632, 1024)]:
    x, w, dy = torch.randn(n, i), torch.randn(o, i), torch.randn(n, o)
    t, dw = best(lambda: F.linear(x, w)), best(lambda: dy.t() @ x)
    print(f"linear {n}x{o}x{i}: {2 * n * o * i / t / 1e9:.0f}, dw {2 * n * o * i / dw / 1e9:.0f} GFLOP/s")
x, w = torch.randn(512, 1024, requires_grad=True), torch.randn(32000, 1024, requires_grad=True)
y = torch.randint(0, 32000, (512,))
t = best(lambda: F.cross_entropy(x @ w.t(), y).backward(), 4)
print(f"linear + cross-entropy 512x1024x32000, forward and backward: {6 * 512 * 1024 * 32000 / t / 1e9:.0f} GFLOP/s")
