"""Weights of 4 bits as bitsandbytes makes them: NF4 with doubly quantised maxima, on the CPU. Its map of the maxima comes out of torch's
linspace, whose last bits are others without AVX2; those of a machine that has it count."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import bitsandbytes.functional as F
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM


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
    stored(out / "nf4_llama")


def stored(folder):
    """A directory whose weights are of 4 bits, as transformers saves it, and the logits of the numbers that the bits stand for."""
    with tempfile.TemporaryDirectory() as plain:
        cfg = LlamaConfig(vocab_size=32, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2)
        model, rng = LlamaForCausalLM(cfg).bfloat16(), np.random.RandomState(7)
        for p in model.parameters():
            p.data = torch.from_numpy(rng.standard_normal(tuple(p.shape)) * 0.2).bfloat16()
        model.save_pretrained(plain)
        settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
        small = LlamaForCausalLM.from_pretrained(plain, dtype=torch.bfloat16, quantization_config=settings, device_map="cpu")
    small.save_pretrained(folder)
    weights = {}
    for name, p in small.named_parameters():
        if getattr(p, "quant_state", None) is not None:
            p.quant_state.dtype = torch.float32
            weights[name] = F.dequantize_4bit(p.data, p.quant_state).reshape(p.quant_state.shape)
        else:
            weights[name] = p.data.float()
    model = LlamaForCausalLM(cfg).float()
    model.load_state_dict(weights)
    ids = torch.from_numpy(rng.randint(0, 32, (2, 20)))
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    save_file({"input_ids": ids, "logits": logits.contiguous()}, folder / "reference.safetensors")
    (folder / "generation_config.json").unlink(missing_ok=True)
    for file in folder.iterdir():
        file.chmod(0o644)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
