package trainer

import (
	"context"
	"testing"

	"criticrm/cuda"
	"criticrm/model"
)

// TestFrozenActivations: layers below the lowest that is trained keep nothing for the backward pass, by the count of a dry run.
func TestFrozenActivations(t *testing.T) {
	work := map[int]int{}
	for _, layers := range []int{0, 2} {
		c := testConfig("")
		c.BF16, c.LastLayers, c.MaxSteps, c.BatchTokens = true, layers, 2, 0
		_, before, all := dry(t, c, model.Config{VocabSize: 512, HiddenSize: 1024, IntermediateSize: 4096, NumHiddenLayers: 16, NumAttentionHeads: 8, NumKeyValueHeads: 4,
			MaxPositionEmbeddings: 64, EOSTokenIDs: []int32{tinyEnd}})
		work[layers] = all.HighAllocated - before.Allocated
	}
	t.Logf("beside the parameters: %d KiB with 16 layers trained, %d KiB with two", work[0]>>10, work[2]>>10)
	if 2*work[2] > work[0] {
		t.Errorf("two of 16 layers trained take %d bytes of activations, all take %d: want less than half", work[2], work[0])
	}
}

// dry goes through a training on a device that counts memory: before holds the model, after has been through.
func dry(t *testing.T, c Config, config model.Config) (m *model.Model, before, after cuda.Stats) {
	t.Helper()
	d := cuda.Dry()
	m, err := model.Blank(d, config, c.optionsFor(config))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(); d.Close() })
	before, _ = cuda.StatsOf(d)
	if _, err := Train(context.Background(), m, pairs(24), c); err != nil {
		t.Fatal(err)
	}
	after, ok := cuda.StatsOf(d)
	if !ok {
		t.Fatal("the dry run counts no memory")
	}
	return m, before, after
}
