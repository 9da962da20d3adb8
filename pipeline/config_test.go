package pipeline

import (
	"strings"
	"testing"

	"criticrm/internal/settings"
	"criticrm/trainer"
)

// What is not set follows from what is; what is set stays.
func TestResolve(t *testing.T) {
	c := Default()
	set, err := settings.Parse([]byte(`
model: m
train: pairs.jsonl
eval: held.jsonl
seed: 7
overlong: truncate-left
max_length: 900
rounds: 3
scale_max: 5
generate: {temperature: 1, max_tokens: 60, critiques: 4}
refine: {max_tokens: 20}
train_file: pairs.jsonl
`), c.Sections()...)
	if err == nil || !strings.Contains(err.Error(), ":12: train_file was already set on line 3") {
		t.Error(err)
	}
	c = Default()
	set, err = settings.Parse([]byte(`
model: m
eval: held.jsonl
seed: 7
overlong: truncate-left
max_length: 900
rounds: 3
scale_max: 5
generate: {temperature: 1, max_tokens: 60, critiques: 4}
refine: {max_tokens: 20, seed: 3}
train: {lr: 0.5, overlong: drop, pairing: zip, lambda_schedule: linear}
prompts: p
bt: {lr: 0.25}
eval_file: held.jsonl
`), c.Sections()...)
	if err == nil || !strings.Contains(err.Error(), ":14: eval_file was already set on line 3") {
		t.Error(err)
	}
	if err := c.Resolve(set); err != nil {
		t.Fatal(err)
	}
	if c.Generate.Seed != 7 || c.Refine.Seed != 3 || c.Train.Seed != 7 || c.Eval.Seed != 7 || c.Cloud.Seed != 7 {
		t.Error("seeds", c.Generate.Seed, c.Refine.Seed, c.Train.Seed, c.Eval.Seed, c.Cloud.Seed)
	}
	if c.Refine.Temperature != 1 || c.Refine.MaxTokens != 20 || c.Eval.Temperature != 1 || c.Eval.MaxTokens != 60 || c.Eval.Samples != 8 {
		t.Errorf("%+v %+v", c.Refine, c.Eval)
	}
	if c.Generate.Overlong != "truncate-left" || c.Refine.Overlong != "drop" || c.Train.Overlong != "drop" || c.Train.MaxLength != 900 || c.Eval.MaxLength != 900 {
		t.Errorf("%+v", c)
	}
	if lines := append(c.BT.Unread(), c.Cloud.Unread()...); len(lines) > 0 { // train's settings for critiques are none of the baselines'
		t.Errorf("baselines warn: %q", lines)
	}
	if c.Train.LearningRate != 0.5 || c.BT.LearningRate != 0.25 || c.Cloud.LearningRate != 0.5 || c.BT.Method != trainer.BT || c.Cloud.MaxCritiques != c.Refine.TopK ||
		c.BT.Overlong != "drop" || c.Train.ScoreMax != 5 || c.BT.Model != "m" || c.ValidShare != 0.1 {
		t.Errorf("%+v %+v", c.BT, c.Cloud)
	}
	c.Baselines = "bt,cloud"
	text, err := c.Recipe()
	if err != nil {
		t.Fatal(err)
	}
	back := Default()
	if set, err = settings.Parse(text, back.Sections()...); err != nil {
		t.Fatal(err)
	}
	if err := back.Resolve(set); err != nil || back != c {
		t.Errorf("the resolved recipe reads as something else: %v\n%+v\n%+v", err, back, c)
	}
	c.Baselines = ""
	if text, err = c.Recipe(); err != nil || strings.Contains(string(text), "\nbt:") || !strings.Contains(string(text), "\ntrain:\n") || strings.Contains(string(text), "resume:") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestRecipeErrors(t *testing.T) {
	for _, x := range []struct{ text, want string }{
		{"train: {device: cpu}", `:1: train.device is not set here: device at the top decides`},
		{"train: {method: bt}", `:1: train.method is not set here: the stage decides`},
		{"learning_rate: 1", `:1: "learning_rate" is a setting of train`},
		{"generate: {critique: 3}", `:1: unknown key "generate.critique", did you mean "generate.critiques"?`},
		{"rounds: 0", `rounds: got 0, want 1 to 1000`},
		{"rounds: 2\nvalid_share: 0", `2 rounds need a validation split`},
		{"valid_share: 1", `valid_share: got 1, want 0 to less than 1`},
		{"baselines: bt,rlhf", `baselines: got "rlhf", want bt, cloud or both`},
		{"generate: {critiques: 0}", `generate: critic: critiques: got 0`},
		{"filter: {rule: best}", `filter: critic: filter: got "best"`},
		{"refine: {mode: best}", `refine: critic: refine: got "best"`},
		{"train: {optim: sgd}", `train: trainer: config: optim: got "sgd"`},
		{"eval: {curve: '1,x'}", `eval: curve: got "1,x"`},
		{"max_sequences: -1", `max_sequences`},
		{"max_bad: -1", `max_bad: got -1`},
		{"overlong: cut", `generate: critic: overlong: got "cut"`},
	} {
		c := Default()
		set, err := settings.Parse([]byte(x.text), c.Sections()...)
		if err == nil {
			err = c.Resolve(set)
		}
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%q: got %v, want %s", x.text, err, x.want)
		}
	}
}

// Every setting has help and one meaning for each of its names.
func TestTables(t *testing.T) {
	c := Default()
	for _, s := range c.Sections() {
		seen := map[string]bool{}
		for _, f := range s.Fields() {
			if f.Help == "" {
				t.Errorf("%s has no help", s.Key(f.Name))
			}
			for _, n := range append([]string{f.Name}, f.Aliases...) {
				if seen[n] {
					t.Errorf("%s has two settings %s", s.Name, n)
				}
				seen[n] = true
			}
		}
		for name := range s.Not {
			if _, ok := settings.Find(settings.Fields(s.Into), name); !ok {
				t.Errorf("%s leaves out %s, which it has not", s.Name, name)
			}
		}
	}
}

// Stages depend on what they read.
func TestDependsOn(t *testing.T) {
	for _, x := range []struct {
		name, on string
		want     bool
	}{
		{"base", "check", true}, {"base", "round-1/generate", false}, {"bt", "round-1/train", false}, {"cloud", "round-1/generate", true},
		{"cloud", "round-1/filter", false}, {"round-2/generate", "round-1/train", true}, {"round-2/eval", "round-1/filter", true},
		{"round-2/generate", "round-1/eval", false}, {"round-1/eval", "round-2/train", false}, {"round-1/train", "round-1/train", true},
	} {
		if got := dependsOn(x.name, x.on); got != x.want {
			t.Errorf("%s on %s: %v", x.name, x.on, got)
		}
	}
	for in, want := range map[string]string{"train": "round-1/train", "check": "check", "round-12/eval": "round-12/eval", "bt": "bt"} {
		if got, err := stageName(in); got != want || err != nil {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
	for _, in := range []string{"training", "round-0/train", "round-1/check", "round-01/train", "round-1", ""} {
		if got, err := stageName(in); err == nil {
			t.Errorf("%q is taken for %s", in, got)
		}
	}
}
