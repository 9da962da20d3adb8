package trainer

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// partly is tiny with what the recipe freezes.
func partly(t *testing.T, c Config) *model.Model {
	t.Helper()
	whole := tiny(t, c, 1)
	m, err := model.New(devicetest.Open(t, 1), whole.Config, c.optionsFor(whole.Config), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func values(m *model.Model, t kernels.Tensor) []float32 {
	x := make([]float32, t.Len())
	m.Dev.Download(x, t.View(t.Len()))
	return x
}

// TestFreeze: what is frozen keeps its bits and costs nothing but its weights; the gradients of the rest are those of a run that trains all.
func TestFreeze(t *testing.T) {
	data := pairs(8)
	for _, x := range []struct {
		name   string
		set    func(*Config)
		trains func(name string) bool
	}{
		{"a layer", func(c *Config) { c.Freeze = `layers\.0\.` }, func(n string) bool { return !strings.Contains(n, "layers.0.") }},
		{"embedding and norms", func(c *Config) { c.Freeze = "embed, norm" }, func(n string) bool { return !strings.Contains(n, "embed") && !strings.Contains(n, "norm") }},
		{"products", func(c *Config) { c.Freeze = "self_attn,mlp.gate_proj,mlp.up_proj,embed" }, func(n string) bool {
			return strings.Contains(n, "down_proj") || strings.Contains(n, "norm") || strings.Contains(n, "lm_head")
		}},
		{"all but the last layer", func(c *Config) { c.LastLayers = 1 }, func(n string) bool { return strings.Contains(n, "layers.1.") }},
		{"all", func(c *Config) { c.Freeze = "all" }, func(string) bool { return false }},
	} {
		for _, method := range []string{BT, Critic} {
			if x.name == "all" && method == Critic {
				continue // the head has no gradient until rewards count
			}
			c := testConfig(filepath.Join(t.TempDir(), "run"))
			c.Method, c.LambdaSchedule, c.MaxSteps, c.MaxGradNorm = method, "constant", 1, 0
			whole := tiny(t, c, 1)
			if _, err := Train(t.Context(), whole, data, c); err != nil {
				t.Fatal(err)
			}
			x.set(&c)
			c.OutputDir += "-part"
			m := partly(t, c)
			before := map[string][]float32{}
			for _, p := range m.Params() {
				before[p.Name] = values(m, p.W)
			}
			if _, err := Train(t.Context(), m, data, c); err != nil {
				t.Fatalf("%s: %v", x.name, err)
			}
			moved := 0
			for i, p := range m.Params() {
				stays := p.Kind != model.Head && !x.trains(p.Name)
				if stays != p.G.IsNil() || stays != p.M.IsNil() {
					t.Errorf("%s: %s: gradient %v, moments %v", x.name, p.Name, !p.G.IsNil(), !p.M.IsNil())
				}
				same := slices.Equal(before[p.Name], values(m, p.W))
				if !same {
					moved++
				}
				if stays && !same {
					t.Errorf("%s: %s is frozen and has changed", x.name, p.Name)
				}
				if !stays && !slices.Equal(values(m, p.G), values(whole, whole.Params()[i].G)) {
					t.Errorf("%s, %s: the gradient of %s is not that of the whole model", x.name, method, p.Name)
				}
			}
			if moved == 0 {
				t.Errorf("%s: nothing was trained", x.name)
			}
		}
	}
}

// TestFreezeResume: a run with frozen parts that is stopped goes on to the same bits.
func TestFreezeResume(t *testing.T) {
	data := pairs(27)
	straight := testConfig(filepath.Join(t.TempDir(), "straight"))
	straight.LastLayers = 1
	if _, err := Train(context.Background(), partly(t, straight), data, straight); err != nil {
		t.Fatal(err)
	}
	broken := straight
	broken.OutputDir = filepath.Join(filepath.Dir(straight.OutputDir), "broken")
	ctx, stop := stopAfter(9)
	if _, err := Train(ctx, partly(t, broken), data, broken, stop); err == nil {
		t.Fatal("it was not stopped")
	}
	broken.Resume = "latest"
	if _, err := Train(context.Background(), partly(t, broken), data, broken); err != nil {
		t.Fatal(err)
	}
	sameOutcome(t, straight.OutputDir, broken.OutputDir)
}

// TestFreezeErrors: what cannot be is named.
func TestFreezeErrors(t *testing.T) {
	for _, x := range []struct {
		set  func(*Config)
		want string
	}{
		{func(c *Config) { c.Freeze = "(" }, "freeze: error parsing regexp"},
		{func(c *Config) { c.Freeze = "layers.7." }, `no parameter's name has "layers.7."`},
		{func(c *Config) { c.LastLayers = 3 }, "freeze_trainable_layers is 3, the model has 2 layers"},
		{func(c *Config) { c.Method, c.Freeze = SFT, "all" }, "nothing is left to train"},
		{func(c *Config) { c.LastLayers = -1 }, "freeze_trainable_layers"},
	} {
		c := testConfig("")
		c.Method = BT
		x.set(&c)
		_, err := Train(t.Context(), partly(t, c), pairs(4), c)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v, want %q", err, x.want)
		}
	}
	c := testConfig("")
	c.Freeze = "q_proj"
	whole := tiny(t, testConfig(""), 1)
	if _, err := model.New(whole.Dev, whole.Config, c.optionsFor(whole.Config), 1); err == nil || !strings.Contains(err.Error(), "multiplied together") {
		t.Error(err)
	}
	c.Freeze = "norm"
	if _, err := Train(t.Context(), whole, pairs(4), c); err == nil || !strings.Contains(err.Error(), "was opened to train") {
		t.Error(err)
	}
}
