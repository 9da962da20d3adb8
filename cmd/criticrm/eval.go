package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/checkpoint"
	"criticrm/measure"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/revise"
	"criticrm/stage"
)

// evalResult is the file that --json writes.
type evalResult struct {
	File  string `json:"file"`
	Model string `json:"model,omitempty"`
	*measure.Report
}

func newEval() *cobra.Command {
	var (
		s        sampler
		jsonFile string
		judge    bool
		bench    benchmarkFlags
	)
	e, remote := pipeline.DefaultEval(), pipeline.DefaultRemote()
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Measure preference accuracy on held-out pairs",
		Long: `eval counts how often the response that people preferred has the higher reward, overall and per category, with bootstrap
intervals over prompts. Beside the reward stand the judge (the mean of the scores that the critiques themselves give) and the length of
the response, and, with several critiques per response, the accuracy against their number. Ties count one half and are shown.
Without --model the file must hold rewards (of 'criticrm score') or critiques; with it the records are scored first.
Rows of a public benchmark are known by their columns and scored by its official rule instead; --benchmark names it, and is an error where
the rows are others: ` + benchmarkNames() + `.`,
		Example: `  criticrm eval --model run/model --in held-out.jsonl --samples 8
  criticrm eval --in scored.jsonl --category subset --json eval.json
  criticrm eval --model base --judge --in held-out.jsonl --samples 4
  criticrm eval --engine openai --base_url http://gpu1:8000/v1 --judge --in held-out.jsonl --samples 4`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", s.files.in); err != nil {
				return err
			}
			if err := refuseOutput("json", jsonFile, s.files.in, s.files.out); err != nil {
				return err
			}
			s.o = e.Options()
			if judge {
				s.readsScores(cmd)
			}
			o, err := e.Measure()
			if err != nil {
				return inputError{err}
			}
			s.files.reads = []string{revise.Column} // CriticBench's; said below of others
			if e.Category != "" {
				s.files.reads = append(s.files.reads, e.Category)
			}
			if err := bench.look(&s.files); err != nil {
				return err
			}
			records, err := s.evalRecords(cmd, remote, judge, func(r *record.Record) error { return bench.fits(&s.files, r, "but another") })
			if err != nil {
				return err
			}
			if o.Scale = pipeline.GivenScale(s.model.ScaleMin, s.model.ScaleMax); s.writer != nil {
				o.Scale = s.writer.Scale
			}
			b, err := bench.of(records)
			if err != nil {
				return begin(s.files.named(err))
			}
			if n := revisedRows(records); n > 0 && (b == nil || b.Name != record.CriticBench) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d rows have revisions, which are not measured here: 'criticrm critique-eval' measures them\n", s.files.in, n)
			}
			if b != nil {
				if e.Category != "" {
					fmt.Fprintf(cmd.ErrOrStderr(), "--category is not used: %s is split by its own parts\n", b.Title)
				}
				return bench.run(cmd, &s, b, records, o, jsonFile)
			}
			if e.Category != "" {
				for _, r := range records {
					if err := r.SetCategory(e.Category); err != nil {
						return s.files.named(err)
					}
				}
			}
			result := evalResult{File: s.files.in, Model: s.o.Model}
			if result.Report, err = measure.Evaluate(records, o); err != nil {
				return begin(s.files.named(err))
			}
			if len(result.LeftOut) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d records are not measured: %s\n", len(records)-result.Records, len(records), record.Counts(result.LeftOut))
			}
			if result.LengthOnly() {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: the pairs have no rewards and no sampled critiques: only the length of their responses is measured; give --model, or score them first")
			}
			if result.Shortened > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d records are measured on shortened text\n", result.Shortened, len(records))
			}
			fmt.Fprint(cmd.OutOrStdout(), result.Report)
			if jsonFile == "" {
				return nil
			}
			return writeFigures(jsonFile, result)
		},
	}
	f := cmd.Flags()
	s.bind(cmd, &e)
	bindTable(cmd, &remote)
	f.BoolVar(&s.plain, "plain", false, "with --model: no critiques, a scalar reward at the end of the response")
	f.BoolVar(&judge, "judge", false, "with --model or --engine: a model without a reward head, measured by its critiques' scores alone")
	f.StringVar(&jsonFile, "json", "", "also write the report to this file")
	bench.bind(f)
	return cmd
}

// revisedRows counts the rows that have revisions.
func revisedRows(records []*record.Record) (n int) {
	for _, r := range records {
		if _, ok := r.Extra(revise.Column); ok {
			n++
		}
	}
	return n
}

// writeFigures writes a report for programs to read.
func writeFigures(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(path, append(b, '\n'))
}

// evalRecords reads the records, and with a model scores them first: through --out, or in memory.
func (s *sampler) evalRecords(cmd *cobra.Command, elsewhere pipeline.Remote, judge bool, fits func(*record.Record) error) ([]*record.Record, error) {
	in, asked := s.files.in, s.model.Dir != "" || elsewhere.Elsewhere()
	if err := elsewhere.Validate(); err != nil {
		return nil, inputError{err}
	}
	if !asked {
		if s.files.out != "" || judge || s.plain || s.files.processes != 1 {
			return nil, inputError{fmt.Errorf("--out, --judge, --plain and --nproc need --model, or --engine openai for --judge (see '%s --help')", cmd.CommandPath())}
		}
	} else {
		remove, err := s.files.share(cmd, &s.model, elsewhere)
		if err != nil {
			return nil, err
		}
		defer remove()
		closeModel, err := s.openScorer(cmd, elsewhere, !judge)
		if err != nil {
			return nil, err
		}
		defer closeModel()
		if s.files.out != "" {
			if err := s.scoreFile(cmd); err != nil {
				return nil, err
			}
			in = s.files.out
		}
	}
	o := s.files.read()
	if asked && in == s.files.in {
		o = s.readOptions()
	}
	o.MaxLine = 1 << 30
	if in != s.files.in { // scoring has written it
		o.Layout = record.Layout{}
	}
	records, found, err := stage.ReadFile(in, o)
	if err != nil {
		return nil, begin(err)
	}
	if record.Rereadable(in) != nil && len(records) > 0 { // else that was seen before
		if err := fits(records[0]); err != nil {
			return nil, err
		}
	}
	if !asked {
		good, bad := measure.SetAside(records)
		if len(found.Bad)+len(bad) <= s.files.maxBad { // else measuring names the first
			records = good
			for _, err := range bad {
				found.Bad = append(found.Bad, record.InFile(err, in))
			}
		}
	}
	if in == s.files.in { // else scoring has told it
		sayFound(cmd.ErrOrStderr(), in, "", found)
	}
	if asked && in == s.files.in {
		err = s.scoreRecords(cmd, records, nil)
	}
	return records, err
}
