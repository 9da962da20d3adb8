package critic

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"criticrm/record"
	"criticrm/record/recordtest"
)

// asking answers as randomGenerator does, and gives those that lack a score the number 3, with a mean of 3.25.
func asking(t *testing.T, spoil func(*Sample)) generatorFunc {
	base := randomGenerator()
	return func(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error) {
		out, err := base(ctx, reqs, s)
		for i, list := range out {
			for j := range list {
				x, a := &list[j], reqs[i].Ask
				if a == nil || !a.Lacks(x.Text, x.FinishReason) {
					continue
				}
				x.Text += a.Ending(3)
				x.Asked = &Asked{Score: 3, Chance: 0.5, Tokens: 2}
				if mean := 3.25; a.Expect {
					x.Asked.Mean = &mean
				}
				if spoil != nil {
					spoil(x)
				}
			}
		}
		return out, err
	}
}

// rows are pairs without critiques.
func rows(t *testing.T, n int) []*record.Record {
	t.Helper()
	records, err := record.ReadFile(recordtest.File(t, "x.jsonl", recordtest.Lines(n)), record.DefaultReadOptions())
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// Critiques say how they came by their scores, and the statistics count them.
func TestAskedVerdicts(t *testing.T) {
	for how, want := range map[string]float64{AskSample: 3, AskExpect: 3.25} {
		records := rows(t, 20)
		o := DefaultGenerateOptions()
		o.AskScore = how
		stats, err := Generate(context.Background(), asking(t, nil), records, o)
		if err != nil {
			t.Fatal(err)
		}
		written, asked := 0, 0
		for _, r := range records {
			for _, c := range append(r.ChosenCritiques, r.RejectedCritiques...) {
				switch {
				case c.Verdict == record.VerdictWritten && c.Score != nil && c.AskedTokens == 0 && c.Chance == 0:
					written++
				case c.Verdict == map[string]string{AskSample: record.VerdictAsked, AskExpect: record.VerdictExpected}[how] && *c.Score == want && c.AskedTokens == 2 && c.Chance == 0.5:
					asked++
				default:
					t.Errorf("critique %+v", c)
				}
			}
			if r.Critic.AskScore != how {
				t.Errorf("the critic of a record says ask_score %q", r.Critic.AskScore)
			}
		}
		if asked == 0 || written == 0 || stats.Asked != asked || stats.Parsed != asked+written || len(stats.Unparsed) > 0 {
			t.Errorf("%d written, %d asked for; statistics %v", written, asked, stats)
		}
		if !strings.Contains(stats.String(), "of them asked for") {
			t.Errorf("the counts do not tell: %s", stats)
		}
		back := recordtest.JSON(t, records[0])
		again, err := record.ReadFile(recordtest.File(t, "x.jsonl", back+"\n"), record.DefaultReadOptions())
		if err != nil || recordtest.JSON(t, again[0]) != back {
			t.Errorf("%v: a record does not come back as it was written:\n%s", err, back)
		}
	}
}

// A generator that does not do what it was asked for is refused before anything reaches a record.
func TestAskedVerdictsAreChecked(t *testing.T) {
	three := 3.0
	for name, spoil := range map[string]func(*Sample){
		"no score":        func(x *Sample) { x.Text, x.Asked = "none", nil },
		"another number":  func(x *Sample) { x.Asked.Score = 4 },
		"no number":       func(x *Sample) { x.Text = "none" },
		"an unasked mean": func(x *Sample) { x.Asked.Mean = &three },
		"a bad chance":    func(x *Sample) { x.Asked.Chance = 1.5 },
		"too many tokens": func(x *Sample) { x.Asked.Tokens = 50 },
	} {
		o := DefaultGenerateOptions()
		o.AskScore = AskSample
		if _, err := Generate(context.Background(), asking(t, spoil), rows(t, 5), o); err == nil || !strings.Contains(err.Error(), "generator gave") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A critic that never writes a score of its own is told of, and does not stop the stage where its scores are asked for.
func TestAskedGuard(t *testing.T) {
	mute := generatorFunc(func(_ context.Context, reqs []Request, _ record.Sampling) ([][]Sample, error) {
		out := make([][]Sample, len(reqs))
		for i, q := range reqs {
			for range q.N {
				x := Sample{Text: "Hm.", Tokens: []int32{1, 2, 3}, FinishReason: record.FinishStop}
				if q.Ask != nil {
					x.Text, x.Asked = x.Text+q.Ask.Ending(5), &Asked{Score: 5, Chance: 1, Tokens: 2}
				}
				out[i] = append(out[i], x)
			}
		}
		return out, nil
	})
	for how, want := range map[string]string{
		AskOff:    "warning: 0 of the first 20 critiques end in a score; the others look like this:",
		AskSample: "warning: 0 of the first 20 critiques end in a score of their own (20 were asked for one); the others look like this:",
	} {
		var lines []string
		o := DefaultGenerateOptions()
		o.AskScore, o.Warn = how, func(line string) { lines = append(lines, line) }
		_, err := Generate(context.Background(), mute, rows(t, 8), o)
		if stopped := errors.Is(err, ErrUnparsed); stopped != (how == AskOff) || len(lines) == 0 || lines[0] != want {
			t.Errorf("%s: error %v, told %q", how, err, lines)
		}
		if told := strings.Contains(lines[len(lines)-1], "ask_score"); told != (how == AskOff) {
			t.Errorf("%s: what helps is %q", how, lines[len(lines)-1])
		}
	}
}

// Scores of the meta-judge and of summaries are asked for as well.
func TestAskedRefinement(t *testing.T) {
	for _, mode := range []string{RefineRank, RefineSummarize} {
		records := rows(t, 30)
		o := DefaultGenerateOptions()
		o.AskScore = AskSample
		if _, err := Generate(context.Background(), asking(t, nil), records, o); err != nil {
			t.Fatal(err)
		}
		if _, err := Filter(records, FilterOptions{Rule: FilterMeanEach}); err != nil {
			t.Fatal(err)
		}
		ro := DefaultRefineOptions()
		ro.Mode, ro.AskScore, ro.MinSurvivors = mode, AskSample, 0
		stats, err := Refine(context.Background(), asking(t, nil), records, ro)
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		for _, r := range records {
			for _, side := range r.Sides() {
				for _, c := range *r.SideCritiques(side) {
					asked += c.MetaAsked
					if mode == RefineRank && c.Reason == "" && c.IsKept() && len(c.Meta) != ro.MetaSamples && r.Dropped == "" {
						t.Errorf("%d scores of the meta-judge, want %d", len(c.Meta), ro.MetaSamples)
					}
					if c.Origin == record.OriginSummary && c.AskedTokens > 0 {
						asked++
					}
				}
			}
		}
		if asked == 0 || stats.Asked != asked || !strings.Contains(stats.String(), fmt.Sprintf("%d scores asked for", asked)) {
			t.Errorf("%s: %d scores were asked for, the statistics say %v", mode, asked, stats)
		}
	}
}

// The words before a score are the prompt's to say, and must be words that a score is read behind.
func TestVerdictSection(t *testing.T) {
	text := "[user]\n{prompt} {response}\n[verdict]\nFinal score:\n"
	p, err := ParseTemplate("x", text, []string{"prompt", "response"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.ask(AskSample, DefaultScale()).Ending(7); got != "\nFinal score: 7" || len(p.Messages(Values{})) != 1 {
		t.Errorf("%q, %v", got, p.Messages(Values{}))
	}
	for bad, want := range map[string]string{
		"[user]\n{prompt} {response}\n[verdict]\nGrade:\n":            "is not read as a score",
		"[user]\n{prompt} {response}\n[verdict]\n":                    "is empty",
		"[verdict]\nScore:\n[user]\n{prompt} {response}\n":            "must be the last section",
		"[user]\n{prompt} {response}\n[verdict]\nA {max} score:\n":    "without placeholders",
		"[user]\n{prompt} {response}\n[verdict]\nThe score\nScore:\n": "want one line",
	} {
		if _, err := ParseTemplate("x", bad, []string{"prompt", "response"}, []string{"max"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", bad, err, want)
		}
	}
	if err := (&GenerateOptions{Critiques: 1, Scale: DefaultScale(), Sampling: record.DefaultSampling(), AskScore: "always"}).Validate(); err == nil ||
		!strings.Contains(err.Error(), "want one of off, sample, expect") {
		t.Errorf("ask_score always: %v", err)
	}
}
