package critic

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"criticrm/record"
	"criticrm/record/recordtest"

	"github.com/google/go-cmp/cmp"
)

var nan = math.NaN()

func TestGenerate(t *testing.T) {
	o := DefaultGenerateOptions()
	o.Critiques, o.Model, o.Sampling.Seed = 5, "fake", 3
	mk := func() []*record.Record {
		var out []*record.Record
		for i := range 7 {
			out = append(out, recordtest.Pair(fmt.Sprint(i), nil, nil))
		}
		out[0].ChosenCritiques = []record.Critique{{Text: "old"}, {Text: "teacher", Origin: record.OriginGiven}}
		return append(out, &record.Record{ID: "single", Prompt: record.Prompt{Text: "p"}, Response: new("x")})
	}
	a := mk()
	stats, err := Generate(context.Background(), randomGenerator(), a, o)
	if err != nil {
		t.Fatal(err)
	}
	if stats.Records != 8 || stats.Responses != 15 || stats.Critiques != 75 || stats.Truncated == 0 || stats.Parsed == 75 ||
		stats.Parsed+stats.Unparsed[NoScore]+stats.Unparsed[CutScore] != 75 {
		t.Errorf("%+v", stats)
	}
	if c := a[0].ChosenCritiques; len(c) != 6 || c[0].Text != "teacher" {
		t.Errorf("given critiques stay, old samples go: %+v", c)
	}
	if a[1].Critic == nil || a[1].Critic.Model != "fake" || a[1].Critic.Prompts != DefaultPrompts().Hash() {
		t.Errorf("critic %+v", a[1].Critic)
	}
	// Order and chunks do not matter.
	b := mk()
	slices.Reverse(b)
	o.Chunk = 3
	if _, err := Generate(context.Background(), randomGenerator(), b, o); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(b)
	for i := range a {
		if recordtest.JSON(t, a[i]) != recordtest.JSON(t, b[i]) {
			t.Errorf("record %d depends on order or chunks", i)
		}
	}
	o.Sampling.Seed++
	Generate(context.Background(), randomGenerator(), b, o)
	if b[1].ChosenCritiques[0].Text == a[1].ChosenCritiques[0].Text {
		t.Error("the seed changes nothing")
	}
	if a[1].ChosenCritiques[0].Text == a[1].RejectedCritiques[0].Text {
		t.Error("both sides use one random stream")
	}
}

