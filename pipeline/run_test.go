package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"criticrm/demo"
	"criticrm/kernels"
	"criticrm/measure"
	"criticrm/stage"
)

// The demo's task and base model are small and real: its critiques have scores that often agree with the labels.
const baseModel = "../demo/base"

func pairs(t *testing.T, path string, list []demo.Pair) string {
	t.Helper()
	var b bytes.Buffer
	for _, p := range list {
		line, err := json.Marshal(map[string]string{"id": p.ID, "prompt": p.Question.Prompt, "chosen": p.Chosen.Text, "rejected": p.Rejected.Text, "category": p.Question.Kind.Category()})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// small is a run of seconds over files in dir, into dir/out.
func small(t *testing.T, dir, out string) Config {
	t.Helper()
	c := Default()
	c.Dir, c.Prompts, c.OutputDir = baseModel, "../demo/prompts", filepath.Join(dir, out)
	c.TrainFile, c.EvalFile = filepath.Join(dir, "pairs.jsonl"), filepath.Join(dir, "held.jsonl")
	if _, err := os.Stat(c.TrainFile); err != nil {
		pairs(t, c.TrainFile, demo.Pairs(5, 40, demo.Train))
		pairs(t, c.EvalFile, demo.Pairs(6, 20, demo.Validation))
	}
	c.Generate.Critiques, c.Generate.Temperature, c.Generate.TopP, c.Generate.MaxTokens = 4, 1, 1, 60
	c.Refine.Mode, c.Refine.TopK, c.Refine.MetaSamples = "rank", 2, 1
	c.Train.MaxSteps, c.Train.BatchSize, c.Train.Accumulation, c.Train.LearningRate, c.Train.SaveSteps = 6, 4, 1, 1e-3, 2
	c.Eval.Samples, c.Eval.Draws = 2, 100
	return c
}

// finish runs a Config to its end.
func finish(t *testing.T, c Config, set Set, o Options) (*Results, string, error) {
	t.Helper()
	if err := c.Resolve(set); err != nil {
		t.Fatal(err)
	}
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	var log bytes.Buffer
	o.Log = &log
	r, err := Run(context.Background(), dev, c, o)
	return r, log.String(), err
}

func must(t *testing.T, c Config, o Options) (*Results, string) {
	t.Helper()
	r, log, err := finish(t, c, nil, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	return r, log
}

var wallClock = regexp.MustCompile(`"(tokens_per_second|eval_([a-z]+_)?runtime)": [^,}]*`)

// contents are the files of a run, by name, without what may differ between two of the same: clocks, and the folder's own name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == "checkpoints":
			return filepath.SkipDir
		case e.IsDir() || name == StateFile || name == lockFile:
			return nil
		case e.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			out[name] = "→ " + to
			return err
		}
		b, err := os.ReadFile(path)
		out[name] = wallClock.ReplaceAllString(strings.ReplaceAll(string(b), dir, "DIR"), "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// same wants two runs to have left the same bytes.
func same(t *testing.T, a, b string) {
	t.Helper()
	x, y := contents(t, a), contents(t, b)
	for name := range x {
		if _, ok := y[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if x[name] != y[name] {
			t.Errorf("%s differs", name)
		}
	}
	for name := range y {
		if _, ok := x[name]; !ok {
			t.Errorf("%s is left over", name)
		}
	}
}

// The whole method in one directory, with both baselines: what the files say fits together, and a second run of the same finds all done.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	c := small(t, dir, "run")
	c.Baselines = "bt, cloud"
	r, _ := must(t, c, Options{})
	var onDisk Results
	var data Data
	var report measure.Report
	for path, v := range map[string]any{ResultsFile: &onDisk, DataFile: &data, "round-1/eval.json": &report} {
		if err := readJSON(filepath.Join(c.OutputDir, path), v); err != nil {
			t.Fatal(err)
		}
	}
	if data.Train.Rows != 40 || data.Eval.Rows != 20 || data.Overlap.Rows != 0 || data.Valid != nil || data.Train.Tokens["prompt"].Median == 0 || data.Train.Categories["Reasoning"] == 0 {
		t.Errorf("%+v", data)
	}
	rows := map[string]Row{}
	for _, row := range onDisk.Rows {
		rows[fmt.Sprint(row.Method, row.M)] = row
		if row.N != 20 || !(row.Interval.Low <= row.Mean && row.Mean <= row.Interval.High) || len(row.Categories) == 0 {
			t.Errorf("%+v", row)
		}
	}
	for _, want := range []string{"Critic-RM1", "Critic-RM2", "Critic-RM as judge2", "LLM judge (base)1", "LLM judge (base)2", "CLoud-style1", "CLoud-style2", "scalar RM (bt)0", "length0"} {
		if _, ok := rows[want]; !ok {
			t.Errorf("no row %q in %+v", want, onDisk.Rows)
		}
	}
	if len(rows) != 9 || len(onDisk.Differences) != 5 {
		t.Errorf("%d rows, differences %+v", len(rows), onDisk.Differences)
	}
	reward, _ := report.Method("reward m=2")
	if row := rows["Critic-RM2"]; reward == nil || row.Mean != reward.Mean || row.Pairs != onDisk.Rounds[0].Pairs || row.Pairs == 0 || row.Pairs > 40 || rows["scalar RM (bt)0"].Pairs != 40 {
		t.Errorf("%+v, eval.json says %+v", rows["Critic-RM2"], reward)
	}
	judge := rows["LLM judge (base)2"]
	if d := onDisk.Differences[0]; d.Name != "Critic-RM - LLM judge (base)" || d.Mean-(reward.Mean-judge.Mean) > 1e-12 || d.Mean-(reward.Mean-judge.Mean) < -1e-12 {
		t.Errorf("%+v, want %v - %v", d, reward.Mean, judge.Mean)
	}
	if to, err := os.Readlink(filepath.Join(c.OutputDir, ModelLink)); to != "round-1/train/model" || err != nil {
		t.Error(to, err)
	}
	card := contents(t, filepath.Join(c.OutputDir, "round-1/train/model"))["README.md"]
	for _, want := range []string{"Preference accuracy on 20 held-out pairs", "| scalar RM (bt) | 40 | - |", "| the run: train | " + filepath.Base(c.TrainFile) + " | 40 |", "\ngenerate.critiques: "} {
		if !strings.Contains(card, want) {
			t.Errorf("no %q in the card\n%s", want, card)
		}
	}
	if strings.Contains(card, dir) {
		t.Errorf("a folder of this machine in the card\n%s", card)
	}
	text := r.String()
	if lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n"); len(lines) > 24 {
		t.Errorf("%d lines:\n%s", len(lines), text)
	}
	for _, line := range strings.Split(text, "\n") {
		if len([]rune(strings.ReplaceAll(line, dir, "x"))) > 100 {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
	before := contents(t, c.OutputDir)
	if again, log := must(t, c, Options{}); strings.Contains(log, "==") || again.String() != text {
		t.Errorf("a finished run works again:\n%s", log)
	}
	for name, was := range before {
		if contents(t, c.OutputDir)[name] != was {
			t.Errorf("%s changed", name)
		}
	}
}

// Rounds go on from the validation split alone, with the trained model as critic.
func TestRounds(t *testing.T) {
	dir := t.TempDir()
	c := small(t, dir, "run")
	c.Rounds = 3
	twice := append(demo.Pairs(5, 20, demo.Train), demo.Pairs(5, 20, demo.Train)...) // rows of one prompt stay together
	for i := range twice {
		twice[i].ID = fmt.Sprint(i)
	}
	c.TrainFile = pairs(t, filepath.Join(dir, "twice.jsonl"), twice)
	r, _ := must(t, c, Options{})
	var d Data
	if err := readJSON(filepath.Join(c.OutputDir, DataFile), &d); err != nil || d.Valid == nil || d.Valid.Rows < 4 || d.Valid.Left+d.Valid.Rows != 40 {
		t.Fatalf("%+v %v", d.Valid, err)
	}
	if r.TrainPairs != d.Valid.Left || r.ValidPairs != d.Valid.Rows {
		t.Errorf("%d and %d pairs, want %+v", r.TrainPairs, r.ValidPairs, d.Valid)
	}
	held, _, err := stage.ReadFile(filepath.Join(c.OutputDir, validSplit), readOptions)
	if err != nil {
		t.Fatal(err)
	}
	prompts := map[string]bool{}
	for _, rec := range held {
		prompts[rec.Prompt.Key()] = true
	}
	for k := range r.Rounds {
		trained, _, err := stage.ReadFile(filepath.Join(c.OutputDir, fmt.Sprintf("round-%d/1-critiques.jsonl", k+1)), readOptions)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range trained {
			if prompts[rec.Prompt.Key()] {
				t.Fatalf("round %d trains on the validation prompt %q", k+1, rec.Prompt)
			}
		}
		if critic := trained[0].Critic.Model; strings.HasPrefix(critic, "base@") != (k == 0) {
			t.Errorf("round %d is written by %s", k+1, critic)
		}
	}
	if len(r.Rounds) < 2 {
		t.Fatalf("%d rounds", len(r.Rounds))
	}
	for k, one := range r.Rounds { // every round but a last one that gains nothing is better than those before
		better := k == 0 || *one.Valid > *r.Rounds[k-1].Valid
		if last := k == len(r.Rounds)-1; !better && !last || better != (r.Best >= k+1) {
			t.Errorf("best %d, stopped because %s: %+v", r.Best, r.Stopped, r.Rounds)
		}
	}
	if to, _ := os.Readlink(filepath.Join(c.OutputDir, ModelLink)); to != fmt.Sprintf("round-%d/train/model", r.Best) {
		t.Error(to)
	}
}

// A stage that is done is not redone with other settings, nor passed over: the change is named. --restart makes it and what follows again.
func TestChangedSettings(t *testing.T) {
	dir := t.TempDir()
	c := small(t, dir, "run")
	if r, log := must(t, c, Options{Stage: "refine"}); r != nil || strings.Contains(log, "train") && strings.Contains(log, "== round-1/train") {
		t.Errorf("it went on behind its stage:\n%s", log)
	}
	if _, err := os.Stat(filepath.Join(c.OutputDir, "round-1/3-refined.jsonl")); err != nil {
		t.Error(err)
	}
	for _, x := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Generate.Critiques = 5 }, "stage round-1/generate is done and critiques was \"4\", now \"5\""},
		{func(c *Config) { c.Filter.Rule = "mean" }, "stage round-1/filter is done and rule was"},
		{func(c *Config) { c.Refine.Seed = 9 }, "stage round-1/refine is done and seed was"},
		{func(c *Config) { c.EvalFile = c.TrainFile }, "stage check is done and the file of eval is not the one that it was (sha256 "},
		{func(c *Config) { c.Rounds = 2 }, "stage check is done and "},
		{func(c *Config) { c.ScaleMax = 9 }, "stage check is done and scale.max was 10, now 9"},
	} {
		now := c
		x.change(&now)
		set := Set{"refine.seed": 1}
		if _, _, err := finish(t, now, set, Options{}); err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "--restart=") {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
	changed := c
	changed.Refine.Mode = "margin"
	critiques := contents(t, c.OutputDir)["round-1/1-critiques.jsonl"]
	if _, log := must(t, changed, Options{Restart: "refine", Stage: "refine"}); strings.Contains(log, "== round-1/filter") || !strings.Contains(log, "== round-1/refine") {
		t.Errorf("restarted from refine:\n%s", log)
	}
	whole, _ := must(t, changed, Options{})
	straight := changed
	straight.OutputDir = filepath.Join(dir, "straight")
	if other, _ := must(t, straight, Options{}); fmt.Sprint(other.Rows) != fmt.Sprint(whole.Rows) || contents(t, c.OutputDir)["round-1/1-critiques.jsonl"] != critiques {
		t.Errorf("%v\n%v", other.Rows, whole.Rows)
	}
	same(t, straight.OutputDir, changed.OutputDir)
	if _, log := must(t, c, Options{Restart: Check}); strings.Count(log, "== ") != 7 {
		t.Errorf("restarted:\n%s", log)
	}
}

// Every stage has its own limits: what eval leaves out is left out by all that is measured, and counted.
func TestLimits(t *testing.T) {
	dir := t.TempDir()
	c := small(t, dir, "run")
	held := demo.Pairs(6, 13, demo.Validation)
	held[7].Question.Prompt = strings.Repeat("Is it so? ", 200)
	c.EvalFile = pairs(t, filepath.Join(dir, "long.jsonl"), held)
	c.Baselines = "bt,cloud"
	if _, _, err := finish(t, c, nil, Options{}); err == nil || !strings.Contains(err.Error(), "1 of 13 rows are too long") {
		t.Error(err)
	}
	c.Eval.Overlong = "drop"
	r, log, err := finish(t, c, Set{"eval.overlong": 1}, Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	for _, name := range []string{"round-1", "base", "bt", "cloud"} {
		var report measure.Report
		if err := readJSON(filepath.Join(c.OutputDir, name, "eval.json"), &report); err != nil || report.Pairs != 12 || len(report.LeftOut) != 1 {
			t.Errorf("%s: %v, %d pairs, %v", name, err, report.Pairs, report.LeftOut)
		}
	}
	for _, d := range r.Differences {
		if d.N != 12 {
			t.Errorf("%+v", d)
		}
	}
	c.Eval.MaxLength = 65 // below all of them
	c.OutputDir += "2"
	if _, _, err := finish(t, c, Set{"eval.overlong": 1, "eval.max_length": 1}, Options{}); err == nil || !strings.Contains(err.Error(), "all rows are too long") {
		t.Error(err)
	}
}

// A trained model that was changed or is gone is named, though nothing is left to be done.
func TestChangedModel(t *testing.T) {
	c := small(t, t.TempDir(), "run")
	must(t, c, Options{Stage: "train"})
	path := filepath.Join(c.OutputDir, "round-1/train/model/model.safetensors")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(t, c, nil, Options{Stage: "train"}); err == nil || !strings.Contains(err.Error(), "model.safetensors is not as training wrote it") {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(t, c, nil, Options{Stage: "train"}); err == nil || !strings.Contains(err.Error(), "--restart=round-1/train") {
		t.Error(err)
	}
}

// What a stage has left is not taken for its work when somebody has changed it; a directory of somebody else is left alone.
func TestChangedOutputs(t *testing.T) {
	dir := t.TempDir()
	c := small(t, dir, "run")
	must(t, c, Options{Stage: "filter"})
	path := filepath.Join(c.OutputDir, "round-1/2-filtered.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, "\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(t, c, nil, Options{}); err == nil || !strings.Contains(err.Error(), "2-filtered.jsonl was changed since stage round-1/filter wrote it") {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(t, c, nil, Options{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--restart=round-1/filter") {
		t.Error(err)
	}
	other := c
	other.OutputDir = dir
	if _, _, err := finish(t, other, nil, Options{Restart: Check}); err == nil || !strings.Contains(err.Error(), "is not empty and holds no run") {
		t.Error(err)
	}
	if _, err := os.Stat(c.TrainFile); err != nil {
		t.Error("a directory of somebody else was cleared")
	}
	release, err := stage.Lock(filepath.Join(c.OutputDir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(t, c, nil, Options{Restart: "filter"}); err == nil || !strings.HasSuffix(err.Error(), ".lock is in use by another run") {
		t.Error(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.OutputDir, "round-1/1-critiques.jsonl")); err != nil {
		t.Error(err)
	}
}

// What the stages would stumble over in an hour is said at once.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	c := small(t, dir, "run")
	long := demo.Pairs(5, 41, demo.Train)
	long[40].Question.Prompt = strings.Repeat("Is it so? ", 200)
	for _, x := range []struct {
		name   string
		change func(c *Config)
		want   string
	}{
		{"too long", func(c *Config) { c.TrainFile = pairs(t, filepath.Join(dir, "long.jsonl"), long) }, "1 of 41 rows are too long: set --overlong"},
		{"no pairs", func(c *Config) {
			c.EvalFile = filepath.Join(dir, "single.jsonl")
			if err := os.WriteFile(c.EvalFile, []byte(`{"prompt":"p","response":"r"}`+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "single.jsonl:1: record \"row-1\": it is no pair"},
		{"no baseline", func(c *Config) {}, "stage bt: it is not among the baselines"},
		{"no round", func(c *Config) {}, "stage round-2/train: there are 1 rounds"},
		{"no file", func(c *Config) { c.TrainFile = filepath.Join(dir, "none") }, "none: no such file"},
		{"an empty folder", func(c *Config) { c.TrainFile = t.TempDir() }, "is a folder without data files"},
		{"of the hub", func(c *Config) { c.TrainFile = "Anthropic/hh-rlhf" }, "if it is a data set on Hugging Face's hub, 'criticrm fetch"},
		{"no rubric", func(c *Config) {
			c.Prompts = filepath.Join(dir, "rubric")
			text := []byte("[user]\n{prompt} {response} {rubric}\n")
			if err := errors.Join(os.Mkdir(c.Prompts, 0o755), os.WriteFile(filepath.Join(c.Prompts, "critique.txt"), text, 0o644)); err != nil {
				t.Fatal(err)
			}
		}, "it has no \"rubric\", which the prompt"},
	} {
		now := c
		now.OutputDir = filepath.Join(dir, x.name)
		x.change(&now)
		stage := map[string]string{"no baseline": "bt", "no round": "round-2/train"}[x.name]
		_, _, err := finish(t, now, nil, Options{Stage: stage})
		var input InputError
		if err == nil || !strings.Contains(err.Error(), x.want) || !errors.As(err, &input) {
			t.Errorf("%s: got %v, want %s", x.name, err, x.want)
		}
	}
	c.EvalFile = c.TrainFile
	if _, log := must(t, c, Options{Stage: Check}); !strings.Contains(log, "warning: 40 of 40 held-out pairs have a prompt that is also trained on") {
		t.Error(log)
	}
	swapped := demo.Pairs(6, 20, demo.Validation)
	swapped[3] = demo.Pairs(5, 1, demo.Train)[0]
	swapped[3].Chosen, swapped[3].Rejected = swapped[3].Rejected, swapped[3].Chosen
	wrong := c
	wrong.OutputDir, wrong.EvalFile = filepath.Join(dir, "wrong"), pairs(t, filepath.Join(dir, "wrong.jsonl"), swapped)
	if _, log := must(t, wrong, Options{Stage: Check}); !strings.Contains(log, "warning: 1 held-out pairs are trained on the other way round") || !strings.Contains(log, "warning: 1 of 20 held-out pairs have a prompt") {
		t.Error(log)
	}
	spoilt := c
	spoilt.OutputDir, spoilt.TrainFile, spoilt.MaxBad = filepath.Join(dir, "spoilt"), filepath.Join(dir, "spoilt.jsonl"), 30
	good, err := os.ReadFile(c.TrainFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(spoilt.TrainFile, append(good, strings.Repeat("{}\n", 30)...), 0o644); err != nil {
		t.Fatal(err)
	}
	_, log := must(t, spoilt, Options{Stage: Check})
	listed := filepath.Join(spoilt.OutputDir, "data.json.bad.jsonl")
	if b, err := os.ReadFile(listed); err != nil || strings.Count(string(b), "\n") != 30 || strings.Count(log, "left out: ") != 5 ||
		!strings.Contains(log, "spoilt.jsonl: 30 bad rows left out, listed in "+listed) {
		t.Errorf("%v\n%s", err, log)
	}
	greedy := c
	greedy.OutputDir, greedy.Refine.TopK = filepath.Join(dir, "greedy"), 100
	if _, log := must(t, greedy, Options{Stage: Check}); !strings.Contains(log, "refine keeps 100 critiques of a response, and generate writes 4: whatever") {
		t.Error(log)
	}
	now := c
	now.OutputDir, now.TrainFile, now.Overlong = filepath.Join(dir, "drop"), filepath.Join(dir, "long.jsonl"), "drop"
	if _, log := must(t, now, Options{Stage: "filter"}); !strings.Contains(log, "long.jsonl: 1 rows are too long and left out") {
		t.Error(log)
	}
}
