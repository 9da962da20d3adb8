package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"criticrm/checkpoint"
	"criticrm/model"
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
			bf16, err := storedBF16(m.dir)
			if err != nil {
				return begin(err)
			}
			m.bf16 = bf16
			mod, closeModel, err := m.openModel(cmd, model.Options{DType: m.dtype()})
			if err != nil {
				return err
			}
			defer closeModel()
			if err := export(mod, m.dir, out, format); err != nil {
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
	for _, name := range append([]string{metaFile}, tokenizerFiles...) {
		b, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = checkpoint.WriteFileAtomic(filepath.Join(out, name), b)
		}
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return compareModels(m, out)
}

// compareModels opens what was written and wants the same hidden states, logits and reward for a few tokens.
func compareModels(m *model.Model, dir string) error {
	saved, err := model.Load(m.Dev, dir, model.Options{DType: m.DType()})
	if err != nil {
		return fmt.Errorf("export: the written model cannot be read: %w", err)
	}
	defer saved.Close()
	ids := make([]int32, min(32, m.VocabSize, m.MaxPositionEmbeddings))
	for i := range ids {
		ids[i] = int32(i * (m.VocabSize / len(ids)))
	}
	want, err := lineLogits(m, ids, 0)
	if err != nil {
		return err
	}
	got, err := lineLogits(saved, ids, 0)
	if err != nil {
		return err
	}
	have := map[string][]byte{}
	for _, t := range got {
		have[t.Name] = t.Data
	}
	for _, t := range want {
		data, ok := have[t.Name]
		if !ok && t.Name == "logits.0" && !saved.HasLM() {
			continue
		}
		if string(data) != string(t.Data) {
			return fmt.Errorf("export: %s does not give the same %s as the model", dir, t.Name)
		}
	}
	return nil
}

// storedBF16 says whether a model's weights are stored as bfloat16: the export keeps the type (float16 becomes float32).
func storedBF16(dir string) (bool, error) {
	d, err := checkpoint.OpenModelDir(dir)
	if err != nil {
		return false, err
	}
	defer d.Close()
	most := int64(-1)
	bf16 := false
	for _, t := range d.Tensors() { // the largest tensor decides
		if n, err := t.Bytes(); err == nil && n > most {
			most, bf16 = n, t.DType == "BF16"
		}
	}
	return bf16, nil
}
