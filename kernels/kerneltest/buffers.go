package kerneltest

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
)

// guardBytes lie before and after each buffer. They are as many as the alignment of an allocation, so that the buffer
// between them is aligned like one.
const guardBytes = 64

// buffers are the tensors of one op on a device, each between guard words. The guards are NaN for real numbers, so that
// a read beyond the end shows in the result, and a wild index for integers.
type buffers struct {
	dev   *kernels.Device
	args  []spec.Arg
	whole map[string]kernels.Tensor // with guards
	view  map[string]kernels.Tensor
	sent  map[string]any // what was uploaded, with guards
}

func newBuffers(dev *kernels.Device, op spec.Op, bf16 bool) *buffers {
	b := &buffers{dev, spec.Args(op), map[string]kernels.Tensor{}, map[string]kernels.Tensor{}, map[string]any{}}
	for _, a := range b.args {
		if a.Nil {
			continue
		}
		bits := encode(a, bf16)
		t := dev.Alloc(typeOf(a, bf16), reflect.ValueOf(bits).Len())
		guard := guardBytes / t.Type().Size()
		b.whole[a.Name], b.sent[a.Name] = t, bits
		b.view[a.Name] = t.Rows(guard, guard+a.Len()).View(a.Shape...)
	}
	b.upload()
	return b
}

// upload fills all buffers, outputs with poison.
func (b *buffers) upload() {
	for name, bits := range b.sent {
		b.dev.Upload(b.whole[name], bits)
	}
}

func (b *buffers) tensor(name string) kernels.Tensor { return b.view[name] }

func (b *buffers) free() {
	for _, t := range b.whole {
		b.dev.Free(t)
	}
}

func typeOf(a spec.Arg, bf16 bool) kernels.DType {
	switch {
	case a.Type == spec.I32:
		return kernels.I32
	case a.Type == spec.U64:
		return kernels.U64
	case a.Type == spec.Real32 && bf16:
		return kernels.BF16
	}
	return kernels.F32
}

// The poison of outputs is another NaN than the guard's.
const (
	guard32  = 0x7fc0dead
	poison32 = 0x7fc0beef
)

// encode gives the buffer of an argument in its type on the device: guard, data (or poison), guard.
func encode(a spec.Arg, bf16 bool) any {
	poisoned := a.Dir == spec.Out || a.Dir == spec.Scratch
	switch typeOf(a, bf16) {
	case kernels.I32:
		data := a.Value.Interface().([]int32)
		return fenced(len(data), 4, int32(math.MinInt32), func(i int) int32 {
			if poisoned {
				return math.MinInt32 + 1
			}
			return data[i]
		})
	case kernels.U64:
		data := a.Value.Interface().([]uint64)
		return fenced(len(data), 8, uint64(guard32), func(i int) uint64 { return data[i] })
	case kernels.BF16:
		data := a.Floats()
		return fenced(len(data), 2, uint16(0x7fde), func(i int) uint16 {
			if poisoned {
				return 0x7fbe
			}
			return kernels.BF16FromF32(float32(data[i]))
		})
	}
	data := a.Floats()
	return fenced(len(data), 4, math.Float32frombits(guard32), func(i int) float32 {
		if poisoned {
			return math.Float32frombits(poison32)
		}
		return float32(data[i])
	})
}

func fenced[E any](n, size int, guard E, at func(i int) E) []E {
	g := guardBytes / size
	x := make([]E, n+2*g)
	for i := range x {
		if x[i] = guard; i >= g && i < g+n {
			x[i] = at(i - g)
		}
	}
	return x
}

// download gives all buffers as they are now, as bits, with guards.
func (b *buffers) download() map[string]any {
	got := map[string]any{}
	for name, sent := range b.sent {
		x := reflect.MakeSlice(reflect.TypeOf(sent), reflect.ValueOf(sent).Len(), reflect.ValueOf(sent).Len()).Interface()
		b.dev.Download(x, b.whole[name])
		got[name] = x
	}
	return got
}

// intact checks guards and inputs.
func (b *buffers) intact(got map[string]any) error {
	for _, a := range b.args {
		if a.Nil {
			continue
		}
		sent, now := bits(b.sent[a.Name]), bits(got[a.Name])
		guard := (len(now) - a.Len()) / 2
		for i := range now {
			inside := i >= guard && i < guard+a.Len()
			if now[i] == sent[i] || inside && a.Dir != spec.In {
				continue
			}
			if inside {
				return fmt.Errorf("input %s[%d] was written", a.Name, i-guard)
			}
			return fmt.Errorf("a write at %s[%d], outside of its %d elements", a.Name, i-guard, a.Len())
		}
	}
	return nil
}

// bits are the bit patterns of a buffer's elements: NaNs can be compared.
func bits(x any) []uint64 {
	var out []uint64
	switch x := x.(type) {
	case []float32:
		for _, v := range x {
			out = append(out, uint64(math.Float32bits(v)))
		}
	case []uint16:
		for _, v := range x {
			out = append(out, uint64(v))
		}
	case []int32:
		for _, v := range x {
			out = append(out, uint64(uint32(v)))
		}
	case []uint64:
		return x
	}
	return out
}

// floats are the elements between the guards of a buffer of real numbers.
func floats(x any) []float64 {
	var out []float64
	switch x := x.(type) {
	case []float32:
		for _, v := range x {
			out = append(out, float64(v))
		}
		return out[guardBytes/4 : len(out)-guardBytes/4]
	case []uint16:
		for _, v := range x {
			out = append(out, float64(kernels.F32FromBF16(v)))
		}
		return out[guardBytes/2 : len(out)-guardBytes/2]
	}
	panic("kerneltest: floats of integers")
}

func ints(x any) []int32 {
	v := x.([]int32)
	return v[guardBytes/4 : len(v)-guardBytes/4]
}

// same compares what two runs gave, bit for bit, scratch aside.
func (b *buffers) same(x, y map[string]any) error {
	for _, a := range b.args {
		if a.Nil || a.Dir == spec.Scratch {
			continue
		}
		p, q := bits(x[a.Name]), bits(y[a.Name])
		if !slices.Equal(p, q) {
			i := 0
			for p[i] == q[i] {
				i++
			}
			return fmt.Errorf("%s differs at %d: bits %x and %x", a.Name, i-(len(p)-a.Len())/2, p[i], q[i])
		}
	}
	return nil
}
