"""The models and cases of BenchmarkLarge, from shapes.json beside this file, which go test ./bench keeps up to date."""
import json
import os
from types import SimpleNamespace

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "shapes.json")) as f:
    _all = json.load(f)
models = {m["Name"]: SimpleNamespace(**m) for m in _all["models"]}


def cases(model, *ops):
    """Those of a model with these ops, in Go's order: name, op, model and the dimensions in the letters of kernels.h."""
    return [SimpleNamespace(**c) for c in _all["cases"] if c["model"] == model and c["op"] in ops]
