"""Tiny models with random weights, and what transformers computes from them."""
import json
import math
from dataclasses import dataclass

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

# Of the four planes of a head of 8, the first turns too fast to be stretched, the second is blended, the others are
# divided by the factor: every branch of the llama3 rule counts.
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=256)


def plain_rope(theta):
    return dict(rope_type="default", rope_theta=theta)


@dataclass
class Model:
    name: str
    cls: type
    seed: int
    lengths: tuple          # of the sequences; those of a causal model are equal, as they run as one batch
    config: dict
    stored: torch.dtype     # of the weights in the file
    old_rope: bool = False  # config.json spells rope_theta and rope_scaling, as files did before transformers 5
    shard: str = "1GB"      # largest file of weights

    @property
    def rewards(self):
        return self.cls is transformers.LlamaForSequenceClassification


# Small heads of few planes keep the files small; nothing is a multiple of 64, so every kernel meets its edges.
MODELS = [
    Model("llama", transformers.LlamaForCausalLM, 101, (36, 36), dict(
        vocab_size=72, hidden_size=32, intermediate_size=32, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
        max_position_embeddings=2048, rope_parameters=LLAMA3, eos_token_id=[2, 3]), torch.float32, old_rope=True),
    Model("llama_tied", transformers.LlamaForCausalLM, 102, (33, 33), dict(
        vocab_size=97, hidden_size=24, intermediate_size=40, num_attention_heads=3, num_key_value_heads=1, rms_norm_eps=1e-6,
        max_position_embeddings=64, rope_parameters=plain_rope(10000.0), tie_word_embeddings=True), torch.bfloat16),
    Model("mistral", transformers.MistralForCausalLM, 103, (20, 20), dict(
        vocab_size=64, hidden_size=24, intermediate_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5,
        max_position_embeddings=128, sliding_window=None, rope_parameters=plain_rope(1000000.0)), torch.bfloat16, old_rope=True, shard="12KB"),
    Model("llama_reward", transformers.LlamaForSequenceClassification, 104, (6, 36, 19, 1), dict(
        vocab_size=64, hidden_size=24, intermediate_size=40, num_attention_heads=3, num_key_value_heads=3, rms_norm_eps=1e-5,
        max_position_embeddings=2048, rope_parameters=LLAMA3, num_labels=1), torch.bfloat16),
]
PROMPT, NEW = 16, 16    # greedy: so many first ids are given, so many are asked for


def weight(name, shape, rng):
    """Random weights under which a mistake shows. Scores that are far from equal make attention sharp, norms that are far
    from 1 show in every channel, and embeddings are so small that epsilon counts."""
    x = rng.standard_normal(shape)
    if "norm" in name:
        return 1 + x / 4
    if "embed_tokens" in name:
        return x / 16
    wide = any(part in name for part in ("q_proj", "k_proj", "lm_head"))
    return x * (1.6 if wide else 1.0) / math.sqrt(shape[-1])


