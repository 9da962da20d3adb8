package report

// The page: its parts, and how they become one file.

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS string

var templates = template.Must(template.New("page").Parse(pageHTML))

// Palette is the series' place in style.css.
func (s Series) Palette() int { return s.Color % paletteLen }

// Table is rows under a head. It scrolls inside its own box where the page is too narrow.
type Table struct {
	Caption string
	Head    []string
	Rows    []Row
	Words   bool   // cells are text, not figures
	Note    string // below
}

// Row is one line; Strong ones stand out.
type Row struct {
	Cells  []Cell
	Strong bool
}

// Cell is a figure, with its interval as Small.
type Cell struct{ Text, Small string }

// words makes a row of plain cells.
func words(texts ...string) (r Row) {
	for _, t := range texts {
		r.Cells = append(r.Cells, Cell{Text: t})
	}
	return r
}

// HTML is the table, empty without rows.
func (t *Table) HTML() (template.HTML, error) { return execute("table", t) }

// section is a part of the page under a heading.
type section struct {
	Title       string
	Words       []string
	Parts       []template.HTML
	HiddenTitle string // of what is opened by a click
	Hidden      []template.HTML
}

// page is what the template "run" shows.
type page struct {
	Title    string
	Sub      string
	Lead     []string
	Missing  []string
	Refresh  int // seconds; 0: the page stays as it is
	Sections []*section
}

// html makes the whole file.
func (p *page) html() ([]byte, error) {
	body, err := execute("run", p)
	if err != nil {
		return nil, err
	}
	return shell(p.Title, body, p.Refresh)
}

// Page puts a body into a file of its own: the style is inside, and nothing is fetched or run.
func Page(title string, body template.HTML) ([]byte, error) { return shell(title, body, 0) }

func shell(title string, body template.HTML, refresh int) ([]byte, error) {
	b, err := execute("shell", struct {
		Title   string
		Style   template.CSS
		Body    template.HTML
		Refresh int
	}{title, template.CSS(styleCSS), body, refresh})
	return []byte(b), err
}

func execute(name string, data any) (template.HTML, error) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	return template.HTML(b.String()), nil
}

// shower is a Table or a Plot.
type shower interface {
	HTML() (template.HTML, error)
}

// show appends tables and plots to a list; neighbouring plots stand beside each other.
func show(to *[]template.HTML, list ...shower) error {
	var plots []template.HTML
	flush := func() error {
		if len(plots) == 0 {
			return nil
		}
		h, err := execute("plots", plots)
		*to, plots = append(*to, h), nil
		return err
	}
	for _, s := range list {
		h, err := s.HTML()
		if err != nil {
			return err
		}
		if h == "" {
			continue
		}
		if _, ok := s.(*Plot); ok {
			plots = append(plots, h)
			continue
		}
		if err := flush(); err != nil {
			return err
		}
		*to = append(*to, h)
	}
	return flush()
}
