package pipeline

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"criticrm/demo"
	"criticrm/internal/settings"
	"criticrm/modeldir"
	"criticrm/stage"
)

// choosing gives a run's trainings a metric to choose their models by.
func choosing(c Config) Config {
	c.Train.LoadBest, c.Train.EvalSteps, c.Train.Patience, c.Train.LambdaSchedule = true, 2, 2, "constant"
	return c
}

// evaluations are the lines of a training's metrics that have a figure, by update.
func evaluations(t *testing.T, dir, figure string) map[int]float64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]float64{}
	for line := range strings.Lines(string(b)) {
		var values map[string]any
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatal(err)
		}
		if v, ok := values[figure].(float64); ok {
			out[int(values["step"].(float64))] = v
		}
	}
	return out
}

// With load_best_model_at_end the validation split is measured while every training of a run lasts, behind critiques of the round's critic, and each model is its best. A
// run that is ended behind each of its stages, one after the other, leaves the bytes of one that is not.
func TestBestModels(t *testing.T) {
	dir := t.TempDir()
	c := choosing(small(t, dir, "straight"))
	c.Baselines, c.Rounds = "bt,cloud", 2
	r, log := must(t, c, Options{})
	if r.ValidPairs == 0 || len(r.Chosen) != len(r.Rounds)+2 {
		t.Fatalf("%d pairs to choose by, %+v", r.ValidPairs, r.Chosen)
	}
	for _, chosen := range r.Chosen {
		values := evaluations(t, filepath.Join(c.OutputDir, chosen.Dir, "train"), "eval_accuracy")
		if chosen.Metric != "eval_accuracy" || len(values) == 0 || values[chosen.Update] != chosen.Value {
			t.Errorf("%+v of %v", chosen, values)
		}
		for step, v := range values {
			if v > chosen.Value || v == chosen.Value && step < chosen.Update {
				t.Errorf("%s: %v at %d, and the best is said to be %+v", chosen.Dir, v, step, chosen)
			}
		}
		f, _, err := modeldir.ReadFacts(filepath.Join(c.OutputDir, chosen.Dir, "train/model"))
		if err != nil || f.Best == nil || *f.Best != chosen.Best {
			t.Errorf("%s: %+v, %v", chosen.Dir, f.Best, err)
		}
	}
	for k := range r.Rounds { // on-policy: each round's critic has written them, for the prompts that nobody trains on
		records, _, err := stage.ReadFile(filepath.Join(c.OutputDir, round(k+1, follow), "valid.jsonl"), readOptions)
		if err != nil || len(records) != r.ValidPairs {
			t.Fatalf("round %d: %d records, %v", k+1, len(records), err)
		}
		if critic := records[0].Critic.Model; strings.HasPrefix(critic, "base@") != (k == 0) || len(records[0].ChosenCritiques) != 4 {
			t.Errorf("round %d: %d critiques of %s", k+1, len(records[0].ChosenCritiques), critic)
		}
	}
	if text := r.String(); !strings.Contains(text, fmt.Sprintf("round-%d: the model is that of update ", r.Best)) || !strings.Contains(text, "\nbt: the model is that of update ") || strings.Count(text, "\n") > 24 {
		t.Error(text)
	}
	if !strings.Contains(log, "; the model is that of update ") {
		t.Error(log)
	}
	card, err := os.ReadFile(filepath.Join(c.OutputDir, ModelLink, "README.md"))
	if err != nil || !strings.Contains(string(card), "The model is that of update ") {
		t.Errorf("%v\n%s", err, card)
	}
	stepped := c
	stepped.OutputDir = filepath.Join(dir, "stepped")
	for _, d := range append(stageNames(t, c.OutputDir), "") {
		must(t, stepped, Options{Stage: d})
	}
	same(t, c.OutputDir, stepped.OutputDir)
	// What a model was chosen by is not changed behind its back, and a stage is made again with what follows from it.
	stepped.Train.Patience = 1
	if _, _, err := finish(t, stepped, nil, Options{}); err == nil || !strings.Contains(err.Error(), `stage round-1/train is done and early_stopping_patience was "2", now "1"`) {
		t.Error(err)
	}
	stepped.Train.Patience = 2
	if _, log := must(t, stepped, Options{Restart: "round-2/follow"}); strings.Contains(log, "== round-2/refine") || !strings.Contains(log, "== round-2/follow") || !strings.Contains(log, "== round-2/train") {
		t.Error(log)
	}
	same(t, c.OutputDir, stepped.OutputDir)
}

// stageNames are the finished stages of a run, in order.
func stageNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := Finished(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		names = append(names, d.Name)
	}
	return names
}

