"""What the tokenizers library takes for a letter, a digit, a mark, a capital: each of its parts has tables of another release of Unicode.
tokenizer/unicode.txt has them all, asked of the library code point by code point."""
import kinds
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

CATEGORIES = "Cc Cf Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs".split()
POINTS = [*range(0xD800), *range(0xE000, 0x110000)]


def ranges(points):
    """Runs of points, in hexadecimal: 41-5a c0-d6 100."""
    runs = []
    for p in sorted(points):
        if runs and runs[-1][1] == p - 1:
            runs[-1][1] = p
        else:
            runs.append([p, p])
    return " ".join(f"{a:x}-{b:x}" if a < b else f"{a:x}" for a, b in runs)


def matching(pattern):
    """The points that a pattern of one character matches."""
    cut, found = pre_tokenizers.Split(Regex(pattern), behavior="removed"), []
    for i in range(0, len(POINTS), 1 << 14):
        some = POINTS[i:i + (1 << 14)]
        left = set()
        for _, (a, b) in cut.pre_tokenize_str("".join(map(chr, some))):
            left.update(range(a, b))
        found += [p for k, p in enumerate(some) if k not in left]
    return found


def cut_off(pre_tokenizer):
    """The points that a pre-tokenizer cuts off a word."""
    return [p for p in POINTS if len(pre_tokenizer.pre_tokenize_str("a" + chr(p))) == 2]


def words():
    """The points beside which a token that is a single word is none."""
    tok = Tokenizer(models.BPE(vocab={}, merges=[]))
    tok.add_tokens([AddedToken("word", single_word=True, normalized=False)])
    return [p for p, e in zip(POINTS, tok.encode_batch(["word" + chr(p) for p in POINTS])) if not e.ids]


def normal():
    """The points that normal forms know: what has a decomposition or a combining class, and what is composed with what stands before it."""
    nfd, nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
    known = set()
    for p in POINTS:
        c = chr(p)
        d = nfd(c)
        known.update(map(ord, d[1:]))
        if nfkd(c) != c or nfd("\u0345" + c) != "\u0345" + d or nfd(c + "\u0334") != d + "\u0334":
            known.add(p)
    return known


def lower():
    """Runs of points of one parity, or of all, that are lowered by the same: FIRST-LAST/STEP+ADDED. One that becomes two is left out."""
    one = normalizers.Lowercase().normalize_str
    runs = []
    for p in POINTS:
        low = one(chr(p))
        if low == chr(p):
            continue
        if len(low) > 1:
            assert low == "i\u0307", hex(p)
            continue
        by, last = ord(low) - p, runs[-1] if runs else None
        if last and last[3] == by and last[1] != last[0] and p - last[1] == last[2]:
            last[1] = p
        elif last and last[3] == by and last[1] == last[0] and p - last[1] <= 2:
            last[1], last[2] = p, p - last[1]
        else:
            runs.append([p, p, 1, by])
    return " ".join(f"{a:x}-{b:x}/{step}{by:+d}" for a, b, step, by in runs)


def joined(*around):
    """The points with which a text is one grapheme up to the last of its characters. around: the text, None for the point. A charsmap takes the
    last one's mark away where that is in a grapheme of its own."""
    last = around[-1]
    normalize = normalizers.Precompiled(kinds.charsmap({last: "="})).normalize_str
    before = [part if part else "" for part in around[:-1]]
    at = around.index(None)
    left, right = "".join(before[:at]), "".join(before[at:]) + last + "\u0301"
    return [p for p in POINTS if normalize(left + chr(p) + right).endswith("\u0301")]


def graphemes():
    """What the rules of graphemes ask of a character (Unicode Standard Annex 29); Hangul and flags are ranges that do not change."""
    smile, ka, virama, joiner = "\u2764", "\u0915", "\u094d", "\u200d"
    before = normalizers.Precompiled(kinds.charsmap({"a": "="})).normalize_str
    alone = normalizers.Precompiled(kinds.charsmap({"\u0301": "="})).normalize_str
    return {
        "joining": [p for p in POINTS if p != ord("a") and before("a" + chr(p)) == "="],
        "control": [p for p in POINTS if not alone(chr(p) + "\u0301" + joiner).endswith(joiner)],
        "prepended": joined(None, "a"),
        "pictographic": joined(None, joiner, smile),
        "extending": joined(smile, None, joiner, smile),
        "consonants": joined(None, virama, ka),
        "linking": joined(ka, None, ka),
        "linked": joined(ka, virama, None, ka),
    }


def make(path):
    accents = normalizers.StripAccents().normalize_str
    tables = {name: ranges(matching(rf"\p{{{name}}}")) for name in CATEGORIES}
    tables["punctuation"] = ranges(cut_off(pre_tokenizers.Punctuation("isolated")))
    tables["digits"] = ranges(cut_off(pre_tokenizers.Digits(individual_digits=False)))
    tables["words"] = ranges(words())
    tables["accents"] = ranges(p for p in POINTS if accents(chr(p)) == "")
    tables["normal"] = ranges(normal())
    tables |= {name: ranges(points) for name, points in graphemes().items()}
    tables["lower"] = lower()
    path.write_text("".join(f"{name} {table}\n" for name, table in tables.items()), encoding="ascii")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    from pathlib import Path
    make(Path(__file__).resolve().parents[2] / "tokenizer" / "unicode.txt")
