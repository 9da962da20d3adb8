"""Models that see images, as transformers saves them, and the logits of texts: `criticrm convert` takes the text part out."""
import numpy as np
import torch
import transformers as T
from safetensors.torch import save_file

import specs

EYE = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8)
TEXT = dict(vocab_size=64, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=256)


def mistral3():
    rope = dict(specs.YARN, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1)
    text = T.Ministral3Config(**TEXT, sliding_window=None, rope_parameters=rope)
    return T.Mistral3ForConditionalGeneration(T.Mistral3Config(vision_config=T.PixtralVisionConfig(**EYE), text_config=text, image_token_index=10, tie_word_embeddings=False))


def gemma3():
    text = dict(TEXT, sliding_window=8, layer_types=["sliding_attention", "full_attention"])
    return T.Gemma3ForConditionalGeneration(T.Gemma3Config(vision_config=EYE, text_config=text, image_token_index=10, boi_token_index=11, eoi_token_index=12, mm_tokens_per_image=4))


def make(out):
    for seed, build in enumerate((mistral3, gemma3), 501):
        folder, model, rng = out / f"seeing_{build.__name__}", build(), np.random.RandomState(seed)
        for p in model.parameters():
            p.data = torch.from_numpy(rng.standard_normal(tuple(p.shape)) * 0.2).bfloat16()
        model.bfloat16().save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        ids = torch.from_numpy(rng.randint(13, 64, (2, 24)))        # no token of an image
        model = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            logits = model(input_ids=ids).logits
        save_file({"input_ids": ids, "logits": logits.contiguous()}, folder / "reference.safetensors")
        for file in folder.iterdir():
            file.chmod(0o644)
        print(f"{folder.name}: {model.num_parameters()} parameters")
