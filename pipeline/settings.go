package pipeline

// The settings of the stages: sections of the recipe of a whole run, and the flags of the single commands.

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/measure"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/synth"
)

// Model says which model is opened and how. What it leaves open is as the model was trained.
type Model struct {
	Dir          string `yaml:"model" common:"true" group:"Model" alias:"model_name_or_path" resume:"free" help:"model directory (Hugging Face layout), GGUF file, or name on the hub (owner/name@revision)"`
	Prompts      string `yaml:"prompts" alias:"prompt_dir" resume:"free" help:"directory with critique.txt, meta.txt, summarize.txt or examples.jsonl, or small, a built-in set for models that follow instructions badly (default: the prompts that the model was trained with, else built-in ones)"`
	Examples     string `yaml:"examples" resume:"free" help:"rows with critiques and scores that are put before the critic's question, in place of the prompts' examples.jsonl"`
	ScaleMin     int    `yaml:"scale_min" alias:"score_min" resume:"free" help:"lowest score; -1: as the model was trained, else 1"`
	ScaleMax     int    `yaml:"scale_max" alias:"score_max" resume:"free" help:"highest score; -1: as the model was trained, else 10"`
	ChatTemplate string `yaml:"chat_template" alias:"chat_template_path" resume:"free" help:"Jinja chat template file that replaces the model's"`
	TemplateDate string `yaml:"template_date" resume:"free" help:"day that strftime_now gives to the chat template, as 2024-07-26 (default: as the model was trained, else none)"`
	HeadPosition string `yaml:"head_position" resume:"free" help:"where a reward is read, end or content (default: as the model was trained, else end)"`
	Override     bool   `yaml:"override" resume:"free" help:"use other prompts, scores, another chat template or head position than the model was trained with, and files that were changed since"`
	BF16         bool   `yaml:"bf16" common:"true" group:"Machine" help:"bfloat16 weights and activations; rewards stay float32"`
	MaxSequences int    `yaml:"max_sequences" resume:"free" help:"sequences decoded at once; 0: 256"`
	Device       string `yaml:"device" common:"true" resume:"free" help:"auto (an NVIDIA device if there is one, else the CPU), cpu, cuda or cuda:N"`
	Threads      int    `yaml:"threads" resume:"free" help:"CPU threads; 0: all cores; never changes a result"`
}

// DefaultModel is a model as it was trained, on the best device.
func DefaultModel() Model { return Model{ScaleMin: -1, ScaleMax: -1, Device: kernels.AutoDevice} }

// Validate checks what does not need the model.
func (m *Model) Validate() error {
	if m.Threads < 0 || m.MaxSequences < 0 || m.MaxSequences > 1<<16 {
		return fmt.Errorf("threads and max_sequences: got %d and %d, want 0 or more, and at most %d sequences", m.Threads, m.MaxSequences, 1<<16)
	}
	return nil
}

// Given is what the settings want of the model's directory.
func (m *Model) Given(maxLength int, overlong string) modeldir.Given {
	g := modeldir.Given{Prompts: m.Prompts, Examples: m.Examples, ChatTemplate: m.ChatTemplate, TemplateDate: m.TemplateDate, HeadPosition: m.HeadPosition,
		MaxLength: maxLength, Overlong: overlong, Override: m.Override}
	if m.ScaleMin >= 0 {
		g.ScaleMin = &m.ScaleMin
	}
	if m.ScaleMax >= 0 {
		g.ScaleMax = &m.ScaleMax
	}
	return g
}

// EngineOptions say how the model is opened to write critiques.
func (m *Model) EngineOptions(g modeldir.Given) engine.Options {
	return engine.Options{Given: g, DType: m.DType(), MaxSequences: m.MaxSequences}
}

// DType is the type of weights and activations.
func (m *Model) DType() kernels.DType {
	if m.BF16 {
		return kernels.BF16
	}
	return kernels.F32
}

// GivenScale is the scale of a stage without a model: what was given of it (-1: nothing) over the default, or zero if nothing was.
func GivenScale(low, high int) (s critic.Scale) {
	if low < 0 && high < 0 {
		return s
	}
	s = critic.DefaultScale()
	if low >= 0 {
		s.Min = low
	}
	if high >= 0 {
		s.Max = high
	}
	return s
}

