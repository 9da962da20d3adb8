package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"criticrm/model"
	"criticrm/modeldir"
)

func newExport() *cobra.Command {
	m := modelFlags{}
	var out, format string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a model for other programs",
		Long: `export writes a Hugging Face directory with the tokenizer's files. Formats:
  sequence-classification   …ForSequenceClassification with one label, score.weight is the reward head. The form that transformers,
                            TRL, vLLM and others load as a reward model; the LM head is left out, so it cannot write critiques. They read
                            the reward at the end of the response, which is what method bt trains
  causal-lm                 …ForCausalLM; a reward head goes to reward_head.safetensors beside it
The directory is read back and must give the same values, bit for bit, before the command succeeds; a classifier also in padded batches.
All files name one pad token that ends no text.`,
		Example: `  criticrm export --model run/model --format sequence-classification --out reward-model
  criticrm export --model run/model --format causal-lm --out critic`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", m.Dir, "out", out); err != nil {
				return err
			}
			if format != modeldir.Classifier && format != modeldir.Causal {
				return inputError{fmt.Errorf("--format: got %q, want %s or %s", format, modeldir.Classifier, modeldir.Causal)}
			}
			if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
				return inputError{fmt.Errorf("--out: %s is not empty: choose another directory", out)}
			}
			dtype, err := modeldir.StoredAs(m.Dir)
			if err != nil {
				return begin(err)
			}
			mod, closeModel, err := m.openModel(cmd, model.Options{DType: dtype})
			if err != nil {
				return err
			}
			defer closeModel()
			notes, err := modeldir.Export(mod, m.Dir, out, format)
			if errors.Is(err, modeldir.ErrNoHead) {
				return inputError{err}
			} else if err != nil {
				return err
			}
			for _, note := range notes {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", out, note)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %d parameters, %v\n", out, format, mod.Size(), mod.DType())
			return nil
		},
	}
	f := cmd.Flags()
	m.bind(cmd, "model", "device", "threads")
	f.StringVar(&out, "out", "", "new directory")
	f.StringVar(&format, "format", modeldir.Classifier, modeldir.Classifier+" or "+modeldir.Causal)
	return cmd
}
