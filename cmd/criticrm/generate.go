package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/pipeline"
)

func newGenerate() *cobra.Command {
	var s sampler
	g := pipeline.DefaultGenerate()
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Let the model write critiques of both responses of every pair",
		Long: `generate samples N critiques of each response and reads the score that each of them ends with. The critic does not see the label.
With --engine openai servers that others run (vLLM, SGLang, llama.cpp) write them in the model's place. Records keep all their fields and gain critiques. An interrupted run (Ctrl-C, SIGTERM, a crash) goes on where it was when
the same command is given again, and ends with the same bytes.`,
		Example: `  criticrm generate --model llama --in pairs.jsonl --out 1.jsonl
  criticrm generate --model llama --in pairs.jsonl --out 1.jsonl --critiques 20 --temperature 1 --top_p 0.95 --seed 1 --overlong drop
  criticrm generate --model llama --in pairs.jsonl --out 1.jsonl --prompts my-prompts --scale_min 1 --scale_max 5
  criticrm generate --engine openai --base_url http://gpu1:8000/v1,http://gpu2:8000/v1 --in pairs.jsonl --out 1.jsonl`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", s.files.in, "out", s.files.out); err != nil {
				return err
			}
			s.o = g.Options()
			if _, err := s.files.share(cmd, &s.model, g.Remote); err != nil {
				return err
			}
			closeModel, err := s.open(cmd, g.Remote, false)
			if err != nil {
				return err
			}
			defer closeModel()
			stage, stats, err := critic.GenerateStage(s.files.in, s.files.out, s.writer, s.o)
			if err != nil {
				return inputError{err}
			}
			if err := s.files.runStage(cmd, stage, s.meter); err != nil {
				return err
			}
			sayRead(cmd, stats.ReadStats)
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", s.files.out, stats)
			if stats.Critiques > 0 && stats.Parsed == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: no critique ends in a score: the filter will keep nothing; look at some critiques, the prompt and the chat template")
			}
			return nil
		},
	}
	s.bind(cmd, &g)
	s.files.bindShard(cmd)
	return cmd
}
