package report

import (
	"fmt"
	"html"
	"html/template"
	"strings"
)

// drawing is SVG text that grows. Colours and line widths are style.css's.
type drawing struct{ strings.Builder }

func (d *drawing) add(format string, a ...any) { fmt.Fprintf(&d.Builder, format, a...) }

// text writes a label; anchor is start, middle or end.
func (d *drawing) text(x, y float64, anchor, label string) {
	d.add(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, html.EscapeString(label))
}

// svg is the picture alone: everything in it is drawn by the axes, so nothing leaves it.
func (p *Plot) svg() template.HTML {
	x, y := p.axes()
	var d drawing
	d.add(`<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, html.EscapeString(p.Title))
	left, right := x.from-inset, x.to+inset
	for _, t := range y.ticks {
		at := y.at(t.value)
		d.add(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, left, at, right)
		d.text(left-6, at+textSize*0.35, "end", t.label)
	}
	for _, t := range x.ticks {
		at := x.at(t.value)
		d.add(`<path class="grid" d="M%.1f %.1fV%.1f"/>`, at, plotTop, y.from)
		d.text(at, y.from+20, "middle", t.label)
	}
	d.add(`<path class="axis" d="M%.1f %.1fH%.1f"/>`, left, y.from, right)
	d.text(1, 13, "start", p.Y)
	d.text((left+right)/2, plotHeight-6, "middle", p.X)
	if low, high := max(x.low, y.low), min(x.high, y.high); p.Diagonal && low < high {
		d.add(`<path class="diagonal" d="M%.1f %.1fL%.1f %.1f"/>`, x.at(low), y.at(low), x.at(high), y.at(high))
	}
	shifted := 0 // series with intervals, which would stand on each other
	for _, s := range p.Series {
		if hasIntervals(s.Points) {
			shifted++
		}
	}
	place := 0
	for _, s := range p.Series {
		shift := 0.0
		if hasIntervals(s.Points) {
			shift = (float64(place) - float64(shifted-1)/2) * min(5, 16/float64(shifted))
			place++
		}
		d.series(&s, &x, &y, shift)
	}
	d.add("</svg>")
	return template.HTML(d.String())
}

func hasIntervals(points []Point) bool {
	for _, p := range points {
		if p.finite() && p.interval() {
			return true
		}
	}
	return false
}

// series draws intervals, line and dots, all moved to the right by shift.
func (d *drawing) series(s *Series, x, y *axis, shift float64) {
	class := ""
	if s.Dashed {
		class += " dashed"
	}
	if s.Faint {
		class += " faint"
	}
	d.add(`<g class="s%d%s">`, s.Color%paletteLen, class)
	var line, bars strings.Builder
	pen := "M"
	for _, p := range s.Points {
		if !p.finite() {
			pen = "M"
			continue
		}
		px, py := x.at(p.X)+shift, y.at(p.Y)
		fmt.Fprintf(&line, "%s%.1f %.1f", pen, px, py)
		pen = "L"
		if p.interval() {
			fmt.Fprintf(&bars, "M%.1f %.1fV%.1f", px, y.at(p.Low), y.at(p.High))
		}
	}
	if bars.Len() > 0 {
		d.add(`<path class="interval" d="%s"/>`, bars.String())
	}
	if s.Line {
		d.add(`<path class="line" d="%s"/>`, line.String())
	}
	for _, p := range s.Points {
		if !s.Dots || !p.finite() {
			continue
		}
		r := p.Size
		if r == 0 {
			r = 3
		}
		d.add(`<circle cx="%.1f" cy="%.1f" r="%.1f">`, x.at(p.X)+shift, y.at(p.Y), r)
		if p.Text != "" {
			d.add(`<title>%s</title>`, html.EscapeString(p.Text))
		}
		d.add(`</circle>`)
	}
	d.add(`</g>`)
}
