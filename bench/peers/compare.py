"""A table of Go benchmarks beside the peers' lines of JSON; of several runs of the same thing the median counts.

    python bench/peers/compare.py go.txt peers.jsonl
"""
import json
import re
import statistics
import sys

ours, rates, order = {}, {}, []
for line in open(sys.argv[1]):
    m = re.match(r"Benchmark(?:Large/|(Step)/)(\S+?)(?:-\d+)?\s+\d+\s+(.*)", line)
    if not m:
        continue
    name = ("step/" if m[1] else "") + m[2]
    values = dict((unit, float(x)) for x, unit in re.findall(r"(\S+) (\S+)", m[3].replace("\t", " ")))
    if name not in ours:
        order.append(name)
    ours.setdefault(name, []).append(values.pop("ns/op") / 1e3)
    for unit, x in values.items():
        rates.setdefault(name, {}).setdefault(unit, []).append(x)

peers, said = {}, {}
for line in open(sys.argv[2]):
    if not line.startswith("{"):
        continue
    x = json.loads(line)
    if "name" not in x:
        print(line.strip() + "\n")
    elif "us" in x:
        peers.setdefault(x["name"], {}).setdefault(x["peer"], []).append(x["us"])
        said[x["name"], x["peer"]] = ", ".join(f"{v:.0f} {k}" if k == "MiB" else f"{v:.3g} {k}" for k, v in x.items() if k in ("MiB", "GiB", "pairs/s"))
    else:
        peers.setdefault(x["name"], {})[x["peer"]] = None
        said[x["name"], x["peer"]] = x["error"][:60]
    if "name" in x and x["name"] not in order:
        order.append(x["name"])

print("| what | ours, µs | ours | peer | peer, µs | peer's | times as fast |\n|---|---|---|---|---|---|---|")
for name in order:
    mine = statistics.median(ours[name]) if name in ours else None
    rate = ", ".join(f"{statistics.median(v):.4g} {unit}" for unit, v in rates.get(name, {}).items())
    for peer, times in (peers.get(name) or {"–": None}).items():
        theirs = statistics.median(times) if times else None
        ratio = f"{theirs / mine:.2f}" if mine and theirs else "–"
        us = [f"{x:.1f}" if x else "–" for x in (mine, theirs)]
        print(f"| {name} | {us[0]} | {rate or '–'} | {peer} | {us[1]} | {said.get((name, peer), '')} | {ratio} |")
