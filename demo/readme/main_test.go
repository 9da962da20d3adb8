package main

import (
	"os"
	"path/filepath"
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

// Pages that say which run they are of have its figures, to the last digit.
func TestPagesAreOfTheirRuns(t *testing.T) {
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, path := range append(pages, filepath.Join(root, "README.md")) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		from := source(path, string(b))
		if from == "" {
			continue
		}
		held++
		r, err := read(from)
		if err != nil {
			t.Fatal(err)
		}
		page, err := fill(r, string(b))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if page != string(b) {
			t.Errorf("%s has other figures than %s: go run ./demo/readme %s build/report.html %s", path, from, from, path)
		}
	}
	if held < 2 {
		t.Errorf("%d pages are held against their runs, want the ablations and the critiques at least", held)
	}
}
