//go:build cuda

package cuda_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"criticrm/cuda"
	"criticrm/kernels"
)

// Probes ask a device about faults that other tests do not show. bench/gpu.sh runs them first; without a GPU they run on the software
// GPU, which has been taught the faults.

func probed(t *testing.T) *kernels.Device {
	t.Helper()
	list, err := cuda.Devices()
	if err != nil || len(list) == 0 {
		t.Skip("there is no device: ", err)
	}
	d, err := cuda.Open(0, cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// filled is a new tensor with one value everywhere, so small an integer that bfloat16 has it.
func filled(d *kernels.Device, typ kernels.DType, value float32, shape ...int) kernels.Tensor {
	m := d.Alloc(typ, shape...)
	x := make([]float32, m.Len())
	for i := range x {
		x[i] = value
	}
	d.Upload(m, x)
	return m
}

// The fault: ops on an OS thread that has made no CUDA call yet. The runtime binds a context at the first launch, but cuBLASLt, which
// calls the driver, finds none.
func TestFreshThread(t *testing.T) {
	d := probed(t)
	const n, threads = 64, 32
	x, y := filled(d, kernels.BF16, 1, n, n), filled(d, kernels.BF16, 0, n, n)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	// So many threads at once that most of them are new.
	var locked, done sync.WaitGroup
	var one sync.Mutex
	locked.Add(threads)
	for range threads {
		done.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			locked.Done()
			locked.Wait()
			one.Lock()
			defer one.Unlock()
			d.Matmul(y, x, x, kernels.Tensor{})
		})
	}
	done.Wait()
	out := make([]float32, n*n)
	d.Download(out, y)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	if out[0] != n || out[n*n-1] != n {
		t.Errorf("a product of ones is %v and %v, want %d", out[0], out[n*n-1], n)
	}
}

// The fault: cuBLASLt splits the inner size of a product and leaves out its last K % 64 values. A product of ones must be K. The weights'
// gradient adds over tokens, any number of them; the algorithm is chosen for a rounded number and must be right for the exact one.
func TestTail(t *testing.T) {
	d := probed(t)
	small := strings.Contains(d.String(), "software GPU")
	type widths struct{ out, in int }
	shapes, blocks := []widths{{896, 896}, {1152, 896}, {64, 8}}, []int{}
	for q := 1; q <= 256; q += 1 + q/32 {
		blocks = append(blocks, q)
	}
	if small {
		shapes, blocks = []widths{{24, 32}}, []int{1, 2, 3, 4, 5, 8, 12}
	}
	for _, w := range shapes {
		most := 64*blocks[len(blocks)-1] + 9
		dy, x, dw := filled(d, kernels.BF16, 1, most, w.out), filled(d, kernels.BF16, 1, most, w.in), d.Alloc(kernels.F32, w.out, w.in)
		wide, narrow, y := filled(d, kernels.BF16, 1, w.out, most), filled(d, kernels.BF16, 1, w.in, most), d.Alloc(kernels.F32, w.out, w.in)
		got := make([]float32, w.out*w.in)
		wrong := 0
		check := func(what string, k int, m kernels.Tensor) {
			d.Download(got, m)
			for i, v := range got {
				if v != float32(k) {
					wrong++
					t.Errorf("%s of ones, %d×%d over %d: element %d is %v", what, w.out, w.in, k, i, v)
					break
				}
			}
		}
		for _, q := range blocks {
			for tail := range 10 {
				k := 64*q + tail
				d.Zero(dw)
				d.MatmulDW(dw, dy.View(k, w.out), x.View(k, w.in))
				check("dw", k, dw)
				if k%2 == 0 {
					d.Matmul(y, wide.View(w.out, k), narrow.View(w.in, k), kernels.Tensor{})
					check("y", k, y)
				}
			}
			if wrong > 20 {
				t.Fatal("and so on")
			}
		}
		for _, m := range []kernels.Tensor{dy, x, dw, wide, narrow, y} {
			d.Free(m)
		}
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	t.Logf("algorithms:\n%s", d.Algorithms())
}

// Products at the size of real models, which no case of the specification has: elements here and there against float64, and twice the
// same bits. The sums are of n numbers in float32, each of at most 1 in size: n·2⁻²³ of their sizes' sum is twice the worst case's half.
func TestSampled(t *testing.T) {
	d := probed(t)
	n, o, i := 16640, 4864, 896
	if strings.Contains(d.String(), "software GPU") {
		n, o, i = 130, 72, 40
	}
	r := rand.New(rand.NewPCG(7, 1))
	random := func(rows, cols int) (kernels.Tensor, []float32) {
		m, x := d.Alloc(kernels.BF16, rows, cols), make([]float32, rows*cols)
		for j := range x {
			x[j] = kernels.F32FromBF16(kernels.BF16FromF32(2*r.Float32() - 1))
		}
		d.Upload(m, x)
		return m, x
	}
	x, hx := random(n, i)
	w, hw := random(o, i)
	dy, hdy := random(n, o)
	y, dw := d.Alloc(kernels.F32, n, o), d.Alloc(kernels.F32, o, i)
	hy, hdw := [2][]float32{make([]float32, n*o), make([]float32, n*o)}, [2][]float32{make([]float32, o*i), make([]float32, o*i)}
	for run := range 2 {
		d.Matmul(y, x, w, kernels.Tensor{})
		d.Zero(dw)
		d.MatmulDW(dw, dy, x)
		d.Download(hy[run], y)
		d.Download(hdw[run], dw)
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(hy[0], hy[1]) || !slices.Equal(hdw[0], hdw[1]) {
		t.Error("the second run has other bits")
	}
	check := func(what string, got float32, terms int, term func(k int) float64) {
		sum, size := 0.0, 0.0
		for k := range terms {
			sum, size = sum+term(k), size+math.Abs(term(k))
		}
		if !(math.Abs(float64(got)-sum) <= float64(terms)*size/(1<<23)) {
			t.Errorf("%s is %v, want %v", what, got, sum)
		}
	}
	for range 1000 {
		a, b, c := r.IntN(n), r.IntN(o), r.IntN(i)
		check(fmt.Sprintf("y[%d, %d]", a, b), hy[0][a*o+b], i, func(k int) float64 { return float64(hx[a*i+k]) * float64(hw[b*i+k]) })
		check(fmt.Sprintf("dw[%d, %d]", b, c), hdw[0][b*i+c], n, func(k int) float64 { return float64(hdy[k*o+b]) * float64(hx[k*i+c]) })
	}
}

// The fault: half of the workspace less the ops' own part was 2 KiB less than 32 MiB, and algorithms that want just that were refused.
func TestWorkspace(t *testing.T) {
	if text, _, _ := strings.Cut(probed(t).Algorithms(), "\n"); !strings.HasSuffix(text, " workspace 33554432") {
		t.Errorf("cuBLASLt has another workspace than 32 MiB: %s", text)
	}
}
