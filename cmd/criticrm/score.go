package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/stage"
)

func newScore() *cobra.Command {
	var s sampler
	o, remote := pipeline.DefaultScore(), pipeline.DefaultRemote()
	var judge bool
	cmd := &cobra.Command{
		Use:   "score",
		Short: "Write rewards of responses, with the critiques they are read after",
		Long: `score samples m fresh critiques of each response and reads a reward after each; the reward of a response is their mean.
With --plain, and by itself for models that were trained with method bt, it is read at the end of the response instead. With --judge a model
without a reward head, or a server (--engine openai), writes critiques whose own scores are read; 'eval' measures them.
Rows are pairs (prompt, chosen, rejected) or single responses (prompt, response). Without --out the records go to standard output.`,
		Example: `  criticrm score --model run/model --in pairs.jsonl --out scored.jsonl --samples 8
  criticrm score --model run/model --in answers.jsonl | jq .reward
  criticrm score --engine openai --base_url http://gpu1:8000/v1 --judge --in pairs.jsonl --out judged.jsonl --samples 4`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted := []string{"in", s.files.in}
			if !remote.Elsewhere() {
				wanted = append([]string{"model", s.model.Dir}, wanted...)
			}
			if err := required(cmd, wanted...); err != nil {
				return err
			}
			if err := remote.Validate(); err != nil {
				return inputError{err}
			}
			if judge && s.plain {
				return inputError{errors.New("--judge reads scores in critiques, and --plain asks for none: give one of them")}
			}
			s.o = o.Options()
			if judge {
				s.readsScores(cmd)
			}
			remove, err := s.files.share(cmd, &s.model, remote)
			if err != nil {
				return err
			}
			defer remove()
			closeModel, err := s.openScorer(cmd, remote, !judge)
			if err != nil {
				return err
			}
			defer closeModel()
			if s.files.out != "" {
				if err = s.scoreFile(cmd); err == nil && s.files.unnamed {
					err = s.files.written(cmd.OutOrStdout())
				}
				return err
			}
			records, found, err := stage.ReadFile(s.files.in, s.readOptions())
			if err != nil {
				return begin(err)
			}
			sayFound(cmd.ErrOrStderr(), s.files.in, "", found)
			return s.scoreRecords(cmd, records, cmd.OutOrStdout())
		},
	}
	s.bind(cmd, &o)
	s.files.bindShard(cmd)
	bindTable(cmd, &remote)
	cmd.Flags().BoolVar(&judge, "judge", false, "a model without a reward head, or a server: critiques whose own scores are read")
	cmd.Flags().BoolVar(&s.plain, "plain", false, "no critiques: a scalar reward at the end of the response")
	return cmd
}

// openScorer opens the model, and says if it is one that reads rewards without critiques, unless the user has spoken.
func (s *sampler) openScorer(cmd *cobra.Command, r pipeline.Remote, reward bool) (close func(), err error) {
	if r.Elsewhere() && reward {
		return nil, inputError{fmt.Errorf("engine %s reads no rewards: take --judge, which measures by the critiques' scores, or --model", r.Engine)}
	}
	if close, err = s.open(cmd, r, reward); err != nil || s.engine == nil {
		return close, err
	}
	if s.engine.Plain() && !cmd.Flags().Changed("plain") {
		fmt.Fprintln(cmd.ErrOrStderr(), "the model is a scalar one (method bt): rewards are read at the end of the responses, as with --plain")
		s.plain = true
	}
	if s.engine.Model.HasHead() {
		notes := len(s.engine.Dir.Notes)
		if err := s.engine.Dir.ReadAs(s.plain); err != nil {
			close()
			return nil, inputError{err}
		}
		for _, note := range s.engine.Dir.Notes[notes:] {
			fmt.Fprintln(cmd.ErrOrStderr(), note)
		}
	}
	return close, nil
}

// readsScores lets scoring stop where few critiques have a score, unless the user has spoken: a judge is its scores.
func (s *sampler) readsScores(cmd *cobra.Command) {
	if !cmd.Flags().Changed("min_parsed") {
		s.o.MinParsed = critic.DefaultGenerateOptions().MinParsed
	}
}

// scoreFile scores from file to file and can go on after an interruption.
func (s *sampler) scoreFile(cmd *cobra.Command) error {
	if s.plain {
		step, stats, err := critic.ScorePlainStage(s.files.in, s.files.out, s.engine, s.plainOptions())
		return s.runScore(cmd, step, stats, "scored", err)
	}
	make := critic.ScoreStage
	if s.engine == nil || !s.engine.Model.HasHead() { // a judge
		make = critic.GenerateStage
	}
	step, stats, err := make(s.files.in, s.files.out, s.writer, s.o)
	if err != nil {
		return inputError{err}
	}
	return s.runScore(cmd, step, &stats.ReadStats, stats, nil)
}

// runScore runs a step that err may have kept from being made, and tells what it found.
func (s *sampler) runScore(cmd *cobra.Command, step *stage.Stage, read *critic.ReadStats, what any, err error) error {
	if err != nil {
		return inputError{err}
	}
	if err := s.files.runStage(cmd, step, s.meter); err != nil {
		return err
	}
	sayRead(cmd, *read)
	name := s.files.out
	if s.files.unnamed {
		name = s.files.in
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", name, what)
	return nil
}

// scoreRecords scores in memory; finished records go to w, if there is one.
func (s *sampler) scoreRecords(cmd *cobra.Command, records []*record.Record, w io.Writer) error {
	defer s.meter.Close()
	var read critic.ReadStats
	stats := critic.NewCritiqueStats(s.writer.Scale)
	for done := 0; done < len(records); {
		s.meter.Records("score", done, len(records), 0)
		part := records[done:min(done+s.o.Chunk, len(records))]
		got, err := s.scorePart(cmd, part)
		if err != nil {
			return s.files.named(err)
		}
		read.Add(got)
		for _, r := range part {
			stats.Observe(r)
		}
		if w != nil {
			if err := record.WriteRecords(w, part); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
		done += len(part)
		s.meter.Records("score", done, len(records), 0)
	}
	sayRead(cmd, read)
	if w != nil && !s.plain { // a report of eval has it
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", s.files.in, stats)
	}
	return nil
}

// scorePart scores some records: with rewards, or, where servers write, by the critiques' own scores.
func (s *sampler) scorePart(cmd *cobra.Command, part []*record.Record) (read critic.ReadStats, err error) {
	if s.engine != nil {
		return s.engine.Score(cmd.Context(), part, s.o, s.plain)
	}
	stats, err := critic.Generate(cmd.Context(), s.writer, part, s.o)
	if err == nil {
		read = stats.ReadStats
	}
	return read, err
}
