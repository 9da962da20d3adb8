package experiment

// The experiment on real text: pairs from files, an instruct model that has a cold start first, the same rivals and controls as the demo's.

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/demo"
	"criticrm/demo/text"
	"criticrm/measure"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/safefile"
	"criticrm/splitmix"
	"criticrm/trainer"
)

// Text says what the experiment on real text is made of.
type Text struct {
	Model       string // directory of the instruct model
	Pairs       string // file of pairs of worked answers: cold start, training, validation, evaluation
	Other       string // file of pairs that are only measured on, beside those; may be ""
	OtherSubset string // of Other; "": all of it
	Null        string // file of pairs that critiques by program say nothing about: a task of its own; may be ""
	Size        string // of TextSizes
	MaxBad      int    // rows of each file that may be bad: they are left out and told of

	size size
	cold []*record.Record
}

//go:embed text.yaml
var textRecipe []byte

// size is how much is done.
type size struct {
	name                     string
	cold, pairs, valid, held int // conversations; pairs of each set
	null                     [3]int
	temperatures             []float64
	averaged                 int // critiques of a response at temperatures above 0
	scalar                   []scalarSetting
	change                   func(*pipeline.Config)
}

// scalarSetting is a try of the scalar model.
type scalarSetting struct{ rate, epochs float64 }

// textSizes are quick, an evening on two cores and a night.
var textSizes = []size{
	{"quick", 160, 40, 16, 40, [3]int{40, 16, 40}, []float64{0}, 1, []scalarSetting{{1e-4, 2}},
		func(c *pipeline.Config) { c.Generate.Critiques, c.Train.Epochs, c.Cloud.Epochs = 4, 1, 1 }},
	{"evening", 600, 160, 40, 100, [3]int{100, 30, 100}, []float64{0, .7}, 4, []scalarSetting{{1e-4, 2}, {3e-5, 4}},
		func(c *pipeline.Config) { c.Train.Epochs, c.Cloud.Epochs = 2, 2 }},
	{"night", 1500, 600, 200, 300, [3]int{400, 100, 150}, []float64{0, .3, .7}, 4,
		[]scalarSetting{{1e-4, 2}, {3e-5, 2}, {3e-4, 2}, {1e-4, 4}, {3e-5, 4}, {3e-4, 4}}, nil},
}

// TextSizes are the names that [Text.Size] can have, the smallest first.
func TextSizes() (names []string) {
	for _, s := range textSizes {
		names = append(names, s.name)
	}
	return names
}

func (o *Text) sized() (size, error) {
	i := slices.IndexFunc(textSizes, func(s size) bool { return s.name == o.Size })
	if i < 0 {
		return size{}, fmt.Errorf("demo: there is no size %q of the experiment on real text: there are %s", o.Size, strings.Join(TextSizes(), ", "))
	}
	return textSizes[i], nil
}

const (
	textTask, nullTask    = "text", "null"
	coldDirs              = "cold-*"
	synthetic, otherPairs = "same kind", "other answers"
	readLength            = "length"
	tableFile             = "table.md"
)

// text reads the files and says what is done with them.
func (r *runner) text() error {
	o := r.Text
	var err error
	if o.size, err = o.sized(); err != nil {
		return err
	}
	r.Pairs, r.Held, r.Valid, r.temperatures, r.averaged, r.sequences = o.size.pairs, o.size.held, o.size.valid, o.size.temperatures, o.size.averaged, 32
	r.parts = []part{{mainPart, []*variant{
		{name: llmJudge, method: judge},
		{name: scalarRM, method: trainer.BT, tuned: true},
		{name: ours},
		{name: sft, method: trainer.SFT},
		{name: placebo, refined: shuffleEqual},
		{name: cloud, method: trainer.Cloud},
	}, true}}
	main, err := r.readPairs(o.Pairs, "")
	if err != nil {
		return err
	}
	held := main.Take(o.size.held)
	valid := main.Take(o.size.valid)
	o.cold = main.Take(2 * o.size.cold) // about half of them are of the rarer verdict's use
	evaluation := inSet(held, synthetic)
	if o.Other != "" {
		other, err := r.readPairs(o.Other, o.OtherSubset)
		if err != nil {
			return err
		}
		other.Without(slices.Concat(held, valid, o.cold, main.Records))
		others := other.Take(o.size.held)
		if len(others) < o.size.held {
			return fmt.Errorf("demo: %s: %d pairs to measure on are left, want %d: give a larger file, a smaller --size, or the subset as its rows spell it (--other_subset %q)", o.Other, len(others), o.size.held, o.OtherSubset)
		}
		evaluation = append(evaluation, inSet(others, otherPairs)...)
	}
	r.tasks = []*task{{Task: &demo.Task{Name: textTask, Title: "worked answers"}, records: fromFiles(evaluation, inSet(valid, synthetic), inSet(main.Records, synthetic))}}
	if o.Null != "" {
		p, err := r.readPairs(o.Null, "")
		if err != nil {
			return err
		}
		n := o.size.null
		held, valid := p.Take(n[2]), p.Take(n[1])
		r.tasks = append(r.tasks, &task{Task: &demo.Task{Name: nullTask, Title: "pairs that the cold start says nothing about"}, quiet: true, most: sizes{n[0], n[2], n[1]},
			records: fromFiles(inSet(held, nullTask), inSet(valid, nullTask), inSet(p.Records, nullTask))})
	}
	r.program()
	for _, t := range r.tasks {
		for what, n := range map[string][2]int{
			"training":   {len(t.train(0, 1<<30)), atMost(r.Pairs, t.most.pairs)},
			"validation": {len(t.split(demo.Validation, 1<<30)), atMost(r.Valid, t.most.valid)},
			"evaluation": {len(t.split(demo.Evaluation, 1<<30)), atMost(r.Held, t.most.held)},
		} {
			if n[0] < n[1] {
				return fmt.Errorf("demo: %s: %d %s pairs are left, want %d: give a larger file, or a smaller --size", t.Name, n[0], what, n[1])
			}
		}
	}
	return r.textHead()
}

