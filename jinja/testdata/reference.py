"""Jinja2 as transformers 5.24 sets it up for chat templates (utils/chat_template_utils.py), and what the tests of this folder store of it."""

import datetime
import json
import pathlib
import re

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

DAY = datetime.datetime(2024, 7, 26)


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_generation"), [], [], body).set_lineno(lineno)

    @jinja2.pass_eval_context
    def _generation(self, context, caller):
        return caller()


class Dict:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attrs = dict(*args, **kwargs)
        for name in attrs:
            Namespace._check_name(name)
        jinja2.utils.Namespace.__init__(self, attrs)

    def __setitem__(self, name, value):
        Namespace._check_name(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check_name(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: DAY.strftime(format)
    env.globals["dict"] = Dict()
    env.globals["namespace"] = Namespace
    return env


ENV = environment()


def render(template, variables):
    """{"out": …} or {"error": …}."""
    try:
        out = ENV.from_string(template).render(**json.loads(json.dumps(variables)))
        out.encode("utf-8")
        return {"out": out}
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"[:200]}


def families(folder):
    """Every *.jinja of a folder with every conversation of conversations.json, as reference.json beside them."""
    conversations = json.loads((folder / "conversations.json").read_text())
    result = {}
    for path in sorted(folder.glob("*.jinja")):
        with path.open(newline="") as f:
            text = f.read()
        result[path.stem] = [render(text, c) for c in conversations]
    (folder / "reference.json").write_text(json.dumps(result, ensure_ascii=False, indent=0) + "\n")
    for name, list_ in result.items():
        print(name, sum("out" in r for r in list_), "of", len(list_), "rendered;", {r["error"] for r in list_ if "error" in r})


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    families(here / "families")
    pairs = json.loads((here / "constructs.json").read_text())
    for c in pairs["cases"]:
        for key in ("out", "error"):
            c.pop(key, None)
        c.update(render(c["template"], pairs["variables"]))
    (here / "constructs.json").write_text(json.dumps(pairs, ensure_ascii=False, indent=0) + "\n")
    print(len(pairs["cases"]), "constructs,", sum("error" in c for c in pairs["cases"]), "of them errors")
