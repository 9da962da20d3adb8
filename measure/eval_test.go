package measure

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/record/recordtest"
	"criticrm/splitmix"

	"github.com/google/go-cmp/cmp"
)

// evalPair has rewards per critique, a category and a prompt.
func evalPair(id, prompt, category string, plus, minus []float64, chosen, rejected []record.Critique) *record.Record {
	r := &record.Record{ID: id, Prompt: record.Prompt{Text: prompt}, Category: category, Chosen: "yes", Rejected: "no!", ChosenCritiques: chosen, RejectedCritiques: rejected}
	for i, v := range plus {
		r.ChosenCritiques[i].Reward = new(float32(v))
	}
	for i, v := range minus {
		r.RejectedCritiques[i].Reward = new(float32(v))
	}
	r.ChosenReward, r.RejectedReward = new(critic.MeanReward(r.ChosenCritiques)), new(critic.MeanReward(r.RejectedCritiques))
	return r
}

// evalRecords is small enough to check by hand:
//
//	     rewards m=1        m=2 means    judge N=1          judge N=2
//	a/X  2>1, 0<1           1 = 1 tie    8>3, 2<9           5 < 6
//	b/X  3>0, 3>0           3 > 0        none→tie, 7>1      7 > 5
//	c/Y  1>0, 1>0           1 > 0        4=4, 4=4           tie
//	d/Y  0<1, 2>1           1 = 1 tie    none both times    tie, no score
func evalRecords() []*record.Record {
	return []*record.Record{
		evalPair("a", "p1", "X", []float64{2, 0}, []float64{1, 1}, recordtest.Scores(8, 2), recordtest.Scores(3, 9)),
		evalPair("b", "p1", "X", []float64{3, 3}, []float64{0, 0}, recordtest.Scores(math.NaN(), 7), recordtest.Scores(9, 1)),
		evalPair("c", "p2", "Y", []float64{1, 1}, []float64{0, 0}, recordtest.Scores(4, 4), recordtest.Scores(4, 4)),
		evalPair("d", "p3", "Y", []float64{0, 2}, []float64{1, 1}, recordtest.Scores(math.NaN(), math.NaN()), recordtest.Scores(5, 6)),
	}
}

func TestEvaluate(t *testing.T) {
	records := evalRecords()
	records[1].Chosen = "longer" // length: b right, the others are ties
	r, err := Evaluate(records, DefaultEvalOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		name                       string
		correct                    []float64
		mean, macro                float64
		comparisons, ties, noScore int
	}{
		{"reward", []float64{.5, 1, 1, .5}, .75, .75, 4, 2, 0},
		{"reward m=1", []float64{.5, 1, 1, .5}, .75, .75, 8, 0, 0},
		{"reward m=2", []float64{.5, 1, 1, .5}, .75, .75, 4, 2, 0},
		{"judge N=1", []float64{.5, .75, .5, .5}, .5625, .5625, 8, 5, 3},
		{"judge N=2", []float64{0, 1, .5, .5}, .5, .5, 4, 2, 1},
		{"length", []float64{.5, 1, .5, .5}, .625, .625, 4, 3, 0},
	} {
		m, ok := r.Method(want.name)
		if !ok {
			t.Fatalf("%s is missing", want.name)
		}
		if d := cmp.Diff(want.correct, m.Correct); d != "" {
			t.Errorf("%s: %s", want.name, d)
		}
		if m.Mean != want.mean || m.Macro != want.macro || m.Comparisons != want.comparisons || m.Ties != want.ties || m.NoScore != want.noScore {
			t.Errorf("%s: mean %v macro %v, %d comparisons, %d ties, %d without score; want %+v", want.name, m.Mean, m.Macro, m.Comparisons, m.Ties, m.NoScore, want)
		}
		if m.Interval.Low > m.Mean || m.Interval.High < m.Mean {
			t.Errorf("%s: interval %v around %v", want.name, m.Interval, m.Mean)
		}
	}
	if len(r.Methods) != 6 || r.Prompts != 3 || r.Pairs != 4 {
		t.Errorf("%d methods, %d prompts, %d pairs", len(r.Methods), r.Prompts, r.Pairs)
	}
	if d := r.Differences[0]; d.Name != "reward - judge N=2" || d.Mean != .25 {
		t.Errorf("difference %+v", d)
	}
	// Agreement: a {8,2}×{3,9}: 1 of 4; b {7}×{9,1}: 1 of 2; c all ties 1/2; d none. Mean (.25+.5+.5)/3.
	if q := r.Quality; math.Abs(q.Agreement-1.25/3) > 1e-15 || q.AgreementPairs != 3 || q.Parsed != 13 || q.ParsedShare != 13.0/16 {
		t.Errorf("quality %+v", q)
	}
	if s := r.String(); !strings.Contains(s, "reward m=2") || !strings.Contains(s, "X (2)") || !strings.Contains(s, "reward - length") {
		t.Error(s)
	}
	again, _ := Evaluate(records, DefaultEvalOptions())
	if again.String() != r.String() {
		t.Error("the same records give another report")
	}
}

