"""What the GPU peers share: the device, and the forest of BenchmarkLarge's TREE16."""
import torch

gpu = torch.cuda.is_available()
device = "cuda" if gpu else "cpu"
bf16, f32 = torch.bfloat16, torch.float32


def forest(pairs, prompt, response, critique, k):
    """end[k] of each token: just past the subtree of its node."""
    end = []
    for _ in range(pairs):
        first = len(end)
        total = prompt + 2 * response + 2 * k * critique
        end += [first + total] * prompt
        for _ in range(2):
            end += [len(end) + response + k * critique] * response
            for _ in range(k):
                end += [len(end) + critique] * critique
    return torch.tensor(end, dtype=torch.int32, device=device)
