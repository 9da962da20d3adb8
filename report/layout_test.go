package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"testing"

	"criticrm/report/reporttest"
)

// Reports of all kinds fit a desk and a phone.
func TestLayout(t *testing.T) {
	dir := t.TempDir()
	full := writeRun(t, dir+"/run", runOptions{pairs: 120, categories: 9, rounds: 2, baselines: true, steps: 300})
	other := writeRun(t, dir+"/a-run-with-a-rather-long-name-that-has-to-go-somewhere", runOptions{pairs: 120, categories: 9, rounds: 1, steps: 7, seed: 5})
	t.Run("run", func(t *testing.T) { reporttest.Layout(t, make1(t, full).HTML) })
	t.Run("training", func(t *testing.T) { reporttest.Layout(t, make1(t, full+"/round-1/train").HTML) })
	t.Run("scored", func(t *testing.T) { reporttest.Layout(t, make1(t, full+"/round-2/eval.jsonl").HTML) })
	t.Run("compare", func(t *testing.T) {
		r, err := Compare([]string{full, other}, DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		reporttest.Layout(t, r.HTML)
	})
}

// Plots with awkward values: huge, tiny, negative, constant, single, many, with NaN.
func TestPlotLayout(t *testing.T) {
	var body strings.Builder
	add := func(p *Plot) {
		h, err := p.HTML()
		if err != nil {
			t.Fatal(err)
		}
		body.WriteString(string(h))
	}
	line := func(n int, f func(i float64) (x, y float64)) (list []Point) {
		for i := range n {
			x, y := f(float64(i))
			list = append(list, Point{X: x, Y: y, Low: y - 1, High: y + 1})
		}
		return list
	}
	for i, points := range [][]Point{
		line(2000, func(i float64) (float64, float64) { return i * 1e4, math.Sin(i/50) * 1e7 }),
		line(50, func(i float64) (float64, float64) { return i, 1e-7 * i }),
		line(30, func(i float64) (float64, float64) { return 12345 + i/1000, -3 }),
		line(1, func(i float64) (float64, float64) { return 7, 7 }),
		line(40, func(i float64) (float64, float64) { return i, math.Sqrt(i - 20) }), // NaN in the first half
		line(10, func(i float64) (float64, float64) { return -i, -1e9 * i }),
		line(10, func(i float64) (float64, float64) { return i, 1e16 + 2*i }), // steps of 0.5 are lost here
		line(10, func(i float64) (float64, float64) { return i + 0.25, 99.9999 + i*1e-6 }),
	} {
		add(&Plot{Title: fmt.Sprint("linear ", i), X: "what there is to the right", Y: "how much of it", Series: []Series{{Name: "one", Line: true, Dots: true, Points: points}}})
	}
	for i, points := range [][]Point{
		line(16, func(i float64) (float64, float64) { return i + 1, i }), // more values than labels fit
		line(5, func(i float64) (float64, float64) { return 100000 + i, i }),
		line(9, func(i float64) (float64, float64) { return math.Pow(10, i), i }),
		line(1, func(i float64) (float64, float64) { return 3, i }),
	} {
		add(&Plot{Title: fmt.Sprint("logarithmic ", i), X: "x", Y: "y", LogX: true, Series: []Series{{Name: "one", Line: true, Dots: true, Points: points}}})
	}
	page, err := Page("plots", template.HTML(`<div class="plots">`+body.String()+"</div>"))
	if err != nil {
		t.Fatal(err)
	}
	reporttest.Layout(t, page)
}

// The look itself sees what is wrong: the tests above would be green for any page otherwise.
func TestLayoutSeesFaults(t *testing.T) {
	body, wants := `<div style="width:3000px">wide</div>`, []string{"1200 px: the page is ", "400 px: the page is "}
	for i, c := range []struct{ legend, svg, want string }{
		{"", `<text x="50" y="50">a</text><text x="52" y="51">b</text>`, `"b" touches "a"`},
		{"", `<text x="410" y="50">cut</text>`, `"cut" leaves the picture`},
		{"position:relative;top:60px", `<text x="50" y="250">a</text>`, "legendDIV stands on the picture"},
		{"", `<text x="50" y="50">a</text><circle cx="53" cy="47" r="3"/>`, `a dot touches "a"`},
		{"", `<text x="50" y="50">a</text><circle cx="53" cy="271" r="9"/>`, "a dot leaves the picture"},
		{"", `<text x="50" y="50">a</text><path class="line" d="M0 47H300"/>`, `a curve runs through "a"`},
		{"", `<text x="50" y="50">a</text><path class="line" d="M0 200H900"/>`, "a curve leaves the picture"},
		{"", `<text x="50" y="50" style="font-size:6px">a</text>`, `"a" is smaller than 10 px`},
	} {
		title := fmt.Sprintf("case %d", i)
		body += `<figure class="plot"><figcaption>` + title + `</figcaption><div class="legend" style="` + c.legend + `"><span>key</span></div><svg viewBox="0 0 420 270">` + c.svg + `</svg></figure>`
		wants = append(wants, "400 px: "+title+": "+c.want)
	}
	page, err := Page("faults", template.HTML(`<div class="plots">`+body+"</div>"))
	if err != nil {
		t.Fatal(err)
	}
	got := reporttest.Faults(t, page)
	for _, want := range wants {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("%q is not seen", want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(got, "\n"))
	}
}
