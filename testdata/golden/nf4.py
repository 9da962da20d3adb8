"""Weights of 4 bits as bitsandbytes makes them: NF4 with doubly quantised maxima, on the CPU. Its map of the maxima comes out of torch's
linspace, whose last bits are others without AVX2; those of a machine that has it count."""
import os
import subprocess
import sys
from pathlib import Path

import bitsandbytes.functional as F
import torch
from safetensors.torch import save_file


def make(out):
    subprocess.run([sys.executable, "-B", __file__, out], env={**os.environ, "ATEN_CPU_CAPABILITY": "avx2"}, check=True)


def write(out):
    ref = {}
    for name, shape, sd in [("a", (16, 128), 0.05), ("b", (300, 64), 0.3), ("c", (7, 64), 1.0)]:
        torch.manual_seed(shape[0])
        w = (torch.randn(shape) * sd).bfloat16()
        if name == "c":
            w[2] = 0
        q, state = F.quantize_4bit(w.float(), blocksize=64, compress_statistics=True, quant_type="nf4")
        ref |= {f"{name}.w": w, f"{name}.code": q.flatten(), f"{name}.absmax": state.absmax, f"{name}.scale": state.state2.absmax, f"{name}.offset": state.offset.reshape(1)}
        if name != "b":
            ref[f"{name}.unpacked"] = F.dequantize_4bit(q, state)
        ref["map"] = state.state2.code
    save_file({k: t.clone().contiguous() for k, t in ref.items()}, out / "nf4.safetensors")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
