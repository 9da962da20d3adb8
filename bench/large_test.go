package bench

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"criticrm/cuda"
	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
	"criticrm/kernels/kerneltest/spec"
)

// BenchmarkLarge measures the ops at the shapes of large models, on the device of the build, in bfloat16 with random data. Package spec has
// the cases: those of a Size.
//
//	go test ./bench -run '^$' -bench '^BenchmarkLarge$' -benchtime 11x -models Q05,L8
//
// An iteration queues the op many times and waits once; the median iteration counts, divided by the number of ops. Ops whose tensors a
// cache could hold work on several sets of them in turn. A case for which there is no memory is skipped.
func BenchmarkLarge(b *testing.B) {
	list := sizes(b)
	a := arena{dev: devicetest.Open(b, 0)}
	for i, s := range list {
		if i == 0 {
			a.copy(b, s)
			a.cases(b, s.Ceilings())
		}
		a.cases(b, s.Work())
	}
}

func (a *arena) cases(b *testing.B, list []spec.Case) {
	for _, c := range list {
		a.bench(b, c.Name, func() func() work {
			op := c.Plan()
			return func() work { return a.set(c, op) }
		})
	}
}

// set makes the tensors of a case.
func (a *arena) set(c spec.Case, op spec.Op) work {
	tensors := map[string]kernels.Tensor{}
	for _, x := range spec.Args(op) {
		if x.Nil || x.Dir == spec.Aside {
			continue
		}
		t := a.alloc(kerneltest.TypeOf(x, c.BF16), x.Shape...)
		if tensors[x.Name] = t; x.Dir == spec.In || x.Dir == spec.InOut {
			a.fill(t, x.Value.Interface())
		}
	}
	at := func(name string) kernels.Tensor { return tensors[name] }
	w := work{run: func() { kerneltest.Call(a.dev, op, at) }, flops: kerneltest.Flops(op)}
	switch o := op.(type) {
	case *spec.AttentionBackward[float64]: // needs what the forward op gives
		kerneltest.Call(a.dev, o.Forward(), at)
	case *spec.CritiqueLoss[float64]:
		w.weights = float64(at("W").Bytes() + at("DW").Bytes())
	}
	if w.flops == 0 || c.Op == "attention_decode" { // whose keys and values are read once for all heads
		w.flops, w.bytes = 0, kerneltest.Bytes(op, c.BF16)
	}
	return w
}

// fill repeats numbers, if there are fewer than elements.
func (a *arena) fill(t kernels.Tensor, numbers any) {
	switch x := numbers.(type) {
	case []int32, []uint64:
		a.dev.Upload(t, x)
	case []uint8:
		repeat(a.dev, t, x)
	case []float64:
		if t.Type() == kernels.BF16 {
			repeat(a.dev, t, converted(x, func(v float64) uint16 { return kernels.BF16FromF32(float32(v)) }))
		} else {
			repeat(a.dev, t, converted(x, func(v float64) float32 { return float32(v) }))
		}
	}
}

func converted[T any](x []float64, to func(float64) T) []T {
	y := make([]T, len(x))
	for i, v := range x {
		y[i] = to(v)
	}
	return y
}

func repeat[T any](d *kernels.Device, t kernels.Tensor, x []T) {
	for at, n := 0, 0; at < t.Len(); at += n {
		n = min(len(x), t.Len()-at)
		d.Upload(t.View(t.Len()).Rows(at, at+n), x[:n])
	}
}

// copy measures the memory's bandwidth.
func (a *arena) copy(b *testing.B, s size) {
	n := 1 << 29
	if s.Name == "tiny" {
		n = 1 << 12
	}
	a.bench(b, "copy", func() func() work {
		noise := make([]uint16, min(n, spec.Pattern))
		for i := range noise {
			noise[i] = kernels.BF16FromF32(float32(rand.NormFloat64()))
		}
		return func() work {
			x, y := a.alloc(kernels.BF16, n), a.alloc(kernels.BF16, n)
			repeat(a.dev, x, noise)
			return work{run: func() { a.dev.Copy(y, x) }, bytes: float64(x.Bytes() + y.Bytes())}
		}
	})
}

// work is one op on one set of tensors; flops and bytes are what it does at least, the smaller of which is 0. Where weights are given, in
// bytes with their gradient, the device memory in use beside them is reported too.
type work struct {
	run                   func()
	flops, bytes, weights float64
}

// arena makes tensors for one benchmark at a time.
type arena struct {
	dev  *kernels.Device
	made []kernels.Tensor
}

// bench makes one or more sets of tensors and runs the op on them. What they have in common is prepared when the benchmark runs at all.
func (a *arena) bench(b *testing.B, name string, prepare func() func() work) {
	b.Run(name, func(b *testing.B) {
		defer func() {
			for _, t := range a.made {
				a.dev.Free(t)
			}
			a.made = nil
		}()
		sets, err := a.sets(prepare())
		if errors.As(err, new(kernels.OutOfMemory)) {
			b.Skip(err)
		} else if err != nil {
			b.Fatal(err)
		}
		next := 0
		spend := func(n int) time.Duration {
			start := time.Now()
			for range n {
				sets[next%len(sets)].run()
				next++
			}
			if err := a.dev.Sync(); err != nil {
				b.Fatal(err)
			}
			return time.Since(start)
		}
		spend(max(2, len(sets))) // scratch memory grows, algorithms are chosen
		n := int(min(100, max(1, 20*time.Millisecond/max(1, spend(2)/2))))
		var times []time.Duration
		for b.Loop() {
			times = append(times, spend(n))
		}
		slices.Sort(times)
		ns := float64(times[len(times)/2]) / float64(n)
		b.ReportMetric(ns, "ns/op")
		if w := sets[0]; w.flops > 0 {
			b.ReportMetric(w.flops/ns/1e3, "TFLOP/s")
		} else if w.bytes > 0 {
			b.ReportMetric(w.bytes/ns, "GB/s")
		}
		if use, ok := cuda.StatsOf(a.dev); ok && sets[0].weights > 0 {
			b.ReportMetric((float64(use.Allocated)-sets[0].weights)/(1<<30), "GiB")
		}
	})
}

// sets makes tensors of 256 MB together, five times what the caches of an H100 hold.
func (a *arena) sets(make func() work) (list []work, err error) {
	defer kernels.Recover(&err)
	total := 0
	for len(list) == 0 || total < 256<<20 && len(list) < 64 {
		before := len(a.made)
		list = append(list, make())
		for _, t := range a.made[before:] {
			total += t.Bytes()
		}
		if a.dev.Name() == "cpu" || total < 1<<20 {
			break // no device, or a tiny model
		}
	}
	return list, a.dev.Sync()
}

func (a *arena) alloc(t kernels.DType, shape ...int) kernels.Tensor {
	x := a.dev.Alloc(t, shape...)
	a.made = append(a.made, x)
	return x
}
