//go:build cuda

package cuda_test

import (
	"runtime"
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
