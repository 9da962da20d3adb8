package report

// What lies in a run's directory, read and measured.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"criticrm/measure"
	"criticrm/record"
	"criticrm/stage"
)

// run is what is known of one run.
type run struct {
	name    string
	kind    string // what it is, in words
	recipe  []setting
	from    string // the file of recipe
	data    []setting
	parts   []*part // rounds first, the best one in front
	missing []string
	o       Options
	eval    measure.EvalOptions // how records are measured
}

// part is a model of the run: a round, or a baseline.
type part struct {
	name     string // of its directory
	title    string
	files    []*fileFacts // of its stages, in the order in which they were made
	training *training    // nil: there is none
	eval     *evaluation  // nil: there is none
	valid    *evaluation  // of the split that a round is chosen by; nil: there is none
}

// evaluation is held-out records, measured.
type evaluation struct {
	file   *fileFacts
	pairs  []*record.Record // measure.Pairs
	report *measure.Report
	bench  *measure.BenchmarkReport // of rows of a public benchmark; nil: they are of none
}

// The files of a part.
const (
	critiquesFile = "1-critiques.jsonl"
	filteredFile  = "2-filtered.jsonl"
	refinedFile   = "3-refined.jsonl"
	evalFile      = "eval.jsonl"
	validFile     = "valid.jsonl"
	modelLink     = "model"
	metricsFile   = "metrics.jsonl"
	recipeFile    = "recipe.yaml"
	dataFile      = "data.json"
	trainDir      = "train"
	roundPrefix   = "round-"
)

// baselines are the parts that are no rounds, in the order of the table.
var baselines = []struct {
	name, title string
	made        bool // always, not on request
}{{"base", "base model", true}, {"cloud", "CLoud (unfiltered critiques)", false}, {"bt", "scalar reward model (bt)", false}}

// open reads a run, a directory of training or a file of records.
func open(path string, o Options) (*run, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := &run{name: filepath.Base(full), o: o}
	if err := r.settle(); err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return r, r.openFile(path)
	}
	rounds, err := roundsOf(path)
	if err != nil {
		return nil, err
	}
	switch {
	case len(rounds) > 0 || exists(path, "state.json"):
		r.kind = "run"
		err = r.openRun(path, rounds)
	case exists(path, metricsFile):
		r.kind = "training"
		err = r.openTraining(path)
	default:
		return nil, fmt.Errorf("report: %s is no run: it has neither %s1 nor %s; give the directory of a run, the output_dir of a training, or a scored .jsonl", path, roundPrefix, metricsFile)
	}
	return r, err
}

// exists says whether there is such a file, readable or not.
func exists(elem ...string) bool {
	_, err := os.Stat(filepath.Join(elem...))
	return !errors.Is(err, fs.ErrNotExist)
}

// roundsOf lists the numbers of the rounds: the best one, to which the link of the run's model points, then the others from the latest on.
func roundsOf(dir string) (rounds []int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	for _, e := range entries {
		if n, ok := roundOf(e.Name()); ok && e.IsDir() {
			rounds = append(rounds, n)
		}
	}
	to, err := os.Readlink(filepath.Join(dir, modelLink))
	if err != nil {
		to = "" // there is none yet: the latest round leads
	}
	first, _, _ := strings.Cut(filepath.ToSlash(to), "/")
	best, _ := roundOf(first)
	slices.SortFunc(rounds, func(a, b int) int {
		if a == best || b == best {
			return map[bool]int{true: -1, false: 1}[a == best]
		}
		return b - a
	})
	return rounds, nil
}

func roundOf(name string) (int, bool) {
	text, ok := strings.CutPrefix(name, roundPrefix)
	n, err := strconv.Atoi(text)
	return n, ok && err == nil && n > 0
}

// openFile reads a file of scored records.
func (r *run) openFile(path string) (err error) {
	r.kind = "records"
	p := &part{title: "model"}
	r.parts = []*part{p}
	r.left("%s is a file of records, not a run: losses, the filter's reasons and the recipe are not in it", r.name)
	p.eval, err = r.readEval(path, r.name)
	return err
}

// openTraining reads an output_dir of train.
func (r *run) openTraining(dir string) (err error) {
	p := &part{title: "model"}
	r.parts = []*part{p}
	if p.training, err = readTraining(dir, metricsFile); err != nil {
		return err
	}
	if err := p.training.chosen(filepath.Join(dir, modelLink)); err != nil {
		return err
	}
	if err := r.readRecipe(dir, recipeFile); err != nil {
		return err
	}
	if r.o.Refresh > 0 { // what is measured otherwise would be measured again and again
		return nil
	}
	p.eval, err = r.addEval(dir, evalFile, "accuracy, calibration, lengths and pairs to read (criticrm eval --out makes it)")
	return err
}

