"""Random chat templates, each with what Jinja2 makes of it, as JSON lines: differential.py COUNT SEED [MAX].
MAX is the most characters of a template and its text together; differential.jsonl is "2000 1 240".

The first line has the variables that the templates are rendered with; each further line is {"t": template, "v": which variables,
"out": … or "error": …}. The generator knows most of the language, and gets types wrong on purpose now and then."""

import json
import random
import resource
import signal
import sys

sys.stdout.reconfigure(encoding="utf-8")
from reference import render

TEXTS = ["hello world", " sure\n", "bye ", "", "<think>a b</think>\n\nanswer", "it's \"q\" \\ é😀x", "Straße ÀÉ ǆ ς ΑΣ", "a,b;c\td\n\ne\r\nf\n",
         "x=1&y=<b>", "UPPER lower MiXed", "  \x1c pad\u3000", "12", "-3.5e2", "a-b-c well-known e--f", "one two three four five six", "{% x %} {{ y }}"]


def conversation(r):
    roles = r.choice([["user", "assistant", "user"], ["system", "user", "assistant", "user"], ["user"], ["system", "user"], ["user", "assistant"]])
    return {
        "messages": [{"role": x, "content": r.choice(TEXTS)} for x in roles],
        "add_generation_prompt": r.random() < 0.5,
        "tools": None,
        "documents": None,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "nums": [3, 1, 2, -7, 0, 2],
        "floats": [1.5, -0.25, 2.0, 1e20, 1e-7],
        "words": ["b", "A", "c", "a", "B b", ""],
        "d": {"z": 1, "a": [1, {"k": "v"}], "M": None, "items": "shadow", "n": {"x": {"y": "deep"}}},
        "mixed": [1, "1", None, True, 2.5, [1], {"a": 1}],
        "people": [{"name": "Bo", "age": 30, "t": {"x": 1}}, {"name": "al", "age": 4}, {"name": "Cy", "age": 30, "t": {"x": 0}}],
        "s": r.choice(TEXTS),
        "t": r.choice(TEXTS),
    }


