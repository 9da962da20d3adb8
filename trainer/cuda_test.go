//go:build cuda

package trainer

import (
	"context"
	"fmt"
	"math"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// headModel is a model with the head size of Llama's small relatives, so that the tensor-core kernels run.
func headModel(t *testing.T, dev *kernels.Device, c Config) *model.Model {
	t.Helper()
	return sharedHeadModel(t, dev, c, model.Sharding{})
}

// sharedHeadModel is headModel with its state divided among ranks.
func sharedHeadModel(t *testing.T, dev *kernels.Device, c Config, s model.Sharding) *model.Model {
	t.Helper()
	m, err := model.New(dev, model.Config{VocabSize: tinyVocab, HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2,
		HeadDim: 64, MaxPositionEmbeddings: 64, InitializerRange: 0.1, EOSTokenIDs: []int32{tinyEnd}}, model.Options{DType: c.dtype(), Train: true, Head: c.rewards(), Sharding: s}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// curve is the joint loss and the gradient norm of every step. nudge moves the first weights by so much of their size.
func curve(t *testing.T, dev *kernels.Device, bf16 bool, nudge float64, seed uint64) (x []float64) {
	t.Helper()
	c := testConfig("")
	c.BF16, c.BatchSize, c.BatchTokens, c.MaxSteps = bf16, 12, 180, 12
	m := headModel(t, dev, c)
	for i, p := range m.Params() {
		w := p.W
		if !p.Master.IsNil() {
			w = p.Master
		}
		values := make([]float32, w.Len())
		dev.Download(values, w)
		for j, v := range values {
			r := philox(seed, [4]uint32{uint32(i), uint32(j)})[0]
			values[j] = float32(float64(v) * (1 + nudge*(float64(r)/(1<<31)-1)))
		}
		dev.Upload(w, values)
		if w != p.W {
			dev.Upload(p.W, values)
		}
	}
	_, err := Train(context.Background(), m, pairs(100), c, WithReport(Report{OnStep: func(m Metrics) { x = append(x, m.Loss, m.GradNorm) }}))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// distance is the root mean square of the relative differences of two curves.
func distance(t *testing.T, x, y []float64) float64 {
	t.Helper()
	if len(x) == 0 || len(x) != len(y) {
		t.Fatalf("curves of %d and %d numbers", len(x), len(y))
	}
	sum := 0.0
	for i := range x {
		d := (x[i] - y[i]) / y[i]
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(x)))
}

// The loss curve is the CPU's. In float32 it may differ by twice what the CPU's own curve does when every weight moves by half a
// unit in its last place, the most of four tries; in bfloat16 it may be twice as far from the float32 curve as the CPU's is.
func TestLossCurve(t *testing.T) {
	cpu, err := kernels.OpenCPU(0)
	if err != nil {
		t.Fatal(err)
	}
	defer cpu.Close()
	exact := curve(t, cpu, false, 0, 0)
	for _, bf16 := range []bool{false, true} {
		t.Run(fmt.Sprintf("bf16=%v", bf16), func(t *testing.T) {
			tolerance := 0.0
			if bf16 {
				tolerance = 2 * distance(t, curve(t, cpu, true, 0, 0), exact)
			} else {
				for seed := range uint64(4) {
					tolerance = max(tolerance, 2*distance(t, curve(t, cpu, false, 1./(1<<24), seed), exact))
				}
			}
			got := distance(t, curve(t, devicetest.Open(t, 0), bf16, 0, 0), exact)
			if !(got <= tolerance) {
				t.Errorf("the curve is %.3g away, tolerance %.3g", got, tolerance)
			}
			t.Logf("away %.3g, tolerance %.3g", got, tolerance)
		})
	}
}
