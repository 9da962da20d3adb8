package critic

import (
	"testing"

	"criticrm/record"
	"criticrm/record/recordtest"
)

// Critiques from outside come without scores: they were all "not parsed", and the labels were blamed.
func TestFilterReadsGivenScores(t *testing.T) {
	given := func(texts ...string) (out []record.Critique) {
		for _, s := range texts {
			out = append(out, record.Critique{Text: s, Origin: record.OriginGiven})
		}
		return out
	}
	r := recordtest.Pair("a", given("Right. Score: 9", "Right. Score: 7/10"), given("Wrong. Score: 2", "Hm."))
	stats, err := Filter([]*record.Record{r}, DefaultFilterOptions())
	if err != nil || stats.Kept != 1 || stats.KeptCritiques != 3 || *r.ChosenCritiques[1].Score != 7 || r.RejectedCritiques[1].Reason != DropUnparsed {
		t.Errorf("%v, %v: %+v", stats, err, r)
	}
	five := record.Range{Min: 1, Max: 5} // the row says its scale
	r = recordtest.Pair("b", given("Right. Score: 4/5"), given("Wrong. Score: 2/5"))
	r.Critic = &record.CriticInfo{Scale: &five}
	if stats, err := Filter([]*record.Record{r}, DefaultFilterOptions()); err != nil || stats.Kept != 1 {
		t.Errorf("%v, %v", stats, err)
	}
	_, err = Filter([]*record.Record{recordtest.Pair("c", given("Right."), given("Wrong."))}, DefaultFilterOptions())
	recordtest.WantError(t, err, "no critique has a score that can be read")
	_, err = Filter([]*record.Record{recordtest.Pair("d", recordtest.Scores(900), recordtest.Scores(2))}, DefaultFilterOptions())
	recordtest.WantError(t, err, `record "d": chosen: the score 900 of critique 1 is not on the scale from 1 to 10`)
}
