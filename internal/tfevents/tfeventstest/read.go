// Package tfeventstest reads event files in tests, with TensorBoard itself.
package tfeventstest

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"
)

// reader is a program that reads event files with TensorBoard's own EventAccumulator.
const reader = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
acc = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "histograms": 0})
acc.Reload()
out = {}
histograms = {}
for tag in acc.Tags()["histograms"]:
    histograms[tag] = [{"step": e.step, "min": h.min, "max": h.max, "num": h.num, "sum": h.sum, "squares": h.sum_squares, "limits": list(h.bucket_limit), "counts": list(h.bucket)}
                       for e in acc.Histograms(tag) for h in [e.histogram_value]]
for tag in acc.Tags()["scalars"]:
    out[tag] = [[e.step, e.value, e.wall_time] for e in acc.Scalars(tag)]
print(json.dumps({"scalars": out, "histograms": histograms}))
`

// Read gives the scalars of the event files in a directory as TensorBoard reads them: step, value, time. The test is skipped where TensorBoard is not installed.
func Read(t *testing.T, dir string) map[string][][3]float64 {
	t.Helper()
	return read(t, dir).Scalars
}

// Histogram is a histogram as TensorBoard reads it.
type Histogram struct {
	Step                        int
	Min, Max, Num, Sum, Squares float64
	Limits, Counts              []float64
}

// ReadHistograms is Read of histograms.
func ReadHistograms(t *testing.T, dir string) map[string][]Histogram {
	t.Helper()
	return read(t, dir).Histograms
}

// events are what TensorBoard reads, by tag.
type events struct {
	Scalars    map[string][][3]float64
	Histograms map[string][]Histogram
}

func read(t *testing.T, dir string) (got events) {
	t.Helper()
	python := cmp.Or(os.Getenv("CRITICRM_PYTHON"), "python3")
	if out, err := exec.Command(python, "-c", "import tensorboard").CombinedOutput(); err != nil {
		t.Skipf("TensorBoard is not installed (CRITICRM_PYTHON says which Python has it): %v %.200s", err, out)
	}
	out, err := exec.Command(python, "-c", reader, dir).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, exit.Stderr)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return got
}
