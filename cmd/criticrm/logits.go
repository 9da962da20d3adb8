package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/checkpoint"
	"criticrm/model"
)

func newLogits() *cobra.Command {
	var m modelFlags
	var in, out string
	cmd := &cobra.Command{
		Use:   "logits",
		Short: "Write logits, hidden states and rewards of token sequences",
		Long: `logits runs each line of a file (a JSON array of ids, or {"ids": [...]}) through the model, on its own, and writes a safetensors
file. For line I, counted from 0, with n ids: logits.I (n, V), hidden.I (n, H) after the final norm, and, where the model has a reward
head, reward.I (1) at the last token. All are float32. It is for comparison with other programs.`,
		Example:     `  criticrm logits --model llama --ids ids.jsonl --out logits.safetensors`,
		Args:        noArgs,
		Annotations: map[string]string{"in": "ids"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", m.Dir, "ids", in, "out", out); err != nil {
				return err
			}
			mod, closeModel, err := m.openModel(cmd, model.Options{DType: m.DType()})
			if err != nil {
				return err
			}
			defer closeModel()
			var tensors []checkpoint.TensorData
			line := 0
			err = readLines(cmd, in, func(text []byte) error {
				ids, err := parseIDs(text, mod.VocabSize)
				if err != nil {
					return err
				}
				if n, limit := len(ids), mod.MaxPositionEmbeddings; n == 0 || n > limit {
					return fmt.Errorf("%d ids, want 1 to %d", n, limit)
				}
				some, err := lineLogits(mod, ids, line)
				tensors = append(tensors, some...)
				line++
				return err
			})
			if err != nil {
				return err
			}
			if err := checkpoint.WriteSafetensors(out, tensors, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d sequences, %d tensors\n", out, line, len(tensors))
			return nil
		},
	}
	f := cmd.Flags()
	m.bind(cmd, "model", "bf16", "device", "threads")
	f.StringVar(&in, "ids", "", "token ids, a sequence a line; -: standard input")
	f.StringVar(&out, "out", "", "safetensors file")
	return cmd
}

// lineLogits runs one sequence.
func lineLogits(m *model.Model, ids []int32, line int) ([]checkpoint.TensorData, error) {
	var b model.Batch
	b.Open(ids)
	b.Close()
	hidden, logits, err := m.Logits(&b.Forest)
	if err != nil {
		return nil, err
	}
	n := int64(len(ids))
	if int64(len(hidden)) != n*int64(m.HiddenSize) {
		return nil, errors.New("the model gave hidden states of another size")
	}
	out := []checkpoint.TensorData{tensorF32("hidden", line, hidden, n, int64(m.HiddenSize))}
	if logits != nil {
		out = append(out, tensorF32("logits", line, logits, n, int64(m.VocabSize)))
	}
	if m.HasHead() {
		b.Leaf = []int32{int32(n - 1)}
		_, reward, err := m.Evaluate(&b)
		if err != nil {
			return nil, err
		}
		out = append(out, tensorF32("reward", line, reward, 1))
	}
	return out, nil
}

func tensorF32(name string, line int, x []float32, shape ...int64) checkpoint.TensorData {
	return checkpoint.TensorData{TensorInfo: checkpoint.TensorInfo{Name: fmt.Sprintf("%s.%d", name, line), DType: "F32", Shape: shape}, Data: checkpoint.F32Bytes(x)}
}
