package demo

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

//go:embed report.html
var reportHTML string

// HTML is the report: one page with the table, the plots as inline SVG and critiques to read. It needs no network.
func (r *Results) HTML() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"pct": func(x float64) string { return fmt.Sprintf("%.1f", x) },
	}).Parse(reportHTML)
	if err != nil {
		return nil, fmt.Errorf("demo: report: %w", err)
	}
	page := struct {
		*Results
		Categories             []string
		PlotM, PlotLoss, PlotD template.HTML
	}{Results: r, Categories: categories}
	for _, p := range []struct {
		to   *template.HTML
		make func() (template.HTML, error)
	}{
		{&page.PlotM, func() (template.HTML, error) {
			return curvePlot("Accuracy against critiques averaged", "critiques m", r.ByM)
		}},
		{&page.PlotD, func() (template.HTML, error) {
			return curvePlot("Accuracy against training pairs", "preference pairs", r.ByData)
		}},
		{&page.PlotLoss, r.lossPlot},
	} {
		if *p.to, err = p.make(); err != nil {
			return nil, fmt.Errorf("demo: report: %w", err)
		}
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page); err != nil {
		return nil, fmt.Errorf("demo: report: %w", err)
	}
	return b.Bytes(), nil
}

// colors of the lines, the same in every plot.
var colors = map[string]color.Color{
	"Critic-RM": color.RGBA{0x1f, 0x4e, 0x9c, 255}, "CLoud-style": color.RGBA{0xc0, 0x4b, 0x1c, 255},
	"LLM judge (base)": color.RGBA{0x2e, 0x7d, 0x4f, 255}, "scalar RM": color.RGBA{0x7a, 0x3f, 0x9d, 255},
	"critique loss": color.RGBA{0x2e, 0x7d, 0x4f, 255}, "reward loss": color.RGBA{0xc0, 0x4b, 0x1c, 255}, "λ": color.RGBA{0x88, 0x88, 0x88, 255},
}

// curvePlot draws curves with their intervals over a logarithmic x axis.
func curvePlot(title, x string, curves []Curve) (template.HTML, error) {
	p := newPlot(title, x, "preference accuracy, %")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, ticksOf(curves)
	p.Legend.Top, p.Legend.Left = false, false
	for _, c := range curves {
		if len(c.Points) == 0 {
			continue
		}
		xy := make(plotter.XYs, len(c.Points))
		errs := make(plotter.YErrors, len(c.Points))
		for j, pt := range c.Points {
			xy[j].X, xy[j].Y = pt.X, pt.Y.Value
			errs[j].Low, errs[j].High = pt.Y.Value-pt.Y.Low, pt.Y.High-pt.Y.Value
		}
		if err := addLine(p, c.Name, xy, true); err != nil {
			return "", err
		}
		bars, err := plotter.NewYErrorBars(struct {
			plotter.XYs
			plotter.YErrors
		}{xy, errs})
		if err != nil {
			return "", err
		}
		bars.Color = colors[c.Name]
		p.Add(bars)
	}
	return svg(p)
}

// lossPlot draws the losses and λ of the Critic-RM run.
func (r *Results) lossPlot() (template.HTML, error) {
	p := newPlot("Losses and λ of the Critic-RM run", "step", "loss; λ")
	p.Legend.Top = true
	for _, s := range []struct {
		name string
		of   func(Step) float64
	}{
		{"critique loss", func(s Step) float64 { return s.Critique }},
		{"reward loss", func(s Step) float64 { return s.Reward }},
		{"λ", func(s Step) float64 { return s.Lambda }},
	} {
		xy := make(plotter.XYs, len(r.Training))
		for j, t := range r.Training {
			xy[j].X, xy[j].Y = float64(t.Step), s.of(t)
		}
		if len(xy) == 0 {
			continue
		}
		if err := addLine(p, s.name, xy, false); err != nil {
			return "", err
		}
	}
	return svg(p)
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(6)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	return p
}

func addLine(p *plot.Plot, name string, xy plotter.XYs, dots bool) error {
	line, points, err := plotter.NewLinePoints(xy)
	if err != nil {
		return err
	}
	line.Color, line.Width = colors[name], vg.Points(1.6)
	p.Add(line)
	if dots {
		points.Color, points.Shape, points.Radius = colors[name], draw.CircleGlyph{}, vg.Points(2.5)
		p.Add(points)
	}
	p.Legend.Add(name, line)
	return nil
}

// ticksOf marks the values that occur.
func ticksOf(curves []Curve) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	seen := map[float64]bool{}
	for _, c := range curves {
		for _, p := range c.Points {
			if !seen[p.X] {
				seen[p.X] = true
				ticks = append(ticks, plot.Tick{Value: p.X, Label: fmt.Sprint(p.X)})
			}
		}
	}
	return ticks
}

func svg(p *plot.Plot) (template.HTML, error) {
	c := vgsvg.New(15*vg.Centimeter, 9*vg.Centimeter)
	p.Draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	s := b.Bytes()
	if i := bytes.Index(s, []byte("<svg")); i > 0 { // an XML declaration has no place inside a page
		s = s[i:]
	}
	return template.HTML(s), nil
}
