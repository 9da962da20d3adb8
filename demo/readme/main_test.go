package main

import (
	"strings"
	"testing"

	"criticrm/demo/experiment"
)

// A difference that the prompts confirm and the seeds do not is marked, and the mark is explained; others are not.
func TestUnsure(t *testing.T) {
	diff := func(low, high float64, over *experiment.Interval) *experiment.Results {
		d := experiment.Difference{What: "a − b", Diff: experiment.Interval{Value: (low + high) / 2, Low: low, High: high}, OverSeeds: over}
		return &experiment.Results{Tasks: []*experiment.Task{{Name: "misread", Differences: []experiment.Difference{d}}}}
	}
	wide, narrow := &experiment.Interval{Low: -6, High: 14}, &experiment.Interval{Low: 1, High: 7}
	for _, x := range []struct {
		low, high float64
		over      *experiment.Interval
		want      bool
	}{{2, 6, wide, true}, {-6, -2, wide, true}, {2, 6, narrow, false}, {-1, 6, wide, false}, {2, 6, nil, false}} {
		got := mainDifferences(diff(x.low, x.high, x.over))
		if strings.Contains(got, "] ° |") != x.want || strings.Contains(got, "\n° Zero") != x.want {
			t.Errorf("%v: %s", x, got)
		}
	}
}