// program says how well the program of the cold start does by itself, on the pairs of the table: what it cannot see, it does not teach.
func (r *runner) program() {
	right, n := map[string]float64{}, map[string]float64{}
	for _, t := range r.tasks {
		for _, p := range t.split(demo.Evaluation, 1<<30) {
			right[p.Category] += text.Preference(p)
			n[p.Category]++
		}
	}
	for _, set := range slices.Sorted(maps.Keys(n)) {
		r.printf("the program of the cold start, as judge of %q: %.1f %% of %.0f pairs, ties half", set, 100*right[set]/n[set], n[set])
	}
}

// textHead puts what the experiment is made of before its recipe: another file or size is another experiment.
func (r *runner) textHead() error {
	head := fmt.Sprintf("# Size: %+v\n", r.Text.size.name)
	for _, name := range []string{r.Text.Pairs, r.Text.Other, r.Text.Null} {
		if name == "" {
			continue
		}
		sum, err := safefile.SHA256(name)
		if err != nil {
			return err
		}
		head += fmt.Sprintf("# %s sha256 %s\n", filepath.Base(name), sum)
	}
	if r.Text.OtherSubset != "" {
		head += "# of which subset " + r.Text.OtherSubset + "\n"
	}
	r.recipe = append([]byte(head), textRecipe...)
	return nil
}

func (r *runner) readPairs(path, subset string) (*text.Pairs, error) {
	p, err := text.Read(path, subset, r.Text.MaxBad)
	if err != nil {
		return nil, err
	}
	for _, line := range p.Bad {
		r.printf("%s", line)
	}
	made := ""
	if p.Whole > 0 {
		made = fmt.Sprintf(", %d worked answers of which no step can be broken", p.Whole)
	}
	if p.Alone > 0 {
		made += fmt.Sprintf(", %d questions whose answers are all right or all wrong", p.Alone)
	}
	r.printf("%s: %d pairs with a prompt of their own; left out: %d of a prompt that was there, %d longer than %d bytes, %d of another kind or subset%s",
		filepath.Base(path), len(p.Records), p.Again, p.Long, text.MaxText, p.Other, made)
	r.broken(p.Records)
	return p, nil
}

