package trainer

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// smol is the shape of SmolLM2-135M.
var smol = model.Config{ModelType: "llama", VocabSize: 49152, HiddenSize: 576, IntermediateSize: 1536, NumHiddenLayers: 30, NumAttentionHeads: 9, NumKeyValueHeads: 3,
	MaxPositionEmbeddings: 2048, InitializerRange: 0.04, TieWordEmbeddings: true}

// BenchmarkSaving saves and loads the state of a run with a model of 135 million parameters: bytes of the state by the second, the most
// memory that the process holds meanwhile beyond what it held before, and, in the background, how long the training waits.
//
//	go test ./trainer -run '^$' -bench BenchmarkSaving -benchtime 3x
func BenchmarkSaving(b *testing.B) {
	for _, kind := range []string{"f32", "bf16"} {
		b.Run(kind, func(b *testing.B) {
			c := Default()
			c.BF16, c.OutputDir = kind == "bf16", b.TempDir()
			m := trained(b, c)
			store, err := checkpoint.Open(c.OutputDir)
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			r := &run{m: m, c: c, saved: -1, store: store}
			state := int64(SpaceOf(m, c, Plan{}).Checkpoint)
			b.Run("save", func(b *testing.B) {
				b.SetBytes(state)
				more := moreMemory(b)
				for b.Loop() {
					r.st.Step++
					if err := r.save(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(more(), "more-GiB")
				if manifest, err := checkpoint.ReadManifest(r.result.Checkpoint); err == nil {
					stored, raw := manifest.Sizes()
					b.ReportMetric(float64(raw)/float64(stored), "ratio")
				}
			})
			b.Run("load", func(b *testing.B) {
				b.SetBytes(state)
				more := moreMemory(b)
				for b.Loop() {
					var to *restore
					begin := func(manifest *checkpoint.Manifest) (err error) {
						to, err = newRestore(m, manifest)
						return err
					}
					if err := checkpoint.LoadEach(r.result.Checkpoint, begin, func(p checkpoint.Piece, data []byte) error { return to.piece(p, data) }); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(more(), "more-GiB")
			})
		})
	}
}

// trained is a model of random weights with moments as training leaves them.
func trained(tb testing.TB, c Config) *model.Model {
	m, err := model.New(devicetest.Open(tb, runtime.GOMAXPROCS(0)), smol, c.options(), 1)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.Close)
	rng := rand.New(rand.NewPCG(1, 2))
	first, second := make([]float32, 1<<20), make([]float32, 1<<20)
	for i := range first {
		first[i] = float32(1e-4 * rng.NormFloat64())
		second[i] = first[i] * first[i]
	}
	for _, p := range m.Params() {
		for _, x := range []struct {
			t    kernels.Tensor
			from []float32
		}{{p.M, first}, {p.V, second}} {
			flat := x.t.View(x.t.Len())
			for at := 0; at < flat.Len(); at += len(first) {
				part := flat.Rows(at, min(at+len(first), flat.Len()))
				m.Dev.Upload(part, x.from[:part.Len()])
			}
		}
	}
	return m
}

// moreMemory gives the function that says how many GiB the process held at most beyond what it holds now.
func moreMemory(tb testing.TB) func() float64 {
	debug.FreeOSMemory()
	before := statusOf(tb, "VmRSS:")
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		tb.Logf("the peak of the memory is that since the process began: %v", err)
	}
	return func() float64 { return (statusOf(tb, "VmHWM:") - before) / (1 << 20) }
}

// statusOf is a line of the process's status, in KiB; NaN where the system has none.
func statusOf(tb testing.TB, name string) float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return math.NaN()
	}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == name {
			n, _ := strconv.ParseFloat(string(f[1]), 64)
			return n
		}
	}
	return math.NaN()
}