func TestMacro(t *testing.T) {
	records := append(evalRecords()[:3], evalPair("e", "p4", "X", []float64{0}, []float64{1}, recordtest.Scores(1), recordtest.Scores(2)))
	r, err := Evaluate(records, DefaultEvalOptions())
	if err != nil {
		t.Fatal(err)
	}
	m, _ := r.Method("reward") // X: .5, 1, 0; Y: 1
	if m.Mean != 2.5/4 || m.Macro != .75 || m.Categories[0].Mean != .5 || m.Categories[0].N != 3 || m.Categories[1].Mean != 1 {
		t.Errorf("%+v", m.Estimate)
	}
	if _, ok := r.Method("reward m=1"); !ok {
		t.Error("with one sample on some side the curve ends at m=1")
	}
	if _, ok := r.Method("reward m=2"); ok {
		t.Error("a curve point without enough samples")
	}
}

func TestEvaluateRefuses(t *testing.T) {
	records := evalRecords()
	records[2].RejectedReward = nil
	_, err := Evaluate(records, DefaultEvalOptions())
	recordtest.WantError(t, err, `record "c": the reward of rejected is missing`)
	records[2].RejectedReward = new(math.Inf(-1))
	_, err = Evaluate(records, DefaultEvalOptions())
	recordtest.WantError(t, err, "is -Inf")
	_, err = Evaluate(nil, DefaultEvalOptions())
	recordtest.WantError(t, err, "no records")
	for _, r := range records { // no rewards at all: judge and length only
		r.ChosenReward, r.RejectedReward = nil, nil
	}
	r, err := Evaluate(records, DefaultEvalOptions())
	if _, ok := r.Method("reward"); err != nil || ok || len(r.Methods) != 3 {
		t.Errorf("%d methods, %v", len(r.Methods), err)
	}
}

func TestVerdicts(t *testing.T) {
	single := func(correct bool, values ...float64) *record.Record {
		return &record.Record{ID: "s", Prompt: record.Prompt{Text: "p"}, Response: new("x"), Correct: &correct, Critiques: recordtest.Scores(values...)}
	}
	// Verdicts: right/right, right/wrong, right/none; wrong/wrong, wrong/wrong, wrong/none.
	records := []*record.Record{single(true, 9, 2, math.NaN()), single(false, 1, 5, math.NaN())}
	records[0].Critiques = append(records[0].Critiques,
		record.Critique{Origin: record.OriginGiven, Correct: new(true), Meta: []float64{9, 3}}, // mean 6: says right
		record.Critique{Origin: record.OriginGiven, Correct: new(false), Meta: []float64{9}})
	r, err := Evaluate(records, DefaultEvalOptions())
	if err != nil {
		t.Fatal(err)
	}
	// Positive is "wrong": tp 2, fp 2 (one of them not parsed), fn 1: F1 = 4/7.
	if d := cmp.Diff(&VerdictAccuracy{N: 6, NoScore: 2, Accuracy: 0.5, F1: 4.0 / 7}, r.Quality.Response); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(&VerdictAccuracy{N: 2, Accuracy: 0.5, F1: 0}, r.Quality.Critique); d != "" {
		t.Error(d)
	}
}

// The middle of another scale would give the same verdict to all scores: an error where there are labels to measure verdicts by, and only there.
func TestScoresOffTheScale(t *testing.T) {
	r := &record.Record{ID: "s", Prompt: record.Prompt{Text: "p"}, Response: new("x"), Correct: new(true), Critiques: recordtest.Scores(8, 80)}
	_, err := Evaluate([]*record.Record{r}, DefaultEvalOptions())
	recordtest.WantError(t, err, `record "s": response: the score 80 of critique 2 is not on the scale from 1 to 10`)
	o := DefaultEvalOptions()
	o.Scale = critic.Scale{Min: 1, Max: 100}
	if _, err := Evaluate([]*record.Record{r}, o); err != nil {
		t.Error(err)
	}
	r.Critiques[1].Origin = record.OriginGiven // it is not measured
	if _, err := Evaluate([]*record.Record{r}, DefaultEvalOptions()); err != nil {
		t.Error(err)
	}
	pair := &record.Record{ID: "p", Prompt: record.Prompt{Text: "p"}, Chosen: "x", Rejected: "y", ChosenCritiques: recordtest.Scores(80), RejectedCritiques: recordtest.Scores(30)}
	if _, err := Evaluate([]*record.Record{pair}, DefaultEvalOptions()); err != nil {
		t.Error(err)
	}
	recordtest.WantError(t, OnScale([]*record.Record{pair}, critic.DefaultScale(), true), "chosen: the score 80 of critique 1")
}

