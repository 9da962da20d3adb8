package pipeline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"criticrm/internal/settings"
	"criticrm/record"
	"criticrm/trainer"
)

// Config is the recipe of a whole run: what stands at its top, and a section for each stage with the settings of the single command.
type Config struct {
	Top
	Generate Generate
	Filter   Filter
	Refine   Refine
	Train    trainer.Config
	Eval     Eval
	BT       trainer.Config // the baselines train as Train says, but for what these sections give
	Cloud    trainer.Config
}

// Top is what holds for all stages.
type Top struct {
	TrainFile     string           `yaml:"train_file" group:"The run" common:"true" alias:"train" resume:"free" help:"pairs to train on: JSON Lines, JSON, CSV, TSV or Parquet; a file, a folder, a pattern, a list or a mixture"`
	EvalFile      string           `yaml:"eval_file" common:"true" alias:"eval" resume:"free" help:"held-out pairs to measure on, likewise"`
	OutputDir     string           `yaml:"output_dir" common:"true" alias:"output,out" resume:"free" help:"directory of the run; the same command goes on where it was"`
	Baselines     string           `yaml:"baselines" common:"true" resume:"free" help:"models to train for comparison, by comma: bt (scalar Bradley-Terry), cloud (all critiques, no filter); the base model as judge and the length are always measured"`
	Rounds        int              `yaml:"rounds" common:"true" resume:"free" help:"repeat at most this often, with the trained model as the critic, until the validation split gains nothing"`
	ValidShare    float64          `yaml:"valid_share" help:"share of the training prompts that is held out to choose the round by, and to measure trainings on that ask for it and have no train.eval_file; -1: 0.1 where there is something to choose or to measure, else none"`
	record.Layout `yaml:",inline"` // of train_file and eval_file
	MaxBad        int              `yaml:"max_bad" group:"The run" help:"rows of each file that may be bad: they are left out and listed; one more ends the run"`
	MaxLength     int              `yaml:"max_length" resume:"free" help:"tokens of a whole sequence, for every stage that does not set its own; 0: as the model was trained, else the model's context"`
	Overlong      string           `yaml:"overlong" resume:"free" help:"records over max_length, for every stage that does not set its own: error, drop, truncate-left or truncate-right; empty: as the model was trained, else error"`
	Seed          uint64           `yaml:"seed" resume:"free" help:"seed of every stage that does not set its own"`
	Model         `yaml:",inline"`
}

// Default are the defaults of the single commands, but that eight critiques of a held-out response are read.
func Default() Config {
	c := Config{
		Top:      Top{Rounds: 1, ValidShare: -1, Model: DefaultModel()},
		Generate: DefaultGenerate(), Filter: DefaultFilter(), Refine: DefaultRefine(), Train: trainer.Default(), Eval: DefaultEval(),
		BT: trainer.Default(), Cloud: trainer.Default(),
	}
	c.Eval.Samples = 8
	return c
}

// Baselines that can be asked for.
const (
	BT    = trainer.BT
	Cloud = trainer.Cloud
)

// notTrain are settings of train that a run decides on.
func notTrain() map[string]string {
	not := map[string]string{"train_file": "the stage before", "max_samples": "the stage before", "max_eval_samples": "the run", "output_dir": "the run", "resume": "the run", "method": "the stage"}
	for _, name := range []string{"model", "prompts", "examples", "chat_template", "template_date", "scale_min", "scale_max", "override", "head_position",
		"bf16", "device", "threads", "max_bad", "schema", "columns", "ranked"} {
		not[name] = name + " at the top"
	}
	return not
}

// notRival is notTrain of the baselines, which are measured on what train is.
func notRival() map[string]string {
	not := notTrain()
	not["eval_file"] = "train.eval_file"
	return not
}

// Sections are the recipe's, in order.
func (c *Config) Sections() []settings.Section {
	return []settings.Section{
		{Into: &c.Top}, {Name: "generate", Into: &c.Generate}, {Name: "filter", Into: &c.Filter}, {Name: "refine", Into: &c.Refine},
		{Name: "train", Into: &c.Train, Not: notTrain()}, {Name: "eval", Into: &c.Eval},
		{Name: BT, Into: &c.BT, Not: notRival()}, {Name: Cloud, Into: &c.Cloud, Not: notRival()},
	}
}

