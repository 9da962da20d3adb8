package trainer

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/render"
)

const (
	tinyVocab = 48
	tinyEnd   = 4
)

// tiny makes the model of the tests: two layers of width 16.
func tiny(t testing.TB, c Config, threads int) *model.Model {
	t.Helper()
	m, err := model.New(devicetest.Open(t, threads), model.Config{VocabSize: tinyVocab, HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		MaxPositionEmbeddings: 64, InitializerRange: 0.1, EOSTokenIDs: []int32{tinyEnd}}, c.options(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// pairs makes n pairs of a learnable task: token 20 + a in the chosen and token 30 + a in the rejected response, critiques that
// say which (40 or 41), of lengths that differ.
func pairs(n int) Slice {
	d := make(Slice, n)
	for i := range d {
		word := func(k, j int) int32 { return int32(5 + philox(uint64(i), [4]uint32{uint32(k), uint32(j)})[0]%15) }
		run := func(k, n int) (ids []int32) {
			for j := range n {
				ids = append(ids, word(k, j))
			}
			return ids
		}
		d[i] = render.Example{ID: fmt.Sprint(i), Prompt: append([]int32{1}, run(0, 1+i%4)...)}
		for s, side := range []*render.Reply{&d[i].Chosen, &d[i].Rejected} {
			side.Response = render.Branch{IDs: append(run(1+s, i%3), int32(20+10*s+i%5), 2)}
			side.Response.Read = len(side.Response.IDs) - 1
			for k := range 1 + (i+s)%2 {
				z := append(run(3+k, k+i%2), int32(40+s), tinyEnd)
				side.Critiques = append(side.Critiques, render.Branch{IDs: z, Read: len(z) - 1})
			}
		}
	}
	return d
}

// testConfig is a recipe with accumulation, packing and epochs that do not divide into its 20 steps: 10 is in the middle of an
// epoch of 7 updates.
func testConfig(dir string) Config {
	c := Default()
	c.OutputDir = dir
	c.BatchSize, c.Accumulation, c.BatchTokens = 2, 2, 60
	c.MaxSteps, c.LearningRate, c.WarmupRatio, c.WeightDecay, c.MaxGradNorm = 20, 3e-3, 0.2, 0.1, 0.5
	c.SaveSteps, c.UseMargin, c.CenterCoefficient = 0, true, 0.01
	return c
}

// stopAfter ends a context once step n is done.
func stopAfter(n int) (context.Context, Option) {
	ctx, cancel := context.WithCancel(context.Background())
	return ctx, WithReport(Report{OnStep: func(m Metrics) {
		if m.Step == n {
			cancel()
		}
	}})
}

var wallClock = regexp.MustCompile(`"(tokens_per_second|(averaged_)?eval_([a-z]+_)?runtime)": [^,}]*`)

// outcome is everything a run leaves that must not depend on interruptions: metrics without the wall clock, all tensors of the
// last checkpoint, and the final model.
func outcome(t *testing.T, dir string) (metrics string, tensors map[string]string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	path, _, err := checkpoint.Latest(filepath.Join(dir, "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	tensors = map[string]string{"meta": string(s.Meta)}
	for _, x := range s.Tensors {
		tensors[x.Name] = string(x.Data)
	}
	for _, name := range []string{"model.safetensors", "reward_head.safetensors", modeldir.FactsFile} {
		b, err := os.ReadFile(filepath.Join(dir, "model", name))
		if err != nil {
			t.Fatal(err)
		}
		tensors[name] = string(b)
	}
	return wallClock.ReplaceAllString(string(b), ""), tensors
}

func sameOutcome(t *testing.T, a, b string) {
	t.Helper()
	metricsA, tensorsA := outcome(t, a)
	metricsB, tensorsB := outcome(t, b)
	if metricsA != metricsB {
		t.Errorf("metrics differ:\n%s\n%s", metricsA, metricsB)
	}
	delete(tensorsA, "meta") // holds the paths and save settings of the run
	delete(tensorsB, "meta")
	if len(tensorsA) != len(tensorsB) {
		t.Errorf("%d and %d tensors", len(tensorsA), len(tensorsB))
	}
	for name, x := range tensorsA {
		if tensorsB[name] != x {
			t.Errorf("%s differs", name)
		}
	}
}

// weights are all weights of a model.
func weights(m *model.Model) (w []float32) {
	for _, p := range m.Params() {
		x := make([]float32, p.W.Len())
		m.Dev.Download(x, p.W)
		w = append(w, x...)
	}
	return w
}

// One big batch is many small ones, whatever the micro-batches: only rounding differs. Pairs and critique tokens are spread
// unevenly over the micro-batches, so that an average of averages would be wrong by far.
func TestAccumulationChangesRoundingOnly(t *testing.T) {
	data := pairs(24)
	type result struct {
		w       []float32
		metrics []Metrics
	}
	train := func(batch, accum, tokens int) (r result) {
		c := testConfig("")
		c.BatchSize, c.Accumulation, c.BatchTokens, c.MaxSteps = batch, accum, tokens, 6
		m := tiny(t, c, 2)
		if _, err := Train(context.Background(), m, data, c, WithReport(Report{OnStep: func(x Metrics) { r.metrics = append(r.metrics, x) }})); err != nil {
			t.Fatal(err)
		}
		r.w = weights(m)
		return r
	}
	want := train(12, 1, 0)
	for _, x := range [][3]int{{1, 12, 1}, {3, 4, 50}, {4, 3, 100}} {
		got := train(x[0], x[1], x[2])
		for i, m := range got.metrics {
			n := want.metrics[i]
			for _, v := range [][2]float64{{m.Loss, n.Loss}, {m.CritiqueLoss, n.CritiqueLoss}, {m.RewardLoss, n.RewardLoss}, {m.Margin, n.Margin}, {m.GradNorm, n.GradNorm}} {
				if math.Abs(v[0]-v[1]) > 2e-4*(1+math.Abs(v[1])) {
					t.Errorf("%v: step %d: %v, want %v", x, i+1, v[0], v[1])
				}
			}
			if m.NumTokens != n.NumTokens {
				t.Errorf("%v: step %d: %d tokens, want %d", x, i+1, m.NumTokens, n.NumTokens)
			}
		}
		for i := range got.w {
			if math.Abs(float64(got.w[i]-want.w[i])) > 2e-3 { // Adam turns a gradient near zero into a step of up to its rate
				t.Fatalf("%v: weight %d: %v, want %v", x, i, got.w[i], want.w[i])
			}
		}
	}
}

func TestThreadsChangeNothing(t *testing.T) {
	data, c := pairs(20), testConfig("")
	c.MaxSteps = 5
	var first []float32
	for _, threads := range []int{1, 2, 3} {
		m := tiny(t, c, threads)
		if _, err := Train(context.Background(), m, data, c); err != nil {
			t.Fatal(err)
		}
		w := weights(m)
		if first == nil {
			first = w
		}
		if !slices.Equal(w, first) {
			t.Errorf("%d threads give other weights than 1", threads)
		}
	}
}

// A second run on a model does not start from the first one's moments.
func TestMomentsStartAtZero(t *testing.T) {
	data, c := pairs(20), testConfig("")
	c.MaxSteps = 3
	m := tiny(t, c, 1)
	start := make([][]float32, len(m.Params()))
	for i, p := range m.Params() {
		start[i] = make([]float32, p.W.Len())
		m.Dev.Download(start[i], p.W)
	}
	var first []float32
	for range 2 {
		for i, p := range m.Params() {
			m.Dev.Upload(p.W, start[i])
		}
		if _, err := Train(context.Background(), m, data, c); err != nil {
			t.Fatal(err)
		}
		if w := weights(m); first == nil {
			first = w
		} else if !slices.Equal(w, first) {
			t.Error("the second run gives other weights than the first")
		}
	}
}

// A tiny model learns each kind of task by heart.
func TestOverfit(t *testing.T) {
	data := pairs(devicetest.Fewer(16, 8))
	documents := make(Slice, 8)
	for i := range documents {
		documents[i].Document = render.Branch{IDs: append(slices.Clone(data[i].Prompt), data[i].Chosen.Response.IDs...)}
		documents[i].Document.IDs[0] = int32(20 + i)
	}
	for _, x := range []struct {
		method string
		data   Slice
		loss   float64
	}{{Critic, data, .1}, {BT, data, .1}, {Cloud, data, .9}, {SFT, data, 1.1}, {LM, documents, .6}} {
		t.Run(x.method, func(t *testing.T) {
			c := testConfig("")
			c.Method, c.MaxSteps, c.LearningRate, c.WeightDecay = x.method, 80, 1e-2, 0
			c.BatchSize, c.Accumulation, c.LambdaSchedule, c.UseMargin, c.CenterCoefficient = 16, 1, "linear", false, 0
			var first *Metrics
			m := tiny(t, c, 2)
			r, err := Train(context.Background(), m, x.data, c, WithEval(x.data), WithReport(Report{OnStep: func(m Metrics) {
				if first == nil {
					first = &m
				}
			}}))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("loss %.3f to %.3f, accuracy %.2f, critique loss %.3f", first.Loss, r.Last.Loss, r.Last.Accuracy, r.Last.CritiqueLoss)
			if r.Last.Loss > x.loss || r.Last.Loss >= first.Loss {
				t.Errorf("loss %v to %v, want at most %v", first.Loss, r.Last.Loss, x.loss)
			}
			if c.rewards() && (r.Last.Accuracy != 1 || r.Evals[0].Accuracy != 1) {
				t.Errorf("accuracy %v, evaluated %v", r.Last.Accuracy, r.Evals[0].Accuracy)
			}
			if len(r.Evals) != 1 || math.Abs(r.Evals[0].Loss-r.Last.Loss) > .05 {
				t.Errorf("evaluation %+v is not near the training loss %v", r.Evals, r.Last.Loss)
			}
		})
	}
}

// The evaluation's float64 losses are those of the kernels, for every pairing.
func TestEvaluateAgreesWithTraining(t *testing.T) {
	data := pairs(12)
	for i := range data {
		data[i].Margin = float32(i%3) / 4
	}
	for _, pairing := range []string{"cross", "mean", "zip"} {
		c := testConfig("")
		c.Pairing, c.BatchSize, c.Accumulation, c.LambdaSchedule, c.DataOrder = pairing, 12, 1, "constant", "sequential"
		c.MaxSteps, c.LearningRate = 9, 5e-3
		m := tiny(t, c, 1)
		if _, err := Train(context.Background(), m, data, c); err != nil {
			t.Fatal(err)
		}
		e, err := Evaluate(context.Background(), m, data, c, .5)
		if err != nil {
			t.Fatal(err)
		}
		c.MaxSteps = 1
		r, err := Train(context.Background(), m, data, c) // its losses are those before the update
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range [][2]float64{{e.Loss, r.Last.Loss}, {e.CritiqueLoss, r.Last.CritiqueLoss}, {e.RewardLoss, r.Last.RewardLoss}, {e.Accuracy, r.Last.Accuracy}, {e.Margin, r.Last.Margin},
			{float64(e.Rewards.N), float64(r.Last.Rewards.N)}, {float64(e.Rewards.Min), float64(r.Last.Rewards.Min)}, {float64(e.Rewards.Max), float64(r.Last.Rewards.Max)},
			{e.Rewards.Mean(), r.Last.Rewards.Mean()}, {e.Rewards.Std(), r.Last.Rewards.Std()}} {
			if math.Abs(v[0]-v[1]) > 1e-5*(1+math.Abs(v[1])) || math.IsNaN(v[0]) {
				t.Errorf("%s: evaluation %v, training %v", pairing, v[0], v[1])
			}
		}
	}
}

func TestNonFiniteGradientsAreSkipped(t *testing.T) {
	data, c := pairs(8), testConfig(t.TempDir())
	c.MaxSteps, c.BatchSize, c.Accumulation = 30, 8, 1
	m := tiny(t, c, 1)
	before := weights(m) // the last norm's weights are 1, as overflow puts them back
	var log bytes.Buffer
	overflow(m, true)
	r, err := Train(context.Background(), m, data, c, WithReport(Report{Log: &log}))
	if err == nil || !strings.Contains(err.Error(), "10 steps in a row") || r.Skipped != 10 || r.Steps != 10 {
		t.Fatalf("%d steps, %d skipped, %v", r.Steps, r.Skipped, err)
	}
	overflow(m, false)
	if !slices.Equal(weights(m), before) {
		t.Error("a skipped update changed weights")
	}
	if !strings.Contains(log.String(), "step 10: no update: the gradient has ") {
		t.Errorf("the log does not say so:\n%s", log.String())
	}
	b, _ := os.ReadFile(filepath.Join(c.OutputDir, "metrics.jsonl"))
	if n := bytes.Count(b, []byte(`"skipped": true`)); n != 10 {
		t.Errorf("%d skipped steps in the metrics", n)
	}
}

// overflow puts a weight of the last norm to where the logits overflow, and back.
func overflow(m *model.Model, on bool) {
	for _, p := range m.Params() {
		if p.Name == "model.norm.weight" {
			x := make([]float32, p.W.Len())
			for i := range x {
				x[i] = 1
				if on {
					x[i] = 3e38
				}
			}
			m.Dev.Upload(p.W, x)
		}
	}
}

func TestTrainRefuses(t *testing.T) {
	c := testConfig("")
	long := pairs(4)
	long[2].Prompt = make([]int32, 100)
	sft := c
	sft.Method = SFT
	bf16 := c
	bf16.BF16 = true
	stochastic := bf16
	stochastic.Stochastic = true
	small := c
	small.Optim = AdamW8bit
	for _, x := range []struct {
		m    *model.Model
		data Slice
		c    Config
		want string
	}{
		{tiny(t, c, 1), nil, c, "no examples"},
		{tiny(t, sft, 1), pairs(4), c, "trains a reward head and the model has none"},
		{tiny(t, bf16, 1), pairs(4), c, "bf16 is false, but parameter"},
		{tiny(t, bf16, 1), pairs(4), stochastic, "stochastic_rounding is true, but the model was opened otherwise"},
		{tiny(t, c, 1), pairs(4), small, "optim is adamw_8bit, but the model was opened for the other one (parameter "},
		{tiny(t, small, 1), pairs(4), c, "optim is adamw, but the model was opened for the other one (parameter "},
		{tiny(t, c, 1), long, c, `example "2": `},
		{tiny(t, c, 1), pairs(4), Config{}, "config: method"},
	} {
		if _, err := Train(context.Background(), x.m, x.data, x.c); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
}

func TestOverlongExamplesAreDropped(t *testing.T) {
	c := testConfig("")
	c.Overlong, c.MaxSteps = "drop", 7
	long := pairs(27)
	long[2].Prompt = make([]int32, 100)
	for i := range long[2].Prompt {
		long[2].Prompt[i] = 7
	}
	r, err := Train(context.Background(), tiny(t, c, 1), long, c)
	if err != nil || r.Dropped != 1 {
		t.Errorf("drop: %+v, %v", r, err)
	}
	if r.Sharing <= 1 || r.Efficiency <= 0 || r.Efficiency > 1.2 || r.MicroBatches < 7 {
		t.Errorf("packing: %+v", r)
	}
}

func TestProgressBar(t *testing.T) {
	var log bytes.Buffer
	c := testConfig("")
	c.MaxSteps = 5
	if _, err := Train(context.Background(), tiny(t, c, 1), pairs(8), c, WithReport(Report{Log: &log, Terminal: true}), WithEval(pairs(2))); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"loss ", "5/5", "'eval_loss'"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %q", want, log.String())
		}
	}
}

func TestConsoleLine(t *testing.T) {
	var log bytes.Buffer
	c := testConfig("")
	c.LoggingSteps, c.MaxSteps = 2, 5
	if _, err := Train(context.Background(), tiny(t, c, 1), pairs(8), c, WithReport(Report{Log: &log})); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	want := regexp.MustCompile(`^\{'epoch': '[0-9.]+', 'loss': '[0-9.]+', 'critique_loss': '[0-9.]+', 'reward_loss': '[0-9.]+', 'lambda': '[0-9.]+', 'accuracy': .*'learning_rate': '0.\d+', 'grad_norm': '[0-9.]+', 'num_tokens': '\d+', 'tokens_per_second': '[0-9.e+]+', 'left': '\d+s'\}$`)
	if len(lines) != 3 || !want.MatchString(lines[0]) || !strings.HasPrefix(lines[2], "warning: rewards have hardly been trained") { // two of five updates, with a low rate
		t.Errorf("log:\n%s", log.String())
	}
}

// Updates that take long are told of within seconds, micro-batch by micro-batch.
func TestConsoleIsNotQuiet(t *testing.T) {
	var log bytes.Buffer
	k := newConsole(Report{Log: &log}, Config{LoggingSteps: 10}, Plan{Total: 4}, 0)
	k.within(1, 1, 12, 500, time.Now())
	if log.Len() > 0 {
		t.Errorf("at once: %q", log.String())
	}
	k.start = k.start.Add(-3 * time.Second)
	k.last = k.start
	k.within(1, 2, 12, 1000, time.Now().Add(-2*time.Second))
	k.within(1, 3, 12, 1500, time.Now())
	k.last = k.last.Add(-11 * time.Second)
	k.step(Metrics{Step: 1})
	if got := log.String(); !regexp.MustCompile(`^step 1 of 4: 2 of 12 micro-batches, (500|499) tokens/s\n\{'epoch'.*'left': '9s'\}\n$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}

// A directory that holds something else is not trained into.
func TestForeignOutputDir(t *testing.T) {
	for _, name := range []string{"state.json", "config.json", ".git"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
		c := testConfig(dir)
		if _, err := Train(context.Background(), tiny(t, c, 1), pairs(4), c); err == nil || !strings.Contains(err.Error(), dir+" holds") {
			t.Errorf("%s: %v", name, err)
		}
		if list, _ := os.ReadDir(dir); len(list) != 1 {
			t.Errorf("%s: %v was left there", name, list)
		}
	}
}

// Held-out records are measured when eval_strategy says, whatever eval_steps is.
func TestEvalStrategy(t *testing.T) {
	for _, x := range []struct {
		strategy    string
		steps, want int
	}{{"", 0, 3}, {"", 2, 5}, {EvalEverySteps, 2, 5}, {EvalEachEpoch, 2, 3}, {EvalNever, 2, 0}} {
		c := testConfig(t.TempDir())
		c.EvalStrategy, c.EvalSteps, c.MaxSteps, c.BatchSize, c.Accumulation = x.strategy, x.steps, 9, 2, 1 // 3 updates an epoch
		if _, err := Train(context.Background(), tiny(t, c, 1), pairs(6), c, WithEval(pairs(2))); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(c.OutputDir, "metrics.jsonl"))
		if got := strings.Count(string(b), `"eval_loss"`); err != nil || got != x.want {
			t.Errorf("%q, eval_steps %d: %d evaluations, want %d (%v)", x.strategy, x.steps, got, x.want, err)
		}
	}
}
