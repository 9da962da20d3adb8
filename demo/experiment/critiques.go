package experiment

// The critiques themselves against the truth, which the task knows.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/demo"
	"criticrm/quality"
	"criticrm/record"
	"criticrm/report"
	"criticrm/revise"
	"criticrm/stage"
)

// QualityRow are the critiques that a model writes at one seed, at the temperature above 0 that is best on the validation split. The files have
// the replies of both splits with their labels, critiques and revisions; `criticrm critique-eval --in FILE --valid VALID` gives all figures of
// them.
type QualityRow struct {
	Model       string              `json:"model"`
	Seed        uint64              `json:"seed"`
	Temperature float64             `json:"temperature"`
	File        string              `json:"file"`
	ValidFile   string              `json:"valid_file"`          // thresholds are set on it
	BestFile    string              `json:"best_file,omitempty"` // several replies to a question; "": the task has none
	Figures     map[string]Interval `json:"figures"`             // in per cent, by what is measured; intervals by prompt. What is not defined is not there
}

// critiquesDir is where the labelled files of QualityRows are.
const critiquesDir = "critiques"

// Parts of the names of figures.
const (
	everyWrong = "calling every response wrong"
	mended     = "wrong to right, "
	spoilt     = "right to wrong, "
	unsound    = "right verdict on wrong reasoning"
	sound      = "sound reasoning"
	bestOf     = "best of "
)

// described are the models whose critiques are held against the truth.
func described() []string { return []string{llmJudge, cloud, ours} }

// critiques measures the critiques of a task's cells.
func (b *builder) critiques(cells []*cell) error {
	if b.Text != nil {
		return nil
	}
	for _, name := range described() {
		for _, c := range cells {
			e := b.finished[c.key(&variant{name: name})]
			if c.task.Name != b.Name || e == nil {
				continue
			}
			row, err := c.quality(name, e)
			if err != nil {
				return fmt.Errorf("demo: critiques of %s, %s, seed %d: %w", name, b.Name, c.seed, err)
			}
			b.Quality = append(b.Quality, row)
		}
	}
	return nil
}

// quality labels a model's critiques by the task, revises the replies by them, leaves both in files, and measures them.
func (c *cell) quality(name string, e *entry) (row QualityRow, err error) {
	t := e.above()
	row = QualityRow{Model: name, Seed: c.seed, Temperature: t, BestFile: e.Files["best "+number(t)], Figures: map[string]Interval{}}
	var items, valid, best []*quality.Item
	if row.ValidFile, valid, err = c.labelled(name+" valid", e.Files["valid "+number(t)], c.task.Pairs(validSeed, c.Valid, demo.Validation)); err != nil {
		return row, err
	}
	if row.File, items, err = c.labelled(name, e.Files["eval "+number(t)], c.task.Pairs(evalSeed, c.Held, demo.Evaluation)); err != nil {
		return row, err
	}
	o := quality.DefaultOptions()
	o.Draws = 400
	r, err := quality.Evaluate(items, valid, o)
	if err != nil {
		return row, err
	}
	row.verdicts(r)
	if row.BestFile == "" {
		return row, nil
	}
	rs, _, err := stage.ReadFile(c.in(row.BestFile), record.ReadOptions{MaxLine: 1 << 30})
	if err != nil {
		return row, err
	}
	if best, _, err = quality.Items(rs, quality.Reading{}); err != nil {
		return row, err
	}
	if r, err = quality.Evaluate(best, nil, o); err != nil {
		return row, err
	}
	for _, n := range r.BestOfN {
		row.figure(fmt.Sprintf("%s%d, %s", bestOf, n.N, n.Method), n.Accuracy)
	}
	return row, nil
}

// labelled writes and gives the labelled replies of pairs, whose critiques are in a file of the run.
func (c *cell) labelled(name, from string, pairs []demo.Pair) (path string, items []*quality.Item, err error) {
	rs, _, err := stage.ReadFile(c.in(from), record.ReadOptions{MaxLine: 1 << 30})
	if err != nil {
		return "", nil, err
	}
	list, err := demo.Labelled(pairs, rs)
	if err != nil {
		return "", nil, err
	}
	if err := reviseByReasoning(pairs, list); err != nil {
		return "", nil, err
	}
	if items, _, err = quality.Items(list, quality.Reading{}); err != nil {
		return "", nil, err
	}
	var b bytes.Buffer
	if err := record.WriteRecords(&b, list); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(c.in(critiquesDir), 0o755); err != nil {
		return "", nil, err
	}
	path = filepath.Join(critiquesDir, fmt.Sprintf("%s-%d-%s.jsonl", c.task.Name, c.seed, (&variant{name: name}).slug()))
	return path, items, checkpoint.WriteFileAtomic(c.in(path), b.Bytes())
}

