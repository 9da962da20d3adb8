package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"criticrm/measure"
	"criticrm/record"
)

// However many rounds and categories a run has, it is told on one screen.
func TestScreen(t *testing.T) {
	res := &Results{TrainPairs: 100000, ValidPairs: 10000, EvalPairs: 5000, EvalPrompts: 4999, Level: 0.95, Best: 7, Stopped: "round 12 gains nothing on the validation split: 100.0 after 100.0", dir: "run", seconds: 1e6}
	estimate := measure.Estimate{N: 5000, Mean: 1, Interval: measure.Interval{Low: 1, High: 1}}
	row := func(method string, round, m int) {
		res.Rows = append(res.Rows, Row{Method: method, Round: round, Pairs: 100000, M: m, Estimate: estimate, Ties: 5000})
	}
	for k := 1; k <= 12; k++ {
		res.Rounds = append(res.Rounds, Round{Round: k})
		for _, m := range []int{1, 2, 4, 8, 16} {
			row(MethodCritic, k, m)
		}
		row(MethodJudged, k, 16)
		res.Differences = append(res.Differences, measure.Difference{Name: fmt.Sprintf("%s - round %d", MethodCritic, k), Estimate: estimate})
	}
	for _, m := range []int{1, 2, 4, 8, 16} {
		row(MethodJudge, 0, m)
		row(MethodCloud, 0, m)
	}
	row(MethodBT, 0, 0)
	row(MethodLength, 0, 0)
	text := res.String()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > 24 {
		t.Errorf("%d lines:\n%s", len(lines), text)
	}
	for _, line := range lines {
		if len(line) > 100 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	for _, want := range []string{"Critic-RM, round 7 ", MethodJudge, MethodCloud, MethodBT, MethodLength, "best is round 7 of 12"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing is said of %s:\n%s", want, text)
		}
	}
}

// Two methods are compared on the pairs that both have measured, whichever those are.
func TestCommon(t *testing.T) {
	rec := func(line int, dropped string) *record.Record {
		return &record.Record{ID: fmt.Sprint(line), Chosen: "a", Rejected: "b", Line: line, Dropped: dropped}
	}
	const over = "over the model's context"
	x := []*record.Record{rec(1, ""), rec(2, over), rec(3, ""), rec(4, "")}
	y := []*record.Record{rec(1, over), rec(2, ""), rec(3, ""), rec(4, "pair dropped")}
	pairs, a, b := common(x, []float64{1, 3, 4}, y, []float64{20, 30, 40})
	if fmt.Sprint(a, b) != "[3 4] [30 40]" || len(pairs) != 2 || pairs[0].ID != "3" {
		t.Error(pairs, a, b)
	}
}
