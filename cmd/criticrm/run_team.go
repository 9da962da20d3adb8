package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/kernels"
	"criticrm/pipeline"
	"criticrm/stage"
)

// runTeam says how many processes share the rows of a run's stages.
type runTeam struct {
	processes int
	helps     string // the stage that this process helps with
}

func (t *runTeam) bind(f *pflag.FlagSet) {
	f.IntVar(&t.processes, "nproc", 1, "processes that share the rows of generate, refine and the evaluations, each with its own copy of the model and its share of the cores, or a GPU of its own; training is one process")
	f.StringVar(&t.helps, "helps", "", "")
	f.Lookup("helps").Hidden = true
}

// notOfHelpers are flags of a run's first process alone.
var notOfHelpers = map[string]bool{"nproc": true, "memory_report": true, "stage": true, "restart": true, "dry_run": true, "print_config": true}

// run is the run, or, in a helper, its part of a stage.
func (t *runTeam) run(cmd *cobra.Command, c pipeline.Config, o pipeline.Options, flags deviceFlags, dry bool) error {
	flags.name, flags.threads = c.Device, c.Threads
	switch d, helps := stage.OnDuty(cmd.Context()); {
	case helps:
		dev, closeDevice, err := flags.open(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		defer closeDevice()
		o.Log = cmd.ErrOrStderr()
		return pipeline.Help(cmd.Context(), dev, c, o, t.helps, d)
	case t.helps != "":
		return inputError{errors.New("--helps is for processes that run starts itself")}
	case t.processes == 1:
		return runAll(cmd, c, o, flags, dry)
	case t.processes < 1 || t.processes > maxProcesses:
		return inputError{fmt.Errorf("--nproc is %d: want 1 to %d", t.processes, maxProcesses)}
	case dry:
		return inputError{errors.New("--dry_run measures one process: leave --nproc out")}
	}
	devices, err := (&modelFlags{Model: c.Model}).devices(t.processes)
	if err != nil {
		return inputError{err}
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	threads := c.Threads
	if threads == 0 {
		threads = max(1, runtime.NumCPU()/t.processes)
	}
	flags.name = devices[0]
	o.Team = &pipeline.Team{Size: t.processes, Command: func(name string, rank int) *exec.Cmd {
		with := map[string]string{"model": c.Dir, "train_file": c.TrainFile, "eval_file": c.EvalFile, "train.eval_file": c.Train.EvalFile, "device": devices[rank], "threads": fmt.Sprint(threads), "helps": name}
		return exec.Command(program, commandLine(cmd, notOfHelpers, with)...)
	}}
	if devices[0] == "cpu" && c.Threads == 0 { // training has all cores
		if o.Team.Device, err = kernels.OpenCPU(threads); err != nil {
			return err
		}
		defer o.Team.Device.Close()
	}
	return runAll(cmd, c, o, flags, dry)
}
