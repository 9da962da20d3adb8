"""What bench/gpu.sh measured, for people: Go's benchmarks beside PyTorch's lines of JSON, and the goals.

    python bench/peers/compare.py DIR        reads go.txt, peers.txt and summary.txt of DIR, writes table.md there, prints a short form

The median counts where the same thing was measured several times. What is short is so that the end of a log holds it; what matters
most comes last.
"""
import json
import os
import re
import statistics
import sys

from shapes import models

LAYERS = {name: m.Layers for name, m in models.items()}
PEAK = 989e12  # bench/step_test.go's: what %MFU is a share of
LIMIT = 11000  # characters of the short form


class Results:
    """By name: our microseconds and rates, every peer's microseconds (None: it failed), and what else a peer said."""

    def __init__(self):
        self.ours, self.rates, self.peers, self.said, self.order, self.notes = {}, {}, {}, {}, [], []
        self.setup = ""  # how the step differs from the usual one

    def go(self, line):
        if line.startswith("== "):
            self.setup = "".join(f", {x}" for x in re.findall(r"-optim (\S+)|-(recompute)", line) for x in x if x)
        m = re.match(r"Benchmark(?:Large/|(Step)/)(\S+?)(?:-\d+)?\s+\d+\s+(.*)", line)
        if not m:
            return
        name = f"step/{m[2]}{self.setup}" if m[1] else m[2]
        values = {unit: float(x) for x, unit in re.findall(r"(\S+) (\S+)", m[3].replace("\t", " "))}
        if "ns/op" not in values:
            return
        self.name(name)
        self.ours.setdefault(name, []).append(values.pop("ns/op") / 1e3)
        for unit, x in values.items():
            self.rates.setdefault(name, {}).setdefault(unit, []).append(x)

    def peer(self, line):
        if not line.startswith("{"):
            return
        try:
            x = json.loads(line)
        except ValueError:
            return  # cut off by the time limit
        if "name" not in x:
            self.notes.append(", ".join(f"{k} {v}" for k, v in x.items()))
            return
        name, peer = x["name"], x["peer"]
        self.name(name)
        times = self.peers.setdefault(name, {}).setdefault(peer, [])
        if "us" in x:
            times.append(x["us"])
            self.said[name, peer] = ", ".join(f"{v:.0f} {k}" if k == "MiB" else f"{v:.3g} {k}" for k, v in x.items() if k in ("MiB", "GiB", "pairs/s"))
        elif not times:
            self.said[name, peer] = x["error"]

    def name(self, name):
        if name not in self.order:
            self.order.append(name)

    def us(self, name):
        return statistics.median(self.ours[name]) if name in self.ours else None

    def rate(self, name, unit):
        values = self.rates.get(name, {}).get(unit)
        return statistics.median(values) if values else None

    def theirs(self, name):
        """(peer, microseconds) of those that ran."""
        return [(p, statistics.median(t)) for p, t in self.peers.get(name, {}).items() if t]

    def extend(self):
        """The time of all layers from that of some: the straight line through the depths. Where all were measured, nothing."""
        for model, layers in LAYERS.items():
            depths = {n: int(m[1]) for n in self.order if (m := re.fullmatch(rf"step/{model}_(\d+)layers", n))}
            whole = [n for n in self.ours if n.split(",")[0] == f"step/{model}"]
            name = f"step/{model}, {layers} layers EXTRAPOLATED"
            if not whole and (us := line({d: self.us(n) for n, d in depths.items()}, layers)):
                at = [n for n in depths if self.us(n)]
                pairs = statistics.median(self.rate(n, "pairs/s") * self.us(n) for n in at) if all(self.rate(n, "pairs/s") for n in at) else None
                flops = line({depths[n]: self.rate(n, "%MFU") * self.us(n) for n in at if self.rate(n, "%MFU")}, layers)
                self.ours[name] = [us]
                self.rates[name] = {u: [x / us] for u, x in (("pairs/s", pairs), ("%MFU", flops)) if x}
                self.name(name)
            kinds = {}
            for n, d in depths.items():
                for p, us in self.theirs(n):
                    kinds.setdefault(p, {})[d] = us
            if not self.theirs(f"step/{model}"):
                for p, times in kinds.items():
                    if us := line(times, layers):
                        self.name(name)
                        self.peers.setdefault(name, {})[p] = [us]

    def wholes(self):
        """Every step that can be set beside PyTorch's: our name, the peers' name."""
        for n in self.order:
            if n.startswith("step/") and n in self.ours:
                whole = n.split(",")[0]
                extended = f"{whole}, {LAYERS.get(whole[5:], 0)} layers EXTRAPOLATED"
                yield n, next((p for p in (n, whole, extended) if self.theirs(p)), n)


def line(points, x):
    """The least squares' line at x, None with fewer than two points."""
    points = {k: v for k, v in points.items() if v}
    if len(points) < 2:
        return None
    mx, my = statistics.mean(points), statistics.mean(points.values())
    slope = sum((k - mx) * (v - my) for k, v in points.items()) / sum((k - mx) ** 2 for k in points)
    return my + slope * (x - mx)


def long(r):
    yield "| what | ours, µs | ours | peer | peer, µs | peer's | times as fast |\n|---|---|---|---|---|---|---|"
    for name in r.order:
        mine = r.us(name)
        rate = ", ".join(f"{statistics.median(v):.4g} {unit}" for unit, v in r.rates.get(name, {}).items())
        for peer, times in (r.peers.get(name) or {"–": None}).items():
            theirs = statistics.median(times) if times else None
            ratio = f"{theirs / mine:.2f}" if mine and theirs else "–"
            us = [f"{x:.1f}" if x else "–" for x in (mine, theirs)]
            yield f"| {name} | {us[0]} | {rate or '–'} | {peer} | {us[1]} | {r.said.get((name, peer), '')[:100]} | {ratio} |"


