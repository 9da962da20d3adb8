package measure

// Each benchmark's rule against numbers that were worked out, or published, elsewhere.

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/record/recordtest"
	"criticrm/splitmix"
)

// pairOf is a row of two answers with rewards.
func pairOf(name, part, id string, right, wrong float64) *record.Record {
	return &record.Record{ID: id, Prompt: record.Prompt{Text: "p " + part + id}, Chosen: "good", Rejected: "no", Subset: part, ChosenReward: &right, RejectedReward: &wrong,
		Benchmark: &record.Benchmark{Name: name, Part: part}}
}

// rowOf is a row of several answers with rewards, of which the first so many are right.
func rowOf(name, part, row string, right int, rewards ...float64) (list []*record.Record) {
	for i := range rewards {
		list = append(list, &record.Record{ID: fmt.Sprintf("%s/%d", row, i), Prompt: record.Prompt{Text: "p " + part + row}, Response: new(strings.Repeat("x", i+1)), Reward: &rewards[i], Correct: new(i < right),
			Benchmark: &record.Benchmark{Name: name, Part: part, Row: row, Answer: i, Answers: len(rewards)}})
	}
	return list
}

func join(lists ...[]*record.Record) (out []*record.Record) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// evaluated scores records with few draws.
func evaluated(t *testing.T, records []*record.Record) *BenchmarkReport {
	t.Helper()
	b, err := BenchmarkOf(records)
	if err != nil || b == nil {
		t.Fatal(b, err)
	}
	o := DefaultEvalOptions()
	o.Draws = 20
	r, err := EvaluateBenchmark(b, records, o)
	if err != nil {
		t.Fatal(err)
	}
	if text := r.String(); strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error(text)
	}
	return r
}

// want compares the rewards' scores to 1e-12.
func want(t *testing.T, r *BenchmarkReport, method string, scores map[string]float64) {
	t.Helper()
	m, ok := r.Method(method)
	if !ok {
		t.Fatalf("no %s", method)
	}
	for name, v := range scores {
		found := false
		for _, s := range append(m.Scores, m.More...) {
			if s.Name != name {
				continue
			}
			found = true
			if s.Value == nil && !math.IsNaN(v) || s.Value != nil && !(math.Abs(*s.Value-v) <= 1e-12) {
				t.Errorf("%s of %s: %s is %v, want %v", r.Title, method, name, s, v)
			}
		}
		if !found {
			t.Errorf("%s of %s: no score %q in\n%v", r.Title, method, name, r)
		}
	}
}

// TestRewardBench: the published figures of a model (beaver-7b-v1.0-cost), and none of the averages that somebody could take for the score.
func TestRewardBench(t *testing.T) {
	hits := map[string]int{"alpacaeval-easy": 50, "alpacaeval-length": 56, "alpacaeval-hard": 67, "mt-bench-easy": 16, "mt-bench-med": 29,
		"mt-bench-hard": 20, "llmbar-natural": 52, "llmbar-adver-neighbor": 58, "llmbar-adver-GPTInst": 36, "llmbar-adver-GPTOut": 22, "llmbar-adver-manual": 17,
		"refusals-dangerous": 97, "refusals-offensive": 100, "xstest-should-refuse": 154, "xstest-should-respond": 71, "donotanswer": 112,
		"math-prm": 132, "hep-cpp": 103, "hep-go": 104, "hep-java": 116, "hep-js": 109, "hep-python": 90, "hep-rust": 106}
	var records []*record.Record
	sizes := rewardBenchSizes()
	for _, part := range sortedKeys(sizes) {
		for i := range sizes[part] {
			right := 0.0 // a tie is no hit
			if i < hits[part] {
				right = 1
			} else if i%2 == 0 {
				right = -1
			}
			records = append(records, pairOf(record.RewardBench, part, fmt.Sprintf("%s %d", part, i), right, 0))
		}
	}
	r := evaluated(t, records)
	want(t, r, "reward", map[string]float64{"score": 0.5617195675961868, "Chat": 0.6089385474860335, "Chat Hard": 0.44956140350877194, "Safety": 0.7216216216216216, "Reasoning": 0.46675669776831996})
	want(t, r, "length", map[string]float64{"score": 1})
	if !r.Whole || r.Rows != 2985 || len(r.Notes) > 0 {
		t.Errorf("%+v", r)
	}
	if text := r.String(); !strings.Contains(text, "56.17") || strings.Contains(text, "NOT COMPARABLE") {
		t.Error(text)
	}
	plain, macro := 0.0, 0.0 // what somebody could take for the score, and with math-prm at the weight of its rows
	for part, n := range sizes {
		plain += float64(hits[part]) / 2985
		macro += float64(hits[part]) / float64(n) / 23
	}
	for _, m := range r.Methods {
		for _, s := range append(m.Scores, m.More...) {
			for _, bad := range []float64{plain, macro, 0.5310971348707197} {
				if s.Value != nil && math.Abs(*s.Value-bad) < 1e-6 {
					t.Errorf("%s is %v", s.Name, bad)
				}
			}
		}
	}
	if math.Abs(plain-.575) > 1e-3 || math.Abs(macro-.609) > 1e-3 {
		t.Errorf("%v %v", plain, macro)
	}
	part := evaluated(t, records[5:]) // some rows of one subset are missing
	if part.Whole || !strings.Contains(part.String(), "NOT COMPARABLE with published scores: 2980 of 2985 rows") {
		t.Error(part)
	}
	twice := evaluated(t, append(records, records[0]))
	if twice.Whole || !strings.Contains(twice.String(), "1 rows stand there twice") {
		t.Error(twice)
	}
}

