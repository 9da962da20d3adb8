package kerneltest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
)

// moment is the first or second moment of AdamW8bit.
type moment struct {
	name   string
	encode func(x, scale float64, seed uint64, step uint32, i int) uint8
	decode func(code uint8, scale float64) float64
	least  float64
}

var twoMoments = [2]moment{{"M", spec.EncodeM, spec.DecodeM, math.Inf(-1)}, {"V", spec.EncodeV, spec.DecodeV, 0}}

// checkMoments says what is wrong with codes of moments and their scales, or nothing.
func (b *bound) checkMoments(o *spec.AdamW8bit[float64], got map[string]any) string {
	scale := floats(got["Scale"], 2*o.Blocks)
	for k, kind := range twoMoments {
		codes := bytesOf(got[kind.name], o.N)
		if o.Skips() {
			if was := [2][]uint8{o.M, o.V}[k]; !slices.Equal(codes, was) || !slices.Equal(scale, o.Scale) {
				return fmt.Sprintf("%s or its scale has changed in a step that is left out", kind.name)
			}
			continue
		}
		for lo := 0; lo < o.N; lo += kernels.MomentBlock {
			unit := scale[lo/kernels.MomentBlock*2+k]
			if err := b.checkBlock(o, kind, lo, codes[lo:min(lo+kernels.MomentBlock, o.N)], unit); err != "" {
				return err
			}
		}
	}
	return ""
}

// checkBlock is checkMoments of the block that begins at element lo. The scale must be that of a largest magnitude within the tolerance of the
// reference, and a code what a number within it is rounded to in units of the device's scale.
func (b *bound) checkBlock(o *spec.AdamW8bit[float64], kind moment, lo int, codes []uint8, unit float64) string {
	i := slices.IndexFunc(b.outputs, func(a spec.Arg) bool { return a.Name == kind.name+"Exact" })
	want := b.outputs[i].Floats()[lo : lo+len(codes)]
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	naive, _ := b.naiveError(i, lo, lo+len(codes))
	allowed := 2*naive + floorF32*largest + math.Ldexp(1, -126) // smaller numbers may count as zero
	if low, high := spec.MomentScale(largest-allowed), spec.MomentScale(largest+allowed); unit != low && unit != high {
		return fmt.Sprintf("%s: the scale of the block at %d is %g, want %g or %g", kind.name, lo, unit, low, high)
	}
	for j, code := range codes {
		round := func(x float64) float64 {
			return kind.decode(kind.encode(max(x, kind.least), unit, o.Seed, o.Step, o.First+lo+j), unit)
		}
		if x, low, high := kind.decode(code, unit), round(want[j]-allowed), round(want[j]+allowed); !(low <= x && x <= high) {
			return fmt.Sprintf("%s[%d] = %g, want one of %g … %g, which are rounded from %g", kind.name, lo+j, x, low, high, want[j])
		}
	}
	return ""
}

// testMoments makes updates with no gradient and betas of 15/16, with which all moments that codes stand for are exact in float32: so the
// new codes must have exactly the bits of the specification, whatever the parameters are cut into, and must not be biased.
func testMoments(t *testing.T, d *kernels.Device) {
	const n, block, beta, first = 1 << 16, kernels.MomentBlock, 15. / 16, 3<<34 + 8
	w, g, norm := d.Alloc(kernels.F32, n), d.Alloc(kernels.F32, n), d.Alloc(kernels.F32, 2)
	m, v, scale := d.Alloc(kernels.U8, n), d.Alloc(kernels.U8, n), d.Alloc(kernels.F32, n/block, 2)
	for _, x := range []kernels.Tensor{w, g, norm} {
		d.Zero(x)
	}
	zero, start, ones := 0., make([]uint8, n), make([]float32, 2*n/block)
	for i := range start { // each block has all codes
		start[i] = uint8(i + i/block)
	}
	for i := range ones {
		ones[i] = 1
	}
	var kept [2][256]float64 // how often a code stays
	for step, cuts := range [][]int{{0, n}, {0, block, 3 * block, n}, {0, 77 * block, n}} {
		d.Upload(m, start)
		d.Upload(v, start)
		d.Upload(scale, ones)
		for i, lo := range cuts[:len(cuts)-1] {
			hi := cuts[i+1]
			d.AdamW8bit(kernels.AdamW{W: w.Rows(lo, hi), M: m.Rows(lo, hi), V: v.Rows(lo, hi), G: g.Rows(lo, hi), Norm: norm, Beta1: beta, Beta2: beta,
				Eps: 1, Bias1: 1, Bias2: 1, Seed: 7, Step: uint32(step), First: first + lo}, scale.Rows(lo/block, hi/block))
		}
		got, units := make([]uint8, n), make([]float32, len(ones))
		d.Download(units, scale)
		for k, codes := range []kernels.Tensor{m, v} {
			d.Download(got, codes)
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			for i, code := range got {
				was := twoMoments[k].decode(start[i], 1) // adding the gradient, 0, makes 0 of -0
				if want := twoMoments[k].encode(was*beta+zero, 1, 7, uint32(step), first+i); code != want {
					t.Fatalf("%s, step %d: element %d had code %d and has %d, want %d", twoMoments[k].name, step, i, start[i], code, want)
				}
				if code == start[i] {
					kept[k][code]++
				}
			}
		}
		if !slices.Equal(units, ones) {
			t.Fatalf("step %d: scales %v, want ones", step, units)
		}
	}
	for k := range kept {
		checkKept(t, twoMoments[k], kept[k][:], 3*n/256, beta)
	}
	for _, x := range []kernels.Tensor{w, g, norm, m, v, scale} {
		d.Free(x)
	}
}

// checkKept tests, as testDistribution does, how often of total times each code has stayed when its moment became beta times as large. The code
// below is no farther than that, or stands for it.
func checkKept(t *testing.T, kind moment, kept []float64, total, beta float64) {
	for code := 1; code < 256; code++ {
		x := kind.decode(uint8(code), 1)
		if x == 0 || code == 1 && kind.least == 0 { // 1 is the least code of a second moment
			continue
		}
		share := 1 - x*(1-beta)/(x-kind.decode(uint8(code-1), 1))
		if share == 0 {
			continue
		}
		if chance := chiSquared([]float64{kept[code], total - kept[code]}, []float64{share, 1 - share}); !(chance > 1e-6) {
			t.Errorf("%s: %g keeps its code %v times of %v, want %.0f: p = %g", kind.name, x, kept[code], total, share*total, chance)
		}
	}
}
