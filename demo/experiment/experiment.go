// Package experiment is the demo: the whole method on the task of package demo, beside its rivals and a sceptic's controls.
//
// A run of [Run] is runs of package pipeline with the recipe of recipe.yaml: it writes its pairs and the base model to files, lets the
// pipeline make critiques, filter and refine them, train a Critic-RM and measure it on held-out pairs beside a scalar reward model, the base
// model as a judge and training on unfiltered critiques; and reads the runs' files for its table and its report.
package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"criticrm/checkpoint"
	"criticrm/demo"
	"criticrm/kernels"
)

// Options of a run.
type Options struct {
	Dir     string   // for results.json, report.html, recipe.yaml, base/, prompts/, data/ and the run critic-rm/ with its model
	BaseDir string   // base model; "" is the embedded one
	Seeds   []uint64 // one column of the experiment each
	Full    bool     // also refinement variants, data efficiency, the scalar model's sweep, a second round
	Pairs   int      // training pairs; 0: 600
	Held    int      // evaluation pairs; 0: 500
	Threads int      // of the device, for results.json; 0: all cores
	Version string   // of the program, for results.json
	Log     io.Writer
}

const (
	validPairs = 400
	evalSeed   = 777
	validSeed  = 888
	judged     = 8 // critiques of the judge that Critic-RM is compared with
)

// Names in the directory of a demo.
const (
	markFile    = ".criticrm-demo"
	runDir      = "critic-rm" // the first seed's main run
	dataDir     = "data"
	recipeFile  = "recipe.yaml"
	resultsFile = "results.json"
	reportFile  = "report.html"
	tempDirs    = ".run-*" // runs that are gone when they are measured
)

// runner collects figures over the seeds.
type runner struct {
	Options
	dev           *kernels.Device
	base, prompts string // directories
	held, valid   string // files
	seed          uint64
	results       *Results
	clocked       map[string]int // stages of a run whose seconds are counted
}

// Run makes the experiment on a device and writes results.json and report.html to o.Dir.
func Run(ctx context.Context, dev *kernels.Device, o Options) (*Results, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Pairs == 0 {
		o.Pairs = 600
	}
	if o.Held == 0 {
		o.Held = 500
	}
	if len(o.Seeds) == 0 || o.Pairs < 40 || o.Held < 10 {
		return nil, fmt.Errorf("demo: %d seeds, %d pairs, %d held-out pairs: want at least 1, 40 and 10", len(o.Seeds), o.Pairs, o.Held)
	}
	r := &runner{Options: o, dev: dev, base: o.BaseDir, prompts: filepath.Join(o.Dir, demo.Prompts), clocked: map[string]int{}}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	r.results = &Results{Version: o.Version, Go: runtime.Version(), CPU: cpuName(), Device: dev.String(), Threads: threads(o.Threads), Full: o.Full, Seeds: o.Seeds,
		TrainPairs: o.Pairs, EvalPairs: o.Held, Seconds: map[string]float64{}}
	for i, seed := range o.Seeds {
		r.seed = seed
		if err := r.oneSeed(ctx, i == 0); err != nil {
			return nil, err
		}
	}
	r.finish()
	return r.results, r.save()
}

// prepare writes what the runs read.
func (r *runner) prepare() error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := r.claim(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(r.Dir, dataDir), 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if r.base == "" {
		r.base = filepath.Join(r.Dir, demo.Base)
		if err := demo.Extract(demo.Base, r.base); err != nil {
			return err
		}
	}
	if err := demo.Extract(demo.Prompts, r.prompts); err != nil {
		return err
	}
	if err := checkpoint.WriteFileAtomic(filepath.Join(r.Dir, recipeFile), recipe); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	var err error
	if r.held, err = r.write("held-out", demo.Pairs(evalSeed, r.Held, demo.Evaluation)); err != nil {
		return err
	}
	r.valid, err = r.write("validation", demo.Pairs(validSeed, validPairs, demo.Validation))
	return err
}

