package critic

// Generate: N sampled critiques per response, with their own scores. The critic does not see the label.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"criticrm/record"
	"criticrm/tokenizer"
)

// Request is a conversation that ends where the model is to write, and how many samples are wanted.
type Request struct {
	Messages []tokenizer.Message
	N        int
	Key      uint64 // random stream: sample i depends on (Sampling.Seed, Key, i) only
	Ask      *Ask   // how samples that end without a score go on, the same for all requests of a call; nil: they do not
}

// Sample is one text that a Generator wrote.
type Sample struct {
	Text         string  // without control tokens
	Tokens       []int32 // as sampled, with the stop token if one came; nil where the engine does not say them
	LogProb      float64 // natural log, summed over Tokens, at temperature 1 and among all tokens, of an asked-for score too; 0 without them
	FinishReason string  // FinishStop or FinishLength: how it ended by itself
	Reward       *float32
	Asked        *Asked // what came of Request.Ask; nil: nothing was put behind it
}

// Generator writes text. Generate gives len(reqs) lists, list i with reqs[i].N samples; sample j of a request must
// depend on the messages, s, the request's Key and j only. With an *OverContext the lists of the requests that it names are empty,
// and the others as without; with any other error they are nothing.
type Generator interface {
	Generate(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error)
}

// GenerateOptions are the settings of Generate.
type GenerateOptions struct {
	Critiques int             `json:"critiques"` // N samples per response
	Sampling  record.Sampling `json:"sampling"`
	Scale     Scale           `json:"scale"`
	AskScore  string          `json:"ask_score,omitempty"` // critiques that end without a score: AskOff, AskSample or AskExpect; "": off
	Chunk     int             `json:"-"`                   // records per call of the Generator; another number changes no result on the CPU, and rounding at most on a GPU
	MinParsed float64         `json:"-"`                   // share of critiques that must end in a score; fewer stop the work, see ErrUnparsed. 0: no guard
	Warn      func(string)    `json:"-"`                   // gets a few lines when no critique of the first ones ends in a score; nil: not
	Model     string          `json:"model"`               // name or hash of the model, stored with the critiques
	Prompts   *Prompts        `json:"-"`                   // nil: DefaultPrompts
	Reading   `json:"-"`
}

// DefaultGenerateOptions is N = 10 on a scale of 1 to 10.
func DefaultGenerateOptions() GenerateOptions {
	return GenerateOptions{Critiques: 10, Sampling: record.DefaultSampling(), Scale: DefaultScale(), Chunk: 64, MinParsed: 0.05}
}

// Validate checks the settings and fills what has a default.
func (o *GenerateOptions) Validate() error {
	if o.Critiques < 1 || o.Critiques > 10000 {
		return fmt.Errorf("critic: critiques: got %d, want 1 to 10000", o.Critiques)
	}
	if o.Critiques > 1 && o.Sampling.Temperature == 0 {
		return fmt.Errorf("critic: temperature 0 makes all %d critiques equal: set a temperature or critiques to 1", o.Critiques)
	}
	if !(o.MinParsed >= 0 && o.MinParsed <= 1) {
		return fmt.Errorf("critic: min_parsed: got %v, want 0 to 1", o.MinParsed)
	}
	if err := o.Scale.Validate(); err != nil {
		return err
	}
	if o.Prompts == nil {
		o.Prompts = DefaultPrompts()
	}
	if err := validChunk(&o.Chunk); err != nil {
		return err
	}
	if err := o.Reading.validate(); err != nil {
		return err
	}
	return errors.Join(validAsk(&o.AskScore), validSampling(&o.Sampling))
}

// validSampling checks settings of sampling; without a number of tokens it is the default's.
func validSampling(s *record.Sampling) error {
	s.MaxTokens = cmp.Or(s.MaxTokens, record.DefaultSampling().MaxTokens)
	return s.Validate()
}

// maxChunk bounds the records of a chunk.
const maxChunk = 1 << 20

// validChunk refuses numbers that no memory has room for; 0 is the default of 64.
func validChunk(chunk *int) error {
	if *chunk == 0 {
		*chunk = 64
	}
	if *chunk < 1 || *chunk > maxChunk {
		return fmt.Errorf("critic: chunk: got %d, want 1 to %d", *chunk, maxChunk)
	}
	return nil
}

// Asks is how critiques that end without a score go on; nil: they do not. The options are valid.
func (o *GenerateOptions) Asks() *Ask { return o.Prompts.Critique.ask(o.AskScore, o.Scale) }

