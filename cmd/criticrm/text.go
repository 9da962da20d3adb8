package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"criticrm/demo/experiment"
	"criticrm/version"
)

func newText() *cobra.Command {
	var dev deviceFlags
	var seeds []uint
	var o experiment.Options
	text := &experiment.Text{}
	cmd := &cobra.Command{
		Use:   "text",
		Short: "Run the experiment on real text: an instruct model on pairs from files",
		Long: `text takes pairs of worked answers, whose labels are right or wrong results, from a file (--pairs), and teaches an instruct model to
criticise answers from critiques that a program writes of other pairs: each equation calculated again. That is the cold start, without which a
small model writes no critique with a score. Then it compares what 'demo' compares on held-out pairs: the length, a scalar reward model, the
cold-started model as judge, SFT on the critiques that the labels select, training without the filter, Critic-RM, and Critic-RM with critiques
that were shuffled. --other is measured on too; --null is a task of pairs about which the cold start says nothing. Files may also hold
labelled answers: of a question's right and wrong ones a pair is made, and of GSM8K's training rows (question, answer) the answer and the same
one with a step broken by program. The table, results.json, a file for each model and split with what it wrote of each pair, and recount.py,
which makes the table of them, lie in --output_dir. The same command goes on where it was stopped. A seed of --size night is a night on two
cores.`,
		Example: "  criticrm demo text --model build/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --pairs build/gsm8k/train.jsonl \\\n    --other build/gsm8k/example_model_solutions.jsonl --size evening --output_dir runs/text",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", text.Model, "pairs", text.Pairs); err != nil {
				return err
			}
			if err := asModelDir(cmd, &text.Model); err != nil {
				return err
			}
			o.Seeds = nil
			for _, s := range seeds {
				o.Seeds = append(o.Seeds, uint64(s))
			}
			d, closeDevice, err := dev.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer closeDevice()
			o.Text, o.Threads, o.Version, o.Log = text, dev.threads, version.String(), cmd.ErrOrStderr()
			r, err := experiment.Run(cmd.Context(), d, o)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprint(w, r.Markdown())
			fmt.Fprintf(w, "results: %s   report: %s\n", filepath.Join(o.Dir, "results.json"), filepath.Join(o.Dir, "report.html"))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&text.Model, "model", "", "the instruct model, a directory or a GGUF file")
	f.StringVar(&text.Pairs, "pairs", "", "file of pairs of worked answers: cold start, training, validation and evaluation, a prompt in one of them only")
	f.StringVar(&text.Other, "other", "", "file of pairs of worked answers by others, to measure on only")
	f.StringVar(&text.OtherSubset, "other_subset", "", "of --other, the pairs of this subset alone")
	f.StringVar(&text.Null, "null", "", "file of pairs of another kind, as a task of its own")
	for _, name := range [...]string{"pairs", "other", "null"} {
		namesRows(f, name)
	}
	f.IntVar(&text.MaxBad, "max_bad", 0, "bad rows of each file that are left out and listed before the file is refused")
	f.StringVar(&o.Dir, "output_dir", "runs/text", "directory for all that is made")
	f.StringVar(&text.Size, "size", "night", "how many pairs and critiques: "+strings.Join(experiment.TextSizes(), ", "))
	f.UintSliceVar(&seeds, "seeds", []uint{0}, "seeds, one run of the experiment each")
	dev.bind(f)
	return cmd
}
