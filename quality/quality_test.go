package quality

import (
	"encoding/json"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"criticrm/record"
	"criticrm/revise"
	"criticrm/synth"
)

// vectors are those of testdata/vectors.py, computed with scikit-learn.
func vectors(t *testing.T) (v struct {
	Verdicts []struct {
		Right                                       []bool
		Value, Weight                               []float64
		Threshold                                   float64
		Precision, Recall, F1, MCC, AUROC, Accuracy *float64
	}
	Steps []struct {
		Label, Pred                []int
		Error, Correct, F1, Within float64
	}
}) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil || len(v.Verdicts) == 0 || len(v.Steps) == 0 {
		t.Fatalf("vectors: %v", err)
	}
	return v
}

// near allows for another order of sums.
func near(a, b float64) bool { return math.Abs(a-b) < 1e-12 || math.IsNaN(a) && math.IsNaN(b) }

func TestVerdictsAreScikitLearns(t *testing.T) {
	for i, v := range vectors(t).Verdicts {
		var list []observation
		for k := range v.Right {
			list = append(list, observation{k, v.Value[k], v.Right[k]})
		}
		var out [figures]float64
		c := verdicts(list, v.Threshold, v.Weight)
		c.figuresOf(out[:])
		out[auroc] = area(byValue(list), v.Weight)
		for k, want := range []*float64{precision: v.Precision, recall: v.Recall, f1: v.F1, mcc: v.MCC, auroc: v.AUROC, accuracy: v.Accuracy} {
			w := math.NaN()
			if want != nil {
				w = *want
			}
			if !near(out[k], w) {
				t.Errorf("case %d, figure %d: %v, want %v", i, k, out[k], w)
			}
		}
	}
}

// options are those of tests: few draws.
func options() Options {
	o := DefaultOptions()
	o.Draws = 50
	return o
}

func TestStepsAreProcessBenchs(t *testing.T) {
	for i, v := range vectors(t).Steps {
		var items []*Item
		for k, label := range v.Label {
			truth, said := label+1, v.Pred[k]+1 // theirs count from 0
			it := &Item{Prompt: string(rune('a' + k)), Right: truth == NoError, Step: &truth, Group: "all", Critiques: []Critique{{Step: &said}}}
			items = append(items, it)
		}
		r, err := Evaluate(items, nil, options())
		if err != nil {
			t.Fatal(err)
		}
		s := r.Steps[0]
		for name, x := range map[string][2]float64{"exact": {*s.Exact.Value, v.Error}, "within 1": {*s.Within1.Value, v.Within}, "none": {*s.None.Value, v.Correct}, "F1": {*s.F1.Value, v.F1}} {
			if !near(x[0], x[1]) {
				t.Errorf("case %d: %s %v, want %v", i, name, x[0], x[1])
			}
		}
	}
}

// A critique without a step says that there is none where its score calls the response right, and else nothing, which is never correct.
func TestStepOfASilentCritique(t *testing.T) {
	high, low, none, two, three := 9.0, 2.0, NoError, 2, 3
	for _, c := range []struct {
		critique Critique
		want     int
	}{{Critique{Score: &high}, NoError}, {Critique{Score: &low}, unlocated}, {Critique{}, unlocated}, {Critique{Score: &high, Step: &two}, 2}, {Critique{Score: &low, Step: &none}, NoError}} {
		if got := predicted(&c.critique, 5.5); got != c.want {
			t.Errorf("%+v: %d, want %d", c.critique, got, c.want)
		}
	}
	if got := majority([]int{unlocated, unlocated, three, two, two}); got != 2 {
		t.Errorf("majority: %d", got)
	}
	if got := majority([]int{three, two}); got != 3 {
		t.Errorf("of equally common ones the first: %d", got)
	}
}

func TestNamedStep(t *testing.T) {
	for text, want := range map[string]int{"First wrong step: 3": 3, "the first error is step 12.": 12, "First wrong step: none": 0, "**First incorrect step:** 4": 4,
		"First wrong step: 1. On second thought, first wrong step: 2": 2, "Step 3 is wrong": -1, "First step: 3": -1, "First wrong step: No": 0, "First wrong step: Noted": -1} {
		got := namedStep(regexp.MustCompile(DefaultSteps), text)
		if want < 0 && got != nil || want >= 0 && (got == nil || *got != want) {
			t.Errorf("%q: %v, want %d", text, got, want)
		}
	}
}

