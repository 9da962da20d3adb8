// Package demo is the whole method on a task that can be verified, small enough for two CPU cores.
//
// A base language model of 0.6 million parameters (it ships with the program; [MakeBase] made it) writes critiques with systematic
// faults. [Run] samples its critiques of preference pairs, filters and refines them, trains a Critic-RM, and compares it on held-out
// pairs with a scalar reward model, with the base model as a judge, and with training on unfiltered critiques.
package demo

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/trainer"
)

//go:embed base/* prompts/*.txt
var files embed.FS

// Options of a run.
type Options struct {
	Dir     string   // for results.json, report.html, base/, prompts/ and the run critic-rm/ with its model
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
	validPairs    = 400
	evalSeed      = 777
	validSeed     = 888
	critiquesEach = 10
)

// runner collects figures over the seeds.
type runner struct {
	Options
	session
	results *Results
	valid   []Pair
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
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if err := claim(o.Dir); err != nil {
		return nil, err
	}
	dir := o.BaseDir
	if dir == "" {
		dir = filepath.Join(o.Dir, "base")
		if err := extract("base", dir); err != nil {
			return nil, err
		}
	}
	prompts := filepath.Join(o.Dir, "prompts")
	if err := extract("prompts", prompts); err != nil {
		return nil, err
	}
	base, err := engine.Open(dev, dir, engine.Options{Given: modeldir.Given{Prompts: prompts}, MaxSequences: maxSequences})
	if err != nil {
		return nil, err
	}
	defer base.Close()
	r := &runner{Options: o, valid: Pairs(validSeed, validPairs, Validation)}
	r.results = &Results{Version: o.Version, Go: runtime.Version(), CPU: cpuName(), Device: dev.String(), Threads: threads(o.Threads), Full: o.Full, Seeds: o.Seeds,
		TrainPairs: o.Pairs, EvalPairs: o.Held, Seconds: map[string]float64{}}
	r.session = session{dev: dev, dir: dir, base: base, prompts: base.Prompts, eval: Pairs(evalSeed, o.Held, Evaluation)}
	for i, seed := range o.Seeds {
		r.seed = seed
		if err := r.oneSeed(ctx, i == 0); err != nil {
			return nil, err
		}
	}
	r.finish()
	return r.results, r.write()
}

// claim marks a directory as a demo's, in which a later demo may replace the run. A run that is there without the mark is somebody's
// own and stays.
func claim(dir string) error {
	mark, run := filepath.Join(dir, ".criticrm-demo"), filepath.Join(dir, runDir)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if _, err := os.Stat(run); err == nil {
		return fmt.Errorf("demo: %s is there already and no demo made it: choose another output_dir", run)
	}
	return checkpoint.WriteFileAtomic(mark, nil)
}