// Sampling says how critiques are drawn.
type Sampling struct {
	Temperature float64 `yaml:"temperature" group:"Sampling" help:"0: the most likely token"`
	TopP        float64 `yaml:"top_p" help:"sample from the most likely tokens with this much probability"`
	TopK        int     `yaml:"top_k" help:"sample from this many most likely tokens; 0: no limit"`
	MaxTokens   int     `yaml:"max_tokens" common:"true" alias:"max_new_tokens" help:"tokens of one sample; 0: as many as the critiques that the model was trained on could have, else 512"`
	Seed        uint64  `yaml:"seed" common:"true" help:"seed of the samples"`
}

// samplingOf are the settings of a default, but for the number of tokens, which a model may know.
func samplingOf(s record.Sampling) Sampling {
	return Sampling{Temperature: decimal(s.Temperature), TopP: decimal(s.TopP), TopK: s.TopK, Seed: s.Seed}
}

// decimal is the float64 with the same shortest text: 0.7 stays 0.7.
func decimal(x float32) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64)
	if err != nil {
		panic("pipeline: a float's text is a float")
	}
	return v
}

func (s Sampling) options() record.Sampling {
	return record.Sampling{Temperature: float32(s.Temperature), TopP: float32(s.TopP), TopK: s.TopK, MaxTokens: s.MaxTokens, Seed: s.Seed}
}

// Reading says how records are made to fit and how many are worked on at once.
type Reading struct {
	MaxLength int     `yaml:"max_length" group:"Reading" help:"tokens of a whole sequence: prompt, response and what is written behind them; 0: as the model was trained, else the model's context; give train the same"`
	Overlong  string  `yaml:"overlong" help:"records over max_length: error, drop (marked and counted), truncate-left (the prompt's start) or truncate-right (the response's end); default: as the model was trained, else error. The model reads the shortened text; the record keeps the whole, and \"shortened\" (\"plain_shortened\") says how many characters were not read; refine and train read the same; give train the same policy"`
	Chunk     int     `yaml:"chunk" resume:"free" help:"records between two saves, which a stop may lose; 0: as few as keep the device busy; another number changes no result on the CPU, and rounding at most on a GPU"`
	MinParsed float64 `yaml:"min_parsed" resume:"free" help:"share of critiques that must end in a score: fewer of the first 64, or later, stop the stage (what is written stays); 0: go on"`
}

// Generate are the settings of generate.
type Generate struct {
	Critiques int    `yaml:"critiques" common:"true" group:"Critiques" alias:"num_critiques" help:"critiques of each response (N)"`
	AskScore  string `yaml:"ask_score" help:"critiques that end without a score: off (they have none), sample (they go on with \"Score:\" and a number that is drawn among those of the scale) or expect (likewise, and the score is the mean of the numbers by their chances); default: as the model was trained, else off"`
	Reading   `yaml:",inline"`
	Sampling  `yaml:",inline"`
	Remote    `yaml:",inline"`
}

// DefaultGenerate is critic's.
func DefaultGenerate() Generate {
	o := critic.DefaultGenerateOptions()
	return Generate{Critiques: o.Critiques, Reading: Reading{MinParsed: o.MinParsed}, Sampling: samplingOf(o.Sampling), Remote: DefaultRemote()}
}

// Options are those of critic; model, prompts and scale are for whoever opens the model, who also sets the default of Chunk.
func (g Generate) Options() critic.GenerateOptions {
	o := critic.DefaultGenerateOptions()
	o.Critiques, o.Sampling, o.Chunk, o.MinParsed = g.Critiques, g.Sampling.options(), g.Chunk, g.MinParsed
	o.MaxLength, o.Overlong, o.AskScore = g.MaxLength, g.Overlong, g.AskScore
	return o
}

// Filter are the settings of filter.
type Filter struct {
	Rule          string  `yaml:"rule" common:"true" group:"Filter" help:"mean, mean+each or none"`
	DropTruncated bool    `yaml:"drop_truncated" help:"leave out critiques that the token limit cut"`
	MinSurvivors  float64 `yaml:"min_survivors" resume:"free" help:"share of pairs that must survive; 0: no guard"`
}

// DefaultFilter is critic's.
func DefaultFilter() Filter {
	o := critic.DefaultFilterOptions()
	return Filter{o.Rule, o.DropTruncated, o.MinSurvivors}
}

// Options are those of critic.
func (f Filter) Options() critic.FilterOptions {
	return critic.FilterOptions{Rule: f.Rule, DropTruncated: f.DropTruncated, MinSurvivors: f.MinSurvivors}
}

