package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/internal/progress"
	"criticrm/pipeline"
)

func newRefine() *cobra.Command {
	settings := pipeline.DefaultRefine()
	var (
		files fileFlags
		m     modelFlags
	)
	cmd := &cobra.Command{
		Use:   "refine",
		Short: "Select or merge the critiques that the filter kept",
		Long: `refine reduces the kept critiques of each response to the few that are trained on. Modes:
  rank        the model judges each critique --meta_samples times; the --keep with the best means stay (needs --model or --engine)
  summarize   one critique per response, merged from the kept ones by the model (needs --model or --engine)
  margin      pairs of critiques with the largest difference of scores; rank k of both sides belongs together
  random      --keep pairs of critiques that agree with the label, at random
  random-all  --keep critiques of each side at random, whatever their scores
  none        what the filter kept
It reads the decisions of filter and adds its own; for another mode run filter again.`,
		Example: `  criticrm refine --model llama --in 2.jsonl --out 3.jsonl
  criticrm refine --model llama --in 2.jsonl --out 3.jsonl --mode summarize --summary_of 3
  criticrm refine --in 2.jsonl --out 3.jsonl --mode margin --keep 2`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", files.in, "out", files.out); err != nil {
				return err
			}
			o, meter := settings.Options(), progress.New(cmd.ErrOrStderr())
			if err := o.Validate(); err != nil {
				return inputError{err}
			}
			var g critic.Generator
			if !o.NeedsGenerator() && (files.processes != 1 || files.shard != "") {
				return inputError{fmt.Errorf("--nproc and --shard divide what a model is asked, and mode %s asks none", o.Mode)}
			}
			if o.NeedsGenerator() {
				if _, err := files.share(cmd, &m, settings.Remote); err != nil {
					return err
				}
				w, _, closeModel, err := m.writer(cmd, settings.Remote, critic.Reading{Overlong: settings.Overlong}, settings.AskScore, false, meter)
				if err != nil {
					return err
				}
				defer closeModel()
				g = w
				if err := settings.Ask(w, &o); err != nil {
					return begin(err)
				}
			}
			stage, stats, err := critic.RefineStage(files.in, files.out, g, o)
			if err != nil {
				return inputError{err}
			}
			if err := files.runStage(cmd, stage, meter); err != nil {
				return err
			}
			if line := o.Idle(stats); line != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), line)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", files.out, stats)
			return nil
		},
	}
	m.bind(cmd)
	files.bind(cmd)
	bindTable(cmd, &settings)
	files.bindTeam(cmd)
	files.bindShard(cmd)
	return cmd
}
