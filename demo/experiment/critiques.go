package experiment

// The critiques themselves against the truth, which the task knows.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/demo"
	"criticrm/quality"
	"criticrm/record"
	"criticrm/report"
	"criticrm/revise"
)

// QualityRow are the critiques of a model at temperature 1 of the evaluation replies, in per cent. The file has the replies with their labels,
// critiques and revisions; `criticrm critique-eval` gives all figures of it, with intervals.
type QualityRow struct {
	Model       string             `json:"model"`
	File        string             `json:"file"`
	Temperature float64            `json:"temperature"`
	Parsed      float64            `json:"parsed"`  // share with a score
	Verdict     float64            `json:"verdict"` // share whose score takes the right side; without a score it is the wrong one
	Categories  map[string]float64 `json:"verdict_by_category"`
	F1          [2]float64         `json:"f1"`                      // of finding wrong replies: one critique, the mean of averaged
	Unsound     float64            `json:"unsound"`                 // right verdicts that rest on wrong reasoning
	Mended      *[2]float64        `json:"wrong_to_right"`          // wrong replies that become right by one critique's reasoning, by the commonest of averaged; nil: not of this task
	Spoilt      *[2]float64        `json:"right_to_wrong"`          // right replies that do not stay so
	ShuffledTo  *float64           `json:"shuffled_wrong_to_right"` // wrong replies that become right by another prompt's critique
}

// critiquesDir is where the files of QualityRows are.
const critiquesDir = "critiques"

// quality labels critiques by the task, revises the replies by them, leaves both in a file, and measures them.
func (c *cell) quality(name string, d *measured) (row QualityRow, err error) {
	pairs := c.task.Pairs(evalSeed, c.Held, demo.Evaluation)
	list, err := demo.Labelled(pairs, d.records)
	if err != nil {
		return row, err
	}
	if err := reviseByReasoning(pairs, list); err != nil {
		return row, err
	}
	o := quality.DefaultOptions()
	o.Draws = 1 // intervals are made from the file
	items, _, err := quality.Items(list, quality.Reading{})
	if err != nil {
		return row, err
	}
	r, err := quality.Evaluate(items, nil, o)
	if err != nil {
		return row, err
	}
	row = QualityRow{Model: name, Temperature: 1, File: filepath.Join(critiquesDir, fmt.Sprintf("%s-%d-%s.jsonl", c.task.Name, c.seed, (&variant{name: name}).slug())), Categories: map[string]float64{}}
	for _, m := range r.Methods {
		switch all := m.Rows[0]; m.Name {
		case "score m=1":
			row.Parsed, row.Verdict, row.F1[0] = 100-100*float64(all.NoScore)/float64(all.Verdicts), 100**all.Accuracy.Value, 100**all.F1.Value
			for _, part := range m.Rows[1:] {
				row.Categories[part.Category] = 100 * *part.Accuracy.Value
			}
		case fmt.Sprintf("score m=%d", averaged):
			row.F1[1] = 100 * *all.F1.Value
		}
	}
	for _, s := range r.Soundness {
		if s.Category == "all" && s.By == quality.ByLabel && s.Unsound.Value != nil {
			row.Unsound = 100 * *s.Unsound.Value
		}
	}
	for _, v := range r.Revisions {
		if v.Category != "all" || v.WrongToRight.Value == nil || v.RightToWrong.Value == nil {
			continue
		}
		mended, spoilt := 100**v.WrongToRight.Value, 100**v.RightToWrong.Value
		switch {
		case v.Condition == revise.Shuffled && v.Samples == 1:
			row.ShuffledTo = &mended
		case v.Condition == revise.Own && v.Samples == 1:
			row.Mended, row.Spoilt = &[2]float64{mended}, &[2]float64{spoilt}
		case v.Condition == revise.Own:
			row.Mended[1], row.Spoilt[1] = mended, spoilt
		}
	}
	var b bytes.Buffer
	if err := record.WriteRecords(&b, list); err != nil {
		return row, err
	}
	if err := os.MkdirAll(c.in(critiquesDir), 0o755); err != nil {
		return row, err
	}
	return row, checkpoint.WriteFileAtomic(c.in(row.File), b.Bytes())
}

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

// writeQuality tells what the critiques are worth, a line for each model.
func (t *Task) writeQuality(w io.Writer) {
	for i, q := range t.Quality {
		if i == 0 {
			fmt.Fprintf(w, "\nsingle critiques at T = %g against the truth, %%; 'criticrm critique-eval --in %s' has all figures\n", q.Temperature, q.File)
		}
		fmt.Fprintf(w, "%s: %.1f of the verdicts right, %.1f of these on wrong reasoning", q.Model, q.Verdict, q.Unsound)
		if q.Mended != nil {
			fmt.Fprintf(w, "; by its reasoning %.1f of the wrong replies become right (commonest of %d: %.1f), %.1f of the right ones wrong",
				q.Mended[0], averaged, q.Mended[1], q.Spoilt[0])
		}
		fmt.Fprintln(w)
	}
}

func (t *Task) qualityTable() *report.Table {
	table := &report.Table{Head: append([]string{"model", "with a score", "right verdict", "F1 of wrong ones", fmt.Sprintf("F1, mean of %d", averaged),
		"right verdict, wrong reasoning", "wrong reply becomes right", fmt.Sprintf("by the commonest of %d", averaged), "right reply spoilt"}, t.Categories...)}
	for _, q := range t.Quality {
		cells := []report.Cell{{Text: q.Model}, figure(q.Parsed), figure(q.Verdict), figure(q.F1[0]), figure(q.F1[1]), figure(q.Unsound)}
		if q.Mended == nil {
			cells = append(cells, report.Cell{Text: "–"}, report.Cell{Text: "–"}, report.Cell{Text: "–"})
		} else {
			cells = append(cells, figure(q.Mended[0]), figure(q.Mended[1]), figure(q.Spoilt[0]))
		}
		for _, c := range t.Categories {
			cells = append(cells, figure(q.Categories[c]))
		}
		table.Rows = append(table.Rows, report.Row{Cells: cells})
	}
	return table
}
