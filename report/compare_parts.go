package report

// The parts of a comparison below its table.

import (
	"fmt"
	"slices"

	"criticrm/measure"
)

// categoryTable is the models' differences by category.
func (c comparison) categoryTable() *Table {
	t := &Table{Caption: "Paired differences by category, points", Head: []string{"category"}}
	var order []string
	cells := map[string][]Cell{}
	columns := 0
	c.others(func(r *run, m matched, x, y *measure.Method) {
		t.Head = append(t.Head, r.name+" less "+c[0].name, "pairs")
		for _, k := range m.difference(c[0].eval, y.Correct, x.Correct).Categories {
			if _, ok := cells[k.Name]; !ok {
				order = append(order, k.Name)
			}
			for len(cells[k.Name]) < columns {
				cells[k.Name] = append(cells[k.Name], Cell{Text: "–"})
			}
			cells[k.Name] = append(cells[k.Name], signed(k.Mean, k.Interval), Cell{Text: fmt.Sprint(k.N)})
		}
		columns += 2
	})
	if len(order) < 2 {
		return &Table{}
	}
	slices.Sort(order)
	if len(order) > maxShown {
		t.Note = fmt.Sprintf("The first %d of %d.", maxShown, len(order))
		order = order[:maxShown]
	}
	for _, name := range order {
		line := words(shorten(name, maxName))
		line.Cells = append(line.Cells, cells[name]...)
		for len(line.Cells) <= columns {
			line.Cells = append(line.Cells, Cell{Text: "–"})
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}

// agreementTables count on how many pairs both models are right, one of them, or none.
func (c comparison) agreementTables() (out []shower) {
	c.others(func(r *run, m matched, x, y *measure.Method) {
		var n [2][2]int
		ties := 0
		place := func(v float64) int { return map[bool]int{true: 1}[v == 1] }
		for i := range m.a {
			p, q := x.Correct[m.a[i]], y.Correct[m.b[i]]
			if p == 0.5 || q == 0.5 {
				ties++
				continue
			}
			n[place(p)][place(q)]++
		}
		t := &Table{Caption: "Held-out pairs on which both are right, one of them, or none", Head: []string{"", r.name + " right", r.name + " wrong"}, Rows: []Row{
			words(c[0].name+" right", fmt.Sprint(n[1][1]), fmt.Sprint(n[1][0])), words(c[0].name+" wrong", fmt.Sprint(n[0][1]), fmt.Sprint(n[0][0]))}}
		if ties > 0 {
			t.Note = fmt.Sprintf("%d pairs on which one of them cannot tell are left out.", ties)
		}
		out = append(out, t)
	})
	return out
}

// trainingSection draws the curves of the latest round of all runs together.
func (c comparison) trainingSection() (*section, error) {
	s := &section{Title: "Training"}
	var plots []shower
	for _, f := range []struct{ key, title, y string }{{"critique_loss", "Critique loss", "loss"}, {"reward_loss", "Reward loss", "loss"}, {"accuracy", "Accuracy on the batch", "share"}, {"lambda", "λ", "share"}} {
		p := &Plot{Title: f.title, X: "update", Y: f.y}
		if f.y == "share" {
			p.YRange = &[2]float64{0, 1}
		}
		for i, r := range c {
			if len(r.parts) > 0 && r.parts[0].training != nil {
				r.parts[0].training.draw(p, f.key, Series{Name: r.name, Color: i, Line: true, Dashed: i > 0 && f.key == "lambda"})
			}
		}
		plots = append(plots, p)
	}
	if err := show(&s.Parts, plots...); err != nil || len(s.Parts) == 0 {
		return nil, err
	}
	return s, nil
}

func (c comparison) calibrationSection() (*section, error) {
	t := &Table{Head: calibrationHead, Note: calibrationNote}
	var series []Series
	for i, r := range c {
		if main := r.main(); main != nil && main.eval.report.Calibration != nil {
			t.Rows = append(t.Rows, calibrationCells(r.name, main.eval.report.Calibration))
			series = append(series, reliability(r.name, i, main.eval.report.Calibration, false))
		}
	}
	if len(series) == 0 {
		return nil, nil
	}
	s := &section{Title: "Calibration: what a reward means"}
	return s, show(&s.Parts, calibrationPlot(series), t)
}

// filterSection has what is left behind the last stage of each run's latest round.
func (c comparison) filterSection() (*section, error) {
	t := &Table{Head: []string{"run", "file", "records kept", "critiques kept"}}
	for _, r := range c {
		if len(r.parts) == 0 {
			continue
		}
		for _, f := range r.parts[0].files {
			if f.decided {
				t.Rows = append(t.Rows, words(r.name, f.name, fmt.Sprintf("%d of %d", f.drops.Kept, f.drops.Records), fmt.Sprintf("%d of %d", f.drops.KeptCritiques, f.drops.Critiques)))
			}
		}
	}
	if len(t.Rows) == 0 {
		return nil, nil
	}
	s := &section{Title: "What the filter kept"}
	return s, show(&s.Parts, t)
}

// recipeSection lists the settings that are not the same in all runs.
func (c comparison) recipeSection() (*section, error) {
	values := make([]map[string]string, len(c))
	var order []string
	for i, r := range c {
		values[i] = map[string]string{}
		for _, v := range r.recipe {
			values[i][v.name] = v.value
			if !slices.Contains(order, v.name) {
				order = append(order, v.name)
			}
		}
	}
	if len(order) == 0 {
		return nil, nil
	}
	t := &Table{Head: append([]string{"setting"}, c.names()...), Words: true}
	for _, name := range order {
		line, differs := words(name), false
		for i := range c {
			v, ok := values[i][name]
			if !ok {
				v = "–"
			}
			first, had := values[0][name]
			differs = differs || v != first || ok != had
			line.Cells = append(line.Cells, Cell{Text: shorten(v, 400)})
		}
		if differs {
			t.Rows = append(t.Rows, line)
		}
	}
	s := &section{Title: "Where the recipes differ", Words: []string{fmt.Sprintf("%d of %d settings.", len(t.Rows), len(order))}}
	return s, show(&s.Parts, t)
}