def by_hand(cfg, w, ids):
    """The model written out for one sequence, in the precision of w: hidden states after the last norm, and what the head
    makes of them. In float64 it is the truth; in float32 it is one more plain implementation."""
    size, heads, groups = cfg.head_dim, cfg.num_attention_heads, cfg.num_key_value_heads
    kind = w["model.norm.weight"].dtype

    def norm(x, name):
        return x * torch.rsqrt((x * x).mean(1, keepdim=True) + cfg.rms_norm_eps) * w[name]

    def turned(x, at):                              # channels i and i + size/2 are the parts of a complex number
        z = torch.complex(x[:, : size // 2], x[:, size // 2:]) * at
        return torch.cat((z.real, z.imag), 1)

    angle = torch.outer(torch.arange(len(ids), dtype=kind), frequencies(cfg).to(kind))
    at = torch.polar(torch.ones_like(angle), angle)
    future = torch.triu(torch.full((len(ids), len(ids)), -math.inf, dtype=kind), 1)
    x = w["model.embed_tokens.weight"][ids]
    for i in range(cfg.num_hidden_layers):
        at_layer = f"model.layers.{i}."
        h = norm(x, at_layer + "input_layernorm.weight")
        q, k, v = ((h @ w[f"{at_layer}self_attn.{n}_proj.weight"].T).split(size, 1) for n in "qkv")
        outs = []
        for head in range(heads):
            g = head * groups // heads
            score = turned(q[head], at) @ turned(k[g], at).T / math.sqrt(size)
            outs.append(torch.softmax(score + future, 1) @ v[g])
        x = x + torch.cat(outs, 1) @ w[at_layer + "self_attn.o_proj.weight"].T
        h = norm(x, at_layer + "post_attention_layernorm.weight")
        gate, up = (h @ w[f"{at_layer}mlp.{n}_proj.weight"].T for n in ("gate", "up"))
        x = x + (gate * torch.sigmoid(gate) * up) @ w[at_layer + "mlp.down_proj.weight"].T
    x = norm(x, "model.norm.weight")
    head = next(n for n in ("lm_head.weight", "score.weight", "model.embed_tokens.weight") if n in w)
    return x, x @ w[head].T


def frequencies(cfg):
    """Radians per position of each plane, in float64."""
    rope = cfg.rope_parameters
    out = []
    for i in range(cfg.head_dim // 2):
        f = rope["rope_theta"] ** (-2 * i / cfg.head_dim)
        if rope["rope_type"] == "llama3":
            turns = f * rope["original_max_position_embeddings"] / (2 * math.pi)
            low, high = rope["low_freq_factor"], rope["high_freq_factor"]
            kept = min(1, max(0, (turns - low) / (high - low)))
            f = f * kept + f / rope["factor"] * (1 - kept)
        out.append(f)
    return torch.tensor(out, dtype=torch.float64)


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
    """The largest error of any of the runs, in parts of the tensor's largest value: of all gradients together one figure,
    and for the loss, which is a mean whose error may be small by luck, at least that of what it is the mean of."""
    out = {}
    for run in runs:
        for name, want in truth.items():
            e = ((run[name].double() - want).abs().max() / want.abs().max()).item()
            assert math.isfinite(e), name
            name = "grad" if name.startswith("grad.") else name
            out[name] = max(e, out.get(name, 0))
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


def save_model(spec, folder):
    """Writes config.json and the weights with the library's own writer."""
    kind = str(spec.stored).removeprefix("torch.")
    common = dict(num_hidden_layers=2, bos_token_id=1, pad_token_id=None)
    cfg = spec.cls.config_class(**{"eos_token_id": 2, **common, **spec.config}, dtype=kind)
    model = spec.cls(cfg)
    rng = np.random.RandomState(spec.seed)          # a stream that numpy promises never to change
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            p.copy_(torch.from_numpy(weight(name, tuple(p.shape), rng)))
    model.to(spec.stored).save_pretrained(folder, max_shard_size=spec.shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if spec.old_rope:
        saved = json.loads((folder / "config.json").read_text())
        rope = saved.pop("rope_parameters")
        saved["rope_theta"] = rope.pop("rope_theta")
        saved["rope_scaling"] = rope if rope["rope_type"] != "default" else None
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
    cfg.head_dim = cfg.head_dim or cfg.hidden_size // cfg.num_attention_heads
    weights = {name: x for file in sorted(folder.glob("*.safetensors")) for name, x in load_file(file).items()}

    truth = of_hand(spec, cfg, weights, inputs, torch.float64)
    single = [of_library(spec, folder, inputs, torch.float32, a) for a in ("eager", "sdpa")] + [of_hand(spec, cfg, weights, inputs, torch.float32)]
    half = [of_library(spec, folder, inputs, torch.bfloat16, a) for a in ("eager", "sdpa")]
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
