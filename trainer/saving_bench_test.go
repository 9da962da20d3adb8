package trainer

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

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
			b.Run("background", func(b *testing.B) { // the training's part; what follows is the disk's
				b.SetBytes(state)
				more := moreMemory(b)
				waits, copied := 0.0, 0.0
				for b.Loop() {
					r.st.Step++
					begun := time.Now()
					if beside, err := r.inBackground(); !beside || err != nil {
						b.Fatal("no memory for a copy")
					}
					if err := r.begin(); err != nil {
						b.Fatal(err)
					}
					waits += time.Since(begun).Seconds()
					<-r.writing.copied // in a run, while the next gradients are computed
					copied += time.Since(begun).Seconds()
					if err := r.collect(true); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(more(), "more-GiB")
				b.ReportMetric(1e3*waits/float64(b.N), "ms-waits")
				b.ReportMetric(1e3*copied/float64(b.N), "ms-copy")
				r.copy.giveBack()
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

// BenchmarkTrainingWaits trains the model for a few updates with checkpoints and without: how long the training waits for one, and how long
// an update takes with all of it.
//
//	go test ./trainer -run '^$' -bench BenchmarkTrainingWaits -benchtime 1x
func BenchmarkTrainingWaits(b *testing.B) {
	const every, saves = 6, 2
	for _, async := range []string{"none", AsyncNo, AsyncYes} {
		b.Run(async, func(b *testing.B) {
			for b.Loop() {
				c := Default()
				c.OutputDir, c.LoggingSteps, c.BatchSize, c.Accumulation, c.BatchTokens = b.TempDir(), 0, 16, 1, 512
				c.MaxSteps, c.SaveSteps, c.AsyncSave = every*(saves+1), every, async
				if async == "none" {
					c.OutputDir, c.AsyncSave = "", AsyncNo
				}
				ctx, cancel := context.WithCancel(context.Background())
				r := &run{m: trained(b, c), data: pairs(64), c: c, orderOf: -1, saved: -1}
				var begun time.Time
				r.report.OnStep = func(m Metrics) {
					switch m.Step {
					case 1:
						begun = time.Now()
					case c.MaxSteps - 1:
						b.ReportMetric(time.Since(begun).Seconds()/float64(c.MaxSteps-2), "s/update")
						b.ReportMetric(1e3*r.result.SaveSeconds/saves, "ms-waits/save")
						cancel()
					}
				}
				if err := r.train(ctx); !errors.Is(err, ErrInterrupted) {
					b.Fatal(err)
				}
			}
		})
	}
}
