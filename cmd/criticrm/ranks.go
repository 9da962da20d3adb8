package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/collective"
	"criticrm/kernels"
	"criticrm/trainer"
	"criticrm/version"
)

// rankFlags say how many processes train.
type rankFlags struct {
	processes, restarts int
}

func (r *rankFlags) bind(f *pflag.FlagSet) {
	f.IntVar(&r.processes, "nproc", 1, "train with so many processes on this machine, which share the work of each update: one for each GPU, or, with device cpu, on its cores by Open MPI's mpirun; they may also be started by hand (docs/training.md)")
	f.IntVar(&r.restarts, "max_restarts", 0, "with nproc: start again from the newest checkpoint, so many times, when a process is lost")
}

// launched are flags of this process alone.
var launched = map[string]bool{"nproc": true, "max_restarts": true}

// launch starts this command again in several processes, and again if one of them is lost.
func (r *rankFlags) launch(cmd *cobra.Command, c trainer.Config) error {
	if r.processes < 1 || r.restarts < 0 {
		return inputError{fmt.Errorf("--nproc is %d and --max_restarts %d: want at least 1 and 0", r.processes, r.restarts)}
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	args := commandLine(cmd, launched, map[string]string{"model": c.Model, "train_file": c.TrainFile, "eval_file": c.EvalFile}) // where names on a hub were found
	start := collective.Launch
	gpus, err := ranksOnGPUs(c.Device)
	if err != nil {
		return inputError{err}
	}
	if gpus > 0 {
		if start = collective.LaunchLocal; r.processes > gpus {
			return inputError{fmt.Errorf("--nproc is %d, and this machine has %d NVIDIA devices, one for each process: start fewer, or use --device cpu", r.processes, gpus)}
		}
	}
	if c.Threads == 0 {
		args = append(args, fmt.Sprintf("--threads=%d", max(1, runtime.NumCPU()/r.processes)))
	}
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	for left := r.restarts; ; left-- {
		err := start(ctx, r.processes, program, args, cmd.OutOrStdout(), stderr)
		var exit interface {
			error
			ExitCode() int
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errors.Join(context.Cause(ctx), errEnded)
		case !errors.As(err, &exit):
			return inputError{err}
		case ended(err, exit.ExitCode()).exit() != exitLost || left == 0: // it has failed by itself, and would again
			return ended(err, exit.ExitCode())
		}
		fmt.Fprintf(stderr, "criticrm: a process was lost; starting again from the newest checkpoint, %d more times at most\n", left-1)
		args = append(args, "--resume=auto")
	}
}

var errEnded = errors.New("all processes have stopped")

// endedError is the end of processes that have said why.
type endedError struct {
	code int
	why  string // of one that was ended
}

func ended(err error, code int) endedError {
	e := endedError{code: code}
	if who := collective.Ended(err); who != "" {
		e.why = ": " + who
	}
	return e
}

func (e endedError) Error() string { return "training has failed" + e.why }

// exit is what the first process ends with in turn.
func (e endedError) exit() int {
	switch {
	case e.code == exitLost || e.code >= 128: // a signal has ended one of them
		return exitLost
	case e.code == exitUsage || e.code == exitData:
		return e.code
	}
	return exitFailed
}

// toldError is the error of a rank whose group has told of it.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }

// share divides the cores among the ranks of this machine, where nobody has said how many threads each has.
func (d *deviceFlags) share(w collective.World) {
	if w.Size > 1 && d.threads == 0 && w.Beside > 1 {
		d.threads = max(1, runtime.NumCPU()/w.Beside)
	}
}

// openGroup opens the group of a training.
func openGroup(dev *kernels.Device, w collective.World, c trainer.Config, stderr io.Writer) (*collective.Group, error) {
	facts := map[string]string{"program": version.String(), "zero_stage": fmt.Sprint(c.ZeroStage)}
	for _, f := range trainer.Fields() {
		if !f.Free {
			facts[f.Name] = f.Text(c)
		}
	}
	limits, err := collective.LimitsHere()
	if err != nil {
		return nil, err
	}
	g, err := collective.Open(dev, w, facts, limits)
	if g != nil {
		g.OnFailure(func(e *collective.Error) { fmt.Fprintf(stderr, "criticrm: %s\n", oneLine(e.Error())) })
	}
	return g, err
}
