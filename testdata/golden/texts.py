"""Tokenizers learned from text that is made here, and what tokenizers and transformers make of strings and chats."""
import json
import unicodedata
from dataclasses import dataclass

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

# The two patterns that published byte-level tokenizers use most; they differ in how many digits make a piece.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")

LLAMA3_CHAT = (
    "{{ bos_token }}{% for m in messages %}"
    "<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}")

# In its own file, over many lines: the line ends behind tags count for nothing, blanks before them neither.
CHATML_CHAT = """\
{#- ChatML, with a system message of its own where there is none. -#}
{% set brief = 'You judge answers.' %}
{%- for message in messages %}
    {%- if loop.first and message.role != 'system' %}
{{ '<|im_start|>system\\n' + brief + '<|im_end|>\\n' }}
    {%- endif %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('unknown role ' + message.role) }}
    {%- elif message.role == 'assistant' and not loop.last %}
<|im_start|>{{ message.role }}
{{ message.content.strip() }}<|im_end|>
    {% else %}
        {{- '<|im_start|>' ~ message['role'] ~ '\\n' ~ message['content'] ~ '<|im_end|>' }}
    {% endif %}
{%- endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""


@dataclass
class Kind:
    name: str
    digits: str             # the quantifier of a piece of digits
    special: list
    unreachable: list       # in the vocabulary, but no merge leads there: only ignore_merges finds them
    nfc: bool
    begin: bool             # the post-processor puts the first special token in front
    end: str                # the token that ends a turn
    chat: str
    chat_file: bool         # chat_template.jinja, or a field of tokenizer_config.json


KINDS = [
    Kind("tokenizer_llama3", "{1,3}", ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
         [" quixotic", "Quixotic", " μέτρον", "判断する", " " * 17, "\t" * 5, "<=>!", "\r\n\r\n\r\n"], nfc=False, begin=True, end="<|eot_id|>",
         chat=LLAMA3_CHAT, chat_file=False),
    Kind("tokenizer_chatml", "", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], [], nfc=True, begin=False, end="<|im_end|>",
         chat=CHATML_CHAT, chat_file=True),
]
MERGES = 230


# ---------------------------------------------------------------------------------------------------- text to learn from

WORDS = {
    "thing": "basket bridge garden ladder letter lantern mirror needle orchard parcel puzzle river saddle signal stone ticket tunnel window".split(),
    "act": "adds carries checks counts doubles explains finds halves moves names reads rejects repeats sorts subtracts weighs writes".split(),
    "judge": "careful clear correct doubtful harmless helpful honest incomplete misleading polite precise wrong".split(),
    "role": "critic judge reader student teacher writer".split(),
    "join": ["and", "but", "because", "so", "while", "although"],
    "other": ["die Prüfung größer als möglich", "l'élève a déjà réussi", "el año de la niña", "это верный ответ", "η απάντηση είναι σωστή",
              "答案是正确的", "答えは正しい", "정답입니다", "الجواب صحيح", "उत्तर सही है"],
    "code": ["for i in range({n}):\n    total += i\n", "if (x <= {n}) {{ return x; }}\n", "\tresult := f({n})\n", "# case {n}\r\n"],
}


def prose(rng, count):
    """Sentences of a small grammar, with the numbers, quotes, code and line ends that critiques have."""
    def pick(key):
        return WORDS[key][rng.randint(len(WORDS[key]))]

    forms = [
        lambda: f"The {pick('role')} {pick('act')} the {pick('thing')} {pick('join')} the {pick('role')} {pick('act')} {rng.randint(1000)} of them. ",
        lambda: f"Step {rng.randint(1, 10)}: {rng.randint(100)} + {rng.randint(100)} = {rng.randint(200)}.\n",
        lambda: f"It's {pick('judge')}, isn't it? I'd say they're {pick('judge')}; we'll see what she's read.\n\n",
        lambda: f"Score: {rng.randint(1, 11)}/10 ({pick('judge')})\n",
        lambda: f"\"A {pick('judge')} answer,\" the {pick('role')} said, \"{pick('act')} every {pick('thing')}.\" ",
        lambda: pick("other") + ". ",
        lambda: "```\n" + pick("code").format(n=rng.randint(100)) + "```\n",
        lambda: " " * rng.randint(1, 9) + f"- {pick('thing')}: {rng.rand():.3f}\n",
    ]
    odds = np.array([8, 4, 3, 3, 4, 2, 1, 2]) / 27
    for _ in range(count):
        yield forms[rng.choice(len(forms), p=odds)]()


# ---------------------------------------------------------------------------------------------------- strings to encode

FIXED = {
    "edge": ["", " ", "\n", "\r\n", "\t", "a", "0", ".", "'", "é", "\x00", "\x7f", "a\x00b", "\ufeffa", "\u200b", "  ", "\n\n", " \n", "\n "],
    "contraction": ["it's", "IT'S", "we'll've", "'tis", "'s", "'S", "'ſ", "'ſx", "it'ſa", "don't", "don’t", "I'm", "i'M", "they'Re", "o'clock", "rock'n'roll", "x's's", " 's", "'  s",
                    "'lL", "1's", "''d", "'é", "'re'", "a'\n's"],
    "digits": ["1", "12", "123", "1234", "1234567890", "3.14159", "1,000,000", "a1b22c333d4444", " 42", "  42", "٣٤٥٦", "Ⅷ", "x²³", "①②③④", "½", "१२३४५", "1e-9", "007", "10\n20", "１２３４"],
    "combining": ["e\u0301", "cafe\u0301s", "a\u030a\u0301", "\u0301", " \u0301x", "q\u0323\u0307", "s\u0307\u0323", "क्षि", "नमस्ते", "각", "\u1100\u1161\u11a8", "\u212b\u2126", "ﬁﬂ",
                  "שָׁלוֹם", "\u0344", "o\u0308\u0304"],
    "script": ["größer", "ÀÉÎÕÜ", "ответ", "απάντηση", "答案是正确的", "答えは正しい。", "정답입니다", "الجواب صحيح", "คำตอบ", "Việt Nam", "İstanbul ıI", "ŉ ǆ ǅ", "𝒳𝔜", "𐍈𐌰", "a答b", " 答", "ªº", "ʰʲ"],
    "emoji": ["🙂", "a🙂b", " 🙂", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "👍🏽", "❤️", "☺", "🙂🙂🙂\n", "1️⃣", "🏴‍☠️ ok"],
    "punctuation": ["...", "!?!", "a.b", " .", "  .", "«x»", "“x”", "—", "a—b", "$5", "50%", "#tag", "a_b", "__init__", "==", " ==>", "\\n", "(a)[b]{c}", "…\n\n", "!\r\n!", "؟", "。\n", "~`^|", "a/b\\c", "+-×÷"],
    "whitespace": ["a b", "a  b", "a   b", " a ", "   a", "a   ", "a\tb", "a\t\tb", "a \tb", "a\t b", "a\nb", "a\n\nb", "a \n b", "a\r\nb", "a\r\rb", "a \r\n \r\n b", "\n \n\n x", "  \n", "a\u00a0b", "a \u00a0b", "\u3000x",
                   "a\u3000\u3000b", "a\u2028b", "a\u0085b", "a\u2003 b", "a\x0bb", "a\x0c\x0cb", "\u1680x", "a\u180eb", "a\u200b b", "a\u2060b", "a\x1cb", "a\x1f b", "\t\n\t", " " * 16, " " * 17, " " * 18 + "x",
                   "\t" * 5, "\t" * 6 + "x", "\r\n" * 3, "\r\n" * 4 + "a"],
    "unreachable": [" quixotic", "quixotic", "Quixotic", "so Quixotic", " quixotically", " μέτρον", "μέτρον", "判断する", " 判断する", "a<=>!", "<=>!", "<=>"],
    "special": ["{0}", "{0}a", "a{1}b", "a {1} b", "{1}{1}", "{0}\n\nHi{1}\n", "{1}'s", "1{1}2", "<|", "|>", "<|{1}", "{1}|>", "<|im_end", "<|IM_END|>", "<| eot_id |>", "  {1}  {1}", "e\u0301{1}\u0301", "{1}\u0301"],
}
ATOMS = ["the", " critic", "Score", "'s", "'T", " 7", "42", "1234", "é", "e\u0301", "ß", " слово", "答", "🙂", "...", "!", " (", ")\n", "_", "-", "\u200d", "ﬁ", "²"]
BLANKS = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", "\u00a0", "\u3000", "\u2028", "\u0085", "\x0b"]

# Characters that are older than one table of the library and younger than another: letters, marks, digits, capitals, punctuation.
YOUNG = ["\U00013d44's", "\u1acb\u0f73", "\u1c89\u1c8a \ua7cb", "a\u32ffb", "\U00010d40\U00011de1", "x\U00011938\u0301", "\u0898\u0323a\u08ca", "a\u2e4fb\u1b7e", "\U00016ea0word", "word\U00011bc0",
         "\U0001e030\U0001fbf5", "\u2ffc\U0001fae9 \u2427", "\U0002ebf0\U00031350", "\U000e0100\U00010efc", "a\u0d3b\u0eba", "e\u0301\U00010d6d",
         "\u0915\u094d\u0937\u0301\u00df\u0301\u0600"]


def old(point):
    """True for code points whose class is what it was in Unicode 3.2, so that every library's tables agree on them."""
    kind = unicodedata.category(chr(point))
    return kind not in ("Cn", "Cs", "Co") and kind == unicodedata.ucd_3_2_0.category(chr(point))


