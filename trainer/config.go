package trainer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"criticrm/critic"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
)

// Methods, as modeldir explains them.
const (
	Critic = modeldir.Critic
	BT     = modeldir.BT
	Cloud  = modeldir.Cloud
	SFT    = modeldir.SFT
	LM     = modeldir.LM
)

// Optimizers, as optim names them: AdamW with moments in float32 or, those of matrices and embeddings, in 8 bits.
const (
	AdamW     = "adamw"
	AdamW8bit = "adamw_8bit"
)

// How gradients of micro-batches are added, as gradient_sum names it.
const (
	SumOrder = "order"
	SumTree  = "tree"
)

// LastEpoch is the lambda_schedule that is nearest to what is known of the paper's.
const LastEpoch = "last-epoch"

// Config is a training recipe. The yaml names are the names in recipes and of the command's flags; the alias tag lists
// other names that are understood; the help tag is the field's comment, from which the command's help is made; a field
// with the tag resume:"free" may change between a run and its continuation, every other one may not.
type Config struct {
	// What goes in and comes out.
	Model        string `yaml:"model" common:"true" group:"Input and output" alias:"model_name_or_path" resume:"free" help:"directory of the model to start from (Hugging Face layout), GGUF file, or name on the hub (owner/name@revision)"`
	TrainFile    string `yaml:"train_file" common:"true" alias:"train,data,dataset_name" resume:"free" help:"training records: JSON Lines, JSON, CSV, TSV or Parquet; a file, a folder, a pattern, a list or a mixture"`
	EvalFile     string `yaml:"eval_file" common:"true" alias:"eval" resume:"free" list:"true" help:"held-out records, likewise, or several of them by name: easy=a.jsonl,hard=b.jsonl; none: no evaluation while training"`
	OutputDir    string `yaml:"output_dir" common:"true" alias:"output,out" resume:"free" help:"directory of the run: recipe.yaml, metrics.jsonl, checkpoints/, model/"`
	Method       string `yaml:"method" common:"true" help:"critic (joint loss), bt (scalar Bradley-Terry), cloud (all critiques, constant weight), sft or lm (language modelling)"`
	PromptDir    string `yaml:"prompts" alias:"prompt_dir" resume:"free" help:"directory with a critique.txt or examples.jsonl, or small, a built-in set; empty: the prompts that the model was trained with, else the built-in ones"`
	Examples     string `yaml:"examples" resume:"free" help:"rows with critiques and scores that stand before the critic's question, in place of the prompts' examples.jsonl"`
	ChatTemplate string `yaml:"chat_template" alias:"chat_template_path" resume:"free" help:"Jinja chat template file that replaces the model's"`
	TemplateDate string `yaml:"template_date" help:"day that strftime_now gives to the chat template, as 2024-07-26; empty: the one the model was trained with, else none"`
	ScoreMin     int    `yaml:"scale_min" alias:"score_min" help:"lowest score that the critique prompt names; -1: the one the model was trained with, else 1"`
	ScoreMax     int    `yaml:"scale_max" alias:"score_max" help:"highest score that the critique prompt names; -1: the one the model was trained with, else 10"`
	Override     bool   `yaml:"override" resume:"free" help:"use prompts, scores, a chat template or a head position other than those that the model was trained with, and files that were changed since"`

	record.Layout `yaml:",inline"` // of train_file and eval_file

	// Batches. A unit is a pair of responses, or a document for sft and lm.
	MaxBad       int     `yaml:"max_bad" group:"Batches" resume:"free" help:"rows of train_file, and of eval_file, that may be bad: they are set aside, counted, and listed in output_dir with file, line and reason; one more ends the run"`
	DataMemory   int     `yaml:"data_memory" resume:"free" help:"MiB of tokens of train_file, and of eval_file, that stay in memory; the others lie on the disk of output_dir while the run lasts; changes no result"`
	BatchSize    int     `yaml:"per_device_train_batch_size" common:"true" alias:"batch_size" help:"pairs (or documents) per device and accumulation step"`
	Accumulation int     `yaml:"gradient_accumulation_steps" common:"true" alias:"accumulation" help:"the batch of an update is this times per_device_train_batch_size; 0: 12, or fewer, so that an epoch of few pairs has 16 updates"`
	BatchTokens  int     `yaml:"max_tokens_per_batch" alias:"batch_tokens" resume:"free" help:"tokens of a micro-batch: the examples of an update are packed into micro-batches of at most this many (a longer example goes alone); 0: all at once"`
	MaxLength    int     `yaml:"max_length" alias:"max_seq_length,cutoff_len" help:"tokens of a whole sequence (prompt, response and critique); 0: the model's limit"`
	Overlong     string  `yaml:"overlong" help:"sequences over max_length: error, drop, truncate-left (the prompt's start) or truncate-right (the response's end); a critique is never cut; records that generate has shortened are read as it read them, give both commands the same limit and policy"`
	DataOrder    string  `yaml:"data_order" help:"shuffled (a new order each epoch, from the seed) or sequential"`
	HeadPosition string  `yaml:"head_position" help:"where a reward is read: end (the end-of-turn token) or content (the last token before it); empty: where the model was trained to, else end"`
	MaxCritiques int     `yaml:"max_critiques" alias:"top_k" help:"use at most the first this many critiques of a response; 0: all"`
	PromptWeight float64 `yaml:"prompt_weight" help:"lm: loss weight of the tokens that are not an answer, where a record tells them apart"`

	// A few rows for a trial.
	MaxSamples     int `yaml:"max_samples" alias:"max_train_samples" help:"use the first so many rows of train_file and read no more, for trials; 0: all"`
	MaxEvalSamples int `yaml:"max_eval_samples" resume:"free" help:"likewise of each file of eval_file"`

	// Length and learning rate.
	Epochs         float64 `yaml:"num_train_epochs" common:"true" group:"Length and learning rate" alias:"epochs" help:"passes over the data, may be a fraction; max_steps overrides it"`
	MaxSteps       int     `yaml:"max_steps" help:"number of updates; 0 or less: from num_train_epochs"`
	LearningRate   float64 `yaml:"learning_rate" common:"true" alias:"lr" help:"peak learning rate of AdamW"`
	HeadLRRatio    float64 `yaml:"head_lr_ratio" help:"learning rate of the reward head in units of that of all other parameters"`
	Scheduler      string  `yaml:"lr_scheduler_type" same:"cosine_with_min_lr=cosine" alias:"lr_scheduler,schedule" help:"linear, cosine, constant or constant_with_warmup"`
	WarmupSteps    int     `yaml:"warmup_steps" help:"updates of linear warm-up; 0: from warmup_ratio"`
	WarmupRatio    float64 `yaml:"warmup_ratio" help:"share of the updates that warm up"`
	WarmupFromZero bool    `yaml:"warmup_from_zero" help:"the rate of update n of the warm-up is (n-1)/warm-up of the peak, as transformers counts, and that of the first is 0; else n/warm-up"`
	StableFraction float64 `yaml:"stable_fraction" alias:"lr_stable_fraction" help:"share of the updates, warm-up included, before linear or cosine decay begins"`
	MinLRRatio     float64 `yaml:"min_lr_ratio" help:"linear and cosine end at this share of the peak"`

	// Optimizer.
	Optim         string  `yaml:"optim" group:"Optimizer" same:"adamw_torch=adamw,adamw_torch_fused=adamw,adamw_hf=adamw,adamw_apex_fused=adamw,adamw_bnb_8bit=adamw_8bit,adamw_torch_8bit=adamw_8bit" help:"adamw, or adamw_8bit: moments of matrices and embeddings in 8 bits (blocks of 256 with a scale), 6 bytes a parameter less"`
	Beta1         float64 `yaml:"adam_beta1" alias:"beta1" help:"decay of AdamW's first moment"`
	Beta2         float64 `yaml:"adam_beta2" alias:"beta2" help:"decay of AdamW's second moment"`
	Epsilon       float64 `yaml:"adam_epsilon" alias:"epsilon,eps" help:"added to the root of AdamW's second moment"`
	WeightDecay   float64 `yaml:"weight_decay" alias:"wd" help:"decoupled decay of matrices, embeddings and adapters; norms and biases never decay, the reward head with head_weight_decay"`
	HeadDecay     bool    `yaml:"head_weight_decay" help:"weight_decay applies to the reward head, too, as transformers does"`
	MaxGradNorm   float64 `yaml:"max_grad_norm" alias:"clip" help:"clip the global gradient norm; 0: no clipping"`
	SkipZScore    float64 `yaml:"skip_grad_norm_zscore" help:"an update whose gradient norm is over the mean of those before it by more than so many of their standard deviations changes nothing, and is counted; 6 is usual; 0: none is skipped"`
	SkipWindow    int     `yaml:"skip_window" help:"skip_grad_norm_zscore looks at the norms of so many updates; the first half of them is never skipped"`
	BF16          bool    `yaml:"bf16" common:"true" help:"bfloat16 weights and activations with float32 masters; losses, rewards and gradients of parameters stay float32"`
	Stochastic    bool    `yaml:"stochastic_rounding" help:"with bf16: no float32 masters; an update rounds each weight up or down by chance, right on average: 14 bytes a parameter in place of 18"`
	GradientSum   string  `yaml:"gradient_sum" help:"order: gradients of micro-batches are added in their order, and those of several processes in the order of the ranks; tree: along a tree of 8 leaves, so that 1, 2, 4 and 8 processes have the same bits, for at least 8 micro-batches an update and the memory of up to 3 more gradients"`
	ZeroStage     int     `yaml:"zero_stage" resume:"free" help:"what several processes divide among them instead of keeping it each: 0 nothing, 1 masters and moments, 2 gradients, too, 3 weights of the layers, too (ZeRO); checkpoints go on with any other"`
	Freeze        string  `yaml:"freeze" help:"parameters that are not trained: regular expressions that their names contain, separated by commas, or all (but the reward head); they have no gradients, moments and masters"`
	LastLayers    int     `yaml:"freeze_trainable_layers" help:"train nothing but the last so many layers, and the reward head; 0: everything that freeze does not name"`
	LoraR         int     `yaml:"lora_r" alias:"lora_rank" help:"train a low-rank adapter (LoRA) of this rank, and the reward head, in place of the parameters; 0: none. The final model is a PEFT folder"`
	LoraAlpha     float64 `yaml:"lora_alpha" help:"the adapter's products are multiplied by lora_alpha / lora_r; 0: lora_alpha is twice lora_r"`
	LoraTargets   string  `yaml:"lora_target_modules" alias:"lora_target" same:"all=all-linear" help:"projections that have an adapter: all-linear, names as q_proj,v_proj, or a regular expression for whole names; the embedding has one if it is named (embed_tokens)"`
	RSLoRA        bool    `yaml:"use_rslora" help:"multiply by lora_alpha / √lora_r (rank-stabilised LoRA)"`
	LoadIn4bit    bool    `yaml:"load_in_4bit" help:"with lora_r: keep the projections of the base in 4 bits (QLoRA's NF4, doubly quantised, as bitsandbytes has it): about half a byte a parameter"`
	Checkpointing bool    `yaml:"gradient_checkpointing" resume:"free" help:"keep only the input of each layer for the backward pass and compute the rest again: less memory, about a third more work, the same bits"`

	// Loss: λ·critique + (1-λ)·reward.
	LambdaSchedule    string  `yaml:"lambda_schedule" group:"Loss" help:"critic: last-epoch (1, then 1 - beta·t over the last epoch, in which the learning rate begins anew), constant (from lm_weight) or linear (1 for lambda_hold, then down to 1 - beta)"`
	LambdaBeta        float64 `yaml:"lambda_beta" help:"critic: how far lambda falls, in (0, 1]"`
	LambdaHold        float64 `yaml:"lambda_hold" help:"critic, linear: share of the updates before lambda falls"`
	LMWeight          float64 `yaml:"lm_weight" help:"cloud and constant: weight of the critique loss against a reward loss of weight 1, so lambda = w/(1+w)"`
	LossType          string  `yaml:"loss_type" alias:"reward_model_type" same:"sigmoid=bradley_terry,binary_ranking=bradley_terry,mse=regression,listmle=plackett_luce" help:"reward loss: bradley_terry (pairs, and responses with a label) regression (the squared error against the score of each response) or plackett_luce (the order of several responses)"`
	ScoreColumn       string  `yaml:"score_column" help:"regression: name of the scores, as helpfulness: the column of a response, or NAME_chosen, chosen_NAME or chosen_ratings' NAME in pairs; empty: score, rating, avg_rating or helpfulness, whichever there is"`
	Pairing           string  `yaml:"pairing" alias:"critique_pairing" help:"which rewards of a pair are compared: cross (all combinations), mean (the sides' means) or zip (equal rank)"`
	CenterCoefficient float64 `yaml:"center_rewards_coefficient" alias:"center" help:"weight of (chosen + rejected)², which keeps rewards near zero"`
	UseMargin         bool    `yaml:"use_margin" help:"subtract the record's margin from the reward difference"`
	ScaleByMargin     bool    `yaml:"scale_by_margin" help:"weigh the loss of a pair by the record's margin, which every pair must have (scaled Bradley-Terry)"`
	LabelSmoothing    float64 `yaml:"label_smoothing" help:"share of the labels that are taken to be wrong (conservative Bradley-Terry), in [0, 0.5)"`

	// The run.
	Seed           uint64 `yaml:"seed" group:"The run" help:"seed of the data order and of a new reward head"`
	Device         string `yaml:"device" common:"true" resume:"free" help:"auto (an NVIDIA device if there is one, else the CPU), cpu, cuda or cuda:N"`
	Threads        int    `yaml:"threads" resume:"free" help:"CPU threads; 0: all cores; never changes a result"`
	LoggingSteps   int    `yaml:"logging_steps" resume:"free" help:"a console line every this many updates; 0: none"`
	EvalSteps      int    `yaml:"eval_steps" resume:"free" help:"evaluate every this many updates; 0: after each epoch"`
	EvalStrategy   string `yaml:"eval_strategy" alias:"evaluation_strategy" resume:"free" help:"when eval_file is measured: epoch, steps (every eval_steps updates) or no; empty: steps if eval_steps is given, else epoch"`
	SaveSteps      int    `yaml:"save_steps" resume:"free" help:"checkpoint every this many updates; 0: only at the end and when interrupted"`
	SaveTotalLimit int    `yaml:"save_total_limit" resume:"free" help:"checkpoints that are kept; 0: all"`
	AsyncSave      string `yaml:"async_save" resume:"free" help:"checkpoints are written while training goes on, from a copy of the state in the host's memory: auto (where it has room), yes or no"`
	SaveDType      string `yaml:"save_dtype" resume:"free" help:"type of the final model's weights: trained (that of the run), base (that of the model it begins with), float32 (the masters of a bf16 run) or bfloat16 (rounded)"`
	Resume         string `yaml:"resume" common:"true" alias:"resume_from_checkpoint" resume:"free" help:"latest, auto (latest if there is one), latest-valid (the newest that is not damaged) or the path of a checkpoint; empty: a new run in an empty output_dir"`

	// Watching it, and which of its models is kept.
	ReportTo        string  `yaml:"report_to" resume:"free" list:"true" help:"tensorboard: every line of metrics.jsonl goes into event files in output_dir/runs, too; none or empty: not"`
	EvalOnStart     bool    `yaml:"eval_on_start" resume:"free" help:"measure eval_file before the first update, too; after the last one it is measured in any case"`
	SaveStrategy    string  `yaml:"save_strategy" resume:"free" help:"when checkpoints are written: steps (every save_steps updates), epoch, best (after an evaluation that is better than all before) or no (at the end and when interrupted); empty: as eval_strategy with load_best_model_at_end, else steps"`
	LoadBest        bool    `yaml:"load_best_model_at_end" resume:"free" help:"the final model is that of the best evaluation, whose checkpoint is kept whatever save_total_limit says, and not that of the last update"`
	Metric          string  `yaml:"metric_for_best_model" resume:"free" help:"figure of the evaluations that says which is best, as accuracy or eval_easy_accuracy; empty: loss. While lambda is 1, figures of rewards do not count"`
	GreaterIsBetter string  `yaml:"greater_is_better" resume:"free" same:"True=true,False=false" help:"true or false; empty: false for names that end in loss or perplexity"`
	Average         int     `yaml:"average_checkpoints" help:"the final model is the mean of so many checkpoints: that of the last update and those before it, every save_steps updates; 0: that of the last update"`
	Patience        int     `yaml:"early_stopping_patience" alias:"early_stopping_steps" resume:"free" help:"stop when so many evaluations, without a gap, were no better than the best; 0: never"`
	Threshold       float64 `yaml:"early_stopping_threshold" resume:"free" help:"by how much an evaluation must be better to count as better for early_stopping_patience"`
}

