package trainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
)

func TestEvalFiles(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "a=b,c.jsonl")
	write(t, odd, "")
	t.Chdir(dir)
	for text, want := range map[string][]EvalFile{
		"":                              nil,
		"a.jsonl":                       {{"", "a.jsonl"}},
		"a.jsonl:0.7,b.jsonl:0.3":       {{"", "a.jsonl:0.7,b.jsonl:0.3"}},
		"easy=a.jsonl,hard=b.jsonl":     {{"easy", "a.jsonl"}, {"hard", "b.jsonl"}},
		"easy=a.jsonl,more.jsonl,x.1=b": {{"easy", "a.jsonl,more.jsonl"}, {"x.1", "b"}},
		"part/x=1/a.jsonl":              {{"", "part/x=1/a.jsonl"}},
		"a=b,c.jsonl":                   {{"", "a=b,c.jsonl"}},
	} {
		got, err := Config{EvalFile: text}.EvalFiles()
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"a.jsonl,hard=b.jsonl":          "hard has a name, and a.jsonl before it has none",
		"easy=a.jsonl,easy=b.jsonl":     "the name easy is given twice",
		"easy=,hard=b.jsonl":            "easy= names no file",
		"accuracy=a.jsonl,hard=b.jsonl": "accuracy is the name of a figure",
		"train=a.jsonl":                 "train is the name of a figure",
	} {
		if _, err := (Config{EvalFile: text}).EvalFiles(); err == nil || !strings.Contains(err.Error(), "trainer: config: eval_file: "+want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	c := Default()
	if err := ParseRecipe([]byte("eval_file: [easy=a.jsonl, hard=b.jsonl]\n"), &c); err != nil || c.EvalFile != "easy=a.jsonl,hard=b.jsonl" {
		t.Errorf("a list: %q, %v", c.EvalFile, err)
	}
	if err := ParseRecipe([]byte("eval_file: [[a]]\n"), &c); err == nil || !strings.Contains(err.Error(), "want one plain value") {
		t.Errorf("a list in a list: %v", err)
	}
}

// metricLines are the lines of metrics.jsonl that have a field, decoded.
func metricLines(t *testing.T, dir, field string) (list []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var x map[string]any
		if err := json.Unmarshal(line, &x); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, ok := x[field]; ok {
			list = append(list, x)
		}
	}
	return list
}

// Each data set has figures under its name, also before the first update, and a run that stops and goes on has them all once.
func TestNamedEvaluations(t *testing.T) {
	c := testConfig(filepath.Join(t.TempDir(), "straight"))
	c.EvalOnStart, c.EvalSteps, c.MaxSteps = true, 3, 8
	held := pairs(12)
	train := func(c Config, ctx context.Context, more ...Option) (Result, error) {
		return Train(ctx, tiny(t, c, 1), pairs(20), c, append(more, WithNamedEval("easy", held[:5]), WithNamedEval("hard", held[5:]))...)
	}
	r, err := train(c, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Evals) != 2 || r.Evals[0].Name != "easy" || r.Evals[1].Examples != 7 {
		t.Errorf("%+v", r.Evals)
	}
	for _, name := range []string{"eval_easy_accuracy", "eval_hard_accuracy"} {
		var steps []any
		for _, line := range metricLines(t, c.OutputDir, name) {
			steps = append(steps, line["step"])
		}
		if fmt.Sprint(steps) != "[0 3 6 8]" {
			t.Errorf("%s: %v", name, steps)
		}
	}
	if len(metricLines(t, c.OutputDir, "eval_accuracy"))+len(metricLines(t, c.OutputDir, "eval_loss")) > 0 {
		t.Error("figures without a name")
	}
	broken := c
	broken.OutputDir = filepath.Join(filepath.Dir(c.OutputDir), "broken")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, stop := range []int{0, 4, 100} {
		opts := []Option{}
		if stop > 0 {
			var at Option
			ctx, at = stopAfter(stop)
			opts = append(opts, at)
		}
		if _, err := train(broken, ctx, opts...); err != nil && !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		broken.Resume = "latest"
	}
	sameOutcome(t, c.OutputDir, broken.OutputDir)

	c.OutputDir = ""
	if _, err := Train(context.Background(), tiny(t, c, 1), pairs(20), c, WithEval(held), WithEval(held)); err == nil || !strings.Contains(err.Error(), `two held-out data sets are called ""`) {
		t.Errorf("two without a name: %v", err)
	}
	if _, err := Train(context.Background(), tiny(t, c, 1), pairs(20), c, WithEval(Slice{})); err == nil || !strings.Contains(err.Error(), "no examples to evaluate") {
		t.Errorf("an empty one: %v", err)
	}
}

