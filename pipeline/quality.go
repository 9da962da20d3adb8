package pipeline

// The settings of the commands that measure critiques.

import (
	"cmp"
	"fmt"
	"strings"

	"criticrm/quality"
	"criticrm/record"
	"criticrm/revise"
)

// CritiqueEval are the settings of critique-eval.
type CritiqueEval struct {
	Category string  `yaml:"category" common:"true" group:"Measurement" help:"field of the records that results are split by (default: category, else subset)"`
	Pairs    bool    `yaml:"pairs_labelled" common:"true" help:"of pairs, take the chosen response as right and the rejected one as wrong; true of pairs that a program or a known answer has labelled, not of preferences"`
	Steps    string  `yaml:"step_pattern" help:"regular expression that finds the first wrong step in a critique; its one group is the step, counted from 1, or none (default: \"First wrong step: N\" and the like)"`
	BestOf   int     `yaml:"best_of" help:"responses of a prompt, at most, that the best one is picked among; prompts with fewer are left out; 0: as many as every prompt with two or more has"`
	ScaleMin int     `yaml:"scale_min" help:"lowest score; -1: what the records were asked for, else 1"`
	ScaleMax int     `yaml:"scale_max" help:"highest score; -1: what the records were asked for, else 10"`
	Draws    int     `yaml:"draws" help:"bootstrap draws"`
	Level    float64 `yaml:"level" help:"of the intervals"`
	EvalSeed uint64  `yaml:"eval_seed" help:"seed of the bootstrap"`
}

// DefaultCritiqueEval is quality's.
func DefaultCritiqueEval() CritiqueEval {
	o := quality.DefaultOptions()
	return CritiqueEval{ScaleMin: -1, ScaleMax: -1, Draws: o.Draws, Level: o.Level, EvalSeed: o.Seed}
}

// Options are those of quality, but for the scale, and how items are made.
func (c CritiqueEval) Options() (o quality.Options, r quality.Reading, err error) {
	o = quality.DefaultOptions()
	o.Draws, o.Level, o.Seed, o.BestOf = c.Draws, c.Level, c.EvalSeed, c.BestOf
	r.Pairs = c.Pairs
	r.Steps, err = quality.CompileSteps(cmp.Or(c.Steps, quality.DefaultSteps))
	return o, r, err
}

// Revise are the settings of revise.
type Revise struct {
	Conditions   string  `yaml:"after" common:"true" group:"Revisions" help:"what responses are revised after, comma by comma: critique (sampled for them), none, shuffled (those of another prompt), oracle (those that the rows came with)"`
	Critiques    int     `yaml:"critiques" common:"true" help:"critiques of each response that are used, from the first; one revision after each"`
	Prompt       string  `yaml:"revise_prompt" common:"true" help:"prompt file with {prompt}, {response} and {critique} (default: built in)"`
	Plain        string  `yaml:"plain_prompt" help:"prompt file with {prompt} and {response}, for none (default: built in)"`
	Check        string  `yaml:"check" common:"true" group:"Final answers" help:"how a final answer is held against the known one: number, choice (a letter, A to J), text, code (by --check_command) or auto, by the known answer"`
	AnswerField  string  `yaml:"answer_field" common:"true" help:"column of the known answer, or of a solution that ends with it (default: reference, else answer, else a pair's chosen response)"`
	CheckCommand string  `yaml:"check_command" help:"for code: a program and its arguments, parted by spaces; {file} is the response's code and {row} the row as JSON; exit code 0 is right. It is run as it stands, without a shell and without a sandbox"`
	CheckSeconds float64 `yaml:"check_seconds" help:"time limit of that command; over it a response is wrong"`
	MaxLength    int     `yaml:"max_length" group:"Reading" help:"tokens of question and revision; longer ones are not asked, and counted; 0: the model's context"`
	Chunk        int     `yaml:"chunk" resume:"free" help:"records between two saves, which a stop may lose; 0: as few as keep the device busy"`
	Sampling     `yaml:",inline"`
	Remote       `yaml:",inline"`
}

// DefaultRevise is revise's.
func DefaultRevise() Revise {
	o := revise.DefaultOptions()
	return Revise{Conditions: strings.Join(o.Conditions, ","), Critiques: o.Critiques, Check: revise.Auto, CheckSeconds: 10, Sampling: samplingOf(o.Sampling), Remote: DefaultRemote()}
}

// Options are those of revise, but for the model's. Prompt files are read.
func (r Revise) Options() (o revise.Options, p revise.Prompts, err error) {
	o = revise.DefaultOptions()
	o.Critiques, o.Sampling = r.Critiques, r.Sampling.options()
	o.Sampling.MaxTokens = cmp.Or(o.Sampling.MaxTokens, record.DefaultSampling().MaxTokens)
	o.Conditions = nil
	for _, word := range strings.Split(r.Conditions, ",") {
		o.Conditions = append(o.Conditions, strings.TrimSpace(word))
	}
	o.Checker = &revise.Checker{Kind: r.Check, Field: r.AnswerField}
	if r.CheckCommand != "" {
		o.Checker.Command = strings.Fields(r.CheckCommand)
	}
	if o.Checker.Seconds = r.CheckSeconds; r.Check != revise.Code {
		o.Checker.Seconds = 0
	}
	if r.MaxLength < 0 || r.Chunk < 0 {
		return o, p, fmt.Errorf("revise: max_length and chunk: got %d and %d, want 0 or more", r.MaxLength, r.Chunk)
	}
	if p, err = revise.LoadPrompts(r.Prompt, r.Plain); err != nil {
		return o, p, err
	}
	o.Prompts = p.Hash()
	return o, p, o.Validate()
}