// Default is the joint stage with the published settings of CLoud where Critic-RM's are not known: global batch 96 pairs (fewer for small data),
// learning rate 1e-6 with 10 % warm-up and cosine decay to 1 %, betas 0.9 and 0.95, clipping at 1.
func Default() Config {
	return Config{
		Method: Critic, BatchSize: 8, BatchTokens: 8192, Overlong: "error", DataOrder: "shuffled", ScoreMin: -1, ScoreMax: -1,
		PromptWeight: 1, DataMemory: 256,
		Epochs: 3, LearningRate: 1e-6, Scheduler: "cosine", WarmupRatio: 0.1, MinLRRatio: 0.01, HeadLRRatio: 1,
		Optim: AdamW, LoraTargets: model.AllLinear, GradientSum: SumOrder, Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, MaxGradNorm: 1, SkipWindow: 128,
		LambdaSchedule: "linear", LambdaBeta: 1, LambdaHold: 1. / 3, LMWeight: 1, LossType: BradleyTerry, Pairing: "cross",
		Seed: 42, Device: kernels.AutoDevice, LoggingSteps: 10, SaveSteps: 500, AsyncSave: AsyncAuto, SaveDType: SaveTrained,
	}
}

// When held-out records are measured.
const (
	EvalEachEpoch  = "epoch"
	EvalEverySteps = "steps"
	EvalNever      = "no"
)

