package report

// Several runs side by side.

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/measure"
)

// maxRuns is how many runs one page compares: more have no colours of their own.
const maxRuns = 6

// Compare sets runs side by side; differences are those to the first one.
func Compare(paths []string, o Options) (*Report, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if len(paths) < 2 || len(paths) > maxRuns {
		return nil, fmt.Errorf("report: got %d runs to compare, want 2 to %d", len(paths), maxRuns)
	}
	var c comparison
	for _, path := range paths {
		r, err := open(path, o)
		if err != nil {
			return nil, err
		}
		c = append(c, r)
	}
	c.nameApart(paths)
	p := &page{Title: "criticrm: " + strings.Join(c.names(), " and ")}
	for _, r := range c {
		p.Sub = strings.TrimPrefix(p.Sub+"; "+r.name+": "+r.summary(), "; ")
		for _, line := range r.missing {
			p.Missing = append(p.Missing, r.name+": "+line)
		}
	}
	for _, f := range []func() (*section, error){c.accuracySection, c.trainingSection, c.calibrationSection, c.filterSection, c.recipeSection} {
		s, err := f()
		if err != nil {
			return nil, err
		}
		if s != nil {
			p.Sections = append(p.Sections, s)
		}
	}
	p.Lead = c.lead()
	html, err := p.html()
	return &Report{HTML: html, Lead: p.Lead, Missing: p.Missing}, err
}

// comparison is the runs, the one that the others are compared with in front.
type comparison []*run

func (c comparison) names() (names []string) {
	for _, r := range c {
		names = append(names, r.name)
	}
	return names
}

// nameApart tells runs of the same name apart: by their folders, else by their place.
func (c comparison) nameApart(paths []string) {
	apart := func() bool {
		names := c.names()
		slices.Sort(names)
		return len(slices.Compact(names)) == len(c)
	}
	if apart() {
		return
	}
	for i, r := range c {
		if full, err := filepath.Abs(paths[i]); err == nil {
			r.name = filepath.Base(filepath.Dir(full)) + "/" + r.name
		}
	}
	if apart() {
		return
	}
	for i, r := range c {
		r.name = fmt.Sprintf("%s (%d)", r.name, i+1)
	}
}

// lead says how far the first run's model is from the others.
func (c comparison) lead() (out []string) {
	if c.bench() {
		for _, r := range c {
			if main := r.main(); main != nil && main.eval.bench != nil {
				out = append(out, r.name+": "+leadOf(main.eval.bench))
			}
		}
		return out
	}
	a := c[0].main()
	if a == nil || a.eval.best() == nil {
		return nil
	}
	for _, r := range c[1:] {
		b := r.main()
		if b == nil || b.eval.best() == nil {
			continue
		}
		m := match(a.eval.pairs, b.eval.pairs)
		if len(m.a) == 0 {
			out = append(out, fmt.Sprintf("%s and %s have no held-out pair in common (the same id, prompt and responses): their figures are not comparable.", c[0].name, r.name))
			continue
		}
		x, y := a.eval.best(), b.eval.best()
		d := m.difference(c[0].eval, y.Correct, x.Correct)
		cell := signed(d.Mean, d.Interval)
		out = append(out, fmt.Sprintf("Accuracy of %s less that of %s: %s points %s on %s pairs.", r.name, c[0].name, cell.Text, cell.Small, m.count()))
	}
	return out
}

// accuracySection has a line for each method that any of the runs has.
func (c comparison) accuracySection() (*section, error) {
	if c.bench() {
		return c.officialSection()
	}
	t := &Table{Head: []string{"method"}}
	var keys []string
	title := map[string]string{}
	rows := make([]map[string]row, len(c))
	for i, r := range c {
		rows[i] = map[string]row{}
		t.Head = append(t.Head, r.name+", %")
		for _, w := range r.rows() {
			rows[i][w.key] = w
			if title[w.key] == "" {
				keys = append(keys, w.key)
				title[w.key] = w.part.named(w.method)
			}
		}
	}
	for _, r := range c[1:] {
		t.Head = append(t.Head, r.name+" less "+c[0].name, "pairs")
	}
	for _, key := range keys {
		line := words(title[key])
		for i := range c {
			line.Cells = append(line.Cells, rowCell(rows[i], key))
		}
		first, ok := rows[0][key]
		line.Strong = ok && first.stands && first.part == c[0].main()
		for i := range c[1:] {
			line.Cells = append(line.Cells, differenceCells(c[0].eval, first, rows[i+1][key])...)
		}
		t.Rows = append(t.Rows, line)
	}
	t.Note = "Each run's own pairs; differences are over the pairs that both have, paired, with intervals by bootstrap over prompts."
	var series []Series
	for i, r := range c {
		if main := r.main(); main != nil {
			series = append(series, main.curves(r.name, i)...)
		}
	}
	s := &section{Title: "Preference accuracy"}
	if err := show(&s.Parts, t, curvePlot(series), c.categoryTable()); err != nil {
		return nil, err
	}
	return s, show(&s.Parts, c.agreementTables()...)
}

func rowCell(rows map[string]row, key string) Cell {
	if w, ok := rows[key]; ok {
		return percent(w.method.Mean, w.method.Interval)
	}
	return Cell{Text: "–"}
}

// differenceCells is b less a, and on how many pairs.
func differenceCells(o measure.EvalOptions, a, b row) []Cell {
	if a.method == nil || b.method == nil {
		return []Cell{{Text: "–"}, {Text: "–"}}
	}
	m := match(a.part.eval.pairs, b.part.eval.pairs)
	if len(m.a) == 0 {
		return []Cell{{Text: "–"}, {Text: "no pair in common"}}
	}
	d := m.difference(o, b.method.Correct, a.method.Correct)
	return []Cell{signed(d.Mean, d.Interval), {Text: m.count()}}
}

// others calls f for each later run whose model can be compared with the first one's, pair by pair.
func (c comparison) others(f func(r *run, m matched, x, y *measure.Method)) {
	a := c[0].main()
	if a == nil || a.eval.best() == nil {
		return
	}
	for _, r := range c[1:] {
		b := r.main()
		if b == nil || b.eval.best() == nil {
			continue
		}
		if m := match(a.eval.pairs, b.eval.pairs); len(m.a) > 0 {
			f(r, m, a.eval.best(), b.eval.best())
		}
	}
}