def strings(rng, special):
    """Pairs of kind and text."""
    for kind, texts in FIXED.items():
        for text in texts:
            yield kind, text.replace("{0}", special[0]).replace("{1}", special[-1])
    for _ in range(14):
        yield "blanks", "".join(BLANKS[i] for i in rng.randint(len(BLANKS), size=rng.randint(2, 6))) + ["", "a", "1", ".", "é"][rng.randint(5)]
    for _ in range(24):
        parts = ATOMS + BLANKS
        yield "mixture", "".join(parts[i] for i in rng.randint(len(parts), size=rng.randint(3, 12)))
    for _ in range(8):
        yield "prose", "".join(prose(rng, 2))
    for top in (0x250, 0x600, 0x3000, 0xD7FF, 0xFFFF, 0x1F000):
        for _ in range(2):
            points = [int(p) for p in rng.randint(0x20, top, size=40)]
            yield "code points", "".join(chr(p) for p in points if old(p))[:8]


def kind_strings(rng, added):
    """Texts for a small tokenizer of any kind, with its added tokens between."""
    fixed = [text for kind in ("edge", "contraction", "digits", "combining", "whitespace", "emoji") for text in FIXED[kind]]
    yield from (fixed[i] for i in sorted(rng.choice(len(fixed), 40, replace=False)))
    parts = ATOMS + BLANKS + ["▁", "▁▁", "<0x0A>", "<unk>", "ﬁ", "①", "Yesterday", "word", "old ", "..."]
    for i in range(40):
        some = parts + added * (len(parts) // (2 * max(1, len(added))))
        yield "".join(some[k] for k in rng.randint(len(some), size=rng.randint(2, 10)))
    for _ in range(6):
        yield "".join(prose(rng, 2))
    yield from YOUNG


CHATS = [
    [("user", "What is 12 + 30?")],
    [("system", "You are strict."), ("user", "Is 7 a prime?\n"), ("assistant", "Yes.")],
    [("user", "  two blanks before\n"), ("assistant", " Fine.\n\n"), ("user", "Größe: e\u0301, 答案, 🙂\r\n")],
    [("user", "")],
    [("system", ""), ("user", "{{ messages }} {% if %} {# no #}"), ("assistant", "\tfor i in x:\n\t\tf(i)\n"), ("user", "it's it"), ("assistant", "Score: 8/10")],
    [("user", "<b>&amp;\"quoted\" 'text'</b>"), ("assistant", "\u00a0kept?\u3000")],
]


# ---------------------------------------------------------------------------------------------------- files

def spelled(text):
    """The letters that byte-level BPE writes for the bytes of text."""
    return "".join(piece for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text))


