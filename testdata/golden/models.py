"""Tiny models with random weights, and what transformers computes from them."""
import json
import math

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

from hand import by_hand
from specs import MODELS

PROMPT, NEW = 16, 16    # greedy: so many first ids are given, so many are asked for


def weight(name, shape, rng, gemma):
    """Random weights under which a mistake shows. Scores that are far from equal make attention sharp, norms that are far
    from 1 show in every channel, and embeddings are so small that epsilon counts."""
    x = rng.standard_normal(shape)
    if name.endswith(".bias"):
        return x / 4
    if "norm" in name:
        return x / 4 if gemma else 1 + x / 4        # Gemma adds the 1 itself
    if "embed_tokens" in name:
        return x / 16
    wide = any(part in name for part in ("q_proj", "k_proj", "qkv_proj", "lm_head"))
    return x * (1.6 if wide else 1.0) / math.sqrt(shape[-1])


def values(spec, params, run, inputs):
    """What run(ids) → hidden states, scores of the head says about the inputs, with the gradients of the loss."""
    outs = [run(ids) for ids in inputs]
    wide = [[x if x.dtype == torch.float64 else x.float() for x in pair] for pair in outs]      # losses are never bf16
    if spec.rewards:
        reward = torch.stack([score[-1, 0] for _, score in wide])
        loss = torch.nn.functional.softplus(reward[1::2] - reward[0::2]).mean()                 # 0 beats 1, 2 beats 3
        out = {"pooled": torch.stack([hidden[-1] for hidden, _ in wide]), "rewards": reward}
    else:
        chosen = [torch.log_softmax(score[:-1], 1).gather(1, ids[1:, None])[:, 0] for (_, score), ids in zip(wide, inputs)]
        out = {"hidden_states": torch.stack([hidden for hidden, _ in wide]), "logits": torch.stack([s for _, s in wide]),
               "log_probs": torch.stack(chosen)}
        loss = -out["log_probs"].mean()
    out["loss"] = loss
    grads = torch.autograd.grad(loss, list(params.values()))
    out.update({"grad." + name: g for name, g in zip(params, grads)})
    return {name: x.detach().clone() for name, x in out.items()}


def of_library(spec, folder, inputs, kind, attention):
    model = spec.cls.from_pretrained(folder, dtype=kind, attn_implementation=attention).eval()
    params = dict(model.named_parameters())

    def run(ids):
        out = model(input_ids=ids[None], use_cache=False, output_hidden_states=True)
        return out.hidden_states[-1][0], out.logits if spec.rewards else out.logits[0]

    out = values(spec, params, run, inputs)
    if not spec.rewards:        # is the loss the one that people get from labels?
        with torch.no_grad():
            batch = torch.stack(inputs)
            theirs = model(input_ids=batch, labels=batch, use_cache=False).loss
        assert torch.allclose(theirs.float(), out["loss"], rtol=1e-5 if kind == torch.float32 else 1e-2), (spec.name, theirs, out["loss"])
    return out


def of_hand(spec, cfg, weights, inputs, kind):
    w = {name: x.to(kind).requires_grad_() for name, x in weights.items()}
    return values(spec, w, lambda ids: by_hand(cfg, w, ids), inputs)


def errors(runs, truth):
    """The largest error of any of the runs, in parts of the tensor's largest value: of all gradients together one figure, and for
    rewards and the loss, few values whose error may be small by luck, at least that of what they are made of."""
    out = {}
    for run in runs:
        for name, want in truth.items():
            e = ((run[name].double() - want).abs().max() / want.abs().max()).item()
            assert math.isfinite(e), name
            name = "grad" if name.startswith("grad.") else name
            out[name] = max(e, out.get(name, 0))
    if "rewards" in out:
        out["rewards"] = max(out["rewards"], out["pooled"])
    out["loss"] = max(out["loss"], out.get("log_probs", 0), out.get("rewards", 0))
    return {name: math.ceil(e * 10 ** d) / 10 ** d for name, e in out.items() for d in [1 - math.floor(math.log10(e))]}


@torch.no_grad()
def greedy(spec, folder, inputs):
    model = spec.cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model.generation_config.eos_token_id = None     # it goes on to the end
    start = torch.stack(inputs)[:, :PROMPT]
    ids = model.generate(start, attention_mask=torch.ones_like(start), max_new_tokens=NEW, do_sample=False, pad_token_id=0)
    best = model(input_ids=ids, use_cache=False).logits[:, PROMPT - 1:-1].topk(2).values
    lead = (best[..., 0] - best[..., 1]).min().item()
    assert lead > 1e-3, f"{spec.name}: rounding may decide a greedy choice (lead {lead}): take another seed"
    return ids[:, PROMPT:].contiguous()


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def respelled(saved):
    """config.json as files were before transformers 5."""
    rope = saved.pop("rope_parameters")
    if "full_attention" in rope:                    # Gemma 3
        saved["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    saved["rope_theta"] = rope.pop("rope_theta")
    if "partial_rotary_factor" in rope:             # Phi 3
        saved["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
        saved["original_max_position_embeddings"] = rope.pop("original_max_position_embeddings")
    saved["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    return saved


def save_model(spec, folder):
    """Writes config.json and the weights with the library's own writer."""
    kind = str(spec.stored).removeprefix("torch.")
    common = dict(num_hidden_layers=2, bos_token_id=1, pad_token_id=None)
    cfg = spec.cls.config_class(**{"eos_token_id": 2, **common, **spec.config}, dtype=kind)
    model = spec.cls(cfg)
    rng = np.random.RandomState(spec.seed)          # a stream that numpy promises never to change
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            p.copy_(torch.from_numpy(weight(name, tuple(p.shape), rng, cfg.model_type.startswith("gemma"))))
    model.to(spec.stored).save_pretrained(folder, max_shard_size=spec.shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if spec.old_rope:
        saved = respelled(json.loads((folder / "config.json").read_text()))
        if spec.name == "llama":
            del saved["head_dim"]                   # older files leave it to the reader
        write_json(folder / "config.json", saved)
    return [torch.from_numpy(rng.randint(0, cfg.vocab_size, n)) for n in spec.lengths]


def make_model(spec, folder):
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():                    # other sizes may give other shards
        old.unlink()
    inputs = save_model(spec, folder)
    cfg = spec.cls.config_class.from_pretrained(folder)
    weights = {name: x for file in sorted(folder.glob("*.safetensors")) for name, x in load_file(file).items()}

    truth = of_hand(spec, cfg, weights, inputs, torch.float64)
    single = [of_library(spec, folder, inputs, torch.float32, a) for a in spec.attention] + [of_hand(spec, cfg, weights, inputs, torch.float32)]
    half = [of_library(spec, folder, inputs, torch.bfloat16, a) for a in spec.attention]
    error = {"float32": errors(single, truth), "bfloat16": errors(half, truth)}
    assert max(error["float32"].values()) < 2e-5, f"{spec.name}: the library computes something else than by_hand: {error}"
    write_json(folder / "error.json", error)

    reference = single[0]
    if spec.rewards:
        reference.update({f"input_ids.{i}": ids for i, ids in enumerate(inputs)})
    else:
        reference["input_ids"] = torch.stack(inputs)
        reference["greedy_ids"] = greedy(spec, folder, inputs)
    save_file(reference, folder / "reference.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    print(f"{spec.name}: loss {reference['loss'].item():.4f}, errors {error}")


def make(out):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for spec in MODELS:
        make_model(spec, out / spec.name)
