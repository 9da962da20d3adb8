package report

// Held-out rows of a public benchmark: its score by its own rule stands in the place of averages that are not it.

import (
	"fmt"

	"criticrm/measure"
	"criticrm/record"
)

// official scores held-out records by the rule of their benchmark; nil if they are of none.
func (r *run) official(name string, e *evaluation, records []*record.Record) (*measure.BenchmarkReport, error) {
	if e.report.Benchmark == "" {
		return nil, nil
	}
	bench, err := measure.BenchmarkOf(records)
	if err != nil {
		return nil, fmt.Errorf("report: %s: %w", name, err)
	}
	made, err := measure.EvaluateBenchmark(bench, records, r.eval)
	if err != nil {
		return nil, fmt.Errorf("report: %s: %w", name, err)
	}
	return made, nil
}

// leadOf is the first official score of the method that stands for the model; "": there is none.
func leadOf(b *measure.BenchmarkReport) string {
	m := b.Methods[0]
	if b.LengthOnly() || len(m.Scores) == 0 {
		return ""
	}
	line := fmt.Sprintf("By the rule of %s: %s %s, by the %s.", b.Title, m.Scores[0].Name, m.Scores[0].String(), m.Name)
	if !b.Whole {
		line += " These are not the rows of the published files, so it does not compare with published scores."
	}
	return line
}

// officialTable has a line a score and a column a method.
func officialTable(b *measure.BenchmarkReport) *Table {
	t := &Table{Caption: b.Title + " by its own rule", Head: []string{"official"}}
	for _, m := range b.Methods {
		name := m.Name
		if m.Samples > 0 {
			name += fmt.Sprintf(" m=%d", m.Samples)
		}
		t.Head = append(t.Head, name)
	}
	for k, score := range b.Methods[0].Scores {
		line := words(score.Name)
		line.Strong = k == 0
		for _, m := range b.Methods {
			line.Cells = append(line.Cells, Cell{Text: m.Scores[k].String()})
		}
		t.Rows = append(t.Rows, line)
	}
	t.Note = "The rule: " + b.Rule + "."
	for _, note := range b.Notes {
		t.Note += " " + note + "."
	}
	return t
}

// partsTable has the accuracy of each part of the benchmark, which the rule is made of.
func partsTable(b *measure.BenchmarkReport) *Table {
	t := &Table{Caption: "By part, %", Head: []string{"part", "rows", "comparisons"}}
	for _, m := range b.Methods {
		t.Head = append(t.Head, m.Name, "ties")
	}
	for k, p := range b.Methods[0].Parts {
		line := words(shorten(p.Part, maxName), fmt.Sprint(p.Rows), fmt.Sprint(p.Comparisons))
		for _, m := range b.Methods {
			share := measure.Score{Value: m.Parts[k].Accuracy}
			line.Cells = append(line.Cells, Cell{Text: share.String()}, Cell{Text: fmt.Sprint(m.Parts[k].Ties)})
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}

// bench says whether a run is measured on rows of a public benchmark.
func (c comparison) bench() bool {
	for _, r := range c {
		if main := r.main(); main != nil && main.eval.bench != nil {
			return true
		}
	}
	return false
}

// officialSection has the official scores of each run.
func (c comparison) officialSection() (*section, error) {
	s := &section{Title: "Scores"}
	for _, r := range c {
		main := r.main()
		if main == nil {
			continue
		}
		if main.eval.bench == nil {
			s.Words = append(s.Words, r.name+" is measured on other rows, which are of no benchmark: 'criticrm report' of that run has its accuracy.")
			continue
		}
		t := officialTable(main.eval.bench)
		t.Caption = r.name + ": " + t.Caption
		if err := show(&s.Parts, t); err != nil {
			return nil, err
		}
	}
	return s, show(&s.Parts, c.agreementTables()...)
}
