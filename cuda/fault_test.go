//go:build cuda && emu

package cuda_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/cuda"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/render"
	"criticrm/trainer"
)

// trainSmall trains a small model on eight documents, the sixth of which is long, in a directory, and calls onStep after each update.
func trainSmall(t *testing.T, dir, resume string, saveSteps int, onStep func(d *kernels.Device, step int)) error {
	t.Helper()
	var data trainer.Slice
	for i := range 8 {
		ids := make([]int32, 20)
		if i == 5 {
			ids = make([]int32, 900)
		}
		for j := range ids {
			ids[j] = int32(5 + (i+j*j)%30)
		}
		data = append(data, render.Example{Document: render.Branch{IDs: ids}})
	}
	c := trainer.Default()
	c.Method, c.DataOrder, c.BatchSize, c.Accumulation, c.Epochs, c.LearningRate = trainer.LM, "sequential", 1, 1, 1, 1e-2
	c.OutputDir, c.Resume, c.SaveSteps = dir, resume, saveSteps
	d := smallDevice(t)
	defer d.Close()
	m, err := small(t, d, model.Options{Train: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	_, err = trainer.Train(context.Background(), m, data, c, trainer.WithReport(trainer.Report{OnStep: func(s trainer.Metrics) { onStep(d, s.Step) }}))
	return err
}

func nothing(*kernels.Device, int) {}

// straight is the model of a run that nothing happens to, and resumed that of a run that goes on in dir.
func straight(t *testing.T) string { return resumed(t, t.TempDir(), "") }

func resumed(t *testing.T, dir, resume string) string {
	t.Helper()
	if err := trainSmall(t, dir, resume, 0, nothing); err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(filepath.Join(dir, "model", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return string(weights)
}

// A run that finds no memory for a step saves what it has, and goes on bit for bit.
func TestTrainOutOfMemory(t *testing.T) {
	want, dir := straight(t), t.TempDir()
	err := trainSmall(t, dir, "", 0, func(d *kernels.Device, step int) {
		if step == 3 {
			hog(d)
		}
	})
	var full kernels.OutOfMemory
	if !errors.As(err, &full) || !strings.Contains(err.Error(), "trainer: step 6: ") || !strings.Contains(err.Error(), "step-00000005, go on with resume: latest") {
		t.Errorf("a step without memory: %v", err)
	}
	if resumed(t, dir, "latest") != want {
		t.Error("the model differs from that of a run with enough memory")
	}
}

// A kernel that fails ends a run at once: the error has the kernel's words and the newest checkpoint, which is that of before the
// fault, and from it the run goes on bit for bit in another process.
func TestTrainFault(t *testing.T) {
	want := straight(t)
	for at, says := range map[int]string{3: "trainer: step 4: ", 4: "trainer: checkpoint of step 4: "} { // found by the next step, or by the save that follows
		dir := t.TempDir()
		err := trainSmall(t, dir, "", 2, func(d *kernels.Device, step int) {
			if step == at {
				out, table, id := d.Alloc(kernels.F32, 1, 64), d.Alloc(kernels.F32, 1, 64), d.Alloc(kernels.I32, 1)
				d.Upload(id, []int32{1 << 30})
				d.Embed(out, table, id) // a row far beyond the table
			}
		})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "which is not in device memory") || !strings.Contains(err.Error(), "step-00000002") {
			t.Errorf("a kernel that fails after step %d: %v", at, err)
		}
		// A process that opens the device again does not get it back, which the stand-in used to do: see kernels.Lost.
		var lost kernels.Lost
		if !errors.As(err, &lost) || !strings.Contains(err.Error(), "only a new process can use it again") {
			t.Errorf("the error does not say that the device is lost: %v", err)
		}
		if d, err := cuda.Open(1, cuda.Options{}); err == nil {
			d.Close()
			t.Error("a device is open again in the process that has lost it")
		}
		kernels.NewProcess()
		if path, step, err := checkpoint.Latest(filepath.Join(dir, "checkpoints")); err != nil || step != 2 || checkpoint.Verify(path) != nil {
			t.Errorf("the newest checkpoint is %s: %v", path, err)
		}
		if resumed(t, dir, "latest") != want {
			t.Error("the model differs from that of a run without a fault")
		}
	}
}
