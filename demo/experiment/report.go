package experiment

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"criticrm/report"
)

//go:embed report.html
var reportHTML string

// HTML is the report: one page with the tables, the plots as inline SVG and critiques to read. It needs no network.
func (r *Results) HTML() ([]byte, error) {
	t, err := template.New("report").Parse(reportHTML)
	if err != nil {
		return nil, fmt.Errorf("demo: report: %w", err)
	}
	page := struct {
		*Results
		Times template.HTML
		Tasks []*taskPage
	}{Results: r}
	if page.Times, err = r.timesTable().HTML(); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	for _, t := range r.Tasks {
		p, err := t.page(r.Full)
		if err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		page.Tasks = append(page.Tasks, p)
	}
	var body bytes.Buffer
	if err := t.Execute(&body, page); err != nil {
		return nil, fmt.Errorf("demo: report: %w", err)
	}
	return report.Page("criticrm demo", template.HTML(body.String()))
}

// taskPage is what the page shows of a task.
type taskPage struct {
	*Task
	Accuracy, Ablations template.HTML
	Critiques, Plots    []template.HTML
}

func (t *Task) page(full bool) (*taskPage, error) {
	p := &taskPage{Task: t}
	tables := []struct {
		to    *template.HTML
		table *report.Table
	}{{&p.Accuracy, t.accuracyTable(t.rows(func(r *Row) bool { return r.Ablation == "" }), full)}}
	if list := t.rows(func(r *Row) bool { return r.Ablation != "" }); len(list) > 0 {
		tables = append(tables, struct {
			to    *template.HTML
			table *report.Table
		}{&p.Ablations, t.accuracyTable(list, full)})
	}
	var err error
	for _, part := range tables {
		if *part.to, err = part.table.HTML(); err != nil {
			return nil, err
		}
	}
	for _, table := range t.CritiqueTables() {
		h, err := table.HTML()
		if err != nil {
			return nil, err
		}
		p.Critiques = append(p.Critiques, h)
	}
	losses, shares := t.lossPlots()
	for _, plot := range []*report.Plot{curvePlot("Accuracy against critiques averaged", "critiques m", t.ByM), losses, shares,
		curvePlot("Accuracy against training pairs", "preference pairs", t.ByData)} {
		h, err := plot.HTML()
		if err != nil {
			return nil, err
		}
		p.Plots = append(p.Plots, h)
	}
	return p, nil
}

func (i Interval) cell() report.Cell {
	return report.Cell{Text: fmt.Sprintf("%.1f", i.Value), Small: fmt.Sprintf("[%.1f, %.1f]", i.Low, i.High)}
}

func figure(x float64) report.Cell { return report.Cell{Text: fmt.Sprintf("%.1f", x)} }

func (t *Task) accuracyTable(rows []*Row, full bool) *report.Table {
	table := &report.Table{Head: []string{"method", "pairs", "T", "m", "overall [95 %]"}}
	if full {
		table.Head = append(table.Head, "seeds")
	}
	table.Head = append(append(table.Head, t.Categories...), "validation")
	for _, row := range rows {
		line := report.Row{Strong: row.Headline(), Cells: []report.Cell{{Text: row.Name()}, {Text: row.PairsText()}, {Text: row.Temperature()},
			{Text: row.M()}, row.Overall.cell()}}
		if full {
			line.Cells = append(line.Cells, report.Cell{Text: row.SeedsText()})
		}
		for _, c := range t.Categories {
			line.Cells = append(line.Cells, row.Categories[c].cell())
		}
		table.Rows = append(table.Rows, report.Row{Strong: line.Strong, Cells: append(line.Cells, figure(row.Valid))})
	}
	return table
}

func (r *Results) timesTable() *report.Table {
	t := &report.Table{Head: []string{"models", "seconds"}}
	for _, stage := range r.Stages {
		t.Rows = append(t.Rows, report.Row{Cells: []report.Cell{{Text: stage}, figure(r.Seconds[stage])}})
	}
	return t
}

// curvePlot draws curves with their intervals over a logarithmic x axis. A model has one color.
func curvePlot(title, x string, curves []Curve) *report.Plot {
	p := &report.Plot{Title: title, X: x, Y: "preference accuracy, %", LogX: true}
	for i, c := range curves {
		s := report.Series{Name: c.Name, Color: i, Line: true, Dots: true}
		for _, pt := range c.Points {
			s.Points = append(s.Points, report.Point{X: pt.X, Y: pt.Y.Value, Low: pt.Y.Low, High: pt.Y.High})
		}
		p.Series = append(p.Series, s)
	}
	return p
}

// lossPlots draw the losses, and λ, of the first seed's main run.
func (t *Task) lossPlots() (losses, shares *report.Plot) {
	series := func(name string, color int, of func(Step) float64) report.Series {
		s := report.Series{Name: name, Color: color, Line: true}
		for _, x := range t.Training {
			s.Points = append(s.Points, report.Point{X: float64(x.Step), Y: of(x)})
		}
		return s
	}
	losses = &report.Plot{Title: "Losses of the Critic-RM run", X: "update", Y: "loss", Series: []report.Series{
		series("critique loss", 2, func(s Step) float64 { return s.Critique }), series("reward loss", 1, func(s Step) float64 { return s.Reward })}}
	shares = &report.Plot{Title: "λ and accuracy of the Critic-RM run", X: "update", Y: "share", YRange: &[2]float64{0, 1}, Series: []report.Series{
		series("λ", 7, func(s Step) float64 { return s.Lambda }), series("accuracy on the batch", 0, func(s Step) float64 { return s.Accuracy })}}
	return losses, shares
}