class Gen:
    def __init__(self, r):
        self.r = r
        self.scope = [[]]
        self.loop = 0
        self.macros = []
        self.ns = False

    def pick(self, *options):
        return self.r.choice(options)

    def chance(self, p):
        return self.r.random() < p

    # Literals

    def string_literal(self):
        s = self.pick("a", "b", "user", "l", " ", "", ",", "e", "\\n", "é", "ab", "</think>", "x y", "%s", "\\t", "\\x41", "\\u00e9", "-", "o", "A", "12", "1.5", "it\\'s",
                      "\\\\", "\\q", "😀", "{}", "role", "name")
        q = self.pick("'", '"')
        return q + s + q

    def int_literal(self):
        return self.pick("0", "1", "2", "3", "5", "7", "10", "-1", "-2", "100", "1_000", "0x1f", "(2 ** 70)", "(-5)")

    def float_literal(self):
        return self.pick("0.5", "1.0", "2.75", "1e3", "1e20", "1.5e-7", "3.14159", "(-2.5)", "1e16", "123456789.125")

    def power(self):  # large ones would not end in Python
        return self.pick("0", "1", "2", "3", "-1", "-2", "0.5", "2.0", "true")

    # Expressions, by type. Now and then of another type than asked for.

    def expr(self, kind=None, depth=0):
        kinds = ["str", "int", "list", "bool", "any", "float", "dict"]
        if kind is None or self.chance(0.04):
            kind = self.r.choices(kinds, [6, 4, 3, 3, 2, 1, 1])[0]
        return getattr(self, kind)(depth)

    def var(self, kind):
        names = [n for n, k in sum(self.scope, []) if k == kind or k == "any"]
        if names and self.chance(0.7):
            return self.r.choice(names)
        return None

    def str(self, d):
        v = self.var("str")
        if v and self.chance(0.5):
            return v
        r = self.r
        if d > 3:
            return self.pick(self.string_literal(), "s", "t", "messages[0].content", "messages[-1]['role']", "bos_token")
        e = lambda k: self.expr(k, d + 1)
        n = r.randrange(46)
        p = "(" + e("str") + ")" if self.chance(0.3) else self.pick("s", "t", "messages[0].content", "messages[-1].content", self.string_literal())
        if n < 6:
            return self.string_literal()
        if n < 9:
            return self.pick("s", "t", "bos_token", "messages[0]['role']", "messages[-1].content", "messages[1].content", "(messages | last).content", "words[1]")
        if n < 12:
            return e("str") + self.pick(" ~ ", " + ") + e("str")
        if n == 12:
            return e("str") + " ~ " + e("any")
        if n < 16:
            f = self.pick("trim", "upper", "lower", "capitalize", "title", "string", "trim | upper", "reverse", "length | string", "first", "last", "escape", "e | length", "safe",
                          "wordcount", "urlencode", "list | join('-')", "default('z')", "tojson", "int", "float", "wordwrap(7)", "wordwrap(5, false)", "center(9)", "indent",
                          "forceescape", "abs", "e ~ '<'", "count", "string | upper", "wordwrap(6, wrapstring='|')", "wordwrap(9, break_on_hyphens=false)")
            return p + " | " + f
        if n < 18:
            return p + " | " + self.pick(f"replace({self.string_literal()}, {e('str')})", f"replace({self.string_literal()}, {self.string_literal()}, {self.pick(0, 1, 2, -1)})",
                                         f"trim({self.string_literal()})", f"indent({self.pick(0, 1, 3, '`>`'.replace('`', chr(39)))}, {self.pick('true', 'false')})",
                                         f"indent(2, first={self.pick('true', 'false')}, blank={self.pick('true', 'false')})", f"truncate({self.pick(3, 4, 5, 8)}, {self.pick('true', 'false')}, {self.pick(chr(39) * 2, chr(39) + '..' + chr(39))}, {self.pick(0, 1, 5)})",
                                         f"default({e('str')}, true)", f"center({self.pick(1, 5, 12)})")
        if n < 21:
            return p + "." + self.pick("strip()", "lstrip()", "rstrip()", "upper()", "lower()", "title()", "capitalize()", "swapcase()", "zfill(5)", "casefold()",
                                       f"strip({self.string_literal()})", f"lstrip({self.string_literal()})", f"rstrip({self.string_literal()})", f"replace({self.string_literal()}, {self.string_literal()})",
                                       f"replace({self.string_literal()}, {self.string_literal()}, {self.pick(0, 1, -1)})", f"center({self.pick(3, 8, 9)}, '*')", f"ljust({self.pick(3, 8)})", f"rjust({self.pick(3, 8)}, '.')",
                                       f"removeprefix({self.string_literal()})", f"removesuffix({self.string_literal()})", f"join({e('list')})", f"join(words)", "strip(none)", "expandtabs()")
        if n < 23:
            return p + self.pick(".split(" + self.string_literal() + ")[" + self.pick("0", "-1", "1") + "]", ".split()[0]", ".rsplit(' ', 1)[-1]", ".partition(' ')[2]", ".rpartition('a')[0]", ".splitlines()[0]")
        if n < 27:
            a, b = self.pick("", "0", "1", "-1", "2", "-3", "100", "none"), self.pick("", "1", "-1", "3", "-2", "100")
            step = self.pick("", "", "", ":", ":2", ":-1", ":-2", ":none")
            return p + f"[{a}:{b}{step}]"
        if n == 27:
            return p + f"[{e('int')}]"
        if n < 31:
            return f"({e('str')} if {e('bool')} else {e('str')})" if self.chance(0.8) else f"({e('str')} if {e('bool')})"
        if n == 31:
            return f"({e('str')} or {e('str')})"
        if n == 32:
            return f"{p} * {self.pick(0, 1, 2, 3, -1)}"
        if n == 33:
            return f"{self.pick(chr(39) + '%s-%s' + chr(39), chr(39) + '%d|%5s|%-4s' + chr(39), chr(39) + '%05.2f %x' + chr(39), chr(39) + '%r %s' + chr(39), chr(39) + '%+d%%%c' + chr(39))} % ({e('any')}, {e('any')})"
        if n == 34:
            f = self.pick("{} {}", "{0}{1}{0}", "{:>5}|{:<4}", "{!r}:{!s}", "{a} {}", "{0[0]}{1}", "{:05d} {:.2f}", "{:,}{}", "{{}}{}", "{:^7}{:*>4}", "{:x} {:%}", "{0.real}", "{:d}")
            return f"'{f}'.format({e('any')}, {e('any')}, a={e('any')})"
        if n == 35:
            return f"{self.pick(chr(39) + '%s' + chr(39), chr(39) + '%s %s' + chr(39))} | format({e('any')}{self.pick('', ', ' + e('any'))})"
        if n < 38:
            return f"{e('list')} | join({self.pick('', self.string_literal())})"
        if n == 38:
            return f"{e('any')} | tojson{self.pick('', '(indent=2)', '(ensure_ascii=true)', '(sort_keys=true)', '(separators=(' + chr(39) + ',' + chr(39) + ',' + chr(39) + ':' + chr(39) + '))', '(indent=0)', '(true)')}"
        if n == 39:
            return f"{e('any')} | string"
        if n == 40 and self.macros:
            return self.call_macro(d)
        if n == 41:
            return self.pick("strftime_now('%d %b %Y')", "strftime_now('%Y-%m-%d')")
        if n == 42 and self.loop:
            return self.pick("loop.cycle('a', 'b')", "loop.previtem ~ ''", "loop.nextitem ~ ''")
        if n == 43:
            return f"people | map(attribute='name') | join({self.string_literal()})"
        if n == 44:
            return f"{self.pick('d', 'people[0]', 'messages[0]')}.get({self.string_literal()}, {e('str')})"
        return self.pick("d.n.x.y", "d['n']['x'].y", "d.items", "people[0].name", "nope", "d.nope")

    def call_macro(self, d):
        name, params = self.r.choice(self.macros)
        args = [self.expr(None, d + 1) for _ in range(self.r.randrange(len(params) + 2))]
        named = [f"{p}={self.expr(None, d + 1)}" for p in params[len(args):] if self.chance(0.4)]
        return f"{name}({', '.join(args + named)})"

    def int(self, d):
        v = self.var("int")
        if v and self.chance(0.5):
            return v
        if d > 3:
            return self.pick(self.int_literal(), "nums[0]", "messages | length")
        e = lambda k: self.expr(k, d + 1)
        n = self.r.randrange(26)
        if n < 5:
            return self.int_literal()
        if n < 10:
            return "(" + e("int") + self.pick(self.pick(" + ", " - ", " * ", " // ", " % ", " / ") + self.pick(e("int"), self.int_literal()), " ** " + self.power()) + ")"
        if n == 10:
            return self.pick("-", "+", "- -") + e("int")
        if n < 14:
            return self.pick(e("list"), e("str"), "messages", "d") + " | " + self.pick("length", "count")
        if n == 14:
            return e("list") + " | " + self.pick("sum", "min", "max", "first", "last")
        if n == 15:
            return self.pick("nums", "floats", "people") + " | " + self.pick("sum", "min", "max", "sum(start=5)", "sum(attribute='age')", "max(attribute='age')", "min(attribute='name')", "max(case_sensitive=true)")
        if n == 16:
            return e("str") + " | " + self.pick("int", "int(5)", "int(base=16)", "float", "int(0, 16)", "float(1.5)")
        if n == 17:
            return e("float") + " | " + self.pick("int", "round", "round(1)", "round(2, 'floor')", "round(0, 'ceil')", "abs", "round(method='floor')", "round(1) | int")
        if n == 18:
            return self.pick("s", "t", "messages[0].content") + "." + self.pick("find", "rfind", "count", "index") + "(" + self.string_literal() + self.pick("", "", ", 1", ", 1, 4", ", -3") + ")"
        if n == 19:
            return self.pick("nums", "words", "mixed", "(1, 2, 1)") + "." + self.pick("index", "count") + "(" + e("any") + ")"
        if n == 20 and self.loop:
            return "loop." + self.pick("index", "index0", "revindex", "revindex0", "length", "depth", "depth0")
        if n == 21:
            return f"({e('int')} if {e('bool')} else {e('int')})"
        if n == 22 and self.ns:
            return self.pick("ns.n", "ns.k", "ns['n']")
        if n == 23:
            return f"(true + {e('int')})"
        return self.pick("nums[1]", "people[0].age", "nums[-1]", "d.z", "nope", "nums | first")

    def float(self, d):
        if d > 3:
            return self.float_literal()
        e = lambda k: self.expr(k, d + 1)
        n = self.r.randrange(8)
        if n < 3:
            return self.float_literal()
        if n < 5:
            return "(" + e(self.pick("int", "float")) + self.pick(self.pick(" + ", " - ", " * ", " / ", " // ", " % ") + e(self.pick("float", "int")), " ** " + self.power()) + ")"
        if n == 5:
            return "floats" + self.pick("[0]", "[-1]", " | max", " | min", " | sum", " | first")
        if n == 6:
            return e("int") + " | float"
        return e("float") + " | " + self.pick("round(1)", "abs", "round", "round(3, 'ceil')", "float")

    def bool(self, d):
        if d > 3:
            return self.pick("true", "false", "add_generation_prompt", "s == t", "nope")
        e = lambda k: self.expr(k, d + 1)
        n = self.r.randrange(24)
        if n < 2:
            return self.pick("true", "false", "True", "none", "add_generation_prompt", "nope", "tools", "not tools")
        if n < 5:
            k = self.pick("int", "str", "float")
            return "(" + e(k) + self.pick(" == ", " != ", " < ", " > ", " <= ", " >= ") + e(k) + ")"
        if n == 5:
            return f"({e('int')} < {e('int')} <= {e('int')})"
        if n < 8:
            return "(" + e(self.pick("str", "any")) + self.pick(" in ", " not in ") + self.pick(e("str"), e("list"), "d", "messages[0]", "words", "mixed") + ")"
        if n < 10:
            return "(" + e("bool") + self.pick(" and ", " or ") + e("bool") + ")"
        if n == 10:
            return "not " + e("bool")
        if n < 15:
            t = self.pick("defined", "undefined", "none", "string", "mapping", "sequence", "iterable", "number", "integer", "float", "boolean", "true", "false", "callable", "odd",
                          "even", "lower", "upper", "not none", "not defined", "not string", "escaped", "filter", "test")
            v = self.pick(e("any"), "nope", "d.nope", "messages[0].tool_calls", "tools", "s", "nums", "d", "messages")
            return f"({v} is {t})"
        if n == 15:
            return f"({e('int')} is {self.pick('divisibleby 2', 'divisibleby(3)', 'eq 2', 'equalto 3', 'ne 1', 'gt 2', 'lt(5)', 'ge 1', 'le 2', 'in [1, 2]', 'in nums', 'lessthan 3', 'greaterthan 2')})"
        if n == 16:
            return f"({e('str')} is {self.pick('equalto', 'eq', 'ne', 'in', 'lt')} {self.pick(self.string_literal(), 's', 't', 'words')})"
        if n < 19:
            return self.pick("s", "t", "messages[0].content", "messages[-1].role") + "." + self.pick(
                f"startswith({self.string_literal()})", f"endswith({self.string_literal()})", f"startswith(({self.string_literal()}, {self.string_literal()}))",
                f"endswith({self.string_literal()}, 1)", f"startswith({self.string_literal()}, 1, 3)", "isdigit()", "isalpha()", "isspace()", "isupper()", "islower()", "istitle()", "isalnum()", "isascii()",
                "isnumeric()", "isdecimal()", "isprintable()")
        if n == 19 and self.loop:
            return self.pick("loop.first", "loop.last", "loop.changed(s)", "loop.previtem is defined", "loop.nextitem is defined", "not loop.last", "loop.index0 % 2 == 0")
        if n == 20:
            return self.pick("messages[0]['role'] == 'system'", "(messages | selectattr('role', 'equalto', 'user') | list | length) > 1", "messages[0].role != 'user'",
                             "(messages[-1].role == 'user') != (messages | length % 2 == 0)")
        if n == 21:
            return f"({e('any')} == {e('any')})"
        return f"({e('any')})"

    def list(self, d):
        v = self.var("list")
        if v and self.chance(0.5):
            return v
        if d > 3:
            return self.pick("nums", "words", "[1, 2]", "[]", "messages", "('a', 'b')")
        e = lambda k=None: self.expr(k, d + 1)
        n = self.r.randrange(30)
        if n < 3:
            return "[" + ", ".join(e() for _ in range(self.r.randrange(4))) + self.pick("", "", "") + "]"
        if n == 3:
            return "(" + ", ".join(e() for _ in range(self.r.randrange(2, 4))) + ")"
        if n < 7:
            return self.pick("nums", "words", "messages", "people", "floats", "mixed", "range(3)", "range(1, 8, 3)", "range(5, 0, -2)", "d.keys() | list", "d.values() | list", "d.items() | list", "d | list")
        if n < 10:
            a, b = self.pick("", "0", "1", "-1", "-2"), self.pick("", "1", "-1", "3")
            return "(" + e("list") + f")[{a}:{b}{self.pick('', '', ':-1', ':2')}]"
        if n == 10:
            return "(" + e("list") + " + " + e("list") + ")"
        if n == 11:
            return self.pick("s", "t", "messages[0].content") + "." + self.pick("split()", f"split({self.string_literal()})", "split(' ', 1)", f"rsplit({self.string_literal()}, 1)", "splitlines()",
                                                                              "splitlines(true)", "rsplit()", "rsplit(none, 1)", "split(none, 2)", "split(maxsplit=1)", "split(sep='l')", "partition(' ')", "rpartition('e')")
        if n < 20:
            f = self.pick("list", "sort", "sort(reverse=true)", "unique | list", "reverse | list", "map('upper') | list", "map('string') | list", "map('length') | list", "select | list", "reject('none') | list",
                          "select('string') | list", "reject('odd') | list", "select('gt', 1) | list", "batch(2) | list", "batch(3, 'x') | list", "slice(2) | list", "slice(3, 0) | list", "map('int') | list",
                          "select('in', [1, 'b']) | list", "sort(case_sensitive=true)", "map('replace', 'a', 'b') | list", "map('default', 'u') | list", "unique(true) | list", "map('tojson') | list", "map('nope') | list",
                          "select('defined') | map('string') | map('trim') | list")
            return self.pick("nums", "words", "floats", e("list"), e("list"), "s") + " | " + f
        if n < 24:
            return self.pick("people", "messages") + " | " + self.pick(
                "map(attribute='name') | list", "map(attribute='role') | list", "selectattr('age', 'gt', 10) | list", "selectattr('role', 'equalto', 'user') | map(attribute='content') | list",
                "rejectattr('role', 'in', ['user', 'system']) | list", "sort(attribute='name') | map(attribute='name') | list", "sort(attribute='age,name') | list", "groupby('age') | list",
                "groupby('role') | map('first') | list", "map(attribute='t.x', default=9) | list", "selectattr('t') | list", "rejectattr('t.x', 'defined') | list", "map(attribute='content') | map('length') | list",
                "sort(attribute='age', reverse=true) | map(attribute='name') | list", "unique(attribute='age') | list", "groupby('role', case_sensitive=true) | list", "selectattr('content', 'string') | list | length",
                "map(attribute='nope') | list", "batch(2) | list", "map('items') | map('list') | list", "selectattr('name', 'defined') | list")
        if n == 24:
            return self.pick("d", "people[0]", "messages[0]") + " | " + self.pick("dictsort", "items | list", "list", "dictsort(by='value')", "dictsort(true)", "dictsort(reverse=true)", "length")
        if n == 25:
            return f"({e('list')} if {e('bool')} else {e('list')})"
        if n == 26:
            return f"[{e()}] * {self.pick(0, 1, 2, -1)}"
        if n == 27 and self.ns:
            return "ns.l"
        return self.pick("nope", "[]", "()", "'ab'", "d")

    def dict(self, d):
        if d > 2:
            return self.pick("d", "messages[0]", "{}")
        n = self.r.randrange(6)
        if n < 3:
            return "{" + ", ".join(f"{self.pick(self.string_literal(), self.int_literal(), 'true', 'none', 's', '1.0', '(1, 2)')}: {self.expr(None, d + 1)}" for _ in range(self.r.randrange(4))) + "}"
        if n == 3:
            return f"dict(a={self.expr(None, d + 1)}, {self.pick('b', 'keys')}={self.expr(None, d + 1)})"
        if n == 4:
            return f"dict([('a', {self.expr(None, d + 1)}), ({self.string_literal()}, 2)], c=3)"
        return self.pick("d", "people[1]", "messages[0]", "d.n", "dict(d, z=9)")

    def any(self, d):
        v = self.var("any")
        if v and self.chance(0.5):
            return v
        n = self.r.randrange(12)
        if n < 4 or d > 3:
            return self.pick("none", "true", "nope", "mixed[" + self.pick("0", "3", "5", "-1") + "]", "d", "s", "nums", "1", "2.5", "'x'", "messages", "d.M", "d.a[1].k", "people[9]", "d.get('q')", "(1,)", "()", "{}", "[[]]",
                             "range(4)", "d.keys()", "d.items()", "namespace(a=1)", "messages[0].pop", "nums.append", "nums.append(1)", "d.update({})", "cycler(1, 2).next()", "joiner('+')()", "nums.0", "d.n.x")
        return self.expr(self.pick("str", "int", "list", "bool", "float", "dict"), d + 1)

    # Statements

    def space(self):
        return self.pick("", "", "", "", " ", "\n", "  ", "\n  ", "\t", "\n\n", " \n ", "\r\n") if self.chance(0.6) else ""

    def text(self):
        return self.pick("x", "a b", "<|im_start|>", "\n", " ", "- ", "é", "{ ", "}", "#", "%", "") + self.space()

    def open(self, word):
        return "{%" + self.pick("", "", "", "-", "+") + self.pick(" ", " ", "", "\n") + word

    def close(self):
        return self.pick(" ", " ", "", "\n ") + self.pick("", "", "", "-", "+") + "%}"

    def tag(self, inside):
        return self.space() + self.open(inside) + self.close() + self.space()

    def print(self, depth=0):
        e = self.expr(None, depth)
        return self.space() + "{{" + self.pick("", "", "-", "+" if self.chance(0.1) else "") + " " + e + " " + self.pick("", "", "-") + "}}" + self.space()

    def name(self):
        return self.pick("x", "y", "z", "s", "acc", "bos_token", "item", "messages" if self.chance(0.1) else "w")

    def body(self, depth, in_loop=False):
        self.scope.append([])
        out = "".join(self.statement(depth + 1, in_loop) for _ in range(self.r.randrange(1, 4)))
        self.scope.pop()
        return out

    def define(self, name, kind="any"):
        self.scope[-1].append((name, kind))

    def statement(self, depth, in_loop):
        n = self.r.randrange(44)
        if n < 9 or depth > 4:
            return self.print()
        if n < 13:
            return self.text()
        if n < 18:
            out = self.tag("if " + self.expr("bool")) + self.body(depth, in_loop)
            for _ in range(self.r.randrange(2) if self.chance(0.4) else 0):
                out += self.tag("elif " + self.expr("bool")) + self.body(depth, in_loop)
            if self.chance(0.4):
                out += self.tag("else") + self.body(depth, in_loop)
            return out + self.tag("endif")
        if n < 24:
            return self.for_loop(depth)
        if n < 29:
            kind = self.pick("str", "int", "list", "any")
            name = self.name()
            out = self.tag(f"set {name} = {self.expr(kind)}")
            self.define(name, kind)
            return out
        if n == 29:
            self.define("p")
            self.define("q")
            return self.tag(f"set p, q = {self.pick(self.expr() + ', ' + self.expr(), self.expr('list'), '(1, 2)', 's.split()[:2]')}")
        if n == 30:
            name = self.name()
            f = self.pick("", "", " | upper", " | trim", " | trim | length", f" | replace({self.string_literal()}, 'Q')", " | indent(2)")
            out = self.tag(f"set {name}{f}") + self.body(depth, in_loop) + self.tag("endset")
            self.define(name, "str")
            return out
        if n == 31:
            if not self.ns or self.chance(0.3):
                self.ns = True
                return self.tag(f"set ns = namespace(n=0, k={self.expr('int')}, l=[])")
            return self.tag(self.pick("set ns.n = ns.n + 1", f"set ns.k = {self.expr('int')}", f"set ns.l = ns.l + [{self.expr()}]", f"set ns.n, ns.k = {self.expr()}, {self.expr()}"))
        if n < 34:
            return self.macro(depth)
        if n == 34 and self.macros:
            return self.print() if not self.macros else self.space() + "{{ " + self.call_macro(0) + " }}" + self.space()
        if n == 35 and self.macros:
            name, params = self.r.choice(self.macros)
            params_of_call = self.pick("", "", "(u)", "(u, v='V')")
            self.scope.append([("u", "any")] if params_of_call else [])
            out = self.tag(f"call{params_of_call} {name}({', '.join(self.expr() for _ in params[:1])})") + self.body(depth) + self.tag("endcall")
            self.scope.pop()
            return out
        if n == 36:
            return self.tag("filter " + self.pick("upper", "trim", "replace('a', s)", "indent(1)", "length", "trim | title")) + self.body(depth, in_loop) + self.tag("endfilter")
        if n == 37:
            v, w = self.expr(), self.expr()
            self.scope.append([("g", "any"), ("h", "any")])
            out = self.tag(f"with g = {v}, h = {w}") + self.body(depth, in_loop) + self.tag("endwith")
            self.scope.pop()
            return out
        if n == 38:
            return self.tag("generation") + self.body(depth) + self.tag("endgeneration")
        if n == 39:
            return self.space() + "{#" + self.pick("", "-", "+" if self.chance(0.2) else "") + self.pick(" c ", "", " {{ x }} \n") + self.pick("", "-", "+") + "#}" + self.space()
        if n == 40:
            return self.tag("raw") + self.pick("{{ x }}", " {% if %} ", "text", "\n  ") + self.tag("endraw")
        if n == 41 and (in_loop or self.chance(0.02)):
            return self.tag("if " + self.expr("bool")) + self.tag(self.pick("break", "continue")) + self.tag("endif")
        if n == 42:
            return self.tag("if " + self.expr("bool")) + "{{ raise_exception('no: ' ~ " + self.expr("str") + ") }}" + self.tag("endif") if self.chance(0.3) else self.text()
        if n == 43 and self.chance(0.1):
            return self.pick("{% do x %}", "{% endif %}", "{{ }}", "{{ 1 + }}", "{% if %}", "{% nope %}", "{{ a b }}", "{{ 'x' | nofilter }}", "{% set 1 = 2 %}", "{{ x is notest }}", "{% if false %}{{ 1 | nofilter }}{% endif %}")
        return self.print()

    def for_loop(self, depth):
        target = self.pick("m", "x", "i", "m", "k, v", "item")
        if target == "m":
            it, kind = self.pick("messages", "messages[1:]", "messages[::-1]", "messages | reverse", "people", "messages[:-1]", "loop_messages"), "any"
        elif target == "k, v":
            it, kind = self.pick("d.items()", "d | dictsort", "messages[0].items()", "people[0] | items", "[(1, 2), (3, 4)]", "nope", "['ab', 'cd']", "dict(a=1).items()"), "any"
        else:
            it, kind = self.pick("range(3)", "range(messages | length)", "nums", "words", self.expr("list"), "s", "nums | map('string')", "words | select('string')", "d", "[]", "nope"), "any"
        test = f" if {self.pick(self.expr('bool'), 'm.role == ' + chr(39) + 'user' + chr(39), target.split(',')[0] + ' is defined', target.split(',')[0], 'loop is defined')}" if self.chance(0.25) else ""
        recursive = self.chance(0.05)
        self.scope.append([(n.strip(), kind) for n in target.split(",")])
        self.loop += 1
        out = self.tag(f"for {target} in {it}{test}{' recursive' if recursive else ''}") + self.body(depth, True)
        if recursive and self.chance(0.7):
            out += "{{ loop([" + self.expr() + "]) if loop.depth < 3 }}"
        self.loop -= 1
        self.scope.pop()
        if self.chance(0.15):
            out += self.tag("else") + self.body(depth)
        return out + self.tag("endfor")

    def macro(self, depth):
        params = self.r.sample(["x", "y", "sep", "u"], self.r.randrange(3))
        defaults = self.r.randrange(len(params) + 1)
        signature = [p if i < len(params) - defaults else f"{p}={self.expr()}" for i, p in enumerate(params)]
        name = self.pick("f", "g2", "box")
        self.scope.append([(p, "any") for p in params] + ([("varargs", "any"), ("kwargs", "any")] if self.chance(0.1) else []))
        saved, self.loop = self.loop, 0
        macros, self.macros = self.macros, [] if self.chance(0.9) else self.macros
        extra = "{{ caller(" + self.pick("", "1", self.expr()) + ") if caller is defined }}" if self.chance(0.3) else ""
        out = self.tag(f"macro {name}({', '.join(signature)})") + self.body(depth) + extra + self.tag("endmacro")
        self.loop, self.macros = saved, macros
        self.scope.pop()
        self.macros = self.macros + [(name, params)]
        return out

    def template(self):
        return "".join(self.statement(0, False) for _ in range(self.r.randrange(1, 6))) + self.pick("", "", "\n", "\n\n")


def cases(count, seed, most):
    r = random.Random(seed)
    variables = [conversation(r) for _ in range(12)]
    yield {"variables": variables}
    made = 0
    while made < count:
        template = Gen(r).template()
        which = r.randrange(len(variables))
        signal.alarm(20)  # ends the program: no template may take long
        c = {"t": template, "v": which, **render(template, variables[which])}
        signal.alarm(0)
        # Addresses of objects differ from run to run, and outputs that are very long say no more than others.
        if " at 0x" in c.get("out", "") or len(c.get("out", "")) > 5000 or len(template) > 3000:
            continue
        # Not one template in two may be an error: they are rendered up to it only.
        if "error" in c and r.random() < 0.6:
            continue
        if len(template) + len(c.get("out", "")) > most:
            continue
        made += 1
        yield c


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    for c in cases(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10**9):
        print(json.dumps(c, ensure_ascii=False))
