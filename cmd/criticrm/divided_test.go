package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"criticrm/checkpoint"
	"criticrm/kernels"
)

// TestDivided: processes that divide masters and moments, gradients, or weights among them have the losses of one alone, up to rounding; two runs
// have the same bytes; and what was stopped goes on with another number of processes and another stage, from the same place in the data.
func TestDivided(t *testing.T) {
	needsRanks(t)
	dir, args := ranked(t)
	if _, errs := must(t, args("alone", 1, "--zero_stage", "1")...); !strings.Contains(errs, "zero_stage 1 divides nothing: there is one process") {
		t.Errorf("%s", errs)
	}
	alone := steps(t, filepath.Join(dir, "alone"))
	weights := func(run string) string { return readFile(t, filepath.Join(dir, run, "model", "model.safetensors")) }
	for stage := 1; stage <= 3; stage++ {
		ranks := [][]int{{2}, {3}, {2, 3}}[stage-1]
		for _, n := range ranks {
			name := fmt.Sprintf("stage%d-%d", stage, n)
			must(t, args(name, n, "--zero_stage", fmt.Sprint(stage))...)
			near(t, name, steps(t, filepath.Join(dir, name)), alone, 1e-4)
		}
		again := fmt.Sprintf("again%d", stage)
		must(t, args(again, ranks[0], "--zero_stage", fmt.Sprint(stage))...)
		if weights(again) != weights(fmt.Sprintf("stage%d-%d", stage, ranks[0])) {
			t.Errorf("stage %d: two runs differ", stage)
		}
	}
	metrics := filepath.Join(dir, "moved", "metrics.jsonl")
	for i, n := range []int{4, 2, 3, 1} {
		before := countLines(metrics)
		code := signalled(t, syscall.SIGTERM, func() bool { return countLines(metrics) >= before+6 }, nil,
			args("moved", n, "--resume", "auto", "--zero_stage", fmt.Sprint([]int{2, 3, 1, 0}[i]))...)
		if code != 143 {
			t.Fatalf("exit code %d of %d processes after SIGTERM", code, n)
		}
	}
	must(t, args("moved", 2, "--resume", "latest", "--zero_stage", "3")...)
	near(t, "moved", steps(t, filepath.Join(dir, "moved")), alone, 1e-4)
}

// TestDividedMasters: the final model in float32 of a bfloat16 run has the masters of all processes, which are nearly those of one alone, and are not
// its rounded weights.
func TestDividedMasters(t *testing.T) {
	needsRanks(t)
	dir, args := ranked(t)
	more := []string{"--max_steps", "8", "--bf16", "--save_dtype", "float32"}
	must(t, args("alone", 1, more...)...)
	read := func(run, name string) []float32 {
		d, err := checkpoint.OpenModelDir(filepath.Join(dir, run, "model"))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		x, err := d.ReadF32(name)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for stage := 1; stage <= 3; stage++ {
		run := fmt.Sprint("masters", stage)
		must(t, args(run, 3, append(more, "--zero_stage", fmt.Sprint(stage))...)...)
		for _, name := range []string{"model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight", "model.layers.1.self_attn.k_proj.weight", "model.norm.weight"} {
			want, fine := read("alone", name), 0
			for i, x := range read(run, name) {
				if math.Abs(float64(x-want[i])) > 0.02 {
					t.Fatalf("stage %d: element %d of %s is %v, alone %v", stage, i, name, x, want[i])
				}
				if kernels.F32FromBF16(kernels.BF16FromF32(x)) != x {
					fine++
				}
			}
			if fine < len(want)/2 {
				t.Errorf("stage %d: %d of %d elements of %s are more than bfloat16", stage, fine, len(want), name)
			}
		}
	}
}

// TestDividedKinds: bfloat16 with and without masters, moments of 8 bits, an adapter, and gradient checkpointing, divided, are what they are for one
// process, up to rounding; and what does not go together is refused.
func TestDividedKinds(t *testing.T) {
	needsRanks(t)
	dir, args := ranked(t)
	for name, x := range map[string]struct {
		stages []int
		within float64
		more   []string
	}{
		"bf16":       {[]int{1, 2, 3}, 3e-2, []string{"--bf16"}},
		"stochastic": {[]int{2}, 5e-2, []string{"--bf16", "--stochastic_rounding", "--lr", "0.001"}},
		"8bit":       {[]int{1, 3}, 1e-3, []string{"--optim", "adamw_8bit", "--lr", "0.001"}},
		"lora":       {[]int{1, 2}, 1e-4, []string{"--lora_r", "4"}},
		"again":      {[]int{3}, 1e-4, []string{"--gradient_checkpointing", "--load_best_model_at_end", "--eval_steps", "8"}},
		"frozen":     {[]int{2}, 1e-4, []string{"--freeze_trainable_layers", "1"}},
		"small":      {[]int{2, 3}, 1e-4, []string{"--max_tokens_per_batch", "200"}},
	} {
		more := append([]string{"--max_steps", "16"}, x.more...)
		must(t, args(name, 1, more...)...)
		want := steps(t, filepath.Join(dir, name))
		for _, stage := range x.stages {
			run := fmt.Sprint(name, stage)
			must(t, args(run, 2, append(more, "--zero_stage", fmt.Sprint(stage))...)...)
			near(t, run, steps(t, filepath.Join(dir, run)), want, x.within)
		}
	}
	for want, more := range map[string][]string{
		"gradient_sum: tree adds whole gradients, and zero_stage 2 divides them": {"--zero_stage", "2", "--gradient_sum", "tree"},
		"stage 3 divides weights that are trained, and some stay as they are":    {"--zero_stage", "3", "--lora_r", "4"},
		"zero_stage: got 4, want from 0 to 3":                                    {"--zero_stage", "4"},
	} {
		code, _, errs := command(t, args("refused", 2, more...)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: %d: %s", more, code, errs)
		}
	}
}