// Refine are the settings of refine.
type Refine struct {
	Mode         string  `yaml:"mode" common:"true" group:"Refinement" help:"rank, summarize, margin, random, random-all or none"`
	TopK         int     `yaml:"keep" common:"true" alias:"top_k" help:"critiques kept per response (K)"`
	MetaSamples  int     `yaml:"meta_samples" help:"rank: scores of the meta-judge averaged per critique"`
	SummaryOf    int     `yaml:"summary_of" help:"summarize: merge at most the first this many; 0: all"`
	AskScore     string  `yaml:"ask_score" help:"judgements and summaries that end without a score: off, sample or expect, as for generate; default: as the model was trained, else off"`
	Overlong     string  `yaml:"overlong" help:"questions over the model's context: error, or drop (they count as not answered); records that generate has shortened are asked about as it read them"`
	MinSurvivors float64 `yaml:"min_survivors" resume:"free" help:"share of pairs that must survive; 0: no guard"`
	Chunk        int     `yaml:"chunk" resume:"free" help:"records between two saves, which a stop may lose; 0: as few as keep the device busy; another number changes no result on the CPU, and rounding at most on a GPU"`
	Temperature  float64 `yaml:"temperature" group:"Sampling" help:"0: the most likely token"`
	TopP         float64 `yaml:"top_p" help:"sample from the most likely tokens with this much probability"`
	SamplingTopK int     `yaml:"sampling_top_k" help:"sample from this many most likely tokens; 0: no limit"`
	MaxTokens    int     `yaml:"max_tokens" common:"true" alias:"max_new_tokens" help:"tokens of one sample; 0: as many as the critiques that the model was trained on could have, else 512"`
	Seed         uint64  `yaml:"seed" common:"true" help:"seed of the samples, and of random"`
	Remote       `yaml:",inline"`
}

// DefaultRefine is critic's.
func DefaultRefine() Refine {
	o := critic.DefaultRefineOptions()
	s := samplingOf(o.Sampling)
	return Refine{Mode: o.Mode, TopK: o.TopK, MetaSamples: o.MetaSamples, SummaryOf: o.SummaryOf, Overlong: record.OverlongError, MinSurvivors: o.MinSurvivors,
		Temperature: s.Temperature, TopP: s.TopP, SamplingTopK: s.TopK, MaxTokens: s.MaxTokens, Seed: s.Seed, Remote: DefaultRemote()}
}

// Options are those of critic, but for the model's.
func (r Refine) Options() critic.RefineOptions {
	o := critic.DefaultRefineOptions()
	o.Mode, o.TopK, o.MetaSamples, o.SummaryOf, o.MinSurvivors, o.Chunk = r.Mode, r.TopK, r.MetaSamples, r.SummaryOf, r.MinSurvivors, r.Chunk
	o.Overlong, o.AskScore = r.Overlong, r.AskScore
	o.Sampling = Sampling{r.Temperature, r.TopP, r.SamplingTopK, r.MaxTokens, r.Seed}.options()
	return o
}

// Ask completes options of refine with what is known of who writes, and with the chunk that keeps it busy. How many critiques
// the filter has left of a response is not known before: eight are assumed.
func (r Refine) Ask(w *Writer, o *critic.RefineOptions) (err error) {
	o.Prompts, o.Scale, o.Limits = w.Prompts, w.Scale, w.Reading.Limits
	o.Sampling.MaxTokens = cmp.Or(o.Sampling.MaxTokens, w.maxToken)
	if o.AskScore, err = w.ask(o.AskScore); err != nil {
		return err
	}
	switch {
	case r.Chunk > 0:
	case r.Mode == critic.RefineSummarize:
		o.Chunk = w.Chunk(1)
	default:
		o.Chunk = w.Chunk(8 * r.MetaSamples)
	}
	o.Model, err = w.Label()
	return err
}

// Score are the settings of score.
type Score struct {
	Samples  int    `yaml:"samples" common:"true" group:"Critiques" alias:"m,critiques,num_critiques" help:"critiques of each response whose rewards are averaged (m)"`
	AskScore string `yaml:"ask_score" help:"critiques that end without a score: off (they have none), sample (they go on with \"Score:\" and a number that is drawn among those of the scale) or expect (likewise, and the score is the mean of the numbers by their chances); default: as the model was trained, else off"`
	Reading  `yaml:",inline"`
	Sampling `yaml:",inline"`
}

