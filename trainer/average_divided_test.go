package trainer

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"criticrm/kernels"
	"criticrm/model"
)

// averagingRank names the stage at which TestAveragingRank is a rank of TestAverageDivided.
const averagingRank = "CRITICRM_TEST_AVERAGING_STAGE"

// averagingConfig has what makes the stages equal to the bit: no clipping, whose norm is added by parts, and one micro-batch of each rank.
func averagingConfig(stage int, bf16 bool) Config {
	c := testConfig("")
	c.ZeroStage, c.BatchTokens, c.MaxSteps, c.BatchSize, c.Accumulation, c.MaxGradNorm, c.BF16 = stage, 120, 8, 6, 1, 0, bf16
	c.SaveSteps, c.SaveTotalLimit, c.Average = 2, 3, 3
	return c
}

// The mean of the last checkpoints of ranks that divide the state is, to the bit, that of ranks that do not, and that which one process makes of the same
// checkpoints; it is measured.
func TestAverageDivided(t *testing.T) {
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, kind := range []string{"", "bf16"} {
		var want []byte
		for stage := range 4 {
			dir := filepath.Join(t.TempDir(), "run")
			twoRanks(t, "TestAveragingRank", averagingRank+"="+kind+strconv.Itoa(stage), rankDir+"="+dir)
			got, err := os.ReadFile(filepath.Join(dir, "model", "model.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			if stage == 0 {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s stage %d: the model is not that of stage 0", kind, stage)
			}
			metrics, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
			if n := strings.Count(string(metrics), `"averaged_eval_loss"`); err != nil || n != map[bool]int{true: 1}[stage > 0] {
				t.Errorf("%s stage %d: measured %d times, %v", kind, stage, n, err)
			}
			alone := dividedModel(t, dev, averagingConfig(0, kind != ""), nil)
			steps, err := AverageLast(alone, filepath.Join(dir, "model"), 3)
			if err != nil || !slices.Equal(steps, []int{4, 6, 8}) {
				t.Errorf("%s stage %d: %v, %v", kind, stage, steps, err)
			}
			saved, err := model.Load(dev, filepath.Join(dir, "model"), model.Options{DType: alone.DType(), Head: true})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(weights(alone), weights(saved)) {
				t.Errorf("%s stage %d: one process makes another mean of the checkpoints", kind, stage)
			}
			saved.Close()
			alone.Close()
		}
	}
}

// TestAveragingRank is a rank of TestAverageDivided. Alone it does nothing.
func TestAveragingRank(t *testing.T) {
	kind, bf16 := strings.CutPrefix(os.Getenv(averagingRank), "bf16")
	stage, err := strconv.Atoi(kind)
	if err != nil {
		t.Skip("for TestAverageDivided only")
	}
	dev, g := asOneRank(t)
	c := averagingConfig(stage, bf16)
	c.OutputDir = os.Getenv(rankDir)
	m := dividedModel(t, dev, c, g)
	defer m.Close()
	res, err := Train(t.Context(), m, pairs(24), c, WithGroup(g), WithEval(pairs(30)[24:]))
	if err != nil || stage > 0 && !slices.Equal(res.Averaged, []int{4, 6, 8}) {
		t.Fatalf("%v, %v", res.Averaged, err)
	}
	if res.MicroBatches != 2*res.Steps {
		t.Fatalf("%d micro-batches in %d updates, want one of each rank", res.MicroBatches, res.Steps)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}
