package measure

import (
	"math"
	"strings"
	"testing"

	"criticrm/record"
)

// Rows without pairs gave an empty table and exit 0: labelled responses are measured, and others are an error.
func TestLabels(t *testing.T) {
	var records []*record.Record
	rewards := []float64{2, 1, 1, -1, 0.5, -3}
	right := []bool{true, true, false, true, false, false}
	for i, r := range rewards {
		records = append(records, &record.Record{ID: "a", Prompt: record.Prompt{Text: "p"}, Response: new("r"), Correct: &right[i], Reward: &r})
	}
	wins := 0.0 // by the definition
	for i, x := range rewards {
		for j, y := range rewards {
			if right[i] && !right[j] {
				switch {
				case x > y:
					wins++
				case x == y:
					wins += 0.5
				}
			}
		}
	}
	report, err := Evaluate(records, DefaultEvalOptions())
	if err != nil || report.Labels == nil {
		t.Fatalf("%+v, %v", report, err)
	}
	if l := report.Labels; l.N != 6 || l.Right != 3 || math.Abs(l.AUC-wins/9) > 1e-12 || l.Accuracy != 0.5 || !strings.Contains(report.String(), "rewards of labelled responses: AUC 0.722, 50.0 %") {
		t.Errorf("%+v, want AUC %v\n%v", l, wins/9, report)
	}
	records[0].Correct, records[1].Correct, records[3].Correct = nil, nil, nil // nothing right is left
	if _, err := Evaluate(records, DefaultEvalOptions()); err == nil || !strings.Contains(err.Error(), "there is nothing to measure in 6 records") {
		t.Errorf("%v", err)
	}
}

// Averages over RewardBench's subsets are not its score: the report says so, also of rows that are not known as the benchmark's.
func TestSubsetsOfRewardBench(t *testing.T) {
	for _, c := range []struct{ second, want string }{{"hep-go", "none of these figures"}, {"mine", ""}} {
		r := &Report{Methods: []Method{{Name: "reward", Estimate: Estimate{Categories: []Category{{Name: "alpacaeval-easy", N: 1}, {Name: c.second, N: 1}}}}}}
		if line := r.NotOfficial(); line == "" != (c.want == "") || !strings.Contains(line, c.want) || !strings.HasPrefix(r.String(), line) {
			t.Errorf("%s: %q", c.second, line)
		}
	}
}
