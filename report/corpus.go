package report

// The page of `criticrm data stats`: what files of rows hold.

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"criticrm/corpus"
	"criticrm/measure"
)

// Corpus makes a page of what was found in files of rows.
func Corpus(r *corpus.Report) (*Report, error) {
	var names, lead []string
	for _, f := range r.Files {
		names = append(names, f.Name)
		lead = append(lead, f.Head()+".")
	}
	p := &page{Title: "Data: " + strings.Join(names, ", "), Sub: "criticrm data stats", Lead: lead}
	sections := []*section{findingsSection(r)}
	for _, f := range r.Files {
		of := ""
		if len(r.Files) > 1 {
			of = " of " + f.Name
		}
		more, err := fileSections(f, of)
		if err != nil {
			return nil, err
		}
		sections = append(sections, more...)
	}
	last, err := sharedSection(r)
	if err != nil {
		return nil, err
	}
	for _, s := range append(sections, last) {
		if len(s.Words)+len(s.Parts) > 0 {
			p.Sections = append(p.Sections, s)
		}
	}
	html, err := p.html()
	return &Report{HTML: html, Lead: lead}, err
}

func findingsSection(r *corpus.Report) *section {
	s := &section{Title: "What is wrong"}
	for _, f := range r.Findings {
		line := f.Text
		if f.File != "" {
			line = f.File + ": " + line
		}
		s.Words = append(s.Words, line)
	}
	if r.Wrong() == 0 {
		s.Words = append([]string{"Nothing that --strict would not accept."}, s.Words...)
	}
	return s
}

// fileSections are a file's facts, lengths, length bias and defects.
func fileSections(f *corpus.File, of string) ([]*section, error) {
	facts := &section{Title: "The rows" + of}
	t := &Table{Words: true, Rows: []Row{
		words("layout", f.Schema), words("records", corpus.Kinds(f.Kinds)), words("distinct prompts", strconv.Itoa(f.Prompts)),
		words("categories", strconv.Itoa(len(f.Categories))), words("bytes", strconv.FormatInt(f.Bytes, 10)), words("sha256", f.SHA256),
	}}
	if f.Critiques > 0 {
		t.Rows = append(t.Rows, words("records with critiques", strconv.Itoa(f.Critiques)))
	}
	if err := show(&facts.Parts, t, countTable("rows by category", f.Categories), countTable("labels", f.Labels), countTable("shown first", f.First)); err != nil {
		return nil, err
	}
	lengths := &section{Title: "Lengths" + of}
	if err := show(&lengths.Parts, spreadTable(f), lengthPlot(f, "characters", corpus.Texts()), lengthPlot(f, "tokens", append(corpus.Texts(), corpus.Whole))); err != nil {
		return nil, err
	}
	if len(f.Tokens) == 0 {
		lengths.Words = append(lengths.Words, "No model was given, so tokens are not counted.")
	}
	if f.Over > 0 {
		lengths.Words = append(lengths.Words, fmt.Sprintf("%d records are longer than the limit.", f.Over))
	}
	bias := &section{Title: "Is the longer response the chosen one?" + of}
	if b := f.Bias; b != nil {
		bias.Words = append(bias.Words, "50 % is no bias; what is far from it, a reward model may learn in place of quality. Intervals are bootstrap ones, by prompt.")
		if err := show(&bias.Parts, biasTable(b)); err != nil {
			return nil, err
		}
	}
	defects := &section{Title: "Duplicates and bad rows" + of}
	near := map[string]int{}
	if f.Repeated > 0 {
		near["prompts that nearly repeat an earlier one"] = f.Repeated
	}
	maps.Copy(near, f.Duplicates)
	if err := show(&defects.Parts, countTable("duplicates", near), countTable("set aside", f.Aside), countTable("bad rows", f.Reasons)); err != nil {
		return nil, err
	}
	return []*section{facts, lengths, bias, defects}, nil
}