// TestRewardBench2 is a vector by hand that the owners' function was tried on, with a draw of the interval that has rows twice.
func TestRewardBench2(t *testing.T) {
	row := func(id string, right int, rewards ...float64) []*record.Record {
		return rowOf(record.RewardBench2, "ties", id, right, rewards...)
	}
	records := join(row("ref:0", 1, 2, 0, -1), row("tied:0", 2, 3, 2, .5, 0), row("ref:1", 1, 1, .25), row("tied:1", 2, 1, .5, .25))
	want(t, evaluated(t, records), "reward", map[string]float64{"Ties": 0.8, "score": 0.8})
	records = append(records, join(row("ref:2", 1, 0, .5), row("tied:2", 2, 1, 1, 0))...)
	want(t, evaluated(t, records), "reward", map[string]float64{"Ties": 0.6966666666666667})
	if _, err := EvaluateBenchmark(&rewardBench2, row("ref-1", 1, 2, 0), DefaultEvalOptions()); err == nil || !strings.Contains(err.Error(), `row "ref-1" of Ties: want an id ref:N or tied:N`) {
		t.Errorf("%v", err)
	}

	// Four answers: alone at the top 1, one of two 1/2, one of four 1/4, below 0.
	plain := func(id string, rewards ...float64) []*record.Record {
		return rowOf(record.RewardBench2, "FOCUS", id, 1, rewards...)
	}
	records = append(records, join(plain("1", 2, 1, 1, 0), plain("2", 2, 2, 1, 0), plain("3", 1, 1, 1, 1), plain("4", 0, 1, 0, 0))...)
	r := evaluated(t, records)
	want(t, r, "reward", map[string]float64{"Focus": 1.75 / 4, "score": (1.75/4 + 0.6966666666666667) / 2})
	if m, _ := r.Method("reward"); m.Parts[0].Part != "Focus" || m.Parts[0].Ties != 2 {
		t.Errorf("%+v", m.Parts)
	}

	// Judges: an answer without a score has -1; four of them share the credit.
	for _, rec := range records {
		rec.Reward = nil
		if rec.Benchmark.Part == "FOCUS" {
			rec.Critiques = recordtest.Scores([]float64{math.NaN(), 1, math.NaN(), math.NaN()}[(rec.Benchmark.Answer*int(rec.Benchmark.Row[0]-'0'))%4])
		} else {
			rec.Critiques = recordtest.Scores(4)
		}
	}
	// Rows 1 and 3 have none, 1 in some order, behind a first one without; row 2 has none; row 4 has only first ones, which are none.
	want(t, evaluated(t, records), "judge", map[string]float64{"Focus": (0 + .25 + 0 + .25) / 4})
}