// extract writes all files of an embedded directory to disk.
func extract(from, to string) error {
	entries, err := files.ReadDir(from)
	if err == nil {
		err = os.MkdirAll(to, 0o755)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	for _, e := range entries {
		b, err := files.ReadFile(from + "/" + e.Name())
		if err == nil {
			err = checkpoint.WriteFileAtomic(filepath.Join(to, e.Name()), b)
		}
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

func (r *runner) printf(format string, a ...any) { fmt.Fprintf(r.Log, format+"\n", a...) }

// clock adds the seconds since a time to a stage.
func (r *runner) clock(stage string, since time.Time) {
	if _, ok := r.results.Seconds[stage]; !ok {
		r.results.Stages = append(r.results.Stages, stage)
	}
	r.results.Seconds[stage] += time.Since(since).Seconds()
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

const (
	tenPercent  = "Critic-RM, 10 % of the pairs"
	shareOfData = " % of the pairs" // ends the names of rows on a part of the pairs
	runDir      = "critic-rm"
)

// oneSeed runs all methods at the session's seed.
func (r *runner) oneSeed(ctx context.Context, first bool) error {
	r.printf("\nseed %d: %d preference pairs, %d held-out pairs, no prompt in common", r.seed, r.Pairs, r.Held)
	all := Pairs(10000+r.seed, r.Pairs, Train)

	start := time.Now()
	sampled := records(all)
	stats, err := critic.Generate(ctx, r.base, sampled, r.generateOptions(critiquesEach, 1))
	if err != nil {
		return err
	}
	r.clock("generate", start)
	r.printf("generate   %.1f s: %d critiques of %d replies, %s", time.Since(start).Seconds(), 2*r.Pairs*critiquesEach, 2*r.Pairs, stats)

	if err := r.scalarRow(ctx, all, r.Pairs); err != nil {
		return err
	}
	judge, err := r.judgeRow(ctx)
	if err != nil {
		return err
	}
	if _, err := r.variant(ctx, "CLoud-style", sampled, trainer.Cloud, critic.RefineRandomAll, r.Pairs, []int{1, 4, 8}); err != nil {
		return err
	}
	tuned, err := r.variant(ctx, "Critic-RM", sampled, trainer.Critic, critic.RefineMargin, r.Pairs, []int{1, 4, 8})
	if err != nil {
		return err
	}
	if first {
		r.results.Quality = []QualityRow{judge.quality("base"), tuned.quality("Critic-RM")}
		r.results.Examples = examples(r.eval, judge, tuned)
	}
	if _, err := r.variant(ctx, tenPercent, sampled, trainer.Critic, critic.RefineMargin, r.Pairs/10, []int{1, 8}); err != nil {
		return err
	}
	if r.Full {
		return r.full(ctx, all, sampled, first)
	}
	return nil
}

// scalarRow trains and evaluates the Bradley–Terry model on the first n pairs.
func (r *runner) scalarRow(ctx context.Context, pairs []Pair, n int) error {
	start := time.Now()
	c := r.recipe(trainer.BT, n)
	e, steps, err := r.train(ctx, records(pairs[:n]), c)
	if err != nil {
		return err
	}
	defer e.Close()
	correct, err := r.scalar(ctx, e, r.eval)
	if err != nil {
		return err
	}
	r.clock("scalar RM", start)
	r.add("scalar RM", 0, n, correct)
	r.printf("scalar RM  %.1f s: %d pairs, %d steps, accuracy %.1f", time.Since(start).Seconds(), n, len(steps), percent(correct))
	return nil
}

// judgeRow asks the base model itself.
func (r *runner) judgeRow(ctx context.Context) (*measured, error) {
	start := time.Now()
	judge, err := r.measure(ctx, r.base, critiquesEach, false, 1, critiquesEach)
	if err != nil {
		return nil, err
	}
	r.clock("judge", start)
	for _, m := range []int{1, critiquesEach} {
		r.add("LLM judge (base)", m, 0, judge.judge(m))
	}
	r.printf("judge      %.1f s: %d critiques a reply, accuracy %.1f", time.Since(start).Seconds(), critiquesEach, percent(judge.judge(critiquesEach)))
	return judge, nil
}

// variant refines, trains and evaluates on the first n pairs, and adds a row for each m.
func (r *runner) variant(ctx context.Context, name string, sampled []*record.Record, method, mode string, n int, ms []int) (*measured, error) {
	start := time.Now()
	k := r.topK(n)
	rs := clone(sampled[:n])
	drops, err := r.refine(ctx, rs, mode, k)
	if err != nil {
		return nil, err
	}
	if method == trainer.Cloud {
		onlyKept(rs)
	}
	r.clock("filter and refine", start)
	r.printf("refine     %s, %s, top %d: %s", name, mode, k, drops)

	e, err := r.trainVariant(ctx, name, rs, r.recipe(method, n))
	if err != nil {
		return nil, err
	}
	defer e.Close()

	start = time.Now()
	d, err := r.measure(ctx, e, maxM(r.Full), true, 1, 2, 4, 8, 10, 16)
	if err != nil {
		return nil, err
	}
	r.clock("evaluate "+family(method), start)
	for _, m := range ms {
		r.add(name, m, n, d.reward(m))
	}
	if r.Full && name == "Critic-RM" {
		r.add("Critic-RM", 16, n, d.reward(16))
		r.add("Critic-RM as judge", 10, n, d.judge(10))
	}
	m := ms[len(ms)-1]
	r.printf("evaluate   %.1f s: m = %d, accuracy %.1f", time.Since(start).Seconds(), m, percent(d.reward(m)))
	return d, nil
}

// trainVariant trains on refined records; the first Critic-RM of a demo is kept as a run.
func (r *runner) trainVariant(ctx context.Context, name string, rs []*record.Record, c trainer.Config) (*engine.Engine, error) {
	start := time.Now()
	keep := name == "Critic-RM" && r.results.Training == nil
	if keep {
		c.OutputDir = filepath.Join(r.Dir, runDir)
		if err := os.RemoveAll(c.OutputDir); err != nil { // of an earlier demo: see claim
			return nil, fmt.Errorf("demo: %w", err)
		}
	}
	e, steps, err := r.train(ctx, rs, c)
	if err != nil {
		return nil, err
	}
	r.clock("train "+family(c.Method), start)
	if keep {
		r.results.Training = steps
	}
	first, last := steps[0], steps[len(steps)-1]
	r.printf("train      %.1f s: %d steps, critique loss %.3f → %.3f, reward loss %.3f → %.3f", time.Since(start).Seconds(), len(steps),
		first.Critique, last.Critique, first.Reward, last.Reward)
	return e, nil
}

// topK is how many critiques of a response are trained on: more where pairs are few.
func (r *runner) topK(n int) int {
	if n < r.Pairs/4 {
		return 4
	}
	return 2
}

func family(method string) string {
	if method == trainer.Cloud {
		return "CLoud-style"
	}
	return "Critic-RM"
}

func maxM(full bool) int {
	if full {
		return 16
	}
	return 8
}

// onlyKept drops what refinement did not choose: the trainer's cloud method takes all critiques of a record.
func onlyKept(rs []*record.Record) {
	for _, r := range rs {
		for _, side := range []record.Side{record.Chosen, record.Rejected} {
			*r.SideCritiques(side) = r.Kept(side)
		}
	}
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
