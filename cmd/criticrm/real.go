package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"criticrm/demo/real"
)

func newReal() *cobra.Command {
	var o real.Options
	var dev deviceFlags
	cmd := &cobra.Command{
		Use:   "real",
		Short: "Run the whole method on a real instruct model and on its own answers",
		Long: `real asks an instruct model for sentences with, or without, a given word, makes pairs of answers that do what was asked and answers
that do not, teaches the model to write critiques that end in a score (a cold start, on critiques by program), and then does what 'criticrm run'
does: critiques, filter, training, and the held-out accuracy beside the judge, a scalar reward model and the length. 'make real' fetches the
model. The same command goes on where it was stopped.`,
		Example: "  criticrm demo real --model build/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --output_dir runs/real",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", o.Model); err != nil {
				return err
			}
			if err := asModelDir(cmd, &o.Model); err != nil {
				return err
			}
			d, closeDevice, err := dev.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer closeDevice()
			o.Threads, o.Log = dev.threads, cmd.ErrOrStderr()
			results, err := real.Run(cmd.Context(), d, o)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), results)
			fmt.Fprintf(cmd.OutOrStdout(), "\nreport: %s\n", filepath.Join(o.Dir, "run", "report.html"))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Model, "model", "", "the instruct model, a directory or a GGUF file")
	f.StringVar(&o.Dir, "output_dir", "runs/real", "directory for all that is made")
	f.BoolVar(&o.Full, "full", false, "more topics and answers")
	f.Uint64Var(&o.Seed, "seed", 42, "seed of answers, critiques and trainings")
	dev.bind(f)
	return cmd
}
