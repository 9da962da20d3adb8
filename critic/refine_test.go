package critic

import (
	"context"
	"slices"
	"strings"
	"testing"

	"criticrm/record"
	"criticrm/record/recordtest"
)

// Modes that had nothing to choose from say so: keep is more than there is.
func TestIdle(t *testing.T) {
	for _, mode := range []string{RefineMargin, RefineRandom, RefineRandomAll, RefineNone} {
		for _, keep := range []int{2, 3, 100} {
			o := DefaultRefineOptions()
			o.Mode, o.TopK, o.MinSurvivors = mode, keep, 0
			r := recordtest.Pair("a", recordtest.Scores(9, 8, 7), recordtest.Scores(1, 2, 3))
			stats, err := Refine(context.Background(), nil, []*record.Record{r}, o)
			if err != nil {
				t.Fatal(err)
			}
			if idle, want := o.Idle(stats), mode != RefineNone && keep >= 3; (idle != "") != want {
				t.Errorf("%s, keep %d: %q", mode, keep, idle)
			}
		}
	}
}

// TestSummaryOf: only the first N kept critiques reach the model, the others are dropped under their own reason, and
// with N = 1 nothing is asked.
func TestSummaryOf(t *testing.T) {
	o := DefaultRefineOptions()
	o.Mode = RefineSummarize
	asked := 0
	merge := func(want, not []string) generatorFunc {
		return func(_ context.Context, reqs []Request, _ record.Sampling) ([][]Sample, error) {
			var out [][]Sample
			for _, q := range reqs {
				asked++
				text := q.Messages[0].Content
				for _, w := range want {
					if !strings.Contains(text, w) {
						t.Errorf("%q is not in the request", w)
					}
				}
				for _, w := range not {
					if strings.Contains(text, w) {
						t.Errorf("%q is in the request", w)
					}
				}
				score := "Score: 8"
				if strings.Contains(text, "no!") {
					score = "Score: 2"
				}
				out = append(out, []Sample{{Text: score, FinishReason: record.FinishStop}})
			}
			return out, nil
		}
	}
	for _, c := range []struct {
		n, asked  int
		want, not []string
		reasons   []string
	}{
		{0, 2, []string{"critique 0", "critique 1", "critique 2"}, nil, []string{DropMerged, DropMerged, DropMerged, ""}},
		{2, 2, []string{"critique 0", "critique 1"}, []string{"critique 2"}, []string{DropMerged, DropMerged, DropSpare, ""}},
		{3, 2, []string{"critique 2"}, nil, []string{DropMerged, DropMerged, DropMerged, ""}},
		{1, 0, nil, nil, []string{"", DropSpare, DropSpare}},
	} {
		r := recordtest.Pair("a", recordtest.Scores(9, 8, 7), recordtest.Scores(1, 2, 3))
		o.SummaryOf, asked = c.n, 0
		refine(t, r, o, merge(c.want, c.not))
		var reasons []string
		for _, z := range r.ChosenCritiques {
			reasons = append(reasons, z.Reason)
		}
		if asked != c.asked || !slices.Equal(reasons, c.reasons) || r.Dropped != "" || len(r.Kept(record.Chosen)) != 1 {
			t.Errorf("summary of %d: asked %d times, want %d; reasons %q, want %q; dropped %q", c.n, asked, c.asked, reasons, c.reasons, r.Dropped)
		}
	}
	o.SummaryOf = -1
	recordtest.WantError(t, o.Validate(), "summary_of: got -1, want ≥ 0")
}
