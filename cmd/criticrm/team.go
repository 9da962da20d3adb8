package main

// Several processes that share the rows of a command which asks a model: the same command, started by the first of them.

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/cuda"
	"criticrm/kernels"
	"criticrm/pipeline"
	"criticrm/stage"
)

// errServed is the end of a helper that has done what it was asked for.
var errServed = errors.New("the process that has started this one has no more to ask")

// bindTeam binds the number of processes.
func (o *fileFlags) bindTeam(cmd *cobra.Command) {
	cmd.Flags().IntVar(&o.processes, "nproc", 1, "processes that share the rows, each with its own copy of the model and its share of the cores, or a GPU of its own; what is written is as of one process")
	inGroup(cmd.Flags(), "nproc", "Machine", true)
}

// commandLine is the command's as it was given, but for flags that are left out, or set to something else.
func commandLine(cmd *cobra.Command, without map[string]bool, with map[string]string) (args []string) {
	for at := cmd; at.HasParent(); at = at.Parent() {
		args = append([]string{at.Name()}, args...)
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if _, other := with[f.Name]; !other && !without[f.Name] {
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	for _, name := range slices.Sorted(maps.Keys(with)) {
		if with[name] != "" {
			args = append(args, "--"+name+"="+with[name])
		}
	}
	return args
}

// ofFirst are flags of the first process alone.
var ofFirst = map[string]bool{"nproc": true, "memory_report": true, "shard": true, "restart": true, "json": true, "rewardbench_out": true}

// nowhere is the output of a helper, which writes none.
const nowhere = "nowhere"

// share makes ready for --nproc processes: this one gets its share of the machine, before it opens the model. close removes what share has made.
func (o *fileFlags) share(cmd *cobra.Command, m *modelFlags, r pipeline.Remote) (close func(), err error) {
	close = func() {}
	w, err := o.cut(os.Getenv)
	if err == nil {
		err = o.beside(m, w)
	}
	if err != nil {
		return close, inputError{err}
	}
	switch {
	case o.processes == 1: // so it is of helpers
		return close, nil
	case o.processes < 1 || o.processes > 4096:
		return close, inputError{fmt.Errorf("--nproc is %d: want 1 to 4096", o.processes)}
	case r.Elsewhere():
		return close, inputError{fmt.Errorf("--nproc is for a model on this machine: engine %s has --concurrency, and takes several servers in --base_url", r.Engine)}
	}
	devices, err := m.devices(o.processes)
	if err != nil {
		return close, inputError{err}
	}
	given := m.Threads
	if m.Device = devices[0]; given == 0 && m.Device == "cpu" {
		m.Threads = max(1, runtime.NumCPU()/o.processes)
	}
	program, err := os.Executable()
	if err != nil {
		return close, err
	}
	o.team = &stage.Team{Size: o.processes, Finer: m.Device == "cpu", Command: func(rank int) *exec.Cmd {
		with := map[string]string{"model": m.Dir, "in": o.in, "out": nowhere, "device": devices[rank], "threads": fmt.Sprint(m.Threads)}
		return exec.Command(program, commandLine(cmd, ofFirst, with)...)
	}}
	if o.out == "" {
		dir, err := os.MkdirTemp("", "criticrm-rows-")
		if err != nil {
			return close, err
		}
		o.out, o.unnamed = filepath.Join(dir, "rows.jsonl"), true
		close = func() { os.RemoveAll(dir) }
	}
	return close, nil
}

// found are the GPUs that the device's name leaves open to choose from; none: it is the CPU, or one GPU, or there is none.
func (m *modelFlags) found() (list []string, err error) {
	kind, _, err := kernels.ParseDevice(m.Device)
	if err != nil {
		return nil, fmt.Errorf("--device: %w", err)
	}
	if kind == "cpu" || m.Device != kind || !cuda.Built {
		return nil, nil
	}
	found, _ := cuda.Devices() // without one the device itself says why
	for _, d := range found {
		if d.Err() == nil {
			list = append(list, fmt.Sprintf("cuda:%d", d.Ordinal))
		}
	}
	return list, nil
}

// devices names one for each of n processes: a GPU of its own, or the CPU.
func (m *modelFlags) devices(n int) ([]string, error) {
	list, err := m.found()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(m.Device, "cuda:") {
		return nil, fmt.Errorf("--device %s is one GPU, and --nproc asks for %d processes: give --device cuda, and CUDA_VISIBLE_DEVICES to choose among GPUs", m.Device, n)
	}
	switch {
	case len(list) >= n:
		return list[:n], nil
	case len(list) > 0:
		return nil, fmt.Errorf("--nproc asks for %d processes, and this machine has %d GPUs that can be used: a GPU is for one process (--device cpu takes the CPU)", n, len(list))
	case m.Device == "cuda":
		return slices.Repeat([]string{m.Device}, n), nil // which says why it is not there
	}
	return slices.Repeat([]string{"cpu"}, n), nil
}

// written copies what was written without a name to standard output.
func (o *fileFlags) written(w io.Writer) error {
	f, err := os.Open(o.out)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