def build(kind, corpus):
    """The tokenizer, and its splitter without the bytes' spelling."""
    splitter = pre_tokenizers.Split(Regex(PATTERN % kind.digits), behavior="isolated")
    before = pre_tokenizers.Sequence([splitter, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = before
    learner.normalizer = normalizers.NFC() if kind.nfc else None
    learner.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=256 + MERGES, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    vocab = learned["vocab"]
    for text in kind.unreachable:
        assert spelled(text) not in vocab, text
        vocab[spelled(text)] = len(vocab)
    tok = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(pair) for pair in learned["merges"]], ignore_merges=bool(kind.unreachable)))
    tok.normalizer, tok.pre_tokenizer, tok.decoder = learner.normalizer, before, decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in kind.special])
    if kind.begin:
        first = kind.special[0]
        tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A {first}:1 $B:1", special_tokens=[(first, tok.token_to_id(first))])])
    else:
        tok.post_processor = processors.ByteLevel(trim_offsets=False)
    return tok, splitter


def merge_strings(tok):
    """Strings that show every merge, and its rank: for each, one whose ids change without it, one if it came last of all, and
    one if it came first, where there is one. Candidates are a merge's two tokens in front of one that the second merges with
    as well, and in front of a q, so that the whole is no token."""
    file = json.loads(tok.to_str())
    merges, vocab = file["model"]["merges"], file["model"]["vocab"]
    text = {token: tok.decode([id]) for token, id in vocab.items()}
    triples = {text[x] + text[y] + text[z] for x, y in merges for y2, z in merges if y == y2} | {text[x] + text[y] + "q" for x, y in merges}
    triples = sorted(t for t in triples if "\ufffd" not in t)     # parts of a character
    right = [e.ids for e in tok.encode_batch(triples, add_special_tokens=False)]
    chosen = set()
    for i, merge in enumerate(merges):
        rest = merges[:i] + merges[i + 1:]
        for order in (rest + [merge], [merge] + rest, rest):
            file["model"]["merges"] = order
            wrong = Tokenizer.from_str(json.dumps(file)).encode_batch(triples, add_special_tokens=False)
            shows = [t for t, ids, w in zip(triples, right, wrong) if ids != w.ids]
            if shows and chosen.isdisjoint(shows):
                chosen.add(shows[0])
    cases = sorted(chosen)
    for i in range(0, len(cases), 12):
        yield "merges", "\n".join(cases[i:i + 12])


