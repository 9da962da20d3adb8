"""Small tokenizers of every kind that published models have, and what the tokenizers library makes of strings. One entry of KINDS
is one kind. `python kinds.py TOKENIZER` answers lines of strings instead: see answer()."""
import json
import sys
from array import array
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    "qwen35": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "tekken": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
             "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
DEEPSEEK_CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]
LATIN = ("A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭ"
         "ℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")
DEEPSEEK_LLM = ["[\r\n]", r"\s?[" + LATIN + "]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+"]


def split(*patterns):
    return [pre_tokenizers.Split(Regex(p), behavior="isolated") for p in patterns]


def digits():
    return pre_tokenizers.Digits(individual_digits=True)


def control(*texts, **flags):
    return [AddedToken(t, special=True, normalized=False, **flags) for t in texts]


def open_tokens(*texts, normalized=False, **flags):
    return [AddedToken(t, special=False, normalized=normalized, **flags) for t in texts]


# ------------------------------------------------------------------------------------- byte-level

def byte_level(steps, corpus, size=400, added=(), normalizer=None, missing=(), unk=None, fuse=False, begin=None, regex=False, space=False):
    """Merges of bytes. missing: bytes that the vocabulary lacks."""
    before = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=space, use_regex=regex)])
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer, learner.normalizer = before, normalizer
    learner.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    lost = {pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(chr(b))[0][0][-1] for b in missing}
    vocab = [t for t in learned["vocab"] if not lost & set(t)] + ([unk] if unk else [])
    vocab = {t: i for i, t in enumerate(vocab)}
    merges = [tuple(m) for m in learned["merges"] if not lost & set(m[0] + m[1])]
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token=unk, fuse_unk=fuse))
    tok.pre_tokenizer, tok.normalizer, tok.decoder = before, normalizer, decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    tok.add_tokens(list(added))
    if begin:
        tok.post_processor = processors.RobertaProcessing(("</s>", tok.token_to_id("</s>")), (begin, tok.token_to_id(begin)))
    return tok


CHATML = control("<|endoftext|>", "<|im_start|>", "<|im_end|>")
THINK = open_tokens("<tool_call>", "</tool_call>", "<think>", "</think>")

# ------------------------------------------------------------------------------------- characters, as SentencePiece has them

def characters(corpus, normalizer, before, decoder, size=560, fallback=range(256), fuse=True, unk="<unk>", added=(), begin="<s>", learn=None, ignore=False):
    """Merges of characters. fallback: bytes that have a token."""
    learner = Tokenizer(models.BPE(unk_token=unk))
    learner.normalizer, learner.pre_tokenizer = normalizer, learn or pre_tokenizers.Metaspace()
    learner.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in fallback]
    vocab = {t: i for i, t in enumerate(names)}
    for t in learned["vocab"]:
        vocab.setdefault(t, len(vocab))
    tok = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(m) for m in learned["merges"]], unk_token=unk, fuse_unk=fuse, byte_fallback=len(fallback) > 0, ignore_merges=ignore))
    tok.normalizer, tok.decoder = normalizer, decoder
    if before:
        tok.pre_tokenizer = before
    tok.add_tokens(control("<unk>", "<s>", "</s>"))
    tok.add_tokens(list(added))
    if begin:
        tok.post_processor = processors.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1", special_tokens=[(begin, tok.token_to_id(begin))])
    return tok


def spaces(strip=True):
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] + ([decoders.Strip(" ", 1, 0)] if strip else []))


def marked(prefix):
    return normalizers.Sequence(([normalizers.Prepend("▁")] if prefix else []) + [normalizers.Replace(" ", "▁")])


# ------------------------------------------------------------------------------------- scores

def scores(corpus, normalizer, before, decoder, size=560, fallback=False, added=()):
    """The vocabulary is one of merges, for the library's trainer of this model has chance in it; scores fall from token to token, and
    stay where three make six."""
    learner = Tokenizer(models.BPE())
    learner.normalizer, learner.pre_tokenizer = normalizer, before or pre_tokenizers.Split("▁", "merged_with_next")
    learner.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    learned = sorted(json.loads(learner.to_str())["model"]["vocab"].items(), key=lambda item: item[1])
    vocab = [(t, 0.0) for t in ["<pad>", "</s>", "<unk>"] + ([f"<0x{b:02X}>" for b in range(256)] if fallback else [])]
    vocab += [(t, -9 + 0.7 * len(t) - (0 if i % 6 == 0 else i / 97)) for t, i in learned]
    tok = Tokenizer(models.Unigram(vocab, 2, fallback))
    tok.normalizer, tok.pre_tokenizer, tok.decoder = normalizer, before, decoder
    tok.add_tokens(control("<pad>", "</s>", "<unk>"))
    tok.add_tokens(list(added))
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return tok


