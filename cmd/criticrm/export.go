package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"criticrm/model"
	"criticrm/modeldir"
)

const (
	formatClassifier = "sequence-classification"
	formatCausal     = "causal-lm"
)

func newExport() *cobra.Command {
	m := modelFlags{}
	var out, format string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a model for other programs",
		Long: `export writes a Hugging Face directory with the tokenizer's files. Formats:
  sequence-classification   …ForSequenceClassification with one label, score.weight is the reward head. The form that transformers,
                            TRL, vLLM and others load as a reward model; the LM head is left out, so it cannot write critiques
  causal-lm                 …ForCausalLM; a reward head goes to reward_head.safetensors beside it
The directory is read back and must give the same values, bit for bit, before the command succeeds.`,
		Example: `  criticrm export --model run/model --format sequence-classification --out reward-model
  criticrm export --model run/model --format causal-lm --out critic`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", m.dir, "out", out); err != nil {
				return err
			}
			if format != formatClassifier && format != formatCausal {
				return inputError{fmt.Errorf("--format: got %q, want %s or %s", format, formatClassifier, formatCausal)}
			}
			if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
				return inputError{fmt.Errorf("--out: %s is not empty: choose another directory", out)}
			}
			dtype, err := modeldir.StoredAs(m.dir)
			if err != nil {
				return begin(err)
			}
			mod, closeModel, err := m.openModel(cmd, model.Options{DType: dtype})
			if err != nil {
				return err
			}
			defer closeModel()
			if err := modeldir.Publish(out, func(dir string) error { return export(mod, m.dir, dir, format) }); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %d parameters, %v\n", out, format, mod.Size(), mod.DType())
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.dir, "model", "", "model directory, for example run/model")
	f.StringVar(&out, "out", "", "new directory")
	f.StringVar(&format, "format", formatClassifier, formatClassifier+" or "+formatCausal)
	m.device.bind(f)
	return cmd
}

func export(m *model.Model, from, out, format string) error {
	save := m.SaveCausalLM
	if format == formatClassifier {
		save = m.SaveSequenceClassification
		if !m.HasHead() {
			return inputError{fmt.Errorf("%s: the model has no reward head: train one, or use --format %s", from, formatCausal)}
		}
	}
	if err := save(out); err != nil {
		return err
	}
	if err := modeldir.Copy(from, out, ""); err != nil {
		return err
	}
	facts, trained, err := modeldir.ReadFacts(from)
	if err != nil {
		return err
	}
	if trained {
		if err := facts.Write(out); err != nil {
			return err
		}
	}
	return modeldir.Same(m, out, probe(m, format == formatCausal && m.HasLM()))
}

// probe is a batch of a few tokens from all over the vocabulary, with what both forms of a model can give: log-probabilities, and the
// reward at the end.
func probe(m *model.Model, logprobs bool) *model.Batch {
	ids := make([]int32, min(32, m.VocabSize, m.MaxPositionEmbeddings))
	for i := range ids {
		ids[i] = int32(i * (m.VocabSize / len(ids)))
	}
	b := &model.Batch{}
	b.Open(ids)
	b.Close()
	for i := 1; logprobs && i < len(ids); i++ {
		b.Row, b.Target, b.Weight = append(b.Row, int32(i-1)), append(b.Target, ids[i]), append(b.Weight, 1)
	}
	if m.HasHead() {
		b.Leaf = []int32{int32(len(ids) - 1)}
	}
	return b
}
