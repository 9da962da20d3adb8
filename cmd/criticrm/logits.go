package main

import (
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
			mod, closeModel, err := m.openModel(cmd, model.Options{DType: m.DType()}, true)
			if err != nil {
				return err
			}
			defer closeModel()
			var lines [][]int32
			err = readLines(cmd, in, func(text []byte) error {
				ids, err := parseIDs(text, mod.VocabSize)
				if err != nil {
					return err
				}
				if n, limit := len(ids), mod.MaxPositionEmbeddings; n == 0 || n > limit {
					return fmt.Errorf("%d ids, want 1 to %d", n, limit)
				}
				lines = append(lines, ids)
				return nil
			})
			if err != nil {
				return err
			}
			tensors, err := writeLogits(mod, lines, out)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d sequences, %d tensors\n", out, len(lines), tensors)
			return nil
		},
	}
	f := cmd.Flags()
	m.bind(cmd, "model", "bf16", "device", "threads")
	f.StringVar(&in, "ids", "", "token ids, a sequence a line; -: standard input")
	f.StringVar(&out, "out", "", "safetensors file")
	return cmd
}

// writeLogits writes the file, sequence by sequence, and gives the number of its tensors.
func writeLogits(m *model.Model, lines [][]int32, out string) (tensors int, err error) {
	var infos []checkpoint.TensorInfo
	add := func(name string, line int, shape ...int64) {
		infos = append(infos, checkpoint.TensorInfo{Name: tensorName(name, line), DType: "F32", Shape: shape})
	}
	for i, ids := range lines {
		n := int64(len(ids))
		add("hidden", i, n, int64(m.HiddenSize))
		if m.HasLM() {
			add("logits", i, n, int64(m.VocabSize))
		}
		if m.HasHead() {
			add("reward", i, 1)
		}
	}
	w, err := checkpoint.CreateSafetensors(out, infos, nil)
	if err != nil {
		return 0, err
	}
	defer w.Close()
	for i, ids := range lines {
		put := func(name string, x []float32) {
			if err == nil {
				err = w.Write(tensorName(name, i), checkpoint.F32Bytes(x))
			}
		}
		hidden, logits, reward, e := oneLogits(m, ids)
		if e != nil {
			return 0, fmt.Errorf("line %d: %w", i+1, e)
		}
		put("hidden", hidden)
		if m.HasLM() {
			put("logits", logits)
		}
		if m.HasHead() {
			put("reward", reward)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(infos), w.Commit()
}

func tensorName(name string, line int) string { return fmt.Sprintf("%s.%d", name, line) }

// oneLogits runs one sequence.
func oneLogits(m *model.Model, ids []int32) (hidden, logits, reward []float32, err error) {
	var b model.Batch
	b.Open(ids)
	b.Close()
	if hidden, logits, err = m.Logits(&b.Forest); err != nil || !m.HasHead() {
		return hidden, logits, nil, err
	}
	b.Leaf = []int32{int32(len(ids) - 1)}
	_, reward, err = m.Evaluate(&b)
	return hidden, logits, reward, err
}
