package golden

import (
	"math"
	"os"
	"slices"
	"testing"
)

// TestRepository: what the repository has and what the tests read are the same.
func TestRepository(t *testing.T) {
	s := Repository(t)
	want := slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.Causal, s.Reward, s.Tokenizers, s.Chats, s.Kinds, s.Adapters, s.Stored, s.Seeing, s.SentencePiece))))
	entries, err := os.ReadDir(s.Root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "__pycache__" {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("folders %v, want %v", got, want)
	}
}

// failures counts what a comparison complains of.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.n++ }

func TestNear(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		got, want []float32
		failures  int
	}{
		{[]float32{1, 4}, []float32{1, 4}, 0},
		{[]float32{1.03, 4}, []float32{1, 4}, 0},
		{[]float32{1.05, 4}, []float32{1, 4}, 1},
		{[]float32{1}, []float32{1, 4}, 1},
		{[]float32{nan, 4}, []float32{1, 4}, 1},
		{[]float32{inf, 4}, []float32{1, 4}, 1},
		{[]float32{1, 4}, []float32{1, nan}, 1},
		{[]float32{1, 4}, []float32{1, inf}, 1},
		{[]float32{0.001}, []float32{0}, 1},
	} {
		f := &failures{TB: t}
		Near(f, "x", c.got, c.want, 0.01)
		if f.n != c.failures {
			t.Errorf("%v for %v: %d failures, want %d", c.got, c.want, f.n, c.failures)
		}
	}
}
