package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"criticrm/convert"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/trainer"
)

func newExport() *cobra.Command {
	m := modelFlags{}
	var out, format, kind string
	var average int
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a model for other programs",
		Long: `export writes a Hugging Face directory with the tokenizer's files. Formats:
  sequence-classification   …ForSequenceClassification with one label, score.weight is the reward head. The form that transformers,
                            TRL, vLLM and others load as a reward model; the LM head is left out, so it cannot write critiques. They read
                            the reward at the end of the response, which is what method bt trains
  causal-lm                 …ForCausalLM; a reward head goes to reward_head.safetensors beside it
  peft                      the adapter that 'criticrm train --lora_r' made, as PEFT reads it: of a sequence classifier with score.weight
                            among modules_to_save, if there is a reward head, else of a causal model. Other formats merge an adapter into
                            the weights
  gguf                      a file for llama.cpp, with the matrices as --type says; the reward head is left out, so it is the critic alone
The directory is read back and must give the same values, bit for bit, before the command succeeds; a classifier also in padded batches.
All files name one pad token that ends no text.`,
		Example: `  criticrm export --model run/model --format sequence-classification --out reward-model
  criticrm export --model run/model --format causal-lm --out critic
  criticrm export --model run/model --format peft --out adapter
  criticrm export --model run/model --average 4 --format causal-lm --out averaged
  criticrm export --model run/model --format gguf --type q8_0 --out critic.gguf`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", m.Dir, "out", out); err != nil {
				return err
			}
			if !slices.Contains(exportFormats, format) {
				return inputError{fmt.Errorf("--format: got %q, want %s", format, strings.Join(exportFormats, ", "))}
			}
			if err := asModelDir(cmd, &m.Dir); err != nil {
				return err
			}
			if average < 0 {
				return inputError{fmt.Errorf("--average: got %d, want 0 or more", average)}
			}
			if format == convert.GGUF && average > 0 {
				return inputError{fmt.Errorf("--average: a GGUF file is made of a model's files: export the mean as %s first", modeldir.Causal)}
			}
			if format == convert.GGUF {
				return exportGGUF(cmd, m.Dir, out, kind)
			}
			if kind != "" {
				return inputError{fmt.Errorf("--type: is for the format %s: others keep the type of the model", convert.GGUF)}
			}
			if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
				return inputError{fmt.Errorf("--out: %s is not empty: choose another directory", out)}
			}
			dtype, err := modeldir.StoredAs(m.Dir)
			if err != nil {
				return begin(err)
			}
			mod, closeModel, err := m.openModel(cmd, model.Options{DType: dtype}, false)
			if err != nil {
				return err
			}
			defer closeModel()
			var changes []func(*modeldir.Facts)
			if average > 0 {
				steps, err := trainer.AverageLast(mod, m.Dir, average)
				if err != nil {
					return inputError{err}
				}
				changes = append(changes, func(f *modeldir.Facts) { f.Averaged, f.Best = steps, nil })
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: the mean of the checkpoints of updates %v; what is measured of %s is of another model\n", out, steps, m.Dir)
			}
			notes, err := modeldir.Export(mod, m.Dir, out, format, changes...)
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
	f.StringVar(&out, "out", "", "new directory, or GGUF file")
	f.IntVar(&average, "average", 0, "write the mean of the last so many checkpoints of the training, which lie beside its model, in place of the model; 0: not")
	f.StringVar(&format, "format", modeldir.Classifier, strings.Join(exportFormats, ", "))
	f.StringVar(&kind, "type", "", "matrices of a GGUF file: "+strings.Join(convert.GGUFTypes(), ", ")+" (default: bf16 for a model in bfloat16, else f16)")
	return cmd
}

var exportFormats = []string{modeldir.Classifier, modeldir.Causal, modeldir.PEFT, convert.GGUF}

// exportGGUF writes a model's critic as a GGUF file.
func exportGGUF(cmd *cobra.Command, dir, out, kind string) error {
	if model.IsAdapter(dir) {
		return inputError{fmt.Errorf("--format: %s is an adapter: merge it first, with --format %s", dir, modeldir.Causal)}
	}
	if _, err := os.Stat(out); err == nil {
		return inputError{fmt.Errorf("--out: %s is there: choose another name", out)}
	}
	if kind == "" {
		dtype, err := modeldir.StoredAs(dir)
		if err != nil {
			return begin(err)
		}
		kind = map[kernels.DType]string{kernels.F32: convert.GGUFF16, kernels.BF16: convert.GGUFBF16}[dtype]
	}
	notes, err := convert.WriteGGUF(cmd.Context(), dir, out, kind)
	if err != nil {
		return begin(err)
	}
	for _, note := range notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", out, note)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, matrices as %s\n", out, convert.GGUF, kind)
	return nil
}
