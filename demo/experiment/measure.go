package experiment

// Measuring a model: its sampling temperature from the validation split, its figures from the evaluation split, and the files of both.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"gonum.org/v1/gonum/stat"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/demo"
	"criticrm/engine"
	"criticrm/measure"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/stage"
	"criticrm/trainer"
)

// Temperatures are those that one is chosen from on the validation split, for each model by itself; 0 is one greedy critique.
func Temperatures() []float64 { return []float64{0, .3, .7, 1} }

// averaged is how many critiques a response has at temperatures above 0.
const averaged = 8

// What decides a preference: the mean of the rewards behind the critiques, or of the scores in them.
const (
	readReward = "reward"
	readScore  = "own score"
)

// entry is a model that is measured, as finished.json keeps it.
type entry struct {
	Settings   string             `json:"settings"` // of the model and its measurement, hashed
	Pairs      int                `json:"pairs"`
	RewardLoss *float64           `json:"reward_loss,omitempty"` // at the end of its training
	Reading    string             `json:"reading"`
	Chosen     *float64           `json:"temperature,omitempty"` // chosen on the validation split; nil: it writes no critiques
	Valid      map[string]float64 `json:"valid"`                 // accuracy on the validation split by temperature, %
	Files      map[string]string  `json:"files"`                 // "valid 0.3", "eval 0.3", "best 0.3", for models without critiques "eval": paths in the run's directory
	Accuracy   float64            `json:"accuracy"`              // on the evaluation pairs, at the chosen temperature
	Train      float64            `json:"train_seconds"`
	Seconds    float64            `json:"seconds"`
	Choice     string             `json:"choice,omitempty"` // of a search: what was best
}

func (e *entry) String() string {
	if e.Chosen == nil {
		return fmt.Sprintf("accuracy %.1f", e.Accuracy)
	}
	return fmt.Sprintf("accuracy %.1f at temperature %g (validation split: %s)", e.Accuracy, *e.Chosen, e.validText())
}

