package main

// What generate, score and eval share: a model that writes critiques, and the records it writes them for.

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/record"
)

// sampler writes critiques for records.
type sampler struct {
	model modelFlags
	files fileFlags
	o     critic.GenerateOptions

	engine *engine.Engine
	plain  bool // rewards at the end of the response, no critiques
}

func (s *sampler) bind(f *pflag.FlagSet, count, help string) {
	s.model.bind(f)
	s.files.bind(f)
	f.IntVar(&s.o.Critiques, count, s.o.Critiques, help)
	f.IntVar(&s.model.given.MaxLength, "max_length", 0, "tokens of a whole sequence: prompt, response and what is written behind them (default: as the model was trained, else the model's context); give train the same")
	f.StringVar(&s.model.given.Overlong, "overlong", "", "records over max_length: error, drop (marked and counted), truncate-left (the prompt's start) or truncate-right (the response's end); default: as the model was trained, else error. "+
		"The model reads the shortened text; the record keeps the whole, and \"shortened\" (\"plain_shortened\") says how many characters were not read; refine and train read the same; give train the same policy")
	f.IntVar(&s.o.Chunk, "chunk", s.o.Chunk, "records between two saves; another number changes no result on the CPU, and rounding at most on a GPU")
	bindSampling(f, &s.o.Sampling, "top_k")
}

// open checks the options and opens the model, whose prompts, scale and limits hold.
func (s *sampler) open(cmd *cobra.Command, reward bool) (close func(), err error) {
	o := s.o // what the model's directory cannot change is checked before it is read
	if o.Overlong = s.model.given.Overlong; o.Overlong == "" {
		o.Overlong = record.OverlongError
	}
	o.MaxLength = s.model.given.MaxLength
	if err := o.Validate(); err != nil {
		return nil, inputError{err}
	}
	if s.engine, close, err = s.model.open(cmd, reward); err != nil {
		return nil, err
	}
	s.o.Prompts, s.o.Scale, s.o.Reading = s.engine.Prompts, s.engine.Scale, s.engine.Reading()
	if err := s.o.Validate(); err != nil {
		close()
		return nil, inputError{err}
	}
	if s.o.Model, err = s.engine.Label(); err != nil {
		close()
		return nil, begin(err)
	}
	return close, nil
}

// readOptions are those of records that are scored in memory.
func (s *sampler) readOptions() record.ReadOptions {
	o := record.ReadOptions{MaxBad: s.files.maxBad, Reads: s.files.reads}
	switch plain := s.plainOptions(); {
	case s.files.maxBad == 0: // scoring finds the first one, too
	case s.plain:
		o.Check = plain.Check()
	default:
		o.Check = s.o.Check()
	}
	return o
}

// sayRead tells which records the model has not read whole.
func sayRead(cmd *cobra.Command, s critic.ReadStats) {
	for _, line := range s.Lines() {
		fmt.Fprintln(cmd.ErrOrStderr(), line)
	}
}

// plainOptions are those of rewards without critiques.
func (s *sampler) plainOptions() critic.PlainOptions {
	return critic.PlainOptions{Chunk: s.o.Chunk, Model: s.o.Model, Reading: s.o.Reading}
}