// question is what the critic is asked about each side.
func (o *GenerateOptions) question() Question {
	return Question{Write: o.Sampling.MaxTokens, lacks: o.Prompts.Lacks, Ask: o.Asks(), Messages: func(r *record.Record, s record.Side) []tokenizer.Message {
		return o.Prompts.Ask(r, s, o.Scale)
	}}
}

// Check says what Generate and Score would refuse a record for; see record.ReadOptions.
func (o *GenerateOptions) Check() func(*record.Record) error {
	return o.check(o.question(), false)
}

// Generate asks g for o.Critiques critiques of every response and puts them into the records. What the model reads of a record is said
// by its Cut, which o.Limits sets; without Limits it is taken as it is. Earlier samples are
// replaced; critiques that the input gave stay in front. On an error the records of finished chunks are complete
// and the others unchanged.
func Generate(ctx context.Context, g Generator, records []*record.Record, o GenerateOptions) (*CritiqueStats, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	stats, guard := NewCritiqueStats(o.Scale), newGuard(&o)
	err := inChunks(ctx, records, o.Chunk, func(chunk []*record.Record) error {
		if err := generateChunk(ctx, g, chunk, &o, "critique"); err != nil {
			return err
		}
		for _, r := range chunk {
			stats.Observe(r)
			if err := guard.observe(r); err != nil {
				return err
			}
		}
		return nil
	})
	return stats, err
}

