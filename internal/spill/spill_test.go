package spill

import (
	"cmp"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

var words = Form[uint64]{Size: 8, Put: func(b []byte, v uint64) { Put(b, v) }, Get: func(b []byte) uint64 { return Word(b, 0) }, Compare: cmp.Compare[uint64]}

// In memory and beyond it values come in order, each time that they are read, and nothing is left behind.
func TestSorter(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, most := range []int{1, 7, 100, 5000} {
		for _, n := range []int{0, 1, 6, 7, 8, 14, 1000} {
			s := NewSorter(words, most, "numbers")
			var want []uint64
			for range n {
				v := rng.Uint64N(500)
				want = append(want, v)
				if err := s.Add(v); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(want)
			if err := s.End(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				var got []uint64
				for v, err := range s.Sorted() {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, v)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%d in memory, %d values: %v, want %v", most, n, got, want)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	empty(t, dir)
}

// Numbers are those of a slice, whether their pages are in memory or not.
func TestArray(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, most := range []int{1, 2 * pageSize, 5 * pageSize, 100 * pageSize} {
		const n = 40*pageSize + 13
		a := NewArray(most, "numbers")
		want := make([]uint32, n)
		for range 20000 {
			i := rng.IntN(n)
			if got := a.Get(i); got != want[i] {
				t.Fatalf("%d in memory: %d at %d, want %d", most, got, i, want[i])
			}
			i = rng.IntN(n)
			want[i] = rng.Uint32()
			a.Set(i, want[i])
		}
		for i, v := range want {
			if got := a.Get(i); got != v {
				t.Fatalf("%d in memory: %d at %d, want %d", most, got, i, v)
			}
		}
		if a.Err() != nil || a.Close() != nil {
			t.Error("an error")
		}
	}
	empty(t, dir)
}

// Without a place for temporary files the error says what they were for.
func TestNoPlace(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/none")
	s, a := NewSorter(words, 1, "numbers of a sorter"), NewArray(1, "numbers of an array")
	defer s.Close()
	defer a.Close()
	if err := cmp.Or(s.Add(1), s.Add(2)); err == nil || !strings.Contains(err.Error(), "numbers of a sorter") || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
	a.Set(0, 1)
	a.Set(pageSize, 1)
	if err := a.Err(); err == nil || !strings.Contains(err.Error(), "numbers of an array") || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}
