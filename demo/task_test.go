package demo

import (
	"strings"
	"testing"
)

// simulatePairs draws many pairs of the evaluation split.
func simulatePairs(n int) []Pair { return Pairs(777, n, Evaluation) }

func TestPairsAreJudgedByTheirOwnCritic(t *testing.T) {
	for i, p := range simulatePairs(2000) {
		r := stream(1, "judge", i)
		for _, reply := range []Reply{p.Chosen, p.Rejected} {
			c := drawCritique(r, &p.Question, &reply, noFaults, 1)
			if c.verdict != reply.Right || !c.sound {
				t.Fatalf("%s\n%s: a sound critique says %v: %s", p.Question.Prompt, reply.Text, c.verdict, c.String())
			}
			if (c.score >= 6) != reply.Right || !strings.HasSuffix(c.String(), " Score: "+string(rune('0'+c.score))) {
				t.Fatalf("score %d of %q does not go with the verdict %v", c.score, c.String(), c.verdict)
			}
		}
		if p.Question.Kind == ChatHard && (p.Chosen.Friendly || !p.Rejected.Friendly) {
			t.Fatalf("chat_hard: friendly endings %v %v, want only the rejected one", p.Chosen.Friendly, p.Rejected.Friendly)
		}
	}
}

func TestSplitsShareNoPrompt(t *testing.T) {
	seen := map[string]Split{}
	for _, s := range []Split{Train, Validation, Evaluation} {
		for _, p := range Pairs(5, 3000, s) {
			if was, ok := seen[p.Question.Prompt]; ok && was != s {
				t.Fatalf("prompt %q is in two splits", p.Question.Prompt)
			}
			seen[p.Question.Prompt] = s
		}
	}
	for i := range 3000 {
		r := stream(9, "scene", i)
		q, _ := drawScene(r, taskMix.draw(r), -1)
		if s, ok := seen[q.Prompt]; ok && s != Train {
			t.Fatalf("the base model would read the held-out prompt %q", q.Prompt)
		}
	}
}

func TestPairsAreReproducible(t *testing.T) {
	a, b := Pairs(3, 50, Train), Pairs(3, 20, Train)
	for i := range b {
		if a[i].Question.Prompt != b[i].Question.Prompt || a[i].Rejected.Text != b[i].Rejected.Text {
			t.Fatal("pair i depends on how many are drawn")
		}
	}
	if c := Pairs(4, 1, Train); c[0].Question.Prompt == a[0].Question.Prompt && c[0].Chosen.Text == a[0].Chosen.Text {
		t.Fatal("another seed gives the same pair")
	}
}

// A perfect imitator of the faulty critic, asked ten times, must still be wrong often: the faults are systematic. And length or
// the friendly ending must not give the answer away outside chat_hard.
func TestFaultsAreNotAveragedAway(t *testing.T) {
	right, n := map[string]float64{}, map[string]float64{}
	friendly := 0.0
	pairs := simulatePairs(3000)
	for i, p := range pairs {
		r := stream(2, "imitate", i)
		mean := func(reply Reply) float64 {
			s := 0
			for range 10 {
				c := drawCritique(r, &p.Question, &reply, baseFaults, 1)
				s += c.score
			}
			return float64(s)
		}
		c, j, s := 0., mean(p.Rejected), mean(p.Chosen)
		switch {
		case s > j:
			c = 1
		case s == j:
			c = .5
		}
		for _, k := range []string{"all", p.Question.Kind.Category()} {
			right[k] += c
			n[k]++
		}
		if p.Question.Kind != ChatHard && p.Rejected.Friendly && !p.Chosen.Friendly {
			friendly++
		}
	}
	for _, k := range []struct {
		name   string
		lo, hi float64
	}{{"all", .70, .82}, {"Reasoning", .62, .78}, {"Chat Hard", .55, .75}} {
		if a := right[k.name] / n[k.name]; a < k.lo || a > k.hi {
			t.Errorf("an imitator of the base critic is right in %.3f of %s, want %.2f to %.2f", a, k.name, k.lo, k.hi)
		}
	}
	if f := friendly / float64(len(pairs)); f < .17 || f > .26 {
		t.Errorf("friendly rejected and plain chosen replies outside chat_hard in %.3f of the pairs, want about .21", f)
	}
}