// The threshold with the best MCC; of equally good ones the nearest to the given one, and the given one itself if it is as good.
func TestBestThreshold(t *testing.T) {
	list := func(values ...float64) (out []observation) { // the second half is right
		for i, v := range values {
			out = append(out, observation{i, v, i >= len(values)/2})
		}
		return out
	}
	for _, c := range []struct {
		list  []observation
		given float64
		want  float64
	}{{list(1, 2, 3, 7, 8, 9), 5.5, 5.5}, {list(1, 2, 3, 7, 8, 9), 0, 5}, {list(7, 7.5, 8, 8.5, 9, 10), 5.5, 8.25}, {list(1, 2, 9, 8, 9, 9), 0, 5}} {
		if got, ok := bestThreshold(c.list, c.given); !ok || got != c.want {
			t.Errorf("%v given %v: %v, want %v", c.list, c.given, got, c.want)
		}
	}
	if _, ok := bestThreshold([]observation{{0, 1, true}, {1, math.NaN(), false}}, 0); ok {
		t.Error("there is no wrong one with a value")
	}
}

// Unparsed critiques are the wrong verdict, in single critiques and in means of nothing, and are counted.
func TestNoScoreIsTheWrongVerdict(t *testing.T) {
	nine := 9.0
	items := []*Item{
		{Prompt: "a", Group: "x", Right: true, Critiques: []Critique{{}, {Score: &nine}}},
		{Prompt: "b", Group: "y", Right: false, Critiques: []Critique{{}, {}}},
	}
	r, err := Evaluate(items, nil, options())
	if err != nil {
		t.Fatal(err)
	}
	one, two := r.Methods[0].Rows[0], r.Methods[1].Rows[0]
	if one.NoScore != 3 || one.TrueNeg != 1 || one.FalsePos != 1 || one.FalseNeg != 2 || two.NoScore != 1 || two.TrueNeg != 1 || two.FalseNeg != 1 || two.AUROC.Value != nil {
		t.Errorf("%+v\n%+v", one, two)
	}
	if last := r.Methods[2]; last.Rows[0].TruePos != 1 || last.Rows[0].FalsePos != 1 || len(last.Rows) != 3 {
		t.Errorf("%+v", last)
	}
}

// Rows that lack what others have are an error, not a zero.
func TestUneven(t *testing.T) {
	nine := 9.0
	items := []*Item{{ID: "p", Side: "response", Prompt: "a", Critiques: []Critique{{Score: &nine}}}, {ID: "q", Side: "response", Prompt: "b"}}
	if _, err := Evaluate(items, nil, options()); err == nil || !strings.Contains(err.Error(), `record "q" has none`) {
		t.Error(err)
	}
	if _, err := Evaluate(items[:1], []*Item{{Prompt: "c", Reward: &nine}}, options()); err == nil || !strings.Contains(err.Error(), "cannot set the threshold of score m=1") {
		t.Error(err)
	}
	if _, err := Evaluate(items[:1], items[:1], options()); err == nil || !strings.Contains(err.Error(), "wants right and wrong responses") {
		t.Error(err)
	}
}

// The chance to pick a right response is that of drawing all subsets.
func TestBestOfNIsExact(t *testing.T) {
	values := []float64{1, 3, 3, 5, 5, 2}
	right := []bool{true, false, true, true, false, false}
	var items []*Item
	for i, v := range values {
		items = append(items, &Item{Prompt: "p", Response: string(rune('a' + i)), Group: "all", Right: right[i], Reward: &v})
	}
	items = append(items, items[0]) // the same response in another pair
	r, err := Evaluate(items, nil, options())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range r.BestOfN {
		want, sets := 0.0, 0.0
		for mask := range 1 << len(values) {
			var in []int
			for i := range values {
				if mask>>i&1 == 1 {
					in = append(in, i)
				}
			}
			if len(in) != b.N {
				continue
			}
			sets++
			if b.Method == PickAny {
				if slices.ContainsFunc(in, func(i int) bool { return right[i] }) {
					want++
				}
				continue
			}
			value := func(i int) float64 { return values[i] }
			if b.Method == PickRandom {
				value = func(int) float64 { return 0 }
			}
			top := value(slices.MaxFunc(in, func(a, b int) int { return int(2 * (value(a) - value(b))) }))
			hits, n := 0.0, 0.0
			for _, i := range in {
				if value(i) == top {
					n++
					if right[i] {
						hits++
					}
				}
			}
			want += hits / n
		}
		if !near(*b.Accuracy.Value, want/sets) {
			t.Errorf("%s of %d: %v, want %v", b.Method, b.N, *b.Accuracy.Value, want/sets)
		}
	}
	if len(r.BestOfN) != 4+4+1 || r.BestOfN[0].Prompts != 1 {
		t.Errorf("%+v", r.BestOfN)
	}
}

