package report

// How often a model prefers what people preferred: the table, the differences, and the curve over critiques.

import (
	"fmt"
	"slices"
	"strings"

	"criticrm/measure"
)

// percent is a share as a figure with its interval.
func percent(mean float64, i measure.Interval) Cell {
	return Cell{fmt.Sprintf("%.1f", 100*mean), fmt.Sprintf("[%.1f, %.1f]", 100*i.Low, 100*i.High)}
}

func signed(mean float64, i measure.Interval) Cell {
	return Cell{fmt.Sprintf("%+.1f", 100*mean), fmt.Sprintf("[%+.1f, %+.1f]", 100*i.Low, 100*i.High)}
}

// best is the method that stands for a part: its reward, else the judge with the most critiques; nil if there is neither.
func (e *evaluation) best() *measure.Method {
	m, ok := e.report.Method("reward")
	if !ok {
		return e.last("judge")
	}
	if last := e.last("reward"); last != nil && slices.Equal(last.Correct, m.Correct) {
		return last // the same, and it says over how many critiques
	}
	return m
}

// last is the method of a kind with the most samples.
func (e *evaluation) last(kind string) *measure.Method {
	var last *measure.Method
	for i := range e.report.Methods {
		if m := &e.report.Methods[i]; strings.HasPrefix(m.Name, kind+" ") && (last == nil || m.Samples > last.Samples) {
			last = m
		}
	}
	return last
}

// named is a method of a part in words.
func (p *part) named(m *measure.Method) string {
	switch {
	case m.Name == "length":
		return "length of the response alone"
	case strings.HasPrefix(m.Name, "judge"):
		return fmt.Sprintf("%s as judge, N = %d", p.title, m.Samples)
	case m.Samples > 0:
		return fmt.Sprintf("%s, m = %d", p.title, m.Samples)
	}
	return p.title
}

// row is a method that the report compares.
type row struct {
	part   *part
	method *measure.Method
	key    string // the same for the same method of another run
	stands bool   // for its part
	rival  bool   // the model is compared with it
}

// rows lists the methods: for each part the curve over m, and the judge with the most critiques; the length once.
func (r *run) rows() (out []row) {
	main := r.main()
	var length *row
	for i, p := range r.parts {
		if p.eval == nil {
			continue
		}
		best, judge := p.eval.best(), p.eval.last("judge")
		for j := range p.eval.report.Methods {
			m := &p.eval.report.Methods[j]
			w := row{part: p, method: m, key: p.key(i) + " " + m.Name, stands: m == best, rival: m == best && p != main || m == judge && p == main && m != best}
			switch {
			case m.Name == "length":
				if length == nil {
					w.key, w.rival = "length", true
					length = &w
				}
			case m.Name == "reward" && m != best:
			case strings.HasPrefix(m.Name, "judge") && m != judge: // one line of the judge is enough: the plot has the rest
			default:
				out = append(out, w)
			}
		}
	}
	if length != nil {
		out = append(out, *length)
	}
	return out
}

// key names a part in comparisons of runs: the latest rounds belong together, whatever their number.
func (p *part) key(place int) string {
	if place == 0 {
		return "model"
	}
	return p.name
}

const (
	maxCategories = 12 // that have a column
	maxName       = 60 // characters of a name that comes from the data
)

// accuracyTable has a line a method and a column a category.
func (r *run) accuracyTable() *Table {
	t := &Table{Head: []string{"method", "accuracy, %"}}
	main := r.main()
	methods := main.eval.report.Methods
	if len(methods) == 0 {
		return t
	}
	categories := methods[0].Categories
	if len(categories) == 1 {
		categories = nil
	}
	if n := len(categories); n > maxCategories {
		categories = categories[:maxCategories]
		t.Note += fmt.Sprintf("The first %d of %d categories. ", maxCategories, n)
	}
	for _, c := range categories {
		t.Head = append(t.Head, fmt.Sprintf("%s (%d)", shorten(c.Name, maxName), c.N))
	}
	if len(categories) > 0 {
		t.Head = append(t.Head, "mean of categories")
	}
	t.Head = append(t.Head, "ties", "pairs")
	for _, w := range r.rows() {
		m := w.method
		line := Row{Strong: w.part == main && w.stands,
			Cells: []Cell{{Text: w.part.named(m)}, percent(m.Mean, m.Interval)}}
		for _, c := range categories {
			line.Cells = append(line.Cells, categoryCell(m, c.Name))
		}
		if len(categories) > 0 {
			line.Cells = append(line.Cells, percent(m.Macro, m.MacroRange))
		}
		ties := fmt.Sprint(m.Ties)
		if m.NoScore > 0 {
			ties += fmt.Sprintf(" (%d without a score)", m.NoScore)
		}
		line.Cells = append(line.Cells, Cell{Text: ties}, Cell{Text: fmt.Sprint(m.N)})
		t.Rows = append(t.Rows, line)
	}
	t.Note += fmt.Sprintf("In brackets: %.3g %% intervals by bootstrap over %d prompts. A tie counts one half; with m critiques a response, all disjoint groups of m are compared.",
		100*main.eval.report.Level, main.eval.report.Prompts)
	return t
}

