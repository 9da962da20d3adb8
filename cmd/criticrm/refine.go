package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/record"
)

func newRefine() *cobra.Command {
	o := critic.DefaultRefineOptions()
	var (
		files fileFlags
		m     modelFlags
	)
	cmd := &cobra.Command{
		Use:   "refine",
		Short: "Select or merge the critiques that the filter kept",
		Long: `refine reduces the kept critiques of each response to the few that are trained on. Modes:
  rank        the model judges each critique --meta_samples times; the --top_k with the best means stay (needs --model)
  summarize   one critique per response, merged from the kept ones by the model (needs --model)
  margin      pairs of critiques with the largest difference of scores; rank k of both sides belongs together
  random      --top_k pairs of critiques that agree with the label, at random
  random-all  --top_k critiques of each side at random, whatever their scores
  none        what the filter kept
It reads the decisions of filter and adds its own; for another mode run filter again.`,
		Example: `  criticrm refine --model llama --in 2.jsonl --out 3.jsonl
  criticrm refine --model llama --in 2.jsonl --out 3.jsonl --mode summarize --summary_of 3
  criticrm refine --in 2.jsonl --out 3.jsonl --mode margin --top_k 2`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", files.in, "out", files.out); err != nil {
				return err
			}
			if o.Overlong = m.given.Overlong; o.Overlong == "" {
				o.Overlong = record.OverlongError
			}
			if err := o.Validate(); err != nil {
				return inputError{err}
			}
			var g critic.Generator
			if o.NeedsGenerator() {
				if err := required(cmd, "model", m.dir); err != nil {
					return err
				}
				e, closeModel, err := m.open(cmd, false)
				if err != nil {
					return err
				}
				defer closeModel()
				g, o.Prompts, o.Scale, o.Limits = e, e.Prompts, e.Scale, e.Renderer
				if o.Model, err = e.Label(); err != nil {
					return begin(err)
				}
			}
			stage, stats, err := critic.RefineStage(files.in, files.out, g, o)
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
	m.bind(f)
	files.bind(f)
	f.StringVar(&o.Mode, "mode", o.Mode, "rank, summarize, margin, random, random-all or none")
	f.IntVar(&o.TopK, "top_k", o.TopK, "critiques kept per response (K)")
	f.IntVar(&o.MetaSamples, "meta_samples", o.MetaSamples, "rank: scores of the meta-judge averaged per critique")
	f.IntVar(&o.SummaryOf, "summary_of", o.SummaryOf, "summarize: merge at most the first this many; 0: all")
	f.StringVar(&m.given.Overlong, "overlong", "error", "questions over the model's context: error, or drop (they count as not answered); records that generate has shortened are asked about as it read them")
	f.Float64Var(&o.MinSurvivors, "min_survivors", o.MinSurvivors, "share of pairs that must survive; 0: no guard")
	f.IntVar(&o.Chunk, "chunk", o.Chunk, "records between two saves; another number changes no result on the CPU, and rounding at most on a GPU")
	bindSampling(f, &o.Sampling, "sampling_top_k")
	return cmd
}