def write_lines(path, rows):
    """JSON Lines in ASCII: no editor can change what a line holds."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")


def string_rows(kind, tok, splitter, rng):
    seen = set()
    for label, text in [*strings(rng, kind.special), *merge_strings(tok)]:
        if text in seen:
            continue
        seen.add(text)
        ids = tok.encode(text, add_special_tokens=False).ids
        row = {"kind": label, "text": text, "ids": ids}
        tok.encode_special_tokens = True                # special tokens spelled in the text are text
        plain = tok.encode(text, add_special_tokens=False).ids
        tok.encode_special_tokens = False
        decoded, bare = (tok.decode(ids, skip_special_tokens=skip) for skip in (False, True))
        optional = {"ids_plain": (plain, ids), "decoded": (decoded, text), "decoded_text": (bare, decoded)}
        row.update({key: mine for key, (mine, same) in optional.items() if mine != same})
        if not any(t in text for t in kind.special):
            normal = unicodedata.normalize("NFC", text) if kind.nfc else text
            row["pieces"] = [piece for piece, _ in splitter.pre_tokenize_str(normal)]
        yield row


def chat_rows(folder):
    tok = PreTrainedTokenizerFast.from_pretrained(folder)
    for chat in CHATS:
        messages = [{"role": role, "content": content} for role, content in chat]
        for prompt in (False, True):
            text = tok.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=False)
            ids = tok.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=True, return_dict=False)
            yield {"messages": messages, "add_generation_prompt": prompt, "text": text, "ids": ids}


def make(out):
    for seed, kind in enumerate(KINDS, 201):
        rng = np.random.RandomState(seed)
        tok, splitter = build(kind, list(prose(rng, 6000)))
        folder = out / kind.name
        folder.mkdir(exist_ok=True)
        for old_file in folder.iterdir():
            old_file.unlink()
        PreTrainedTokenizerFast(tokenizer_object=tok, bos_token=kind.special[0] if kind.begin else None, eos_token=kind.end, model_max_length=2048,
                                clean_up_tokenization_spaces=False, chat_template=kind.chat).save_pretrained(folder, save_jinja_files=kind.chat_file)
        tok.save(str(folder / "tokenizer.json"))        # the library's own form, without what transformers adds
        rows = list(string_rows(kind, tok, splitter, rng))
        write_lines(folder / "strings.jsonl", rows)
        write_lines(folder / "chats.jsonl", chat_rows(folder))
        for file in folder.iterdir():
            file.chmod(0o644)
        print(f"{kind.name}: {tok.get_vocab_size()} tokens, {len(rows)} strings")
