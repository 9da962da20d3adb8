package report

// What evaluations tell while a model is trained: their last figures, by category too, and how margins are spread.

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Keys of metrics.jsonl: eval_accuracy_CATEGORY and eval_margin_histogram, or eval_NAME_… of a file with a name.
var (
	byCategory = regexp.MustCompile(`^eval_(?:(.+)_)??accuracy_(.+)$`)
	spreadKey  = regexp.MustCompile(`^eval_(?:(.+)_)??margin_histogram$`)
	figureKey  = regexp.MustCompile(`^eval_(?:.+_)??(margin|mean_reward|std_reward|critique_perplexity|samples)$`)
)

// spread is a histogram of margins behind an update.
type spread struct {
	step   int
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Counts []int   `json:"counts"`
}

// addHeldOut takes what a line's member says of an evaluation beside the figures that are drawn, and says whether it is a figure.
func (t *training) addHeldOut(key string, raw json.RawMessage, step int) (figure bool, err error) {
	if m := spreadKey.FindStringSubmatch(key); m != nil {
		h := spread{step: step}
		if err := json.Unmarshal(raw, &h); err != nil || len(h.Counts) == 0 || h.Min > h.Max || slices.Min(h.Counts) < 0 {
			return false, fmt.Errorf("%s is no histogram", key)
		}
		t.spreads[m[1]] = append(t.spreads[m[1]], h)
		return false, nil
	}
	if m := byCategory.FindStringSubmatch(key); m != nil {
		if !slices.Contains(t.categories[m[1]], m[2]) {
			t.categories[m[1]] = append(t.categories[m[1]], m[2])
		}
		return true, nil
	}
	return figureKey.MatchString(key), nil
}

// heldOutPlots are pictures of the first held-out file: the accuracy of its categories, the perplexity of critiques, and its margins.
func (t *training) heldOutPlots(title string) []*Plot {
	categories := &Plot{Title: "Accuracy by category, held out" + title, X: "update", Y: "share", YRange: &[2]float64{0, 1}}
	perplexity := &Plot{Title: "Perplexity of critiques" + title, X: "update", Y: "e to the critique loss"}
	t.draw(perplexity, "critique_perplexity", Series{Name: "in training", Color: 2, Line: true})
	list := []*Plot{categories, perplexity}
	for i, name := range t.files[:min(len(t.files), maxHeldOut)] {
		of := "held out"
		if name != "" {
			of = name
		}
		t.draw(perplexity, heldOutKey(name)+"critique_perplexity", Series{Name: of, Color: 2 + 3*i, Dots: true, Line: true, Dashed: true})
		if len(categories.Series) == 0 {
			names := slices.Sorted(slices.Values(t.categories[name]))
			for k, category := range names[:min(len(names), paletteLen)] {
				t.draw(categories, heldOutKey(name)+"accuracy_"+category, Series{Name: category, Color: k, Dots: true, Line: true})
			}
			if n := len(names) - paletteLen; n > 0 {
				categories.Note = fmt.Sprintf("%d more categories are in the table alone.", n)
			}
		}
		if p := t.spreadPlot(name, of, title); p != nil {
			list = append(list, p)
		}
	}
	return list
}

// spreadPlot shows the first and the last histogram of a file's margins, nil without any.
func (t *training) spreadPlot(name, of, title string) *Plot {
	all := t.spreads[name]
	if len(all) == 0 {
		return nil
	}
	p := &Plot{Title: "Margins, " + of + title, X: "reward of the chosen less that of the rejected response", Y: "share of pairs",
		Note: "Each step is an equal part of the margins' range: the areas left of 0 are pairs in the wrong order."}
	if first := all[0]; len(all) > 1 && first.Min < first.Max {
		p.Series = append(p.Series, Series{Name: fmt.Sprintf("update %d", first.step), Color: 7, Line: true, Dashed: true, Points: first.outline()})
	}
	last := all[len(all)-1]
	p.Series = append(p.Series, Series{Name: fmt.Sprintf("update %d", last.step), Color: 0, Line: true, Points: last.outline()})
	return p
}

// outline goes along the tops of the bars.
func (h spread) outline() (points []Point) {
	total := 0
	for _, n := range h.Counts {
		total += n
	}
	width := (h.Max - h.Min) / float64(len(h.Counts))
	if width == 0 {
		width = max(1e-3, math.Abs(h.Min)/100)
	}
	points = append(points, Point{X: h.Min})
	for i, n := range h.Counts {
		share := float64(n) / float64(max(total, 1))
		points = append(points, Point{X: h.Min + float64(i)*width, Y: share}, Point{X: h.Min + float64(i+1)*width, Y: share})
	}
	return append(points, Point{X: h.Min + float64(len(h.Counts))*width})
}

// lastTable has the figures of the last evaluation of every held-out file, with its categories.
func (t *training) lastTable(title string) *Table {
	table := &Table{Caption: "The last evaluation while training" + title, Head: []string{"held out", "update", "accuracy", "margin", "perplexity", "mean reward", "deviation", "examples"}}
	last := func(key, format string, factor float64) (Cell, float64) {
		points := t.curve[key]
		if len(points) == 0 {
			return Cell{Text: "–"}, -1
		}
		p := points[len(points)-1]
		return Cell{Text: fmt.Sprintf(format, factor*p.Y)}, p.X
	}
	for _, name := range t.files {
		key := heldOutKey(name)
		row := words(strings.TrimSuffix("all "+name, " "), "")
		at := -1.0
		for _, f := range []struct {
			name, format string
			factor       float64
		}{{"accuracy", "%.1f %%", 100}, {"margin", "%.3f", 1}, {"critique_perplexity", "%.3f", 1}, {"mean_reward", "%.3f", 1}, {"std_reward", "%.3f", 1}, {"samples", "%.0f", 1}} {
			cell, step := last(key+f.name, f.format, f.factor)
			row.Cells, at = append(row.Cells, cell), max(at, step)
		}
		row.Cells[1].Text = fmt.Sprintf("%.0f", at)
		table.Rows = append(table.Rows, row)
		for _, category := range slices.Sorted(slices.Values(t.categories[name])) {
			cell, step := last(key+"accuracy_"+category, "%.1f %%", 100)
			row := words(strings.TrimPrefix(name+": ", ": ")+category, fmt.Sprintf("%.0f", step))
			table.Rows = append(table.Rows, Row{Cells: append(row.Cells, cell, Cell{}, Cell{}, Cell{}, Cell{}, Cell{})})
		}
	}
	return table
}
