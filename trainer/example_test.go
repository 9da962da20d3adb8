package trainer

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"criticrm/model"
)

// hand is a pair with two critiques of the chosen and one of the rejected response, all of different lengths.
func hand() Example {
	return Example{ID: "a", Prompt: []int32{1, 2}, Margin: 0.5,
		Chosen:   Side{Response: Branch{IDs: []int32{3, 4, 5}, Read: 2}, Critiques: []Branch{{IDs: []int32{6, 7}, Read: 1}, {IDs: []int32{8, 9, 7}, Read: 1}}},
		Rejected: Side{Response: Branch{IDs: []int32{10}, Read: 0}, Critiques: []Branch{{IDs: []int32{11, 7}, Read: 1}}}}
}

func TestForestIsTheHandBuiltOne(t *testing.T) {
	c := Default()
	c.UseMargin = true
	e := hand()
	var b model.Batch
	e.appendTo(&b, &c)
	e.appendTo(&b, &c)
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
		{"target", b.Target, twice(one.target, 0)}, {"leaf", b.Leaf, twice(one.leaf, 13)}, {"side", b.Side, []int32{0, 2, 3, 5, 6}},
	} {
		if !slices.Equal(x.got, x.want) {
			t.Errorf("%s: %v, want %v", x.name, x.got, x.want)
		}
	}
	if !slices.Equal(b.Margin, []float32{.5, .5}) || len(b.Weight) != 14 {
		t.Errorf("margins %v, %d weights", b.Margin, len(b.Weight))
	}
	if s := e.size(&c); s != (size{tokens: 13, flat: 7 + 8 + 5, longest: 8, weight: 7, pairs: 1}) {
		t.Errorf("size %+v", s)
	}
}

func TestForestOfOtherMethods(t *testing.T) {
	e, c := hand(), Default()
	c.Method = BT
	var b model.Batch
	e.appendTo(&b, &c)
	if !slices.Equal(b.IDs, []int32{1, 2, 3, 4, 5, 10}) || !slices.Equal(b.Leaf, []int32{4, 5}) || !slices.Equal(b.Side, []int32{0, 1, 2}) || len(b.Row) != 0 {
		t.Errorf("bt: %+v", b)
	}
	c.Method = SFT
	b = model.Batch{}
	e.appendTo(&b, &c)
	if len(b.Leaf) != 0 || len(b.Side) != 0 || len(b.Row) != 7 {
		t.Errorf("sft: %+v", b)
	}
	c.Method, c.MaxCritiques = Critic, 1
	b = model.Batch{}
	e.appendTo(&b, &c)
	if !slices.Equal(b.IDs, []int32{1, 2, 3, 4, 5, 6, 7, 10, 11, 7}) || !slices.Equal(b.Side, []int32{0, 1, 2}) {
		t.Errorf("one critique: %+v", b)
	}
	c.Method = LM
	d := Example{Document: Branch{IDs: []int32{5, 6, 7}, Weight: []float32{9, 0, 2}}}
	b = model.Batch{}
	d.appendTo(&b, &c)
	if !slices.Equal(b.Row, []int32{1}) || !slices.Equal(b.Target, []int32{7}) || !slices.Equal(b.Weight, []float32{2}) {
		t.Errorf("lm: %+v", b)
	}
}

