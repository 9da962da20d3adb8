package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/demo"
	"criticrm/demo/experiment"
	"criticrm/version"
)

func newDemo() *cobra.Command {
	o := experiment.Options{Seeds: []uint64{0}}
	var dev deviceFlags
	var seeds []uint
	var tables bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole method on the embedded model and compare it with its rivals",
		Long: `demo samples critiques from the embedded base model, selects them by preference labels, trains a Critic-RM, and compares it on
held-out pairs with a scalar reward model, the base model as judge, training on unfiltered critiques, the method as it was published, the
defaults of 'criticrm run', and training on the same critiques without a reward head. Each model reads at the temperature that is best for
it on a validation split. The Critic-RM is a run of 'criticrm run' (critic-rm in --output_dir, with its recipe and pairs). It ends with
tables, results.json, report.html, and what each model wrote about each pair (pairs/), from which recount.py makes the tables again.
A demo that was interrupted goes on, and --full goes on behind a plain one: what is measured is not made again. With
--tables nothing is: the tables, the report and the files of critiques are made anew from what a demo has measured, if by an earlier program.`,
		Example: "  criticrm demo\n  criticrm demo --full --seeds 0,1,2 --output_dir runs/full",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tables {
				var idle error
				cmd.Flags().Visit(func(f *pflag.Flag) {
					if f.Name != "tables" && f.Name != "output_dir" {
						idle = inputError{fmt.Errorf("demo: --tables makes the tables of all that is measured in output_dir: leave out --%s", f.Name)}
					}
				})
				if idle != nil {
					return idle
				}
				r, err := experiment.Again(o.Dir)
				if err != nil {
					return err
				}
				printResults(cmd.OutOrStdout(), r, o.Dir)
				return nil
			}
			o.Full = o.Full || len(o.Parts) > 0
			if len(seeds) > 0 {
				o.Seeds = nil
				for _, s := range seeds {
					o.Seeds = append(o.Seeds, uint64(s))
				}
			} else if o.Full {
				o.Seeds = []uint64{0, 1, 2}
			}
			d, closeDevice, err := dev.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer closeDevice()
			o.Threads, o.Version, o.Log = dev.threads, version.String(), cmd.ErrOrStderr()
			r, err := experiment.Run(cmd.Context(), d, o)
			if err != nil {
				return err
			}
			printResults(cmd.OutOrStdout(), r, o.Dir)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "output_dir", "runs/demo", "directory for results.json, report.html and the models")
	f.StringVar(&o.BaseDir, "base", "", "base model directory (default: the embedded one)")
	f.BoolVar(&o.Full, "full", false, "all tasks, three seeds, controls and ablations: several hours; goes on after any interruption")
	f.StringSliceVar(&o.Parts, "parts", nil, "of --full, do these now, and main: "+strings.Join(experiment.PartNames(), ", ")+" (the same command goes on with more of them)")
	f.UintSliceVar(&seeds, "seeds", nil, "seeds, one run of the experiment each (default 0; with --full 0,1,2)")
	f.BoolVar(&tables, "tables", false, "make tables, report and files of critiques anew from what is measured in output_dir, also by an earlier program; trains nothing")
	f.StringSliceVar(&o.Tasks, "tasks", nil, "tasks by name (default: the first two; with --full all): "+strings.Join(taskNames(), ", "))
	dev.bind(f)
	cmd.AddCommand(newReal(), newText())
	return cmd
}

// printResults ends a demo.
func printResults(w io.Writer, r *experiment.Results, dir string) {
	r.WriteExamples(w)
	r.WriteTable(w)
	if n := len(r.Tasks[0].Quality); n > 0 {
		q := r.Tasks[0].Quality[n-1]
		fmt.Fprintf(w, "\nall figures of a model's critiques: criticrm critique-eval --in %s --valid %s\n", filepath.Join(dir, q.File), filepath.Join(dir, q.ValidFile))
	}
	fmt.Fprintf(w, "\nresults: %s   report: %s\n", filepath.Join(dir, "results.json"), filepath.Join(dir, "report.html"))
}

func newBase() *cobra.Command {
	o := demo.DefaultBaseOptions()
	var dev deviceFlags
	var dir, task string
	cmd := &cobra.Command{
		Use:   "base",
		Short: "Make the demo's base models",
		Long: `base trains the demo's tokenizer and base language model from nothing: clean drills first, then documents as a critic with
systematic faults writes them. With --task it trains the shipped model further, as the base of one of the demo's tasks, whose documents then
depend on the seed (seed 0 of the first task is the shipped model). The same options give the same bytes on the same type of machine;
the same command goes on with what was interrupted.`,
		Example: "  criticrm base --output_dir demo/base\n  criticrm base --task work --seed 1 --output_dir work-base",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Report = func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
			d, closeDevice, err := dev.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer closeDevice()
			if task == "" {
				return demo.MakeBase(cmd.Context(), d, dir, o)
			}
			if !cmd.Flags().Changed("seed") {
				o.Seed = 0
			}
			t, err := demo.TaskOf(task)
			if err != nil {
				return inputError{err}
			}
			for _, name := range []string{"drill_steps", "lesson_steps", "documents"} {
				if cmd.Flags().Changed(name) {
					return inputError{fmt.Errorf("--%s is for the base from nothing: the stages of a task are fixed", name)}
				}
			}
			return t.MakeBase(cmd.Context(), d, dir, o.Seed, o.Report)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "output_dir", "runs/base", "directory of the model")
	f.StringVar(&task, "task", "", "task of the demo whose base is made from the shipped one: "+strings.Join(taskNames(), ", ")+"; none: the shipped one itself, from nothing")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "seed of weights and documents (with task: of documents, default 0)")
	f.IntVar(&o.DrillSteps, "drill_steps", o.DrillSteps, "updates of the first stage")
	f.IntVar(&o.LessonSteps, "lesson_steps", o.LessonSteps, "updates of the second stage")
	f.IntVar(&o.Documents, "documents", o.Documents, "documents per update")
	dev.bind(f)
	return cmd
}

func taskNames() (names []string) {
	for _, t := range demo.Tasks() {
		names = append(names, t.Name)
	}
	return names
}