// Files of train.eval_file are measured by name, and choose only if they are told to. They are looked at before anything is written.
func TestEvalFiles(t *testing.T) {
	dir := t.TempDir()
	c := small(t, dir, "run")
	c.Baselines, c.ValidShare = "bt", 0
	a, b := pairs(t, filepath.Join(dir, "a.jsonl"), demo.Pairs(7, 6, demo.Validation)), pairs(t, filepath.Join(dir, "b.jsonl"), demo.Pairs(8, 5, demo.Validation))
	c.Train.EvalFile, c.Train.EvalOnStart, c.Train.LambdaSchedule = "a="+a+",b="+b, true, "constant"
	r, log := must(t, c, Options{})
	if len(r.Chosen) != 0 || r.ValidPairs != 0 || strings.Contains(r.String(), "is the best") || !strings.Contains(log, "held: 11 pairs to measure trainings on") {
		t.Errorf("%+v\n%s\n%s", r.Chosen, r, log)
	}
	for _, of := range []string{"round-1", "bt"} {
		for _, name := range []string{"a", "b"} {
			if got := evaluations(t, filepath.Join(c.OutputDir, of, "train"), "eval_"+name+"_accuracy"); len(got) != 2 {
				t.Errorf("%s, %s: %v", of, name, got)
			}
		}
	}
	var facts []HeldOut
	if err := readJSON(filepath.Join(c.OutputDir, HeldFile), &facts); err != nil || len(facts) != 2 || facts[0].Of != "a" || facts[0].File.Rows != 6 || facts[1].File.Rows != 5 {
		t.Errorf("%+v, %v", facts, err)
	}
	stepped := c
	stepped.OutputDir = filepath.Join(dir, "stepped")
	for _, d := range append(stageNames(t, c.OutputDir), "") {
		must(t, stepped, Options{Stage: d})
	}
	same(t, c.OutputDir, stepped.OutputDir)
	pairs(t, b, demo.Pairs(9, 5, demo.Validation))
	if _, _, err := finish(t, c, nil, Options{}); err == nil || !strings.Contains(err.Error(), "stage held is done and the file of b is not the one that it was") {
		t.Error(err)
	}
	pairs(t, b, demo.Pairs(8, 5, demo.Validation))
	added := small(t, dir, "added") // a training that is done was not measured on files that are named later
	must(t, added, Options{Stage: "train"})
	added.Train.EvalFile = c.Train.EvalFile
	if _, _, err := finish(t, added, nil, Options{}); err == nil || !strings.Contains(err.Error(), "stage round-1/train is done and eval_file was null, now ") {
		t.Error(err)
	}
	inside := choosing(small(t, dir, "inside/run"))
	if inside.Train.EvalFile = filepath.Join(dir, "inside"); os.Mkdir(inside.Train.EvalFile, 0o755) != nil {
		t.Fatal("no folder")
	}
	pairs(t, filepath.Join(dir, "inside", "rows.jsonl"), demo.Pairs(7, 6, demo.Validation))
	if _, _, err := finish(t, inside, nil, Options{}); err == nil || !strings.Contains(err.Error(), "would be read as a part of") {
		t.Error(err)
	}
	part := pairs(t, filepath.Join(dir, "part.jsonl"), demo.Pairs(6, 2, demo.Validation))
	for _, x := range []struct{ name, files, metric, want, warns string }{
		{"none", "a=" + a + ",b=" + b, "", "train.metric_for_best_model: eval_accuracy is not measured; there are eval_a_loss, ", ""},
		{"category", a, "accuracy_no", "train.metric_for_best_model: eval_accuracy_no is not measured; there are eval_loss, ", ""},
		{"same", c.EvalFile, "", "train.load_best_model_at_end: held.jsonl has the prompts of all held-out pairs", ""},
		{"other", "a=" + a + ",same=" + c.EvalFile, "a_accuracy", "", ""},
		{"part", part, "", "", " held-out pairs have a prompt of part.jsonl, by which the model of train is chosen"},
		{"twice", "a=" + a + ",a=" + b, "", "train: trainer: config: eval_file: the name a is given twice", ""},
		{"gone", filepath.Join(dir, "gone.jsonl"), "", "gone.jsonl: no such file", ""},
		{"trained on", c.TrainFile, "", "", "warning: 40 of 40 pairs of pairs.jsonl have a prompt that is also trained on"},
	} {
		now := choosing(small(t, dir, x.name))
		now.Train.EvalFile, now.Train.Metric = x.files, x.metric
		_, log, err := finish(t, now, nil, Options{Stage: "generate"})
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) || !strings.Contains(log, x.warns) {
			t.Errorf("%s: got %v, want %s%s\n%s", x.name, err, x.want, x.warns, log)
		}
		if x.want != "" && strings.Contains(log, "== round-1/generate") {
			t.Errorf("%s: critiques were written first", x.name)
		}
	}
}