def short(r):
    for name in r.order:
        mine = r.us(name)
        text = f"{name:32} " + (f"{mine:9.1f} µs" if mine else "   not measured")
        rates = r.rates.get(name, {})
        text += "".join(f" {statistics.median(rates[u]):.4g} {u}" for u in ("GB/s", "TFLOP/s", "pairs/s", "GiB", "%MFU") if u in rates)
        for peer, times in r.peers.get(name, {}).items():
            theirs = statistics.median(times) if times else None
            text += f" | {peer[:24]} " + (f"{theirs / mine:.2f}×" if mine and theirs else f"{theirs:.1f} µs" if theirs else "failed")
        yield text


def goals(r):
    """The goals of a run on an H100: what was measured, and whether it suffices."""

    def goal(what, values, low=None, high=None, unit=""):
        if not values:
            return f"GOAL not measured: {what}"
        ok = [(low is None or x >= low) and (high is None or x <= high) for _, x in values]
        shown = sorted(values, key=lambda v: v[1], reverse=high is not None)  # the worst first
        return f"GOAL {'reached' if all(ok) else 'MISSED '} {sum(ok)} of {len(ok)}: {what}: " + ", ".join(f"{n} {x:.3g}{unit}" for n, x in shown[:6])

    def against(pattern, peer):
        return [(n, us / r.us(n)) for n in r.order if re.fullmatch(pattern, n) and r.us(n) for p, us in r.theirs(n) if re.fullmatch(peer, p)]

    def ceiling(name, unit):  # the better of ours and PyTorch's
        x = r.rate(name, unit)
        return x and max([x] + [x * r.us(name) / us for _, us in r.theirs(name)])

    copy, product = ceiling("copy", "GB/s"), ceiling("matmul/8192", "TFLOP/s")
    bound = "(embed|embed_backward|gather|rmsnorm|rmsnorm_backward|slice_norm|slice_norm_backward|rope|add_bias|add_bias_backward|lora|lora_backward|swiglu|swiglu_backward|geglu|geglu_backward|scale|soft_cap|grad_norm|adamw|adamw_8bit|sample|logprobs)(/.*)?"
    steps = [(n, us / r.us(n)) for n, p in r.wholes() for kind, us in [min(((k, u) for k, u in r.theirs(p) if k.startswith("rows")), key=lambda x: x[1], default=(None, None))] if us]
    yield "ceilings of this run: copy " + (f"{copy:.0f} GB/s" if copy else "not measured") + ", product of 8192³ " + (f"{product:.0f} TFLOP/s" if product else "not measured")
    yield goal("matrix products, times as fast as PyTorch's, ≥ 0.97", against(r"matmul(_dx|_dw)?/.*", r"linear|matmul"), low=.97)
    if product:
        of = sorted((r.rate(n, "TFLOP/s") / product, n) for n in r.order if n != "matmul/8192" and r.rate(n, "TFLOP/s"))
        yield "shares of that product's rate: " + ", ".join(f"{n} {x:.2f}" for x, n in of)[:700]
    yield goal("memory-bound kernels, share of the copy's bandwidth, ≥ 0.85", [(n, r.rate(n, "GB/s") / copy) for n in r.order if re.fullmatch(bound, n) and r.rate(n, "GB/s")] if copy else [], low=.85)
    yield goal("attention forward, times as fast as SDPA's flash, ≥ 0.9", against(r"attention/.*_(VAR16|CAU16)", "SDPA flash"), low=.9)
    yield goal("forest attention forward, times as fast as FlexAttention, ≥ 3", against(r"attention/.*_TREE16", "FlexAttention"), low=3)
    yield goal("linear cross-entropy, Llama-3.1-8B, ms, ≤ 20", [("critique_loss/L8", r.us("critique_loss/L8") / 1e3)] if r.us("critique_loss/L8") else [], high=20)
    yield goal("linear cross-entropy, Llama-3.1-8B, GiB beside weights and their gradient, ≤ 1.5", [("critique_loss/L8", x)] if (x := r.rate("critique_loss/L8", "GiB")) else [], high=1.5)
    yield goal("a step, times as fast as PyTorch's best row by row, ≥ 2", steps, low=2)


def read(path, each):
    if os.path.exists(path):
        for text in open(path, errors="replace"):
            each(text)


def report(folder):
    """(table.md, the short form)"""
    r, summary = Results(), []
    read(os.path.join(folder, "go.txt"), r.go)
    read(os.path.join(folder, "peers.txt"), r.peer)
    read(os.path.join(folder, "summary.txt"), lambda x: summary.append(x.rstrip("\n")))
    r.extend()
    bad = [x for x in summary if re.search("FAIL|STOPPED|no time|there is no|[1-9]\\d* error", x)]
    bad += [f"- peer failed: {n}, {p}: {r.said[n, p][:120]}" for n in r.peers for p, t in r.peers[n].items() if not t]
    ends = [*r.notes[:1], *bad[-25:], *goals(r)]
    starts = [*short(r), *(x for x in summary if x not in bad)]
    while starts and sum(len(x) + 1 for x in starts + ends) > LIMIT:
        starts.pop(0)
    return "\n".join([*r.notes[:1], "", *long(r), "", *summary, "", *goals(r)]) + "\n", "\n".join(starts + ends)


if __name__ == "__main__":
    table, text = report(sys.argv[1])
    with open(os.path.join(sys.argv[1], "table.md"), "w") as f:
        f.write(table)
    print(text)
