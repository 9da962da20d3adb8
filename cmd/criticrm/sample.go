package main

// What generate, score and eval share: a model that writes critiques, and the records it writes them for.

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/internal/progress"
	"criticrm/modeldir"
	"criticrm/pipeline"
	"criticrm/record"
)

// sampler writes critiques for records.
type sampler struct {
	model modelFlags
	files fileFlags
	o     critic.GenerateOptions

	engine *engine.Engine   // nil where servers write
	writer *pipeline.Writer // the engine, or servers
	meter  *progress.Meter
	plain  bool // rewards at the end of the response, no critiques
}

// bind binds the flags of the model, the files and the table that what is.
func (s *sampler) bind(cmd *cobra.Command, what any) {
	s.model.bind(cmd)
	s.files.bind(cmd)
	bindTable(cmd, what)
	s.files.bindTeam(cmd)
}

// open opens the model, or asks for the servers, for the options, which it checks first and completes: prompts, scale and limits hold.
func (s *sampler) open(cmd *cobra.Command, r pipeline.Remote, reward bool) (close func(), err error) {
	o := s.o // what the model's directory cannot change is checked before it is read
	if err := o.Validate(); err != nil {
		return nil, inputError{err}
	}
	s.meter = progress.New(cmd.ErrOrStderr())
	if s.writer, s.engine, close, err = s.model.writer(cmd, r, s.o.Reading, s.o.AskScore, reward, s.meter); err != nil {
		return nil, err
	}
	s.o.Warn = func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
	if err := s.writer.Ask(&s.o); err != nil {
		close()
		return nil, begin(err)
	}
	s.meter.Samples(2 * s.o.Critiques)
	return close, nil
}

// writer opens the model as a writer, or asks for the servers that write in its place (e is nil then), and tells the meter what is written.
// close also tells what servers were asked.
func (m *modelFlags) writer(cmd *cobra.Command, r pipeline.Remote, reading critic.Reading, askScore string, reward bool, meter *progress.Meter) (w *pipeline.Writer, e *engine.Engine, close func(), err error) {
	defer func() {
		if err == nil {
			w.Progress(meter.Wrote)
		}
	}()
	if err := r.Validate(); err != nil {
		return nil, nil, nil, inputError{err}
	}
	if !r.Elsewhere() {
		if err := required(cmd, "model", m.Dir); err != nil {
			return nil, nil, nil, err
		}
		if e, close, err = m.open(cmd, reading.MaxLength, reading.Overlong, reward); err != nil {
			return nil, nil, nil, err
		}
		return pipeline.Local(e), e, close, nil
	}
	if err := errors.Join(m.Validate(), r.Refuse(&m.Model, askScore)); err != nil {
		return nil, nil, nil, inputError{err}
	}
	stderr := cmd.ErrOrStderr()
	given := m.Given(reading.MaxLength, reading.Overlong)
	var d *modeldir.Dir
	if m.Dir != "" {
		if err := asModelDir(cmd, &m.Dir); err != nil {
			return nil, nil, nil, err
		}
		if d, err = modeldir.Open(m.Dir, given); err != nil {
			return nil, nil, nil, begin(err)
		}
		for _, note := range d.Notes {
			fmt.Fprintln(stderr, note)
		}
	}
	w, done, err := r.Open(cmd.Context(), &m.Model, d, given, func(line string) { fmt.Fprintln(stderr, line) })
	if err != nil {
		return nil, nil, nil, begin(err)
	}
	return w, nil, func() {
		meter.Close()
		if line := done(); line != "" {
			fmt.Fprintln(stderr, line)
		}
	}, nil
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
