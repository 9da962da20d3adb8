"""The tiny models: one line of settings each. Small heads of few planes keep the files small; nothing is a multiple of 64, so every
kernel meets its edges; windows are shorter than the texts."""
from dataclasses import dataclass

import torch
import transformers

# Of the four planes of a head of 8, the first turns too fast to be stretched, the second is blended, the others are
# divided by the factor: every branch of the llama3 rule counts.
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=256)
# Every branch of the rule counts here, too: plane 0 is kept, plane 1 blended, 2 and 3 are divided.
YARN = dict(rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=64, beta_fast=4.0, beta_slow=1.0)


def plain_rope(theta):
    return dict(rope_type="default", rope_theta=theta)


def long_rope(planes, **more):
    return dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1 + 0.25 * i for i in range(planes)],
                long_factor=[2 + 0.5 * i for i in range(planes)], **more)


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
    attention: tuple = ("eager", "sdpa")    # what the library can compute it with

    @property
    def rewards(self):
        return self.cls.__name__.endswith("ForSequenceClassification")


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


def small(name, cls, seed, config, **more):
    """Two layers of width 24 with 3 heads of 8 on 1 key head, where config says nothing else."""
    sizes = dict(vocab_size=64, hidden_size=24, intermediate_size=32, num_attention_heads=3, num_key_value_heads=1, rms_norm_eps=1e-5,
                 max_position_embeddings=256, rope_parameters=plain_rope(10000.0))
    lengths = (6, 36, 19, 1) if cls.__name__.endswith("ForSequenceClassification") else (34, 34)
    MODELS.append(Model(name, cls, seed, lengths, {**sizes, **config}, torch.bfloat16, **more))


def both(name, causal, classifier, seed, config, **more):
    small(name, causal, seed, config, **more)
    small(name + "_reward", classifier, seed + 1, {**config, "num_labels": 1}, **more)


small("llama_linear", transformers.LlamaForCausalLM, 111, dict(rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)), old_rope=True)
small("llama_dynamic", transformers.LlamaForCausalLM, 112, dict(rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0)), old_rope=True)
small("llama_yarn", transformers.LlamaForCausalLM, 113, dict(rope_parameters=YARN), old_rope=True)
small("llama_longrope", transformers.LlamaForCausalLM, 114, dict(rope_parameters=long_rope(4, original_max_position_embeddings=64)))
both("smollm3", transformers.SmolLM3ForCausalLM, transformers.SmolLM3ForSequenceClassification, 221, dict(
    no_rope_layers=[1, 0], use_sliding_window=True, sliding_window=10))
small("mistral_window", transformers.MistralForCausalLM, 123, dict(sliding_window=9), old_rope=True)
both("ministral", transformers.MinistralForCausalLM, transformers.MinistralForSequenceClassification, 125, dict(
    sliding_window=7, head_dim=16, num_attention_heads=2, layer_types=["sliding_attention", "full_attention"]))
both("ministral3", transformers.Ministral3ForCausalLM, transformers.Ministral3ForSequenceClassification, 145, dict(
    head_dim=16, num_attention_heads=2, sliding_window=11, rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1)))
both("qwen3", transformers.Qwen3ForCausalLM, transformers.Qwen3ForSequenceClassification, 129, dict(
    head_dim=16, num_attention_heads=4, num_key_value_heads=2, rope_parameters=dict(YARN, beta_fast=6.0, mscale=1.5, mscale_all_dim=0.5, truncate=False)))
both("phi3", transformers.Phi3ForCausalLM, transformers.Phi3ForSequenceClassification, 135, dict(
    sliding_window=13, original_max_position_embeddings=64,
    rope_parameters=long_rope(3, original_max_position_embeddings=64, partial_rotary_factor=0.75)), old_rope=True)
both("olmo2", transformers.Olmo2ForCausalLM, transformers.Olmo2ForSequenceClassification, 137, dict(
    num_attention_heads=3, num_key_value_heads=3))
both("olmo3", transformers.Olmo3ForCausalLM, transformers.Olmo3ForSequenceClassification, 139, dict(
    sliding_window=8, layer_types=["sliding_attention", "full_attention"],
    rope_parameters=dict(sliding_attention=plain_rope(1000.0), full_attention=YARN)))
small("llama_bias", transformers.LlamaForCausalLM, 115, dict(attention_bias=True, mlp_bias=True))
both("qwen2", transformers.Qwen2ForCausalLM, transformers.Qwen2ForSequenceClassification, 127, dict(
    use_sliding_window=True, sliding_window=11, max_window_layers=1, tie_word_embeddings=True), old_rope=True)
both("gemma2", transformers.Gemma2ForCausalLM, transformers.Gemma2ForSequenceClassification, 231, dict(
    head_dim=16, query_pre_attn_scalar=6, sliding_window=8, attn_logit_softcapping=3.0, final_logit_softcapping=4.0), attention=("eager",))
both("gemma3", transformers.Gemma3ForCausalLM, transformers.Gemma3TextForSequenceClassification, 133, dict(
    num_hidden_layers=3, head_dim=16, query_pre_attn_scalar=20, sliding_window=9, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    rope_parameters=dict(sliding_attention=plain_rope(100.0), full_attention=dict(rope_type="linear", rope_theta=10000.0, factor=4.0))), old_rope=True)
small("granite", transformers.GraniteForCausalLM, 241, dict(
    embedding_multiplier=6.0, residual_multiplier=0.7, attention_multiplier=0.2, logits_scaling=3.0, tie_word_embeddings=True, attention_bias=True))
