//go:build cuda && emu

package cuda_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/trainer"
)

// A kernel that fails ends a run at once: the error has the kernel's words and the newest checkpoint, which is that of before the
// fault, and from it the run goes on bit for bit, in another process or with the device opened again.
func TestTrainFault(t *testing.T) {
	var data trainer.Slice
	for i := range 8 {
		ids := make([]int32, 20)
		for j := range ids {
			ids[j] = int32(5 + (i+j*j)%30)
		}
		data = append(data, trainer.Example{Document: trainer.Branch{IDs: ids}})
	}
	c := trainer.Default()
	c.Method, c.DataOrder, c.BatchSize, c.Accumulation, c.Epochs, c.LearningRate, c.SaveSteps = trainer.LM, "sequential", 1, 1, 1, 1e-2, 2
	train := func(dir, resume string, fault int) error {
		c.OutputDir, c.Resume = dir, resume
		d := smallDevice(t)
		defer d.Close()
		m, err := small(t, d, model.Options{Train: true})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		_, err = trainer.Train(context.Background(), m, data, c, trainer.WithReport(trainer.Report{OnStep: func(s trainer.Metrics) {
			if s.Step == fault {
				out, table, id := d.Alloc(kernels.F32, 1, 64), d.Alloc(kernels.F32, 1, 64), d.Alloc(kernels.I32, 1)
				d.Upload(id, []int32{1 << 30})
				d.Embed(out, table, id) // a row far beyond the table
			}
		}}))
		return err
	}
	straight := t.TempDir()
	if err := train(straight, "", 0); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(straight, "model", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for at, says := range map[int]string{3: "trainer: step 4: ", 4: "trainer: checkpoint of step 4: "} { // found by the next step, or by the save that follows
		broken := t.TempDir()
		err = train(broken, "", at)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "which is not in device memory") || !strings.Contains(err.Error(), "step-00000002") {
			t.Errorf("a kernel that fails after step %d: %v", at, err)
		}
		if path, step, err := checkpoint.Latest(filepath.Join(broken, "checkpoints")); err != nil || step != 2 || checkpoint.Verify(path) != nil {
			t.Errorf("the newest checkpoint is %s: %v", path, err)
		}
		if err := train(broken, "latest", 0); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(broken, "model", "model.safetensors")); err != nil || string(got) != string(want) {
			t.Errorf("the model differs from that of a run without a fault, %v", err)
		}
	}
}
