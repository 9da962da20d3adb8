package trainer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/internal/golden"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/render"
)

// TestPEFTParity: adapters that PEFT has written have the rewards that transformers and PEFT compute, and 20 updates of a Bradley–Terry
// training have the losses of torch's AdamW.
func TestPEFTParity(t *testing.T) {
	set := golden.Repository(t)
	for _, name := range set.Adapters {
		dir := set.Dir(name)
		file, err := checkpoint.OpenSafetensors(filepath.Join(dir, "reference.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		ids := func(name string) (out []int32) {
			x, err := file.ReadInts(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range x {
				out = append(out, int32(v))
			}
			return out
		}
		floats := func(name string) []float32 {
			x, err := file.ReadF32(name)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		m, err := model.Load(devicetest.Open(t, 0), dir, model.Options{Train: true})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var data Slice
		b := &model.Batch{}
		for p := range 2 {
			e := render.Example{ID: fmt.Sprint(p), Prompt: ids(fmt.Sprintf("prompt.%d", p))}
			b.Open(e.Prompt)
			for s, side := range []*render.Reply{&e.Chosen, &e.Rejected} {
				side.Response.IDs = ids(fmt.Sprintf("answer.%d.%d", p, s))
				side.Response.Read = len(side.Response.IDs) - 1
				b.Open(side.Response.IDs)
				b.Leaf = append(b.Leaf, int32(b.Len()-1))
				b.Close()
			}
			b.Close()
			data = append(data, e)
		}
		_, rewards, err := m.Evaluate(b)
		if err != nil {
			t.Fatal(err)
		}
		golden.Near(t, name+": rewards", rewards, floats("rewards"), 1e-5)
		c := Default()
		c.Method, c.LoraR, c.BatchSize, c.Accumulation, c.DataOrder = BT, 1, 2, 1, "sequential"
		c.LearningRate, c.Scheduler, c.WarmupRatio, c.WeightDecay, c.MaxGradNorm, c.MaxSteps = 5e-3, "constant", 0, 0.1, 1, 20
		var losses []float32
		if _, err := Train(t.Context(), m, data, c, WithReport(Report{OnStep: func(m Metrics) { losses = append(losses, float32(m.RewardLoss)) }})); err != nil {
			t.Fatal(err)
		}
		golden.Near(t, name+": losses", losses, floats("losses"), 1e-5)
	}
}

// withLoRA opens the tiny model with the recipe's adapter.
func withLoRA(t *testing.T, c Config, seed uint64) *model.Model {
	t.Helper()
	whole := tiny(t, testConfig(""), 1)
	m, err := model.New(devicetest.Open(t, 1), whole.Config, c.optionsFor(whole.Config), seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// saved writes the tiny model that withLoRA opens as the base of an adapter.
func saved(t *testing.T, dir string, seed uint64) {
	t.Helper()
	whole := tiny(t, testConfig(""), 1)
	m, err := model.New(devicetest.Open(t, 1), whole.Config, model.Options{}, seed)
	if err == nil {
		err = m.SaveCausalLM(dir)
		m.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestLoRAResume: a run with an adapter that is stopped goes on to the same bits; its checkpoints hold the adapter alone, and go on over no other
// base; the base's weights have not moved; what it leaves is a PEFT folder.
func TestLoRAResume(t *testing.T) {
	for _, bf16 := range []bool{false, true} {
		base := filepath.Join(t.TempDir(), "base")
		saved(t, base, 1)
		data := pairs(27)
		straight := testConfig(filepath.Join(t.TempDir(), "straight"))
		straight.Model, straight.LoraR, straight.LoraTargets, straight.BF16 = base, 2, map[bool]string{false: "q_proj,down_proj", true: "embed_tokens,q_proj"}[bf16], bf16
		m := withLoRA(t, straight, 1)
		before := map[string][]float32{}
		for _, p := range m.Params() {
			before[p.Name] = values(m, p.W)
		}
		if _, err := Train(context.Background(), m, data, straight); err != nil {
			t.Fatal(err)
		}
		for _, p := range m.Params() {
			if moved := !slices.Equal(before[p.Name], values(m, p.W)); moved != (p.Kind == model.Adapter || p.Kind == model.Head) {
				t.Errorf("%s has moved: %v", p.Name, moved)
			}
		}
		broken := straight
		broken.OutputDir = filepath.Join(filepath.Dir(straight.OutputDir), "broken")
		ctx, stop := stopAfter(9)
		if _, err := Train(ctx, withLoRA(t, broken, 1), data, broken, stop); !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		broken.Resume = "latest"
		if _, err := Train(context.Background(), withLoRA(t, broken, 2), data, broken); err == nil || !strings.Contains(err.Error(), "the weights that are not trained are others than when the run began") {
			t.Errorf("over another base: %v", err)
		}
		wider := broken
		wider.LoraR = 4
		if _, err := Train(context.Background(), withLoRA(t, wider, 1), data, wider); err == nil || !strings.Contains(err.Error(), "lora_r was 2, now 4") {
			t.Errorf("with another rank: %v", err)
		}
		if _, err := Train(context.Background(), withLoRA(t, broken, 1), data, broken); err != nil {
			t.Fatal(err)
		}
		last, lastOf := newest(t, straight.OutputDir), newest(t, broken.OutputDir)
		if !maps.EqualFunc(last, lastOf, slices.Equal[[]byte]) {
			t.Error("the checkpoints differ")
		}
		for name := range last {
			if !strings.Contains(name, "lora_") && !strings.Contains(name, "score") {
				t.Errorf("the checkpoint holds %s", name)
			}
		}
		for _, file := range []string{model.AdapterConfigFile, model.AdapterFile, model.HeadFile} {
			a, err := os.ReadFile(filepath.Join(straight.OutputDir, "model", file))
			b, err2 := os.ReadFile(filepath.Join(broken.OutputDir, "model", file))
			if err != nil || err2 != nil || !slices.Equal(a, b) {
				t.Errorf("%s differs: %v, %v", file, err, err2)
			}
		}
		if _, err := os.Stat(filepath.Join(broken.OutputDir, "model", "model.safetensors")); err == nil {
			t.Error("the base's weights were written")
		}
	}
}

// newest are the tensors of a run's newest checkpoint, by name.
func newest(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	path, _, err := checkpoint.Latest(filepath.Join(dir, "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, x := range s.Tensors {
		out[x.Name] = x.Data
	}
	return out
}

// TestLoRAErrors: settings that exclude each other are named.
func TestLoRAErrors(t *testing.T) {
	for _, x := range []struct {
		set  func(*Config)
		want string
	}{
		{func(c *Config) { c.LoraR = -1 }, "lora_r: got -1"},
		{func(c *Config) { c.LoraAlpha = 16 }, "give lora_r, too"},
		{func(c *Config) { c.LoraR, c.Freeze = 8, "embed" }, "leave freeze and freeze_trainable_layers out"},
		{func(c *Config) { c.LoraR, c.BF16, c.Stochastic = 8, true, true }, "leave stochastic_rounding out"},
		{func(c *Config) { c.LoraR, c.Optim = 8, AdamW8bit }, "use optim adamw"},
		{func(c *Config) { c.LoraR, c.LoraTargets = 8, "(" }, "target modules: error parsing regexp"},
	} {
		c := testConfig("")
		x.set(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v, want %q", err, x.want)
		}
	}
	c := testConfig("")
	whole := tiny(t, c, 1)
	c.LoraR = 4
	if _, err := Train(t.Context(), whole, pairs(4), c); err == nil || !strings.Contains(err.Error(), "lora_r is 4, but the model was opened otherwise") {
		t.Error(err)
	}
	c.LoraTargets = "nothing"
	if _, err := model.New(whole.Dev, whole.Config, c.optionsFor(whole.Config), 1); err == nil || !strings.Contains(err.Error(), `no projection is called "nothing"`) {
		t.Error(err)
	}
}

// TestLoRAMemory: an 8B model in bfloat16 with an adapter of rank 16 trains in less than 24 GB, by the count of a dry run.
func TestLoRAMemory(t *testing.T) {
	c := testConfig("")
	c.BF16, c.LoraR, c.Checkpointing, c.MaxSteps, c.BatchTokens = true, 16, true, 1, 0
	m, _, stats := dry(t, c, llama8B())
	used := stats.HighAllocated
	if used > 24e9 {
		t.Errorf("%.1f GB, want less than 24", float64(used)/1e9)
	}
	space := SpaceOf(m, c, NewPlan(c, 24))
	if space.Checkpoint > 700e6 || space.Model > 250e6 {
		t.Errorf("a checkpoint takes %d bytes, the model %d", space.Checkpoint, space.Model)
	}
	t.Logf("%.1f GB of memory, checkpoints of %.0f MB, a model of %.0f MB", float64(used)/1e9, float64(space.Checkpoint)/1e6, float64(space.Model)/1e6)
}

func llama8B() model.Config {
	return model.Config{VocabSize: 128256, HiddenSize: 4096, IntermediateSize: 14336, NumHiddenLayers: 32, NumAttentionHeads: 32, NumKeyValueHeads: 8,
		MaxPositionEmbeddings: 8192, EOSTokenIDs: []int32{tinyEnd}}
}

// TestLoRA4bit: over a base of 4 bits a run is resumed to the same bits, what it leaves says of what the base was, and an 8B model trains in less
// than 12 GB.
func TestLoRA4bit(t *testing.T) {
	wide := model.Config{VocabSize: tinyVocab, HiddenSize: 64, IntermediateSize: 64, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1, MaxPositionEmbeddings: 64, InitializerRange: 0.1,
		EOSTokenIDs: []int32{tinyEnd}}
	base := filepath.Join(t.TempDir(), "base")
	open := func(c Config) *model.Model {
		m, err := model.New(devicetest.Open(t, 1), wide, c.optionsFor(wide), 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
	if err := open(Config{}).SaveCausalLM(base); err != nil {
		t.Fatal(err)
	}
	c := testConfig(filepath.Join(t.TempDir(), "straight"))
	c.Model, c.LoraR, c.LoadIn4bit = base, 2, true
	data := pairs(27)
	if _, err := Train(context.Background(), open(c), data, c); err != nil {
		t.Fatal(err)
	}
	facts, _, err := modeldir.ReadFacts(filepath.Join(c.OutputDir, "model"))
	if err != nil || facts.Quantised != modeldir.NF4 {
		t.Errorf("%+v, %v", facts, err)
	}
	broken := c
	broken.OutputDir = filepath.Join(filepath.Dir(c.OutputDir), "broken")
	ctx, stop := stopAfter(9)
	if _, err := Train(ctx, open(broken), data, broken, stop); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	broken.Resume = "latest"
	plain := broken
	plain.LoadIn4bit = false
	if _, err := Train(context.Background(), open(plain), data, plain); err == nil || !strings.Contains(err.Error(), "load_in_4bit was true, now false") {
		t.Error(err)
	}
	if _, err := Train(context.Background(), open(broken), data, broken); err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(newest(t, c.OutputDir), newest(t, broken.OutputDir), slices.Equal[[]byte]) {
		t.Error("the checkpoints differ")
	}
	large := testConfig("")
	large.BF16, large.LoraR, large.LoadIn4bit, large.Checkpointing, large.MaxSteps, large.BatchTokens = true, 16, true, true, 1, 0
	_, _, stats := dry(t, large, llama8B())
	if stats.HighAllocated > 12e9 {
		t.Errorf("%.1f GB, want less than 12", float64(stats.HighAllocated)/1e9)
	}
	t.Logf("8B: %.1f GB", float64(stats.HighAllocated)/1e9)
	c = testConfig("")
	c.LoadIn4bit = true
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "give lora_r, too") {
		t.Error(err)
	}
}
