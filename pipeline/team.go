package pipeline

// Stages that ask a model about rows may be shared by several processes; see [stage.Team]. The others run the same command, and answer in Help.

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"criticrm/kernels"
	"criticrm/stage"
)

// Team says which processes share the rows of a run's stages.
type Team struct {
	Size    int
	Command func(stage string, rank int) *exec.Cmd // of a process that calls Help for the stage, not started yet
	Device  *kernels.Device                        // this process's while rows are shared: its part of the machine
}

// Help does a stage's rows for the process that has started this one. Nothing is written. name is the stage's, as Team.Command was told.
func Help(ctx context.Context, dev *kernels.Device, c Config, o Options, name string, d *stage.Duty) error {
	r := newRun(dev, c, o)
	r.duty = d
	r.meter.Tell(d.Wrote)
	if err := r.openInputs(); err != nil {
		return InputError{err}
	}
	defer r.closeEngine()
	k, what := split(name)
	what, file, _ := strings.Cut(what, "/")
	work, ok := map[string]func(context.Context) (string, error){
		generate: func(ctx context.Context) (string, error) { return r.generate(ctx, k) },
		refine:   func(ctx context.Context) (string, error) { return r.refine(ctx, k) },
		follow:   func(ctx context.Context) (string, error) { return r.helpFollow(ctx, k, file) },
		eval:     func(ctx context.Context) (string, error) { return r.eval(ctx, k) },
		validate: func(ctx context.Context) (string, error) { return r.validate(ctx, k) },
		base:     r.judge, BT: r.scalar, Cloud: r.cloud,
	}[what]
	if !ok {
		return fmt.Errorf("stage %s shares no rows", name)
	}
	_, err := work(ctx)
	return err
}

// share makes a stage one that the team shares, if there is one.
func (r *run) share(s *stage.Stage) {
	if r.Team == nil {
		return
	}
	name := r.doing
	s.Team = &stage.Team{Size: r.Team.Size, Fewer: true, Finer: r.dev.Name() == "cpu", Wrote: r.meter.Wrote,
		Command: func(rank int) *exec.Cmd { return r.Team.Command(name, rank) }}
}

// asked is the device of models that are asked about rows.
func (r *run) asked() *kernels.Device {
	if r.Team != nil && r.Team.Device != nil {
		return r.Team.Device
	}
	return r.dev
}
