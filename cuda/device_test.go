//go:build cuda && emu

package cuda

// These tests run the real Go code, the real gorgonia.org/cu and the real kernels on the software GPU: cuda:0 is as it should be, cuda:1
// has 256 MiB of memory, cuda:2 is too old.

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
)

func open(t testing.TB, ordinal int) *kernels.Device {
	t.Helper()
	d, err := Open(ordinal, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func ramp(n int, first float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = first + float32(i%4096)
	}
	return x
}

func sync1(t testing.TB, d *kernels.Device) {
	t.Helper()
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
}

func TestDevices(t *testing.T) {
	list, err := Devices()
	if err != nil || len(list) != 3 {
		t.Fatalf("%d devices: %v", len(list), err)
	}
	if got, want := list[0].String(), "cuda:0 software GPU, compute capability 8.0, 8.0 GiB, driver for CUDA 13.0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if list[0].Driver != 13000 || list[0].Err() != nil || list[1].Err() != nil {
		t.Errorf("devices 0 and 1 can be used: %+v", list)
	}
	for ordinal, want := range map[int]string{2: "cuda:2 (software GPU of old): compute capability 7.5 is too old", 3: "there is no cuda:3, this machine has 3", -1: "there is no cuda:-1"} {
		if _, err := Open(ordinal, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %d: %v, want %q", ordinal, err, want)
		}
	}
}

func TestKernels(t *testing.T) {
	kerneltest.TestWiring(t, func() *kernels.Device { return open(t, 0) })
}

// Small and large uploads and downloads, at odd places, far more than the ring of buffers holds, with nothing that waits between.
func TestCopies(t *testing.T) {
	d := open(t, 0)
	defer d.Close()
	for _, n := range []int{1, 15, 16, 17, 1000, slotBytes/4 - 1, slotBytes / 4, slotBytes/4 + 1, 3*slotBytes/4 + 5, (slotCount + 3) * slotBytes / 4} {
		x := ramp(n, float32(n%97))
		a, b := d.Alloc(kernels.F32, n), d.Alloc(kernels.F32, n)
		d.Upload(a, x)
		want := slices.Clone(x)
		clear(x) // the host's memory is free again
		d.Copy(b, a)
		d.Zero(a)
		got := make([]float32, n)
		d.Download(got, b)
		if !slices.Equal(got, want) {
			t.Errorf("%d numbers: not what was uploaded", n)
		}
		d.Download(got, a)
		if slices.Max(got) != 0 || slices.Min(got) != 0 {
			t.Errorf("%d numbers: not zero", n)
		}
		d.Free(a)
		d.Free(b)
	}
	all := d.Alloc(kernels.F32, 3000, 1000)
	for i := range 3000 { // 12 MB in pieces that do not end where a buffer does
		d.Upload(all.Rows(i, i+1), ramp(1000, float32(i)))
	}
	for range 8 {
		big := d.Alloc(kernels.F32, 5<<20)
		d.Upload(big, ramp(5<<20, 1)) // 160 MB, the ring goes round
		d.Free(big)
	}
	got := make([]float32, 3000*1000)
	d.Download(got, all)
	sync1(t, d)
	for i := range 3000 {
		if !slices.Equal(got[i*1000:(i+1)*1000], ramp(1000, float32(i))) {
			t.Fatalf("row %d is not what was uploaded", i)
		}
	}
}

// What is queued after a DownloadLater does not change it, and is not waited for.
func TestDownloadLater(t *testing.T) {
	d := open(t, 0)
	defer d.Close()
	a := d.Alloc(kernels.F32, 1000)
	d.Upload(a, ramp(1000, 1))
	first := d.DownloadLater(a)
	d.Upload(a, ramp(1000, 2))
	second := d.DownloadLater(a)
	d.Zero(a)
	if got := first(); !slices.Equal(got, ramp(1000, 1)) {
		t.Errorf("the first: %v…", got[:3])
	}
	if got := second(); !slices.Equal(got, ramp(1000, 2)) {
		t.Errorf("the second: %v…", got[:3])
	}
	m := d.Memory().(*memory)
	for range 3 {
		d.DownloadLater(a)()
	}
	if len(m.spare) != 2 {
		t.Errorf("%d buffers are kept, want the 2 that were in use at once", len(m.spare))
	}
	sync1(t, d)
}

// Without the waits the data is wrong here: the software GPU copies as late as it may, so the tests above would see a wait that
// is missing in the code.
func TestSeesMissingWaits(t *testing.T) {
	d := open(t, 0)
	defer d.Close()
	m := d.Memory().(*memory)
	const bytes = 1000
	p, err := m.Malloc(bytes)
	if err != nil {
		t.Fatal(err)
	}
	m.Clear(p, bytes)
	wait := m.CopyOutLater(p, bytes)
	wait(func(host unsafe.Pointer) { clear(bytesAt(host, 0, bytes)) })
	data := bytesOf(bytes, 7)
	m.CopyIn(p, unsafe.Pointer(&data[0]), bytes)
	buffer := m.spare[0]
	wait = m.CopyOutLater(p, bytes)
	if slices.Max(bytesAt(buffer.host, 0, bytes)) != 0 {
		t.Error("a download is there before anybody has waited")
	}
	wait(func(host unsafe.Pointer) {
		if !slices.Equal(bytesAt(host, 0, bytes), data) {
			t.Error("a download is not there after the wait")
		}
	})

	const ring = slotBytes * (slotCount + 2)
	if p, err = m.Malloc(ring); err != nil {
		t.Fatal(err)
	}
	data = bytesOf(ring, 3)
	for i := 0; i < ring; i += slotBytes / 2 {
		m.CopyIn(unsafe.Add(p, i), unsafe.Pointer(&data[i]), slotBytes/2)
		for k := range m.up.slots {
			m.up.slots[k].busy = false // nobody waits before it is filled again
		}
	}
	got := make([]byte, ring)
	m.CopyOut(unsafe.Pointer(&got[0]), p, ring)
	if slices.Equal(got, data) {
		t.Error("a ring that goes round without waiting gives the right data")
	}
	sync1(t, d)
}