func TestGenerateRefuses(t *testing.T) {
	answer := func(s ...Sample) generatorFunc {
		return func(_ context.Context, reqs []Request, _ record.Sampling) ([][]Sample, error) {
			out := make([][]Sample, len(reqs))
			for i := range out {
				out[i] = s
			}
			return out, nil
		}
	}
	ok := Sample{Text: "x", FinishReason: record.FinishStop}
	for _, c := range []struct {
		name string
		g    Generator
		mod  func(*GenerateOptions)
		want string
	}{
		{"too few samples", answer(), nil, "generator gave 0 samples, want 1"},
		{"too few answers", generatorFunc(func(context.Context, []Request, record.Sampling) ([][]Sample, error) { return nil, nil }), nil, "0 answers for 2"},
		{"finish reason", answer(Sample{}), nil, "finish reason"},
		{"log-probability", answer(Sample{FinishReason: record.FinishStop, LogProb: nan}), nil, "log-probability NaN"},
		{"no reward", answer(ok), func(o *GenerateOptions) { o.Sampling.Reward = true }, "no finite reward"},
		{"failure", generatorFunc(func(context.Context, []Request, record.Sampling) ([][]Sample, error) { return nil, errScripted }), nil, `generate for records "a" to "a": scripted`},
		{"temperature 0", answer(ok), func(o *GenerateOptions) { o.Critiques, o.Sampling.Temperature = 2, 0 }, "all 2 critiques equal"},
		{"top_p", answer(ok), func(o *GenerateOptions) { o.Sampling.TopP = 1.5 }, "top_p: got 1.5"},
		{"critiques", answer(ok), func(o *GenerateOptions) { o.Critiques = 0 }, "critiques: got 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := DefaultGenerateOptions()
			o.Critiques = 1
			if c.mod != nil {
				c.mod(&o)
			}
			r := recordtest.Pair("a", nil, nil)
			_, err := Generate(context.Background(), c.g, []*record.Record{r}, o)
			recordtest.WantError(t, err, c.want)
			if r.ChosenCritiques != nil {
				t.Error("a failed stage changed the record")
			}
		})
	}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		name, rule       string
		plus, minus      []record.Critique
		dropped          string
		keptC, keptR     []int
		reasonC, reasonR string // of the first critique
	}{
		{"agrees", FilterMean, recordtest.Scores(8, 2), recordtest.Scores(4, 3), "", []int{0, 1}, []int{0, 1}, "", ""},
		{"each", FilterMeanEach, recordtest.Scores(8, 2), recordtest.Scores(4, 3), "", []int{0}, []int{0, 1}, "", ""},
		{"each, rejected", FilterMeanEach, recordtest.Scores(5, 6), recordtest.Scores(7, 1, nan), "", []int{0, 1}, []int{1}, "", DropAgainst},
		{"equal means", FilterMeanEach, recordtest.Scores(5, 5), recordtest.Scores(4, 6), DropMean, nil, nil, DropPair, DropPair},
		{"disagrees", FilterMean, recordtest.Scores(1), recordtest.Scores(9), DropMean, nil, nil, DropPair, DropPair},
		{"no score", FilterMean, recordtest.Scores(nan, nan), recordtest.Scores(1), DropNoScore, nil, nil, DropUnparsed, DropPair},
		{"unparsed are not the minimum", FilterMean, recordtest.Scores(nan, 6), recordtest.Scores(5, 5), "", []int{1}, []int{0, 1}, DropUnparsed, ""},
		{"none", FilterNone, recordtest.Scores(1, nan), recordtest.Scores(9), "", []int{0, 1}, []int{0}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := recordtest.Pair("a", c.plus, c.minus)
			stats, err := Filter([]*record.Record{r}, FilterOptions{Rule: c.rule})
			if err != nil {
				t.Fatal(err)
			}
			if r.Dropped != c.dropped || !slices.Equal(keptIndexes(r.ChosenCritiques), c.keptC) || !slices.Equal(keptIndexes(r.RejectedCritiques), c.keptR) {
				t.Errorf("dropped %q, kept %v %v", r.Dropped, keptIndexes(r.ChosenCritiques), keptIndexes(r.RejectedCritiques))
			}
			if r.ChosenCritiques[0].Reason != c.reasonC || r.RejectedCritiques[0].Reason != c.reasonR {
				t.Errorf("reasons %q %q", r.ChosenCritiques[0].Reason, r.RejectedCritiques[0].Reason)
			}
			if stats.Records != 1 || stats.Kept != btoi(c.dropped == "") || stats.KeptCritiques != len(c.keptC)+len(c.keptR) {
				t.Errorf("%+v", stats)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// randomPairs are pairs with random critiques for property tests.
func randomPairs(t *testing.T, n int, seed uint64) []*record.Record {
	t.Helper()
	var out []*record.Record
	for i := range n {
		out = append(out, recordtest.Pair(fmt.Sprintf("p%d", i), nil, nil))
	}
	o := DefaultGenerateOptions()
	o.Critiques, o.Sampling.Seed = 6, seed
	if _, err := Generate(context.Background(), randomGenerator(), out, o); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFilterProperties: a kept pair agrees on average, every kept critique agrees with the other side's mean, both
// sides keep one, every drop has a reason, and running the filter again changes nothing.
func TestFilterProperties(t *testing.T) {
	for _, rule := range []string{FilterMean, FilterMeanEach} {
		records := randomPairs(t, 500, 1)
		stats, err := Filter(records, FilterOptions{Rule: rule, DropTruncated: true, MinSurvivors: 0.2})
		if err != nil {
			t.Fatal(err)
		}
		kept := 0
		for _, r := range records {
			for _, side := range r.Sides() {
				for _, c := range *r.SideCritiques(side) {
					if c.Kept == nil || *c.Kept != (c.Reason == "") || *c.Kept && (c.Score == nil || c.FinishReason == record.FinishLength) {
						t.Fatalf("critique %+v", c)
					}
				}
			}
			if r.Dropped != "" {
				continue
			}
			kept++
			var mean [2]float64
			for s, list := range [][]record.Critique{r.ChosenCritiques, r.RejectedCritiques} {
				n := 0.0
				for _, c := range list {
					if c.Score != nil && c.FinishReason != record.FinishLength {
						mean[s] += *c.Score
						n++
					}
				}
				mean[s] /= n
			}
			if mean[0] <= mean[1] || len(r.Kept(record.Chosen)) == 0 || len(r.Kept(record.Rejected)) == 0 {
				t.Fatalf("record %s: means %v, %d and %d kept", r.ID, mean, len(r.Kept(record.Chosen)), len(r.Kept(record.Rejected)))
			}
			if rule == FilterMeanEach {
				for _, c := range r.Kept(record.Chosen) {
					if *c.Score <= mean[1] {
						t.Fatalf("chosen critique with %v against mean %v", *c.Score, mean[1])
					}
				}
				for _, c := range r.Kept(record.Rejected) {
					if *c.Score >= mean[0] {
						t.Fatalf("rejected critique with %v against mean %v", *c.Score, mean[0])
					}
				}
			}
		}
		if kept != stats.Kept || kept == 0 || kept == 500 || stats.Reasons[DropMean]+stats.Reasons[DropNoScore] != 500-kept {
			t.Errorf("%d kept, %s", kept, stats)
		}
		before := recordtest.JSON(t, records[0])
		again, err := Filter(records, FilterOptions{Rule: rule, DropTruncated: true})
		if err != nil || recordtest.JSON(t, records[0]) != before {
			t.Errorf("the filter is not idempotent: %v", err)
		}
		if d := cmp.Diff(stats, again); d != "" {
			t.Error(d)
		}
	}
}

func TestFilterGuards(t *testing.T) {
	records := []*record.Record{recordtest.Pair("a", recordtest.Scores(9), recordtest.Scores(1))}
	for i := range 9 {
		records = append(records, recordtest.Pair(fmt.Sprint(i), recordtest.Scores(1), recordtest.Scores(9)))
	}
	if _, err := Filter(records, FilterOptions{Rule: FilterMean, MinSurvivors: 0.1}); err != nil {
		t.Errorf("a tenth survives, a tenth is wanted: %v", err)
	}
	stats, err := Filter(records, FilterOptions{Rule: FilterMean, MinSurvivors: 0.11})
	recordtest.WantError(t, err, "only 1 of 10 records survive, want at least 11 % (9 × "+DropMean)
	if stats.Kept != 1 {
		t.Error("the error comes without counts")
	}
	_, err = Filter(records, FilterOptions{Rule: "men"})
	recordtest.WantError(t, err, `filter: got "men", want one of mean, mean+each, none`)
	_, err = Filter([]*record.Record{recordtest.Pair("x", nil, recordtest.Scores(1))}, FilterOptions{Rule: FilterMean})
	recordtest.WantError(t, err, `record "x": chosen has no critiques: run generate first`)
	_, err = Filter([]*record.Record{{ID: "x", Response: new("r")}}, FilterOptions{Rule: FilterMean})
	recordtest.WantError(t, err, "needs pairs")
}

// refine filters with rule none and refines.
func refine(t *testing.T, r *record.Record, o RefineOptions, g Generator) {
	t.Helper()
	if _, err := Filter([]*record.Record{r}, FilterOptions{Rule: FilterNone}); err != nil {
		t.Fatal(err)
	}
	o.MinSurvivors = 0
	if _, err := Refine(context.Background(), g, []*record.Record{r}, o); err != nil {
		t.Fatal(err)
	}
}

func rankedScores(r *record.Record, s record.Side) (out []float64) {
	for _, c := range r.Kept(s) {
		out = append(out, *c.Score)
	}
	return out
}

func TestMargin(t *testing.T) {
	o := DefaultRefineOptions()
	o.Mode, o.TopK = RefineMargin, 2
	r := recordtest.Pair("a", recordtest.Scores(9, 5, nan, 7), recordtest.Scores(8, 2, 4))
	refine(t, r, o, nil)
	// Margins: 9-2 = 7 first; then without those, 7-4 = 3 before 5-4 = 1.
	if d := cmp.Diff([]float64{9, 7}, rankedScores(r, record.Chosen)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]float64{2, 4}, rankedScores(r, record.Rejected)); d != "" {
		t.Error(d)
	}
	if r.ChosenCritiques[1].Reason != DropRank {
		t.Errorf("reason %q", r.ChosenCritiques[1].Reason)
	}
	// Equal margins: the higher log-likelihood per token wins, not the higher sum.
	r = recordtest.Pair("a", recordtest.Scores(9, 9), recordtest.Scores(1))
	r.ChosenCritiques[0].LogProb, r.ChosenCritiques[0].Tokens = -3, []int32{1, 2}       // -1.5 per token
	r.ChosenCritiques[1].LogProb, r.ChosenCritiques[1].Tokens = -4, []int32{1, 2, 3, 4} // -1 per token
	refine(t, r, o, nil)
	if got := r.Kept(record.Chosen); len(got) != 1 || len(got[0].Tokens) != 4 {
		t.Errorf("kept %+v", got)
	}
	r = recordtest.Pair("a", recordtest.Scores(5, 4), recordtest.Scores(5, 6))
	refine(t, r, o, nil)
	if r.Dropped != DropNoPair || len(r.Kept(record.Chosen)) != 0 || r.ChosenCritiques[0].Reason != DropPair {
		t.Errorf("dropped %q", r.Dropped)
	}
}

// TestPairModes: both sides keep equally many, ranks pair up consistently, and random depends on the seed only.
func TestPairModes(t *testing.T) {
	for _, mode := range []string{RefineMargin, RefineRandom, RefineRandomAll} {
		o := DefaultRefineOptions()
		o.Mode, o.TopK = mode, 3
		pick := func(seed uint64) (all []string) {
			o.Sampling.Seed = seed
			for _, r := range randomPairs(t, 60, 2) {
				refine(t, r, o, nil)
				c, j := r.Kept(record.Chosen), r.Kept(record.Rejected)
				if len(c) != len(j) || len(c) > 3 || r.Dropped == "" && len(c) == 0 {
					t.Fatalf("%s: %d and %d kept", mode, len(c), len(j))
				}
				for i := range c {
					if c[i].Rank != i+1 || j[i].Rank != i+1 || mode != RefineRandomAll && *c[i].Score <= *j[i].Score {
						t.Fatalf("%s: rank %d: %+v %+v", mode, i, c[i], j[i])
					}
				}
				all = append(all, recordtest.JSON(t, r))
			}
			return all
		}
		a, b, c := pick(1), pick(1), pick(2)
		if !slices.Equal(a, b) {
			t.Errorf("%s is not deterministic", mode)
		}
		if slices.Equal(a, c) != (mode == RefineMargin) {
			t.Errorf("%s: the seed matters: %v", mode, !slices.Equal(a, c))
		}
	}
}

// metaJudge gives the critique with text "critique i" the scores of table[i].
func metaJudge(table map[string][]string) generatorFunc {
	return func(_ context.Context, reqs []Request, s record.Sampling) ([][]Sample, error) {
		out := make([][]Sample, len(reqs))
		for i, q := range reqs {
			text := q.Messages[len(q.Messages)-1].Content
			for name, verdicts := range table {
				if strings.Contains(text, name) {
					for j := range q.N {
						out[i] = append(out[i], Sample{Text: verdicts[j], FinishReason: record.FinishStop})
					}
				}
			}
		}
		return out, nil
	}
}

func TestRank(t *testing.T) {
	o := DefaultRefineOptions()
	o.TopK, o.MetaSamples = 2, 2
	g := metaJudge(map[string][]string{
		"critique 0": {"Score: 3", "Score: 4"},
		"critique 1": {"nothing", "Score: 9"}, // mean over the parsed ones: 9
		"critique 2": {"Score: 5", "Score: 8"},
		"critique 3": {"nothing", "Score: 77"},
	})
	r := recordtest.Pair("a", recordtest.Scores(9, 8, 7, 6), recordtest.Scores(1, 2))
	refine(t, r, o, g)
	if d := cmp.Diff([]float64{8, 7}, rankedScores(r, record.Chosen)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]float64{2, 1}, rankedScores(r, record.Rejected)); d != "" {
		t.Error(d)
	}
	if r.ChosenCritiques[0].Reason != DropRank || r.ChosenCritiques[3].Reason != DropNoMeta {
		t.Errorf("reasons %q %q", r.ChosenCritiques[0].Reason, r.ChosenCritiques[3].Reason)
	}
	if d := cmp.Diff([]float64{5, 8}, r.ChosenCritiques[2].Meta); d != "" {
		t.Error(d)
	}
	r = recordtest.Pair("a", recordtest.Scores(9), recordtest.Scores(1))
	refine(t, r, o, metaJudge(map[string][]string{"critique 0": {"?", "?"}}))
	if r.Dropped != DropNoMeta {
		t.Errorf("dropped %q", r.Dropped)
	}
	_, err := Refine(context.Background(), nil, []*record.Record{recordtest.Pair("a", recordtest.Scores(9), recordtest.Scores(1))}, o)
	recordtest.WantError(t, err, "refine rank: needs a model")
}

func TestSummarize(t *testing.T) {
	o := DefaultRefineOptions()
	o.Mode = RefineSummarize
	write := func(chosen, rejected Sample) generatorFunc {
		return func(_ context.Context, reqs []Request, _ record.Sampling) ([][]Sample, error) {
			var out [][]Sample
			for _, q := range reqs {
				if strings.Contains(q.Messages[0].Content, "no!") {
					out = append(out, []Sample{rejected})
				} else {
					out = append(out, []Sample{chosen})
				}
			}
			return out, nil
		}
	}
	good, bad := Sample{Text: "Score: 8", FinishReason: record.FinishStop}, Sample{Text: "Score: 2", FinishReason: record.FinishStop}
	r := recordtest.Pair("a", recordtest.Scores(9, 8), recordtest.Scores(1, 2))
	refine(t, r, o, write(good, bad))
	c := r.Kept(record.Chosen)
	if len(c) != 1 || c[0].Origin != record.OriginSummary || *c[0].Score != 8 || c[0].Rank != 1 || r.ChosenCritiques[0].Reason != DropMerged {
		t.Errorf("%+v", r.ChosenCritiques)
	}
	r = recordtest.Pair("a", recordtest.Scores(9), recordtest.Scores(1, 2)) // one critique needs no summary
	refine(t, r, o, write(good, bad))
	if c := r.Kept(record.Chosen); len(c) != 1 || c[0].Origin != "" || len(r.Kept(record.Rejected)) != 1 {
		t.Errorf("%+v", c)
	}
	r = recordtest.Pair("a", recordtest.Scores(9, 8), recordtest.Scores(1, 2))
	refine(t, r, o, write(bad, good))
	if r.Dropped != DropDisagree {
		t.Errorf("dropped %q", r.Dropped)
	}
	r = recordtest.Pair("a", recordtest.Scores(9, 8), recordtest.Scores(1, 2))
	refine(t, r, o, write(Sample{Text: "Score: 8 and", FinishReason: record.FinishLength}, bad))
	if r.Dropped != DropSummary {
		t.Errorf("dropped %q", r.Dropped)
	}
}

func TestScore(t *testing.T) {
	o := DefaultScoreOptions()
	o.Critiques = 4
	r := recordtest.Pair("a", nil, nil)
	r.ChosenCritiques = []record.Critique{{Text: "given", Origin: record.OriginGiven}}
	if _, err := Score(context.Background(), randomGenerator(), []*record.Record{r}, o); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, c := range r.ChosenCritiques[1:] {
		sum += float64(*c.Reward)
	}
	if len(r.ChosenCritiques) != 5 || *r.ChosenReward != sum/4 {
		t.Errorf("mean %v, want %v", *r.ChosenReward, sum/4)
	}
	// Scoring uses other samples than generating, so that no critique of the training data comes back.
	g := recordtest.Pair("a", nil, nil)
	o.Sampling.Reward = true
	Generate(context.Background(), randomGenerator(), []*record.Record{g}, o)
	if g.ChosenCritiques[0].Text == r.ChosenCritiques[1].Text {
		t.Error("score repeats generate's samples")
	}
}

type rewarderFunc func([]RewardRequest) [][]float32

func (f rewarderFunc) Rewards(_ context.Context, reqs []RewardRequest) ([][]float32, error) {
	return f(reqs), nil
}

func TestRewarder(t *testing.T) {
	records := []*record.Record{recordtest.Pair("a", nil, nil), {ID: "s", Prompt: record.Prompt{Text: "q"}, Response: new("abc")}}
	length := rewarderFunc(func(reqs []RewardRequest) (out [][]float32) {
		for _, q := range reqs {
			list := []float32{float32(len(q.Messages[len(q.Messages)-1].Content))}
			out = append(out, list)
		}
		return out
	})
	if _, err := ScorePlain(context.Background(), length, records, PlainOptions{}); err != nil {
		t.Fatal(err)
	}
	if *records[0].ChosenReward != 3 || *records[1].Reward != 3 {
		t.Errorf("rewards %v %v", *records[0].ChosenReward, *records[1].Reward)
	}
	records = []*record.Record{recordtest.Pair("a", nil, nil)}
	bad := rewarderFunc(func(reqs []RewardRequest) [][]float32 { return make([][]float32, len(reqs)) })
	_, err := ScorePlain(context.Background(), bad, records, PlainOptions{})
	recordtest.WantError(t, err, "gave 0 rewards, want 1")
	inf := rewarderFunc(func(reqs []RewardRequest) [][]float32 { return [][]float32{{float32(math.Inf(1))}, {0}} })
	_, err = ScorePlain(context.Background(), inf, records, PlainOptions{})
	recordtest.WantError(t, err, "gave the reward +Inf")
}
