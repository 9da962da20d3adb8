package watch

// The screen.

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/guptarohit/asciigraph"
	"github.com/rivo/uniseg"

	"criticrm/internal/progress"
)

// Where is one line: which training, and how far it is.
func (t *Training) Where() string {
	parts := []string{shown(t.Dir)}
	switch {
	case t.step == 0:
		parts = append(parts, "no update yet")
	case t.total > 0:
		parts = append(parts, fmt.Sprintf("update %d of %d (%d %%)", t.step, t.total, 100*t.step/t.total))
	default:
		parts = append(parts, fmt.Sprintf("update %d", t.step))
	}
	if t.step > 0 {
		parts = append(parts, fmt.Sprintf("epoch %.2f", t.last["epoch"]), fmt.Sprintf("%.0f tokens/s", t.last["tokens_per_second"]))
	}
	if each := t.perUpdate(); each > 0 && t.total > t.step {
		parts = append(parts, "left "+progress.Round(each*time.Duration(t.total-t.step)))
	}
	return strings.Join(parts, "   ")
}

// figures are the lines of numbers below it.
func (t *Training) figures() (list []string) {
	add := func(title string, parts ...string) {
		if text := strings.Join(nonEmpty(parts), "   "); text != "" {
			list = append(list, fmt.Sprintf("%-10s %s", title, text))
		}
	}
	figure := func(name, title string) string {
		if v, ok := t.last[name]; ok {
			return strings.TrimSpace(title + " " + short(v))
		}
		return ""
	}
	add("loss", figure("loss", ""), figure("critique_loss", "critique"), figure("reward_loss", "reward"), figure("lambda", "λ"), figure("learning_rate", "learning rate"), figure("grad_norm", "gradient"))
	rewards := ""
	if _, ok := t.last["mean_reward"]; ok {
		rewards = fmt.Sprintf("rewards %s to %s, mean %s ± %s", short(t.last["min_reward"]), short(t.last["max_reward"]), short(t.last["mean_reward"]), short(t.last["std_reward"]))
	}
	add("batch", figure("accuracy", "accuracy"), figure("margin", "margin"), rewards, figure("critique_perplexity", "perplexity"), figure("ties", "ties"))
	for _, name := range t.names {
		key := heldOutKey(name)
		var parts []string
		for _, x := range []struct {
			figure, title string
			most          int // which extreme is the best
		}{{"accuracy", "accuracy", 1}, {"loss", "loss", 0}} {
			if c := t.curves[key+x.figure]; c != nil {
				parts = append(parts, fmt.Sprintf("%s %s (best %s at %d)", x.title, short(c.last), short(c.best[x.most]), c.bestAt[x.most]))
			}
		}
		add(cmp.Or(shown(name), "held out"), parts...)
	}
	return list
}

// heldOutKey begins the names of a held-out file's figures.
func heldOutKey(name string) string {
	if name == "" {
		return "eval_"
	}
	return "eval_" + name + "_"
}

func nonEmpty(list []string) (out []string) {
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// short is a number in four digits.
func short(v float64) string { return fmt.Sprintf("%.4g", v) }

// shown is a text of a file without what moves a terminal's cursor.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// chart is a curve that is drawn, under its title.
type chart struct {
	key, title string
	share      bool // is shown from 0 to 1
}

// charts are the curves in the order of their importance.
func (t *Training) charts() (list []chart) {
	add := func(key, title string, share bool) {
		if c := t.curves[key]; c != nil && len(c.points) > 1 {
			list = append(list, chart{key, title, share})
		}
	}
	add("loss", "loss", false)
	for _, name := range t.names {
		add(heldOutKey(name)+"accuracy", "accuracy, "+cmp.Or(shown(name), "held out"), false)
	}
	add("accuracy", "accuracy of the batch", false)
	if c := t.curves["lambda"]; c != nil && c.best[0] != c.best[1] {
		add("lambda", "λ", true)
	}
	if t.curves["critique_loss"] != nil && t.curves["reward_loss"] != nil { // else the only one is the loss
		add("reward_loss", "reward loss", false)
		add("critique_loss", "critique loss", false)
	}
	for _, name := range t.names {
		add(heldOutKey(name)+"loss", "loss, "+cmp.Or(shown(name), "held out"), false)
	}
	add("learning_rate", "learning rate", false)
	return list
}

// Rows and columns of a curve, with its title and axis, and the narrowest that says anything.
const (
	chartRows    = 8
	chartColumns = 40
)

// Screen is what is shown, in at most so many columns and rows; how says how the training ended, if it did.
func (t *Training) Screen(columns, rows int, how string) string {
	lines := append([]string{t.Where()}, t.figures()...)
	if how != "" {
		lines = append(lines, how)
	}
	if t.damaged > 0 {
		lines = append(lines, fmt.Sprintf("%d lines of metrics.jsonl are no JSON and are left out", t.damaged))
	}
	beside := max(1, columns/(chartColumns+2))
	width := columns/beside - 2
	list := t.charts()
	for len(list) > 0 && width >= chartColumns/2 && len(lines)+1+chartRows <= rows {
		lines = append(lines, "")
		var drawn [][]string
		for _, c := range list[:min(beside, len(list))] {
			drawn = append(drawn, t.draw(c, width))
		}
		list = list[len(drawn):]
		for row := range chartRows {
			text := ""
			for _, d := range drawn {
				if row < len(d) {
					text += pad(d[row], width+2)
				} else {
					text += strings.Repeat(" ", width+2)
				}
			}
			lines = append(lines, text)
		}
	}
	for i, text := range lines {
		lines[i] = strings.TrimRight(cut(text, columns), " ")
	}
	return strings.Join(lines[:min(len(lines), rows)], "\n") + "\n"
}

// draw makes a curve as lines of text.
func (t *Training) draw(c chart, width int) []string {
	points := t.curves[c.key].points
	const axis = 9 // of the numbers, and the line
	o := []asciigraph.Option{asciigraph.Height(chartRows - 2), asciigraph.Width(max(width-axis, 2)), asciigraph.Precision(0),
		asciigraph.YAxisValueFormatter(func(v float64) string { return fmt.Sprintf("%7s", fmt.Sprintf("%.3g", v)) })}
	if c.share {
		o = append(o, asciigraph.LowerBound(0), asciigraph.UpperBound(1))
	}
	title := fmt.Sprintf("%s %s", c.title, short(t.curves[c.key].last))
	return append([]string{title}, strings.Split(asciigraph.Plot(points, o...), "\n")...)
}

// cut and pad make a text so many columns wide.
func cut(text string, columns int) string {
	if uniseg.StringWidth(text) <= columns {
		return text
	}
	var b strings.Builder
	n := 0
	for g := uniseg.NewGraphemes(text); g.Next(); {
		if n += g.Width(); n > columns-1 {
			break
		}
		b.WriteString(g.Str())
	}
	return b.String() + "…"
}

func pad(text string, columns int) string {
	text = cut(text, columns)
	return text + strings.Repeat(" ", max(columns-uniseg.StringWidth(text), 0))
}
