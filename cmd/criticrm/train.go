package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/checkpoint"
	"criticrm/collective"
	"criticrm/cuda"
	"criticrm/internal/progress"
	"criticrm/trainer"
)

func newTrain() *cobra.Command {
	given := trainer.Default()
	var recipe, traceFile string
	var printConfig, dryRun bool
	var dev deviceFlags
	var ranks rankFlags
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train critique and reward together (or a scalar reward model, or the critic alone)",
		Long: `train runs a recipe: a YAML file, flags of the same names, or both; flags win. Methods: critic (Critic-RM), cloud (all critiques, constant
weight), bt (scalar Bradley-Terry), sft and lm (language modelling).

SIGINT, SIGTERM and SIGUSR1 end the run after the micro-batch in hand, with a checkpoint; --resume latest goes on from there, bit for bit.
A second signal ends it at once. The final model is output_dir/model.`,
		Example: `  criticrm train --model llama --train_file 3.jsonl --output_dir run
  criticrm train --recipe examples/critic-rm.yaml --learning_rate 5e-6 --max_steps 200
  criticrm train --recipe examples/critic-rm.yaml --resume latest
  criticrm train --recipe examples/critic-rm.yaml --bf16 --dry_run
  criticrm train --recipe examples/bt.yaml --print_config`,
		Args:        noArgs,
		Annotations: map[string]string{"config": "recipe"},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&recipe, "recipe", "", "YAML file with the names below; flags override it")
	f.BoolVar(&printConfig, "print_config", false, "print the resolved recipe and stop")
	f.BoolVar(&dryRun, "dry_run", false, "read and check all input, say how much memory of a GPU the run takes, and stop; no GPU is needed")
	ranks.bind(f)
	f.StringVar(&traceFile, "trace", "", traceHelp)
	bindReport(f, &dev.report)
	bindTable(cmd, &given)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := resolve(f, recipe, &given)
		if err != nil {
			return inputError{err}
		}
		if printConfig {
			return printRecipe(cmd, c)
		}
		if dryRun {
			return dryTrain(cmd, c, ranks.processes)
		}
		if err := required(cmd, "model", c.Model, "train_file", c.TrainFile, "output_dir", c.OutputDir); err != nil {
			return err
		}
		if err := findInputs(cmd, &c.Model, &c.TrainFile, &c.EvalFile); err != nil {
			return err
		}
		if ranks != (rankFlags{processes: 1}) {
			err := ranks.launch(cmd, c)
			joinTraces(traceFile, ranks.processes, cmd.ErrOrStderr())
			return err
		}
		return train(cmd, c, dev, traceFile)
	}
	return cmd
}

