package record_test

import (
	"fmt"
	"strings"
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

// A response that is called right in one row and wrong in another is no double row; one without a label is.
func TestContradictoryLabels(t *testing.T) {
	yes, no := new(true), new(false)
	for name, c := range map[string]struct {
		labels []*bool
		want   map[string]int
	}{
		"right, wrong":        {[]*bool{yes, no}, map[string]int{"contradictory label": 1}},
		"wrong, right, right": {[]*bool{no, yes, yes}, map[string]int{"contradictory label": 1, "duplicate row": 1}},
		"right, right":        {[]*bool{yes, yes}, map[string]int{"duplicate row": 1}},
		"none, wrong":         {[]*bool{nil, no}, map[string]int{"duplicate row": 1}},
		"wrong, none":         {[]*bool{no, nil}, map[string]int{"duplicate row": 1}},
		"none, none":          {[]*bool{nil, nil}, map[string]int{"duplicate row": 1}},
	} {
		for _, text := range []string{"x", ""} {
			check := record.NewChecker()
			for i, label := range c.labels {
				if err := check.Add(&record.Record{ID: fmt.Sprint(i), Prompt: record.Prompt{Text: "p"}, Response: &text, Correct: label}); err != nil {
					t.Fatal(err)
				}
			}
			if err := check.Finish(); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, check.Counts); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			if s := check.Issues[0].String(); c.want["contradictory label"] > 0 && !strings.Contains(s, "called right once and wrong once, see line 1") {
				t.Error(s)
			}
			check.Close()
		}
	}
}

// Labels of one file that another contradicts are counted.
func TestLabelsOfTwoFiles(t *testing.T) {
	set := func(labels map[string]*bool) *record.Checker {
		c := record.NewChecker()
		for text, label := range labels {
			if err := c.Add(&record.Record{Prompt: record.Prompt{Text: "p"}, Response: &text, Correct: label}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Finish(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := set(map[string]*bool{"x": new(true), "y": new(true), "z": nil, "w": new(false)})
	b := set(map[string]*bool{"x": new(false), "y": new(true), "z": new(false), "w": nil})
	if n, err := a.Contradictions(b); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// Reasons of rows with the same fault are the same, and names with digits stay what they are.
func TestReason(t *testing.T) {
	for msg, want := range map[string]string{
		"not valid UTF-8":                             "not valid UTF-8",
		`control character in a string: '\x00'`:       `control character in a string: '\x00'`,
		`"answer_1": text is 12 bytes, limit 8388608`: `"answer_1": text is N bytes, limit N`,
		"messages[3]: got number, want 1.5e-7":        "messages[N]: got number, want N",
	} {
		if reason, _ := record.Reason(&record.RowError{Msg: msg}); reason != want {
			t.Errorf("%s: %s", msg, reason)
		}
	}
}
