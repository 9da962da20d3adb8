package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/internal/progress"
	"criticrm/pipeline"
	"criticrm/revise"
)

func newRevise() *cobra.Command {
	var (
		m     modelFlags
		files fileFlags
	)
	r := pipeline.DefaultRevise()
	cmd := &cobra.Command{
		Use:   "revise",
		Short: "Let a model write responses again after their critiques, and check the final answers",
		Long: `revise asks a model to write every response again after its critiques, and checks by program whether the final answer became right:
what a critique is worth to its reader. Controls stand beside it (--after): no critique, one of another prompt, and one that came with the row.
The known answer is in a column of the row. Numbers, letters of multiple choice and texts are compared; code is checked by a command of yours,
and only then is anything run.
Rows keep all their fields and gain revisions, which 'criticrm critique-eval' measures. An interrupted run goes on where it was.`,
		Example: `  criticrm revise --model llama --in scored.jsonl --out revised.jsonl
  criticrm revise --model llama --in scored.jsonl --out revised.jsonl --after critique,none,shuffled,oracle --answer_field reference
  criticrm revise --model llama --in scored.jsonl --out revised.jsonl --check code --check_command "python3 check.py {file} {row}"
  criticrm revise --engine openai --base_url http://gpu1:8000/v1 --in scored.jsonl --out revised.jsonl`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", files.in, "out", files.out); err != nil {
				return err
			}
			o, prompts, err := r.Options()
			if err != nil {
				return inputError{err}
			}
			if _, err := files.share(cmd, &m, r.Remote); err != nil {
				return err
			}
			meter := progress.New(cmd.ErrOrStderr())
			w, _, closeModel, err := m.writer(cmd, r.Remote, critic.Reading{MaxLength: r.MaxLength}, "", false, meter)
			if err != nil {
				return err
			}
			defer closeModel()
			each := len(o.Conditions) * o.Critiques
			meter.Samples(each)
			if o.Model, err = w.Label(); err != nil {
				return begin(err)
			}
			o.Chunk = cmp.Or(r.Chunk, w.Chunk(each))
			step, stats, err := revise.Stage(files.in, files.out, files.read(), &revise.Model{Generator: w, Prompts: prompts, Scale: w.Scale,
				Limits: w.Reading.Limits, MaxLength: r.MaxLength}, o)
			if err != nil {
				return begin(err)
			}
			if err := files.runStage(cmd, step, meter); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", files.out, stats)
			return nil
		},
	}
	m.bind(cmd, "model", "chat_template", "template_date", "bf16", "max_sequences", "device", "threads", "scale_min", "scale_max")
	files.bind(cmd)
	bindTable(cmd, &r)
	files.bindTeam(cmd)
	files.bindShard(cmd)
	return cmd
}
