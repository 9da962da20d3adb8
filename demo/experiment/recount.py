"""Makes the tables of `criticrm demo` again from what the models wrote about each pair: python3 recount.py [directory of the demo]

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

def interval(pairs, values, draws=400):  # 95 %, bootstrap over the prompts
    prompts, rng = {}, random.Random(1)
    for p, v in zip(pairs, values):
        prompts.setdefault(p["prompt"], []).append(100 * v)
    drawn = [sum(rng.choices(list(prompts.values()), k=len(prompts)), []) for _ in range(draws)]
    means = sorted(map(mean, drawn))
    return means[draws // 40], means[-1 - draws // 40]

with open(os.path.join(root, "results.json"), encoding="utf-8") as f:
    results = json.load(f)
faults, same = [], lambda what, a, b, within: [] if abs(a - b) <= within else [f"{what}: {a} here, {b} in results.json"]
for task in results["tasks"]:
    for row in task["table"]:
        name, seeds = f"{task['name']}: {row.get('ablation', '')} {row['method']}, {row['reading']}", []
        for s in row["seeds"]:
            pairs = read(path := os.path.join(root, s["file"]))
            seeds.append([correct(p, row["reading"], s["m"]) for p in pairs])
            faults += same(f"{name}, seed {s['seed']}", 100 * mean(seeds[-1]), s["accuracy"], 1e-6)
            if row["at"] == "chosen" and s["m"]:
                faults += same(name + ", T", temperature(path), s["temperature"], 0)
        values = [mean(v) for v in zip(*seeds)]
        value, (low, high), there = 100 * mean(values), interval(pairs, values), row["overall"]
        about = (high - low) / 5 + 100 / len(pairs)  # other draws
        faults += same(name, value, there["value"], 1e-6) + same(name + ", low", low, there["low"], about) + same(name + ", high", high, there["high"], about)
        print(f"{name:80} T {s.get('temperature', '-'):<4} m {s['m']:<3} {value:.1f} [{low:.1f}, {high:.1f}]")
sys.exit("\n".join(faults) or None)
