package report

// Plots: axes, lines, dots and intervals as inline SVG; title, legend and notes are HTML around it, where nothing can cover a curve.

import (
	"cmp"
	"html/template"
	"math"
	"slices"
	"strconv"
)

// Plot is a picture of series over one pair of axes.
type Plot struct {
	Title    string
	X, Y     string // what the axes show
	Series   []Series
	LogX     bool        // equal distances are equal ratios; all X are positive
	XRange   *[2]float64 // nil: as the points need it
	YRange   *[2]float64 // likewise
	Diagonal bool        // a line where Y is X
	Note     string      // under the plot
}

// Series is what a legend entry stands for.
type Series struct {
	Name   string
	Color  int  // of the palette of style.css, modulo its size
	Line   bool // points are joined; one that is NaN parts the line
	Dots   bool // points are marked
	Dashed bool
	Faint  bool // many dots, which may cover each other
	Points []Point
}

// Point is one value, with an interval if Low < High. Size is the dot's radius; 0: the usual one.
type Point struct {
	X, Y, Low, High float64
	Size            float64
	Text            string // what a pointer on the dot is told
}

// The picture's units: at a width of 420 px they are pixels, and the text is 12 px.
const (
	plotWidth  = 420.0
	plotHeight = 270.0
	textSize   = 12.0
	charWidth  = 0.62 * textSize // upper bound of a digit's width in common fonts
	plotTop    = 28.0            // the Y title stands above
	plotBottom = 48.0            // tick labels and the X title stand below
	inset      = 9.0             // of the first and the last point from the frame
	paletteLen = 8
)

// axis maps values to places.
type axis struct {
	low, high float64 // values
	from, to  float64 // places
	log       bool
	ticks     []tick
}

type tick struct {
	value float64
	label string
}