func (row *QualityRow) figure(name string, f quality.Figure) {
	if f.Value != nil {
		row.Figures[name] = interval(*f.Value, f.Interval)
	}
}

// verdicts takes the figures of all replies from a report.
func (row *QualityRow) verdicts(r *quality.Report) {
	for _, m := range r.Methods {
		all := m.Rows[0]
		for i, f := range []quality.Figure{all.Accuracy, all.Precision, all.Recall, all.F1, all.MCC, all.AUROC} {
			row.figure(m.Name+": "+verdictFigures()[i], f)
		}
	}
	for _, s := range r.Steps {
		if s.Category == "all" {
			for i, f := range []quality.Figure{s.Exact, s.Within1, s.None, s.F1} {
				row.figure(s.Name+": "+stepFigures()[i], f)
			}
		}
	}
	for _, s := range r.Soundness {
		if s.Category == "all" && s.By == quality.ByLabel {
			row.figure(sound, s.Sound)
			row.figure(unsound, s.Unsound)
		}
	}
	for _, v := range r.Revisions {
		if v.Category == "all" {
			name := fmt.Sprintf("%s m=%d", v.Condition, v.Samples)
			row.figure(mended+name, v.WrongToRight)
			row.figure(spoilt+name, v.RightToWrong)
		}
	}
}

// verdictFigures are those of a verdict, in order; "wrong" is the positive class.
func verdictFigures() []string {
	return []string{"accuracy", "precision", "recall", "F1", "MCC", "AUROC"}
}

// stepFigures are those of finding the first wrong step.
func stepFigures() []string { return []string{"exact", "one off", "none", "F1"} }

// reasoner is a Reviser that writes the reply that a critique's reasoning leads to. Without a critique it leaves the reply as it is.
type reasoner map[*record.Record]*demo.Question

func (q reasoner) Revise(_ context.Context, tasks []revise.Task, _ record.Sampling) ([]critic.Sample, error) {
	out := make([]critic.Sample, len(tasks))
	for i, t := range tasks {
		out[i].FinishReason = record.FinishStop
		if out[i].Text = t.Record.Text(record.Single); t.Condition != revise.Without {
			out[i].Text, _ = q[t.Record].Revised(t.Critique) // "" counts as no answer
		}
	}
	return out, nil
}

// reviseByReasoning revises labelled replies, two of each pair in order, where the task allows it.
func reviseByReasoning(pairs []demo.Pair, list []*record.Record) error {
	questions := reasoner{}
	for i, r := range list {
		if _, ok := r.Extra("reference"); !ok {
			return nil
		}
		questions[r] = &pairs[i/2].Question
	}
	o := revise.DefaultOptions()
	o.Conditions, o.Critiques, o.Model = revise.Conditions(), averaged, "the last value of the critique's reasoning"
	o.Checker = &revise.Checker{Same: func(r *record.Record, text string) (string, bool) {
		answer := demo.Bare(text)
		return answer, answer == questions[r].Best()
	}}
	return revise.Revise(context.Background(), questions, list, o)
}

// ofModel are the rows of a model, one for each seed.
func (t *Task) ofModel(name string) (rows []QualityRow) {
	for _, q := range t.Quality {
		if q.Model == name {
			rows = append(rows, q)
		}
	}
	return rows
}

// meanFigure is the mean of a figure over seeds, and of the ends of its intervals; ok is false where a seed has none.
func meanFigure(rows []QualityRow, name string) (mean Interval, ok bool) {
	for _, q := range rows {
		f, there := q.Figures[name]
		if !there {
			return mean, false
		}
		n := float64(len(rows))
		mean = Interval{mean.Value + f.Value/n, mean.Low + f.Low/n, mean.High + f.High/n}
	}
	return mean, len(rows) > 0
}

// temperatureOf are the temperatures of a model's rows, one if they are equal.
func temperatureOf(rows []QualityRow) string {
	return ofSeeds(rows, func(q QualityRow) string { return number(q.Temperature) })
}

