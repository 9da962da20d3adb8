package main

// What generate, score and eval share: critiques are sampled for records, and records that do not fit the model's context are
// refused, left out or shortened, with their number.

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/record"
	"criticrm/stage"
	"criticrm/tokenizer"
)

// dropOverlong marks a record that is over the model's context; it has no critiques and no rewards.
const dropOverlong = "over the model's context"

// sampler writes critiques for records.
type sampler struct {
	model    modelFlags
	files    fileFlags
	o        critic.GenerateOptions
	prompts  string
	overlong string
	longest  int // tokens of a whole sequence; 0: the model's context

	engine *engine.Engine
	plain  bool // rewards at the end of the response, no critiques
	left   int  // records over the limit in this run
	cut    int  // records that were shortened in this run
	chars  int  // characters that were not read of them
}

func (s *sampler) bind(f *pflag.FlagSet, count, help string) {
	s.model.bind(f)
	s.files.bind(f)
	f.IntVar(&s.o.Critiques, count, s.o.Critiques, help)
	f.StringVar(&s.prompts, "prompts", "", "directory with critique.txt in place of the built-in prompt")
	f.IntVar(&s.longest, "max_length", 0, "tokens of a whole sequence (prompt, response and what is written behind them); 0: the model's context; give train the same")
	f.StringVar(&s.overlong, "overlong", record.OverlongError, "records over max_length: error, drop (marked and counted), truncate-left (the prompt's start) or truncate-right (the response's end). "+
		"The model reads the shortened text; the record keeps the whole, and \"shortened\" (\"plain_shortened\") says how many characters were not read; refine and train read the same; give train the same policy")
	f.IntVar(&s.o.Chunk, "chunk", s.o.Chunk, "records between two saves; another number changes rounding at most")
	bindSampling(f, &s.o.Sampling, "top_k")
	bindScale(f, &s.o.Scale)
}

// open checks the options and opens the model.
func (s *sampler) open(cmd *cobra.Command, reward bool) (close func(), err error) {
	if policies := record.OverlongPolicies(); !slices.Contains(policies, s.overlong) {
		return nil, inputError{fmt.Errorf("--overlong: got %q, want one of %s", s.overlong, strings.Join(policies, ", "))}
	}
	if s.longest < 0 {
		return nil, inputError{fmt.Errorf("--max_length: got %d, want 0 or more", s.longest)}
	}
	if s.o.Prompts, err = critic.LoadPrompts(s.prompts); err != nil {
		return nil, inputError{err}
	}
	if err := s.o.Validate(); err != nil {
		return nil, inputError{err}
	}
	if s.engine, close, err = s.model.open(cmd, reward); err != nil {
		return nil, err
	}
	if s.o.Model, err = s.model.label(); err != nil {
		close()
	}
	return close, err
}

// conversation is what the model reads for a side of a record, and how many tokens it writes behind it.
func (s *sampler) conversation(r *record.Record, side record.Side) (messages []tokenizer.Message, generation bool, write int) {
	if s.plain {
		return r.Messages(side), false, 0
	}
	v := critic.Values{Prompt: r.Prompt, Response: r.Text(side), Scale: s.o.Scale}
	return s.o.Prompts.Critique.Messages(v), true, s.o.Sampling.MaxTokens
}

// limit is the longest sequence.
func (s *sampler) limit() int {
	limit := s.engine.Model.MaxPositionEmbeddings
	if s.longest > 0 {
		limit = min(limit, s.longest)
	}
	return limit
}

// guard lets work have the records that fit the limit, shortened if need be. The others are an error that names file and line, or are
// marked as dropped.
func (s *sampler) guard(work func(context.Context, []*record.Record) error) func(context.Context, []*record.Record) error {
	return func(ctx context.Context, records []*record.Record) error {
		var fit, over []*record.Record
		for _, r := range records {
			cut, fault, err := s.fit(r)
			switch {
			case err != nil:
				return fmt.Errorf("record %q: %w", r.ID, err)
			case fault == "":
				r.PlainCut = nil
				if s.plain {
					r.PlainCut = cut
				} else {
					r.Cut = cut
				}
				if cut != nil {
					s.cut++
					s.chars += cut.Characters()
				}
				fit = append(fit, r)
			case s.overlong == record.OverlongError:
				hint := "use --overlong drop, truncate-left or truncate-right"
				if !s.plain {
					hint += ", or a smaller --max_tokens"
				}
				return &record.RowError{File: s.files.in, Line: r.Line, At: -1, Msg: fault + " (" + hint + ")"}
			default:
				over = append(over, r)
			}
		}
		if len(fit) > 0 {
			if err := work(ctx, fit); err != nil {
				return err
			}
		}
		s.left += len(over)
		for _, r := range over {
			clearSampled(r)
			r.Dropped = dropOverlong
		}
		return nil
	}
}

// fit is how a record's whole text must be cut so that it fits the limit; what an earlier model has read does not count. fault says
// what does not fit.
func (s *sampler) fit(r *record.Record) (cut *record.Cut, fault string, err error) {
	limit, whole := s.limit(), r.Shortened(nil)
	f := record.Shortener{Encode: s.engine.Tok.Encode, Decode: s.engine.Tok.DecodeText}
	cut, left, err := f.Fit(whole, s.overlong, func(short *record.Record) ([]int, error) {
		var over []int
		fault = ""
		for _, side := range short.Sides() {
			messages, generation, write := s.conversation(short, side)
			ids, err := s.engine.Encode(messages, generation)
			if err != nil {
				return nil, err
			}
			if over = append(over, len(ids)+write-limit); len(ids)+write > limit && fault == "" {
				fault = fmt.Sprintf("%q: %d tokens to read and %d to write, context is %d", side, len(ids), write, limit)
			}
		}
		return over, nil
	})
	if left == 0 {
		fault = ""
	}
	return cut, fault, err
}

// clearSampled takes away what an earlier model has written.
func clearSampled(r *record.Record) {
	for _, side := range r.Sides() {
		var given []record.Critique
		for _, c := range *r.SideCritiques(side) {
			if c.Origin == record.OriginGiven {
				given = append(given, c)
			}
		}
		*r.SideCritiques(side), *r.SideReward(side) = given, nil
	}
	r.Critic, r.Cut, r.PlainCut = nil, nil, nil
}

// fitted adds to the settings of a stage how records are made to fit.
type fitted struct {
	MaxLength int    `json:"max_length"`
	Overlong  string `json:"overlong"`
	Stage     any    `json:"stage"`
}

// run runs a stage over the records that fit.
func (s *sampler) run(cmd *cobra.Command, stage *stage.Stage) error {
	stage.Work = s.guard(stage.Work)
	if s.longest > 0 || s.overlong == record.TruncateLeft || s.overlong == record.TruncateRight {
		stage.Settings = fitted{MaxLength: s.longest, Overlong: s.overlong, Stage: stage.Settings} // what the model reads must not change in the middle of a file
	}
	err := s.files.runStage(cmd, stage)
	s.sayLeft(cmd)
	return err
}

func (s *sampler) sayLeft(cmd *cobra.Command) {
	if s.left > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d records dropped: %s\n", s.left, dropOverlong)
	}
	if s.cut > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d records shortened (%s): %d characters are not read\n", s.cut, s.overlong, s.chars)
	}
}