// TestBootstrap compares with the normal approximation, and checks that prompts, not pairs, are drawn.
func TestBootstrap(t *testing.T) {
	var records []*record.Record
	var x []float64
	for i := range 1000 {
		records = append(records, &record.Record{ID: fmt.Sprint(i), Prompt: record.Prompt{Text: fmt.Sprint(i / 4)}, Chosen: "a", Rejected: "b", Category: []string{"A", "B"}[i%2]})
		x = append(x, float64(splitmix.Below(splitmix.Draw(7, uint64(i/4)), 2))) // equal within a prompt
	}
	b := NewBootstrap(records, 2000, 0.95, 1)
	if b.Prompts() != 250 {
		t.Fatalf("%d prompts", b.Prompts())
	}
	e := b.Mean(x)
	half := 1.96 * math.Sqrt(e.Mean*(1-e.Mean)/250) // 250 independent prompts
	for _, v := range []float64{e.Mean - e.Interval.Low, e.Interval.High - e.Mean} {
		if math.Abs(v-half) > 0.15*half { // the quantile of 2000 draws has an error of some 5 %
			t.Errorf("half width %v, want about %v", v, half)
		}
	}
	// A pair's complement mirrors the interval; a constant has no width; a paired difference with itself is 0.
	y := make([]float64, len(x))
	for i := range y {
		y[i] = 1
	}
	if e := b.Mean(y); e.Interval != (Interval{1, 1}) || e.MacroRange != (Interval{1, 1}) {
		t.Errorf("constant: %+v", e)
	}
	if e := b.Difference(x, x); e.Mean != 0 || e.Interval != (Interval{}) {
		t.Errorf("difference with itself: %+v", e)
	}
	if other := NewBootstrap(records, 2000, 0.95, 2).Mean(x); other.Interval == e.Interval {
		t.Error("the seed changes nothing")
	}
}

func TestPermutation(t *testing.T) {
	// Each of the 6 orders of 3 things comes with the same frequency: χ² with 5 degrees, 99.9 % point 20.5.
	counts := map[[3]int]float64{}
	for k := range 6000 {
		p := splitmix.Permutation(splitmix.Mix(uint64(k)), 3)
		counts[[3]int(p)]++
	}
	chi := 0.0
	for _, n := range counts {
		chi += (n - 1000) * (n - 1000) / 1000
	}
	if len(counts) != 6 || chi > 20.5 {
		t.Errorf("χ² %v, %v", chi, counts)
	}
}

// A mean by Statistics is Mean's, with the same interval; what is not defined in a draw is left out of the interval, and every draw is told.
func TestStatistics(t *testing.T) {
	prompts := []string{"a", "a", "b", "c", "c", "c", "d", "e"}
	x := []float64{1, 0, 1, .5, 0, 1, 1, 0}
	boot := NewBootstrapBy(prompts, make([]string, len(x)), 200, .9, 3)
	want := boot.Mean(x)
	draws := 0
	values, intervals := boot.Statistics(2, func(drawn, out []float64) {
		sum, n := 0., 0.
		for i, w := range drawn {
			sum, n = sum+w*x[i], n+w
		}
		out[0], out[1] = sum/n, 7
		if drawn[0] == 0 {
			out[1] = math.NaN()
		}
	}, func() { draws++ })
	if values[0] != want.Mean || math.Abs(intervals[0].Low-want.Interval.Low) > 1e-12 || math.Abs(intervals[0].High-want.Interval.High) > 1e-12 || draws != 200 {
		t.Errorf("%v %v in %d draws, want %v %v", values[0], intervals[0], draws, want.Mean, want.Interval)
	}
	if values[1] != 7 || intervals[1] != (Interval{7, 7}) {
		t.Errorf("%v %v", values[1], intervals[1])
	}
}
