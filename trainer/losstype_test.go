package trainer

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"criticrm/render"
)

// scored gives responses of pairs scores: chosen ones from 2 to 4, rejected ones -1; some rejected ones are the better ones.
func scored(d Slice) Slice {
	d = slices.Clone(d)
	for i := range d {
		d[i].Scores = []float32{float32(2 + i%3), -1}
	}
	return d
}

// singles makes responses of their own of pairs with scores.
func singles(d Slice) (out Slice) {
	for _, e := range d {
		first, second := e, e
		first.Rejected, second.Chosen, second.Rejected = render.Reply{}, e.Rejected, render.Reply{}
		first.Scores, second.Scores = []float32{e.Scores[0], 0}, []float32{e.Scores[1], 0}
		out = append(out, first, second)
	}
	return out
}

// lossConfig is a recipe of one batch that learns by heart.
func lossConfig(method string, n int) Config {
	c := testConfig("")
	c.UseMargin, c.CenterCoefficient, c.Method, c.LambdaSchedule, c.BatchSize, c.Accumulation, c.BatchTokens = false, 0, method, "constant", n, 1, 0
	c.MaxSteps, c.LearningRate, c.WarmupSteps, c.Scheduler, c.WeightDecay, c.MaxGradNorm = 60, 1e-2, 1, "constant", 0, 0
	return c
}

