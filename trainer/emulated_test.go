//go:build cuda && emu

package trainer

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/kernels"
)

// A run goes on with the algorithms for matrix products that it began with, also on a device that would choose others.
func TestResumeKeepsAlgorithms(t *testing.T) {
	data := pairs(27)
	train := func(c Config, algorithms string, stop int) *kernels.Device {
		t.Helper()
		dev := devicetest.Open(t, 0)
		if refused := dev.UseAlgorithms(algorithms); refused != "" {
			t.Fatal(refused)
		}
		m := headModel(t, dev, c)
		ctx, at := stopAfter(stop)
		if _, err := Train(ctx, m, data, c, at); err != nil && !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		return dev
	}
	config := func(name string) Config {
		c := testConfig(filepath.Join(t.TempDir(), name))
		c.MaxSteps = 6
		return c
	}
	chosen := train(config("probe"), "", 0).Algorithms()
	others := strings.ReplaceAll(chosen, ".4.2.", ".3.2.") // the third number is in how many parts a sum is split
	if others == chosen {
		t.Fatalf("nothing to change in:\n%s", chosen)
	}
	straight, broken, other := config("straight"), config("broken"), config("other")
	train(straight, others, 0)
	train(other, chosen, 0)
	train(broken, others, 3)
	broken.Resume = "latest"
	train(broken, "", 0)
	sameOutcome(t, straight.OutputDir, broken.OutputDir)
	_, x := outcome(t, straight.OutputDir)
	_, y := outcome(t, other.OutputDir)
	if x["model.safetensors"] == y["model.safetensors"] {
		t.Error("the other algorithms give the same bits, so the test shows nothing")
	}
}
