package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"criticrm/checkpoint"
	"criticrm/collective"
	"criticrm/internal/trace"
	"criticrm/kernels"
)

// traceHelp is what --trace does.
const traceHelp = "also write when the training did what, update by update and layer by layer, to this file, which ui.perfetto.dev opens; it is replaced if it is there, and grows by some hundred bytes a layer and micro-batch"

// startTrace records into a file, or that of a rank; stop ends it and says what went wrong with it: a training does not end for that.
func startTrace(path string, w collective.World, dev *kernels.Device, stderr io.Writer) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	if w.Size > 1 {
		path = trace.RankPath(path, w.Rank)
	}
	end, err := trace.Start(path, trace.Who{Rank: w.Rank, Device: dev.Name()})
	if err != nil {
		return nil, err
	}
	return func() {
		if err := end(); err != nil {
			fmt.Fprintf(stderr, "warning: %v; %s ends there\n", err, path)
		}
	}, nil
}

// joinTraces makes one file of those of n ranks, as far as they are here.
func joinTraces(path string, n int, stderr io.Writer) {
	if path == "" || n == 1 {
		return
	}
	if _, err := os.Stat(trace.RankPath(path, 0)); errors.Is(err, fs.ErrNotExist) {
		return // rank 0 has joined them, or has not begun
	}
	missing, err := trace.Join(path, n)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "warning: %v: the ranks' own files stay beside it\n", err)
		return
	case len(missing) > 0:
		fmt.Fprintf(stderr, "%s lacks ranks %v, which have written %s and so on elsewhere\n", path, missing, trace.RankPath(path, missing[0]))
	}
	sums, err := trace.Sums(path)
	if err != nil {
		fmt.Fprintf(stderr, "warning: %v\n", err)
	}
	for _, s := range sums {
		fmt.Fprintf(stderr, "%s: rank %d gave %s to others in %d calls, and waited for them for %.2f s of its %.1f\n",
			path, s.Rank, checkpoint.MiB(uint64(s.Bytes)), s.Calls, s.Waited.Seconds(), s.Lasted.Seconds())
	}
}
