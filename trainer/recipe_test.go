package trainer

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestFields(t *testing.T) {
	seen := map[string]bool{}
	c := Default()
	for _, f := range Fields() {
		if f.Name == "" || f.Help == "" {
			t.Errorf("field %q has no name or help: %q", f.Name, f.Help)
		}
		for _, n := range append([]string{f.Name}, f.Aliases...) {
			if seen[n] {
				t.Errorf("name %s is used twice", n)
			}
			seen[n] = true
			if got, ok := Canonical(strings.ReplaceAll(n, "_", "-")); !ok || got != f.Name {
				t.Errorf("Canonical(%s) = %s, want %s", n, got, f.Name)
			}
		}
		switch f.Ptr(&c).(type) {
		case *string, *int, *uint64, *float64, *bool:
		default:
			t.Errorf("field %s has a type that no flag has", f.Name)
		}
		if f.Text(c) != f.Default {
			t.Errorf("field %s: %s is not the default %s", f.Name, f.Text(c), f.Default)
		}
	}
	*Fields()[0].Ptr(&c).(*string) = "dir"
	if c.Model != "dir" {
		t.Error("Ptr does not point into the config")
	}
}

func TestRecipe(t *testing.T) {
	c := Default()
	text := "# a recipe\nmodel: m\nlearning-rate: 1e-5\nper_device_train_batch_size: 4\nbf16: true\nseed: 18446744073709551615\ntop_k: 2\n"
	if err := ParseRecipe([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if c.Model != "m" || c.LearningRate != 1e-5 || c.BatchSize != 4 || !c.BF16 || c.Seed != math.MaxUint64 || c.MaxCritiques != 2 || c.Method != Critic {
		t.Errorf("got %+v", c)
	}
	saved, err := c.Recipe()
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	if err := ParseRecipe(saved, &back); err != nil || back != c {
		t.Errorf("the saved recipe reads as %+v, %v, want %+v", back, err, c)
	}
	if !strings.Contains(string(saved), "# peak learning rate of AdamW\nlearning_rate: 1e-05\n") {
		t.Errorf("no help in the saved recipe:\n%s", saved)
	}
}

func TestRecipeErrors(t *testing.T) {
	for _, x := range []struct{ text, want string }{
		{"seed: 1\nlearnin_rate: 2\n", `:2: unknown key "learnin_rate", did you mean "learning_rate"?`},
		{"seed: 1\n\nseed: 2\n", ":3: seed was already set on line 1"},
		{"model: a\nmodel-name-or-path: b\n", ":2: model was already set on line 1"},
		{"seed: 1\nlearning_rate: fast\n", `:2: learning_rate: "fast" is not a number`},
		{"save_steps: 1.5\n", `:1: save_steps: "1.5" is not a whole number`},
		{"seed: -1\n", `:1: seed: "-1" is not a whole number from 0`},
		{"bf16: maybe\n", `:1: bf16: "maybe" is not a truth value (true or false)`},
		{"method: [a, b]\n", ":1: method: want one plain value"},
		{"method:\n", ":1: method: want one plain value"},
		{"seed: 1\ngenerate:\n  critiques: 3\n", `:2: "generate" is a section, and the recipe of one stage has none`},
		{"- a\n", ":1: want a mapping of names to values"},
		{"seed: 1\n---\nseed: 2\n", "a recipe is one YAML document, found a second"},
		{"seed: [\n", "yaml: line"},
	} {
		path := filepath.Join(t.TempDir(), "r.yaml")
		if err := os.WriteFile(path, []byte(x.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadRecipe(path); err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v, want %s", x.text, err, x.want)
		}
	}
	c := Default()
	if err := ParseRecipe(nil, &c); err != nil || c != Default() {
		t.Errorf("an empty recipe: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, x := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Method = "dpo" }, `method: got "dpo", want one of critic bt cloud sft lm`},
		{func(c *Config) { c.Overlong = "cut" }, "overlong"},
		{func(c *Config) { c.BatchSize = 0 }, "per_device_train_batch_size: got 0, want from 1 to 1048576"},
		{func(c *Config) { c.EvalStrategy = "steps" }, "eval_strategy: steps needs eval_steps"},
		{func(c *Config) { c.EvalStrategy = "best" }, `eval_strategy: got "best", want one of epoch steps no`},
		{func(c *Config) { c.LoggingSteps = -1 }, "logging_steps: got -1, want from 0"},
		{func(c *Config) { c.LearningRate = 0 }, "learning_rate: got 0, want more than 0"},
		{func(c *Config) { c.LearningRate = math.NaN() }, "learning_rate: got NaN"},
		{func(c *Config) { c.Beta2 = 1 }, "adam_beta2: got 1"},
		{func(c *Config) { c.LambdaBeta = 0 }, "lambda_beta"},
		{func(c *Config) { c.Epochs = 0 }, "num_train_epochs"},
		{func(c *Config) { c.Resume = "latest" }, "resume: needs output_dir"},
		{func(c *Config) { c.Stochastic = true }, "stochastic_rounding: needs bf16"},
		{func(c *Config) { c.Optim = "adamw_torch" }, `optim: got "adamw_torch", want one of adamw adamw_8bit`},
		{func(c *Config) { c.HeadPosition = "start" }, "head_position"},
		{func(c *Config) { c.ScoreMin, c.ScoreMax = 11, 10 }, "scale_min"},
		{func(c *Config) { c.ScoreMin = -2 }, "scale_min: got -2"},
	} {
		c := Default()
		x.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
	c := Default()
	c.Epochs, c.MaxSteps = 0, 5
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func ExampleFields() {
	c := Default()
	for _, f := range Fields() {
		if p, ok := f.Ptr(&c).(*bool); ok { // a command binds a flag here
			fmt.Println(f.Name, *p, "-", f.Help)
		}
	}
	// Output:
	// override false - use prompts, scores, a chat template or a head position other than those that the model was trained with, and files that were changed since
	// warmup_from_zero false - the rate of update n of the warm-up is (n-1)/warm-up of the peak, as transformers counts, and that of the first is 0; else n/warm-up
	// head_weight_decay false - weight_decay applies to the reward head, too, as transformers does
	// bf16 false - bfloat16 weights and activations with float32 masters; losses, rewards and gradients of parameters stay float32
	// stochastic_rounding false - with bf16: no float32 masters; an update rounds each weight up or down by chance, right on average: 14 bytes a parameter in place of 18
	// use_rslora false - multiply by lora_alpha / √lora_r (rank-stabilised LoRA)
	// load_in_4bit false - with lora_r: keep the projections of the base in 4 bits (QLoRA's NF4, doubly quantised, as bitsandbytes has it): about half a byte a parameter
	// gradient_checkpointing false - keep only the input of each layer for the backward pass and compute the rest again: less memory, about a third more work, the same bits
	// use_margin false - subtract the record's margin from the reward difference
	// scale_by_margin false - weigh the loss of a pair by the record's margin, which every pair must have (scaled Bradley-Terry)
	// eval_on_start false - measure eval_file before the first update, too; after the last one it is measured in any case
	// load_best_model_at_end false - the final model is that of the best evaluation, whose checkpoint is kept whatever save_total_limit says, and not that of the last update
}

// validates wants of each recipe that it is good, or refused with a text.
func validates(t *testing.T, recipes map[string]string) {
	t.Helper()
	for recipe, want := range recipes {
		c := Default()
		err := ParseRecipe([]byte(recipe), &c)
		if err == nil {
			err = c.Validate()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", recipe, err, want)
		}
	}
}
