"""The training step of BenchmarkTrainStep and the decoding of BenchmarkGenerate in PyTorch with transformers, on the CPU.

    python bench/peers/torch_step.py [threads]

The model has the demo's shape. A pair has a prompt of 28 tokens, two responses of 12, two critiques of 12 on each: as rows, which is
how trainers do it, a pair is 4 rows of 52 tokens; the loss is the same (language modelling on the critiques and the pairwise loss).
"""
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
torch.set_num_threads(threads)
torch.manual_seed(0)
config = LlamaConfig(vocab_size=560, hidden_size=128, intermediate_size=320, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                     max_position_embeddings=512, tie_word_embeddings=True, use_cache=False)
model = LlamaForCausalLM(config)
head = torch.nn.Parameter(torch.zeros(128))
pairs = 4096 // 100
ids = torch.randint(0, 560, (4 * pairs, 52))
labels = ids.clone()
labels[:, :40] = -100


def step():
    model.zero_grad(set_to_none=False)
    hidden = model.model(input_ids=ids).last_hidden_state
    rows = labels[:, 1:] != -100
    logits = model.lm_head(hidden[:, :-1][rows])
    critique = torch.nn.functional.cross_entropy(logits, labels[:, 1:][rows])
    reward = (hidden[:, -1] @ head).view(pairs, 2, 2)
    margin = reward[:, 0, :, None] - reward[:, 1, None, :]
    loss = .5 * critique - .5 * torch.nn.functional.logsigmoid(margin).mean()
    loss.backward()


step()
times = []
for _ in range(8):
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
best = min(times)
print(f"torch {torch.__version__}, {threads} threads: step {best * 1e3:.0f} ms, {pairs / best:.0f} pairs/s, {4 * pairs * 52 / best:.0f} row tokens/s")

model.eval()
prompts = torch.randint(0, 560, (128, 40)).repeat_interleave(4, 0)
with torch.no_grad():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=32, min_new_tokens=32, do_sample=True, use_cache=True, pad_token_id=0)
        times.append(time.perf_counter() - start)
print(f"generate, 512 sequences: {512 * 32 / min(times):.0f} tokens/s")
