package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"criticrm/convert"
)

func newConvert() *cobra.Command {
	var from, out string
	var o convert.Options
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Make a model directory of a GGUF file, or of another trainer's reward model",
		Long: `convert writes a Hugging Face directory (config.json, safetensors, tokenizer.json, chat template) of a GGUF file: what llama.cpp and its
relatives run. Quantised weights (Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K) become the numbers that llama.cpp computes with; F32, F16
and BF16 stay what they are. Architectures: llama, qwen2, qwen3, gemma2, gemma3, phi3, olmo2, granite, smollm3.

Of a directory it takes the reward head from where OpenRLHF (value_head_prefix), LLaMA-Factory (value_head.safetensors) and TRL
(v_head.summary) put it; nothing else changes. Classifiers with score.weight need no conversion.

Every command takes a GGUF file as --model, too: it is converted once, into the user's cache, and verified when it is used again.`,
		Example: `  criticrm convert --model SmolLM2-135M-Instruct.Q4_1.gguf --out smollm2
  criticrm convert --model model.gguf --out model --dtype f32
  criticrm convert --model llama-factory-rm --out reward-model --drop_bias`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", from, "out", out); err != nil {
				return err
			}
			if err := asHubName(from); err != nil {
				return err
			}
			o.DType = strings.ToUpper(o.DType)
			rep, err := convert.Convert(cmd.Context(), from, out, o)
			if err != nil {
				return begin(err)
			}
			for _, note := range rep.Notes {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", from, note)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %d parameters as %s\n", out, rep.What, rep.Parameters, rep.DType)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "model", "", "GGUF file, or directory")
	f.StringVar(&out, "out", "", "new directory")
	f.StringVar(&o.DType, "dtype", "", "bf16 or f32 (default: bf16, unless most of the numbers are F32 or F16, which it would round)")
	f.BoolVar(&o.DropBias, "drop_bias", false, "leave out what the reward head adds to every reward: their order and differences stay")
	f.BoolVar(&o.DropHead, "drop_head", false, "leave out a reward head of another form (CLoud's): a model that writes critiques remains")
	return cmd
}

// asModelDir puts the directory of a converted GGUF file in its place.
func asModelDir(cmd *cobra.Command, path *string) error {
	if err := asHubName(*path); err != nil {
		return err
	}
	dir, err := convert.Dir(cmd.Context(), *path, func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
	if err != nil {
		return begin(err)
	}
	*path = dir
	return nil
}

var hubName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)

// asHubName says of what is no path here, but could be a name on the Hugging Face hub, that nothing is downloaded.
func asHubName(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) || !hubName.MatchString(path) {
		return nil
	}
	if _, err := os.Stat(path[:strings.IndexByte(path, '/')]); err == nil {
		return nil // a path into a folder that is there
	}
	return inputError{fmt.Errorf("%s: there is no such file or directory, and a name on the Hugging Face hub is not downloaded: fetch it first ('hf download %s --local-dir DIR'), and give the directory or its GGUF file", path, path)}
}
