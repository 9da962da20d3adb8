package main

import (
	"fmt"
	"runtime"
	"strconv"

	"github.com/spf13/cobra"

	"criticrm/collective"
	"criticrm/stage"
)

// bindShard binds the part of the rows that a run does.
func (o *fileFlags) bindShard(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.shard, "shard", "", "a part of the rows, as 0/4 to 3/4, for runs on several machines; 'criticrm merge' puts together what they write beside out; auto: the part that a launcher's or a Slurm array's variables say")
	inGroup(cmd.Flags(), "shard", "Machine", false)
}

// cut makes the run one of a part, and gives where its launcher has put it.
func (o *fileFlags) cut(get func(string) string) (w collective.World, err error) {
	if o.shard == "" {
		return w, nil
	}
	if o.out == "" {
		return w, fmt.Errorf("--shard needs --out, beside which each part is written")
	}
	text := o.shard
	if text == "auto" {
		if w, text, err = surroundingShard(get); err != nil {
			return w, fmt.Errorf("--shard auto: %w", err)
		}
	}
	s, err := stage.ParseShard(text)
	if err != nil {
		return w, fmt.Errorf("--shard: %w", err)
	}
	o.part, o.out = &s, s.Path(o.out)
	return w, nil
}

// surroundingShard is the part that the environment says: of a launcher's ranks, or of a Slurm array.
func surroundingShard(get func(string) string) (w collective.World, text string, err error) {
	if w, err = collective.Surroundings(get); err != nil {
		return w, "", err
	}
	if w.Launcher != "" && w.Size > 1 {
		return w, fmt.Sprintf("%d/%d", w.Rank, w.Size), nil
	}
	if get("SLURM_ARRAY_TASK_ID") == "" {
		return w, "", fmt.Errorf("no variables of mpirun, torchrun, srun or a Slurm array: give the part, as 0/4")
	}
	var n [4]int
	for i, name := range []string{"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_COUNT"} {
		if n[i], err = strconv.Atoi(get(name)); err != nil {
			return w, "", fmt.Errorf("the environment's %s is %q: want a number", name, get(name))
		}
	}
	if n[2]-n[1]+1 != n[3] {
		return w, "", fmt.Errorf("the Slurm array goes from %d to %d and has %d tasks: want one without gaps", n[1], n[2], n[3])
	}
	return collective.World{Size: 1}, fmt.Sprintf("%d/%d", n[0]-n[1], n[3]), nil
}

// beside gives this process its share of a machine that a launcher has put several of them on.
func (o *fileFlags) beside(m *modelFlags, w collective.World) error {
	if w.Beside <= 1 && w.Local <= 0 {
		return nil
	}
	if o.processes > 1 {
		return fmt.Errorf("%s has started several processes on this machine, and each asks for --nproc %d: give one of the two", w.Launcher, o.processes)
	}
	devices, err := m.found()
	if err != nil {
		return err
	}
	if len(devices) > 0 {
		m.Device = devices[max(w.Local, 0)%len(devices)] // a launcher may show each of them its own alone
	} else if m.Threads == 0 && w.Beside > 1 {
		m.Threads = max(1, runtime.NumCPU()/w.Beside)
	}
	return nil
}
