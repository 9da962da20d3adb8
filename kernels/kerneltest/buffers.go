package kerneltest

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"unsafe"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
)

// guardBytes lie before and after each buffer. They are as many as the alignment of an allocation, so that the buffer
// between them is aligned like one. A skewed case has so many elements more.
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

func newBuffers(dev *kernels.Device, op spec.Op, c spec.Case) *buffers {
	b := &buffers{dev, spec.Args(op), map[string]kernels.Tensor{}, map[string]kernels.Tensor{}, map[string]any{}}
	for _, a := range b.args {
		if a.Nil || a.Dir == spec.Aside {
			continue
		}
		guard := guardBytes/TypeOf(a, c.BF16).Size() + c.Skew
		bits := encode(a, c, guard)
		t := dev.Alloc(TypeOf(a, c.BF16), reflect.ValueOf(bits).Len())
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

// TypeOf is the type of an argument on a device.
func TypeOf(a spec.Arg, bf16 bool) kernels.DType {
	switch {
	case a.Type == spec.I32:
		return kernels.I32
	case a.Type == spec.U64:
		return kernels.U64
	case a.Type == spec.U8:
		return kernels.U8
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

// encode gives the buffer of an argument in its type on the device: guard, data (or poison), guard, the guards of so many elements.
func encode(a spec.Arg, c spec.Case, guard int) any {
	poisoned := a.Dir == spec.Out || a.Dir == spec.Scratch
	switch TypeOf(a, c.BF16) {
	case kernels.I32:
		data := a.Value.Interface().([]int32)
		return fenced(len(data), guard, int32(math.MinInt32), func(i int) int32 {
			if poisoned {
				return math.MinInt32 + 1
			}
			return data[i]
		})
	case kernels.U64:
		data := a.Value.Interface().([]uint64)
		return fenced(len(data), guard, uint64(guard32), func(i int) uint64 { return data[i] })
	case kernels.U8:
		data := a.Value.Interface().([]uint8)
		return fenced(len(data), guard, uint8(0x5a), func(i int) uint8 { return data[i] })
	case kernels.BF16:
		data := a.Floats()
		return fenced(len(data), guard, uint16(0x7fde), func(i int) uint16 {
			if poisoned {
				return 0x7fbe
			}
			return kernels.BF16FromF32(float32(data[i]))
		})
	}
	data := a.Floats()
	return fenced(len(data), guard, math.Float32frombits(guard32), func(i int) float32 {
		if poisoned {
			return math.Float32frombits(poison32)
		}
		return float32(data[i])
	})
}

func fenced[E any](n, fence int, guard E, at func(i int) E) []E {
	x := make([]E, n+2*fence)
	for i := range x {
		if x[i] = guard; i >= fence && i < fence+n {
			x[i] = at(i - fence)
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

// intact checks guards and inputs of what was sent.
func intact(args []spec.Arg, before, after map[string]any) error {
	for _, a := range args {
		if a.Nil || a.Dir == spec.Aside {
			continue
		}
		was, is := raw(before[a.Name]), raw(after[a.Name])
		size := reflect.TypeOf(before[a.Name]).Elem().Size()
		fence := (len(is) - a.Len()*int(size)) / 2
		if past := len(is) - fence; bytes.Equal(was[:fence], is[:fence]) && bytes.Equal(was[past:], is[past:]) && (a.Dir != spec.In || bytes.Equal(was, is)) {
			continue
		}
		sent, now := bits(before[a.Name]), bits(after[a.Name])
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

// raw is the memory of a buffer. Comparing it takes no time beside comparing elements, of which few buffers need it.
func raw(x any) []byte {
	v := reflect.ValueOf(x)
	return unsafe.Slice((*byte)(v.UnsafePointer()), v.Len()*int(v.Type().Elem().Size()))
}

// bits are the bit patterns of a buffer's elements: NaNs can be compared.
func bits(x any) []uint64 {
	switch x := x.(type) {
	case []float32:
		return widen(x, func(v float32) uint64 { return uint64(math.Float32bits(v)) })
	case []uint16:
		return widen(x, func(v uint16) uint64 { return uint64(v) })
	case []uint8:
		return widen(x, func(v uint8) uint64 { return uint64(v) })
	case []int32:
		return widen(x, func(v int32) uint64 { return uint64(uint32(v)) })
	}
	return x.([]uint64)
}

func widen[E any](x []E, f func(E) uint64) []uint64 {
	out := make([]uint64, len(x))
	for i, v := range x {
		out[i] = f(v)
	}
	return out
}

// floats are the n elements between the guards of a buffer of real numbers.
func floats(x any, n int) []float64 {
	out := make([]float64, n)
	switch x := x.(type) {
	case []float32:
		for i, v := range x[(len(x)-n)/2:][:n] {
			out[i] = float64(v)
		}
		return out
	case []uint16:
		for i, v := range x[(len(x)-n)/2:][:n] {
			out[i] = float64(kernels.F32FromBF16(v))
		}
		return out
	}
	panic("kerneltest: floats of integers")
}

func ints(x any, n int) []int32 {
	v := x.([]int32)
	return v[(len(v)-n)/2:][:n]
}

func bytesOf(x any, n int) []uint8 {
	v := x.([]uint8)
	return v[(len(v)-n)/2:][:n]
}

// same compares what two runs gave, bit for bit, scratch aside.
func (b *buffers) same(x, y map[string]any) error {
	for _, a := range b.args {
		if a.Nil || a.Dir == spec.Scratch || a.Dir == spec.Aside {
			continue
		}
		if !bytes.Equal(raw(x[a.Name]), raw(y[a.Name])) {
			p, q := bits(x[a.Name]), bits(y[a.Name])
			i := 0
			for p[i] == q[i] {
				i++
			}
			return fmt.Errorf("%s differs at %d: bits %x and %x", a.Name, i-(len(p)-a.Len())/2, p[i], q[i])
		}
	}
	return nil
}
