package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/internal/progress"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/stage"
	"criticrm/synth"
)

// answersPath is where the answers lie that the pairs of a file are made of.
func answersPath(out string) string { return out + ".answers.jsonl" }

func newSynth() *cobra.Command {
	var (
		m     modelFlags
		files fileFlags
	)
	s := pipeline.DefaultSynth()
	cmd := &cobra.Command{
		Use:   "synth",
		Short: "Make pairs whose labels a program can check, from problems or prompts with rules",
		Long: `synth lets the model answer problems whose results are known (--kind reasoning), or prompts that a list of rules speaks of
(--kind safety), checks every answer by program, and pairs right answers with wrong ones. No person and no other model labels anything.

reasoning reads GSM8K's rows (question, answer with ####), MATH's (problem, solution with \boxed{}), prompt and result, or prompt and a
right response. An answer is right if its result is the same number, or the same text but for spaces, units and TeX; one without a
result that can be found is neither right nor wrong.
safety reads prompts. Half of the answers are sampled behind the rules' instructions; a right answer keeps all rules that apply. A list is
as good as its patterns: look at the pairs.

All answers stay in OUT.answers.jsonl, which goes on where it was when the command is given again; every pair says in its column
"synthetic" which model, settings, sample and result it is from.`,
		Example: `  criticrm synth --model llama --in gsm8k-train.jsonl --out pairs.jsonl --answers 8
  criticrm synth --model llama --kind safety --rules rules.yaml --in prompts.jsonl --out safety.jsonl --per_prompt 2`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", files.in, "out", files.out); err != nil {
				return err
			}
			o, err := s.Options()
			if err != nil {
				return inputError{err}
			}
			if _, err := synth.NewPairer(s.Pairs(), o); err != nil { // before the model works for hours
				return inputError{err}
			}
			if err := ownOutput(files.out, answersPath(files.out)); err != nil {
				return inputError{err}
			}
			if err := record.Apart(files.in, files.out); err != nil {
				return inputError{err}
			}
			if o.Kind == synth.Safety && files.layout.Schema == "" {
				files.layout.Schema = record.PromptOnly.Name
			}
			meter := progress.New(cmd.ErrOrStderr())
			w, _, closeModel, err := m.writer(cmd, s.Remote, critic.Reading{MaxLength: s.MaxLength}, "", false, meter)
			if err != nil {
				return err
			}
			defer closeModel()
			meter.Samples(o.Answers)
			o.Limits = w.Reading.Limits
			if o.Model, err = w.Label(); err != nil {
				return begin(err)
			}
			if s.Chunk == 0 {
				o.Chunk = w.Chunk(o.Answers)
			}
			pairer, err := synth.NewPairer(s.Pairs(), o)
			if err != nil {
				return inputError{err}
			}
			answers := answersPath(files.out)
			step, stats, err := synth.Stage(files.in, answers, w, o)
			if err != nil {
				return inputError{err}
			}
			if err := files.runStage(cmd, step, meter); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", answers, stats)
			return writePairs(cmd, pairer, answers, files.out)
		},
	}
	m.bind(cmd, "model", "chat_template", "template_date", "bf16", "max_sequences", "device", "threads")
	files.bind(cmd)
	bindTable(cmd, &s)
	return cmd
}

// ownOutput refuses an output that is there and not from an earlier run of this command.
func ownOutput(out, answers string) error {
	if _, err := os.Stat(out); err != nil {
		return nil
	}
	if _, err := os.Stat(stage.SidecarPath(answers)); err != nil {
		return fmt.Errorf("%s exists, and %s does not: remove it or choose another name", out, stage.SidecarPath(answers))
	}
	return nil
}

// writePairs makes pairs of a file of answers.
func writePairs(cmd *cobra.Command, p *synth.Pairer, answers, out string) error {
	records, _, err := stage.ReadFile(answers, record.ReadOptions{MaxLine: 1 << 30, Reads: []string{synth.AnswersColumn}})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, r := range records {
		list, err := p.Add(r)
		if err != nil {
			return record.InFile(err, answers)
		}
		if err := record.WriteRecords(&b, list); err != nil {
			return err
		}
	}
	if p.Pairs == 0 {
		return fmt.Errorf("%s: no pairs: %v (more --answers or a higher --temperature find more of both kinds; the answers are in %s)", out, &p.PairStats, answers)
	}
	if err := checkpoint.WriteFileAtomic(out, b.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", out, &p.PairStats)
	return nil
}
