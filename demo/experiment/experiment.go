// Package experiment is the demo: the whole method on the tasks of package demo, beside its rivals and a sceptic's controls.
//
// A cell is one task at one seed. Each of its models (variants.go) is trained on the pairs of the seed, or on critiques of them, and
// measured (measure.go): on the validation split at each of [Temperatures], on the evaluation split at the one that was best there. What a
// model wrote is left pair by pair in pairs/, of which the tables are made (tables.go), and from which recount.py makes them again. A run
// that is stopped goes on behind the last model that was measured.
package experiment

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"criticrm/checkpoint"
	"criticrm/demo"
	"criticrm/demo/text"
	"criticrm/kernels"
	"criticrm/measure"
)

// Options of a run.
type Options struct {
	Dir     string   // for results.json, report.html, pairs/, recipe.yaml, data/ and the run critic-rm/ with its model
	BaseDir string   // base model of all tasks; "": each task's own
	Seeds   []uint64 // of base, data, sampling and training
	Full    bool     // all controls and ablations
	Parts   []string // of Full, by name, the others are left for later; nil: all
	Tasks   []string // names; nil: the first two, or all if Full
	Pairs   int      // training pairs; 0: 600
	Held    int      // evaluation pairs; 0: 500
	Valid   int      // pairs to choose settings by; 0: 250
	Text    *Text    // real text instead of the demo's tasks; nil: those
	Threads int      // of the device, for results.json; 0: all cores
	Version string   // of the program, for results.json
	Log     io.Writer
}

const (
	evalSeed  = 777
	validSeed = 888
)

// Names in the directory of a demo.
const (
	markFile     = ".criticrm-demo"
	runDir       = "critic-rm" // the first cell's main run
	dataDir      = "data"
	pairsDir     = "pairs"
	recipeFile   = "recipe.yaml"
	resultsFile  = "results.json"
	reportFile   = "report.html"
	finishedFile = pairsDir + "/finished.json"
	recountFile  = "recount.py"
	tempDirs     = ".run-*" // models that are gone when they are measured
)

//go:embed recount.py
var recount []byte

// runner makes the cells of a run.
type runner struct {
	Options
	dev      *kernels.Device
	tasks    []*task
	prompts  string // directory
	results  *Results
	finished map[string]*entry          // models that are measured, by task/seed/name
	figures  map[string]*measure.Report // of files that were read
	began    time.Time
	done     int // models that are measured
	made     int // of them, by this run
	models   int // that the run has in all

	parts        []part // what is done first at all tasks, and what then
	recipe       []byte
	temperatures []float64
	averaged     int // critiques of a response at temperatures above 0
	sequences    int // that an engine decodes at once
}