// learn trains on data and holds the kernels' figures behind that against the evaluation's, which are computed apart and in float64.
func learn(t *testing.T, name string, data Slice, c Config) (first, last Metrics) {
	t.Helper()
	m := tiny(t, c, 1)
	var all []Metrics
	train := func(c Config) {
		t.Helper()
		if _, err := Train(t.Context(), m, data, c, WithReport(Report{OnStep: func(s Metrics) { all = append(all, s) }})); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	train(c)
	first, last = all[0], all[len(all)-1]
	e, err := Evaluate(t.Context(), m, data, c, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	c.MaxSteps, c.LearningRate = 1, 1e-30
	train(c)
	now := all[len(all)-1]
	for i, x := range [][2]float64{{now.RewardLoss, e.RewardLoss}, {now.Accuracy, e.Accuracy}, {now.Margin, e.Margin}} {
		if !(math.Abs(x[0]-x[1]) <= 2e-5*(1+math.Abs(x[1]))) && !(math.IsNaN(x[0]) && math.IsNaN(x[1])) {
			t.Errorf("%s: figure %d is %v, the evaluation's %v", name, i, x[0], x[1])
		}
	}
	return first, last
}

// TestRegression: the first loss is the mean square of the scores, since the first rewards are 0; scores are learned, with critiques and without, in
// pairs and alone. Accuracy is of pairs alone, and is none without them.
func TestRegression(t *testing.T) {
	pair := scored(pairs(6)) // scores 2, 3, 4, 2, 3, 4, and -1 six times
	const square = (2*(4+9+16)/6. + 1) / 2
	for _, x := range []struct {
		name, pairing string
		data          Slice
		first         float64
		compared      bool
	}{
		{"pairs", "cross", pair, square, true},
		{"pairs, mean", "mean", pair, square, true},
		{"singles", "zip", singles(pair), square, false},
		{"both", "cross", slices.Concat(pair, singles(pair)), square, true},
	} {
		for _, method := range []string{BT, Critic} {
			c := lossConfig(method, len(x.data))
			c.LossType, c.Pairing = Regression, x.pairing
			name := method + ", " + x.name
			first, last := learn(t, name, x.data, c)
			if math.Abs(first.RewardLoss-x.first) > 1e-5 {
				t.Errorf("%s: the first loss is %v, want %v", name, first.RewardLoss, x.first)
			}
			if !(last.RewardLoss < 0.3*x.first) {
				t.Errorf("%s: the last loss is %v", name, last.RewardLoss)
			}
			if x.compared && last.Accuracy < 0.95 || x.compared == math.IsNaN(last.Accuracy) {
				t.Errorf("%s: accuracy %v", name, last.Accuracy)
			}
		}
	}
}

// TestScoredExamples: examples keep their scores as bytes, and training refuses those without.
func TestScoredExamples(t *testing.T) {
	p := render.Parts{Rewards: true, Scores: true}
	for _, e := range append(scored(pairs(2)), singles(scored(pairs(2)))...) {
		b, err := e.AppendBinary(nil)
		var back render.Example
		if err == nil {
			err = back.UnmarshalBinary(b)
		}
		if err != nil || !slices.Equal(back.Scores, e.Scores) || back.Check(p, tinyVocab) != nil || back.Size(p).Pairs != 1 {
			t.Errorf("%v, %v, %+v", err, back.Check(p, tinyVocab), back.Size(p))
		}
		var with, without bytes.Buffer
		e.Digest(&with)
		e.Scores = nil
		e.Digest(&without)
		if bytes.Equal(with.Bytes(), without.Bytes()) {
			t.Error("scores do not count in the digest")
		}
		if err := e.Check(p, tinyVocab); err == nil || !strings.Contains(err.Error(), "0 scores") {
			t.Errorf("without scores: %v", err)
		}
	}
}

// TestScoresOfRows: HelpSteer's rows stand alone where scores are learned, ties and neighbours without a partner too; pairs have their scores in
// columns of data sets; what is missing, or could be two things, is refused.
func TestScoresOfRows(t *testing.T) {
	const steer = `{"prompt":"a","response":"b c","helpfulness":4,"correctness":3,"coherence":4,"complexity":1,"verbosity":0}
{"prompt":"a","response":"c","helpfulness":4,"correctness":1,"coherence":4,"complexity":1,"verbosity":0}
{"prompt":"d","response":"c","helpfulness":1,"correctness":2,"coherence":4,"complexity":1,"verbosity":0}
`
	const binarized = `{"prompt":"a","chosen":"b c","rejected":"c","score_chosen":8.5,"score_rejected":7}
`
	for _, x := range []struct {
		name, rows, column string
		want               [][]float32
		err                string
	}{
		{"HelpSteer", steer, "", [][]float32{{4, 0}, {4, 0}, {1, 0}}, ""},
		{"its correctness", steer, "correctness", [][]float32{{3, 0}, {1, 0}, {2, 0}}, ""},
		{"UltraFeedback binarized", binarized, "", [][]float32{{8.5, 7}}, ""},
		{"a pair of HelpSteer, as it is written", `{"id":"1","prompt":"a","chosen":"b c","rejected":"c","chosen_ratings":{"helpfulness":3,"verbosity":1},"rejected_ratings":{"helpfulness":2,"verbosity":4}}`, "verbosity", [][]float32{{1, 4}}, ""},
		{"own rows", `{"prompt":"a","response":"b","score":-0.25}`, "", [][]float32{{-0.25, 0}}, ""},
		{"no scores", `{"prompt":"a","chosen":"b c","rejected":"c"}`, "", nil, "chosen: no score: name its column with score_column"},
		{"another's", binarized, "quality", nil, "none of the columns quality_chosen, chosen_quality, chosen-quality, chosen_ratings"},
		{"one side", `{"prompt":"a","chosen":"b c","rejected":"c","score_chosen":8.5}`, "", nil, "rejected: no score"},
		{"two", `{"prompt":"a","response":"b","score":1,"rating":5}`, "", nil, "score and rating could all be its score"},
		{"a text", `{"prompt":"a","response":"b","score":"high"}`, "", nil, `"score": got string, want a finite number`},
	} {
		c := fileConfig(t)
		write(t, c.TrainFile, x.rows)
		c.Method, c.UseMargin, c.CenterCoefficient, c.LossType, c.ScoreColumn = BT, false, 0, Regression, x.column
		d, err := LoadRecords(t.Context(), c.TrainFile, opened(t, c), c, 256, Report{})
		if x.err != "" {
			if err == nil || !strings.Contains(err.Error(), x.err) {
				t.Errorf("%s: %v, want %q", x.name, err, x.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		var got [][]float32
		for i := range d.Len() {
			e, err := d.Example(i)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Scores)
		}
		if !slices.EqualFunc(got, x.want, slices.Equal[[]float32]) {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
		if s := d.String(); strings.Contains(s, "not read") && strings.Contains(s, "score") {
			t.Errorf("%s: %s", x.name, s)
		}
		d.Close()
	}
}

// TestLossType: what only pairs can have is refused beside another loss.
func TestLossType(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"use_margin":                 func(c *Config) { c.UseMargin = true },
		"scale_by_margin":            func(c *Config) { c.ScaleByMargin = true },
		"label_smoothing":            func(c *Config) { c.LabelSmoothing = 0.1 },
		"center_rewards_coefficient": func(c *Config) { c.CenterCoefficient = 0.01 },
	} {
		c := lossConfig(BT, 1)
		c.LossType = Regression
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		critic := lossConfig(Critic, 1)
		if critic.LossType = PlackettLuce; critic.Pairing == "cross" {
			if err := critic.Validate(); err == nil || !strings.Contains(err.Error(), "set mean") {
				t.Errorf("lists crosswise: %v", err)
			}
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name+": is of pairs' loss") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
