package measure

// The report as text.

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"criticrm/record"
)

// NotOfficial is what must stand beside the figures of a benchmark's rows; "" beside those of others.
func (r *Report) NotOfficial() string {
	if r.Benchmark == "" {
		if len(r.Methods) == 0 || slices.ContainsFunc(r.Methods[0].Categories, func(c Category) bool { return rewardBench.Sizes[0][c.Name] == 0 }) {
			return ""
		}
		return "The categories are subsets of RewardBench, whose score is none of these figures: 'criticrm eval --benchmark " + rewardBench.Name + "' gives it."
	}
	return fmt.Sprintf("These are rows of the benchmark %s, and the figures are not its score, for which it has a rule: 'criticrm eval' of the scored rows gives it.", r.Benchmark)
}

// String is a table for people: per cent, intervals in brackets, then differences and the critiques' quality.
func (r *Report) String() string {
	var b strings.Builder
	if line := r.NotOfficial(); line != "" {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintf(&b, "%d records, %d pairs of %d prompts; %.3g %% intervals by bootstrap over prompts\n\n", r.Records, r.Pairs, r.Prompts, 100*r.Level)
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	if len(r.Methods) > 0 {
		fmt.Fprint(w, "method\toverall\tmacro\tties\tno score")
		for _, c := range r.Methods[0].Categories {
			fmt.Fprintf(w, "\t%s (%d)", c.Name, c.N)
		}
		fmt.Fprintln(w)
	}
	for _, m := range r.Methods {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d", m.Name, percent(m.Mean, m.Interval), percent(m.Macro, m.MacroRange), m.Ties, m.NoScore)
		for _, c := range m.Categories {
			fmt.Fprintf(w, "\t%.1f", 100*c.Mean)
		}
		fmt.Fprintln(w)
	}
	for _, d := range r.Differences {
		fmt.Fprintf(w, "%s\t%s\t%s\n", d.Name, percent(d.Mean, d.Interval), percent(d.Macro, d.MacroRange))
	}
	w.Flush()
	if c := r.Calibration; c != nil {
		fmt.Fprintf(&b, "\ncalibration of σ(reward difference): Brier score %.3f [%.3f, %.3f] (0.25: cannot tell), expected calibration error %.3f\n",
			c.Brier.Mean, c.Brier.Interval.Low, c.Brier.Interval.High, c.ECE)
	}
	if l := r.Length; l != nil && l.Rewards != nil {
		fmt.Fprintf(&b, "correlation of reward and length of the response: %.2f\n", *l.Rewards)
	}
	r.Quality.write(&b)
	if l := r.Labels; l != nil {
		fmt.Fprintf(&b, "rewards of labelled responses: AUC %.3f, %.1f %% on the right side of 0 (%d responses, %d of them right)\n", l.AUC, 100*l.Accuracy, l.N, l.Right)
	}
	for _, v := range []struct {
		name string
		v    *VerdictAccuracy
	}{{"verdict on labelled responses", r.Quality.Response}, {"meta-judge on labelled critiques", r.Quality.Critique}} {
		if v.v != nil {
			fmt.Fprintf(&b, "%s: %.1f %% right, F1 %.1f, %d of %d without a score\n", v.name, 100*v.v.Accuracy, 100*v.v.F1, v.v.NoScore, v.v.N)
		}
	}
	return b.String()
}

func percent(mean float64, i Interval) string {
	return fmt.Sprintf("%.1f [%.1f, %.1f]", 100*mean, 100*i.Low, 100*i.High)
}

// write says how many critiques there are, and how well they can be read.
func (q *Quality) write(b *strings.Builder) {
	if q.Critiques == 0 {
		return
	}
	fmt.Fprintf(b, "\ncritiques: %d, %.1f %% parsed, %.1f %% cut by the token limit", q.Critiques, 100*q.ParsedShare, 100*q.TruncatedShare)
	if len(q.Unparsed) > 0 {
		fmt.Fprintf(b, "; not parsed: %s", record.Counts(q.Unparsed))
	}
	if q.AgreementPairs > 0 {
		fmt.Fprintf(b, "\nagreement of one critique pair with the label: %.1f %% (%d pairs)", 100*q.Agreement, q.AgreementPairs)
	}
	b.WriteByte('\n')
}
