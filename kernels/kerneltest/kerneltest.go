// Package kerneltest tests and measures an implementation of the kernels: a device's test is a constructor and one call.
//
//	func TestCPU(t *testing.T) { kerneltest.TestDevice(t, open) }
//	func BenchmarkCPU(b *testing.B) { kerneltest.Bench(b, open) }
//
// Package spec has the cases and the float64 reference. Tolerances are derived for each buffer of each case: see [bound].
package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
)

// TestDevice runs all cases on a device against the reference. Inputs must be unchanged, nothing outside of the outputs written, every
// element of an output overwritten, and a second run must have the same bits; so must the runs on each of the devices that others open,
// which differ in, say, the number of threads. Where there are others, only the cases that sanitizers run too have a second run on the
// first device, which would show what a run leaves behind, as the next case does. Of long cases there is one run.
func TestDevice(t *testing.T, open func() *kernels.Device, others ...func() *kernels.Device) {
	devices := []*kernels.Device{open()}
	for _, o := range others {
		devices = append(devices, o())
	}
	defer func() {
		for _, d := range devices {
			d.Close()
		}
	}()
	for _, c := range spec.Cases() {
		t.Run(c.Name, func(t *testing.T) { testCase(t, c, devices) })
	}
	t.Run("distribution", func(t *testing.T) { testDistribution(t, devices[0]) })
	t.Run("philox", func(t *testing.T) { testPhilox(t, devices[0]) })
	t.Run("chance", func(t *testing.T) { testChance(t, devices[0]) })
	t.Run("moments", func(t *testing.T) { testMoments(t, devices[0]) })
	t.Run("blocks", func(t *testing.T) { testBlocks(t, devices[0]) })
	t.Run("swiglu_again", func(t *testing.T) { testSwiGLUAgain(t, devices[0]) })
	t.Run("rmsnorm_again", func(t *testing.T) { testRMSNormAgain(t, devices[0]) })
}

// TestWiring runs the first cases of every op, for a device whose ops TestDevice sees elsewhere.
func TestWiring(t *testing.T, open func() *kernels.Device) {
	d := open()
	defer d.Close()
	seen := map[string]int{}
	for _, c := range spec.Cases() {
		if seen[c.Op]++; seen[c.Op] <= 4 {
			t.Run(c.Name, func(t *testing.T) { testCase(t, c, []*kernels.Device{d}) })
		}
	}
}

// TestOps runs the cases of some ops that sanitizers run too, for a device that computes these in another way than TestDevice's.
func TestOps(t *testing.T, open func() *kernels.Device, ops ...string) {
	d := open()
	defer d.Close()
	for _, c := range spec.Cases() {
		if c.Race && slices.Contains(ops, c.Op) {
			t.Run(c.Name, func(t *testing.T) { testCase(t, c, []*kernels.Device{d}) })
		}
	}
}

// bySharedMemory says of a case that it runs on tensor cores only where a block has more shared memory than devices like GeForce give: there
// its last bits are others.
func bySharedMemory(c spec.Case) bool {
	return c.Op == "attention_backward" && strings.HasPrefix(c.Name, "attention_backward/bf16/") && strings.HasSuffix(c.Name, "_D256")
}

func testCase(t *testing.T, c spec.Case, devices []*kernels.Device) {
	op := c.Make()
	var first map[string]any
	runs := 1 // on the first device
	if c.Race || len(devices) == 1 {
		runs = 2
	}
	if c.Long {
		runs, devices = 1, devices[:1]
	}
	for i, d := range devices {
		b := newBuffers(d, op, c)
		for run := range runs {
			b.upload()
			Call(d, op, b.tensor)
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			got := b.download()
			if err := intact(b.args, b.sent, got); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = got
			} else if err := b.same(first, got); err != nil && i > 0 && bySharedMemory(c) {
				if err := newBound(c, op).compare(got); err != "" {
					t.Fatalf("device %d: %s", i, err)
				}
			} else if err != nil {
				t.Fatalf("not deterministic: run %d of device %d: %v", run, i, err)
			}
		}
		b.free()
		runs = 1
	}
	if err := newBound(c, op).compare(first); err != "" {
		t.Fatal(err)
	}
}

// compare says what is wrong with the outputs that a device gave, or nothing.
func (b *bound) compare(got map[string]any) string {
	for i, a := range b.outputs {
		switch {
		case a.Nil || a.Dir == spec.Aside || a.Type == spec.U8 || b.c.Op == "adamw_8bit" && a.Name == "Scale":
		case a.Type == spec.I32:
			for j, id := range ints(got[a.Name], a.Len()) {
				if !b.allows(i, j, id) {
					return fmt.Sprintf("%s[%d] = %d, want %d", a.Name, j, id, integers(a)[j])
				}
			}
		case b.c.Op == "sample" && b.undecided():
			// the probability of another token is another number
		default:
			if err := b.check(i, floats(got[a.Name], a.Len())); err != "" {
				return err
			}
		}
	}
	if o, ok := b.op.(*spec.AdamW8bit[float64]); ok {
		return b.checkMoments(o, got)
	}
	return ""
}