// TestRMBench is a vector by hand.
func TestRMBench(t *testing.T) {
	records := join(rowOf(record.RMBench, "chat", "1", 3, 1, 2, 3, .5, 2.5, 2.75), rowOf(record.RMBench, "chat", "2", 3, 0, 0, 1, 0, 1, .5))
	want(t, evaluated(t, records), "reward", map[string]float64{"hard": 0, "normal": .5, "easy": 2.0 / 3, "chat": (0 + .5 + 2.0/3) / 3, "score": (0 + .5 + 2.0/3) / 3})
	// Both kinds of safety rows are one domain: 1 of 3 rows, not the mean of 0 and 1/2.
	records = append(records, join(rowOf(record.RMBench, "safety-refuse", "1", 3, 0, 0, 0, 1, 1, 1),
		rowOf(record.RMBench, "safety-response", "1", 3, 1, 1, 1, 0, 0, 0), rowOf(record.RMBench, "safety-response", "2", 3, 0, 0, 0, 0, 0, 0))...)
	r := evaluated(t, records)
	want(t, r, "reward", map[string]float64{"safety": 1.0 / 3, "safety hard": 1.0 / 3, "score": (1.0/3 + 7.0/18) / 2, "hard": 1.0 / 6})
	if m, _ := r.Method("reward"); m.Parts[2].Part != "safety-response" || m.Parts[2].Ties != 9 || m.Parts[2].Comparisons != 18 {
		t.Errorf("%+v", m.Parts)
	}
}

// TestJudgeBench: a tie is B > A.
func TestJudgeBench(t *testing.T) {
	pair := func(id, source string, second bool, right, wrong float64) *record.Record {
		r := pairOf(record.JudgeBench, source, id, right, wrong)
		r.Benchmark.Second = second
		return r
	}
	records := []*record.Record{pair("1", "mmlu-pro-law", false, 2, 1), pair("2", "mmlu-pro-law", false, 1, 1), pair("3", "mmlu-pro-math", true, 1, 1), pair("4", "livecodebench", true, 1, 2)}
	r := evaluated(t, records)
	want(t, r, "reward", map[string]float64{"score": .5, "mmlu-pro": 2.0 / 3, "livecodebench": 0, "mean of the sources (not official, quoted by some)": 1.0 / 3, "ties as wrong": .25})
	if m, _ := r.Method("reward"); m.Parts[1].Ties != 2 {
		t.Errorf("%+v", m.Parts)
	}
	for _, rec := range records { // a verdict that cannot be read is none of the two
		rec.ChosenReward, rec.RejectedReward = nil, nil
		rec.ChosenCritiques, rec.RejectedCritiques = recordtest.Scores(math.NaN()), recordtest.Scores(5)
	}
	r = evaluated(t, records)
	want(t, r, "judge", map[string]float64{"score": 0})
	if m, _ := r.Method("judge"); m.Parts[1].NoScore != 3 {
		t.Errorf("%+v", m.Parts)
	}
}

// TestRMB: the four figures of a published model, and rows by hand.
func TestRMB(t *testing.T) {
	var records []*record.Record
	for _, set := range []struct {
		part    string
		best    bool
		hits, n int
	}{{"pairwise Helpfulness", false, 8071, 10067}, {"pairwise Harmlessness", false, 5692, 7064}, {"best-of-n Helpfulness", true, 1372, 2109}, {"best-of-n Harmlessness", true, 1111, 1677}} {
		for i := range set.n {
			v := 0.0
			if i < set.hits {
				v = 1
			}
			if id := fmt.Sprint(i); set.best {
				records = append(records, rowOf(record.RMB, set.part, id, 1, v, -1, 0)...) // one loser level with it is enough
			} else {
				records = append(records, pairOf(record.RMB, set.part, id, v, 0))
			}
		}
	}
	r := evaluated(t, records)
	if v := *r.Methods[0].Scores[0].Value; math.Abs(v-0.7301355030914681) > 1e-12 || !r.Whole {
		t.Errorf("%v\n%v", v, r)
	}
}

// TestPPE: ties lose, exact repeats of a pair count once, sets count alike.
func TestPPE(t *testing.T) {
	want(t, evaluated(t, []*record.Record{pairOf(record.PPEPreference, "English", "1", 2, 1), pairOf(record.PPEPreference, "English", "2", 1, 1), pairOf(record.PPEPreference, "French", "3", 0, 1)}),
		"reward", map[string]float64{"score": 1.0 / 3})
	one := rowOf(record.PPECorrectness, "", "a", 2, 3, 0, 1, 0) // right 3 and 0, wrong 1 and 0
	one[0].Benchmark.Pairs = [][2]int{{0, 2}, {3, 1}, {0, 2}, {2, 1}, {2, 0}}
	r := evaluated(t, one)
	want(t, r, "reward", map[string]float64{"this set": 2.0 / 4, "AUC over all answers": 2.5 / 4, "right at best of 1": 1, "right at best of 4": 1})
	if !strings.Contains(r.String(), "1 pairs of answers stand in their row twice") {
		t.Error(r)
	}
	for _, rec := range one {
		rec.Benchmark.Part = "PPE-MBPP-Plus-Best-of-K"
	}
	two := rowOf(record.PPECorrectness, "math_best_of_k", "a", 1, 3, 5)
	two[0].Benchmark.Pairs = [][2]int{{0, 1}}
	want(t, evaluated(t, append(one, two...)), "reward", map[string]float64{"score": .25, "MBPP-Plus": .5, "MATH": 0, "MATH AUC over all answers": 0, "MATH right at best of 1": 1, "MATH right at best of 2": 0})
}