// evalEvery is how many updates lie between two evaluations, with so many in an epoch.
func (c Config) evalEvery(perEpoch int) int {
	if c.EvalSteps == 0 || c.EvalStrategy == EvalEachEpoch {
		return perEpoch
	}
	return c.EvalSteps
}

// nearest is what comes close to optimizers and schedules of Hugging Face that are not built.
var nearest = map[string]string{
	"warmup_stable_decay": "linear with stable_fraction", "cosine_warmup_with_min_lr": "cosine with min_lr_ratio and warmup_ratio",
	"cosine_with_restarts": "cosine", "polynomial": "linear", "inverse_sqrt": "constant_with_warmup", "reduce_lr_on_plateau": "cosine", "greedy": "cosine",
	"paged_adamw_8bit": AdamW8bit, "paged_adamw_32bit": AdamW, "ademamix": AdamW, "adafactor": AdamW8bit, "lion_8bit": AdamW8bit, "lion": AdamW,
	"sgd": AdamW, "adagrad": AdamW, "rmsprop": AdamW, "muon": AdamW, "galore_adamw": AdamW8bit, "schedule_free_adamw": AdamW,
}

// Validate says, for the first field that is wrong, its name, value and the allowed ones. Files are not looked at.
func (c Config) Validate() error {
	if err := c.Layout.Validate(); err != nil {
		return err
	}
	for _, e := range []struct{ name, value, allowed string }{
		{"method", c.Method, strings.Join(modeldir.Methods(), " ")},
		{"overlong", c.Overlong, strings.Join(record.OverlongPolicies(), " ")},
		{"data_order", c.DataOrder, "shuffled sequential"},
		{"lr_scheduler_type", c.Scheduler, "linear cosine constant constant_with_warmup"},
		{"gradient_sum", c.GradientSum, SumOrder + " " + SumTree},
		{"optim", c.Optim, AdamW + " " + AdamW8bit},
		{"lambda_schedule", c.LambdaSchedule, LastEpoch + " constant linear"},
		{"loss_type", c.LossType, BradleyTerry + " " + Regression + " " + PlackettLuce},
		{"pairing", c.Pairing, "cross mean zip"},
		{"save_dtype", c.SaveDType, SaveTrained + " " + SaveBase + " " + SaveF32 + " " + SaveBF16},
		{"async_save", c.AsyncSave, AsyncAuto + " " + AsyncYes + " " + AsyncNo},
		{"save_strategy", c.saveStrategy(), strings.Join([]string{SaveEverySteps, SaveEachEpoch, SaveBest, SaveNever}, " ")},
		{"greater_is_better", cmp.Or(c.GreaterIsBetter, "false"), "true false"},
		{"eval_strategy", cmp.Or(c.EvalStrategy, EvalEachEpoch), EvalEachEpoch + " " + EvalEverySteps + " " + EvalNever},
	} {
		if !slices.Contains(strings.Fields(e.allowed), e.value) {
			hint := ""
			if near := nearest[e.value]; near != "" {
				hint = "; nearest to it is " + near
			}
			return fmt.Errorf("trainer: config: %s: got %q, want one of %s%s", e.name, e.value, e.allowed, hint)
		}
	}
	inf, half := math.Inf(1), math.Nextafter(1, 0)
	for _, r := range []struct {
		name          string
		value, lo, hi float64
		lowExcl       bool // the lower end itself is not allowed
	}{
		{"per_device_train_batch_size", float64(c.BatchSize), 1, 1 << 20, false},
		{"gradient_accumulation_steps", float64(c.Accumulation), 0, 1 << 20, false},
		{"max_tokens_per_batch", float64(c.BatchTokens), 0, 1 << 30, false},
		{"max_length", float64(c.MaxLength), 0, 1 << 30, false},
		{"scale_min", float64(c.ScoreMin), -1, 1000, false},
		{"scale_max", float64(c.ScoreMax), -1, 1000, false},
		{"max_samples", float64(c.MaxSamples), 0, 1 << 40, false},
		{"max_eval_samples", float64(c.MaxEvalSamples), 0, 1 << 40, false},
		{"max_bad", float64(c.MaxBad), 0, 1 << 40, false},
		{"data_memory", float64(c.DataMemory), 0, 1 << 30, false},
		{"freeze_trainable_layers", float64(c.LastLayers), 0, 1 << 20, false},
		{"zero_stage", float64(c.ZeroStage), 0, 3, false},
		{"lora_r", float64(c.LoraR), 0, model.MaxRank, false},
		{"lora_alpha", c.LoraAlpha, 0, 1e6, false},
		{"max_critiques", float64(c.MaxCritiques), 0, 1 << 20, false},
		{"prompt_weight", c.PromptWeight, 0, 1e6, false},
		{"num_train_epochs", c.Epochs, 0, 1e6, c.MaxSteps <= 0},
		{"max_steps", float64(c.MaxSteps), -1, 1 << 40, false},
		{"learning_rate", c.LearningRate, 0, 1e3, true},
		{"head_lr_ratio", c.HeadLRRatio, 0, 1e6, true},
		{"warmup_steps", float64(c.WarmupSteps), 0, 1 << 40, false},
		{"warmup_ratio", c.WarmupRatio, 0, 1, false},
		{"stable_fraction", c.StableFraction, 0, 1, false},
		{"min_lr_ratio", c.MinLRRatio, 0, 1, false},
		{"adam_beta1", c.Beta1, 0, half, false},
		{"adam_beta2", c.Beta2, 0, half, false},
		{"adam_epsilon", c.Epsilon, 0, 1, true},
		{"weight_decay", c.WeightDecay, 0, 1e3, false},
		{"skip_grad_norm_zscore", c.SkipZScore, 0, 1e6, false},
		{"skip_window", float64(c.SkipWindow), 0, 1 << 20, false},
		{"max_grad_norm", c.MaxGradNorm, 0, 1e30, false},
		{"lambda_beta", c.LambdaBeta, 0, 1, true},
		{"lambda_hold", c.LambdaHold, 0, 1, false},
		{"label_smoothing", c.LabelSmoothing, 0, math.Nextafter(0.5, 0), false},
		{"lm_weight", c.LMWeight, 0, 1e6, false},
		{"center_rewards_coefficient", c.CenterCoefficient, 0, 1e6, false},
		{"threads", float64(c.Threads), 0, 1024, false},
		{"logging_steps", float64(c.LoggingSteps), 0, inf, false},
		{"eval_steps", float64(c.EvalSteps), 0, inf, false},
		{"save_steps", float64(c.SaveSteps), 0, inf, false},
		{"save_total_limit", float64(c.SaveTotalLimit), 0, inf, false},
		{"average_checkpoints", float64(c.Average), 0, 1 << 20, false},
		{"early_stopping_patience", float64(c.Patience), 0, inf, false},
		{"early_stopping_threshold", c.Threshold, 0, math.MaxFloat64, false},
	} {
		if !(r.value >= r.lo && r.value <= r.hi) || r.lowExcl && r.value == r.lo { // a NaN fails the first test
			open := "from"
			if r.lowExcl {
				open = "more than"
			}
			to := ""
			if r.hi < inf {
				to = " to " + number(r.hi)
			}
			return fmt.Errorf("trainer: config: %s: got %s, want %s %s%s", r.name, number(r.value), open, number(r.lo), to)
		}
	}
	if err := c.checkLossType(); err != nil {
		return err
	}
	if c.EvalStrategy == EvalEverySteps && c.EvalSteps == 0 {
		return fmt.Errorf("trainer: config: eval_strategy: steps needs eval_steps")
	}
	if err := c.checkReports(); err != nil {
		return err
	}
	if err := errors.Join(c.checkBest(), c.checkAverage(), c.checkSpikes()); err != nil {
		return err
	}
	if c.HeadPosition != "" {
		if _, err := model.ParseRewardAt(c.HeadPosition); err != nil {
			return fmt.Errorf("trainer: config: head_position: got %.40q, want one of end content", c.HeadPosition)
		}
	}
	if c.ScoreMin >= 0 && c.ScoreMax >= 0 {
		if err := (critic.Scale{Min: c.ScoreMin, Max: c.ScoreMax}).Validate(); err != nil {
			return fmt.Errorf("trainer: config: scale_min, scale_max: %w", err)
		}
	}
	if _, _, err := kernels.ParseDevice(c.Device); err != nil {
		return fmt.Errorf("trainer: config: device: %w", err)
	}
	if _, err := c.frozenPatterns(); err != nil {
		return err
	}
	if err := c.checkAdapter(); err != nil {
		return err
	}
	if c.Stochastic && !c.BF16 {
		return fmt.Errorf("trainer: config: stochastic_rounding: needs bf16: float32 weights are not rounded")
	}
	if c.LoraR > 0 && c.SaveDType != SaveTrained {
		return fmt.Errorf("trainer: config: save_dtype: an adapter is written in float32: leave it out")
	}
	if c.Resume != "" && c.OutputDir == "" {
		return fmt.Errorf("trainer: config: resume: needs output_dir")
	}
	return nil
}

