package demo

import (
	"strings"
	"testing"

	"criticrm/record"
)

// scored are the records of pairs, each response with the critiques that write gives.
func scored(pairs []Pair, write func(q *Question, p *Reply, i int) []string) []*record.Record {
	rs := Records(pairs)
	for i, r := range rs {
		for _, side := range r.Sides() {
			p := &pairs[i].Chosen
			if side == record.Rejected {
				p = &pairs[i].Rejected
			}
			for _, text := range write(&pairs[i].Question, p, i) {
				*r.SideCritiques(side) = append(*r.SideCritiques(side), record.Critique{Text: text, FinishReason: record.FinishStop})
			}
		}
	}
	return rs
}

// A critique without a fault is sound and leads to the right reply; one with faults is as sound as the program that drew it knows, but for the
// verdict, and leads to the right reply of a chain where it is sound.
func TestLabelled(t *testing.T) {
	pairs := Pairs(5, 400, Validation)
	drawn := map[string]bool{} // soundness with the verdict, by text and reply
	rs := scored(pairs, func(q *Question, p *Reply, i int) []string {
		c := drawCritique(stream(9, p.Text, i), q, p, baseFaults, 1)
		drawn[q.Prompt+p.Text+c.String()] = c.sound
		return []string{q.truth(p), c.String()}
	})
	list, err := Labelled(pairs, rs)
	if err != nil || len(list) != 2*len(pairs) {
		t.Fatal(err)
	}
	unsound := 0
	for i, r := range list {
		q := &pairs[i/2].Question
		if *r.Correct != (i%2 == 0) || r.Critiques[0].Origin != record.OriginGiven || !*r.Critiques[1].Correct {
			t.Fatalf("%+v", r)
		}
		for _, c := range r.Critiques[1:] {
			got, ok := q.Revised(c.Text)
			right := *c.Correct
			if !ok || right && got != q.Best() || !right && (q.Kind == Safety) && got == q.Best() {
				t.Fatalf("%s\n%s\nsound %t, revised %q, best %q", q.Prompt, c.Text, right, got, q.Best())
			}
			if sound, ok := drawn[q.Prompt+r.Text(record.Single)+c.Text]; ok {
				if sound && !right {
					t.Fatalf("%s\n%s\n%s", q.Prompt, r.Text(record.Single), c.Text)
				}
				if !right {
					unsound++
				}
			}
		}
		if raw, _ := r.Extra("reference"); !strings.Contains(string(raw), q.Best()) || *r.Correct != (Bare(r.Text(record.Single)) == q.Best()) {
			t.Fatalf("%s %s %s", r.Text(record.Single), q.Best(), raw)
		}
	}
	if unsound < 100 {
		t.Errorf("%d unsound critiques of %d", unsound, len(list))
	}
	for _, text := range []string{"", "Score: 3", "Start=A Reply", "Menu Mon gold Reply Mon gold=Right."} {
		q := &Question{Kind: Chat}
		if got, ok := q.Revised(text); ok {
			t.Errorf("%q leads to %q", text, got)
		}
	}
	pairs[0].ID = "x"
	if _, err := Labelled(pairs, rs); err == nil {
		t.Error("another task's pairs are taken")
	}
}

// Of replies that show their work the first fault is known, and what a critique calls it is said in words.
func TestLabelledWork(t *testing.T) {
	pairs := WorkPairs(5, 200, Validation)
	rs := scored(pairs, func(q *Question, p *Reply, i int) []string {
		r := stream(9, p.Text, i)
		c := writeFindings(r, q, p.claims, drawFindings(r, q, p.claims, false), 1)
		return []string{q.truth(p), c.String()}
	})
	list, err := Labelled(pairs, rs)
	if err != nil {
		t.Fatal(err)
	}
	clean := 0
	for i, r := range list {
		q, p := &pairs[i/2].Question, &pairs[i/2].Chosen
		if i%2 == 1 {
			p = &pairs[i/2].Rejected
		}
		n, _ := q.faultsOf(p.claims)
		raw, _ := r.Extra("first_error_step")
		step := string(raw)
		if step == "null" {
			step = "none"
			clean++
		}
		if *r.Correct != (n == 0) || (step == "none") != *r.Correct || !strings.HasSuffix(r.Critiques[1].Text, "\nFirst wrong step: "+step) || !*r.Critiques[1].Correct {
			t.Fatalf("%d faults, step %s: %+v", n, step, r)
		}
	}
	if clean < 10 {
		t.Errorf("%d replies without a fault", clean)
	}
}

// Candidates are different, labelled as their text is, and right as often as asked for where there are enough.
func TestCandidates(t *testing.T) {
	pairs := Pairs(6, 100, Validation)
	list := Candidates(1, pairs, 6, .3)
	if len(list) != 600 {
		t.Fatalf("%d candidates", len(list))
	}
	right := 0
	seen := map[string]bool{}
	for i, r := range list {
		if *r.Correct != (Bare(r.Text(record.Single)) == pairs[i/6].Question.Best()) || seen[r.ID+r.Text(record.Single)] {
			t.Errorf("%+v", r)
		}
		seen[r.ID+r.Text(record.Single)] = true
		if *r.Correct {
			right++
		}
	}
	if right < 100 || right > 250 {
		t.Errorf("%d right", right)
	}
}