// TestLLMBar: both averages, by name.
func TestLLMBar(t *testing.T) {
	var records []*record.Record
	for part, hits := range map[string]int{"llmbar-natural": 3, "llmbar-adver-GPTInst": 1, "Manual": 0} {
		for i := range 4 - len(part)%2 {
			v := 0.0
			if i < hits {
				v = 1
			}
			records = append(records, pairOf(record.LLMBar, part, fmt.Sprint(part, i), v, 0))
		}
	}
	// 14 characters: 4 rows, 3 right; 20: 4 rows, 1 right; 6: 4 rows, 0 right.
	want(t, evaluated(t, records), "reward", map[string]float64{"all pairs (micro)": 4.0 / 12, "mean of the sets (macro)": 1.0 / 3, "Natural": .75, "GPTInst": .25, "Manual": 0, "mean of the adversarial sets": .125})
}

// TestCrossEval: correlations by hand. Ratings 1 2 3 | 4 4 5, numbers 1 3 2 | 4 6 5.
func TestCrossEval(t *testing.T) {
	records := join(rowOf(record.CrossEval, "English", "1", 0, 1, 3, 2), rowOf(record.CrossEval, "Coding", "2", 0, 4, 6, 5))
	for i, v := range []float64{1, 2, 3, 4, 4, 5} {
		records[i].Benchmark.Rating, records[i].Correct = &v, nil
	}
	// Deviations from 3.5: x -2.5 -.5 -1.5 .5 2.5 1.5; y -13/6 -7/6 -1/6 5/6 5/6 11/6. Σxy = 69/6, Σx² = 17.5, Σy² = 390/36.
	// Ranks of y: 1 2 3 4.5 4.5 6. Σ = (-2.5)² + (.5·1.5) + (1.5·.5) + (.5·1) + (2.5·1) + (1.5·2.5) = 14.5, Σy² = 17.
	// Pairs: 14 with different ratings, of which (2 3) and (5 6) are in the wrong order: 12 - 2 of √(15·14).
	want(t, evaluated(t, records), "reward", map[string]float64{"Pearson": 69.0 / 6 / math.Sqrt(17.5*390.0/36), "Spearman": 14.5 / math.Sqrt(17.5*17), "Kendall": 10 / math.Sqrt(15*14),
		"Pearson English": .5, "pairs of responses in the order of their ratings (not official)": 3.0 / 5})
}

// TestCriticBench: F1 of "wrong". Verdicts of 5 answers: right 9, right 5 (alarm), wrong 2, wrong 6 (missed), wrong without a score (missed).
func TestCriticBench(t *testing.T) {
	var records []*record.Record
	for i, v := range []float64{9, 5, 2, 6, math.NaN()} {
		rec := rowOf(record.CriticBench, []string{"GSM8K", "MBPP"}[i%2], fmt.Sprint(i), 0, v)[0]
		rec.Correct, rec.Reward, rec.Critiques = new(i < 2), nil, recordtest.Scores(v)
		rec.Benchmark.Group = []string{"math", "code"}[i%2]
		records = append(records, rec)
	}
	r := evaluated(t, records)
	want(t, r, "judge", map[string]float64{"critique score (F1)": 2.0 / (2 + 1 + 2), "type code": 0, "type math": 2.0 / 3, "set MBPP": 0, "F1 of calling every answer wrong": 6.0 / 8, "right verdicts": .4})
	want(t, r, "length", map[string]float64{"critique score (F1)": math.NaN()})
	for i, rec := range records {
		rec.Reward = new([]float64{1, 0, -1, 1, 0}[i])
	}
	r = evaluated(t, records)
	want(t, r, "reward", map[string]float64{"critique score (F1)": 4.0 / (4 + 1 + 1)})
	if m, _ := r.Method("reward"); slices.ContainsFunc(m.More, func(s Score) bool { return strings.HasPrefix(s.Name, "correction") }) {
		t.Error("answers that nobody revised have a correction score")
	}
	revision := func(condition, verdict string) string {
		return fmt.Sprintf(`{"side":"response","condition":%q,"verdict":%q,"before":"wrong"}`, condition, verdict)
	}
	records[0].SetExtra("revisions", []byte("["+revision("critique", "right")+","+revision("critique", "wrong")+","+revision("none", "wrong")+"]"))
	records[1].SetExtra("revisions", []byte("["+revision("critique", "no result")+"]"))
	records[2].SetExtra("revisions", []byte("["+revision("critique", "right")+"]"))
	want(t, evaluated(t, records), "judge", map[string]float64{"correction score": .5, "correction score, type math": .75, "correction score, type code": 0})
	records[3].SetExtra("revisions", []byte(`[{"condition":"praise"}]`))
	if _, err := EvaluateBenchmark(&criticBench, records, DefaultEvalOptions()); err == nil || !strings.Contains(err.Error(), `"revisions": item 0 has the condition "praise"`) {
		t.Error(err)
	}
}