// claim marks a directory as a demo's, in which a later demo may replace what this one leaves. A run that is there without the mark is
// somebody's own and stays. What the same demo has begun and not finished is gone on with; all else of an earlier demo goes.
func (r *runner) claim() error {
	inDir := func(name string) string { return filepath.Join(r.Dir, name) }
	now := fmt.Sprintln(r.Seeds, r.Full, r.Pairs, r.Held, r.BaseDir)
	was, err := os.ReadFile(inDir(markFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(inDir(runDir)); err == nil {
			return fmt.Errorf("demo: %s is there already and no demo made it: choose another output_dir", inDir(runDir))
		}
	} else if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	gone, err := filepath.Glob(inDir(tempDirs))
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if _, err := os.Stat(inDir(resultsFile)); err == nil || string(was) != now {
		gone = append(gone, inDir(runDir), inDir(resultsFile), inDir(reportFile))
	}
	for _, path := range gone {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return checkpoint.WriteFileAtomic(inDir(markFile), []byte(now))
}

func (r *runner) printf(format string, a ...any) { fmt.Fprintf(r.Log, format+"\n", a...) }

// spent adds seconds to a stage.
func (r *runner) spent(stage string, seconds float64) {
	if _, ok := r.results.Seconds[stage]; !ok {
		r.results.Stages = append(r.results.Stages, stage)
	}
	r.results.Seconds[stage] += seconds
}

// add notes a seed's correctness for a row; rows stand in the order in which they first come up.
func (r *runner) add(method string, m, pairs int, correct []float64) {
	row := r.row(method, m, pairs)
	if row == nil {
		row = &Row{Method: method, M: m, Pairs: pairs}
		r.results.Rows = append(r.results.Rows, row)
	}
	row.correct = append(row.correct, correct)
}

// row finds a row; nil if there is none yet.
func (r *runner) row(method string, m, pairs int) *Row {
	for _, row := range r.results.Rows {
		if row.Method == method && row.M == m && row.Pairs == pairs {
			return row
		}
	}
	return nil
}

// names of rows
const (
	tenPercent  = "Critic-RM, 10 % of the pairs"
	shareOfData = " % of the pairs" // ends the names of rows on a part of the pairs
)

// oneSeed makes all runs of the runner's seed.
func (r *runner) oneSeed(ctx context.Context, first bool) error {
	r.printf("\nseed %d: %d preference pairs, %d held-out pairs, no prompt in common", r.seed, r.Pairs, r.Held)
	main := plan{dir: filepath.Join(r.Dir, runDir), pairs: r.Pairs, log: r.Log}
	if !first {
		dir, err := os.MkdirTemp(r.Dir, tempDirs)
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		defer os.RemoveAll(dir)
		main.dir = dir
	}
	var sampled string // the run as it is behind its critiques, where other refinements begin
	if r.Full {
		var err error
		if sampled, err = r.sampled(ctx, main); err != nil {
			return err
		}
		defer os.RemoveAll(sampled)
	}
	if err := r.run(ctx, main); err != nil {
		return err
	}
	if err := r.mainRows(main.dir, first); err != nil {
		return err
	}
	if err := r.variant(ctx, tenPercent, plan{pairs: r.Pairs / 10}); err != nil {
		return err
	}
	if r.Full {
		return r.full(ctx, sampled, first)
	}
	return nil
}

// sampled makes the critiques of a run and gives a copy of its directory.
func (r *runner) sampled(ctx context.Context, p plan) (string, error) {
	p.stage = "generate"
	if err := r.run(ctx, p); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(r.Dir, tempDirs)
	if err == nil {
		err = os.CopyFS(dir, os.DirFS(p.dir))
	}
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	r.clocked[dir] = r.clocked[p.dir]
	return dir, nil
}

// mainRows reads the main run of a seed.
func (r *runner) mainRows(dir string, first bool) error {
	var files [4]*measured
	for i, name := range []string{"bt", "base", "cloud", "round-1"} {
		var err error
		if files[i], err = read(filepath.Join(dir, name, "eval.jsonl")); err != nil {
			return err
		}
	}
	scalar, judge, cloud, tuned := files[0], files[1], files[2], files[3]
	r.add("scalar RM", 0, r.Pairs, scalar.correct("reward"))
	for _, m := range []int{1, judged} {
		r.add("LLM judge (base)", m, 0, judge.judge(m))
	}
	for _, m := range []int{1, 4, 8} {
		r.add("CLoud-style", m, r.Pairs, cloud.reward(m))
	}
	for _, m := range []int{1, 4, 8} {
		r.add("Critic-RM", m, r.Pairs, tuned.reward(m))
	}
	if r.Full {
		r.add("Critic-RM", 16, r.Pairs, tuned.reward(16))
		r.add("Critic-RM as judge", judged, r.Pairs, tuned.judge(judged))
	}
	if !first {
		return nil
	}
	r.results.Quality = []QualityRow{judge.quality("base"), tuned.quality("Critic-RM")}
	r.results.Examples = examples(demo.Pairs(evalSeed, r.Held, demo.Evaluation), judge, tuned)
	var err error
	r.results.Training, err = steps(filepath.Join(dir, "round-1", "train"))
	return err
}

// variant makes a run without baselines, measures it, and adds a row for one critique and one for eight.
func (r *runner) variant(ctx context.Context, name string, p plan) error {
	d, err := r.measure(ctx, name, p, "round-1")
	if err != nil {
		return err
	}
	for _, m := range []int{1, 8} {
		r.add(name, m, p.pairs, d.reward(m))
	}
	return nil
}

// measure makes a run up to the measurement of a round, in a directory that is gone afterwards.
func (r *runner) measure(ctx context.Context, name string, p plan, round string) (*measured, error) {
	r.printf("%s, %d pairs …", name, p.pairs)
	dir, err := os.MkdirTemp(r.Dir, tempDirs)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(dir)
	if p.from != "" {
		if err := os.CopyFS(dir, os.DirFS(p.from)); err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		r.clocked[dir] = r.clocked[p.from]
	}
	p.dir, p.stage = dir, round+"/eval"
	if err := r.run(ctx, p); err != nil {
		return nil, err
	}
	d, err := read(filepath.Join(dir, round, "eval.jsonl"))
	if err == nil {
		r.printf("%s, %d pairs: accuracy %.1f with one critique, %.1f with 8", name, p.pairs, percent(d.reward(1)), percent(d.reward(8)))
	}
	return d, err
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