// validText are the accuracies that the temperature was chosen by.
func (e *entry) validText() string {
	var list []string
	for _, t := range slices.Sorted(maps.Keys(e.Valid)) {
		list = append(list, fmt.Sprintf("%.1f at %s", e.Valid[t], t))
	}
	return strings.Join(list, ", ")
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// measurer is a model that is being measured.
type measurer struct {
	*cell
	*plan
	*entry
	engine  *engine.Engine
	passing bool // nothing is kept
}

// measurer opens a plan's model; the engine is to be closed.
func (c *cell) measurer(p *plan, model string) (*measurer, error) {
	e, err := c.engine(model, p.method != judge && p.method != trainer.SFT)
	return &measurer{cell: c, plan: p, engine: e,
		entry: &entry{Settings: p.settings, Pairs: p.pairs, Reading: p.reading(), Valid: map[string]float64{}, Files: map[string]string{}}}, err
}

// measure chooses the temperature of a model and measures it on the evaluation pairs: at that, at 0, and, for a curve, at 1 and at the best
// one above 0, at which it also reads replies to pick the best of.
func (c *cell) measure(ctx context.Context, p *plan, model string) (*entry, error) {
	m, err := c.measurer(p, model)
	if err != nil {
		return nil, err
	}
	defer m.engine.Close()
	if err := m.validate(ctx); err != nil {
		return nil, err
	}
	if p.method == trainer.BT {
		m.Accuracy, err = m.plain(ctx, demo.Evaluation)
		return m.entry, err
	}
	wanted := []float64{*m.Chosen, 0}
	if p.curve {
		wanted = append(wanted, 1, m.entry.above())
	}
	slices.Sort(wanted)
	for _, t := range slices.Compact(wanted) {
		d, err := m.at(ctx, demo.Evaluation, t, m.of(p.variant, t))
		if err != nil {
			return nil, err
		}
		if t == *m.Chosen {
			m.Accuracy = percent(d.correct(p.reading(), m.of(p.variant, t)))
		}
	}
	if list := c.candidates(); p.curve && list != nil {
		err = m.write(ctx, "best", list, m.entry.above(), c.averaged)
	}
	return m.entry, err
}

// validate measures on the validation split, at every temperature, and chooses one.
func (m *measurer) validate(ctx context.Context) (err error) {
	if m.method == trainer.BT {
		m.entry.Valid[""], err = m.plain(ctx, demo.Validation)
		return err
	}
	for _, t := range m.temperatures {
		d, err := m.at(ctx, demo.Validation, t, m.critiquesAt(t))
		if err != nil {
			return err
		}
		m.entry.Valid[number(t)] = percent(d.correct(m.reading(), m.critiquesAt(t)))
		if m.Chosen == nil || m.entry.Valid[number(t)] > m.entry.Valid[number(*m.Chosen)] {
			m.Chosen = &t
		}
	}
	return nil
}

// above is the temperature above 0 that is best on the validation split.
func (e *entry) above() float64 {
	best := Temperatures()[1]
	for _, t := range Temperatures()[2:] {
		if e.Valid[number(t)] > e.Valid[number(best)] {
			best = t
		}
	}
	return best
}

// of is how many critiques of an evaluation response a variant has averaged at a temperature.
func (r *runner) of(v *variant, temperature float64) int {
	if v.samples > 0 && temperature > 0 {
		return v.samples
	}
	return r.critiquesAt(temperature)
}

// critiquesAt is how many are averaged on the validation split, and as a rule.
func (r *runner) critiquesAt(temperature float64) int {
	if temperature == 0 {
		return 1
	}
	return r.averaged
}

// plain is the accuracy on a split of a model that reads its rewards without critiques.
func (m *measurer) plain(ctx context.Context, split demo.Split) (float64, error) {
	name, rs := m.pairsOf(split)
	if _, err := critic.ScorePlain(ctx, m.engine, rs, critic.PlainOptions{Chunk: m.sequences, Reading: m.engine.Reading()}); err != nil {
		return 0, err
	}
	if err := m.keep(name, m.plan.key+"."+name, rs); err != nil {
		return 0, err
	}
	d, err := measureRecords(rs)
	if err != nil {
		return 0, err
	}
	return percent(d.correct(readReward, 0)), nil
}

// pairsOf are the pairs of the validation or evaluation split, and its name in files.
func (m *measurer) pairsOf(split demo.Split) (string, []*record.Record) {
	if split == demo.Validation {
		return "valid", m.task.split(split, m.cell.Valid)
	}
	return "eval", m.task.split(split, m.cell.Held)
}

// at lets the model write critiques of a split at a temperature, and keeps them with their scores and rewards.
func (m *measurer) at(ctx context.Context, split demo.Split, t float64, samples int) (*measured, error) {
	name, rs := m.pairsOf(split)
	if err := m.write(ctx, name, rs, t, samples); err != nil {
		return nil, err
	}
	return measureRecords(rs)
}

// write lets the model write critiques of records at a temperature, and keeps them under a name.
func (m *measurer) write(ctx context.Context, name string, rs []*record.Record, t float64, samples int) error {
	o := critic.DefaultScoreOptions()
	o.Critiques = samples
	o.Sampling = record.Sampling{Temperature: float32(t), TopP: 1, MaxTokens: m.Generate.MaxTokens, Seed: m.Eval.Seed}
	if err := pipeline.Local(m.engine).Ask(&o); err != nil {
		return err
	}
	write := critic.Generate
	if m.rewards() {
		write = critic.Score
	}
	if _, err := write(ctx, m.engine, rs, o); err != nil {
		return err
	}
	return m.keep(name+" "+number(t), fmt.Sprintf("%s.%s.T%g", m.plan.key, name, t), rs)
}

// keep leaves records pair by pair: critiques with their scores and rewards, but for the tokens.
func (m *measurer) keep(what, name string, rs []*record.Record) error {
	if m.passing {
		return nil
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, r := range rs {
		for _, side := range r.Sides() {
			list := *r.SideCritiques(side)
			for i := range list {
				list[i].Tokens, list[i].LogProb, list[i].Verdict = nil, 0, ""
			}
		}
	}
	if err := errors.Join(record.WriteRecords(z, rs), z.Close()); err != nil {
		return err
	}
	path := pairsDir + "/" + name + ".jsonl.gz"
	if err := os.MkdirAll(filepath.Dir(m.in(path)), 0o755); err != nil {
		return err
	}
	m.Files[what] = path
	delete(m.figures, path) // of what it held before, with other settings
	return checkpoint.WriteFileAtomic(m.in(path), b.Bytes())
}

// measured is a scored file.
type measured struct {
	records []*record.Record
	report  *measure.Report
}

// read measures a scored file again.
func (r *runner) read(path string) (*measured, error) {
	rs, _, err := stage.ReadFile(r.in(path), record.ReadOptions{MaxLine: 1 << 30})
	if err != nil {
		return nil, err
	}
	return measureRecords(rs)
}

// correctOf is [measured.correct] of a file, which is read once.
func (r *runner) correctOf(path, reading string, m int) ([]float64, error) {
	if r.figures[path] == nil {
		d, err := r.read(path)
		if err != nil {
			return nil, err
		}
		r.figures[path] = d.report
	}
	return (&measured{report: r.figures[path]}).correct(reading, m), nil
}

func measureRecords(rs []*record.Record) (*measured, error) {
	o := measure.DefaultEvalOptions()
	o.Draws = 1 // intervals are made over the seeds
	o.Samples = []int{1, 2, 4, 8, 16, 40}
	report, err := measure.Evaluate(rs, o)
	return &measured{rs, report}, err
}

// correct is the correctness of each pair when the rewards, or the scores, of m critiques are averaged: the mean over disjoint groups of m.
// m is 0 for rewards without critiques.
func (d *measured) correct(reading string, m int) []float64 {
	name := fmt.Sprintf("%s m=%d", reading, m)
	switch {
	case reading == readScore:
		name = fmt.Sprintf("judge N=%d", m)
	case m == 0:
		name = reading
	}
	found, ok := d.report.Method(name)
	if !ok {
		panic("experiment: " + name + " was not measured")
	}
	return found.Correct
}

func percent(x []float64) float64 { return 100 * stat.Mean(x, nil) }

// readFinished reads which models are measured.
func (r *runner) readFinished() error {
	b, err := os.ReadFile(r.in(finishedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &r.finished); err != nil {
		return fmt.Errorf("demo: %s: %w", r.in(finishedFile), err)
	}
	return nil
}

func (r *runner) writeFinished() error {
	b, err := json.MarshalIndent(r.finished, "", " ")
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(r.in(finishedFile), append(b, '\n'))
}
