package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"criticrm/checkpoint"
	"criticrm/internal/progress"
	"criticrm/measure"
	"criticrm/pipeline"
	"criticrm/quality"
	"criticrm/record"
	"criticrm/stage"
)

// critiqueResult is the file that --json writes.
type critiqueResult struct {
	File  string `json:"file"`
	Valid string `json:"valid,omitempty"`
	*quality.Report
}

func newCritiqueEval() *cobra.Command {
	var (
		files                      fileFlags
		valid, jsonFile, itemsFile string
	)
	c := pipeline.DefaultCritiqueEval()
	cmd := &cobra.Command{
		Use:   "critique-eval",
		Short: "Measure critiques against responses that are known to be right or wrong",
		Long: `critique-eval reads rows that 'criticrm score', 'generate' or 'revise' has written, of responses with a label (correct), and says
how well their critiques find the wrong ones: precision, recall, F1, MCC and AUROC of the verdict of one critique, of the mean of several and
of the reward, with intervals by bootstrap over prompts. Thresholds are set on --valid, by the best MCC; without it they are the scale's
middle and 0. Where rows say which step is the first wrong one (first_error_step), finding it is measured, too; where they have revisions,
what those made of the responses; where a prompt has several responses, how often the best one of n is right.`,
		Example: `  criticrm score --model run/model --in labelled.jsonl --out scored.jsonl --samples 8
  criticrm critique-eval --in scored.jsonl --json quality.json --items items.jsonl
  criticrm critique-eval --in scored.jsonl --valid scored-valid.jsonl --pairs_labelled`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", files.in); err != nil {
				return err
			}
			for flag, out := range map[string]string{"json": jsonFile, "items": itemsFile} {
				if err := refuseOutput(flag, out, files.in, valid); err != nil {
					return err
				}
			}
			o, reading, err := c.Options()
			if err != nil {
				return inputError{err}
			}
			o.Scale = pipeline.GivenScale(c.ScaleMin, c.ScaleMax)
			items, report, err := readItems(cmd, &files, files.in, c.Category, reading, &o)
			if err != nil {
				return err
			}
			var held []*quality.Item
			if valid != "" {
				v := quality.Options{Scale: pipeline.GivenScale(c.ScaleMin, c.ScaleMax)}
				if held, _, err = readItems(cmd, &files, valid, c.Category, reading, &v); err != nil {
					return err
				}
				if v.Scale != o.Scale {
					return inputError{fmt.Errorf("%s has scores from %d to %d, %s from %d to %d: a threshold of one is none of the other", valid, v.Scale.Min, v.Scale.Max, files.in, o.Scale.Min, o.Scale.Max)}
				}
			}
			meter := progress.New(cmd.ErrOrStderr())
			o.Progress = func(draws int) { meter.Records("bootstrap draws", draws, 0, 0) }
			result := critiqueResult{File: files.in, Valid: valid}
			result.Report, err = quality.Evaluate(items, held, o)
			meter.Close()
			if err != nil {
				return inputError{err}
			}
			result.Records, result.LeftOut = report.Records, report.LeftOut
			fmt.Fprint(cmd.OutOrStdout(), result.Report)
			if itemsFile != "" {
				if err := writeItems(itemsFile, items); err != nil {
					return err
				}
			}
			if jsonFile == "" {
				return nil
			}
			return writeFigures(jsonFile, result)
		},
	}
	f := cmd.Flags()
	f.StringVar(&files.in, "in", "", inputHelp)
	f.StringVar(&valid, "valid", "", "validation rows, scored alike, on which thresholds are set (default: the scale's middle and 0)")
	namesRows(f, "valid")
	f.StringVar(&jsonFile, "json", "", "also write the report to this file")
	f.StringVar(&itemsFile, "items", "", "also write what every figure is made of to this file, a row for each response")
	bindTable(cmd, &c)
	files.bindRows(cmd)
	return cmd
}

// readItems reads labelled responses. The scale is the one of the records, unless it was given.
func readItems(cmd *cobra.Command, files *fileFlags, path, category string, reading quality.Reading, o *quality.Options) ([]*quality.Item, *quality.Report, error) {
	read := files.read()
	read.MaxLine, read.Reads = 1<<30, slices.Concat(quality.Columns(), []string{"reference", "answer"})
	if category != "" {
		read.Reads = append(read.Reads, category)
	}
	records, found, err := stage.ReadFile(path, read)
	if err != nil {
		return nil, nil, begin(err)
	}
	sayFound(cmd.ErrOrStderr(), path, "", found)
	if category != "" {
		for _, r := range records {
			if err := r.SetCategory(category); err != nil {
				return nil, nil, record.InFile(err, path)
			}
		}
	}
	asked := measure.EvalOptions{Scale: o.Scale}
	if o.Scale, err = asked.ScaleOf(records); err == nil {
		err = measure.OnScale(records, o.Scale, reading.Pairs)
	}
	if err != nil {
		return nil, nil, begin(record.InFile(err, path))
	}
	items, leftOut, err := quality.Items(records, reading)
	if err != nil {
		return nil, nil, begin(record.InFile(err, path))
	}
	return items, &quality.Report{Records: len(records), LeftOut: leftOut}, nil
}

// writeItems writes them as JSON Lines.
func writeItems(path string, items []*quality.Item) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, it := range items {
		if err := e.Encode(it); err != nil {
			return err
		}
	}
	return checkpoint.WriteFileAtomic(path, b.Bytes())
}
