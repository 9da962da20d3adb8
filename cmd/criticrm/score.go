package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/trainer"
)

func newScore() *cobra.Command {
	s := sampler{o: critic.DefaultScoreOptions()}
	cmd := &cobra.Command{
		Use:   "score",
		Short: "Write rewards of responses, with the critiques they are read after",
		Long: `score samples m fresh critiques of each response and reads a reward after each; the reward of a response is their mean.
With --plain, and by itself for models that were trained with method bt, it is read at the end of the response instead.
Rows are pairs (prompt, chosen, rejected) or single responses (prompt, response). Without --out the records go to standard output.`,
		Example: `  criticrm score --model run/model --in pairs.jsonl --out scored.jsonl --samples 8
  criticrm score --model run/model --in answers.jsonl | jq .reward`,
		Args:        noArgs,
		Annotations: map[string]string{"m": "samples", "critiques": "samples"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", s.model.dir, "in", s.files.in); err != nil {
				return err
			}
			if err := s.plainByItself(cmd); err != nil {
				return err
			}
			closeModel, err := s.open(cmd, true)
			if err != nil {
				return err
			}
			defer closeModel()
			if s.files.out != "" {
				return s.scoreFile(cmd)
			}
			records, err := record.ReadFile(s.files.in, record.ReadOptions{MaxBad: s.files.maxBad})
			if err != nil {
				return begin(err)
			}
			return s.scoreRecords(cmd, records, cmd.OutOrStdout())
		},
	}
	s.bind(cmd.Flags(), "samples", "critiques whose rewards are averaged (m)")
	cmd.Flags().BoolVar(&s.plain, "plain", false, "no critiques: a scalar reward at the end of the response")
	return cmd
}

// plainByItself sets plain for models that say that they are scalar ones, unless the user has spoken.
func (s *sampler) plainByItself(cmd *cobra.Command) error {
	b, err := os.ReadFile(filepath.Join(s.model.dir, metaFile))
	if err != nil {
		return nil // not trained here
	}
	var meta struct{ Method string }
	if err := json.Unmarshal(b, &meta); err != nil {
		return inputError{fmt.Errorf("%s: %w", filepath.Join(s.model.dir, metaFile), err)}
	}
	if meta.Method == trainer.BT && !cmd.Flags().Changed("plain") {
		fmt.Fprintln(cmd.ErrOrStderr(), "the model is a scalar one (method bt): rewards are read at the end of the responses, as with --plain")
		s.plain = true
	}
	return nil
}

// scoreFile scores from file to file and can go on after an interruption.
func (s *sampler) scoreFile(cmd *cobra.Command) error {
	if s.plain {
		stage := critic.ScorePlainStage(s.files.in, s.files.out, s.engine, s.o.Model, s.o.Chunk)
		if err := s.run(cmd, stage); err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: scored\n", s.files.out)
		return nil
	}
	stage, stats, err := critic.ScoreStage(s.files.in, s.files.out, s.engine, s.o)
	if err != nil {
		return inputError{err}
	}
	if err := s.run(cmd, stage); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", s.files.out, stats)
	return nil
}

// scoreRecords scores in memory; finished records go to w, if there is one.
func (s *sampler) scoreRecords(cmd *cobra.Command, records []*record.Record, w io.Writer) error {
	work := s.guard(func(ctx context.Context, part []*record.Record) (err error) {
		if s.plain {
			return critic.ScorePlain(ctx, s.engine, part, len(part))
		}
		if s.engine.Model.HasHead() {
			_, err = critic.Score(ctx, s.engine, part, s.o)
		} else { // eval --judge: the critiques' own scores are all there is
			_, err = critic.Generate(ctx, s.engine, part, s.o)
		}
		return err
	})
	p := newProgress(cmd.ErrOrStderr())
	defer p.close()
	for done := 0; done < len(records); {
		p.report("score", done, len(records), 0)
		part := records[done:min(done+s.o.Chunk, len(records))]
		if err := work(cmd.Context(), part); err != nil {
			return err
		}
		if w != nil {
			if err := record.WriteRecords(w, part); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
		done += len(part)
		p.report("score", done, len(records), 0)
	}
	s.sayLeft(cmd)
	return nil
}