// testPhilox reads the random number of a stream from the token that it picks: with 2¹⁶ equal logits all running sums
// are exact, and the token is the upper half of the number. The known answer is that of Random123 for zero key and counter.
func testPhilox(t *testing.T, d *kernels.Device) {
	const b, v = 64, 1 << 16
	keys, steps, ids := make([]uint64, b), make([]int32, b), make([]int32, b)
	r := rand.New(rand.NewPCG(1, 2))
	for i := 1; i < b; i++ {
		keys[i], steps[i] = r.Uint64(), r.Int32()
	}
	for _, seed := range []uint64{0, 1, 1 << 32, r.Uint64()} {
		draw(d, make([]float32, b*v), keys, steps, ids, kernels.Sample{Seed: seed, Temperature: 1, TopP: 1})
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		if seed == 0 && ids[0] != 0x6627 {
			t.Errorf("the first number of stream 0 begins with %x, want 6627", ids[0])
		}
		for i, id := range ids {
			if want := int32(spec.Uniform(seed, keys[i], uint32(steps[i])) * v); id != want {
				t.Fatalf("seed %x, key %x, step %d: token %x, want %x", seed, keys[i], steps[i], id, want)
			}
		}
	}
}

// draw samples with temporary tensors.
func draw(d *kernels.Device, logits []float32, keys []uint64, steps, ids []int32, s kernels.Sample) {
	n := len(ids)
	s.ID, s.LogProb = d.Alloc(kernels.I32, n), d.Alloc(kernels.F32, n)
	s.Logits = d.Alloc(kernels.F32, n, len(logits)/n)
	s.Key, s.Step = d.Alloc(kernels.U64, n), d.Alloc(kernels.I32, n)
	d.Upload(s.Logits, logits)
	d.Upload(s.Key, keys)
	d.Upload(s.Step, steps)
	d.Sample(s)
	d.Download(ids, s.ID)
	for _, t := range []kernels.Tensor{s.ID, s.LogProb, s.Logits, s.Key, s.Step} {
		d.Free(t)
	}
}

// testDistribution counts 8000 draws from the same logits and tests them with Pearson's χ² against the probabilities
// that are left after the cut. The threshold, p = 1e-6, is not met by chance in the life of the project.
func testDistribution(t *testing.T, d *kernels.Device) {
	const b, v = 8000, 24
	r := rand.New(rand.NewPCG(11, 12))
	row := make([]float32, v)
	for i := range row {
		row[i] = float32(r.NormFloat64())
	}
	logits := slices.Repeat(row, b)
	ids := make([]int32, b)
	for _, m := range []struct {
		temperature, topP float32
		topK              int
	}{{1, 1, 0}, {0.6, 1, 0}, {2, 1, 7}, {1, 0.8, 0}, {0.9, 0.9, 10}} {
		// one long sequence, and many sequences at their first token, must both be uniform
		for _, along := range []bool{false, true} {
			keys, steps := make([]uint64, b), make([]int32, b)
			for i := range keys {
				if along {
					keys[i], steps[i] = 99, int32(i)
				} else {
					keys[i] = uint64(i)
				}
			}
			draw(d, logits, keys, steps, ids, kernels.Sample{Seed: 5, Temperature: m.temperature, TopP: m.topP, TopK: m.topK})
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			count := make([]float64, v)
			for _, id := range ids {
				count[id]++
			}
			p := kept(row, float64(m.temperature), float64(m.topP), m.topK)
			if chance := chiSquared(count, p); !(chance > 1e-6) {
				t.Errorf("%+v, along a sequence %v: counts %v have p = %g under %.4f", m, along, count, chance, p)
			}
		}
	}
}

// kept is the distribution that top-k and top-p leave, written without the specification.
func kept(logits []float32, temperature, topP float64, topK int) []float64 {
	p := make([]float64, len(logits))
	order := make([]int, len(logits))
	sum := 0.0
	for i, l := range logits {
		p[i], order[i] = math.Exp(float64(l)/temperature), i
		sum += p[i]
	}
	slices.SortFunc(order, func(i, j int) int {
		if p[i] > p[j] {
			return -1
		}
		return 1
	})
	cumulative := 0.0
	for rank, i := range order {
		if topK > 0 && rank >= topK || topP < 1 && cumulative >= topP {
			p[i] = 0
			continue
		}
		p[i] /= sum
		cumulative += p[i]
	}
	for i := range p {
		p[i] /= cumulative
	}
	return p
}

