package main

import (
	"math"
	"os"
	"strings"
	"testing"
)

// Sizes of the shapes are those of the models.
func TestShapes(t *testing.T) {
	for i, want := range []float64{494.0e6, 8.030e9, 70.55e9} {
		if all, _ := Shapes()[i].Params(); math.Abs(all/want-1) > .005 {
			t.Errorf("%s has %.4g parameters, want %.4g", Shapes()[i].Name, all, want)
		}
	}
}

// What must hold of any such model: sharing more takes no more memory; more ranks give the same MFU or less; what is sent is the formula's.
func TestPredictions(t *testing.T) {
	for _, s := range Shapes() {
		last := math.Inf(1)
		for _, ranks := range []int{1, 2, 8, 64, 1024} {
			memory := math.Inf(1)
			for share := Replicated; share <= ZeRO3; share++ {
				m := s.Memory(share, ranks, microBatch, false)
				if ranks >= 8 && m > memory {
					t.Errorf("%s, %d ranks: %v takes %.3g bytes, less sharing %.3g", s.Name, ranks, share, m, memory)
				}
				memory = m
			}
			e := H100.Predict(s, ZeRO2, ranks, tokensPerRank, microBatch, sequence)
			if e.MFU > s.Efficiency || !e.Checkpointing && e.MFU > last+1e-9 && ranks > 8 {
				t.Errorf("%s, %d ranks: MFU %.3f after %.3f", s.Name, ranks, e.MFU, last)
			}
			last = e.MFU
		}
		n, _ := s.Params()
		if got := s.Bytes(ZeRO2, 4); got != .75*6*n {
			t.Errorf("%s: %v bytes, want %v", s.Name, got, .75*6*n)
		}
	}
}

// DESIGN.md has the tables as they are printed.
func TestTables(t *testing.T) {
	design, err := os.ReadFile("../../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	write(&b)
	writePublished(&b)
	for line := range strings.Lines(b.String()) {
		if !strings.Contains(string(design), line) {
			t.Fatalf("DESIGN.md lacks the line %q: put in what `go run ./bench/scale` prints", line)
		}
	}
}