def charsmap(rules):
    """SentencePiece's precompiled_charsmap of rules: a double array of the keys, laid out one after the other, and the texts."""
    import struct
    texts, at = b"", {}
    for value in rules.values():
        if value not in at:
            at[value] = len(texts)
            texts += value.encode() + b"\0"
    root = {}
    for key, value in rules.items():
        node = root
        for b in key.encode():
            node = node.setdefault(b, {})
        node[None] = at[value]
    units, used = {0: 0}, {0}

    def place(node, index):
        """Puts the children of the node at index where all of their places are free."""
        labels = [0 if b is None else b for b in node]
        base = next(base for base in range(1, 1 << 20) if all(base ^ label ^ 0 not in used for label in labels))
        used.update(base ^ label for label in labels)
        units[index] |= (index ^ base) << 10 | (1 << 8 if None in node else 0)
        for b, child in node.items():
            if b is None:
                units[base] = child | 1 << 31
            else:
                units[base ^ b] = b
        for b, child in node.items():
            if b is not None:
                place(child, base ^ b)

    place(root, 0)
    size = (max(units) // 256 + 1) * 256     # what is looked up stays inside of a block
    return struct.pack("<I", 4 * size) + struct.pack(f"<{size}I", *(units.get(i, 0) for i in range(size))) + texts


RULES = {"ﬁ": "fi", "①": "1", "\t": " ", "\n": " ", "\r": " ", "\u3000": " ", "\u00a0": " ", "e\u0301": "é", "Ａ": "A", "\u200b": "", "ﾊﾞ": "バ", "ß": "ss", "é": "é", "℃": "°C", "\u0301": "", "🏽": "*"}

KINDS = {
    "gpt2": lambda c: byte_level([], c, regex=True, added=control("<|endoftext|>")),
    "roberta": lambda c: byte_level([], c, regex=True, space=True, added=control("<s>", "</s>") + control("<mask>", lstrip=True), begin="<s>"),
    "smollm": lambda c: byte_level([digits()], c, regex=True, missing=[4, 6, 0xCE, 0xF0, 0xF1, 0xFF], added=CHATML),
    "smollm_unk": lambda c: byte_level([digits()], c, regex=True, missing=[4, 6, 0xCE, 0xF0, 0xF1, 0xFF], unk="<unk>", added=CHATML),
    "smollm_fuse": lambda c: byte_level([digits()], c, regex=True, missing=[4, 6, 0xCE, 0xF0, 0xF1, 0xFF], unk="<unk>", fuse=True, added=CHATML),
    "digit_runs": lambda c: byte_level([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=False), *split("[0-9][0-9][0-9]")], c),
    "qwen3": lambda c: byte_level(split(LLAMA3.replace("{1,3}", "")), c, normalizer=normalizers.NFC(), added=CHATML + THINK),
    "qwen35": lambda c: byte_level(split(PATTERNS["qwen35"]), c, normalizer=normalizers.NFC(), added=CHATML + THINK),
    "cl100k": lambda c: byte_level(split(PATTERNS["cl100k"]), c, added=CHATML),
    "o200k": lambda c: byte_level(split(PATTERNS["o200k"]), c, added=control("<|start|>", "<|end|>")),
    "tekken": lambda c: byte_level(split(PATTERNS["tekken"]), c, added=control("<s>", "</s>", "[INST]", "[/INST]")),
    "deepseek3": lambda c: byte_level(split(*DEEPSEEK3), c, added=control("<｜begin▁of▁sentence｜>") + open_tokens("<think>", "</think>", normalized=True)),
    "deepseek_coder": lambda c: byte_level([*split(*DEEPSEEK_CODER), digits()], c, added=control("<｜end▁of▁sentence｜>")),
    "deepseek_llm": lambda c: byte_level([*split(*DEEPSEEK_LLM), digits()], c, added=control("<｜end▁of▁sentence｜>")),
    "phi3_flags": lambda c: byte_level(split(LLAMA3), c, added=control("<|end|>", "<|user|>", rstrip=True) + control("<|mask|>", lstrip=True, rstrip=True)
                                       + open_tokens("word", "Wort", single_word=True) + open_tokens("    ", "  ")),
    "lower_nfkc": lambda c: byte_level(split(LLAMA3), c, normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()]),
                                       added=open_tokens("Yesterday", "NoNe", normalized=True) + control("<|end|>")),
    "no_accents": lambda c: byte_level(split(LLAMA3), c, normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Nmt(), normalizers.NFKD()]), added=control("<|end|>")),
    "llama2": lambda c: characters(c, marked(True), None, spaces(), added=control("<|im_end|>") + open_tokens("<think>")),
    "llama2_normalized": lambda c: characters(c, marked(True), None, spaces(), added=open_tokens("<tool>", "old", normalized=True)),
    "llama2_first": lambda c: characters(c, None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), spaces(), added=control("[INST]", "[/INST]")),
    "llama2_always": lambda c: characters(c, None, pre_tokenizers.Metaspace(prepend_scheme="always", split=False), spaces(), added=control("[INST]")),
    "metaspace_split": lambda c: characters(c, None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True), decoders.Metaspace(), fallback=[]),
    "metaspace_never": lambda c: characters(c, None, pre_tokenizers.Metaspace(prepend_scheme="never", split=True), decoders.Metaspace(prepend_scheme="never")),
    "gemma": lambda c: characters(c, marked(False), pre_tokenizers.Split(" ", "merged_with_previous"), spaces(False), learn=pre_tokenizers.Split("▁", "merged_with_next"),
                                  begin="<bos>", added=control("<bos>", "<start_of_turn>", "<end_of_turn>") + open_tokens("▁▁", "▁▁▁", "\n\n", "\n", "<table>")),
    "some_bytes": lambda c: characters(c, marked(True), None, spaces(), fallback=[*range(0x60), *range(0x80, 0xD0)], fuse=False),
    "no_unk": lambda c: characters(c, marked(True), None, spaces(), fallback=[], unk=None),
    "whole_words": lambda c: characters(c, marked(False), pre_tokenizers.Sequence([pre_tokenizers.Metaspace(split=False), *split(r"\.\.\.|\.\.|<b>|▁▁")]), spaces(), ignore=True),
    "joined_words": lambda c: characters(c, marked(True), None, spaces(), learn=pre_tokenizers.Split("q", "merged_with_next")),
    "t5": lambda c: scores(c, normalizers.Sequence([normalizers.Precompiled(charsmap(RULES)), normalizers.Strip(False, True), normalizers.Replace(Regex(" {2,}"), "▁")]),
                           pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), decoders.Metaspace(), added=control("<extra_id_0>", "<extra_id_1>")),
    "unigram": lambda c: scores(c, normalizers.Sequence([normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex(r"\A▁"), "▁▁")]),
                                pre_tokenizers.Metaspace(prepend_scheme="first"), decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)])),
    "unigram_bytes": lambda c: scores(c, normalizers.Replace(" ", "▁"), None, spaces(False), fallback=True),
}