// testChance makes AdamW updates that are decay alone, p - 2⁻¹²·p, which is exact in float32: so the bfloat16 weights must have
// exactly the bits of the specification, whatever the parameters are cut into. And they must not be biased: the share that is
// rounded down is tested as in testDistribution.
func testChance(t *testing.T, d *kernels.Device) {
	const n, values = 1 << 16, 32
	at := func(i int) float32 { return float32(128+i%values) / 64 * float32(1-i/values%2*2) }
	start := make([]float32, n)
	for i := range start {
		start[i] = at(i)
	}
	start[5] = float32(math.NaN())
	w, m, v, g, norm := d.Alloc(kernels.BF16, n), d.Alloc(kernels.F32, n), d.Alloc(kernels.F32, n), d.Alloc(kernels.F32, n), d.Alloc(kernels.F32, 2)
	d.Zero(g)
	d.Zero(norm)
	down := make([]float64, values)
	for step, cuts := range [][]int{{0, n}, {0, 1, 2, 1001, 4096, 4103, n}, {0, 4, 4096, n}} {
		const first = 3<<34 + 5 // the parameters before w
		d.Upload(w, start)
		d.Zero(m)
		d.Zero(v)
		for i, lo := range cuts[:len(cuts)-1] {
			hi := cuts[i+1]
			d.AdamW(kernels.AdamW{W: w.Rows(lo, hi), M: m.Rows(lo, hi), V: v.Rows(lo, hi), G: g.Rows(lo, hi), Norm: norm, LR: 1. / 4, WeightDecay: 1. / 1024,
				Eps: 1e-8, Bias1: 1, Bias2: 1, Seed: 7, Step: uint32(step), First: first + lo})
		}
		got := make([]float32, n)
		d.Download(got, w)
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		for i, x := range got {
			want := spec.RoundByChance(start[i]-start[i]/4096, 7, uint32(step), first+i)
			if x != want && !(x != x && want != want) {
				t.Fatalf("step %d: w[%d] = %v, want %v", step, i, x, want)
			}
			if x == x && x != start[i] {
				down[i%values]++
			}
		}
	}
	for i, count := range down {
		share := float64(128+i) / 4096 // of the distance of neighbours, 1/64, that the update takes; below 2 they are closer
		if i == 0 {
			share *= 2
		}
		total := 3. * n / values
		if chance := chiSquared([]float64{count, total - count}, []float64{share, 1 - share}); !(chance > 1e-6) {
			t.Errorf("%v is rounded down %v times of %v, want %.0f: p = %g", at(i), count, total, share*total, chance)
		}
	}
	for _, x := range []kernels.Tensor{w, m, v, g, norm} {
		d.Free(x)
	}
}

// testSwiGLUAgain compares what swiglu_backward gives for h with what swiglu has given, and the same of geglu.
func testSwiGLUAgain(t *testing.T, d *kernels.Device) {
	const n, f = 37, 1048
	r := rand.New(rand.NewPCG(5, 6))
	x := make([]float32, 2*n*f)
	for i := range x {
		x[i] = float32(4 * r.NormFloat64())
	}
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		gu, dgu, h, again, dh := d.Alloc(typ, n, 2*f), d.Alloc(typ, n, 2*f), d.Alloc(typ, n, f), d.Alloc(typ, n, f), d.Alloc(typ, n, f)
		d.Upload(gu, x)
		d.Upload(dh, x[:n*f])
		for op, run := range map[string]func(){
			"swiglu": func() { d.SwiGLU(h, gu); d.SwiGLUBackward(dgu, again, dh, gu) },
			"geglu":  func() { d.GeGLU(h, gu); d.GeGLUBackward(dgu, again, dh, gu) },
		} {
			run()
			want, got := make([]float32, n*f), make([]float32, n*f)
			d.Download(want, h)
			d.Download(got, again)
			if !slices.Equal(got, want) {
				t.Errorf("%v: the h of %s_backward is not that of %s", typ, op, op)
			}
		}
		for _, x := range []kernels.Tensor{gu, dgu, h, again, dh} {
			d.Free(x)
		}
	}
}

// testRMSNormAgain compares what rmsnorm_backward gives for out with what rmsnorm has given: rows of one word for each thread, of four, and longer.
func testRMSNormAgain(t *testing.T, d *kernels.Device) {
	const n = 5
	r := rand.New(rand.NewPCG(7, 8))
	for _, h := range []int{31, 64, 1032, 20000, 20001} {
		x, shift := make([]float32, n*h), float32(h%2)
		for i := range x {
			x[i] = float32(4 * r.NormFloat64())
		}
		for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
			in, res, sum, out, again, dout, dx := d.Alloc(typ, n, h), d.Alloc(typ, n, h), d.Alloc(typ, n, h), d.Alloc(typ, n, h), d.Alloc(typ, n, h),
				d.Alloc(typ, n, h), d.Alloc(typ, n, h)
			w, dw, rstd := d.Alloc(typ, h), d.Alloc(kernels.F32, h), d.Alloc(kernels.F32, n)
			for _, t := range []kernels.Tensor{in, res, dout, dx} {
				d.Upload(t, x)
			}
			d.Upload(w, x[:h])
			d.Upload(dw, x[:h])
			d.RMSNorm(out, sum, rstd, in, res, w, 1e-5, shift)
			d.RMSNormBackward(dx, dw, again, dout, sum, w, rstd, shift)
			want, got := make([]float32, n*h), make([]float32, n*h)
			d.Download(want, out)
			d.Download(got, again)
			if !slices.Equal(got, want) {
				t.Errorf("%v, H %d: the out of rmsnorm_backward is not that of rmsnorm", typ, h)
			}
			for _, x := range []kernels.Tensor{in, res, sum, out, again, dout, dx, w, dw, rstd} {
				d.Free(x)
			}
		}
	}
}
