package quality

// The report as text.

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"criticrm/record"
	"criticrm/revise"
)

// String is a figure × 100 with its interval.
func (f Figure) String() string {
	if f.Value == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f [%.1f, %.1f]", 100**f.Value, 100*f.Interval.Low, 100*f.Interval.High)
}

// String is tables for people, figures × 100.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d responses to %d prompts, %d of them wrong, %d critiques each; figures × 100, %.3g %% intervals by bootstrap over prompts\n", r.Items, r.Prompts, r.Wrong, r.Critiques, 100*r.Level)
	if len(r.LeftOut) > 0 {
		fmt.Fprintf(&b, "left out: %s\n", record.Counts(r.LeftOut))
	}
	fmt.Fprintln(&b, "\nverdicts; \"wrong\" is what is to be found, without a number it is the wrong verdict")
	methods := r.Methods
	if r.Critique != nil {
		methods = append(methods[:len(methods):len(methods)], *r.Critique)
	}
	table(&b, "method\tcategory\tn\twrong\tno score\tprecision\trecall\tF1\tMCC\tAUROC\taccuracy", func(w *tabwriter.Writer) {
		for _, m := range methods {
			for _, row := range m.shown(r.Critiques) {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%v\t%v\t%v\t%v\t%v\t%v\n", m.Name, row.Category, row.Items, row.Wrong, row.NoScore,
					row.Precision, row.Recall, row.F1, row.MCC, row.AUROC, row.Accuracy)
			}
		}
	})
	for _, m := range methods {
		if m.Name != alwaysWrong.name {
			fmt.Fprintf(&b, "threshold of %s: %.4g (%s)\n", m.Name, m.Threshold, m.ThresholdFrom)
		}
	}
	r.writeSteps(&b)
	r.writeRevisions(&b)
	if len(r.BestOfN) > 0 {
		fmt.Fprintf(&b, "\nbest of n: the picked response is right (%d prompts; exact over all sets of n)\n", r.BestOfN[0].Prompts)
		table(&b, "pick by\tn\taccuracy", func(w *tabwriter.Writer) {
			for _, x := range r.BestOfN {
				fmt.Fprintf(w, "%s\t%d\t%v\n", x.Method, x.N, x.Accuracy)
			}
		})
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	return b.String()
}

// shown are the rows of a method that the text has: those of categories for single critiques and the mean of all alone; the file of --json has the
// others.
func (m *Method) shown(most int) []Row {
	if m.Name == alwaysWrong.name || m.Samples > 1 && m.Samples < most {
		return m.Rows[:1]
	}
	return m.Rows
}

func table(b *strings.Builder, head string, rows func(*tabwriter.Writer)) {
	w := tabwriter.NewWriter(b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, head)
	rows(w)
	w.Flush()
}

func (r *Report) writeSteps(b *strings.Builder) {
	if len(r.Steps) > 0 {
		fmt.Fprintln(b, "\nfirst wrong step; F1 is the harmonic mean of exact (wrong responses) and none (right ones), as in ProcessBench")
		table(b, "by\tcategory\twrong\tright\tno verdict\texact\t± 1\tnone\tF1", func(w *tabwriter.Writer) {
			for _, s := range r.Steps {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%v\t%v\t%v\t%v\n", s.Name, s.Category, s.Wrong, s.Right, s.Unlocated, s.Exact, s.Within1, s.None, s.F1)
			}
		})
	}
	if len(r.Soundness) > 0 {
		fmt.Fprintln(b, "\nsoundness of single critiques: what right verdicts rest on")
		table(b, "category\tknown by\tcritiques\tright verdict\tsound\tright verdicts that are unsound", func(w *tabwriter.Writer) {
			for _, s := range r.Soundness {
				fmt.Fprintf(w, "%s\t%s\t%d\t%v\t%v\t%v\n", s.Category, s.By, s.Critiques, s.Verdict, s.Sound, s.Unsound)
			}
		})
	}
}

func (r *Report) writeRevisions(b *strings.Builder) {
	if len(r.Revisions) == 0 {
		return
	}
	fmt.Fprintln(b, "\nrevisions: share of right final answers")
	table(b, "revised after\tcategory\tn\twrong before\tno answer\tbefore\tafter\twrong → right\tright → wrong", func(w *tabwriter.Writer) {
		for _, v := range r.Revisions {
			if v.Category != "all" && (v.Condition != revise.Own || v.Samples > 1) {
				continue // the file of --json has them
			}
			name := v.Condition
			if v.Samples > 1 {
				name += fmt.Sprintf(", commonest of %d", v.Samples)
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%v\t%v\t%v\t%v\n", name, v.Category, v.Items, v.Wrong, v.NoAnswer, v.Before, v.After, v.WrongToRight, v.RightToWrong)
		}
		for _, a := range r.Against {
			fmt.Fprintf(w, "critique - %s\tall\t%d\t\t\t\t%v\t%v\t%v\n", a.Condition, a.Items, a.After, a.WrongToRight, a.RightToWrong)
		}
	})
}