# ------------------------------------------------------------------------------------- strings

def row(tok, text):
    """What the library makes of a text: ids; ids where special tokens are text; both decoded."""
    ids = tok.encode(text, add_special_tokens=False).ids
    tok.encode_special_tokens = True
    plain = tok.encode(text, add_special_tokens=False).ids
    tok.encode_special_tokens = False
    return {"text": text, "ids": ids, "ids_plain": plain, "decoded": tok.decode(ids, skip_special_tokens=False), "decoded_text": tok.decode(ids)}


def answer(path):
    """Each line of stdin has strings. The answer is, in int32, the number of ids of each and the ids, all of it behind its own length;
    then a line with what the ids are decoded to, if that is asked for. With plain, special tokens are text. A directory is opened by
    transformers."""
    if Path(path).is_dir():
        from transformers import AutoTokenizer
        tok = AutoTokenizer.from_pretrained(path).backend_tokenizer
    else:
        tok = Tokenizer.from_file(path)
    for line in sys.stdin:
        asked = json.loads(line)
        tok.encode_special_tokens = asked["plain"]
        ids = [e.ids for e in tok.encode_batch_fast(asked["texts"], add_special_tokens=False)]
        out = array("i")
        for one in ids:
            out.append(len(one))
            out.extend(one)
        decoded = json.dumps(tok.decode_batch(ids, skip_special_tokens=False) if asked["decode"] else [])
        sys.stdout.buffer.write(array("i", [len(out)]).tobytes() + out.tobytes() + decoded.encode() + b"\n")
        sys.stdout.buffer.flush()


def make(out):
    import numpy as np
    import texts

    folder = out / "kinds"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    corpus = list(texts.prose(np.random.RandomState(301), 3000))
    for seed, (name, build) in enumerate(KINDS.items(), 302):
        tok = build(corpus)
        tok.save(str(folder / f"{name}.json"), pretty=False)
        tok = Tokenizer.from_file(str(folder / f"{name}.json"))     # scores are not read back to the last bit
        rng, added = np.random.RandomState(seed), [t.content for t in tok.get_added_tokens_decoder().values()]
        rows = []
        for text in texts.kind_strings(rng, added):
            rows.append(row(tok, text))
        texts.write_lines(folder / f"{name}.jsonl", rows)
        print(f"{name}: {tok.get_vocab_size()} tokens, {len(rows)} strings")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        answer(sys.argv[1])
    else:
        make(Path(__file__).resolve().parent)
