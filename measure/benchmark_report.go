package measure

// A benchmark's report as text.

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
)

// String is a table for people: the official scores with intervals, then what stands behind them by part.
func (r *BenchmarkReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %d rows", r.Title, r.Data, r.Rows)
	if r.Whole {
		b.WriteString("\n")
	} else {
		b.WriteString(", not those of the published files\n")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "%s\n", note)
	}
	fmt.Fprintf(&b, "official rule: %s\n%.3g %% intervals by bootstrap over %d prompts\n\n", r.Rule, 100*r.Level, r.Prompts)
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	head := func(first string, each func(m *BenchmarkMethod) string) {
		fmt.Fprint(w, first)
		for i := range r.Methods {
			fmt.Fprintf(w, "\t%s", each(&r.Methods[i]))
		}
		fmt.Fprintln(w)
	}
	head("official", (*BenchmarkMethod).describe)
	for k, score := range r.Methods[0].Scores {
		head(score.Name, func(m *BenchmarkMethod) string { return m.Scores[k].String() })
	}
	if r.Methods[0].Ahead != nil {
		head("(ours: above that of the length)", func(m *BenchmarkMethod) string {
			if m.Ahead == nil {
				return ""
			}
			return m.Ahead.String()
		})
	}
	w.Flush()
	if len(r.Methods[0].More) > 0 {
		b.WriteString("\n")
		head("besides", (*BenchmarkMethod).describe)
		for k, score := range r.Methods[0].More {
			head(score.Name, func(m *BenchmarkMethod) string { return m.More[k].String() })
		}
		w.Flush()
	}
	b.WriteString("\n")
	head("part\trows\tcomparisons", func(m *BenchmarkMethod) string { return m.Name + "\tties\tno score" })
	for k, p := range r.Methods[0].Parts {
		head(fmt.Sprintf("%s\t%d\t%d", cmp.Or(p.Part, unnamed), p.Rows, p.Comparisons), func(m *BenchmarkMethod) string {
			p := m.Parts[k]
			return fmt.Sprintf("%s\t%d\t%d", (&Score{Value: p.Accuracy}).String(), p.Ties, p.NoScore)
		})
	}
	w.Flush()
	if r.Quality != nil {
		r.Quality.write(&b)
	}
	return b.String()
}

// String is the value in per cent, or as it is, with its interval.
func (s *Score) String() string {
	if s.Value == nil {
		return "–"
	}
	digits, scale := 2, 100.0
	if s.Plain {
		digits, scale = 4, 1
	}
	text := fmt.Sprintf("%.*f", digits, scale**s.Value)
	if s.Interval != nil {
		text += fmt.Sprintf(" [%.*f, %.*f]", digits, scale*s.Interval.Low, digits, scale*s.Interval.High)
	}
	return text
}
