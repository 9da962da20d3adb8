"""The models written out for one sequence, in the precision of the weights. In float64 it is the truth; in float32 it is one more plain
implementation. What a layer has is read off the names of its weights."""
import math

import torch


def by_hand(cfg, w, ids):
    """Hidden states after the last norm, and what the head makes of them."""
    heads, groups = cfg.num_attention_heads, cfg.num_key_value_heads
    size = head_size(cfg)
    gemma = cfg.model_type.startswith("gemma")
    kind = w["model.norm.weight"].dtype
    scale = getattr(cfg, "attention_multiplier", None) or (getattr(cfg, "query_pre_attn_scalar", None) or size) ** -0.5
    residual = getattr(cfg, "residual_multiplier", 1.0)

    def norm(x, name):
        if name not in w:
            return x
        y = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + cfg.rms_norm_eps)
        return y * (1 + w[name] if gemma else w[name])

    def linear(x, name):
        y = x @ w[name + ".weight"].T
        return y + w[name + ".bias"] if name + ".bias" in w else y

    def split(x, at, names, fused, sizes):
        if at + fused + ".weight" in w:
            return linear(x, at + fused).split(sizes, 1)
        return [linear(x, at + name) for name in names]

    def cap(x, limit):
        return x if limit is None else limit * torch.tanh(x / limit)

    far = torch.arange(len(ids))[:, None] - torch.arange(len(ids))[None, :]
    x = w["model.embed_tokens.weight"][ids] * getattr(cfg, "embedding_multiplier", math.sqrt(cfg.hidden_size) if gemma else 1.0)
    for i in range(cfg.num_hidden_layers):
        at = f"model.layers.{i}."
        four = at + "pre_feedforward_layernorm.weight" in w or at + "input_layernorm.weight" not in w   # or two, after their parts
        window, rope = layer(cfg, i)
        hidden = (far < 0) | (far >= (window or len(ids)))
        h = norm(x, at + "input_layernorm.weight")
        q, k, v = split(h, at + "self_attn.", ("q_proj", "k_proj", "v_proj"), "qkv_proj", [heads * size, groups * size, groups * size])
        whole = w.get(at + "self_attn.q_norm.weight", q[0]).shape[0] == heads * size
        if whole:
            q, k = norm(q, at + "self_attn.q_norm.weight"), norm(k, at + "self_attn.k_norm.weight")
        q, k, v = (y.view(len(ids), -1, size).transpose(0, 1) for y in (q, k, v))                       # (heads, n, size)
        if not whole:
            q, k = norm(q, at + "self_attn.q_norm.weight"), norm(k, at + "self_attn.k_norm.weight")
        if rope is not None:
            q, k = turned(q, rope, kind), turned(k, rope, kind)
        outs = []
        for head in range(heads):
            g = head * groups // heads
            score = cap(q[head] @ k[g].T * scale, getattr(cfg, "attn_logit_softcapping", None))
            outs.append(torch.softmax(score.masked_fill(hidden, -math.inf), 1) @ v[g])
        h = linear(torch.cat(outs, 1), at + "self_attn.o_proj")
        x = x + residual * (norm(h, at + "post_attention_layernorm.weight") if four else h)
        h = norm(x, at + ("pre_feedforward_layernorm.weight" if four else "post_attention_layernorm.weight"))
        gate, up = split(h, at + "mlp.", ("gate_proj", "up_proj"), "gate_up_proj", cfg.intermediate_size)
        act = gate * torch.sigmoid(gate)
        if gemma:
            act = gate / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate ** 3)))
        x = x + residual * norm(linear(act * up, at + "mlp.down_proj"), at + "post_feedforward_layernorm.weight")
    x = norm(x, "model.norm.weight")
    if "score.weight" in w:
        return x, x @ w["score.weight"].T
    logits = x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T / getattr(cfg, "logits_scaling", 1.0)
    return x, cap(logits, getattr(cfg, "final_logit_softcapping", None))


def head_size(cfg):
    return getattr(cfg, "head_dim", None) or cfg.hidden_size // cfg.num_attention_heads


def layer(cfg, i):
    """A layer's window, or None, and how positions turn it: frequencies, and a factor of cosines and sines; or None."""
    types = getattr(cfg, "layer_types", None)
    window = getattr(cfg, "sliding_window", None) if cfg.model_type in ("mistral", "ministral3", "phi3") or types and types[i] == "sliding_attention" else None
    if not getattr(cfg, "no_rope_layers", [1] * (i + 1))[i]:
        return window, None
    rope = cfg.rope_parameters
    return window, frequencies(cfg, rope if "rope_type" in rope else rope[types[i]])


def turned(x, rope, kind):
    """Of (heads, n, size), channels i and i + planes are the parts of a complex number; channels beyond stay."""
    inverse, factor = rope
    planes = len(inverse)
    angle = torch.outer(torch.arange(x.shape[1], dtype=kind), inverse.to(kind))
    z = torch.complex(x[..., :planes], x[..., planes:2 * planes]) * torch.polar(torch.full_like(angle, factor), angle)
    return torch.cat((z.real, z.imag, x[..., 2 * planes:]), 2)


def frequencies(cfg, rope):
    """Radians per position of each plane, in float64, and what cosines and sines are multiplied by."""
    size = int(head_size(cfg) * rope.get("partial_rotary_factor", 1.0))
    kind, theta, factor = rope["rope_type"], rope["rope_theta"], rope.get("factor")
    original = rope.get("original_max_position_embeddings")
    amplitude = 1.0
    if kind == "yarn":
        def scale(m):
            return 0.1 * m * math.log(factor) + 1
        usual = scale(1)
        if rope.get("mscale") and rope.get("mscale_all_dim"):
            usual = scale(rope["mscale"]) / scale(rope["mscale_all_dim"])
        amplitude = rope.get("attention_factor") or usual
        low, high = (size * math.log(original / (2 * math.pi * turns)) / (2 * math.log(theta)) for turns in (rope.get("beta_fast", 32), rope.get("beta_slow", 1)))
        if rope.get("truncate", True):
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, size - 1)
    if kind == "longrope":
        amplitude = rope.get("attention_factor") or math.sqrt(1 + math.log(factor or cfg.max_position_embeddings / original) / math.log(original))
    out = []
    for i in range(size // 2):
        f = theta ** (-2 * i / size)
        if kind == "linear":
            f = f / factor
        if kind == "llama3":
            turns = f * original / (2 * math.pi)
            low, high = rope["low_freq_factor"], rope["high_freq_factor"]
            kept = min(1, max(0, (turns - low) / (high - low)))
            f = f * kept + f / factor * (1 - kept)
        if kind == "yarn":
            stretched = min(1, max(0, (i - low) / (high - low)))
            f = f / factor * stretched + f * (1 - stretched)
        if kind == "longrope":
            f = f / rope["short_factor"][i]
        out.append(f)
    return torch.tensor(out, dtype=torch.float64), amplitude