func (a *axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// Empty reports whether there is nothing to draw.
func (p *Plot) Empty() bool {
	for _, s := range p.Series {
		if slices.ContainsFunc(s.Points, Point.finite) {
			return false
		}
	}
	return true
}

// finite says whether a point has a place: what is not a number has none, nor what is beyond all that a float32 holds.
func (p Point) finite() bool { return math.Abs(p.X) < 1e150 && math.Abs(p.Y) < 1e150 }

func (p Point) interval() bool { return p.Low < p.High }

// axes decides on ranges, ticks and margins.
func (p *Plot) axes() (x, y axis) {
	xs, ys := []float64{}, []float64{}
	for _, s := range p.Series {
		for _, q := range s.Points {
			if !q.finite() {
				continue
			}
			xs, ys = append(xs, q.X), append(ys, q.Y)
			if q.interval() {
				ys = append(ys, q.Low, q.High)
			}
		}
	}
	y = linear(ys, p.YRange, 5)
	widest := 0.0
	for _, t := range y.ticks {
		widest = max(widest, width(t.label))
	}
	y.from, y.to = plotHeight-plotBottom, plotTop
	left, right := widest+8, plotWidth-12.0
	if p.LogX {
		x = logarithmic(xs)
	} else {
		x = linear(xs, p.XRange, 6)
		if p.XRange == nil {
			x.tighten(xs)
		}
	}
	if n := len(x.ticks); n > 0 {
		right = min(right, plotWidth-1-width(x.ticks[n-1].label)/2)
		left = max(left, 1+width(x.ticks[0].label)/2)
	}
	x.from, x.to = left+inset, right-inset
	x.ticks = x.apart()
	return x, y
}

// linear spans the values with round ticks, about n of them.
func linear(values []float64, fixed *[2]float64, n int) (a axis) {
	low, high := slices.Min(values), slices.Max(values)
	if fixed != nil {
		low, high = fixed[0], fixed[1]
	}
	if high-low <= 1e-9*max(math.Abs(low), math.Abs(high), 1e-150) { // one value, as far as labels can tell
		pad := max(math.Abs(low)*0.1, 0.5)
		low, high = low-pad, high+pad
	}
	step := niceStep((high - low) / float64(n))
	if fixed == nil {
		low, high = math.Floor(low/step+1e-9)*step, math.Ceil(high/step-1e-9)*step
	}
	a.low, a.high = low, high
	decimals := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
	if r := step * math.Pow(10, float64(decimals)); math.Abs(r-math.Round(r)) > 1e-9 { // 0.25 has one more digit than 0.2
		decimals++
	}
	first := math.Ceil(low/step - 1e-9)
	for k := 0; k <= 4*n; k++ {
		v := (first + float64(k)) * step
		if v > high+step*1e-9 {
			break
		}
		a.ticks = append(a.ticks, tick{v, number(v, decimals)})
	}
	return a
}

// tighten takes the space without values off both ends.
func (a *axis) tighten(values []float64) {
	low, high := slices.Min(values), slices.Max(values)
	if a.low == 0 && low < 0.1*high { // updates begin at 1, and the axis at 0
		low = 0
	}
	inside := slices.DeleteFunc(slices.Clone(a.ticks), func(t tick) bool { return t.value < low || t.value > high })
	if low < high && len(inside) > 0 {
		a.low, a.high, a.ticks = low, high, inside
	}
}

// number writes a tick; a minus zero is zero, and large ones are short.
func number(v float64, decimals int) string {
	if math.Abs(v) < 1e-12 {
		v = 0
	}
	if math.Abs(v) >= 1e5 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// niceStep is the next of 1, 2, 2.5 and 5 times a power of ten.
func niceStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*power >= x*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// logarithmic marks the values that occur if they are few, else 1, 2 and 5 times powers of ten.
func logarithmic(values []float64) (a axis) {
	a.log = true
	distinct := slices.Clone(values)
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)
	a.low, a.high = distinct[0], distinct[len(distinct)-1]
	if len(distinct) > 8 {
		distinct = nil
		for power := math.Pow(10, math.Floor(math.Log10(a.low))); power <= a.high; power *= 10 {
			for _, m := range []float64{1, 2, 5} {
				if v := m * power; v >= a.low && v <= a.high {
					distinct = append(distinct, v)
				}
			}
		}
	}
	if a.low == a.high {
		a.low, a.high = a.low/2, a.high*2
	}
	for _, v := range distinct {
		a.ticks = append(a.ticks, tick{v, strconv.FormatFloat(v, 'g', 6, 64)})
	}
	return a
}

// apart leaves out ticks whose labels would touch the one before; the last one stays.
func (a *axis) apart() []tick {
	touch := func(l, r tick) bool { return a.at(r.value)-a.at(l.value) < (width(l.label)+width(r.label))/2+charWidth }
	var kept []tick
	for _, t := range a.ticks {
		if len(kept) == 0 || !touch(kept[len(kept)-1], t) {
			kept = append(kept, t)
		}
	}
	if n := len(a.ticks); n > 0 && kept[len(kept)-1] != a.ticks[n-1] {
		last := a.ticks[n-1]
		for len(kept) > 1 && touch(kept[len(kept)-1], last) {
			kept = kept[:len(kept)-1]
		}
		if !touch(kept[len(kept)-1], last) {
			kept = append(kept, last)
		}
	}
	return kept
}

func width(label string) float64 { return charWidth * float64(len([]rune(label))) }

// HTML is the plot as a figure, empty if there is nothing to draw.
func (p *Plot) HTML() (template.HTML, error) {
	if p.Empty() {
		return "", nil
	}
	return execute("plot", struct {
		*Plot
		SVG template.HTML
	}{p, p.svg()})
}

// thin takes at most n of the values, evenly.
func thin[T any](list []T, n int) []T {
	if len(list) <= n {
		return list
	}
	out := make([]T, n)
	for i := range out {
		out[i] = list[i*len(list)/n]
	}
	return out
}

// averaged joins neighbouring points to at most n means, and gives how many of the points are in one.
func averaged(points []Point, n int) ([]Point, int) {
	each := (len(points) + n - 1) / n
	if each <= 1 {
		return points, 1
	}
	var out []Point
	for part := range slices.Chunk(points, each) {
		var mean Point
		k := 0.0
		for _, q := range part {
			if q.finite() {
				mean.X, mean.Y, k = mean.X+q.X, mean.Y+q.Y, k+1
			}
		}
		if k > 0 {
			out = append(out, Point{X: mean.X / k, Y: mean.Y / k})
		}
	}
	slices.SortStableFunc(out, func(a, b Point) int { return cmp.Compare(a.X, b.X) })
	return out, each
}
