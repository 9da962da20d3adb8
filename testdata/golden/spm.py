"""Model directories that have a SentencePiece model in the place of a tokenizer.json, and what transformers makes of strings with
the fast tokenizer that it makes of each."""
import contextlib
import io
import json
import tempfile

import numpy as np
import sentencepiece
from transformers import AutoTokenizer

import kinds
import texts

PLAIN = dict(normalization_rule_name="identity", remove_extra_whitespaces=False, byte_fallback=True, split_digits=True, allow_whitespace_only_pieces=True, character_coverage=0.995)
MODELS = {
    "llama": dict(PLAIN, model_type="bpe", vocab_size=520),
    "gemma": dict(PLAIN, model_type="bpe", vocab_size=540, add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", bos_piece="<bos>", eos_piece="<eos>",
                  user_defined_symbols=["<mask>", "<unused0>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "▁▁", "<b>"]),
    "words": dict(model_type="bpe", vocab_size=330, user_defined_symbols=["<sep>", ".."], control_symbols=["<ctl>"], rules=True),
    "scores": dict(model_type="unigram", vocab_size=330, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, rules=True),
    "score_bytes": dict(PLAIN, model_type="unigram", vocab_size=470),
}
LLAMA = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def added(content, special=True, **flags):
    return dict({"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": special}, **flags)


# name: model, files beside it
DIRECTORIES = {
    "llama": ("llama", {"tokenizer_config.json": LLAMA, "config.json": {"model_type": "llama"}}),
    "llama_legacy": ("llama", {"tokenizer_config.json": {**LLAMA, "legacy": True, "add_bos_token": True}, "config.json": {"model_type": "llama"}}),
    "llama_bare": ("llama", {"tokenizer_config.json": {**LLAMA, "add_prefix_space": False}}),
    "llama_added": ("llama", {"tokenizer_config.json": {**LLAMA, "pad_token": "<pad>"}, "added_tokens.json": {"<|im_start|>": 520, "<|im_end|>": 521, "<pad>": 522},
                              "special_tokens_map.json": {"pad_token": "<pad>"}, "config.json": {"model_type": "llama"}}),
    "llama_decoder": ("llama", {"tokenizer_config.json": {**LLAMA, "added_tokens_decoder": {"0": added("<unk>"), "1": added("<s>"), "2": added("</s>"), "520": added("<pad>"),
                                                                                          "521": added("<think>", special=False, rstrip=True)}}}),
    "mistral": ("llama", {"tokenizer_config.json": {**LLAMA, "legacy": False, "add_bos_token": True}, "config.json": {"model_type": "mistral"}}),
    "plain": ("llama", {}),
    "renamed": ("llama", {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {"5": added("[INST]"), "520": added("<tool>", special=False, normalized=True)}}}),
    "gemma": ("gemma", {"tokenizer_config.json": {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True}, "config.json": {"model_type": "gemma"}}),
    "gemma_type": ("gemma", {"config.json": {"model_type": "gemma2"}}),
    "words": ("words", {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}),
    "words_llama": ("words", {"tokenizer_config.json": LLAMA}),
    "scores": ("scores", {"tokenizer_config.json": {"legacy": False}}),
    "score_bytes": ("score_bytes", {}),
}


def learn(corpus, rules=False, **settings):
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), open("rules.tsv", "w") as file:     # the model holds the name
        if rules:       # the library's own take a quarter of a megabyte
            for key, value in kinds.RULES.items():
                if key == value:        # not allowed here
                    continue
                file.write(" ".join(f"{ord(c):X}" for c in key) + "\t" + " ".join(f"{ord(c):X}" for c in value) + "\n")
            file.flush()
            settings["normalization_rule_tsv"] = file.name
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model, num_threads=1, minloglevel=2, **settings)
    return model.getvalue()


def make(out):
    corpus = list(texts.prose(np.random.RandomState(301), 3000))
    models = {name: learn(corpus, **settings) for name, settings in MODELS.items()}
    folder = out / "spm"
    folder.mkdir(exist_ok=True)
    for seed, (name, (model, files)) in enumerate(DIRECTORIES.items(), 401):
        directory = folder / name
        directory.mkdir(exist_ok=True)
        for old in directory.iterdir():
            old.unlink()
        (directory / "tokenizer.model").write_bytes(models[model])
        for file, content in files.items():
            (directory / file).write_text(json.dumps(content) + "\n")
        tok = AutoTokenizer.from_pretrained(directory)
        begin = [tok.bos_token] if tok.add_bos_token else []
        tok = tok.backend_tokenizer
        contents = [t.content for t in tok.get_added_tokens_decoder().values()]
        rows = [kinds.row(tok, text) for text in texts.kind_strings(np.random.RandomState(seed), contents)]
        texts.write_lines(directory / "strings.jsonl", [{"begin": begin}, *rows])
        print(f"{name}: {tok.get_vocab_size()} tokens, {len(rows)} strings")


if __name__ == "__main__":
    from pathlib import Path
    make(Path(__file__).resolve().parent)