// Set are the settings that were given, as "name" or "section.name"; the rest is for Resolve to fill.
type Set map[string]int

// Load reads a recipe over c and says what it sets. Errors name the file, the line and the nearest name.
func (c *Config) Load(path string) (Set, error) {
	set, err := settings.Load(path, c.Sections()...)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	return set, nil
}

// Recipe is the resolved recipe as YAML, with the help of every setting. Sections of baselines stand in it if they are trained.
func (c *Config) Recipe() ([]byte, error) {
	list := slices.DeleteFunc(c.Sections(), func(s settings.Section) bool { return (s.Name == BT || s.Name == Cloud) && !c.wants(s.Name) })
	b, err := settings.Text(list...)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	return b, nil
}

// wants says whether a baseline is asked for.
func (c *Config) wants(name string) bool { return slices.Contains(c.baselines(), name) }

func (c *Config) baselines() (list []string) {
	for _, b := range strings.Split(c.Baselines, ",") {
		if b = strings.TrimSpace(b); b != "" {
			list = append(list, b)
		}
	}
	return list
}

// Resolve fills what was not set from what was: the stages' seeds, limits and policies from the top, the sampling of refine and eval from
// generate, the baselines' training from train. Then it checks everything that does not need a file.
func (c *Config) Resolve(set Set) error {
	given := func(name string) bool { _, ok := set[name]; return ok }
	fill := func(name string, fill func()) {
		if !given(name) {
			fill()
		}
	}
	g := &c.Generate
	fill("generate.seed", func() { g.Seed = c.Seed })
	fill("refine.seed", func() { c.Refine.Seed = c.Seed })
	fill("eval.seed", func() { c.Eval.Seed = c.Seed })
	fill("train.seed", func() { c.Train.Seed = c.Seed })
	fill("generate.max_length", func() { g.MaxLength = c.MaxLength })
	fill("eval.max_length", func() { c.Eval.MaxLength = c.MaxLength })
	fill("train.max_length", func() { c.Train.MaxLength = c.MaxLength })
	fill("generate.overlong", func() { g.Overlong = c.Overlong })
	fill("eval.overlong", func() { c.Eval.Overlong = c.Overlong })
	fill("train.overlong", func() { c.Train.Overlong = cmp.Or(c.Overlong, c.Train.Overlong) })
	fill("refine.overlong", func() {
		if c.Overlong != "" && c.Overlong != record.OverlongError {
			c.Refine.Overlong = record.OverlongDrop
		}
	})
	fill("refine.temperature", func() { c.Refine.Temperature = g.Temperature })
	fill("refine.top_p", func() { c.Refine.TopP = g.TopP })
	fill("refine.sampling_top_k", func() { c.Refine.SamplingTopK = g.TopK })
	fill("refine.max_tokens", func() { c.Refine.MaxTokens = g.MaxTokens })
	fill("refine.engine", func() { c.Refine.Engine = g.Engine })
	if c.Refine.Engine == g.Engine { // who writes the critiques judges them, too
		for _, f := range settings.Fields(Remote{}) {
			fill("refine."+f.Name, func() { f.Assign(&c.Refine.Remote, &g.Remote) })
		}
	}
	fill("eval.temperature", func() { c.Eval.Temperature = g.Temperature })
	fill("eval.top_p", func() { c.Eval.TopP = g.TopP })
	fill("eval.top_k", func() { c.Eval.TopK = g.TopK })
	fill("eval.max_tokens", func() { c.Eval.MaxTokens = g.MaxTokens })
	fill("cloud.max_critiques", func() { // as many as the filtered rival has, unless train says how many
		if c.Cloud.MaxCritiques = c.Train.MaxCritiques; c.Cloud.MaxCritiques == 0 {
			c.Cloud.MaxCritiques = c.Refine.TopK
		}
	})
	byAccuracy := func(name string, t *trainer.Config) { // critiques are measured that no label has selected: their loss says little
		if t.Picks() != "" {
			fill(name+".metric_for_best_model", func() { t.Metric = cmp.Or(t.Metric, "accuracy") })
		}
	}
	byAccuracy("train", &c.Train)
	for name, rival := range map[string]*trainer.Config{BT: &c.BT, Cloud: &c.Cloud} {
		like := c.Train
		like.Method = name
		if asks(&like) {
			like.EvalFile = cmp.Or(like.EvalFile, validSplit)
		}
		for _, f := range settings.Fields(c.Train) { // what the method does not read stays as it is by default, or would be warned of
			if like.Reads(f.Name) && !(name == Cloud && f.Name == "max_critiques") {
				fill(name+"."+f.Name, func() { f.Assign(rival, &c.Train) })
			}
		}
		byAccuracy(name, rival)
	}
	if c.ValidShare == -1 {
		c.ValidShare = 0
		if c.Rounds > 1 || c.Train.EvalFile == "" && slices.ContainsFunc(c.trainings(), func(t training) bool { return asks(t.Config) }) {
			c.ValidShare = 0.1
		}
	}
	c.settle(&c.Train, trainer.Critic)
	c.settle(&c.BT, trainer.BT)
	c.settle(&c.Cloud, trainer.Cloud)
	return c.validate()
}

