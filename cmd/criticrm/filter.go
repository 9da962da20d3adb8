package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/internal/progress"
	"criticrm/pipeline"
)

func newFilter() *cobra.Command {
	settings := pipeline.DefaultFilter()
	var files fileFlags
	var scaleMin, scaleMax int
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
			o := settings.Options()
			o.Scale = pipeline.GivenScale(scaleMin, scaleMax)
			stage, stats, err := critic.FilterStage(files.in, files.out, o)
			if err != nil {
				return inputError{err}
			}
			if err := files.runStage(cmd, stage, progress.New(cmd.ErrOrStderr())); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", files.out, stats)
			return nil
		},
	}
	f := cmd.Flags()
	files.bind(cmd)
	f.IntVar(&scaleMin, "scale_min", -1, "lowest score of critiques that come without one; -1: as the row says, else 1")
	f.IntVar(&scaleMax, "scale_max", -1, "highest score of critiques that come without one; -1: as the row says, else 10")
	bindTable(cmd, &settings)
	return cmd
}
