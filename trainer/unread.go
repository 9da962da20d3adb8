package trainer

// Settings that a recipe gives and that nothing reads: another one decides, or the method has no use for them.

import (
	"fmt"
	"slices"
)

// reader says when a field is read; fields without one always are.
type reader struct {
	field string
	when  string // in words, for people
	reads func(Config) bool
}

func readers() []reader {
	rewards, critiques := "with methods that train rewards (critic, bt, cloud)", "with methods that train on critiques (critic, cloud, sft)"
	best := "with load_best_model_at_end, early_stopping_patience or save_strategy best"
	decays := func(c Config) bool { return c.Scheduler == "linear" || c.Scheduler == "cosine" }
	return []reader{
		{"eval_file", "with eval_strategy epoch and steps", func(c Config) bool { return c.EvalStrategy != EvalNever }},
		{"eval_steps", "with eval_file and eval_strategy steps", func(c Config) bool {
			return c.EvalFile != "" && (c.EvalStrategy == "" || c.EvalStrategy == EvalEverySteps)
		}},
		{"save_steps", "with save_strategy steps", func(c Config) bool { return c.saveStrategy() == SaveEverySteps }},
		{"metric_for_best_model", best, func(c Config) bool { return c.Picks() != "" }},
		{"greater_is_better", best, func(c Config) bool { return c.Picks() != "" }},
		{"early_stopping_threshold", "with early_stopping_patience", func(c Config) bool { return c.Patience > 0 }},
		{"max_eval_samples", "with eval_file", func(c Config) bool { return c.EvalFile != "" && c.EvalStrategy != EvalNever }},
		{"eval_on_start", "with eval_file and eval_strategy epoch and steps", func(c Config) bool { return c.EvalFile != "" && c.EvalStrategy != EvalNever }},
		{"prompts", critiques, Config.critiques},
		{"examples", critiques, Config.critiques},
		{"scale_min", critiques, Config.critiques},
		{"scale_max", critiques, Config.critiques},
		{"max_critiques", critiques, Config.critiques},
		{"head_position", rewards, Config.rewards},
		{"center_rewards_coefficient", rewards, Config.rewards},
		{"use_margin", rewards, Config.rewards},
		{"scale_by_margin", rewards, Config.rewards},
		{"label_smoothing", rewards, Config.rewards},
		{"loss_type", rewards, Config.rewards},
		{"score_column", "with loss_type regression", Config.regression},
		{"pairing", "with methods critic and cloud", func(c Config) bool { return c.rewards() && c.critiques() }},
		{"prompt_weight", "with method lm", func(c Config) bool { return c.Method == LM }},
		{"num_train_epochs", "without max_steps", func(c Config) bool { return c.MaxSteps <= 0 }},
		{"warmup_steps", "with every lr_scheduler_type but constant", func(c Config) bool { return c.Scheduler != "constant" }},
		{"warmup_ratio", "without warmup_steps, with every lr_scheduler_type but constant", func(c Config) bool { return c.WarmupSteps == 0 && c.Scheduler != "constant" }},
		{"stable_fraction", "with lr_scheduler_type linear and cosine", decays},
		{"min_lr_ratio", "with lr_scheduler_type linear and cosine", decays},
		{"lambda_schedule", "with method critic", func(c Config) bool { return c.Method == Critic }},
		{"lambda_beta", "with method critic and lambda_schedule last-epoch and linear", func(c Config) bool { return c.Method == Critic && c.LambdaSchedule != "constant" }},
		{"lambda_hold", "with method critic and lambda_schedule linear", func(c Config) bool { return c.Method == Critic && c.LambdaSchedule == "linear" }},
		{"lm_weight", "with method cloud, and with critic and lambda_schedule constant", func(c Config) bool { return c.Method == Cloud || c.Method == Critic && c.LambdaSchedule == "constant" }},
	}
}

// Reads says whether a recipe reads a field.
func (c Config) Reads(field string) bool {
	for _, r := range readers() {
		if r.field == field {
			return r.reads(c)
		}
	}
	return true
}

// Unread tells of every setting that is not the default's and that this recipe does not read.
func (c Config) Unread() (lines []string) {
	table := readers()
	for _, f := range Fields() {
		i := slices.IndexFunc(table, func(r reader) bool { return r.field == f.Name })
		if now := f.Text(c); i >= 0 && now != f.Default && !table[i].reads(c) {
			lines = append(lines, fmt.Sprintf("recipe: warning: %s is %s, and is not read: it counts %s", f.Name, now, table[i].when))
		}
	}
	return lines
}
