"""Makes quants.gguf beside this file: blocks of every type that gguf reads, written by ggml's Python package, and what that package
makes of them. Needs numpy and gguf 0.19.0:

    pip install numpy gguf==0.19.0
    python gguf/testdata/make.py
"""
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as T, GGUFWriter, dequantize, quantize
from gguf.constants import GGML_QUANT_SIZES

# Where the halves (scales, least values) stand in a block. All other bytes may be anything.
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
          T.Q2_K: [80, 82], T.Q3_K: [108], T.IQ4_NL: [0], T.IQ4_XS: [0], T.MXFP4: []}


def blocks(rng, kind, rows, count):
    """rows × count blocks of random bytes whose halves are finite: normal, subnormal, negative and zero."""
    _, size = GGML_QUANT_SIZES[kind]
    raw = rng.randint(0, 256, (rows * count, size)).astype(np.uint8)
    for at in HALVES[kind]:
        h = (rng.standard_normal(rows * count) * 10.0 ** rng.randint(-7, 3, rows * count)).astype(np.float16)
        h[0] = 0
        raw[:, at:at + 2] = h.view(np.uint8).reshape(-1, 2)
    if kind == T.MXFP4:     # an exponent; from 253 on an element may be infinite
        raw[:, 0] = [0, 1, 2, 252, 127, 100][:rows * count]
    return raw.reshape(rows, count * size)


def main():
    rng = np.random.RandomState(1)
    w = GGUFWriter(str(Path(__file__).parent / "quants.gguf"), "llama")
    for name, value in dict(uint8=8, uint16=16, uint32=32, int8=-8, int16=-16, int32=-32, uint64=1 << 40, int64=-1 << 40, float32=0.5, float64=0.1, bool=True, string="ä").items():
        getattr(w, "add_" + name)("values." + name, value)
    w.add_array("values.strings", ["a", "", "Ġb"])
    w.add_array("values.integers", [1, -2, 3])
    w.add_array("values.numbers", [0.5, -1.5])
    w.add_array("values.switches", [True, False])
    for kind in HALVES:
        raw = blocks(rng, kind, 3, 2)
        w.add_tensor(kind.name, raw, raw_dtype=kind)
        w.add_tensor("want." + kind.name, dequantize(raw, kind))
    x = (rng.standard_normal((3, 64)) * 10.0 ** rng.randint(-9, 4, (3, 64))).astype(np.float32)
    x[0, :4] = [0, -0.0, 2.0 ** -24, 65504]
    x[2] = 0
    w.add_tensor("numbers", x)
    # What our own writer must make of the numbers, and the types that are no blocks.
    for kind in (T.F16, T.BF16, T.Q8_0):
        raw = quantize(x, kind)
        w.add_tensor("of." + kind.name, raw, raw_dtype=kind)
        w.add_tensor("want.of." + kind.name, dequantize(raw.view(np.uint8) if kind != T.F16 else raw, kind).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


main()
