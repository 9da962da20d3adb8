"""Reward losses by PyTorch's formulas, with their gradients, in float64: what the specification of the op reward_loss is held against.

    python bench/peers/loss_golden.py > kernels/kerneltest/spec/testdata/reward_loss.json

Regression is NeMo-Aligner's: mean((reward - score)²). Ranked lists are ListMLE as allRank has it: the sum over places of logcumsumexp from behind, less the
reward, the mean over lists. Needs torch from PyPI.
"""

import json

import torch

torch.manual_seed(7)
f64 = torch.float64


def golden(name, rewards, loss, **more):
    flat = [r.clone().requires_grad_() for r in rewards]
    value = loss(flat)
    value.backward()
    return {"name": name, "rewards": [r.tolist() for r in rewards], "loss": value.item(), "gradient": [r.grad.tolist() for r in flat], **more}


def draw(*sizes):
    return [torch.randn(n, dtype=f64) * 2 for n in sizes]


def listmle(lists):
    return torch.stack([(torch.logcumsumexp(r.flip(0), 0).flip(0) - r).sum() for r in lists]).mean()


def bradley_terry(lists):
    return torch.stack([-torch.nn.functional.logsigmoid(r[0] - r[1]) for r in lists]).mean()


scores = draw(2, 2, 2, 2)
mse = lambda lists: torch.nn.functional.mse_loss(torch.cat(lists), torch.cat(scores))

print(
    json.dumps(
        [
            golden("regression", draw(2, 2, 2, 2), mse, scores=[s.tolist() for s in scores]),
            golden("listmle", draw(7, 4, 2, 9), listmle),
            golden("listmle, far apart", [r * 300 for r in draw(7, 4)], listmle),
            golden("lists of two are pairs", draw(2, 2, 2), bradley_terry),
        ],
        indent=1,
    )
)
