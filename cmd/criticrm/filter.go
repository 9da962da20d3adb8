package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/critic"
)

func newFilter() *cobra.Command {
	o := critic.DefaultFilterOptions()
	var files fileFlags
	var given critic.Scale
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
			o.Scale = givenScale(cmd.Flags(), given)
			stage, stats, err := critic.FilterStage(files.in, files.out, o)
			if err != nil {
				return inputError{err}
			}
			if err := files.runStage(cmd, stage); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", files.out, stats)
			return nil
		},
	}
	f := cmd.Flags()
	files.bind(f)
	f.IntVar(&given.Min, "scale_min", 0, "lowest score of critiques that come without one (default: as the row says, else 1)")
	f.IntVar(&given.Max, "scale_max", 0, "highest score of critiques that come without one (default: as the row says, else 10)")
	f.StringVar(&o.Rule, "rule", o.Rule, "mean, mean+each or none")
	f.BoolVar(&o.DropTruncated, "drop_truncated", o.DropTruncated, "leave out critiques that the token limit cut")
	f.Float64Var(&o.MinSurvivors, "min_survivors", o.MinSurvivors, "share of pairs that must survive; 0: no guard")
	return cmd
}
