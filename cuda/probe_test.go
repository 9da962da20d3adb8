//go:build cuda

package cuda_test

import (
	"runtime"
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

// The fault: half of the workspace less the ops' own part was 2 KiB less than 32 MiB, and algorithms that want just that were refused.
func TestWorkspace(t *testing.T) {
	if text, _, _ := strings.Cut(probed(t).Algorithms(), "\n"); !strings.HasSuffix(text, " workspace 33554432") {
		t.Errorf("cuBLASLt has another workspace than 32 MiB: %s", text)
	}
}