// openRun reads all parts of a run.
func (r *run) openRun(dir string, rounds []int) (err error) {
	if exists(dir, recipeFile) || len(rounds) == 0 {
		err = r.readRecipe(dir, recipeFile)
	} else {
		r.left("%s is missing: the recipe of training is shown alone", recipeFile)
		err = r.readRecipe(dir, filepath.Join(roundPrefix+strconv.Itoa(rounds[0]), trainDir, recipeFile))
	}
	if err == nil {
		err = r.settle()
	}
	if err != nil {
		return err
	}
	for _, n := range rounds {
		p := &part{name: roundPrefix + strconv.Itoa(n), title: "trained model"}
		if len(rounds) > 1 {
			p.title = fmt.Sprintf("round %d", n)
		}
		if err := r.openPart(p, dir, true); err != nil {
			return err
		}
		if len(rounds) > 1 {
			if p.valid, err = r.addEval(dir, filepath.Join(p.name, validFile), "accuracy of "+p.title+" on the validation split"); err != nil {
				return err
			}
		}
	}
	if len(rounds) == 0 {
		r.left("there is no %s1: nothing has been trained yet", roundPrefix)
	}
	var none []string
	for _, b := range baselines {
		p := &part{name: b.name, title: b.title}
		if !exists(dir, b.name) && !b.made {
			none = append(none, b.name)
			continue
		}
		if err := r.openPart(p, dir, false); err != nil {
			return err
		}
	}
	if len(none) > 0 {
		r.left("there is no %s: such a baseline is made on request", strings.Join(none, " and no "))
	}
	if !exists(dir, dataFile) {
		r.left("%s is missing: facts of the data are those of the files that are there", dataFile)
		return nil
	}
	r.data, err = readJSONSettings(dir, dataFile)
	return err
}

// openPart reads what a part has; round says that it has all stages.
func (r *run) openPart(p *part, dir string, round bool) (err error) {
	r.parts = append(r.parts, p)
	if round {
		for _, f := range []struct{ name, holds string }{{critiquesFile, "how many critiques have a score"}, {filteredFile, "the filter's reasons"}, {refinedFile, "the critiques kept"}} {
			if err := r.addFile(p, dir, filepath.Join(p.name, f.name), f.holds); err != nil {
				return err
			}
		}
	}
	metrics := filepath.Join(p.name, trainDir, metricsFile)
	if exists(dir, metrics) {
		if p.training, err = readTraining(dir, metrics); err != nil {
			return err
		}
		if err := p.training.chosen(filepath.Join(dir, p.name, trainDir, modelLink)); err != nil {
			return err
		}
	} else if p.name != "base" {
		r.left("%s is missing: no losses of %s", metrics, p.title)
	}
	p.eval, err = r.addEval(dir, filepath.Join(p.name, evalFile), "accuracy of "+p.title)
	return err
}

// left notes what is not in the report.
func (r *run) left(format string, a ...any) { r.missing = append(r.missing, fmt.Sprintf(format, a...)) }

// there says whether a file of records can be read, and notes why not.
func (r *run) there(dir, name, holds string) (bool, error) {
	if !exists(dir, name) {
		r.left("%s is missing: no %s", name, holds)
		return false, nil
	}
	done, err := stage.IsComplete(filepath.Join(dir, name))
	if err != nil {
		return false, fmt.Errorf("report: %w", err)
	}
	if !done {
		r.left("%s is not complete (its stage runs still, or was interrupted): no %s", name, holds)
	}
	return done, nil
}

func (r *run) addFile(p *part, dir, name, holds string) error {
	ok, err := r.there(dir, name, holds)
	if !ok || err != nil {
		return err
	}
	f, err := readFile(filepath.Join(dir, name), name, nil)
	if err == nil {
		p.files = append(p.files, f)
	}
	return err
}

// addEval reads and measures records that may be missing: nil.
func (r *run) addEval(dir, name, holds string) (*evaluation, error) {
	ok, err := r.there(dir, name, holds)
	if !ok || err != nil {
		return nil, err
	}
	return r.readEval(filepath.Join(dir, name), name)
}

// readEval reads and measures held-out records.
func (r *run) readEval(path, name string) (*evaluation, error) {
	var records []*record.Record
	f, err := readFile(path, name, func(rec *record.Record) error {
		for _, side := range rec.Sides() { // ids of tokens are most of a record, and nothing here reads them
			list := *rec.SideCritiques(side)
			for i := range list {
				list[i].Tokens = nil
			}
		}
		records = append(records, rec)
		if r.o.Category == "" {
			return nil
		}
		return record.InFile(rec.SetCategory(r.o.Category), name)
	})
	if err != nil {
		return nil, err
	}
	e := &evaluation{file: f, pairs: measure.Pairs(records)}
	if e.report, err = measure.Evaluate(records, r.eval); err != nil {
		return nil, fmt.Errorf("report: %s: %w", name, err)
	}
	if e.bench, err = r.official(name, e, records); err != nil {
		return nil, err
	}
	if n := len(records) - e.report.Records; n > 0 {
		r.left("%s: %d of %d records are not measured: %s", name, n, len(records), record.Counts(e.report.LeftOut))
	}
	if e.report.Shortened > 0 {
		r.left("%s: %d of %d records are measured on shortened text", name, e.report.Shortened, len(records))
	}
	return e, nil
}

// main is the part that the report is about: the latest round that was measured, else the first part that was.
func (r *run) main() *part {
	for _, p := range r.parts {
		if p.eval != nil {
			return p
		}
	}
	return nil
}