// Run makes the experiment on a device and writes results.json and report.html to o.Dir, anew behind every part of it.
func Run(ctx context.Context, dev *kernels.Device, o Options) (*Results, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	for _, n := range []struct {
		n     *int
		usual int
	}{{&o.Pairs, 600}, {&o.Held, 500}, {&o.Valid, 250}} {
		if *n.n == 0 {
			*n.n = n.usual
		}
	}
	if len(o.Seeds) == 0 || o.Pairs < 40 || o.Held < 10 || o.Valid < 10 {
		return nil, fmt.Errorf("demo: %d seeds, %d pairs, %d evaluation pairs, %d validation pairs: want at least 1, 40, 10 and 10",
			len(o.Seeds), o.Pairs, o.Held, o.Valid)
	}
	r := &runner{Options: o, dev: dev, prompts: filepath.Join(o.Dir, demo.Prompts), finished: map[string]*entry{}, figures: map[string]*measure.Report{}, began: time.Now()}
	if err := r.what(); err != nil {
		return nil, err
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	r.results = &Results{Version: o.Version, Go: runtime.Version(), CPU: cpuName(), Device: dev.String(), Threads: threads(o.Threads), Full: o.Full,
		Seeds: o.Seeds, TrainPairs: r.Pairs, EvalPairs: r.Held, ValidPairs: r.Valid, Averaged: r.averaged, Seconds: map[string]float64{}}
	if err := r.all(ctx); err != nil {
		return nil, err
	}
	if r.made == 0 {
		r.printf("all models were measured already: remove %s, or choose another output_dir, to make them anew", r.Dir)
	}
	r.results.Complete = !r.Full || len(r.parts) == len(parts())
	return r.results, r.save()
}

// what says what is done: which models, at which tasks, measured how.
func (r *runner) what() (err error) {
	r.recipe, r.temperatures, r.averaged, r.sequences = recipe, Temperatures(), averaged, 512
	if r.Text != nil {
		return r.text()
	}
	for _, name := range r.Parts {
		if !slices.Contains(PartNames(), name) {
			return fmt.Errorf("demo: there is no part %q: want %s", name, strings.Join(PartNames(), ", "))
		}
	}
	for _, p := range parts() {
		if p.name == mainPart || r.Full && (len(r.Parts) == 0 || slices.Contains(r.Parts, p.name)) {
			r.parts = append(r.parts, p)
		}
	}
	r.tasks, err = tasksOf(r.Options)
	return err
}

// extractPrompts writes the prompts that critiques are asked for with.
func (r *runner) extractPrompts() error {
	if r.Text != nil {
		return text.Extract(r.prompts)
	}
	return demo.Extract(demo.Prompts, r.prompts)
}

// all goes through the cells: of each seed the main models of all tasks first, then controls, the rivals with settings that are looked for, and
// ablations.
func (r *runner) all(ctx context.Context) error {
	for _, p := range r.parts {
		r.models += len(p.variants) * len(r.tasks) * len(r.Seeds)
	}
	cells := r.cells()
	for row := range slices.Chunk(cells, len(r.tasks)) { // of one seed
		for _, p := range r.parts {
			for _, c := range row {
				if err := c.run(ctx, p); err != nil {
					return err
				}
				if err := r.tables(cells, false); err != nil {
					return err
				}
			}
		}
		for _, c := range row {
			if err := c.clear(); err != nil {
				return err
			}
		}
	}
	return r.tables(cells, true)
}

// prepare writes what the cells read.
func (r *runner) prepare() error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := r.claim(); err != nil {
		return err
	}
	for _, dir := range []string{dataDir, pairsDir} {
		if err := os.MkdirAll(r.in(dir), 0o755); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	if err := r.extractPrompts(); err != nil {
		return err
	}
	for name, b := range map[string][]byte{recipeFile: r.recipe, recountFile: recount} {
		if err := checkpoint.WriteFileAtomic(filepath.Join(r.Dir, name), b); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return r.readFinished()
}

// claim marks a directory as a demo's, in which a later demo may replace what this one leaves. A run that is there without the mark is
// somebody's own and stays. What a demo of the same program on the same pairs has measured stays measured, whether it was finished, interrupted or
// without --full; all else of an earlier demo goes.
func (r *runner) claim() error {
	now := fmt.Sprintln(r.Version, hashOf(r.recipe), r.tasks[0].Name, r.Seeds[0], r.Pairs, r.Held, r.Valid, r.BaseDir)
	was, err := os.ReadFile(r.in(markFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(r.in(runDir)); err == nil {
			return fmt.Errorf("demo: %s is there already and no demo made it: choose another output_dir", r.in(runDir))
		}
	} else if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	gone, err := filepath.Glob(r.in(tempDirs))
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if string(was) != now {
		cold, err := filepath.Glob(r.in(coldDirs))
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		gone = append(append(gone, cold...), r.in(runDir), r.in(cellsDir), r.in(resultsFile), r.in(reportFile), r.in(tableFile), r.in(pairsDir), r.in(critiquesDir))
	}
	for _, path := range gone {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return checkpoint.WriteFileAtomic(r.in(markFile), []byte(now))
}

// in is a path in the run's directory.
func (r *runner) in(name string) string { return filepath.Join(r.Dir, filepath.FromSlash(name)) }

func (r *runner) printf(format string, a ...any) { fmt.Fprintf(r.Log, format+"\n", a...) }

// spent adds seconds to a stage.
func (r *runner) spent(stage string, seconds float64) {
	if _, ok := r.results.Seconds[stage]; !ok {
		r.results.Stages = append(r.results.Stages, stage)
	}
	r.results.Seconds[stage] += seconds
}

func threads(n int) int {
	if n == 0 {
		return runtime.NumCPU()
	}
	return n
}

// cpuName is the processor's name where the system tells it.
func cpuName() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for _, line := range strings.Split(string(b), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