// number writes whole numbers without an exponent, as people do, while they have one meaning.
func number(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

// validateFiles checks what a run from files needs besides Validate.
func (c Config) validateFiles() error {
	for _, f := range [][2]string{{"model", c.Model}, {"train_file", c.TrainFile}, {"output_dir", c.OutputDir}} {
		if f[1] == "" {
			return fmt.Errorf("trainer: config: %s is missing", f[0])
		}
	}
	return c.checkEvalFile()
}

// rewards says whether the method trains a reward head.
func (c Config) rewards() bool { return c.Method == Critic || c.Method == BT || c.Method == Cloud }

// critiques says whether the method trains on critiques.
func (c Config) critiques() bool { return c.Method == Critic || c.Method == Cloud || c.Method == SFT }

// dtype is the type of weights and activations.
func (c Config) dtype() kernels.DType {
	if c.BF16 {
		return kernels.BF16
	}
	return kernels.F32
}

// options say how the model of a run is opened.
func (c Config) options() model.Options {
	return model.Options{DType: c.dtype(), Train: true, Head: c.rewards(), GradientCheckpointing: c.Checkpointing, StochasticRounding: c.Stochastic,
		Moments8Bit: c.Optim == AdamW8bit}
}

// optionsFor is options with what freeze and freeze_trainable_layers mean for a model, and the adapter.
func (c Config) optionsFor(m model.Config) model.Options {
	o := c.options()
	o.Frozen = c.frozen(m)
	o.LoRA, o.NF4 = c.adapter(), c.LoadIn4bit
	return o
}

// given is what the recipe wants of the model's directory, where it wants something.
func (c Config) given() modeldir.Given {
	g := modeldir.Given{Prompts: c.PromptDir, Examples: c.Examples, HeadPosition: c.HeadPosition, ChatTemplate: c.ChatTemplate, TemplateDate: c.TemplateDate,
		MaxLength: c.MaxLength, Overlong: c.Overlong, NoCritiques: !c.critiques(), Override: c.Override}
	if c.ScoreMin >= 0 {
		g.ScaleMin = &c.ScoreMin
	}
	if c.ScoreMax >= 0 {
		g.ScaleMax = &c.ScoreMax
	}
	return g
}

// Parts are what the method trains on of an example.
func (c Config) Parts() render.Parts {
	return render.Parts{Critiques: c.critiques(), Rewards: c.rewards(), MaxCritiques: c.MaxCritiques, Margin: c.UseMargin, Scale: c.ScaleByMargin, Scores: c.regression(), Lists: c.lists()}
}

// Render says how records become examples; limit is the longest sequence.
func (c Config) Render(limit int) render.Options {
	o := render.Options{Parts: c.Parts(), All: c.Method == Cloud, Limit: limit, Overlong: c.Overlong, ScoreOf: c.ScoreColumn}
	if c.Method == LM {
		o.Rest = float32(c.PromptWeight)
	}
	return o
}

func (c Config) pairing() kernels.Pairing {
	switch {
	case c.Pairing == "mean", c.lists() && !c.critiques(): // one reward a response
		return kernels.Mean
	case c.Pairing == "zip":
		return kernels.Zip
	}
	return kernels.Cross
}
