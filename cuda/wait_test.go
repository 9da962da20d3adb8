//go:build cuda && emu

package cuda_test

import (
	"context"
	"reflect"
	"testing"

	"criticrm/cuda"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/render"
	"criticrm/trainer"
)

func asked() kernels.Asked { return kernels.AskedSince(kernels.Asked{}) }

// examples are pairs of 21 tokens.
func examples(n int) (data trainer.Slice) {
	for i := range n {
		ids := func(n int) []int32 {
			x := make([]int32, n)
			for j := range x {
				x[j] = int32(5 + (i*7+j*j)%30)
			}
			return x
		}
		e := render.Example{Prompt: ids(3)}
		for _, side := range []*render.Reply{&e.Chosen, &e.Rejected} {
			side.Response.IDs = ids(4)
			side.Critiques = []render.Branch{{IDs: ids(5), Read: 4}}
		}
		data = append(data, e)
	}
	return data
}

// Training waits for the figures of the step before and for nothing else, and never until the device has no more work: steps of several
// micro-batches run without a gap. The figures are small.
func TestTrainingWaits(t *testing.T) {
	d := smallDevice(t)
	defer d.Close()
	m, err := small(t, d, model.Options{Train: true, Head: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	data := examples(40)
	const steps, micro = 10, 2
	c := trainer.Default()
	c.BatchSize, c.Accumulation, c.BatchTokens, c.MaxSteps, c.OutputDir = 4, 1, 42, steps, ""
	at := map[int]kernels.Asked{}
	_, err = trainer.Train(context.Background(), m, data, c, trainer.WithReport(trainer.Report{OnStep: func(s trainer.Metrics) { at[s.Step] = asked() }}))
	if err != nil {
		t.Fatal(err)
	}
	for step := 3; step < steps; step++ { // the last one is read when nothing else is left to do
		got := at[step]
		was := at[step-1]
		waits, drains, downloads, bytes := got.Waits-was.Waits, got.Drains-was.Drains, got.Downloads-was.Downloads, got.DownloadBytes-was.DownloadBytes
		if waits != micro+1 || drains != 0 || downloads != micro+1 || bytes > 200 { // the losses, the rewards, the norm
			t.Errorf("step %d: %d waits, after %d of which the device had nothing to do, %d downloads of %d bytes; want %d, 0 and %d of a few numbers", step, waits, drains, downloads, bytes, micro+1, micro+1)
		}
	}
	// Nothing waits while a step is queued.
	var b model.Batch
	b.Open([]int32{5, 6, 7, 8})
	b.Close()
	b.Row, b.Target, b.Weight = []int32{0, 1, 2}, []int32{6, 7, 8}, []float32{1, 1, 1}
	queue := func() func() model.Losses {
		m.ZeroGrad()
		losses, err := m.TrainStepLater(&b, model.LossOptions{Lambda: 1, TokenScale: 1. / 3})
		if err != nil {
			t.Fatal(err)
		}
		m.GradNorm()
		return losses
	}
	queue()()
	was := asked()
	losses := queue()
	if now := kernels.AskedSince(was); now.Waits != 0 || now.Uploads == 0 || now.Launches == 0 || now.Downloads != 1 {
		t.Errorf("while a step is queued: %+v, want no waits, and one download", now)
	}
	losses()
	if now := kernels.AskedSince(was); now.Waits != 1 || now.Drains != 0 {
		t.Errorf("when the losses are read: %+v, want one wait, and the backward pass still to run", now)
	}
}

// Generation uploads once, waits once and downloads a few numbers for each token, of all sequences together; keys go up when others run.
func TestGenerationWaits(t *testing.T) {
	d := smallDevice(t)
	defer d.Close()
	m, err := small(t, d, model.Options{Head: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const sequences, tokens = 6, 30
	reqs := []model.GenRequest{{Prefix: []int32{1, 7, 9}, N: sequences / 2, Key: 1}, {Prefix: []int32{1, 7, 8}, N: sequences / 2, Key: 2}}
	run := func(tokens int) kernels.Asked {
		was := asked()
		err := m.Generate(context.Background(), reqs, model.GenOptions{Temperature: 1, MaxTokens: tokens, Reward: model.AtEnd}, func(int, []model.GenSample) {})
		if err != nil {
			t.Fatal(err)
		}
		return kernels.AskedSince(was)
	}
	run(tokens)
	short, long := run(tokens/2), run(tokens)
	const steps = tokens - tokens/2
	if waits, up, down, bytes := long.Waits-short.Waits, long.Uploads-short.Uploads, long.Downloads-short.Downloads, long.DownloadBytes-short.DownloadBytes; waits != steps || up != steps || down != steps || bytes != 12*sequences*steps {
		t.Errorf("%d more tokens of each sequence: %d waits, %d uploads, %d downloads of %d bytes", steps, waits, up, down, bytes)
	}
}

// A dry run takes the memory that the run takes, to the byte; here of a model with a real one's widths.
func TestDry(t *testing.T) {
	kernels.Pretend(true)
	defer kernels.Pretend(false)
	data := examples(60)
	data[40].Prompt = make([]int32, 2000) // longer than all before
	run := func(d *kernels.Device, checkpointing bool) cuda.Stats {
		defer d.Close()
		m, err := model.Blank(d, model.Config{VocabSize: 150000, HiddenSize: 896, IntermediateSize: 4864, NumHiddenLayers: 3, NumAttentionHeads: 14, NumKeyValueHeads: 2,
			MaxPositionEmbeddings: 4096, EOSTokenIDs: []int32{4}}, model.Options{Train: true, Head: true, GradientCheckpointing: checkpointing})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		c := trainer.Default()
		c.BatchSize, c.Accumulation, c.BatchTokens, c.Epochs, c.DataOrder, c.OutputDir = 4, 1, 64, 1, "sequential", ""
		if _, err := trainer.Train(context.Background(), m, data, c, trainer.WithEval(data[:50])); err != nil {
			t.Fatal(err)
		}
		s, _ := cuda.StatsOf(d)
		return s
	}
	for _, checkpointing := range []bool{false, true} {
		real, dry := run(smallDevice(t), checkpointing), run(cuda.Dry(), checkpointing)
		if !reflect.DeepEqual(real, dry) || real.HighAllocated < 3<<30 {
			t.Errorf("a run takes %+v, dry %+v", real, dry)
		}
	}
}