func categoryCell(m *measure.Method, name string) Cell {
	for _, c := range m.Categories {
		if c.Name == name {
			return percent(c.Mean, c.Interval)
		}
	}
	return Cell{Text: "–"}
}

// roundsTable is how the rounds did on the split that the best one is chosen by; empty without one.
func (r *run) roundsTable() *Table {
	t := &Table{Caption: "The best round is the one that is best on the validation split", Head: []string{"round", "validation, %", "held out, %", "updates"}}
	chosen := r.parts[0]
	for _, p := range r.parts {
		if p.valid == nil || p.valid.best() == nil {
			continue
		}
		m := p.valid.best()
		line := Row{Strong: p == chosen, Cells: []Cell{{Text: p.title}, percent(m.Mean, m.Interval), {Text: "–"}, {Text: "–"}}}
		if p.eval != nil && p.eval.best() != nil {
			line.Cells[2] = percent(p.eval.best().Mean, p.eval.best().Interval)
		}
		if p.training != nil {
			line.Cells[3].Text = fmt.Sprint(p.training.steps)
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}

// curves are the series of accuracy against the number of critiques.
func (r *run) curves() (out []Series) {
	for i, p := range r.parts {
		list := p.curves(p.title, i)
		if len(list) > 1 && p != r.main() { // the judge inside each baseline would only crowd the plot
			list = list[:1]
		}
		out = append(out, list...)
	}
	most := 1.0
	for _, s := range out {
		most = max(most, s.Points[len(s.Points)-1].X)
	}
	if most == 1 {
		return nil
	}
	for i, p := range r.parts { // a reward without critiques is the same for any number of them
		if p.eval == nil || p.eval.last("reward") != nil {
			continue
		}
		if m, ok := p.eval.report.Method("reward"); ok {
			out = append(out, Series{Name: p.title, Color: i, Line: true, Dashed: true, Points: []Point{{X: 1, Y: 100 * m.Mean}, {X: most, Y: 100 * m.Mean}}})
		}
	}
	return out
}

// curves are the part's reward and, dashed, the judge by its critiques, each if it is there.
func (p *part) curves(name string, color int) (out []Series) {
	if p.eval == nil {
		return nil
	}
	for _, s := range []Series{{Name: name, Color: color, Line: true, Dots: true}, {Name: name + " as judge", Color: color, Line: true, Dots: true, Dashed: true}} {
		kind := map[bool]string{false: "reward ", true: "judge "}[s.Dashed]
		for i := range p.eval.report.Methods {
			if m := &p.eval.report.Methods[i]; strings.HasPrefix(m.Name, kind) {
				s.Points = append(s.Points, pointOf(float64(m.Samples), m))
			}
		}
		if len(s.Points) > 0 {
			out = append(out, s)
		}
	}
	return out
}

func pointOf(x float64, m *measure.Method) Point {
	return Point{X: x, Y: 100 * m.Mean, Low: 100 * m.Interval.Low, High: 100 * m.Interval.High,
		Text: fmt.Sprintf("%g: %.1f [%.1f, %.1f]", x, 100*m.Mean, 100*m.Interval.Low, 100*m.Interval.High)}
}

func curvePlot(series []Series) *Plot {
	return &Plot{Title: "Accuracy against critiques averaged", X: "critiques of a response", Y: "preference accuracy, %", LogX: true, Series: series}
}

// differenceTable pairs the model with everything else on the same records.
func (r *run) differenceTable() *Table {
	main := r.main()
	best := main.eval.best()
	t := &Table{Caption: "Paired differences, points"}
	if best == nil {
		return t
	}
	t.Head = []string{main.named(best) + " is ahead of", "by", "pairs"}
	for _, w := range r.rows() {
		m := match(main.eval.pairs, w.part.eval.pairs)
		if !w.rival || len(m.a) == 0 {
			continue
		}
		d := m.difference(r.eval, best.Correct, w.method.Correct)
		t.Rows = append(t.Rows, Row{Cells: []Cell{{Text: w.part.named(w.method)}, signed(d.Mean, d.Interval), {Text: m.count()}}})
	}
	return t
}