// Rows of several categories have the accuracy of each, whose mean over the pairs is that of all; rows of one have not.
func TestCategories(t *testing.T) {
	c := fileConfig(t)
	c.MaxSteps, c.LearningRate, c.EvalOnStart = 2, 3e-2, true
	all := strings.Split(strings.TrimSpace(strings.ReplaceAll(records(9), "What is", "How much is")), "\n")
	for i := range all {
		all[i] = fmt.Sprintf(`{"category": "%s", `, []string{`Chat\u001b Hard`, "Code", ""}[i%3]) + all[i][1:]
	}
	plain := filepath.Join(t.TempDir(), "plain.jsonl")
	write(t, c.EvalFile, strings.Join(all, "\n")+"\n")
	write(t, plain, all[0]+"\n"+all[3]+"\n")
	c.EvalFile = "mixed=" + c.EvalFile + ",plain=" + plain
	var log bytes.Buffer
	r, err := Run(context.Background(), devicetest.Open(t, 1), c, Report{Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if len(r.Evals) != 2 || len(r.Evals[0].Categories) != 2 || len(r.Evals[1].Categories) != 0 {
		t.Fatalf("%+v", r.Evals)
	}
	if k := r.Evals[0].Categories; k[0].Name != "Chat? Hard" || k[0].Pairs != 3 || k[1].Name != "Code" || k[1].Pairs != 3 {
		t.Errorf("%+v", k)
	}
	lines := metricLines(t, c.OutputDir, "eval_mixed_accuracy_Code")
	if len(lines) != 2 || lines[0]["eval_mixed_accuracy_Code"] != 0.5 { // a new head gives ties
		t.Errorf("%v", lines)
	}
	first := metricLines(t, c.OutputDir, "train")
	if len(first) != 1 || first[0]["eval_mixed"] == nil || first[0]["eval_plain"] == nil || !strings.Contains(log.String(), "\neval_mixed: ") {
		t.Errorf("the files: %v\n%s", first, &log)
	}
}

// The accuracy of a category is that of its examples alone, however they are packed.
func TestCategoryAccuracy(t *testing.T) {
	c := testConfig("")
	c.MaxSteps = 10
	m, data := tiny(t, c, 1), pairs(30)
	if _, err := Train(context.Background(), m, data, c); err != nil {
		t.Fatal(err)
	}
	e, err := Evaluate(context.Background(), m, thirds{data}, c, .5)
	if err != nil || len(e.Categories) != 3 {
		t.Fatalf("%+v, %v", e, err)
	}
	different := false
	for k, got := range e.Categories {
		var part Slice
		for i := k; i < len(data); i += 3 {
			part = append(part, data[i])
		}
		want, err := Evaluate(context.Background(), m, part, c, .5)
		if err != nil || got.Pairs != 10 || math.Abs(got.Accuracy-want.Accuracy) > 1e-12 {
			t.Errorf("%+v, alone %v, %v", got, want.Accuracy, err)
		}
		different = different || got.Accuracy != e.Accuracy
	}
	if !different {
		t.Error("all categories are equal: the test says nothing")
	}
}

// thirds is a data set of three categories.
type thirds struct{ Slice }

func (d thirds) Categories() []string { return []string{"a", "b", "c"} }
func (d thirds) Category(i int) int   { return i % 3 }
