package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"criticrm/convert"
	"criticrm/kernels"
)

func newConvert() *cobra.Command {
	var from, out string
	var o convert.Options
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Make a model directory of a GGUF file, of another trainer's reward model, or of the text part of a model that sees",
		Long: `convert writes a Hugging Face directory (config.json, safetensors, tokenizer.json, chat template) of a GGUF file: what llama.cpp and its
relatives run. Quantised weights (Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4) become the numbers that llama.cpp
computes with; F32, F16 and BF16 stay what they are. Of a model in several files give the first (-00001-of-0000N.gguf). Architectures: llama, qwen2, qwen3, gemma2, gemma3, phi3, olmo2, granite, smollm3.

Of a directory it takes the reward head from where OpenRLHF (value_head_prefix), LLaMA-Factory (value_head.safetensors) and TRL
(v_head.summary) put it, and CLoud's head with its hidden layer, its words and its end token; nothing else changes. Classifiers with score.weight need no conversion. Of a model that sees images (Gemma 3, Mistral
3 and Ministral 3) it takes the part that reads and writes text.

Every command takes a GGUF file as --model, too: it is converted once, into the user's cache, and verified when it is used again.`,
		Example: `  criticrm convert --model SmolLM2-135M-Instruct.Q4_1.gguf --out smollm2
  criticrm convert --model model.gguf --out model --dtype f32
  criticrm convert --model model-Q4_K_M.gguf --out base --keep_quantized
  criticrm convert --model llama-factory-rm --out reward-model --drop_bias
  criticrm convert --model Llama3-8B-CLoud-RM --base_config llama3/config.json --out cloud`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", from, "out", out); err != nil {
				return err
			}
			if err := asLocal(cmd, &from); err != nil {
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
	f.StringVar(&from, "model", "", "GGUF file, directory, or name on the hub")
	f.StringVar(&out, "out", "", "new directory")
	f.StringVar(&o.DType, "dtype", "", "bf16 or f32 (default: bf16, unless most of the numbers are F32 or F16, which it would round)")
	f.BoolVar(&o.KeepQuantized, "keep_quantized", false, "of a GGUF file: leave the projections in its blocks ("+kernels.BlockTypeNames()+"), for adapters (--lora_r) over a small base, and for reading")
	f.BoolVar(&o.DropBias, "drop_bias", false, "leave out what the reward head adds to every reward: their order and differences stay")
	f.BoolVar(&o.DropHead, "drop_head", false, "leave out CLoud's reward head, which is read and not trained: a model that writes critiques remains")
	f.StringVar(&o.BaseConfig, "base_config", "", "of a CLoud model: the config.json of its base model, which its own names")
	return cmd
}
