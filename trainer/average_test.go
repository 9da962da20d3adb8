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

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
)

// averageConfig has checkpoints behind updates 4, 8, 12, 16 and 20.
func averageConfig(dir string) Config {
	c := testConfig(dir)
	c.Method, c.Average, c.SaveSteps, c.SaveTotalLimit = BT, 3, 4, 3
	return c
}

// meanOf is the mean of a tensor over checkpoints, in float64.
func meanOf(t *testing.T, dir, name string, steps ...int) []float64 {
	t.Helper()
	var mean []float64
	for _, step := range steps {
		s, err := checkpoint.Load(filepath.Join(dir, checkpointsDir, fmt.Sprintf("step-%08d", step)))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(s.Tensors, func(x checkpoint.TensorData) bool { return x.Name == name })
		if i < 0 {
			t.Fatalf("no %s", name)
		}
		b := s.Tensors[i].Data
		if mean == nil {
			mean = make([]float64, len(b)/4)
		}
		for k := range mean {
			x := math.Float32frombits(uint32(b[4*k]) | uint32(b[4*k+1])<<8 | uint32(b[4*k+2])<<16 | uint32(b[4*k+3])<<24)
			mean[k] += float64(x) / float64(len(steps))
		}
	}
	return mean
}

// The final model is the mean of the last checkpoints, whatever interruptions lie between, and is measured; the model that is exported behind a
// training has the same bits.
func TestAverage(t *testing.T) {
	data, held := pairs(27), pairs(33)[27:]
	c := averageConfig(filepath.Join(t.TempDir(), "straight"))
	var log bytes.Buffer
	m := tiny(t, c, 1)
	r, err := Train(context.Background(), m, data, c, WithEval(held), WithReport(Report{Log: &log}))
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(r.Averaged) != "[12 16 20]" || !strings.Contains(log.String(), "the model is the mean of the checkpoints of updates 12, 16, 20") {
		t.Errorf("%v\n%s", r.Averaged, &log)
	}
	for _, p := range m.Params() {
		got, want := make([]float32, p.Len()), meanOf(t, c.OutputDir, "weight/"+p.Name, 12, 16, 20)
		m.Dev.Download(got, p.W.View(p.W.Len()))
		if err := m.Dev.Sync(); err != nil {
			t.Fatal(err)
		}
		for i, x := range got {
			if math.Abs(float64(x)-want[i]) > 1e-6*max(1, math.Abs(want[i])) {
				t.Fatalf("%s[%d] is %v, want %v", p.Name, i, x, want[i])
			}
		}
	}
	e, err := Evaluate(context.Background(), m, held, c, 0)
	if err != nil || e.Loss != r.Evals[0].Loss {
		t.Errorf("the model has a loss of %v, told is %v (%v)", e.Loss, r.Evals[0].Loss, err)
	}
	last := lastLine(t, c.OutputDir)
	if last["averaged_eval_loss"] != e.Loss || last["averaged_checkpoints"] != 3.0 || last["step"] != 20.0 {
		t.Errorf("%v", last)
	}
	facts, _, err := modeldir.ReadFacts(r.ModelDir)
	if err != nil || fmt.Sprint(facts.Averaged) != "[12 16 20]" {
		t.Errorf("%v, %v", facts.Averaged, err)
	}

	broken := c
	broken.OutputDir = filepath.Join(filepath.Dir(c.OutputDir), "broken")
	for _, stop := range []int{2, 4, 13, 17, 18, 0, 0} { // the last is asked for its model once more
		ctx, at := stopAfter(stop)
		if _, err := Train(ctx, tiny(t, broken, 1), data, broken, WithEval(held), at); stop != 0 && !errors.Is(err, ErrInterrupted) || stop == 0 && err != nil {
			t.Fatal(err)
		}
		broken.Resume = "latest"
	}
	sameOutcome(t, c.OutputDir, broken.OutputDir)

	// The same of a training that has not averaged.
	c.Average, c.OutputDir = 0, filepath.Join(filepath.Dir(c.OutputDir), "plain")
	if r, err = Train(context.Background(), tiny(t, c, 1), data, c, WithEval(held)); err != nil {
		t.Fatal(err)
	}
	later, err := model.Load(m.Dev, r.ModelDir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	if _, err := AverageLast(later, r.ModelDir, 4); err == nil || !strings.Contains(err.Error(), "4 checkpoints are wanted, and") {
		t.Errorf("%v", err)
	}
	steps, err := AverageLast(later, r.ModelDir, 3)
	if err != nil || fmt.Sprint(steps) != "[12 16 20]" {
		t.Fatalf("%v, %v", steps, err)
	}
	if a, b := weights(m), weights(later); !slices.Equal(a, b) {
		t.Error("the mean behind a training is another one")
	}
}

// lastLine is the last line of a run's metrics.
func lastLine(t *testing.T, dir string) (x map[string]any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err == nil {
		lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		err = json.Unmarshal(lines[len(lines)-1], &x)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// With bfloat16 the mean is of the masters, and they are it behind it.
func TestAverageOfMasters(t *testing.T) {
	c := averageConfig(filepath.Join(t.TempDir(), "run"))
	c.BF16 = true
	m := tiny(t, c, 1)
	if _, err := Train(context.Background(), m, pairs(27), c); err != nil {
		t.Fatal(err)
	}
	masters := 0
	for _, p := range m.Params() {
		if p.Master.IsNil() {
			continue
		}
		masters++
		want, got, rounded := meanOf(t, c.OutputDir, "master/"+p.Name, 12, 16, 20), make([]float32, p.Len()), make([]float32, p.Len())
		m.Dev.Download(got, p.Master.View(p.Len()))
		m.Dev.Download(rounded, p.W.View(p.Len()))
		if err := m.Dev.Sync(); err != nil {
			t.Fatal(err)
		}
		for i, x := range got {
			if math.Abs(float64(x)-want[i]) > 1e-6*max(1, math.Abs(want[i])) || rounded[i] != kernels.F32FromBF16(kernels.BF16FromF32(x)) {
				t.Fatalf("%s[%d] is %v, as bfloat16 %v, want %v", p.Name, i, x, rounded[i], want[i])
			}
		}
	}
	if masters == 0 {
		t.Error("there are no masters")
	}
}

// An adapter is averaged, too; what is not trained stays.
func TestAverageAdapter(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base")
	saved(t, base, 1)
	c := averageConfig(filepath.Join(t.TempDir(), "run"))
	c.Model, c.LoraR = base, 2
	held := pairs(33)[27:]
	m := withLoRA(t, c, 1)
	r, err := Train(context.Background(), m, pairs(27), c, WithEval(held))
	if err != nil || len(r.Averaged) != 3 {
		t.Fatalf("%+v, %v", r.Averaged, err)
	}
	later, err := model.Load(m.Dev, r.ModelDir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	if !slices.Equal(weights(m), weights(later)) {
		t.Error("the saved adapter is not that in memory")
	}
	if e, err := Evaluate(context.Background(), later, held, c, 0); err != nil || e.Loss != r.Evals[0].Loss {
		t.Errorf("%v, told %v (%v)", e.Loss, r.Evals[0].Loss, err)
	}
}

// What cannot be averaged is refused by name.
func TestAverageRefuses(t *testing.T) {
	for _, x := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(c *Config) { c.Average = 6 }, "average_checkpoints: 6 are wanted, and a run of 20 updates with a checkpoint every 4 has 5: lower save_steps"},
		{func(c *Config) { c.SaveSteps = 0 }, "with a checkpoint every 0 has 1"},
		{func(c *Config) { c.OutputDir = "" }, "average_checkpoints: needs output_dir"},
	} {
		c := averageConfig(t.TempDir())
		c.SaveTotalLimit = 0
		x.change(&c)
		if _, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v, want %s", err, x.want)
		}
	}
	validates(t, map[string]string{
		"average_checkpoints: 3\n":                               "",
		"average_checkpoints: 3\nsave_strategy: epoch\n":         "",
		"average_checkpoints: 3\nsave_total_limit: 2\n":          "3 checkpoints are averaged, and save_total_limit keeps 2",
		"average_checkpoints: 3\nsave_strategy: no\n":            "save_strategy is no: take steps or epoch",
		"average_checkpoints: 3\nsave_strategy: best\n":          "save_strategy is best: take steps or epoch",
		"average_checkpoints: 3\nload_best_model_at_end: true\n": "leave one of them out",
		"average_checkpoints: -1\n":                              "average_checkpoints: got -1",
	})
}

// Checkpoints of another model are not averaged into one.
func TestAverageOfOthers(t *testing.T) {
	c := averageConfig(filepath.Join(t.TempDir(), "run"))
	c.Average = 0
	r, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c)
	if err != nil {
		t.Fatal(err)
	}
	c.Method = SFT // no reward head
	other := tiny(t, c, 1)
	if _, err := AverageLast(other, r.ModelDir, 2); err == nil || !strings.Contains(err.Error(), "they are not of one training") {
		t.Errorf("%v", err)
	}
}
