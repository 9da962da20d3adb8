package trainer

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
)

// TestUnread guards against a setting that is taken and not honoured, as lambda_beta with method bt was, without a word.
func TestUnread(t *testing.T) {
	for _, c := range []struct {
		recipe string
		want   []string // fields
	}{
		{"", nil},
		{"method: bt\npairing: mean\nlambda_beta: 0.5\ncenter: 0.01\nhead_position: content\n", []string{"lambda_beta", "pairing"}},
		{"method: critic\nlambda_schedule: constant\nlambda_beta: 0.5\nlambda_hold: 0.5\nlm_weight: 2\n", []string{"lambda_beta", "lambda_hold"}},
		{"method: critic\nlambda_schedule: linear\nlambda_beta: 0.5\nlambda_hold: 0.5\nlm_weight: 2\n", []string{"lm_weight"}},
		{"method: cloud\nlambda_schedule: constant\nlm_weight: 2\nprompts: p\nscore_max: 5\n", []string{"lambda_schedule"}},
		{"method: lm\nprompts: p\nscore_max: 5\nscore_min: 1\nmax_critiques: 2\nuse_margin: true\nhead_position: end\nprompt_weight: 0.5\ncenter: 1\n",
			[]string{"prompts", "scale_min", "scale_max", "head_position", "max_critiques", "center_rewards_coefficient", "use_margin"}},
		{"max_steps: 5\nepochs: 1\nwarmup_steps: 2\nwarmup_ratio: 0.3\neval_steps: 7\n", []string{"num_train_epochs", "warmup_ratio", "eval_steps"}},
		{"eval_file: e\neval_steps: 7\nprompt_weight: 0.5\n", []string{"prompt_weight"}},
		{"eval_file: e\neval_strategy: epoch\neval_steps: 7\n", []string{"eval_steps"}},
		{"eval_file: e\nevaluation_strategy: no\n", []string{"eval_file"}},
		{"eval_file: e\neval_strategy: steps\neval_steps: 7\n", nil},
		{"lr_scheduler_type: constant\nwarmup_steps: 2\nstable_fraction: 0.5\nmin_lr_ratio: 0.1\n", []string{"warmup_steps", "stable_fraction", "min_lr_ratio"}},
	} {
		config := Default()
		if err := ParseRecipe([]byte(c.recipe), &config); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, line := range config.Unread() {
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "recipe: warning: "), " ")
			got = append(got, name)
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v are not read, want %v", c.recipe, got, c.want)
		}
	}
	for _, r := range readers() {
		if !slices.ContainsFunc(Fields(), func(f Field) bool { return f.Name == r.field }) {
			t.Errorf("%s is no field of a recipe", r.field)
		}
	}
	var log bytes.Buffer
	c := fileConfig(t)
	c.Method, c.LambdaBeta, c.MaxSteps = BT, 0.5, 1
	if _, err := Run(context.Background(), devicetest.Open(t, 1), c, Report{Log: &log}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "recipe: warning: lambda_beta is 0.5, and is not read: it counts with method critic") {
		t.Errorf("%s", &log)
	}
}
