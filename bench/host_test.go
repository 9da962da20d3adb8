//go:build cuda && emu

package bench

import (
	"context"
	"errors"
	"runtime"
	"syscall"
	"testing"
	"time"

	"criticrm/cuda"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/trainer"
)

// BenchmarkHost measures what the CPU does while a GPU would work, at the full size of models: the software GPU pretends, so that all Go,
// cgo and C++ runs up to the driver's calls, and those are counted. An iteration is a step of training, a batch of rewards, or a
// token of all sequences.
//
//	. build/cuda/env && go test -tags cuda,emu ./bench -run '^$' -bench BenchmarkHost -benchtime 100x -models Q05,L8
//
// µs are CPU time of the whole process and pass of time; the driver's own work on a launch (2 to 3 µs with NVIDIA's) is not in them.
func BenchmarkHost(b *testing.B) {
	for _, s := range sizes(b) {
		s.Prompt, s.Response, s.Critique = min(s.Prompt, 512), min(s.Response, 256), min(s.Critique, 128)
		for _, pairs := range []int{1, 16} {
			b.Run(s.Name+"/train_"+map[int]string{1: "1tree", 16: "16trees"}[pairs], func(b *testing.B) { s.hostTrain(b, pairs) })
		}
		b.Run(s.Name+"/score", s.hostScore)
		for _, n := range []int{32, 256} {
			b.Run(s.Name+"/generate_"+map[int]string{32: "32", 256: "256"}[n], func(b *testing.B) { s.hostGenerate(b, n) })
		}
	}
}

// pretended opens a device that only counts.
func pretended(b *testing.B) *kernels.Device {
	kernels.Pretend(true)
	d, err := cuda.Open(0, cuda.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := d.Sync(); err != nil {
			b.Error(err)
		}
		d.Close()
		kernels.Pretend(false)
	})
	return d
}

// blank makes a model without values.
func (s size) blank(b *testing.B, o model.Options) *model.Model {
	o.DType, o.Head = kernels.BF16, true
	m, err := model.Blank(pretended(b), s.Config, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	return m
}

func (s size) hostTrain(b *testing.B, pairs int) {
	m := s.blank(b, model.Options{Train: true})
	var data trainer.Slice
	for i := range 64 {
		data = append(data, s.example(uint64(i)))
	}
	const warm = 5
	c := trainer.Default()
	c.BF16, c.BatchSize, c.Accumulation, c.MaxSteps, c.LoggingSteps = true, pairs, 1, b.N+warm, 0
	w := watch{b: b}
	_, err := trainer.Train(context.Background(), m, data, c, trainer.WithReport(trainer.Report{OnStep: func(m trainer.Metrics) {
		switch m.Step {
		case warm:
			w.start()
		case b.N + warm:
			w.stop(b.N)
		}
	}}))
	if err != nil {
		b.Fatal(err)
	}
}

func (s size) hostScore(b *testing.B) {
	m, batch := s.blank(b, model.Options{}), s.rewarded()
	watched(b, func(n int) (err error) {
		for range n {
			_, _, e := m.Evaluate(batch)
			err = errors.Join(err, e)
		}
		return err
	})
}

func (s size) hostGenerate(b *testing.B, sequences int) {
	m := s.blank(b, model.Options{})
	watched(b, func(n int) error { return s.sample(m, sequences, n+1) })
}

// watched runs once to warm up, then for the benchmark.
func watched(b *testing.B, run func(n int) error) {
	if err := run(1); err != nil {
		b.Fatal(err)
	}
	w := watch{b: b}
	w.start()
	if err := run(b.N); err != nil {
		b.Fatal(err)
	}
	w.stop(b.N)
}

// watch reports what passes between start and stop, by iteration.
type watch struct {
	b     *testing.B
	at    time.Time
	cpu   time.Duration
	mem   runtime.MemStats
	asked kernels.Asked
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (w *watch) start() {
	runtime.GC()
	runtime.ReadMemStats(&w.mem)
	w.asked = kernels.AskedSince(kernels.Asked{})
	w.cpu, w.at = cpuTime(), time.Now()
}

func (w *watch) stop(n int) {
	wall, cpu := time.Since(w.at), cpuTime()-w.cpu
	a := kernels.AskedSince(w.asked)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	per := func(x float64, unit string) { w.b.ReportMetric(x/float64(n), unit) }
	w.b.ReportMetric(0, "ns/op")
	per(float64(wall.Microseconds()), "µs")
	per(float64(cpu.Microseconds()), "cpu-µs")
	per(float64(a.Launches), "launches")
	per(float64(a.Products), "products")
	per(float64(a.Copies+a.Fills), "fills")
	per(float64(a.Uploads), "uploads")
	per(float64(a.UploadBytes)/1e3, "up-kB")
	per(float64(a.Downloads), "downloads")
	per(float64(a.Waits), "waits")
	per(float64(mem.Mallocs-w.mem.Mallocs), "allocs")
	per(float64(mem.TotalAlloc-w.mem.TotalAlloc)/1e3, "alloc-kB")
}
