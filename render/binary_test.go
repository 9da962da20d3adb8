package render

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// anExample is one with a bit of everything, by chance.
func anExample(r *rand.Rand) Example {
	ids := func(n int) (ids []int32) {
		for range r.IntN(n + 1) {
			ids = append(ids, int32(r.Uint32N(1<<(1+r.UintN(31))))) // of all lengths
		}
		return ids
	}
	branch := func() Branch {
		b := Branch{IDs: ids(40), Read: r.IntN(50) - 1}
		if r.IntN(2) == 0 {
			for range b.IDs {
				b.Weight = append(b.Weight, [...]float32{0, 1, 1, 1, 0.25, float32(math.Copysign(0, -1)), r.Float32()}[r.IntN(7)])
			}
		}
		return b
	}
	e := Example{ID: string([]byte("an id \x00 with ü")[:r.IntN(12)]), Prompt: ids(300), Margin: r.Float32()}
	for _, s := range e.replies() {
		s.Response = branch()
		for range r.IntN(4) {
			s.Critiques = append(s.Critiques, branch())
		}
	}
	if r.IntN(3) == 0 {
		e.Document = branch()
	}
	return e
}

// An example is read back as it was, field by field; a byte less or more is an error.
func TestExampleBinary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		e := anExample(r)
		b, err := e.AppendBinary([]byte("before"))
		if err != nil || string(b[:6]) != "before" {
			t.Fatal(err)
		}
		var back Example
		if err := back.UnmarshalBinary(b[6:]); err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%v\n%+v, want\n%+v", err, back, e)
		}
		if back.UnmarshalBinary(b[6:len(b)-1]) == nil || back.UnmarshalBinary(append(b[6:], 0)) == nil {
			t.Fatal("a byte less or more is no error")
		}
		x, y := sha256.New(), sha256.New()
		e.Digest(x)
		if err := back.UnmarshalBinary(b[6:]); err != nil {
			t.Fatal(err)
		}
		if back.Digest(y); string(x.Sum(nil)) != string(y.Sum(nil)) {
			t.Fatal("another digest")
		}
	}
}

// What could not be read back is not written.
func TestExampleBinaryRefuses(t *testing.T) {
	e := Example{ID: "a", Document: Branch{IDs: []int32{1, 2}, Weight: []float32{1}}}
	if _, err := e.AppendBinary(nil); err == nil || err.Error() != `example "a": 1 weights for 2 tokens` {
		t.Error(err)
	}
}

// FuzzExampleBinary: any bytes are an example that is written as something that is read back, or an error.
func FuzzExampleBinary(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5 {
		e := anExample(r)
		b, _ := e.AppendBinary(nil)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again Example
		if e.UnmarshalBinary(b) != nil {
			return
		}
		b, err := e.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		c, _ := again.AppendBinary(nil)
		if string(b) != string(c) {
			t.Fatalf("%+v is written as %x and %x", e, b, c)
		}
	})
}

// A digest is for ever: a checkpoint of an earlier program holds one, and goes on with equal data only.
func TestDigestStays(t *testing.T) {
	e := Example{ID: "no part of it", Prompt: []int32{1, 70000}, Margin: 0.5,
		Chosen:   Reply{Response: Branch{IDs: []int32{5}}, Critiques: []Branch{{IDs: []int32{6, 7}, Weight: []float32{0, 0.25}, Read: 1}}},
		Rejected: Reply{Response: Branch{IDs: []int32{8, 9}, Read: 1}}}
	h := sha256.New()
	e.Digest(h)
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != "03f9e725ee86eeda177d05a9c865903ea39d171f6f9b5ce48ad5ba4c674024be" {
		t.Errorf("got %s", got)
	}
}
