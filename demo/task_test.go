package demo

import "testing"

func TestShow(t *testing.T) {
	for i, p := range Pairs(777, 12, Evaluation) {
		r := stream(1, "show", i)
		c, d := drawCritique(r, &p.Question, &p.Chosen, noFaults, 4), drawCritique(r, &p.Question, &p.Rejected, baseFaults, 4)
		t.Logf("%s\n  + %s\n    %s\n  - %s\n    %s (%v)", p.Question.Prompt, p.Chosen.Text, c.String(), p.Rejected.Text, d.String(), d.sound)
	}
}
