package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// Each command, stopped by a signal or killed, goes on or begins again, and ends as one that was let be.
func TestDataGoesOn(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(dir, "tmp"))
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	var b strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&b, `{"id":"%d","prompt":"What is %x and %x?","chosen":"%s","rejected":"b","margin":1}`+"\n", i, sha256.Sum256([]byte{byte(i)}), sha256.Sum256([]byte{byte(i >> 8)}), strings.Repeat("a", 900+i%50))
	}
	in := writeFile(t, at("in.jsonl"), b.String()+`{"prompt":"p"}`+"\n")
	for _, c := range []struct {
		name, part string
		outs, args []string
	}{
		{"convert", at("o.jsonl.part"), []string{at("o.jsonl"), at("o.jsonl.bad.jsonl")}, []string{"data", "convert", "--in", in, "--out", at("o.jsonl"), "--to", "trl", "--max_bad", "1"}},
		{"split", at("t.jsonl.rows.part"), []string{at("t.jsonl"), at("e.jsonl.gz")}, []string{"data", "split", "--in", in, "--train_out", at("t.jsonl"), "--eval_out", at("e.jsonl.gz"), "--max_bad", "1"}},
		{"split", at("t.jsonl.part"), []string{at("t.jsonl"), at("e.jsonl.gz")}, []string{"data", "split", "--in", in, "--train_out", at("t.jsonl"), "--eval_out", at("e.jsonl.gz"), "--max_bad", "1"}},
		{"check", at("tmp/criticrm-*/*.part"), nil, []string{"data", "check", in, "--draws", "10"}},
	} {
		whole, _ := must(t, c.args...)
		want := map[string]string{}
		for _, out := range c.outs {
			want[out] = readFile(t, out)
		}
		begun := func() bool {
			found, _ := filepath.Glob(c.part)
			for _, path := range found {
				if info, err := os.Stat(path); err == nil && info.Size() > 0 {
					return true
				}
			}
			return false
		}
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			for _, out := range c.outs {
				os.Remove(out)
			}
			if code := signalled(t, s, begun, c.outs, c.args...); s == syscall.SIGTERM && code != 128+int(s) {
				t.Errorf("%s: exit code %d", c.name, code)
			}
			for _, out := range c.outs {
				if _, err := os.Stat(out); err == nil {
					t.Errorf("%s: stopped by %v, it leaves %s", c.name, s, out)
				}
			}
			said, errs := must(t, c.args...)
			if on := strings.Contains(errs, c.name+": going on after "); said != whole || on != (s == syscall.SIGTERM) {
				t.Errorf("%s behind %v: %q %q, want %q", c.name, s, said, errs, whole)
			}
			for out, text := range want {
				if readFile(t, out) != text {
					t.Errorf("%s behind %v: %s is another one", c.name, s, out)
				}
			}
			left, _ := filepath.Glob(at("*.part*"))
			if more, _ := filepath.Glob(at("tmp/criticrm-*/*")); len(left)+len(more) > 0 {
				t.Errorf("%s behind %v: %v %v are left", c.name, s, left, more)
			}
		}
	}
	args := []string{"data", "convert", "--in", in, "--out", at("o.jsonl"), "--max_bad", "1", "--to"}
	os.Remove(at("o.jsonl"))
	begun := func() bool { info, err := os.Stat(at("o.jsonl.part")); return err == nil && info.Size() > 0 }
	signalled(t, syscall.SIGTERM, begun, []string{at("o.jsonl")}, append(args, "trl")...)
	want := "cannot resume " + at("o.jsonl") + `: to was "trl", now "cloud": choose another output or --restart`
	if code, _, errs := command(t, append(args, "cloud")...); code != exitUsage || !strings.Contains(errs, want) {
		t.Errorf("%d %q, want %q", code, errs, want)
	}
	must(t, append(args, "cloud", "--restart")...)
}
