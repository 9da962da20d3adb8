"""Random numbers scored by `criticrm eval` and by the benchmarks' own programs, which must agree to 1e-12.

    python bench/peers/benchmarks.py CRITICRM [golden=FILE] [reward-bench=DIR] [rm-bench=DIR] [judgebench=DIR] [criticbench=DIR] [crosseval=DIR]

Each DIR is a checkout of allenai/reward-bench, THU-KEG/RM-Bench, ScalerLab/JudgeBench, CriticBench/CriticBench or
facebookresearch/llm-cross-capabilities; without it that benchmark is skipped, and the line says so. Of their files only the functions
that score are run, so nothing but numpy, pandas, scipy, scikit-learn and datasets is needed. If JudgeBench's checkout has outputs of
reward models, these are scored as well. Numbers are coarse, so that there are ties. The seed is fixed. Exit code 1: a score differs. golden=measure/testdata/benchmarks.json writes fewer numbers, and
what the owners' programs make of them, for Go's tests, which need none of this.
"""
import ast
import collections
import glob
import json
import os
import random
import subprocess
import sys
import tempfile


def functions(path, *names, **scope):
    """Functions of a file and what they call there, without running the rest of it; methods of classes too."""
    import typing
    there = {n.name: n for n in ast.walk(ast.parse(open(path).read())) if isinstance(n, ast.FunctionDef)}
    found, open_names = [], list(names)
    while open_names:
        if (node := there.pop(open_names.pop(), None)) is not None:
            found.append(node)
            open_names += [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    scope = {"np": __import__("numpy"), "pd": __import__("pandas"), "defaultdict": collections.defaultdict, **vars(typing), **scope}
    exec(compile(ast.Module(found, []), path, "exec"), scope)
    return [scope[n] for n in names]


def constants(path):
    scope = {}
    exec(open(path).read(), scope)
    return scope


def ours(rows):
    """The first method's scores of rows."""
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/in.jsonl", "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
        subprocess.run([PROGRAM, "eval", "--in", f"{d}/in.jsonl", "--json", f"{d}/out.json", "--draws", "1"], check=True, capture_output=True)
        method = json.load(open(f"{d}/out.json"))["methods"][0]
    return {s["name"]: s["value"] for s in method["scores"]}


def some(n):
    """How many rows are made in place of n."""
    return n // 10 + 3 if "golden" in folders else n


def pair(name, part, i, right, wrong, second=False):
    return {"id": f"{name}-{part}-{i}", "prompt": f"{part} {i}", "chosen": "a", "rejected": "b", "chosen_reward": right, "rejected_reward": wrong,
            "benchmark": {"name": name, "part": part, "second": second}}


def answers(name, part, row, right, rewards, **more):
    return [{"id": f"{row}/{i}", "prompt": f"{part} {row}", "response": "x", "reward": v, "correct": i < right,
             "benchmark": {"name": name, "part": part, "row": row, "answer": i, "answers": len(rewards), **more}} for i, v in enumerate(rewards)]


def coarse():
    return random.randint(-8, 8) / 4


def compare(what, rows, want):
    global failed
    got = ours(rows)
    if "golden" in folders and "output" not in what:
        goldens.append({"name": rows[0]["benchmark"]["name"], "rows": compact(rows), "want": {k: float(v) for k, v in want.items()}})
    for name, value in want.items():
        good = abs(got[name] - value) <= 1e-12
        failed |= not good
        print(f"{what}: {name}: {'equal' if good else 'DIFFERENT'}, {got[name]!r} and {float(value)!r}")


def compact(rows):
    """Part, right answers, numbers and what else the rule needs of each row."""
    out = {}
    for r in rows:
        b = r["benchmark"]
        one = out.setdefault(b.get("row", r["id"]), {k: b[k] for k in ("part", "group", "second") if b.get(k)} | {"row": b.get("row", r["id"]), "right": 0, "values": []})
        if "chosen" in r:
            one["values"] = [r["chosen_reward"], r["rejected_reward"]]
            continue
        one["right"] += r.get("correct", False)
        one["values"].append(r["critiques"][0].get("score") if "critiques" in r else r["reward"])
        if "rating" in b:
            one.setdefault("ratings", []).append(b["rating"])
    return list(out.values())


def reward_bench(folder):
    theirs = constants(f"{folder}/rewardbench/constants.py")
    section, = functions(f"{folder}/rewardbench/utils.py", "calculate_scores_per_section")
    rows, hits = [], {}
    for part, n in {**theirs["EXAMPLE_COUNTS"], "math-prm": 447}.items():
        n = some(n)
        scores = [(coarse(), coarse()) for _ in range(n)]
        rows += [pair("rewardbench", part, i, *s) for i, s in enumerate(scores)]
        hits[part] = sum(1 if a > b else 0 for a, b in scores) / n
    want = section(theirs["EXAMPLE_COUNTS"], theirs["SUBSET_MAPPING"], hits)
    compare("RewardBench", rows, {**want, "score": sum(want.values()) / 4})


def reward_bench_2(folder):
    from datasets import Dataset
    reroll, ties = functions(f"{folder}/rewardbench/utils.py", "reroll_and_score_dataset", "process_single_model", Dataset=Dataset, math=__import__("math"))
    rows, want = [], {}
    for part in ["Factuality", "Precise IF", "Math", "Safety", "Focus"]:
        n = some(100)
        lists = [[coarse() for _ in range(4)] for _ in range(n)]
        for i, v in enumerate(lists):
            rows += answers("rewardbench2", part, f"{part}-{i}", 1, v)
        flat = Dataset.from_dict({"text": ["x"] * 4 * n, "scores": sum(lists, []), "id": [str(i) for i in range(n) for _ in range(4)]})
        want[part] = sum(reroll(flat, [4] * n)["results"]) / n
    samples = []
    for i in range(some(51)):
        for kind, right in ("ref", 1), ("tied", random.randint(2, 5)):
            v = [coarse() + (1 if k < right else 0) for k in range(right + random.randint(2, 6))]
            samples.append({"id": f"{kind}:{i}", "scores": v, "num_correct": right})
            rows += answers("rewardbench2", "Ties", f"{kind}:{i}", right, v)
    want["Ties"] = ties(Dataset.from_list(samples))[1]
    compare("RewardBench 2", rows, {**want, "score": sum(want.values()) / 6})


def rm_bench(folder):
    accuracy, = functions(f"{folder}/scripts/utils.py", "compute_accuracy")
    rows, theirs = [], []
    for part, n in {"chat": 129, "math": 52, "code": 228, "safety-refuse": 284, "safety-response": 157}.items():
        for i in range(some(n)):
            v = [coarse() for _ in range(6)]
            rows += answers("rmbench", part, f"{part}-{i}", 3, v)
            theirs.append({"domain": part, "score_chosen": v[:3], "score_rejected": v[3:]})
    want = accuracy(theirs)
    compare("RM-Bench", rows, {"score": want.pop("total_avg_acc"), **{k.removesuffix("_acc"): v for k, v in want.items()}})


def judgebench(folder):
    metrics, _ = functions(f"{folder}/utils/metrics.py", "compute_final_metrics", "flip_judgment")
    sources = ["mmlu-pro", "livebench-reasoning", "livebench-math", "livecodebench"]

    def check(what, theirs, scores):
        rows = []
        for i, (t, (a, b)) in enumerate(zip(theirs, scores)):
            second = t["label"] == "B>A"
            rows.append(pair("judgebench", t["source"], i, *((b, a) if second else (a, b)), second))
        want = {s: metrics(theirs, False, lambda x: x["source"].startswith(s)) / 100 for s in sources if any(t["source"].startswith(s) for t in theirs)}
        compare(what, rows, {**want, "score": metrics(theirs, False) / 100})

    scores = [(coarse(), coarse()) for _ in range(some(350))]
    theirs = [{"label": random.choice(["A>B", "B>A"]), "source": random.choice(sources) + "-x", "judgments": [{"decision": "A>B" if a > b else "B>A"}]} for a, b in scores]
    check("JudgeBench", theirs, scores)
    for path in sorted(glob.glob(f"{folder}/outputs/*judge_name=reward_model*")):
        theirs = [json.loads(line) for line in open(path)]
        check("JudgeBench, their output of " + path.split("judge_model=")[1], theirs, [t["judgments"][0]["judgment"]["scores"] for t in theirs])


def criticbench(folder):
    from sklearn.metrics import f1_score
    analyse, = functions(f"{folder}/src/infer/result_processor.py", "analyse_result", f1_score=f1_score)
    rows, theirs, checks = [], [], {}
    for i in range(some(600)):
        source, kind = random.choice([("GSM8K", "math"), ("MATH", "math"), ("MBPP", "code"), ("CSQA", "commonsense")])
        right, score = random.random() < .4, random.choice([None, *range(1, 11)])
        row, = answers("criticbench", source, str(i), int(right), [0], group=kind)
        del row["reward"]
        row["critiques"] = [{"text": "x", "finish_reason": "stop", **({} if score is None else {"score": score})}]
        rows.append(row)
        theirs.append({"id": i, "question_source": source, "question_type": kind})
        checks[i] = {"critique_check": [right, (not right) if score is None else score >= 6]}
    total, by_type, by_set = analyse(None, "critique", theirs, checks)
    want = {"critique score (F1)": total, **{"type " + k: v for k, v in by_type.items()}, **{"set " + k: v for k, v in by_set.items()}}
    compare("CriticBench", rows, {k: v / 100 for k, v in want.items()})


def crosseval(folder):
    import pandas
    correlations, capabilities = functions(f"{folder}/correlation/calculate_correlations.py", "calculate_correlations", "calculate_capability_correlations")
    rows, table = [], []
    for i in range(some(200)):
        part, entry = random.choice(["English", "Coding", "Image"]), {}
        for k in range(1, 4):
            people = [random.randint(1, 5), random.randint(1, 5)]
            entry |= {f"response_{k}_human_1_rating": people[0], f"response_{k}_human_2_rating": people[1], f"response_{k}_llm_rating": sum(people) / 4 + coarse()}
        table.append({"capability": part, **entry})
        made = answers("crosseval", part, str(i), 0, [entry[f"response_{k}_llm_rating"] for k in range(1, 4)])
        for k, row in enumerate(made, 1):
            del row["correct"]
            row["benchmark"]["rating"] = (entry[f"response_{k}_human_1_rating"] + entry[f"response_{k}_human_2_rating"]) / 2
        rows += made
    table = pandas.DataFrame(table)
    want = {k.capitalize(): v["overall"] for k, v in correlations(table).items()}
    want |= {"Pearson " + k: v for k, v in capabilities(table).items()}
    compare("CrossEval", rows, want)


PROGRAM, failed, goldens = sys.argv[1], False, []
folders = dict(a.split("=", 1) for a in sys.argv[2:])
for name, checks in {"reward-bench": [reward_bench, reward_bench_2], "rm-bench": [rm_bench], "judgebench": [judgebench], "criticbench": [criticbench], "crosseval": [crosseval]}.items():
    if name not in folders or not os.path.isdir(folders[name]):
        print(f"{name}: skipped, no checkout of it is given")
        continue
    for check in checks:
        random.seed(13)
        check(folders[name])
if "golden" in folders and not failed:
    with open(folders["golden"], "w") as f:
        f.write("[" + ",\n".join(json.dumps(g, separators=(",", ":")) for g in goldens) + "]\n")
sys.exit(failed)
