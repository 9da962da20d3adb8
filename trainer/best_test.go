package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/checkpoint"
)

// What does not go together is refused by name.
func TestBestSettings(t *testing.T) {
	validates(t, map[string]string{
		"load_best_model_at_end: true\n":                                                                       "",
		"load_best_model_at_end: true\neval_steps: 100\n":                                                      "",
		"load_best_model_at_end: true\neval_strategy: steps\neval_steps: 50\nsave_steps: 150\n":                "",
		"load_best_model_at_end: true\neval_strategy: epoch\nsave_strategy: best\n":                            "",
		"load_best_model_at_end: true\neval_steps: 200\nsave_steps: 500\n":                                     "save_steps 500 is no multiple of eval_steps 200",
		"load_best_model_at_end: true\nsave_strategy: steps\n":                                                 "save_strategy is steps and eval_strategy epoch: give both the same",
		"load_best_model_at_end: true\neval_strategy: steps\neval_steps: 5\nsave_strategy: epoch\n":            "save_strategy is epoch and eval_strategy steps",
		"load_best_model_at_end: true\neval_strategy: no\n":                                                    "load_best_model_at_end: needs evaluations, and eval_strategy is no",
		"load_best_model_at_end: true\nsave_strategy: no\n":                                                    "needs checkpoints, and save_strategy is no",
		"early_stopping_patience: 2\neval_strategy: no\n":                                                      "early_stopping_patience: needs evaluations",
		"save_strategy: best\neval_strategy: no\n":                                                             "save_strategy best: needs evaluations",
		"early_stopping_patience: -1\n":                                                                        "early_stopping_patience: got -1",
		"early_stopping_steps: 3\nearly_stopping_threshold: -0.5\n":                                            "early_stopping_threshold: got -0.5",
		"greater_is_better: perhaps\n":                                                                         `greater_is_better: got "perhaps", want one of true false`,
		"save_strategy: sometimes\n":                                                                           `save_strategy: got "sometimes", want one of steps epoch best no`,
		"greater_is_better: true\nload_best_model_at_end: true\nmetric_for_best_model: eval_reward_accuracy\n": "",
	})
	words := Default() // as Python writes them
	if err := ParseRecipe([]byte("load_best_model_at_end: True\ngreater_is_better: 'False'\n"), &words); err != nil || !words.LoadBest || words.GreaterIsBetter != "false" {
		t.Errorf("%v %q, %v", words.LoadBest, words.GreaterIsBetter, err)
	}
	c := fileConfig(t)
	c.EvalFile, c.Patience = "", 3
	if err := c.validateFiles(); err == nil || !strings.Contains(err.Error(), "early_stopping_patience: needs eval_file") {
		t.Error(err)
	}
	if _, err := DryRun(context.Background(), nil, c, 1, Report{}, nil); err == nil || !strings.Contains(err.Error(), "early_stopping_patience: needs eval_file") {
		t.Errorf("a dry run: %v", err)
	}
	held := WithEval(pairs(3))
	for _, x := range []struct {
		change func(c *Config)
		want   string
		opts   []Option
	}{
		{func(c *Config) { c.LoadBest = true }, "load_best_model_at_end: needs held-out records", nil},
		{func(c *Config) { c.LoadBest, c.OutputDir = true, "" }, "load_best_model_at_end: needs output_dir", []Option{held}},
		{func(c *Config) { c.Patience, c.Metric = 1, "f1" }, "eval_f1 is not measured; there are eval_loss, eval_critique_loss, eval_reward_loss, eval_accuracy, eval_margin", []Option{held}},
		{func(c *Config) { c.Patience, c.Metric, c.Method = 1, "critique_loss", BT }, "eval_critique_loss is not measured; there are eval_loss, eval_reward_loss", []Option{held}},
		{func(c *Config) { c.Patience = 1 }, "eval_loss is not measured; there are eval_a_loss", []Option{WithNamedEval("a", pairs(3)), WithNamedEval("b", pairs(3))}},
		{func(c *Config) { c.Patience, c.Metric = 1, "accuracy_d" }, "eval_accuracy, eval_accuracy_a, eval_accuracy_b, eval_accuracy_c, eval_margin", []Option{WithEval(thirds{pairs(6)})}},
	} {
		c := testConfig(t.TempDir())
		x.change(&c)
		if _, err := Train(context.Background(), tiny(t, c, 1), pairs(8), c, x.opts...); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
}

// The patience is counted as transformers.EarlyStoppingCallback counts it: the values, and the counter after each of them as version 5.24 has it.
func TestEarlyStoppingCounts(t *testing.T) {
	for _, x := range []struct {
		metric         string
		threshold      float64
		values, waited []float64
		best           int // its number, from 1
	}{
		{"loss", 0, []float64{3, 2, 2, 2.5, 1, 4}, []float64{0, 0, 1, 2, 0, 1}, 5},
		{"accuracy", 0, []float64{.5, .4, .6, .6, .7}, []float64{0, 1, 0, 1, 0}, 5},
		{"loss", 0.5, []float64{3, 2.75, 2.5, 2.25, 1}, []float64{0, 1, 2, 3, 0}, 5}, // small steps move the best, and count as none
		{"accuracy", 0.5, []float64{0, 1, 1, nan(), 2}, []float64{0, 0, 1, 2, 0}, 5},
	} {
		c := testConfig("")
		c.Method, c.Metric, c.Threshold, c.Patience, c.MaxSteps, c.LoadBest = BT, x.metric, x.threshold, 100, 50, true
		r := &run{c: c, plan: NewPlan(c, 8), console: &console{}}
		r.st.Best = &best{}
		for i, v := range x.values {
			e := Evaluation{Loss: v, Accuracy: v}
			r.st.Step = i + 1
			r.follow([]Evaluation{e})
			if r.st.Best.Waited != int(x.waited[i]) {
				t.Errorf("%s, value %d: waited %d, want %v", x.metric, i+1, r.st.Best.Waited, x.waited[i])
			}
			if r.bestDue() != (r.st.Best.Best.Step == i+1) {
				t.Errorf("%s, value %d: due %v", x.metric, i+1, r.bestDue())
			}
			r.bestSaved(i+1, true)
		}
		if r.st.Best.Best.Step != x.best {
			t.Errorf("%s: the best is of step %d, want %d", x.metric, r.st.Best.Best.Step, x.best)
		}
	}
	// A best state that the disk has not taken is none, though it counts.
	c := testConfig("")
	c.Method, c.Patience, c.LoadBest = BT, 5, true
	r := &run{c: c, plan: NewPlan(c, 8), console: &console{}}
	r.st.Best = &best{}
	for i, v := range []float64{3, 2, 2.5, 1, 0.5} {
		r.st.Step = i + 1
		r.follow([]Evaluation{{Loss: v}})
		switch i {
		case 0, 2:
			r.bestSaved(i+1, true)
		case 1:
			r.bestSaved(i+1, false)
		}
	}
	if b := r.st.Best; b.Best.Step != 5 || b.Saved.Step != 5 || b.Waited != 0 {
		t.Errorf("%+v %+v, waited %d", b.Best, b.Saved, b.Waited)
	}
	r.bestSaved(4, false) // what is written in the background may fail when there is a better one
	if b := r.st.Best.Saved; b.Step != 5 || b.before.Step != 3 || b.before.before != nil {
		t.Errorf("%+v", b)
	}
	if r.bestSaved(5, false); r.st.Best.Saved.Step != 3 || r.bestDue() {
		t.Errorf("%+v", r.st.Best.Saved)
	}
}

// bestConfig follows the loss, the higher the better, so that the first evaluation is the best.
func bestConfig(dir string) Config {
	c := testConfig(dir)
	c.Method, c.LoadBest, c.GreaterIsBetter, c.EvalStrategy, c.EvalSteps, c.SaveSteps, c.SaveTotalLimit = BT, true, "true", EvalEverySteps, 3, 6, 1
	return c
}

// The final model is the best one; its checkpoint outlives save_total_limit, also over interruptions, which change nothing.
func TestBestModelIsTheFinalOne(t *testing.T) {
	data, held := pairs(27), WithEval(pairs(33)[27:])
	c := bestConfig(filepath.Join(t.TempDir(), "straight"))
	var log bytes.Buffer
	m := tiny(t, c, 1)
	r, err := Train(context.Background(), m, data, c, held, WithReport(Report{Log: &log}))
	if err != nil {
		t.Fatal(err)
	}
	if r.Best == nil || r.Best.Update != 3 || r.Best.Metric != "eval_loss" || r.Steps != 20 || !strings.Contains(log.String(), fmt.Sprintf("the model is that of update 3 of 20: eval_loss %.4g is the best", r.Best.Value)) {
		t.Errorf("%+v\n%s", r.Best, &log)
	}
	e, err := Evaluate(context.Background(), m, pairs(33)[27:], c, 0)
	if err != nil || e.Loss != r.Best.Value || e.Loss == r.Evals[0].Loss {
		t.Errorf("the model in memory has a loss of %v, the best was %v and the last %v (%v)", e.Loss, r.Best.Value, r.Evals[0].Loss, err)
	}
	var steps []int64
	entries, err := checkpoint.List(filepath.Join(c.OutputDir, "checkpoints"))
	for _, e := range entries {
		steps = append(steps, e.Step)
	}
	if fmt.Sprint(steps) != "[20 3]" || err != nil {
		t.Errorf("checkpoints %v, %v", steps, err)
	}
	broken := c
	broken.OutputDir = filepath.Join(filepath.Dir(c.OutputDir), "broken")
	for _, stop := range []int{2, 3, 7, 13, 0} {
		ctx, at := stopAfter(stop)
		if _, err := Train(ctx, tiny(t, broken, 1), data, broken, held, at); stop != 0 && !errors.Is(err, ErrInterrupted) || stop == 0 && err != nil {
			t.Fatal(err)
		}
		broken.Resume = "latest"
	}
	sameOutcome(t, c.OutputDir, broken.OutputDir)

	// A best checkpoint that somebody has removed is named, with what to do, which works.
	if err := os.RemoveAll(entries[1].Path); err != nil {
		t.Fatal(err)
	}
	c.Resume = "latest"
	_, err = Train(context.Background(), tiny(t, c, 1), data, c, held)
	if err == nil || !strings.Contains(err.Error(), "the state of update 3, whose eval_loss is") || !strings.Contains(err.Error(), "no checkpoint of it is in") {
		t.Errorf("%v", err)
	}
	c.LoadBest = false
	if r, err := Train(context.Background(), tiny(t, c, 1), data, c, held); err != nil || r.Best != nil || r.ModelDir == "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// A run stops after so many evaluations that are no better, stays stopped, and goes on when it is told to.
func TestEarlyStopping(t *testing.T) {
	data, held := pairs(27), WithEval(pairs(33)[27:])
	c := bestConfig(t.TempDir())
	c.Patience = 2
	var log bytes.Buffer
	for _, resume := range []string{"", "latest"} {
		c.Resume = resume
		r, err := Train(context.Background(), tiny(t, c, 1), data, c, held, WithReport(Report{Log: &log}))
		if err != nil || r.Steps != 9 || r.Best == nil || r.Best.Update != 3 {
			t.Fatalf("%d steps, %+v, %v", r.Steps, r.Best, err)
		}
	}
	if !strings.Contains(log.String(), "early stopping at update 9 of 20: eval_loss was no better than ") || !strings.Contains(log.String(), "of update 3, in 2 evaluations") {
		t.Errorf("%s", &log)
	}
	c.Patience = 0
	r, err := Train(context.Background(), tiny(t, c, 1), data, c, held)
	if err != nil || r.Steps != 20 || r.Best == nil || r.Best.Update != 3 {
		t.Errorf("%d steps, %+v, %v", r.Steps, r.Best, err)
	}
}

// While lambda is 1 rewards are not trained, and their figures neither count as best nor against the patience.
func TestFiguresOfRewardsCountWhenTheyAreTrained(t *testing.T) {
	data, held := pairs(27), WithEval(pairs(33)[27:])
	c := bestConfig("")
	c.Method, c.LoadBest, c.Patience, c.EvalSteps, c.GreaterIsBetter = Critic, false, 1, 1, "false"
	c.Metric = "accuracy" // less is better: with equal rewards it is 0.5 until they are trained
	var log bytes.Buffer
	r, err := Train(context.Background(), tiny(t, c, 1), data, c, held, WithReport(Report{Log: &log}))
	if err != nil {
		t.Fatal(err)
	}
	// Lambda holds for 7 updates, and is 1 in the next one, too.
	if r.Steps != 10 || !strings.Contains(log.String(), "eval_accuracy counts from update 9 on: rewards are not trained before") {
		t.Errorf("%d steps\n%s", r.Steps, &log)
	}
	log.Reset()
	c.Metric, c.Patience = "loss", 50
	if _, err = Train(context.Background(), tiny(t, c, 1), data, c, held, WithReport(Report{Log: &log})); err != nil || !strings.Contains(log.String(), "eval_loss is a mean whose weights move with lambda") {
		t.Errorf("%v\n%s", err, &log)
	}
	c.Metric, c.Patience = "critique_loss", 50
	log.Reset()
	if _, err = Train(context.Background(), tiny(t, c, 1), data, c, held, WithReport(Report{Log: &log})); err != nil || strings.Contains(log.String(), "counts from update") {
		t.Errorf("%v\n%s", err, &log)
	}
}

// The best so far is forgotten, and this is said, when another figure or other rows are followed.
func TestBestOfOtherRows(t *testing.T) {
	c := bestConfig(t.TempDir())
	ctx, at := stopAfter(7)
	if _, err := Train(ctx, tiny(t, c, 1), pairs(27), c, WithEval(pairs(33)[27:]), at); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c.Resume = "latest"
	r, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c, WithEval(pairs(33)[28:]), WithReport(Report{Log: &log}))
	if err != nil || r.Best == nil || r.Best.Update != 9 || !strings.Contains(log.String(), "the best so far was of another figure or of other rows: it is forgotten") {
		t.Errorf("%+v, %v\n%s", r.Best, err, &log)
	}
}

// Of a run with an adapter it is the adapter of the best evaluation that is left.
func TestBestAdapter(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base")
	saved(t, base, 1)
	c := bestConfig(filepath.Join(t.TempDir(), "run"))
	c.Model, c.LoraR = base, 2
	held := pairs(33)[27:]
	m := withLoRA(t, c, 1)
	r, err := Train(context.Background(), m, pairs(27), c, WithEval(held))
	if err != nil || r.Best == nil || r.Best.Update != 3 {
		t.Fatalf("%+v, %v", r.Best, err)
	}
	if e, err := Evaluate(context.Background(), m, held, c, 0); err != nil || e.Loss != r.Best.Value || e.Loss == r.Evals[0].Loss {
		t.Errorf("a loss of %v, the best was %v, the last %v (%v)", e.Loss, r.Best.Value, r.Evals[0].Loss, err)
	}
	if s := stateOf(t, r.ModelDir); s["best_global_step"] != 3.0 {
		t.Errorf("%v", s["best_global_step"])
	}
}