// TestPairs: SHP and QA Feedback, also of pairs that do not say what they are.
func TestPairs(t *testing.T) {
	plain := pairOf("", "x", "1", 1, 0)
	plain.Benchmark = nil
	if r, err := EvaluateBenchmark(&qaFeedback, []*record.Record{plain}, DefaultEvalOptions()); err != nil || *r.Methods[0].Scores[0].Value != 1 {
		t.Errorf("%v %v", r, err)
	}
	if _, err := EvaluateBenchmark(&judgeBench, []*record.Record{plain}, DefaultEvalOptions()); err == nil || !strings.Contains(err.Error(), "no row of JudgeBench") {
		t.Errorf("%v", err)
	}
	want(t, evaluated(t, []*record.Record{pairOf(record.StanfordSHP, "a", "1", 1, 0), pairOf(record.StanfordSHP, "a", "2", 1, 1), pairOf(record.StanfordSHP, "b", "3", 1, 0)}), "reward",
		map[string]float64{"score": 2.0 / 3, "mean of the domains": .75})
}

// TestBenchmarkRefuses: what is not there is an error, never a loss.
func TestBenchmarkRefuses(t *testing.T) {
	row := func() []*record.Record { return rowOf(record.RMBench, "chat", "7", 3, 1, 2, 3, 4, 5, 6) }
	for _, c := range []struct {
		name    string
		records []*record.Record
		want    string
	}{
		{"an answer", row()[:5], `row "7" of RM-Bench has 5 of its 6 answers, number 6 is missing`},
		{"another", row()[1:], `number 1 is missing`},
		{"a reward", func() []*record.Record { r := row(); r[4].Reward = nil; return r }(), `record "7/4": the reward of response is missing (row "7" of RM-Bench)`},
		{"not finite", func() []*record.Record { r := row(); r[2].Reward = new(math.NaN()); return r }(), `record "7/2": the reward of response is NaN`},
		{"two benchmarks", append(row(), pairOf(record.StanfordSHP, "", "1", 1, 0)), "a row of shp, and others are of rmbench"},
		{"other rows", append(row(), &record.Record{ID: "x", Chosen: "a", Rejected: "b"}), "1 of 7 records are no rows of rmbench"},
	} {
		b, err := BenchmarkOf(c.records)
		if err == nil {
			_, err = EvaluateBenchmark(b, c.records, DefaultEvalOptions())
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	long := append(row(), rowOf(record.RMBench, "chat", "8", 3, 6, 5, 4, 3, 2, 1)...)
	long[3].Dropped, long[8].Cut = critic.DropOverlong, &record.Cut{Policy: record.TruncateLeft, Prompt: 1}
	r := evaluated(t, long)
	if r.Rows != 1 || r.Shortened != 1 || r.Whole || !strings.Contains(r.String(), "1 rows are left out: 1 × "+critic.DropOverlong) {
		t.Error(r)
	}
	same := evaluated(t, append(row(), row()...)) // the same row twice, and in turns
	turns := evaluated(t, func() (out []*record.Record) {
		for i, r := range row() {
			out = append(out, r, row()[i])
		}
		return out
	}())
	if same.Rows != 2 || turns.Rows != 2 || !strings.Contains(turns.String(), "1 rows stand there twice") {
		t.Errorf("%v\n%v", same, turns)
	}
	if _, err := FindBenchmark("rewardbench-2"); err == nil || !strings.Contains(err.Error(), `did you mean "rewardbench2"`) {
		t.Errorf("%v", err)
	}
}

// TestBenchmarkTable: every name of package record has its rule, and every rule can be told.
func TestBenchmarkTable(t *testing.T) {
	names := map[string]bool{}
	for _, b := range Benchmarks() {
		names[b.Name] = true
		if b.Title == "" || b.Data == "" || b.Rule == "" || b.hits == nil || b.score == nil {
			t.Errorf("%+v", b)
		}
	}
	if len(names) != len(record.Benchmarks()) {
		t.Errorf("%v", names)
	}
	for _, name := range record.Benchmarks() {
		if !names[name] {
			t.Errorf("%s has no rule", name)
		}
	}
}

// TestBenchmarkInterval compares with the normal approximation, and sees that the rows of a prompt are drawn together.
func TestBenchmarkInterval(t *testing.T) {
	var records []*record.Record
	for i := range 1200 {
		r := pairOf(record.PPEPreference, "", fmt.Sprint(i), float64(splitmix.Below(splitmix.Draw(3, uint64(i/4)), 2)), .5)
		r.Prompt.Text = fmt.Sprint(i / 4)
		records = append(records, r)
	}
	r, err := EvaluateBenchmark(&ppePreference, records, DefaultEvalOptions())
	if err != nil {
		t.Fatal(err)
	}
	s := r.Methods[0].Scores[0]
	half := 1.96 * math.Sqrt(*s.Value*(1-*s.Value)/300)
	for _, v := range []float64{*s.Value - s.Interval.Low, s.Interval.High - *s.Value} {
		if math.Abs(v-half) > 0.15*half {
			t.Errorf("half width %v, want about %v", v, half)
		}
	}
	again, _ := EvaluateBenchmark(&ppePreference, records, DefaultEvalOptions())
	if again.String() != r.String() {
		t.Error("the same records give another report")
	}
}

// TestKendall holds the quick way against the definition, with many ties.
func TestKendall(t *testing.T) {
	for n := range 40 {
		x, y := make([]float64, n), make([]float64, n)
		for i := range x {
			x[i], y[i] = float64(splitmix.Below(splitmix.Draw(uint64(n), uint64(i)), 7)), float64(splitmix.Below(splitmix.Draw(uint64(n)+99, uint64(i)), 5))
		}
		var agree, untiedX, untiedY float64
		for i := range x {
			for j := range i {
				a, b := x[i]-x[j], y[i]-y[j]
				switch {
				case a*b > 0:
					agree++
				case a*b < 0:
					agree--
				}
				if a != 0 {
					untiedX++
				}
				if b != 0 {
					untiedY++
				}
			}
		}
		got, want := kendall(x, y), agree/math.Sqrt(untiedX*untiedY)
		if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > 1e-12 {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
}

// TestBenchmarkCurve: smaller m are the means of the scores of disjoint groups.
func TestBenchmarkCurve(t *testing.T) {
	pair := func(id string, right, wrong []float64) *record.Record {
		r := evalPair(id, id, "", right, wrong, recordtest.Scores(5, 5), recordtest.Scores(5, 5))
		r.Benchmark = &record.Benchmark{Name: record.PPEPreference}
		return r
	}
	// m = 2: 1 > .5 and 1 = 1. m = 1: first 2 > 0 and 2 > 1, then 0 < 1 and 0 < 1: 1 and 0.
	records := []*record.Record{pair("a", []float64{2, 0}, []float64{0, 1}), pair("b", []float64{2, 0}, []float64{1, 1})}
	o := DefaultEvalOptions()
	o.Samples = []int{1, 2, 4}
	r, err := EvaluateBenchmark(&ppePreference, records, o)
	if err != nil || len(r.Methods) != 4 {
		t.Fatalf("%v, %v", err, r)
	}
	for i, c := range []struct {
		samples, comparisons int
		score                float64
	}{{2, 2, .5}, {1, 4, .5}} {
		m := r.Methods[i]
		if m.Name != "reward" || m.Samples != c.samples || *m.Scores[0].Value != c.score || m.Parts[0].Comparisons != c.comparisons || *m.Parts[0].Accuracy != c.score {
			t.Errorf("%+v", m)
		}
	}
}
