package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"criticrm/checkpoint"
	"criticrm/cuda"
	"criticrm/pipeline"
)

func newRun() *cobra.Command {
	given := pipeline.Default()
	var (
		recipe              string
		o                   pipeline.Options
		printConfig, dryRun bool
		dev                 deviceFlags
		team                runTeam
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Do the whole method: check, generate, filter, refine, train, evaluate beside baselines",
		Long: `run makes a reward model of pairs with one command, in one directory: it checks the data, lets the model write critiques, filters and
refines them, trains critique and reward together, and measures the result on held-out pairs beside the base model as judge, the length
of the response and, with --baselines, models that are trained without critiques (bt) or without a filter (cloud).

Every stage can be interrupted at any moment (Ctrl-C, SIGTERM, a crash): the same command goes on where it was and ends with the same
bytes. Settings of a stage that is done are not changed behind its back: run names the change, and --restart=STAGE makes that stage and
what follows from it again. --stage STAGE stops behind a stage. Stages: check, held, generate, filter, refine, follow, train, eval, base, bt, cloud;
those of later rounds are called round-2/generate and so on.

Trainings that are asked to measure while they last (--train.load_best_model_at_end, --train.early_stopping_patience, --train.eval_steps) do
so on the validation split, or on the files of --train.eval_file, behind critiques that the critic writes in stage follow.

With --rounds N the trained model writes the critiques of the next round, from which a fresh copy of the base model learns, until the
validation split (--valid_share of the training prompts) gains nothing.

All settings can stand in one recipe: those below without a section at its top, the others under generate, filter, refine, train, eval,
bt and cloud, by the names of the single commands' flags. Flags override it: --generate.critiques 8. What refine and eval leave open of the
sampling is as in generate, what bt and cloud leave open is as in train; 'run --print_config' shows what holds.`,
		Example: `  criticrm run --model llama --train pairs.jsonl --eval held-out.jsonl --output_dir run
  criticrm run --model llama --train pairs.jsonl --eval held-out.jsonl --output_dir run --dry_run
  criticrm run --recipe examples/run.yaml --model llama --train pairs.jsonl --eval held-out.jsonl --output_dir run --baselines bt,cloud
  criticrm run --recipe run/recipe.yaml --train.learning_rate 5e-6 --restart=train`,
		Args:        noArgs,
		Annotations: map[string]string{"config": "recipe"},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&recipe, "recipe", "", "YAML file with the names below; flags override it")
	f.BoolVar(&printConfig, "print_config", false, "print the resolved recipe and stop")
	f.BoolVar(&dryRun, "dry_run", false, "check the data, measure the speed on a sample with the model itself, say tokens, hours and memory, and stop; output_dir stays as it is")
	f.StringVar(&o.Stage, "stage", "", "go no further than this stage")
	f.StringVar(&o.Restart, "restart", "", "begin again: everything, or with =STAGE that stage and what follows from it")
	f.Lookup("restart").NoOptDefVal = pipeline.Check
	team.bind(f)
	bindReport(f, &dev.report)
	for _, s := range given.Sections() {
		bindSection(cmd, s)
	}
	for _, baseline := range []string{pipeline.BT, pipeline.Cloud} { // they are train's, twice
		hideSection(cmd, baseline)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := resolveRun(cmd, recipe, &given)
		if err != nil {
			return inputError{err}
		}
		if printConfig {
			return printRecipe(cmd, &c)
		}
		if err := required(cmd, "model", c.Dir, "train", c.TrainFile, "eval", c.EvalFile); err != nil {
			return err
		}
		if err := required(cmd, "output_dir", c.OutputDir); err != nil && !dryRun {
			return err
		}
		if err := findInputs(cmd, &c.Dir, &c.TrainFile, &c.EvalFile, &c.Train.EvalFile); err != nil {
			return err
		}
		return team.run(cmd, c, o, dev, dryRun)
	}
	return cmd
}

// resolveRun is the recipe with the flags that were given on top.
func resolveRun(cmd *cobra.Command, recipe string, given *pipeline.Config) (pipeline.Config, error) {
	c, set := pipeline.Default(), pipeline.Set{}
	if recipe != "" {
		var err error
		if set, err = c.Load(recipe); err != nil {
			return c, err
		}
	}
	to := c.Sections()
	for i, from := range given.Sections() {
		for _, field := range from.Fields() {
			if key := from.Key(field.Name); cmd.Flags().Changed(key) {
				field.Assign(to[i].Into, from.Into)
				field.Means(to[i].Into)
				set[key] = 0
			}
		}
	}
	return c, c.Resolve(set)
}

func runAll(cmd *cobra.Command, c pipeline.Config, o pipeline.Options, flags deviceFlags, dry bool) error {
	dev, closeDevice, err := flags.open(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer closeDevice()
	o.Log, o.Page = cmd.ErrOrStderr(), writeReport
	if dry {
		estimate, err := pipeline.DryRun(cmd.Context(), dev, c, o)
		if err != nil {
			return ofInput(err)
		}
		fmt.Fprint(cmd.OutOrStdout(), estimate)
		sayFits(cmd.OutOrStdout(), estimate.TrainMemory)
		if c.OutputDir == "" {
			return nil
		}
		free, err := checkpoint.Free(c.OutputDir)
		if err == nil && free < estimate.Disk {
			fmt.Fprintf(cmd.OutOrStdout(), "the disk of %s has %s left: make room, or set train.save_total_limit\n", c.OutputDir, cuda.Size(int(free)))
		}
		return err
	}
	results, err := pipeline.Run(cmd.Context(), dev, c, o)
	if err != nil {
		return ofInput(err)
	}
	w := cmd.OutOrStdout()
	if results == nil {
		fmt.Fprintf(w, "%s: done up to stage %s; without --stage the run goes on\n", c.OutputDir, o.Stage)
		return nil
	}
	if err := writeReport(c.OutputDir, false); err != nil {
		return err
	}
	fmt.Fprint(w, results)
	return nil
}

// ofInput marks an error of what a run was given.
func ofInput(err error) error {
	var input pipeline.InputError
	if errors.As(err, &input) {
		return begin(err)
	}
	return err
}
