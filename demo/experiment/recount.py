"""Makes the tables and paired differences of `criticrm demo` again from what the models wrote about each pair: python3 recount.py [directory of the demo]

results.json says which rows there are, pairs/ has critiques, scores and rewards. A figure that is another in results.json is an error."""
import glob, gzip, json, os, random, re, struct, sys

root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))

def read(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]

def mean(values):
    return sum(values) / len(values) if values else None

def opinion(pair, side, reading, m, group):  # of one response, by m critiques; None: they have no score
    if reading == "length":
        return len(pair[side])
    if m == 0:
        return pair[side + "_reward"]
    part = pair[side + "_critiques"][group * m:(group + 1) * m]
    if reading == "reward":  # a 32-bit number
        return mean([struct.unpack("f", struct.pack("f", c["reward"]))[0] for c in part])
    return mean([c["score"] for c in part if c.get("score") is not None])

def correct(pair, reading, m):  # share of the disjoint groups of m critiques that put chosen ahead, ties one half
    groups = range(len(pair["chosen_critiques"]) // m if m else 1)
    both = [[opinion(pair, side, reading, m, g) for side in ("chosen", "rejected")] for g in groups]
    return mean([0.5 if None in (a, b) or a == b else float(a > b) for a, b in both])

def temperature(path):  # the best on the validation split, the lowest of the best
    best = (-1, 0)
    for valid in glob.glob(glob.escape(re.sub(r"\.eval\..*", ".valid.T", path)) + "*.jsonl.gz"):
        pairs, t = read(valid), float(re.search(r"\.T([\d.]+)\.jsonl", valid)[1])
        reading = "reward" if "chosen_reward" in pairs[0] else "own score"
        best = max(best, (mean([correct(p, reading, results["averaged"] if t else 1) for p in pairs]), -t))
    return -best[1]

def full(row):  # name of a row, as differences have it
    name = (row["ablation"] + ": " if "ablation" in row else "") + row["method"]
    if row["reading"] == "own score" and row["method"] != "LLM judge (base)":
        name += ", own score"
    t, m = ([str(s.get(key)) for s in row["seeds"]] for key in ("temperature", "m"))
    one = lambda texts: texts[0] if len(set(texts)) == 1 else "/".join(texts)
    return name if t[0] == "None" else f"{name} (T = {one(t)}, m = {one(m)})"

def interval(pairs, values, draws=400):  # 95 %, bootstrap over the prompts
    prompts, rng = {}, random.Random(1)
    for p, v in zip(pairs, values):
        prompts.setdefault(p["prompt"], []).append(100 * v)
    drawn = [sum(rng.choices(list(prompts.values()), k=len(prompts)), []) for _ in range(draws)]
    means = sorted(map(mean, drawn))
    return means[draws // 40], means[-1 - draws // 40]

def same(what, here, there, within):
    if abs(here - there) > within:
        faults.append(f"{what}: {here} here, {there} in results.json")

def hold(name, pairs, seeds, there, at):  # the mean over seeds and its interval against those of results.json
    values = [mean(v) for v in zip(*seeds)]
    value, (low, high) = 100 * mean(values), interval(pairs, values)
    about = (high - low) / 5 + 100 / len(pairs)  # other draws
    for what, x, within in ("value", value, 1e-6), ("low", low, about), ("high", high, about):
        same(f"{name}, {what}", x, there[what], within)
    print(f"{name:90} {at:14} {value:.1f} [{low:.1f}, {high:.1f}]")

with open(os.path.join(root, "results.json"), encoding="utf-8") as f:
    results = json.load(f)
faults = []
for task in results["tasks"]:
    rows = {}
    for row in task["table"]:
        name, seeds = f"{task['name']}: {row.get('ablation', '')} {row['method']}, {row['reading']}", rows.setdefault(full(row), {})
        for s in row["seeds"]:
            pairs = read(path := os.path.join(root, s["file"]))
            seeds[s["seed"]] = [correct(p, row["reading"], s["m"]) for p in pairs]
            same(f"{name}, seed {s['seed']}", 100 * mean(seeds[s["seed"]]), s["accuracy"], 1e-6)
            if row["at"] == "chosen" and s["m"]:
                same(name + ", T", temperature(path), s["temperature"], 0)
        hold(name, pairs, seeds.values(), row["overall"], f"T {s.get('temperature', '-')} m {s['m']}")
    for d in task["differences"]:  # paired, of the seeds that both rows have
        if d["a"] not in rows or d["b"] not in rows:
            faults.append(f"{task['name']}: {d['what']}: {d['a']} or {d['b']} is no row of results.json")
            continue
        a, b = rows[d["a"]], rows[d["b"]]
        hold(f"{task['name']}: {d['what']}", pairs, [[x - y for x, y in zip(a[seed], b[seed])] for seed in a if seed in b], d["difference"], "points")
sys.exit("\n".join(faults) or None)
