package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/corpus"
)

const dataRows = `{"id":"a","prompt":"What is the name of the longest river that ends in the Black Sea?","chosen":"The Danube.","rejected":"The Don","category":"x"}
{"id":"b","prompt":"What is the name of the longest river that ends in the Black Sea??","chosen":"The Danube.","rejected":"The Volga, I am quite sure","category":"y"}
{"id":"c","prompt":"Name a prime.","chosen":"7","rejected":"8","category":"x","margin":2}
{"id":"d","prompt":"Name an even number.","chosen":"4","rejected":"3","category":"y"}
`

func TestDataCheck(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "p.jsonl"), dataRows)
	out, errs := must(t, "data", "check", in, "--model", tinyModel(t))
	for _, want := range []string{"4 pairs of 4 prompts, 2 × x, 2 × y", "tokens of whole", "the longer response is the chosen one in 50.0 % (95 % interval", "note: " + in + ": 1 of 4 prompts nearly repeat an earlier one", "benchmarks looked up: ", "RewardBench 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, errs)
		}
	}
	code, out, errs := command(t, "data", "check", in, "--strict", "--max_length", "1", "--model", tinyModel(t), "--json")
	var r corpus.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Files[0].Over != 4 || len(r.Findings) == 0 || !r.Findings[0].Wrong {
		t.Errorf("%v in\n%s", err, out)
	}
	if code != exitData || errs != "criticrm: "+in+": 1 findings are wrong, the first: 4 of 4 records are longer than 1 tokens: --overlong decides on them\n" {
		t.Errorf("%d %q", code, errs)
	}
	bad := writeFile(t, filepath.Join(dir, "bad.jsonl"), dataRows+`{"prompt":"p","chosen":"a"}`+"\n")
	out, _ = must(t, "data", "check", bad, "--against", in)
	for _, want := range []string{"bad: 1 × key \"rejected\" is missing", bad + ":5: ", "wrong: " + in + ": 4 prompts (4 rows) are also in " + bad, "held against " + in} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for args, want := range map[string]string{
		"data check":                         "want a FILE or several (see 'criticrm data check --help')",
		"data chekc":                         `unknown command "chekc", did you mean "check"? (see 'criticrm data --help')`,
		"data check nothing.jsonl":           "no such file",
		"data check some/name":               "does not have it, and HF_HUB_OFFLINE forbids the network",
		"data check a.jsonl --max_length 9":  "--max_length is in tokens of a whole conversation, which only a model directory with a chat template counts",
		"data check a.jsonl --draws -1":      "--draws, --level",
		"data check a.jsonl --model nothing": "no such file",
		"data check a.jsonl --againsst x":    "did you mean --against?",
		"data split --in x":                  "--train_out is missing",
		"data stats --in x":                  "--html is missing",
		"data convert --in x --out y --to z": `--to: form "z" is not known`,
	} {
		if code, _, errs := command(t, strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %q, want %q", args, code, errs, want)
		}
	}
}

func TestDataConvertSplitStats(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "p.jsonl"), dataRows+`{"prompt":"p","chosen":"a"}`+"\n")
	at := func(name string) string { return filepath.Join(dir, name) }
	if code, _, errs := command(t, "data", "convert", "--in", in, "--out", at("o.jsonl")); code != exitData || !strings.Contains(errs, "p.jsonl:5: ") {
		t.Errorf("%d %q", code, errs)
	}
	out, errs := must(t, "data", "convert", "--in", in, "--out", at("o.jsonl.zst"), "--form", "cloud", "--max_bad", "1")
	if out != at("o.jsonl.zst")+": 4 rows as cloud\n" || !strings.Contains(errs, "1 bad rows left out, listed in "+at("o.jsonl.zst.bad.jsonl")) || !strings.Contains(errs, "margin of 1 rows") {
		t.Errorf("%q %q", out, errs)
	}
	out, _ = must(t, "data", "convert", "--in", at("o.jsonl.zst"), "--out", "-", "--to", "trl")
	if strings.Count(out, "\n") != 4 || !strings.HasPrefix(out, `{"prompt":[{"role":"user","content":"What is`) {
		t.Error(out)
	}
	out, errs = must(t, "data", "split", "--in", in, "--max-bad", "1", "--share", "0.25", "--train-out", at("t.jsonl"), "--eval-out", at("e.jsonl"))
	if out != at("t.jsonl")+": 3 rows of 3 prompts\n"+at("e.jsonl")+": 1 rows of 1 prompts (25.0 % of the rows)\n1 prompts stay with others that they nearly repeat\n"+strings.Join(strings.Split(out, "\n")[3:], "\n") ||
		!strings.Contains(errs, "listed in "+at("t.jsonl.bad.jsonl")) {
		t.Errorf("%q %q", out, errs)
	}
	train := readFile(t, at("t.jsonl"))
	if !strings.Contains(train, `"id":"a"`) || !strings.Contains(train, `"id":"b"`) {
		t.Errorf("near duplicates are parted:\n%s", train)
	}
	out, _ = must(t, "data", "stats", "--in", in, "--html", at("p.html"), "--model", tinyModel(t))
	page, err := os.ReadFile(at("p.html"))
	if err != nil || !strings.Contains(string(page), "Lengths in tokens") || !strings.HasSuffix(out, " KB\n") {
		t.Errorf("%v, %q", err, out)
	}
	if code, _, errs := command(t, "data", "stats", "--in", in, "--html", in); code != exitUsage || !strings.Contains(errs, "is what is read") {
		t.Errorf("%d %q", code, errs)
	}
}
