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

// HTML is the report: one page with the table, the plots as inline SVG and critiques to read. It needs no network.
func (r *Results) HTML() ([]byte, error) {
	t, err := template.New("report").Parse(reportHTML)
	if err != nil {
		return nil, fmt.Errorf("demo: report: %w", err)
	}
	page := struct {
		*Results
		Accuracy, Critiques, Times template.HTML
		Plots                      []template.HTML
	}{Results: r}
	for _, part := range []struct {
		to    *template.HTML
		table *report.Table
	}{{&page.Accuracy, r.accuracyTable()}, {&page.Critiques, r.qualityTable()}, {&page.Times, r.timesTable()}} {
		if *part.to, err = part.table.HTML(); err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
	}
	losses, shares := r.lossPlots()
	for _, p := range []*report.Plot{curvePlot("Accuracy against critiques averaged", "critiques m", r.ByM), losses, shares,
		curvePlot("Accuracy against training pairs", "preference pairs", r.ByData)} {
		h, err := p.HTML()
		if err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		page.Plots = append(page.Plots, h)
	}
	var body bytes.Buffer
	if err := t.Execute(&body, page); err != nil {
		return nil, fmt.Errorf("demo: report: %w", err)
	}
	return report.Page("criticrm demo", template.HTML(body.String()))
}

func (i Interval) cell() report.Cell {
	return report.Cell{Text: fmt.Sprintf("%.1f", i.Value), Small: fmt.Sprintf("[%.1f, %.1f]", i.Low, i.High)}
}

func figure(x float64) report.Cell { return report.Cell{Text: fmt.Sprintf("%.1f", x)} }

func (r *Results) accuracyTable() *report.Table {
	t := &report.Table{Head: []string{"method", "pairs", "overall [95 %]"}}
	if len(r.Seeds) > 1 {
		t.Head = append(t.Head, "sd")
	}
	t.Head = append(append(t.Head, categories...), "macro")
	for _, row := range r.Rows {
		pairs := "–"
		if row.Pairs > 0 {
			pairs = fmt.Sprint(row.Pairs)
		}
		line := report.Row{Strong: row.Method == "Critic-RM", Cells: []report.Cell{{Text: row.Name()}, {Text: pairs}, row.Overall.cell()}}
		if len(r.Seeds) > 1 {
			line.Cells = append(line.Cells, figure(row.SD))
		}
		for _, c := range categories {
			line.Cells = append(line.Cells, row.Categories[c].cell())
		}
		line.Cells = append(line.Cells, figure(row.Macro))
		t.Rows = append(t.Rows, line)
	}
	return t
}

func (r *Results) qualityTable() *report.Table {
	t := &report.Table{Head: []string{"model", "with a score", "right verdict", "… count", "… track"}}
	for _, q := range r.Quality {
		t.Rows = append(t.Rows, report.Row{Cells: []report.Cell{{Text: q.Model}, figure(q.Parsed), figure(q.Verdict), figure(q.Count), figure(q.Track)}})
	}
	return t
}

func (r *Results) timesTable() *report.Table {
	t := &report.Table{Head: []string{"stage", "seconds"}}
	for _, stage := range r.Stages {
		t.Rows = append(t.Rows, report.Row{Cells: []report.Cell{{Text: stage}, figure(r.Seconds[stage])}})
	}
	return t
}

// colors of the curves, the same in every plot.
var colors = map[string]int{"Critic-RM": 0, "CLoud-style": 1, "LLM judge (base)": 2, "scalar RM": 3}

// curvePlot draws curves with their intervals over a logarithmic x axis.
func curvePlot(title, x string, curves []Curve) *report.Plot {
	p := &report.Plot{Title: title, X: x, Y: "preference accuracy, %", LogX: true}
	for _, c := range curves {
		s := report.Series{Name: c.Name, Color: colors[c.Name], Line: true, Dots: true}
		for _, pt := range c.Points {
			s.Points = append(s.Points, report.Point{X: pt.X, Y: pt.Y.Value, Low: pt.Y.Low, High: pt.Y.High})
		}
		p.Series = append(p.Series, s)
	}
	return p
}

// lossPlots draw the losses, and λ, of the Critic-RM run.
func (r *Results) lossPlots() (losses, shares *report.Plot) {
	series := func(name string, color int, of func(Step) float64) report.Series {
		s := report.Series{Name: name, Color: color, Line: true}
		for _, t := range r.Training {
			s.Points = append(s.Points, report.Point{X: float64(t.Step), Y: of(t)})
		}
		return s
	}
	losses = &report.Plot{Title: "Losses of the Critic-RM run", X: "update", Y: "loss", Series: []report.Series{
		series("critique loss", 2, func(s Step) float64 { return s.Critique }), series("reward loss", 1, func(s Step) float64 { return s.Reward })}}
	shares = &report.Plot{Title: "λ and accuracy of the Critic-RM run", X: "update", Y: "share", YRange: &[2]float64{0, 1}, Series: []report.Series{
		series("λ", 7, func(s Step) float64 { return s.Lambda }), series("accuracy on the batch", 0, func(s Step) float64 { return s.Accuracy })}}
	return losses, shares
}
