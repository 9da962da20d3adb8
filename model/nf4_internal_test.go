package model

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"criticrm/checkpoint"
	"criticrm/internal/golden"
)

// TestQuantise: weights of 4 bits are those that bitsandbytes makes: codes, maxima, their map, scales and offset, and what they stand for.
func TestQuantise(t *testing.T) {
	f, err := checkpoint.OpenSafetensors(filepath.Join(golden.Repository(t).Root, "nf4.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	floats := func(name string) []float32 {
		x, err := f.ReadF32(name)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	bytes := func(name string) []byte {
		x, err := f.ReadRaw(name)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if want := floats("map"); !slices.Equal(dynamicMap(), want) {
		for i, v := range dynamicMap() {
			if v != want[i] {
				t.Fatalf("map[%d] is %v, want %v", i, v, want[i])
			}
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		q := quantise(floats(name + ".w"))
		if !slices.Equal(q.code, bytes(name+".code")) {
			t.Errorf("%s: other codes", name)
		}
		if !slices.Equal(q.absmax, bytes(name+".absmax")) {
			t.Errorf("%s: other maxima", name)
		}
		golden.Near(t, name+": scale", q.scale, floats(name+".scale"), 1e-6)
		golden.Near(t, name+": offset", []float32{q.offset}, floats(name+".offset"), 1e-6)
		if name != "b" {
			golden.Near(t, name+": unpacked", q.unpack(), floats(name+".unpacked"), 1e-6)
		}
	}
}

// A code is that of the nearest value.
func TestNearest(t *testing.T) {
	list := []float32{-1, 0, 2}
	for x, want := range map[float32]uint8{-3: 0, -0.6: 0, -0.4: 1, 0: 1, 1: 1, 1.1: 2, 5: 2, -0.5: 0, float32(math.Inf(1)): 2} {
		if got := nearest(list, x); got != want {
			t.Errorf("%v: %d, want %d", x, got, want)
		}
	}
}
