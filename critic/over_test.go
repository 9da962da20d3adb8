package critic

import (
	"context"
	"errors"
	"strings"
	"testing"

	"criticrm/record"
	"criticrm/tokenizer"
)

// narrow is a generator with a context of its own, which it alone knows.
func narrow(limit int) generatorFunc {
	g := randomGenerator()
	return func(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error) {
		out, err := g(ctx, reqs, s)
		over := &OverContext{Why: map[int]string{}}
		for i, r := range reqs {
			if n := characters(r.Messages); n > limit {
				out[i], over.Why[i] = nil, "the server takes less"
			}
		}
		if len(over.Why) > 0 {
			err = over
		}
		return out, err
	}
}

func characters(list []tokenizer.Message) (n int) {
	for _, m := range list {
		n += len(m.Content)
	}
	return n
}

// What a generator alone finds too long is a fault of its row, or drops it as other long rows are; its neighbours are as they would be
// without it.
func TestOverTheGeneratorsContext(t *testing.T) {
	rows := func(long bool) []*record.Record {
		list := []*record.Record{
			{ID: "a", Prompt: record.Prompt{Text: "p"}, Chosen: "yes", Rejected: "no", Line: 1},
			{ID: "b", Prompt: record.Prompt{Text: "q"}, Chosen: "yes", Rejected: "no", Line: 2},
			{ID: "c", Prompt: record.Prompt{Text: "r"}, Chosen: "yes", Rejected: "no", Line: 3},
		}
		if long {
			list[1].Rejected = strings.Repeat("no ", 10000)
		}
		return list
	}
	g := narrow(10000)
	o := DefaultGenerateOptions()
	o.Critiques, o.MinParsed = 3, 0
	_, err := Generate(t.Context(), g, rows(true), o)
	var row *record.RowError
	if !errors.As(err, &row) || row.Line != 2 || !strings.Contains(err.Error(), "the server takes less (use overlong drop") {
		t.Errorf("%v", err)
	}
	o.Overlong = record.OverlongDrop
	got, want := rows(true), rows(false)
	stats, err := Generate(t.Context(), g, got, o)
	if err != nil || stats.Overlong != 1 || stats.Critiques != 12 || got[1].Dropped != DropOverlong || len(got[1].ChosenCritiques) != 0 {
		t.Fatalf("%v, %v, %+v", stats, err, got[1])
	}
	if _, err := Generate(t.Context(), randomGenerator(), want, o); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 2} {
		a, errA := got[i].AppendJSON(nil)
		b, errB := want[i].AppendJSON(nil)
		if string(a) != string(b) || errA != nil || errB != nil {
			t.Errorf("%s\n%s", a, b)
		}
	}

	judged := rows(false)
	if _, err := Generate(t.Context(), randomGenerator(), judged, o); err != nil {
		t.Fatal(err)
	}
	judged[1].ChosenCritiques[0].Text = strings.Repeat("long ", 5000)
	r := DefaultRefineOptions()
	r.MinSurvivors = 0
	if _, err := Refine(t.Context(), g, judged, r); !errors.As(err, &row) || row.Line != 2 {
		t.Errorf("%v", err)
	}
	r.Overlong = record.OverlongDrop
	if _, err := Refine(t.Context(), g, judged, r); err != nil || judged[1].ChosenCritiques[0].Reason != DropUnasked || judged[0].Dropped != "" {
		t.Errorf("%v, %+v", err, judged[1].ChosenCritiques[0])
	}
}