// settle puts what the top decides into a recipe of training.
func (c *Config) settle(t *trainer.Config, method string) {
	t.Model, t.ChatTemplate, t.TemplateDate, t.Override, t.HeadPosition = c.Dir, c.ChatTemplate, c.TemplateDate, c.Override, c.HeadPosition
	if method != trainer.BT { // which asks for no critiques
		t.PromptDir, t.Examples, t.ScoreMin, t.ScoreMax = c.Prompts, c.Examples, c.ScaleMin, c.ScaleMax
	}
	t.BF16, t.Device, t.Threads, t.MaxBad, t.Method = c.BF16, c.Device, c.Threads, c.MaxBad, method
	t.TrainFile, t.OutputDir, t.Resume, t.Layout = "", "", "", record.Layout{}
}

// validate checks all settings; its errors name the section.
func (c *Config) validate() error {
	if c.Rounds < 1 || c.Rounds > 1000 {
		return fmt.Errorf("rounds: got %d, want 1 to 1000", c.Rounds)
	}
	if !(c.ValidShare >= 0 && c.ValidShare < 1) || math.IsNaN(c.ValidShare) {
		return fmt.Errorf("valid_share: got %v, want 0 to less than 1", c.ValidShare)
	}
	if c.Rounds > 1 && c.ValidShare == 0 {
		return fmt.Errorf("rounds: %d rounds need a validation split to choose by: give valid_share", c.Rounds)
	}
	if c.Rounds > 1 && (c.Generate.Elsewhere() || c.Refine.Elsewhere()) {
		return fmt.Errorf("rounds: from the second on the trained model writes, which engine %s cannot: give 1", OpenAIEngine)
	}
	if c.MaxBad < 0 {
		return fmt.Errorf("max_bad: got %d, want 0 or more", c.MaxBad)
	}
	for _, b := range c.baselines() {
		if b != BT && b != Cloud {
			return fmt.Errorf("baselines: got %.40q, want bt, cloud or both by comma (judge and length are always measured)", b)
		}
	}
	if err := c.Layout.Validate(); err != nil {
		return err
	}
	if err := c.Model.Validate(); err != nil {
		return err
	}
	generate, refine, score := c.Generate.Options(), c.Refine.Options(), c.Eval.Options()
	_, measure := c.Eval.Measure()
	for _, x := range []struct {
		section string
		err     error
	}{{"generate", c.Generate.Remote.Validate()}, {"generate", generate.Validate()}, {"refine", c.Refine.Remote.Validate()}, {"filter", c.Filter.Options().Validate()}, {"refine", refine.Validate()}, {"train", c.Train.Validate()},
		{"eval", score.Validate()}, {"eval", measure}, {BT, c.BT.Validate()}, {Cloud, c.Cloud.Validate()}} {
		if x.err != nil {
			return fmt.Errorf("%s: %w", x.section, x.err)
		}
	}
	return c.validateFollowed()
}

// values are the settings of a struct that a finished stage depends on, by name.
func values(c any, not map[string]string) map[string]string {
	out := map[string]string{}
	for _, f := range settings.Fields(c) {
		if !f.Free && not[f.Name] == "" {
			out[f.Name] = f.Text(c)
		}
	}
	return out
}