func sharedSection(r *corpus.Report) (*section, error) {
	s := &section{Title: "Prompts that other files have"}
	t := &Table{Head: []string{"files", "prompts in both", "rows", "more nearly are", "sides swapped"}}
	for _, b := range r.Pairs {
		t.Rows = append(t.Rows, words(b.First+" and "+b.Second, strconv.Itoa(b.Shared.Prompts), strconv.Itoa(b.Shared.Rows), strconv.Itoa(b.Shared.Near), strconv.Itoa(b.Swapped)))
	}
	m := &Table{Caption: "benchmarks", Head: []string{"benchmark", "rows with a prompt of it", "prompts", "of"}}
	for _, b := range r.Benchmarks {
		m.Rows = append(m.Rows, words(b.Name, strconv.Itoa(b.Rows), strconv.Itoa(b.Prompts), strconv.Itoa(b.Of)))
	}
	s.Words = append(s.Words, fmt.Sprintf("Looked up by the hash of the text: %s.", strings.Join(r.Known, ", ")))
	var unknown []string
	for _, u := range r.Unknown {
		unknown = append(unknown, u.Name)
	}
	s.Words = append(s.Words, fmt.Sprintf("Not looked up, because their prompts are not known to this program: %s. With the file of one, criticrm data check --against does it.", strings.Join(unknown, "; ")))
	return s, show(&s.Parts, t, m)
}

// countTable lists counts, the largest first; empty without any.
func countTable(caption string, counts map[string]int) *Table {
	t := &Table{Caption: caption, Head: []string{"", "n"}}
	keys := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(keys, func(a, b string) int { return counts[b] - counts[a] })
	for i, key := range keys {
		if i == maxShown {
			t.Note = fmt.Sprintf("The first %d of %d.", maxShown, len(keys))
			break
		}
		t.Rows = append(t.Rows, words(shorten(key, 200), strconv.Itoa(counts[key])))
	}
	return t
}

func spreadTable(f *corpus.File) *Table {
	t := &Table{Head: []string{"", "median", "mean", "95 % within", "most"}}
	for _, unit := range []struct {
		name string
		of   map[string]corpus.Spread
	}{{"characters", f.Characters}, {"bytes", f.TextBytes}, {"tokens", f.Tokens}} {
		for _, name := range append(corpus.Texts(), corpus.Whole) {
			if s, ok := unit.of[name]; ok {
				t.Rows = append(t.Rows, words(unit.name+" of "+name, strconv.Itoa(s.Median), fmt.Sprintf("%.1f", s.Mean), strconv.Itoa(s.P95), strconv.Itoa(s.Max)))
			}
		}
	}
	return t
}

// lengthPlot draws how often lengths occur, on a logarithmic axis.
func lengthPlot(f *corpus.File, unit string, names []string) *Plot {
	p := &Plot{Title: "Lengths in " + unit, X: unit, Y: "share of the texts, per doubling", LogX: true, Note: "An area is a share: heights are per doubling of the length."}
	for i, name := range names {
		bins := f.Histogram(name, unit)
		total := 0
		for _, b := range bins {
			total += b.N
		}
		s := Series{Name: name, Color: i, Line: true}
		for _, b := range bins {
			from := max(0.5, float64(b.From))
			s.Points = append(s.Points, Point{X: max(0.5, float64(b.From+b.To-1)/2), Y: float64(b.N) / float64(total) / math.Log2(float64(b.To)/from)})
		}
		if len(s.Points) > 0 {
			s.Dots = len(s.Points) == 1
			p.Series = append(p.Series, s)
		}
	}
	return p
}

func biasTable(e *measure.Estimate) *Table {
	t := &Table{Head: []string{"", "pairs", "the longer one is chosen, %"}}
	row := func(name string, n int, mean float64, i measure.Interval) Row {
		r := words(name, strconv.Itoa(n))
		c := percent(mean, i)
		r.Cells = append(r.Cells, c)
		return r
	}
	all := row("all", e.N, e.Mean, e.Interval)
	all.Strong = true
	t.Rows = append(t.Rows, all)
	if len(e.Categories) < 2 {
		return t
	}
	for i, c := range e.Categories {
		if i == maxShown {
			t.Note = fmt.Sprintf("The first %d of %d categories.", maxShown, len(e.Categories))
			break
		}
		t.Rows = append(t.Rows, row(c.Name, c.N, c.Mean, c.Interval))
	}
	return t
}