// writeQuality tells what the critiques are worth, a line for each model.
func (t *Task) writeQuality(w io.Writer) {
	for i, name := range described() {
		rows := t.ofModel(name)
		if len(rows) == 0 {
			continue
		}
		if i == 0 {
			fmt.Fprintln(w, "\nthe critiques against the truth, %")
		}
		text := func(name string) string {
			f, ok := meanFigure(rows, name)
			if !ok {
				return "–"
			}
			return fmt.Sprintf("%.1f", f.Value)
		}
		fmt.Fprintf(w, "%s (T = %s): %s of single verdicts right, %s of these on wrong reasoning", name, temperatureOf(rows), text("score m=1: accuracy"), text(unsound))
		if own := fmt.Sprintf("%s m=%d", revise.Own, averaged); text(mended+own) != "–" {
			fmt.Fprintf(w, "; by its reasoning %s of the wrong replies become right (commonest of %d: %s), %s of the right ones wrong",
				text(mended+revise.Own+" m=1"), averaged, text(mended+own), text(spoilt+revise.Own+" m=1"))
		}
		fmt.Fprintln(w)
	}
}

// CritiqueTables are what the critiques of a task are worth: as verdicts, for the first wrong step, as reasoning, to pick the best reply by. Tables
// that the task has nothing for are not there.
func (t *Task) CritiqueTables() (tables []*report.Table) {
	add := func(first string, heads []string, lines func(name string) []line) {
		table := &report.Table{Head: append([]string{first, "T"}, heads...)}
		for _, name := range described() {
			rows := t.ofModel(name)
			for _, l := range lines(name) {
				cells, some := []report.Cell{{Text: l.name}, {Text: temperatureOf(rows)}}, false
				if l.nobodys {
					cells[1].Text = "–"
				}
				for _, figure := range l.figures {
					f, ok := meanFigure(rows, figure)
					if some = some || ok; !ok {
						cells = append(cells, report.Cell{Text: "–"})
						continue
					}
					cells = append(cells, f.cell())
				}
				if some {
					table.Rows = append(table.Rows, report.Row{Cells: cells})
				}
			}
		}
		for i := len(heads) + 1; i > 1; i-- { // what no model has is left out
			if !slices.ContainsFunc(table.Rows, func(r report.Row) bool { return r.Cells[i].Text != "–" }) {
				table.Head = slices.Delete(table.Head, i, i+1)
				for k, r := range table.Rows {
					table.Rows[k].Cells = slices.Delete(r.Cells, i, i+1)
				}
			}
		}
		if len(table.Rows) > 0 {
			tables = append(tables, table)
		}
	}
	each := func(of string, parts []string) (list []string) {
		for _, p := range parts {
			list = append(list, of+": "+p)
		}
		return list
	}
	add("verdict by", verdictFigures(), func(name string) (list []line) {
		for _, of := range []struct{ what, figure string }{{"a score", "score m=1"}, {fmt.Sprintf("mean of %d scores", averaged), fmt.Sprintf("score m=%d", averaged)},
			{"a reward", "reward m=1"}, {fmt.Sprintf("mean of %d rewards", averaged), fmt.Sprintf("reward m=%d", averaged)}} {
			list = append(list, line{name + ": " + of.what, each(of.figure, verdictFigures()), false})
		}
		if name == ours {
			list = append(list, line{everyWrong, each(everyWrong, verdictFigures()), true})
		}
		return list
	})
	add("first wrong step by", []string{"exact", "at most one off", "none, of right replies", "harmonic mean of exact and none"}, func(name string) []line {
		return []line{{name + ": one critique", each("one critique", stepFigures()), false},
			{fmt.Sprintf("%s: most of %d", name, averaged), each("majority of critiques", stepFigures()), false}}
	})
	one, many, other := revise.Own+" m=1", fmt.Sprintf("%s m=%d", revise.Own, averaged), revise.Shuffled+" m=1"
	add("reasoning of", []string{"sound", unsound, "wrong reply becomes right", fmt.Sprintf("by the commonest of %d", averaged), "by another prompt's critique",
		"right reply becomes wrong", fmt.Sprintf("by the commonest of %d", averaged)}, func(name string) []line {
		return []line{{name, []string{sound, unsound, mended + one, mended + many, mended + other, spoilt + one, spoilt + many}, false}}
	})
	var of []string
	for _, n := range []int{1, 2, 4, 6} {
		of = append(of, fmt.Sprintf("%s%d", bestOf, n))
	}
	add("best reply by", of, func(name string) (list []line) {
		for _, by := range []string{quality.PickScore, quality.PickReward, quality.PickAny} {
			l := line{name: name + ": " + by}
			if by == quality.PickAny {
				if name != ours {
					continue
				}
				l.name, l.nobodys = by, true
			}
			for _, n := range of {
				l.figures = append(l.figures, n+", "+by)
			}
			list = append(list, l)
		}
		return list
	})
	return tables
}

// line is a row of a table: figures by name.
type line struct {
	name    string
	figures []string
	nobodys bool // no model's
}
