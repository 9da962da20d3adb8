package main

// What generate, score and eval share: critiques are sampled for records, and records that do not fit the model's context are
// refused or left out, with their number.

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/critic"
	"criticrm/engine"
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

	engine *engine.Engine
	plain  bool // rewards at the end of the response, no critiques
	left   int  // records over the context in this run
}

func (s *sampler) bind(f *pflag.FlagSet, count, help string) {
	s.model.bind(f)
	s.files.bind(f)
	f.IntVar(&s.o.Critiques, count, s.o.Critiques, help)
	f.StringVar(&s.prompts, "prompts", "", "directory with critique.txt in place of the built-in prompt")
	f.StringVar(&s.overlong, "overlong", "error", "records over the model's context: error, or drop (marked as dropped and counted)")
	f.IntVar(&s.o.Chunk, "chunk", s.o.Chunk, "records between two saves; another number changes rounding at most")
	bindSampling(f, &s.o.Sampling, "top_k")
	bindScale(f, &s.o.Scale)
}

// open checks the options and opens the model.
func (s *sampler) open(reward bool) (close func(), err error) {
	if s.overlong != "error" && s.overlong != "drop" {
		return nil, inputError{fmt.Errorf("--overlong: got %q, want error or drop", s.overlong)}
	}
	if s.o.Prompts, err = critic.LoadPrompts(s.prompts); err != nil {
		return nil, inputError{err}
	}
	if err := s.o.Validate(); err != nil {
		return nil, inputError{err}
	}
	if s.engine, close, err = s.model.open(reward); err != nil {
		return nil, err
	}
	if s.o.Model, err = s.model.label(); err != nil {
		close()
	}
	return close, err
}

// conversation is what the model reads for a side of a record, and how many tokens it writes behind it.
func (s *sampler) conversation(r *critic.Record, side critic.Side) (messages []tokenizer.Message, generation bool, write int) {
	if s.plain {
		return r.Messages(side), false, 0
	}
	v := critic.Values{Prompt: r.Prompt, Response: r.Text(side), Scale: s.o.Scale}
	return s.o.Prompts.Critique.Messages(v), true, s.o.Sampling.MaxTokens
}

// guard lets work have the records that fit the context. The others are an error that names file and line, or are marked as dropped.
func (s *sampler) guard(work func(context.Context, []*critic.Record) error) func(context.Context, []*critic.Record) error {
	return func(ctx context.Context, records []*critic.Record) error {
		limit := s.engine.Model.MaxPositionEmbeddings
		var fit, over []*critic.Record
		for _, r := range records {
			fault := ""
			for _, side := range r.Sides() {
				messages, generation, write := s.conversation(r, side)
				ids, err := s.engine.Encode(messages, generation)
				if err != nil {
					return fmt.Errorf("record %q: %w", r.ID, err)
				}
				if len(ids)+write > limit && fault == "" {
					fault = fmt.Sprintf("%q: %d tokens to read and %d to write, context is %d", side, len(ids), write, limit)
				}
			}
			switch {
			case fault == "":
				fit = append(fit, r)
			case s.overlong == "error":
				hint := "use --overlong drop"
				if !s.plain {
					hint += ", or a smaller --max_tokens"
				}
				return &critic.RowError{File: s.files.in, Line: r.Line, At: -1, Msg: fault + " (" + hint + ")"}
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

// clearSampled takes away what an earlier model has written.
func clearSampled(r *critic.Record) {
	for _, side := range r.Sides() {
		var given []critic.Critique
		for _, c := range *r.SideCritiques(side) {
			if c.Origin == critic.OriginGiven {
				given = append(given, c)
			}
		}
		*r.SideCritiques(side), *r.SideReward(side) = given, nil
	}
}

// run runs a stage over the records that fit.
func (s *sampler) run(cmd *cobra.Command, stage *critic.Stage) error {
	stage.Work = s.guard(stage.Work)
	err := s.files.runStage(cmd, stage)
	s.sayLeft(cmd)
	return err
}

func (s *sampler) sayLeft(cmd *cobra.Command) {
	if s.left > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d records dropped: %s\n", s.left, dropOverlong)
	}
}
