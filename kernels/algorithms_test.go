//go:build cuda && emu

package kernels_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels"
)

// product runs y = x·wᵀ on random numbers of so many rows and gives the bits of y.
func product(t *testing.T, d *kernels.Device, n int) []uint32 {
	t.Helper()
	const o, i = 24, 520
	r := rand.New(rand.NewPCG(uint64(n), 1))
	upload := func(rows int) kernels.Tensor {
		x := make([]float32, rows*i)
		for j := range x {
			x[j] = float32(r.NormFloat64())
		}
		m := d.Alloc(kernels.F32, rows, i)
		d.Upload(m, x)
		return m
	}
	x, w, y := upload(n), upload(o), d.Alloc(kernels.F32, n, o)
	defer func() { d.Free(x); d.Free(w); d.Free(y) }()
	d.Matmul(y, x, w, kernels.Tensor{})
	out, bits := make([]float32, n*o), make([]uint32, n*o)
	d.Download(out, y)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	for j, v := range out {
		bits[j] = math.Float32bits(v)
	}
	return bits
}

func open(t *testing.T) *kernels.Device {
	d := emulated(t, kernels.Schedule{})()
	t.Cleanup(d.Close)
	return d
}

// Which algorithm a product gets does not depend on what ran before, and sizes that are close share one.
func TestAlgorithmsWithoutHistory(t *testing.T) {
	sizes := []int{1, 7, 64, 63, 61, 300, 299, 40}
	first, second := open(t), open(t)
	for _, n := range sizes {
		product(t, first, n)
	}
	slices.Reverse(sizes)
	for _, n := range sizes {
		product(t, second, n)
	}
	got := first.Algorithms()
	if got != second.Algorithms() {
		t.Errorf("in another order:\n%s\n%s", got, second.Algorithms())
	}
	// 1, 7, 64 (for 61 to 64), 61 (the software GPU's algorithms for 64 do not do it), 320 (for 299 and 300), 40
	if n := strings.Count(got, "\n"); n != 1+6 {
		t.Errorf("%d lines:\n%s", n, got)
	}
}

// A device that is given the choices of another makes them, also where it would have chosen otherwise.
func TestAlgorithmsAreUsedAgain(t *testing.T) {
	first := open(t)
	want := product(t, first, 100)
	text := first.Algorithms()

	again := open(t)
	if refused := again.UseAlgorithms(text); refused != "" {
		t.Fatal(refused)
	}
	if !slices.Equal(product(t, again, 100), want) || again.Algorithms() != text {
		t.Errorf("the stored choices give other bits:\n%s\n%s", text, again.Algorithms())
	}

	// the second number of an algorithm of the software GPU is the number of parts that it splits a sum into
	other := strings.NewReplacer(".4.2.", ".3.2.", "parts 4", "parts 3").Replace(text)
	if other == text {
		t.Fatalf("no algorithm to change in:\n%s", text)
	}
	third := open(t)
	if refused := third.UseAlgorithms(other); refused != "" {
		t.Fatal(refused)
	}
	if slices.Equal(product(t, third, 100), want) || third.Algorithms() != other {
		t.Errorf("the stored choice was not made:\n%s\n%s", other, third.Algorithms())
	}
}

// Choices that cannot be made again are named, and made anew.
func TestAlgorithmsRefused(t *testing.T) {
	first := open(t)
	want := product(t, first, 100)
	product(t, first, 5)
	text := first.Algorithms()
	header, lines, _ := strings.Cut(text, "\n")
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"nothing chosen", header + "\n", ""},
		{"another GPU", strings.Replace(text, "processors", "cores", 1), "are for"},
		{"an algorithm that is not known", strings.Replace(text, ".4.2.", ".99.2.", 1), "1 of 2 stored"},
		{"damaged", header + "\n1 2 3\n" + lines, "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t)
			refused := d.UseAlgorithms(c.text)
			if refused == "" != (c.want == "") || !strings.Contains(refused, c.want) {
				t.Errorf("refused: %q, want %q", refused, c.want)
			}
			if !slices.Equal(product(t, d, 100), want) {
				t.Error("a new choice is not the old one")
			}
			product(t, d, 5)
			if d.Algorithms() != text {
				t.Errorf("chosen anew:\n%s\n%s", text, d.Algorithms())
			}
		})
	}
}
