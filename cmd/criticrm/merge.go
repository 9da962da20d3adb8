package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/stage"
)

func newMerge() *cobra.Command {
	var (
		out     string
		restart bool
	)
	cmd := &cobra.Command{
		Use:   "merge",
		Short: "Put together what runs with --shard have written",
		Long: `merge writes OUT from its parts OUT.shard-0-of-N and so on, which 'criticrm generate', 'score', 'refine' or 'revise' have written with --shard,
in the order of the input: the file that one run without parts writes. All parts must be there, finished, as they were left, and of the same
work: the same stage, settings and input. The parts stay.`,
		Example: `  criticrm generate --model llama --in pairs.jsonl --out 1.jsonl --shard 0/2
  criticrm generate --model llama --in pairs.jsonl --out 1.jsonl --shard 1/2
  criticrm merge --out 1.jsonl`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "out", out); err != nil {
				return err
			}
			records, parts, err := stage.Merge(out, restart)
			if err != nil {
				return begin(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d records of %d parts\n", out, records, parts)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the output that the parts were made for")
	cmd.Flags().BoolVar(&restart, "restart", false, "replace an earlier output")
	return cmd
}
