package kerneltest

import (
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
)

// Bench measures each op at the shapes of models: sub-benchmarks op/dtype/shape, which report GFLOP/s where arithmetic is the
// work and GB/s, of each argument once, where memory is. The time includes waiting for the device.
func Bench(b *testing.B, open func() *kernels.Device) {
	d := open()
	defer d.Close()
	for _, c := range spec.Benchmarks() {
		b.Run(c.Name, func(b *testing.B) { benchCase(b, c, d) })
	}
}

func benchCase(b *testing.B, c spec.Case, d *kernels.Device) {
	op := c.Make()
	buf := newBuffers(d, op, c)
	defer buf.free()
	Call(d, op, buf.tensor) // the first run fills caches and grows scratch memory
	if err := d.Sync(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		Call(d, op, buf.tensor)
		if err := d.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	nanoseconds := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	if f := Flops(op); f > 0 {
		b.ReportMetric(f/nanoseconds, "GFLOP/s")
		return
	}
	b.ReportMetric(Bytes(op, c.BF16)/nanoseconds, "GB/s")
}

// Bytes is what an op reads and writes at least: every argument once, accumulated ones twice, and of arguments that are
// indexed only the rows that are used.
func Bytes(op spec.Op, bf16 bool) (sum float64) {
	for _, a := range spec.Args(op) {
		if a.Nil || a.Dir == spec.Aside {
			continue
		}
		n := float64(used(op, a) * TypeOf(a, bf16).Size())
		if a.Dir == spec.InOut && !copies(op) {
			n *= 2
		}
		sum += n
	}
	return sum
}

// copies says whether an op writes its in/out argument without reading it.
func copies(op spec.Op) bool {
	switch op.(type) {
	case *spec.KVStore[float64], *spec.KVLoad[float64]:
		return true
	}
	return false
}

// used is how many elements of an argument an op touches.
func used(op spec.Op, a spec.Arg) int {
	switch o := op.(type) {
	case *spec.Embed[float64]:
		if a.Name == "Table" {
			return o.N * o.H
		}
	case *spec.EmbedBackward[float64]:
		if a.Name == "DTable" {
			return o.U * o.H
		}
	case *spec.Gather[float64]:
		if a.Name == "X" {
			return o.R * o.H
		}
	case *spec.RewardHead[float64]:
		if a.Name == "X" {
			return o.L * o.H
		}
	case *spec.SliceNorm[float64]:
		if a.Name == "Y" {
			return o.N * o.Groups * o.Width
		}
	case *spec.SliceNormBackward[float64]:
		if a.Name == "DX" {
			return o.N * o.Groups * o.Width
		}
	case *spec.RoPE[float64]:
		if a.Name == "QKV" {
			return o.N * (o.A + o.G) * o.R
		}
	case *spec.RoPEBackward[float64]:
		if a.Name == "QKV" {
			return o.N * (o.A + o.G) * o.R
		}
	case *spec.AdamW[float64]:
		if a.Name == "W" && o.Master != nil {
			return o.N / 2 // it is written only
		}
	case *spec.KVStore[float64]:
		if a.Name == "KV" || a.Name == "QKV" {
			return o.N * 2 * o.G * o.D
		}
	case *spec.KVLoad[float64]:
		if a.Name == "KV" || a.Name == "QKV" {
			return o.M * 2 * o.G * o.D
		}
	}
	return a.Len()
}

// Flops are the operations of matrix products, which is what peers count; 0 for ops that have none. Attention counts visible
// pairs only.
func Flops(op spec.Op) float64 {
	switch o := op.(type) {
	case *spec.Matmul[float64]:
		return 2 * float64(o.N) * float64(o.O) * float64(o.I)
	case *spec.MatmulDX[float64]:
		return 2 * float64(o.N) * float64(o.O) * float64(o.I)
	case *spec.MatmulDW[float64]:
		return 2 * float64(o.N) * float64(o.O) * float64(o.I)
	case *spec.Attention[float64]: // q·kᵀ and p·v
		return 4 * Visible(o.End, o.Pos, o.Window) * float64(o.A*o.D)
	case *spec.AttentionBackward[float64]: // q·kᵀ, dout·vᵀ, pᵀ·dout, ds·k, dsᵀ·q
		return 10 * Visible(o.End, o.Pos, o.Window) * float64(o.A*o.D)
	case *spec.AttentionDecode[float64]:
		keys := 0
		for b, g := range o.Group {
			n := int(o.OwnLen[b])
			for i := o.SegPtr[g]; i < o.SegPtr[g+1]; i++ {
				n += int(o.SegLen[i])
			}
			if o.Window > 0 {
				n = min(n, o.Window)
			}
			keys += n
		}
		return 4 * float64(keys) * float64(o.A*o.D)
	case *spec.CritiqueLoss[float64]:
		f := 2 * float64(o.R) * float64(o.H) * float64(o.V)
		if o.DX != nil {
			f *= 3
		}
		return f
	}
	return 0
}

// Visible is the number of pairs of a query and a key that it sees: of all tokens on its branch up to itself, the last `window` ones
// if that is not 0.
func Visible(end, pos []int32, window int) (n float64) {
	for k, e := range end {
		if window == 0 {
			n += float64(int(e) - k)
		} else {
			n += float64(min(int(pos[k])+1, window))
		}
	}
	return n
}
