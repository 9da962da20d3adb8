package experiment

import (
	"slices"
	"testing"

	"criticrm/measure"
	"criticrm/record"
)

// A model that is made again with other settings leaves its pairs in the same files: tables of the same run have the new figures.
func TestFiguresOfAFileThatIsWrittenAgain(t *testing.T) {
	r := &runner{Options: Options{Dir: t.TempDir()}, figures: map[string]*measure.Report{}}
	m := &measurer{cell: &cell{runner: r}, plan: &plan{key: "task/seed-0/scalar-rm"}, entry: &entry{Files: map[string]string{}}}
	for _, chosen := range []float64{1, -1} {
		reward := [2]float64{chosen, 0}
		pair := &record.Record{ID: "a", Prompt: record.Prompt{Text: "p"}, Chosen: "x", Rejected: "y", ChosenReward: &reward[0], RejectedReward: &reward[1]}
		if err := m.keep("eval", m.plan.key+".eval", []*record.Record{pair}); err != nil {
			t.Fatal(err)
		}
		got, err := r.correctOf(m.Files["eval"], readReward, 0)
		if want := []float64{map[bool]float64{true: 1, false: 0}[chosen > 0]}; err != nil || !slices.Equal(got, want) {
			t.Errorf("chosen with %g, rejected with 0: got %v, %v, want %v", chosen, got, err, want)
		}
	}
}
