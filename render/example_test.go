package render

import (
	"slices"
	"strings"
	"testing"

	"criticrm/model"
)

// hand is a pair with two critiques of the chosen and one of the rejected response, all of different lengths.
func hand() Example {
	return Example{ID: "a", Prompt: []int32{1, 2}, Margin: 0.5,
		Chosen:   Reply{Response: Branch{IDs: []int32{3, 4, 5}, Read: 2}, Critiques: []Branch{{IDs: []int32{6, 7}, Read: 1}, {IDs: []int32{8, 9, 7}, Read: 1}}},
		Rejected: Reply{Response: Branch{IDs: []int32{10}, Read: 0}, Critiques: []Branch{{IDs: []int32{11, 7}, Read: 1}}}}
}

func TestForestIsTheHandBuiltOne(t *testing.T) {
	p := Parts{Critiques: true, Rewards: true, Margin: true}
	e := hand()
	var b model.Batch
	e.AppendTo(&b, p)
	e.AppendTo(&b, p)
	one := struct{ ids, pos, end, row, target, leaf []int32 }{
		//           prompt  response+  critique 1  critique 2  response-  critique
		ids: []int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 10, 11, 7},
		pos: []int32{0, 1, 2, 3, 4, 5, 6, 5, 6, 7, 2, 3, 4},
		end: []int32{13, 13, 10, 10, 10, 7, 7, 10, 10, 10, 13, 13, 13},
		// The response's last token (4) predicts the first token of both critiques.
		row:    []int32{4, 5, 4, 7, 8, 10, 11},
		target: []int32{6, 7, 8, 9, 7, 11, 7},
		leaf:   []int32{6, 8, 12},
	}
	twice := func(x []int32, shift int32) []int32 {
		out := slices.Clone(x)
		for _, v := range x {
			out = append(out, v+shift)
		}
		return out
	}
	for _, x := range []struct {
		name      string
		got, want []int32
	}{
		{"ids", b.IDs, twice(one.ids, 0)}, {"pos", b.Pos, twice(one.pos, 0)}, {"end", b.End, twice(one.end, 13)}, {"row", b.Row, twice(one.row, 13)},
		{"target", b.Target, twice(one.target, 0)}, {"leaf", b.Leaf, twice(one.leaf, 13)}, {"side", b.SidePtr, []int32{0, 2, 3, 5, 6}},
	} {
		if !slices.Equal(x.got, x.want) {
			t.Errorf("%s: %v, want %v", x.name, x.got, x.want)
		}
	}
	if !slices.Equal(b.Margin, []float32{.5, .5}) || len(b.Weight) != 14 {
		t.Errorf("margins %v, %d weights", b.Margin, len(b.Weight))
	}
	if s := e.Size(p); s != (Size{Tokens: 13, Flat: 7 + 8 + 5, Longest: 8, Weight: 7, Pairs: 1, Compared: 1}) {
		t.Errorf("size %+v", s)
	}
}

func TestForestOfOtherMethods(t *testing.T) {
	e := hand()
	var b model.Batch
	e.AppendTo(&b, Parts{Rewards: true})
	if !slices.Equal(b.IDs, []int32{1, 2, 3, 4, 5, 10}) || !slices.Equal(b.Leaf, []int32{4, 5}) || !slices.Equal(b.SidePtr, []int32{0, 1, 2}) || len(b.Row) != 0 {
		t.Errorf("bt: %+v", b)
	}
	b = model.Batch{}
	e.AppendTo(&b, Parts{Critiques: true})
	if len(b.Leaf) != 0 || len(b.SidePtr) != 0 || len(b.Row) != 7 {
		t.Errorf("sft: %+v", b)
	}
	b = model.Batch{}
	e.AppendTo(&b, Parts{Critiques: true, Rewards: true, MaxCritiques: 1})
	if !slices.Equal(b.IDs, []int32{1, 2, 3, 4, 5, 6, 7, 10, 11, 7}) || !slices.Equal(b.SidePtr, []int32{0, 1, 2}) {
		t.Errorf("one critique: %+v", b)
	}
	d := Example{Document: Branch{IDs: []int32{5, 6, 7}, Weight: []float32{9, 0, 2}}}
	b = model.Batch{}
	d.AppendTo(&b, Parts{})
	if !slices.Equal(b.Row, []int32{1}) || !slices.Equal(b.Target, []int32{7}) || !slices.Equal(b.Weight, []float32{2}) {
		t.Errorf("lm: %+v", b)
	}
}

func TestCheck(t *testing.T) {
	critiques, scalar := Parts{Critiques: true, Rewards: true}, Parts{Rewards: true}
	for _, x := range []struct {
		parts  Parts
		change func(*Example)
		want   string
	}{
		{critiques, func(e *Example) { e.Prompt[0] = 64 }, "token id 64, the model has 0 to 63"},
		{critiques, func(e *Example) { e.Chosen.Response.IDs = nil }, "no tokens of its own"},
		{scalar, func(e *Example) { e.Chosen.Response.Read = 3 }, "read at token 3 of 3"},
		{critiques, func(e *Example) { e.Rejected.Critiques[0].Read = -1 }, "read at token -1 of 2"},
		{critiques, func(e *Example) { e.Rejected.Critiques[0].Weight = []float32{1} }, "1 weights for 2 tokens"},
		{Parts{}, func(e *Example) {}, "wants a document"},
		{scalar, func(e *Example) { e.Document.IDs = []int32{1} }, "want a pair"},
	} {
		e := hand()
		x.change(&e)
		if err := e.Check(x.parts, 64); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
}