// What a run is asked to measure while it trains decides about its validation split, and what it cannot measure is refused.
func TestResolveFollowed(t *testing.T) {
	for _, x := range []struct {
		text, want string
		share      float64
		train, bt  bool // they are measured
	}{
		{"train: {load_best_model_at_end: true}", "", 0.1, true, false},
		{"train: {load_best_model_at_end: true}\nbaselines: bt", "", 0.1, true, true},
		{"train: {eval_steps: 5}\nbaselines: bt", "", 0.1, true, true},
		{"train: {eval_steps: 5}\nbaselines: bt\nbt: {eval_strategy: 'no'}", "", 0.1, true, false},
		{"baselines: bt\nbt: {eval_on_start: true}", "", 0.1, false, true},
		{"train: {eval_file: a.jsonl}\nbaselines: bt", "", 0, true, true},
		{"train: {eval_file: a.jsonl, eval_strategy: 'no'}", "", 0, false, false},
		{"train: {eval_file: a.jsonl, load_best_model_at_end: true}\nrounds: 2", "", 0.1, true, false},
		{"rounds: 2", "", 0.1, false, false},
		{"train: {early_stopping_patience: 3}\nvalid_share: 0", "train.early_stopping_patience: needs held-out rows while training: give valid_share", 0, false, false},
		{"train: {eval_on_start: true, eval_strategy: 'no'}", "train.eval_on_start: needs held-out rows while training", 0, false, false},
		{"train: {load_best_model_at_end: true, eval_steps: 3}", "", 0.1, true, false},
		{"train: {load_best_model_at_end: true, eval_steps: 3, save_steps: 4}", "save_steps 4 is no multiple of eval_steps 3", 0, false, false},
		{"train: {load_best_model_at_end: true, average_checkpoints: 2}", "average_checkpoints: the final model is either", 0, false, false},
		{"bt: {eval_file: a.jsonl}", ":1: bt.eval_file is not set here: train.eval_file decides", 0, false, false},
	} {
		c := Default()
		c.Train.SaveSteps = 6
		set, err := settings.Parse([]byte(x.text), c.Sections()...)
		if err == nil {
			err = c.Resolve(set)
		}
		if x.want != "" || err != nil {
			if err == nil || x.want == "" || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%q: got %v, want %s", x.text, err, x.want)
			}
			continue
		}
		bt := c.wants(BT) && c.measures(&c.BT)
		if c.ValidShare != x.share || c.measures(&c.Train) != x.train || bt != x.bt || (c.Train.Picks() != "") != (c.Train.Metric == "accuracy") {
			t.Errorf("%q: share %v, measured %v and %v, by %q", x.text, c.ValidShare, c.measures(&c.Train), bt, c.Train.Metric)
		}
		text, err := c.Recipe() // which reads as what it says
		if err != nil {
			t.Fatal(err)
		}
		back := Default()
		if set, err = settings.Parse(text, back.Sections()...); err == nil {
			err = back.Resolve(set)
		}
		if err != nil || back.Train != c.Train || back.ValidShare != c.ValidShare || c.wants(BT) && back.BT != c.BT {
			t.Errorf("%q: %v\n%+v\n%+v", x.text, err, back, c)
		}
	}
}

// A dry run knows of the critiques that trainings are measured behind, and of the measuring.
func TestDryRunFollowed(t *testing.T) {
	dir := t.TempDir()
	c := choosing(small(t, dir, "run"))
	c.Train.EvalFile, c.Train.Metric = "x="+c.TrainFile+",y="+pairs(t, filepath.Join(dir, "y.jsonl"), demo.Pairs(7, 5, demo.Validation)), "y_accuracy"
	e, log, err := dryRun(t, t.Context(), c, 3*time.Second)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	of := map[string]EstimateLine{}
	for _, l := range e.Lines {
		of[l.Stage] = l
	}
	if got, want := of["follow"].Tokens/of["generate"].Tokens, 45./40; got < want-1e-9 || got > want+1e-9 {
		t.Errorf("tokens of follow are %v of those of generate, want %v", got, want)
	}
	if l := of["train"]; !(l.Seconds > 0 && l.Tokens > 0) {
		t.Errorf("%+v", l)
	}
}