func TestRevisions(t *testing.T) {
	revision := func(condition, before, verdict, answer string) revise.Revision {
		return revise.Revision{Condition: condition, Before: before, Verdict: verdict, Answer: answer}
	}
	items := []*Item{
		{Prompt: "a", Right: false, Revisions: []revise.Revision{revision(revise.Own, synth.Wrong, synth.Right, "1"), revision(revise.Own, synth.Wrong, synth.Right, "1"),
			revision(revise.Own, synth.Wrong, synth.Wrong, "2"), revision(revise.Without, synth.Wrong, synth.Wrong, "2")}},
		{Prompt: "b", Right: true, Revisions: []revise.Revision{revision(revise.Own, synth.Right, synth.Unreadable, ""), revision(revise.Without, synth.Right, synth.Right, "7")}},
	}
	r, err := Evaluate(items, nil, options())
	if err != nil {
		t.Fatal(err)
	}
	one, common, none := r.Revisions[0], r.Revisions[1], r.Revisions[2]
	third := 2.0 / 3
	if *one.Before.Value != .5 || !near(*one.After.Value, third/2) || !near(*one.WrongToRight.Value, third) || *one.RightToWrong.Value != 1 || one.NoAnswer != 1 || one.Revisions != 4 {
		t.Errorf("%+v", one)
	}
	if common.Samples != 3 || *common.After.Value != .5 || *common.WrongToRight.Value != 1 || *none.WrongToRight.Value != 0 || *none.RightToWrong.Value != 0 {
		t.Errorf("%+v\n%+v", common, none)
	}
	if a := r.Against[0]; a.Condition != revise.Without || !near(*a.After.Value, third/2-.5) || !near(*a.WrongToRight.Value, third) || *a.RightToWrong.Value != 1 {
		t.Errorf("%+v", a)
	}
}

// records reads rows.
func records(t *testing.T, rows string) []*record.Record {
	t.Helper()
	path := t.TempDir() + "/rows.jsonl"
	if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := record.Open(path, record.ReadOptions{Reads: Columns()})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var list []*record.Record
	for r, err := range in.Records() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func TestItems(t *testing.T) {
	items, leftOut, err := Items(records(t, `{"prompt":"1","response":"a","correct":false,"first_error_step":"2","critiques":[{"text":"First wrong step: 2","score":3,"correct":true},"given"]}
{"prompt":"2","response":"b","correct":true,"first_error_step":null}
{"prompt":"3","response":"c","correct":false,"first_error_step":null}
{"prompt":"4","response":"c"}
`), Reading{})
	if err != nil {
		t.Fatal(err)
	}
	if len(items) != 3 || *items[0].Step != 2 || *items[1].Step != NoError || items[2].Step != nil || len(leftOut) != 1 {
		t.Errorf("%d items, %v", len(items), leftOut)
	}
	if c := items[0].Critiques; len(c) != 1 || *c[0].Score != 3 || *c[0].Step != 2 || !*c[0].Sound {
		t.Errorf("%+v", c)
	}
	if _, _, err := Items(records(t, `{"prompt":"5","chosen":"x","rejected":"y"}`), Reading{}); err == nil || !strings.Contains(err.Error(), "pairs, which say what is better") {
		t.Error(err)
	}
	items, _, err = Items(records(t, `{"prompt":"5","chosen":"x","rejected":"y"}`), Reading{Pairs: true})
	if err != nil || len(items) != 2 || !items[0].Right || items[1].Right {
		t.Errorf("%v %v", items, err)
	}
	for row, want := range map[string]string{
		`{"prompt":"1","response":"a","correct":true,"first_error_step":2}`:             `"first_error_step" is 2, and "correct" is true`,
		`{"prompt":"1","response":"a","correct":false,"first_error_step":"no"}`:         `want a whole number from 1`,
		`{"prompt":"1","response":"a","correct":false,"first_error_step":0}`:            `want a whole number from 1`,
		`{"prompt":"1","response":"a","correct":false,"revisions":[{"condition":"x"}]}`: `"revisions": item 0`,
	} {
		if _, _, err := Items(records(t, row), Reading{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "rows.jsonl:1") {
			t.Errorf("%s: %v, want %q", row, err, want)
		}
	}
}
