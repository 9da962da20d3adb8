package trainer

import (
	"reflect"
	"strings"
	"testing"

	"criticrm/render"
)

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
	hand := func() render.Example { // a pair with two critiques of the chosen and one of the rejected response
		reply := func(ids []int32, critiques ...render.Branch) render.Reply {
			return render.Reply{Response: render.Branch{IDs: ids, Read: len(ids) - 1}, Critiques: critiques}
		}
		return render.Example{ID: "a", Prompt: []int32{1, 2},
			Chosen:   reply([]int32{3, 4, 5}, render.Branch{IDs: []int32{6, 7}, Read: 1}, render.Branch{IDs: []int32{8, 9, 7}, Read: 1}),
			Rejected: reply([]int32{10}, render.Branch{IDs: []int32{11, 7}, Read: 1})}
	}
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
	c.Overlong = "truncate-left" // whoever makes examples has shortened them
	if _, err := packExamples(Slice{long}, []int{0}, &c, 8, 64); err == nil || !strings.Contains(err.Error(), "11 tokens, the limit is 8") {
		t.Errorf("too long: %v", err)
	}
}