// DefaultScore is critic's: one critique.
func DefaultScore() Score {
	o := critic.DefaultScoreOptions()
	return Score{Samples: o.Critiques, Reading: Reading{MinParsed: o.MinParsed}, Sampling: samplingOf(o.Sampling)}
}

// Options are those of critic, but for the model's.
func (s Score) Options() critic.ScoreOptions {
	return Generate{Critiques: s.Samples, AskScore: s.AskScore, Reading: s.Reading, Sampling: s.Sampling}.Options()
}

// Eval are the settings of eval.
type Eval struct {
	Score    `yaml:",inline"`
	Category string  `yaml:"category" common:"true" group:"Measurement" help:"field of the records that results are split by (default: category, else subset)"`
	Draws    int     `yaml:"draws" help:"bootstrap draws"`
	Level    float64 `yaml:"level" help:"of the intervals"`
	EvalSeed uint64  `yaml:"eval_seed" help:"seed of the bootstrap"`
	Curve    string  `yaml:"curve" help:"numbers of critiques to average, as 1,2,4 (default: powers of two)"`
}

// DefaultEval is critic's and measure's.
func DefaultEval() Eval {
	o := measure.DefaultEvalOptions()
	return Eval{Score: DefaultScore(), Draws: o.Draws, Level: o.Level, EvalSeed: o.Seed}
}

// Measure are the options of measure, but for the scale.
func (e Eval) Measure() (measure.EvalOptions, error) {
	o := measure.EvalOptions{Draws: e.Draws, Level: e.Level, Seed: e.EvalSeed}
	if e.Curve == "" {
		return o, nil
	}
	for _, word := range strings.Split(e.Curve, ",") {
		m, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || m < 1 {
			return o, fmt.Errorf("curve: got %.40q, want numbers of critiques as 1,2,4", e.Curve)
		}
		o.Samples = append(o.Samples, m)
	}
	return o, nil
}

// Synth are the settings of synth.
type Synth struct {
	Kind        string `yaml:"kind" common:"true" group:"Pairs" help:"reasoning (problems with known results) or safety (prompts that rules speak of)"`
	Answers     int    `yaml:"answers" common:"true" help:"answers that are sampled to each prompt"`
	Rules       string `yaml:"rules" common:"true" help:"safety: YAML list of rules: name, applies, instruct, require, forbid"`
	Instruction string `yaml:"instruction" help:"reasoning: what stands behind a problem while answers are sampled; the pairs do not have it"`
	PerPrompt   int    `yaml:"per_prompt" common:"true" help:"pairs of a prompt, at most; no answer is in two of them"`
	MatchLength bool   `yaml:"match_length" help:"pair answers that are nearly as long, so that length does not give the label away; false: in the order in which they were sampled"`
	MaxLength   int    `yaml:"max_length" resume:"free" help:"tokens of prompt and answer; longer prompts are left out and counted; 0: the model's context"`
	Chunk       int    `yaml:"chunk" resume:"free" help:"prompts between two saves, which a stop may lose; 0: as few as keep the device busy"`
	Sampling    `yaml:",inline"`
	Remote      `yaml:",inline"`
}

// DefaultSynth is synth's.
func DefaultSynth() Synth {
	o := synth.DefaultOptions()
	return Synth{Kind: o.Kind, Answers: o.Answers, Instruction: o.Instruction, PerPrompt: 1, MatchLength: true, Sampling: samplingOf(o.Sampling), Remote: DefaultRemote()}
}

// Options are those of synth, but for the model's. The file of rules is read.
func (s Synth) Options() (o synth.Options, err error) {
	o = synth.DefaultOptions()
	o.Kind, o.Answers, o.Instruction, o.MaxLength = s.Kind, s.Answers, s.Instruction, s.MaxLength
	o.Sampling = s.Sampling.options()
	o.Sampling.MaxTokens = cmp.Or(o.Sampling.MaxTokens, record.DefaultSampling().MaxTokens)
	if s.Chunk > 0 {
		o.Chunk = s.Chunk
	}
	if s.Rules != "" {
		if o.Rules, err = synth.LoadRules(s.Rules); err != nil {
			return o, err
		}
	}
	return o, o.Validate()
}

// Pairs are the settings of the second step.
func (s Synth) Pairs() synth.PairOptions {
	return synth.PairOptions{PerPrompt: s.PerPrompt, MatchLength: s.MatchLength}
}
