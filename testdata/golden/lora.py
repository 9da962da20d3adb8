"""LoRA adapters as PEFT writes them, the rewards that transformers and PEFT compute with them, and the losses of 20 updates of torch's AdamW."""
import json
import shutil

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification

ADAPTERS = {
    "lora_llama": ("llama_tied", dict(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])),
    "lora_qwen2": ("qwen2", dict(r=3, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "v_proj"], rank_pattern={r"layers\.1\.self_attn\.v_proj": 2, r"layers\.1\.self_attn\.q_proj": 2})),
    "lora_embedding": ("llama_tied", dict(r=4, lora_alpha=6, target_modules=["embed_tokens", "q_proj"])),
    "lora_scaled_embedding": ("gemma3", dict(r=2, lora_alpha=4, target_modules=["embed_tokens", "down_proj"])),
    "lora_phi3": ("phi3", dict(r=8, lora_alpha=4, target_modules=r".*layers\.[01]\.(self_attn\.qkv_proj|mlp\.down_proj)")),
}
UPDATES = 20


def rewards(model, texts):
    """Each text alone and unpadded, read at its last token."""
    return torch.stack([model(input_ids=torch.tensor([t])).logits[0, 0] for t in texts])


def make(out):
    for name, (base, settings) in ADAPTERS.items():
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        plain = AutoModelForSequenceClassification.from_pretrained(out / base, num_labels=1, dtype=torch.float32, attn_implementation="eager")
        plain.config.pad_token_id = None
        model = get_peft_model(plain, LoraConfig(task_type="SEQ_CLS", **settings))
        score = {n: p for n, p in model.named_parameters() if "score.modules_to_save" in n}
        rng = np.random.RandomState(len(name))      # torch's own draws have other last bits on other processors
        for n, p in model.named_parameters():
            if "lora_" in n or n in score:
                p.data = torch.from_numpy(rng.standard_normal(tuple(p.shape)) * 0.1).float()
        model.peft_config["default"].base_model_name_or_path = "../" + base
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        # two pairs: a prompt, and two responses to it
        v = plain.config.vocab_size
        draw = torch.Generator().manual_seed(7)
        run = lambda n: torch.randint(4, v, (n,), generator=draw).tolist()
        prompts, answers = [run(6), run(11)], [[run(5), run(9)], [run(12), run(3)]]
        texts = [prompts[p] + answers[p][s] for p in range(2) for s in range(2)]
        ref = {f"prompt.{p}": torch.tensor(prompts[p]) for p in range(2)}
        ref |= {f"answer.{p}.{s}": torch.tensor(answers[p][s]) for p in range(2) for s in range(2)}
        with torch.no_grad():
            ref["rewards"] = rewards(model.eval(), texts)
        # in float64, from the same numbers: the truth
        model = model.double()
        trained = [p for n, p in model.named_parameters() if p.requires_grad]
        assert len(trained) == len(score) + sum("lora_" in n for n, _ in model.named_parameters())
        heads = [p for n, p in model.named_parameters() if n in score]
        optimizer = torch.optim.AdamW([{"params": [p for p in trained if all(p is not h for h in heads)], "weight_decay": 0.1}, {"params": heads, "weight_decay": 0.0}],
                                      lr=5e-3, betas=(0.9, 0.95), eps=1e-8)
        losses = []
        for _ in range(UPDATES):
            r = rewards(model, texts)
            loss = -torch.nn.functional.logsigmoid(torch.stack([r[0] - r[1], r[2] - r[3]])).mean()
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
        ref["losses"] = torch.tensor(losses, dtype=torch.float32)
        save_file({k: t.contiguous() for k, t in ref.items()}, folder / "reference.safetensors")
        config = json.loads((folder / "adapter_config.json").read_text())
        config["target_modules"] = config["target_modules"] if isinstance(config["target_modules"], str) else sorted(config["target_modules"])
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