func TestCheck(t *testing.T) {
	for _, x := range []struct {
		method string
		change func(*Example)
		want   string
	}{
		{Critic, func(e *Example) { e.Prompt[0] = 64 }, "token id 64, the model has 0 to 63"},
		{Critic, func(e *Example) { e.Chosen.Response.IDs = nil }, "no tokens of its own"},
		{BT, func(e *Example) { e.Chosen.Response.Read = 3 }, "read at token 3 of 3"},
		{Critic, func(e *Example) { e.Rejected.Critiques[0].Read = -1 }, "read at token -1 of 2"},
		{Critic, func(e *Example) { e.Rejected.Critiques[0].Weight = []float32{1} }, "1 weights for 2 tokens"},
		{LM, func(e *Example) {}, "wants a document"},
		{BT, func(e *Example) { e.Document.IDs = []int32{1} }, "wants a pair"},
	} {
		e, c := hand(), Default()
		c.Method = x.method
		x.change(&e)
		if err := e.check(&c, 64); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
}

func TestFit(t *testing.T) {
	doc := Example{ID: "d", Document: Branch{IDs: []int32{1, 2, 3, 4}, Weight: []float32{1, 2, 3, 4}}}
	for _, x := range []struct {
		e         Example
		policy    string
		limit     int
		cut, drop bool
		fails     bool
		first     int32 // first token that is left
	}{
		{hand(), "error", 8, false, false, false, 1}, {hand(), "error", 7, false, false, true, 1}, {hand(), "drop", 7, false, true, false, 1},
		{hand(), "truncate-left", 7, true, false, false, 2}, {hand(), "truncate-left", 6, false, true, false, 1}, {hand(), "truncate-right", 7, false, true, false, 1},
		{doc, "truncate-left", 3, true, false, false, 2}, {doc, "truncate-right", 3, true, false, false, 1}, {doc, "drop", 3, false, true, false, 1}, {doc, "error", 3, false, false, true, 1},
	} {
		c := Default()
		c.Overlong = x.policy
		before := slices.Clone(x.e.Chosen.Critiques)
		cut, drop, err := x.e.fit(&c, x.limit)
		if cut != x.cut || drop != x.drop || (err != nil) != x.fails {
			t.Errorf("%s at %d: cut %v, drop %v, %v", x.policy, x.limit, cut, drop, err)
		}
		if got := append(x.e.Prompt, x.e.Document.IDs...)[0]; got != x.first {
			t.Errorf("%s at %d: first token %d, want %d", x.policy, x.limit, got, x.first)
		}
		if !reflect.DeepEqual(before, x.e.Chosen.Critiques) {
			t.Error("a critique was cut")
		}
		if len(x.e.Document.Weight) != len(x.e.Document.IDs) {
			t.Error("weights and tokens of a document differ")
		}
	}
}

func TestPack(t *testing.T) {
	for _, x := range []struct {
		sizes    []int
		capacity int
		want     [][]int
	}{
		{nil, 10, nil},
		{[]int{3, 3}, 0, [][]int{{0, 1}}},
		{[]int{5, 7, 5, 3, 2, 4}, 10, [][]int{{1, 3}, {0, 2}, {4, 5}}},
		{[]int{20, 5, 5}, 10, [][]int{{0}, {1, 2}}},
		{[]int{5, 5, 5}, 10, [][]int{{0, 1}, {2}}},
	} {
		if got := Pack(x.sizes, x.capacity); !reflect.DeepEqual(got, x.want) {
			t.Errorf("Pack(%v, %d) = %v, want %v", x.sizes, x.capacity, got, x.want)
		}
	}
}

func TestPackedCounts(t *testing.T) {
	c := Default()
	c.BatchTokens, c.Overlong = 13, "drop"
	lone := hand()
	lone.Rejected.Critiques = nil // no reward on one side: its critiques count, its pair does not
	bare := lone
	bare.Chosen.Critiques = nil
	long := hand()
	long.Prompt = []int32{1, 2, 3, 4, 5}
	p, err := packExamples(Slice{hand(), lone, bare, long}, []int{0, 1, 2, 3}, &c, 8, 64)
	if err != nil {
		t.Fatal(err)
	}
	if p.Examples != 2 || p.Dropped != 2 || p.Pairs != 1 || p.Weight != 12 || len(p.Batches) != 2 || p.Tokens != 24 {
		t.Errorf("got %+v", p)
	}
	o := p.lossOptions(&c, .25)
	if o.PairScale != 1 || o.TokenScale != float32(1./12) || o.Lambda != .25 {
		t.Errorf("loss options %+v", o)
	}
}
