//go:build !cuda

package kernels_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
)

// cpu opens the CPU device with a number of threads.
func cpu(tb testing.TB, threads int) func() *kernels.Device {
	return func() *kernels.Device {
		d, err := kernels.OpenCPU(threads)
		if err != nil {
			tb.Fatal(err)
		}
		return d
	}
}

func TestCPU(t *testing.T) {
	kerneltest.TestDevice(t, cpu(t, 1), cpu(t, 2), cpu(t, 3), cpu(t, 7))
}

// A row of a product has the same bits whatever rows are beside it: few and many rows are multiplied in different ways.
func TestRowsOfAProductAlone(t *testing.T) {
	const o, i, most = 70, 1100, 300
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		for _, out := range []kernels.DType{kernels.F32, typ} {
			d := cpu(t, 2)()
			x, w := d.Alloc(typ, most, i), d.Alloc(typ, o, i)
			r := rand.New(rand.NewPCG(uint64(typ), uint64(out)))
			for _, a := range []kernels.Tensor{x, w} {
				d.Upload(a, normal(r, a.Len()))
			}
			product := func(lo, hi int) []float32 {
				y, host := d.Alloc(out, hi-lo, o), make([]float32, (hi-lo)*o)
				defer d.Free(y)
				d.Matmul(y, x.Rows(lo, hi), w, kernels.Tensor{})
				d.Download(host, y)
				return host
			}
			alone := product(most-1, most)
			for _, n := range []int{2, 16, 17, 32, 33, 255, 256, 257, most} {
				if got := product(most-n, most); !slices.Equal(got[(n-1)*o:], alone) {
					t.Errorf("%v to %v: the last of %d rows has other bits than alone", typ, out, n)
				}
			}
			if err := d.Sync(); err != nil {
				t.Error(err)
			}
			for _, a := range []kernels.Tensor{x, w} {
				d.Free(a)
			}
			d.Close()
		}
	}
}

// Memory that was used before is cleared, whatever its size: large blocks are given back to the system for it, their ends are not.
func TestAllocZero(t *testing.T) {
	d := cpu(t, 1)()
	defer d.Close()
	for _, n := range []int{1, 1000, 1 << 20, 1<<20 + 1, 3<<20 - 5} {
		for range 3 {
			x, host := d.AllocZero(kernels.F32, n), make([]float32, n)
			d.Download(host, x)
			for i, v := range host {
				if v != 0 {
					t.Fatalf("element %d of %d is %v", i, n, v)
				}
				host[i] = 1
			}
			d.Upload(x, host)
			d.Free(x)
		}
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func TestShapes(t *testing.T) { kerneltest.TestShapes(t, cpu(t, 1)) }

func BenchmarkCPU(b *testing.B) {
	kerneltest.Bench(b, cpu(b, 0))
}

// FuzzOps guards against an index or an extent of another program's making that ends the process: critique_loss wrote beside its logits for
// a target beyond the vocabulary.
func FuzzOps(f *testing.F) { kerneltest.Fuzz(f, cpu(f, 1)) }

// Bytes go in and out as they lie in memory, and beside the device, from another goroutine.
func TestBytes(t *testing.T) {
	d := cpu(t, 2)()
	defer d.Close()
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16, kernels.U8, kernels.U64} {
		x := d.Alloc(typ, 3, 5)
		host, free := kernels.HostAlloc(x.Bytes())
		if host == nil || len(host) != x.Bytes() {
			t.Fatal("no memory")
		}
		in, out := make([]byte, x.Bytes()), make([]byte, x.Bytes())
		for i := range in {
			in[i] = byte(37 * i)
		}
		d.UploadBytes(x, in)
		d.DownloadBytes(out, x)
		done := make(chan error)
		beside := d.Beside()
		go func() { done <- beside(host, x) }()
		if err := <-done; err != nil || string(out) != string(in) || string(host) != string(in) {
			t.Errorf("%v: %x, %x and %x, %v", typ, in, out, host, err)
		}
		row := make([]byte, x.Bytes()/3)
		if d.DownloadBytes(row, x.Rows(1, 2)); string(row) != string(in[len(row):2*len(row)]) {
			t.Errorf("%v: row %x", typ, row)
		}
		free()
		d.Free(x)
	}
	for _, call := range []func(){func() { d.UploadBytes(kernels.Tensor{}, make([]byte, 3)) }, func() { d.DownloadBytes(nil, d.Alloc(kernels.F32, 1)) }} {
		func() {
			defer func() {
				if s, _ := recover().(string); s != "kernels: upload bytes: lengths differ" && s != "kernels: download bytes: lengths differ" {
					t.Errorf("%q", s)
				}
			}()
			call()
		}()
	}
}