// inChunks calls f on consecutive parts and looks at the context between them.
func inChunks(ctx context.Context, records []*record.Record, chunk int, f func([]*record.Record) error) error {
	for len(records) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(chunk, len(records))
		if err := f(records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

func generateChunk(ctx context.Context, g Generator, records []*record.Record, o *GenerateOptions, purpose string) error {
	return o.work(records, o.question(), false, func(records []*record.Record) error { return o.sample(ctx, g, records, purpose) })
}

// sample writes critiques for records that fit.
func (o *GenerateOptions) sample(ctx context.Context, g Generator, records []*record.Record, purpose string) error {
	var reqs []Request
	ask := o.Asks()
	for _, r := range records {
		short := r.AsRead()
		for _, side := range r.Sides() {
			reqs = append(reqs, Request{
				Messages: o.Prompts.Ask(short, side, o.Scale),
				N:        o.Critiques,
				Key:      KeyOf(purpose, r.ID, side, 0),
				Ask:      ask,
			})
		}
	}
	out, err := Samples(ctx, g, reqs, o.Sampling)
	over, err := overContext(err)
	if err != nil {
		return fmt.Errorf("critic: generate for records %.40q to %.40q: %w", records[0].ID, records[len(records)-1].ID, err)
	}
	i := 0
	scale := record.Range(o.Scale)
	for _, r := range records {
		first, n := i, len(r.Sides())
		if why := over.of(first, n); why != "" {
			if o.Overlong != record.OverlongDrop {
				return r.Fault("%s (use overlong drop, a smaller max_tokens, or a smaller max_length with a policy that truncates)", why)
			}
			leaveOut(r)
			i += n
			continue
		}
		r.Dropped = ""
		r.Critic = &record.CriticInfo{Model: o.Model, Prompts: o.Prompts.Hash(), Scale: &scale, AskScore: o.AskScore, Sampling: o.Sampling}
		for _, side := range r.Sides() {
			dst := r.SideCritiques(side)
			*dst = append(givenCritiques(*dst), critiquesOf(out[i], o.Scale, o.Prompts.Critique)...)
			i++
		}
	}
	return nil
}

// givenCritiques are those that came with the input.
func givenCritiques(list []record.Critique) []record.Critique {
	var out []record.Critique
	for _, c := range list {
		if c.Origin == record.OriginGiven {
			out = append(out, c)
		}
	}
	return out
}

// critiquesOf are samples with their scores; asked is the template that they were asked with.
func critiquesOf(samples []Sample, scale Scale, asked *Template) []record.Critique {
	out := make([]record.Critique, len(samples))
	for i, s := range samples {
		text := strings.ToValidUTF8(s.Text, "\uFFFD") // a sample cut inside a character must not spoil its row; the tokens keep it exactly
		out[i] = record.Critique{Text: text, Tokens: s.Tokens, LogProb: s.LogProb, FinishReason: s.FinishReason, Reward: s.Reward}
		out[i].Score, out[i].Verdict = s.score(scale, asked)
		if s.Asked != nil {
			out[i].AskedTokens, out[i].Chance = s.Asked.Tokens, s.Asked.Chance
		}
	}
	return out
}

// score is a sample's, and how it came by it; nil and "" without one.
func (s *Sample) score(scale Scale, asked *Template) (*float64, string) {
	switch a := s.Asked; {
	case a != nil && a.Mean != nil:
		return a.Mean, record.VerdictExpected
	case a != nil:
		score := float64(a.Score)
		return &score, record.VerdictAsked
	}
	v := scale.scoreOf(asked.begun(scale)+strings.ToValidUTF8(s.Text, "\uFFFD"), s.FinishReason)
	if !v.OK {
		return nil, ""
	}
	return &v.Score, record.VerdictWritten
}

// Samples calls g and refuses answers that break its contract, before they reach a record. An *OverContext passes through, beside the answers.
func Samples(ctx context.Context, g Generator, reqs []Request, s record.Sampling) ([][]Sample, error) {
	if s.TopP == 0 {
		s.TopP = 1
	}
	out, failed := g.Generate(ctx, reqs, s)
	over, err := overContext(failed)
	if err != nil {
		return nil, err
	}
	if len(out) != len(reqs) {
		return nil, fmt.Errorf("generator gave %d answers for %d requests", len(out), len(reqs))
	}
	for i, list := range out {
		want := reqs[i].N
		if over.of(i, 1) != "" {
			want = 0
		}
		if len(list) != want {
			return nil, fmt.Errorf("generator gave %d samples, want %d", len(list), want)
		}
		for _, x := range list {
			switch {
			case math.IsNaN(x.LogProb) || math.IsInf(x.LogProb, 0):
				return nil, fmt.Errorf("generator gave the log-probability %v", x.LogProb)
			case x.FinishReason != record.FinishStop && x.FinishReason != record.FinishLength:
				return nil, fmt.Errorf("generator gave the finish reason %.40q", x.FinishReason)
			case s.Reward && (x.Reward == nil || math.IsNaN(float64(*x.Reward)) || math.IsInf(float64(*x.Reward), 0)):
				return nil, fmt.Errorf("generator gave no finite reward for a sample: is there a reward head?")
			}
			if err := reqs[i].Ask.check(&x); err != nil {
				return nil, err
			}
		}
	}
	return out, failed
}

// CritiqueStats counts what a generating stage has done. It is a function of the finished records only.
type CritiqueStats struct {
	Records   int            `json:"records"`
	Responses int            `json:"responses"`
	Critiques int            `json:"critiques"`       // sampled ones; given ones are not counted
	Parsed    int            `json:"parsed"`          // have a score
	Asked     int            `json:"asked,omitempty"` // of those, were asked for it
	Truncated int            `json:"truncated"`       // finish reason "length"
	Tokens    int            `json:"tokens"`
	Unparsed  map[string]int `json:"unparsed"` // by cause
	MeanScore float64        `json:"mean_score"`
	ReadStats

	scale Scale
	sum   float64
}

// NewCritiqueStats counts on a scale.
func NewCritiqueStats(s Scale) *CritiqueStats {
	return &CritiqueStats{scale: s, Unparsed: map[string]int{}}
}

// Observe adds one finished record.
func (s *CritiqueStats) Observe(r *record.Record) {
	s.Records++
	s.observe(r, r.Cut)
	for _, side := range r.Sides() {
		s.Responses++
		for _, c := range *r.SideCritiques(side) {
			if c.Origin == record.OriginGiven {
				continue
			}
			s.Critiques++
			s.Tokens += len(c.Tokens)
			if c.FinishReason == record.FinishLength {
				s.Truncated++
			}
			if c.Score != nil {
				s.Parsed++
				if c.AskedTokens > 0 {
					s.Asked++
				}
				s.sum += *c.Score
				s.MeanScore = s.sum / float64(s.Parsed)
			} else {
				s.Unparsed[s.scale.scoreOf(c.Text, c.FinishReason).Cause]++
			}
		}
	}
}

// String is one line for the log.
func (s *CritiqueStats) String() string {
	mean, why := "", ""
	if s.Asked > 0 {
		mean = fmt.Sprintf(", %d of them asked for", s.Asked)
	}
	if s.Parsed > 0 {
		mean += fmt.Sprintf(" (mean score %.2f)", s.MeanScore)
	}
	if len(s.Unparsed) > 0 {
		why = " (" + record.Counts(s.Unparsed) + ")"
	}
	tokens := fmt.Sprintf(", %d tokens", s.Tokens)
	if s.Tokens == 0 && s.Critiques > 0 { // texts of another engine, which does not say them
		tokens = ""
	}
	return fmt.Sprintf("%d records, %d critiques: %d parsed%s, %d not parsed%s, %d cut by the token limit%s",
		s.Records, s.Critiques, s.Parsed, mean, s.Critiques-s.Parsed, why, s.Truncated, tokens)
}
