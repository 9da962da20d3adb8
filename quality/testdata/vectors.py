"""Vectors of vectors.json, computed with scikit-learn: python3 vectors.py > vectors.json (version: see its field "by")."""
import json

import numpy as np
import sklearn
from sklearn import metrics

rng = np.random.default_rng(20250601)
cases = []
for n, levels, skew in [(12, 3, 0.5), (40, 10, 0.3), (200, 9, 0.8), (200, 1000, 0.5), (30, 1, 0.5), (64, 5, 0.1)]:
    right = rng.random(n) < skew
    right[:2] = [True, False]
    value = np.round((rng.normal(size=n) + right) * levels / 4) / levels
    weight = rng.integers(0, 4, size=n)
    weight[:2] = 1
    says = value > 0.1
    wrong, called = ~right, ~says
    for w in (np.ones(n), weight):
        cases.append({
            "right": right.tolist(), "value": value.tolist(), "weight": w.tolist(), "threshold": 0.1,
            "precision": metrics.precision_score(wrong, called, sample_weight=w, zero_division=np.nan),
            "recall": metrics.recall_score(wrong, called, sample_weight=w),
            "f1": metrics.f1_score(wrong, called, sample_weight=w),
            "mcc": metrics.matthews_corrcoef(wrong, called, sample_weight=w),
            "auroc": metrics.roc_auc_score(right, value, sample_weight=w),
            "accuracy": metrics.accuracy_score(wrong, called, sample_weight=w),
        })
# ProcessBench's figures, by its own evaluation script's formulas: labels count steps from 0, -1 is "no error".
steps = []
for n in (25, 80):
    label = rng.integers(-1, 5, size=n)
    pred = np.where(rng.random(n) < 0.5, label, rng.integers(-1, 6, size=n))
    label[:2] = [-1, 2]
    err, ok = label != -1, label == -1
    a, b = np.mean(pred[err] == label[err]), np.mean(pred[ok] == -1)
    steps.append({"label": label.tolist(), "pred": pred.tolist(), "error": a, "correct": b, "f1": 2 * a * b / (a + b),
                  "within": np.mean((np.abs(pred[err] - label[err]) <= 1) & (pred[err] >= 0))})
for c in cases:
    for k, v in c.items():
        if isinstance(v, float) and v != v:
            c[k] = None
print(json.dumps({"by": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}", "verdicts": cases, "steps": steps}))
