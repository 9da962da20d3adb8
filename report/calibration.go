package report

// What rewards mean: calibration, and how much of them is length.

import (
	"fmt"
	"math"
	"unicode/utf8"

	"criticrm/measure"
)

// calibrationPlot is the reliability diagram of the evaluations with rewards; the first one is with intervals.
func calibrationPlot(series []Series) *Plot {
	return &Plot{Title: "Reliability of P(chosen) = σ(reward difference)", X: "confidence, %", Y: "preferred as people did, %", Diagonal: true,
		XRange: &[2]float64{50, 100}, YRange: &[2]float64{0, 100}, Series: series,
		Note: "Confidence is in the response that the model prefers. On the dotted line it is right as often as it believes; below, it is too sure. " +
			fmt.Sprintf("Larger dots are more pairs; bins of less than %d are in the table alone.", fewPairs)}
}

// fewPairs is fewer than a bin's accuracy means anything.
const fewPairs = 5

// reliability is a calibration as a series.
func reliability(name string, color int, c *measure.Calibration, intervals bool) Series {
	s := Series{Name: name, Color: color, Line: true, Dots: true}
	for _, b := range c.Bins {
		if b.N < fewPairs {
			continue
		}
		p := Point{X: 100 * b.Confidence, Y: 100 * b.Accuracy, Size: 2 + 6*math.Sqrt(float64(b.N)/float64(c.Brier.N)),
			Text: fmt.Sprintf("%d pairs: %.1f %% sure, %.1f %% right", b.N, 100*b.Confidence, 100*b.Accuracy)}
		if intervals {
			p.Low, p.High = 100*b.Interval.Low, 100*b.Interval.High
		}
		s.Points = append(s.Points, p)
	}
	return s
}

func score(mean float64, i measure.Interval) Cell {
	return Cell{fmt.Sprintf("%.3f", mean), fmt.Sprintf("[%.3f, %.3f]", i.Low, i.High)}
}

// calibrationHead is that of scores of whole evaluations.
var calibrationHead = []string{"model", "Brier score", "log loss", "calibration error", "pairs"}

const calibrationNote = "A model that cannot tell has a Brier score of 0.250 and a log loss of 0.693. The expected calibration error is over bins of 5 points."

func calibrationCells(name string, c *measure.Calibration) Row {
	return Row{Cells: []Cell{{Text: name}, score(c.Brier.Mean, c.Brier.Interval), score(c.LogLoss.Mean, c.LogLoss.Interval),
		{Text: fmt.Sprintf("%.3f", c.ECE)}, {Text: fmt.Sprint(c.Brier.N)}}}
}

// calibrationSection is nil where no part has rewards.
func (r *run) calibrationSection() (*section, error) {
	main := r.main()
	scores := &Table{Head: calibrationHead, Note: calibrationNote}
	var series []Series
	for i, p := range r.parts {
		if p.eval == nil || p.eval.report.Calibration == nil {
			continue
		}
		c := p.eval.report.Calibration
		scores.Rows = append(scores.Rows, calibrationCells(p.title, c))
		series = append(series, reliability(p.title, i, c, p == main))
	}
	if len(series) == 0 {
		return nil, nil
	}
	s := &section{Title: "Calibration: what a reward means"}
	if err := show(&s.Parts, calibrationPlot(series), scores); err != nil {
		return nil, err
	}
	c := main.eval.report.Calibration
	if c == nil {
		return s, nil
	}
	s.HiddenTitle = "by confidence and by category"
	return s, show(&s.Hidden, binTable(main.title, c, main.eval.report.Level), categoryScores(main.title, c))
}

func binTable(name string, c *measure.Calibration, level float64) *Table {
	t := &Table{Caption: name + ", by confidence", Head: []string{"confidence, %", "pairs", "mean confidence", "right, %"}, Note: fmt.Sprintf("In brackets: Wilson's %.3g %% intervals.", 100*level)}
	for _, b := range c.Bins {
		t.Rows = append(t.Rows, Row{Cells: []Cell{{Text: fmt.Sprintf("%.0f–%.0f", 100*b.Low, 100*b.High)}, {Text: fmt.Sprint(b.N)},
			{Text: fmt.Sprintf("%.1f", 100*b.Confidence)}, percent(b.Accuracy, b.Interval)}})
	}
	return t
}

func categoryScores(name string, c *measure.Calibration) *Table {
	t := &Table{Caption: name + ", by category", Head: []string{"category", "Brier score", "calibration error", "pairs"}}
	if len(c.Brier.Categories) < 2 {
		return t
	}
	for i, k := range c.Brier.Categories {
		if i == maxShown {
			t.Note = fmt.Sprintf("The first %d of %d.", maxShown, len(c.Brier.Categories))
			break
		}
		t.Rows = append(t.Rows, Row{Cells: []Cell{{Text: shorten(k.Name, maxName)}, score(k.Mean, k.Interval), {Text: fmt.Sprintf("%.3f", c.CategoryECE[k.Name])}, {Text: fmt.Sprint(k.N)}}})
	}
	return t
}

// maxDots is how many pairs the scatter shows.
const maxDots = 600

// lengthSection is nil where the model has no rewards.
func (r *run) lengthSection() (*section, error) {
	main := r.main()
	l := main.eval.report.Length
	if l == nil {
		return nil, nil
	}
	length, _ := main.eval.report.Method("length")
	c := percent(length.Mean, length.Interval)
	s := &section{Title: "Reward and length", Words: []string{
		fmt.Sprintf("Correlation of reward and length over %d responses: %s; of the differences inside a pair: %s. Length alone would be right in %s %% %s of the pairs.",
			l.Responses, correlation(l.Rewards), correlation(l.Difference), c.Text, c.Small)}}
	p := &Plot{Title: "Reward against length", X: "characters of the response", Y: "reward"}
	shown := thin(main.eval.pairs, maxDots)
	series := []Series{{Name: "chosen", Color: 0, Dots: true, Faint: true}, {Name: "rejected", Color: 1, Dots: true, Faint: true}}
	low, high := math.MaxInt, 0
	for _, pair := range shown {
		for i, text := range []string{pair.Chosen, pair.Rejected} {
			n := utf8.RuneCountInString(text)
			low, high = min(low, n), max(high, n)
			reward := *[]*float64{pair.ChosenReward, pair.RejectedReward}[i]
			series[i].Points = append(series[i].Points, Point{X: float64(n), Y: reward})
		}
	}
	p.Series, p.LogX = series, low > 0 && high > 20*low
	if n := len(main.eval.pairs); n > len(shown) {
		p.Note = fmt.Sprintf("%d of %d pairs are drawn.", len(shown), n)
	}
	return s, show(&s.Parts, p)
}

func correlation(c *float64) string {
	if c == nil {
		return "none (one of the two is constant)"
	}
	return fmt.Sprintf("%+.2f", *c)
}