// broken says how often the program of the cold start finds the step wrong that was broken: the others it teaches to praise.
func (r *runner) broken(pairs []*record.Record) {
	n, seen := map[string]int{}, map[string]int{}
	for _, p := range pairs {
		if p.Subset != text.WrongResult && p.Subset != text.WrongOperator {
			continue
		}
		n[p.Subset]++
		if text.Preference(p) == 1 {
			seen[p.Subset]++
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(n)) {
		r.printf("broken by a %s: %d answers; the program of the cold start sees it in %d", kind, n[kind], seen[kind])
	}
}

// inSet are pairs under the name of a set, by which results are split.
func inSet(rs []*record.Record, name string) []*record.Record {
	for _, r := range rs {
		r.Category = name
	}
	return rs
}

// fromFiles gives copies of the pairs of a split; those to train on in an order of the seed.
func fromFiles(evaluation, validation, train []*record.Record) func(demo.Split, uint64, int) []*record.Record {
	return func(split demo.Split, seed uint64, n int) []*record.Record {
		list := train
		switch split {
		case demo.Evaluation:
			list, n = evaluation, len(evaluation) // as many of each set as there are
		case demo.Validation:
			list = validation
		}
		if split == demo.Train {
			order := splitmix.Permutation(seed, len(train))
			list = make([]*record.Record, len(train))
			for i, k := range order {
				list[i] = train[k]
			}
		}
		out := make([]*record.Record, min(n, len(list)))
		for i := range out {
			r := *list[i]
			out[i] = &r
		}
		return out
	}
}

// coldStart trains the instruct model of a seed on critiques by program, unless that was done.
func (c *cell) coldStart(ctx context.Context) (string, error) {
	dir := c.in(fmt.Sprintf("cold-%d", c.seed))
	model := filepath.Join(dir, "model")
	if _, err := os.Stat(model); err == nil {
		return model, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	prompts, err := critic.LoadPrompts(c.prompts, "")
	if err != nil {
		return "", err
	}
	rows, unread := text.ColdStart(c.Text.cold, prompts, c.Text.size.cold, c.seed)
	if len(rows) < 16 {
		return "", fmt.Errorf("%s: only %d answers have equations to make a cold start of", c.Text.Pairs, len(rows))
	}
	c.printf("seed %d · cold start: %d critiques by program, half of them of answers found wrong; %d answers have no equation", c.seed, len(rows), unread)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, row := range rows {
		if err := enc.Encode(row); err != nil {
			return "", err
		}
	}
	t := trainer.Default()
	t.Method, t.Model, t.TrainFile, t.OutputDir = trainer.SFT, c.Text.Model, c.in(fmt.Sprintf("%s/cold-%d.jsonl", dataDir, c.seed)), dir
	t.BatchSize, t.Accumulation, t.Epochs = 8, 1, 1
	t.LearningRate, t.Scheduler, t.WarmupRatio, t.Seed = 2e-4, "linear", .1, c.seed
	t.SaveSteps, t.SaveTotalLimit, t.LoggingSteps, t.Resume = 50, 1, 5, "auto"
	if err := checkpoint.WriteFileAtomic(t.TrainFile, b.Bytes()); err != nil {
		return "", err
	}
	if err := t.Validate(); err != nil {
		return "", err
	}
	_, err = trainer.Run(ctx, c.dev, t, trainer.Report{Log: c.Log})
	return model, err
}

// length adds the row of the longer answer, which needs no model.
func (b *builder) length(c *cell) error {
	file := fmt.Sprintf("%s/%s-evaluation.jsonl", dataDir, c.task.Name)
	d, err := measureRecords(c.task.split(demo.Evaluation, c.Held))
	if err != nil {
		return err
	}
	found, ok := d.report.Method(readLength)
	if !ok {
		return fmt.Errorf("demo: %s: the length was not measured", file)
	}
	row := b.row("", readLength, readLength, atChosen)
	if row == nil {
		row = &Row{Method: readLength, Reading: readLength, At: atChosen}
		b.Rows = append([]*Row{row}, b.Rows...)
	}
	row.Seeds = append(row.Seeds, SeedRow{Seed: c.seed, File: file, Accuracy: percent(found.Correct), correct: found.Correct})
	return nil
}

// Markdown is the table of the experiment on real text: a column for each set, and differences pair by pair.
func (r *Results) Markdown() string {
	var b strings.Builder
	for _, t := range r.Tasks {
		line := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
		head := func(cells ...string) {
			cells = append(cells, t.Categories...)
			line(cells...)
			line(slices.Repeat([]string{"---"}, len(cells))...)
		}
		sets := func(of map[string]Interval) (list []string) {
			for _, c := range t.Categories {
				list = append(list, of[c].String())
			}
			return list
		}
		fmt.Fprintf(&b, "%s: %s, accuracy in %% [95 %% by prompt]\n\n", t.Name, t.Title)
		head("method", "pairs", "T", "m")
		for _, row := range t.Rows {
			if row.AtChosen() {
				line(append([]string{row.Name(), row.PairsText(), row.Temperature(), row.M()}, sets(row.Categories)...)...)
			}
		}
		fmt.Fprintf(&b, "\nDifferences in points, pair by pair [95 %% by prompt]\n\n")
		head("", "less")
		for _, d := range t.Differences {
			line(append([]string{d.A, d.B}, sets(d.Categories)...)...)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// byCategory are the intervals of an estimate's categories, in per cent.
func byCategory(e measure.Estimate) map[string]Interval {
	m := map[string]Interval{}
	for _, c := range e.Categories {
		m[c.Name] = interval(c.Mean, c.Interval)
	}
	return m
}
