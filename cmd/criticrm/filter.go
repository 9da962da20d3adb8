package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/record"
)

func newFilter() *cobra.Command {
	o := critic.DefaultFilterOptions()
	var files fileFlags
	cmd := &cobra.Command{
		Use:   "filter",
		Short: "Keep the pairs and critiques that agree with the preference labels",
		Long: `filter compares the scores of the critiques with the label of each pair. Rules:
  mean        keep a pair if the mean score of the chosen response is above that of the rejected one
  mean+each   and in it, critiques of the chosen response above the other side's mean, and the other way round
  none        keep everything
Nothing is deleted: what is dropped is marked, with the reason. Fewer survivors than --min_survivors are an error with the counts.`,
		Example: `  criticrm filter --in 1.jsonl --out 2.jsonl
  criticrm filter --in 1.jsonl --out 2.jsonl --rule mean --drop_truncated --min_survivors 0.3`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", files.in, "out", files.out); err != nil {
				return err
			}
			stage, stats, err := critic.FilterStage(files.in, files.out, o)
			if err != nil {
				return inputError{err}
			}
			stage.Work = labelled(files.in, stage.Work)
			if err := files.runStage(cmd, stage); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", files.out, stats)
			return nil
		},
	}
	f := cmd.Flags()
	files.bind(f)
	f.StringVar(&o.Rule, "rule", o.Rule, "mean, mean+each or none")
	f.BoolVar(&o.DropTruncated, "drop_truncated", o.DropTruncated, "leave out critiques that the token limit cut")
	f.Float64Var(&o.MinSurvivors, "min_survivors", o.MinSurvivors, "share of pairs that must survive; 0: no guard")
	return cmd
}

// labelled lets work have the records that generate has not left out as too long, which have no critiques to decide on, and refuses
// rows without anything to filter by file and line.
func labelled(file string, work func(context.Context, []*record.Record) error) func(context.Context, []*record.Record) error {
	return func(ctx context.Context, records []*record.Record) error {
		var rest []*record.Record
		for _, r := range records {
			if r.Dropped == dropOverlong {
				continue
			}
			fault := ""
			if !r.Paired() {
				fault = "it has one response, filtering needs pairs"
			}
			for _, side := range r.Sides() {
				if len(*r.SideCritiques(side)) == 0 && fault == "" {
					fault = fmt.Sprintf("%q has no critiques: run generate first", side)
				}
			}
			if fault != "" {
				return &record.RowError{File: file, Line: r.Line, At: -1, Msg: fault}
			}
			rest = append(rest, r)
		}
		if len(rest) == 0 {
			return nil
		}
		return work(ctx, rest)
	}
}