func train(cmd *cobra.Command, c trainer.Config, flags deviceFlags, traceFile string) error {
	stderr := cmd.ErrOrStderr()
	world, err := collective.Surroundings(os.Getenv)
	if err != nil {
		return inputError{err}
	}
	if world.Rank == 0 && c.EvalFile == "" && c.EvalStrategy != trainer.EvalNever {
		fmt.Fprintln(stderr, "no eval_file: nothing is measured on held-out records while training")
	}
	flags.name, flags.threads = c.Device, c.Threads
	flags.share(world)
	if err := flags.ownGPU(world); err != nil {
		return inputError{err}
	}
	dev, closeDevice, err := flags.open(stderr)
	if err != nil {
		return err
	}
	defer closeDevice()
	group, err := openGroup(dev, world, c, stderr)
	if err != nil {
		return inputError{err}
	}
	stopTrace, err := startTrace(traceFile, world, dev, stderr)
	if err != nil {
		return inputError{errors.Join(group.Fail(err), group.Close())}
	}
	res, err := trainer.Run(cmd.Context(), dev, c, trainer.Report{Log: stderr, Terminal: progress.IsTerminal(stderr), Page: writeReport}, trainer.WithGroup(group))
	stopTrace()
	if end := group.Close(); err == nil { // behind an error it is the group's, which is known
		err = end
	}
	if world.Rank > 0 && err == nil {
		return nil // rank 0 tells
	}
	if world.Size > 1 && err == nil {
		joinTraces(traceFile, world.Size, stderr)
	}
	if err != nil {
		if res.Steps == 0 && !errors.Is(err, trainer.ErrInterrupted) && !errors.Is(err, syscall.ENOSPC) {
			err = inputError{err} // nothing was begun
		}
		if group.Failed() != nil {
			err = toldError{err}
		}
		return err
	}
	w := cmd.OutOrStdout()
	if res.Last.Step == 0 {
		fmt.Fprintf(w, "step %d: the run was finished before, nothing was trained\n", res.Steps)
	} else {
		fmt.Fprintf(w, "step %d: loss %.4g", res.Steps, res.Last.Loss)
		if !math.IsNaN(res.Last.Accuracy) { // methods without rewards have none
			fmt.Fprintf(w, ", accuracy %.3g, margin %.4g", res.Last.Accuracy, res.Last.Margin)
		}
		fmt.Fprintln(w)
	}
	if res.NoRewards != "" {
		fmt.Fprintf(w, "warning: %s\n", res.NoRewards)
	}
	for _, e := range res.Evals {
		fmt.Fprintf(w, "held out%s: loss %.4g", strings.TrimSuffix(" "+e.Name, " "), e.Loss)
		if e.Pairs > e.Compared {
			fmt.Fprintf(w, ", squared error %.4g on %d examples", e.RewardLoss, e.Pairs)
		}
		unit := "pairs"
		if c.LossType == trainer.PlackettLuce {
			unit = "lists"
		}
		if e.Compared > 0 {
			fmt.Fprintf(w, ", accuracy %.3g on %d %s, %d ties", e.Accuracy, e.Compared, unit, e.Ties)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "model: %s", res.ModelDir)
	if b := res.Best; b != nil {
		fmt.Fprintf(w, ", %v", b)
	}
	if n := len(res.Averaged); n > 0 {
		fmt.Fprintf(w, ", the mean of %d checkpoints", n)
	}
	fmt.Fprintln(w)
	return nil
}

// dryTrain says what memory a run takes on a GPU, or on each of several, and whether the devices of this machine have it.
func dryTrain(cmd *cobra.Command, c trainer.Config, ranks int) error {
	if ranks < 1 {
		return inputError{fmt.Errorf("--nproc is %d: want at least 1", ranks)}
	}
	if err := required(cmd, "model", c.Model, "train_file", c.TrainFile); err != nil {
		return err
	}
	if err := asLightDir(cmd, &c.Model); err != nil {
		return err
	}
	if err := findFiles(cmd, &c.TrainFile, &c.EvalFile); err != nil {
		return err
	}
	res, model, all, err := dryMemory(cmd, c, ranks, cmd.ErrOrStderr())
	if err != nil {
		return inputError{err}
	}
	w, each := cmd.OutOrStdout(), "a GPU"
	if ranks > 1 {
		each = fmt.Sprintf("each of %d GPUs with zero_stage %d", ranks, c.ZeroStage)
	}
	fmt.Fprintf(w, "memory on %s: %s, of which weights, gradients and the optimizer's state are %s\n", each, cuda.Size(all.HighReserved), cuda.Size(model.Reserved))
	fmt.Fprintf(w, "(%d updates in %d micro-batches, %d tokens; the driver and cuBLASLt take some more)\n", res.Steps, res.MicroBatches, res.PackedTokens)
	if ranks > 1 {
		if err := dryStages(cmd, c, ranks); err != nil {
			return err
		}
	}
	sayFits(w, all.HighReserved)
	fmt.Fprintf(w, "disk: %s for each checkpoint, of which %d lie there at once at most, and %s for the model, before compression\n",
		checkpoint.MiB(res.Space.Checkpoint), res.Space.Kept, checkpoint.MiB(res.Space.Model))
	fmt.Fprintf(w, "memory of the host while a checkpoint is written: up to %s", checkpoint.MiB(res.Space.Files))
	if res.Space.Copy > 0 {
		fmt.Fprintf(w, ", and %s for a copy of the state, so that training goes on (not with async_save no)", checkpoint.MiB(res.Space.Copy))
	}
	fmt.Fprintln(w)
	if c.OutputDir == "" {
		return nil
	}
	free, err := checkpoint.Free(c.OutputDir)
	if err != nil {
		return err
	}
	warning, err := res.Space.Fits(c.OutputDir, free)
	if warning != "" {
		fmt.Fprintln(w, warning)
	}
	return err
}

// dryMemory is what a process of a run keeps from the first to the last update, and the most that it takes.
func dryMemory(cmd *cobra.Command, c trainer.Config, ranks int, log io.Writer) (res trainer.Result, model, all cuda.Stats, err error) {
	dev := cuda.Dry()
	defer dev.Close()
	res, err = trainer.DryRun(cmd.Context(), dev, c, ranks, trainer.Report{Log: log}, func() { model, _ = cuda.StatsOf(dev) })
	all, _ = cuda.StatsOf(dev)
	return res, model, all, err
}

// dryStages says what the other stages would take.
func dryStages(cmd *cobra.Command, c trainer.Config, ranks int) error {
	asked := c.ZeroStage
	for c.ZeroStage = range 4 {
		if c.ZeroStage == asked {
			continue
		}
		_, model, all, err := dryMemory(cmd, c, ranks, io.Discard)
		if err != nil {
			fmt.Fprintf(cmd.OutOrStdout(), "with zero_stage %d: %v\n", c.ZeroStage, err)
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "with zero_stage %d: %s, of which %s\n", c.ZeroStage, cuda.Size(all.HighReserved), cuda.Size(model.Reserved))
	}
	return cmd.Context().Err()
}

// sayFits tells for each GPU of this machine whether a training of so many bytes fits.
func sayFits(w io.Writer, bytes int) {
	list, _ := cuda.Devices()
	for _, d := range list {
		verdict := "it fits"
		if bytes > d.Memory {
			verdict = "it does not fit: lower max_tokens_per_batch, or use gradient_checkpointing or stochastic_rounding"
		}
		fmt.Fprintf(w, "cuda:%d (%s) has %s: %s\n", d.Ordinal, d.Name, cuda.Size(d.Memory), verdict)
	}
}

// resolve is the recipe with the flags that were given on top.
func resolve(f *pflag.FlagSet, recipe string, given *trainer.Config) (trainer.Config, error) {
	c := trainer.Default()
	if recipe != "" {
		var err error
		if c, err = trainer.LoadRecipe(recipe); err != nil {
			return c, err
		}
	}
	for _, field := range trainer.Fields() {
		if f.Changed(field.Name) {
			field.Assign(&c, given)
			field.Means(&c)
		}
	}
	return c, c.Validate()
}
