package record_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/record"
	"criticrm/tokenizer"
)

func TestCheck(t *testing.T) {
	mk := func(id, p, c, r string) *record.Record {
		return &record.Record{ID: id, Prompt: record.Prompt{Text: p}, Chosen: c, Rejected: r}
	}
	c := record.NewChecker()
	for _, r := range []*record.Record{mk("a", "p", "x", "y"), mk("a", "q", "x", "y"), mk("b", "p", "y", "x"), mk("c", "p", "x", "y"),
		{ID: "d", Prompt: record.Prompt{Messages: []tokenizer.Message{{Role: "user", Content: "p"}}}, Chosen: "x", Rejected: "y"}} {
		if err := c.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"duplicate id": 1, "contradiction": 1, "duplicate row": 2}
	if d := cmp.Diff(want, c.Counts); d != "" {
		t.Error(d)
	}
	if s := c.Issues[1].String(); s != `line 3 (id "b"): contradictory labels: same prompt, sides swapped, see line 1` {
		t.Error(s)
	}
}

// Pairs that another file has the other way round are counted once each, whichever file is asked.
func TestContradictions(t *testing.T) {
	set := func(rows ...[3]string) *record.Checker {
		c := record.NewChecker()
		for _, r := range rows {
			if err := c.Add(&record.Record{ID: fmt.Sprint(r), Prompt: record.Prompt{Text: r[0]}, Chosen: r[1], Rejected: r[2]}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Finish(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := set([3]string{"p", "x", "y"}, [3]string{"q", "x", "y"}, [3]string{"r", "x", "y"})
	b := set([3]string{"p", "y", "x"}, [3]string{"p", "y", "x"}, [3]string{"q", "x", "y"}, [3]string{"s", "y", "x"})
	for _, x := range []struct {
		first, second *record.Checker
		want          int
	}{{a, b, 1}, {b, a, 1}, {a, a, 0}} {
		if n, err := x.first.Contradictions(x.second); n != x.want || err != nil {
			t.Errorf("%d, %v, want %d", n, err, x.want)
		}
	}
}