func bytesOf(n, factor int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(1 + i*factor>>8%251)
	}
	return b
}

func TestFull(t *testing.T) {
	d := open(t, 1)
	defer d.Close()
	d.Free(d.Alloc(kernels.F32, 30<<20)) // 120 MiB are kept, and given up for the next
	a := d.Alloc(kernels.F32, 40<<20)
	try := func() (err error) {
		defer kernels.Recover(&err)
		d.Alloc(kernels.F32, 1000, 20<<10)
		return nil
	}
	err := try()
	var full kernels.OutOfMemory
	if !errors.As(err, &full) || !slices.Equal(full.Shape, []int{1000, 20 << 10}) {
		t.Fatalf("no room: %v", err)
	}
	for _, want := range []string{"cuda:1 (software GPU with little memory)", "asked for 78.1 MiB", "30.0 MiB free of 256.0 MiB", "uses 226.0 MiB", "--max_tokens_per_batch", "--max_sequences"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	d.Free(a)
	d.Free(d.Alloc(kernels.F32, 1000, 20<<10))
	sync1(t, d)
	if s, ok := StatsOf(d); !ok || s.HighAllocated != 226<<20 || s.Largest[0].Bytes != 160<<20 {
		t.Errorf("statistics: %+v", s)
	}
	if _, err := Open(1, Options{Workspace: 1 << 30}); err == nil || !strings.Contains(err.Error(), "asked for 1.0 GiB") {
		t.Errorf("a workspace without room: %v", err)
	}
}

// New memory is poisoned, as on the software GPU it should be, also where the pool hands it out again.
func TestPoison(t *testing.T) {
	d := open(t, 0)
	defer d.Close()
	a := d.Alloc(kernels.F32, 1000)
	d.Zero(a)
	d.Free(a)
	a = d.Alloc(kernels.F32, 1000)
	x := make([]float32, 1000)
	d.Download(x, a)
	if x[0] == x[0] || x[999] == x[999] {
		t.Errorf("memory that is used again reads %v, want NaN", x[0])
	}
}

// Faults stick until they are asked for, and nothing after them runs.
func TestFaults(t *testing.T) {
	d := open(t, 0)
	defer d.Close()
	m := d.Memory().(*memory)
	p, err := m.Malloc(smallPiece) // at the start of a segment
	if err != nil {
		t.Fatal(err)
	}
	m.CopyIn(unsafe.Add(p, smallSegment-4), unsafe.Pointer(&make([]byte, 8)[0]), 8)
	m.Clear(p, 4)
	if err := d.Sync(); err == nil || !strings.Contains(err.Error(), "upload: InvalidValue") || !strings.Contains(err.Error(), "of an allocation of") {
		t.Errorf("an upload to nowhere: %v", err)
	}
	sync1(t, d)
}

// Two devices and several goroutines: every call makes its own device current.
func TestTwoDevices(t *testing.T) {
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			d := open(t, i%2)
			defer d.Close()
			for round := range 20 {
				n := 1000 * (1 + round)
				a := d.Alloc(kernels.F32, n)
				d.Upload(a, ramp(n, float32(i)))
				runtime.Gosched()
				later := d.DownloadLater(a)
				d.Zero(a)
				if !slices.Equal(later(), ramp(n, float32(i))) {
					t.Errorf("goroutine %d, round %d: wrong data", i, round)
				}
				d.Free(a)
			}
			if err := d.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// What is copied beside the device's stream is what was there when it was asked for, while other work runs and memory comes and goes.
func TestBeside(t *testing.T) {
	d := open(t, 0)
	defer d.Close()
	const n = besideBytes/4 + 1001 // two pieces, the second of an odd size
	x, y := d.Alloc(kernels.F32, n), d.Alloc(kernels.F32, n)
	for round := range 3 {
		want := ramp(n, float32(round))
		d.Upload(x, want)
		d.Copy(y, x) // queued
		beside := d.Beside()
		if beside == nil {
			t.Fatal(d.Sync())
		}
		host := make([]byte, 4*n)
		done := make(chan error)
		go func() { done <- beside(host, y) }()
		for range 20 {
			z := d.Alloc(kernels.F32, 1<<20)
			d.Zero(x)
			d.Free(z)
		}
		if err := errors.Join(<-done, d.Sync()); err != nil {
			t.Fatal(err)
		}
		if got := unsafe.Slice((*float32)(unsafe.Pointer(&host[0])), n); !slices.Equal(got, want) {
			t.Fatalf("round %d: other numbers", round)
		}
	}
	beside := d.Beside()
	if err := beside(make([]byte, 4), d.Alloc(kernels.F32, 1)); err != nil {
		t.Error(err)
	}
}
