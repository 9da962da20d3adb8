package main

// What generate, score and eval share: a model that writes critiques, and the records it writes them for.

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/internal/progress"
	"criticrm/pipeline"
	"criticrm/record"
)

// sampler writes critiques for records.
type sampler struct {
	model modelFlags
	files fileFlags
	o     critic.GenerateOptions

	engine *engine.Engine
	meter  *progress.Meter
	plain  bool // rewards at the end of the response, no critiques
}

// bind binds the flags of the model, the files and the table that what is.
func (s *sampler) bind(cmd *cobra.Command, what any) {
	s.model.bind(cmd)
	s.files.bind(cmd)
	bindTable(cmd, what)
}

// open opens the model for the options, which it checks first and completes: its prompts, scale and limits hold.
func (s *sampler) open(cmd *cobra.Command, reward bool) (close func(), err error) {
	o := s.o // what the model's directory cannot change is checked before it is read
	if err := o.Validate(); err != nil {
		return nil, inputError{err}
	}
	if s.engine, close, err = s.model.open(cmd, s.o.MaxLength, s.o.Overlong, reward); err != nil {
		return nil, err
	}
	s.o.Warn = func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
	if err := pipeline.Ask(s.engine, &s.o); err != nil {
		close()
		return nil, begin(err)
	}
	s.meter = progress.New(cmd.ErrOrStderr())
	s.meter.Samples(2 * s.o.Critiques)
	s.engine.Progress = s.meter.Wrote
	return close, nil
}

// readOptions are those of records that are scored in memory.
func (s *sampler) readOptions() record.ReadOptions {
	o := s.files.read()
	if !s.plain {
		o.Reads = slices.Concat(o.Reads, s.o.Prompts.Columns())
	}
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
