package experiment

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"criticrm/measure"

	"gonum.org/v1/gonum/stat"
)

// Categories in the order of the table.
var categories = []string{"Chat", "Chat Hard", "Safety", "Reasoning"}

// Interval is an accuracy in per cent with its 95 % interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

func (i Interval) String() string { return fmt.Sprintf("%.1f [%.1f, %.1f]", i.Value, i.Low, i.High) }

// Row is one line of the table: a method at a number of critiques, on a share of the training pairs.
type Row struct {
	Method     string              `json:"method"`
	M          int                 `json:"m,omitempty"` // critiques averaged for a reward
	Pairs      int                 `json:"pairs"`       // training pairs used; 0 for a judge
	Overall    Interval            `json:"overall"`     // over the pairs of the evaluation split
	Categories map[string]Interval `json:"categories"`  //
	Macro      float64             `json:"macro"`       // mean of the categories
	Seeds      []float64           `json:"seeds"`       // overall, per seed
	SD         float64             `json:"sd"`          // over the seeds; 0 for one seed
	correct    [][]float64         // seed, pair: 1 right, 0.5 tie, 0 wrong
}

// Name is the row's label.
func (r *Row) Name() string {
	if r.M > 0 {
		return fmt.Sprintf("%s m=%d", r.Method, r.M)
	}
	return r.Method
}

// Point is one point of a curve.
type Point struct {
	X float64  `json:"x"`
	Y Interval `json:"y"`
}

// Curve is a named line of a plot.
type Curve struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
}

// Step is one optimizer step of the Critic-RM run, for the loss plot.
type Step struct {
	Step     int     `json:"step"`
	Critique float64 `json:"critique_loss"`
	Reward   float64 `json:"reward_loss"`
	Lambda   float64 `json:"lambda"`
	Accuracy float64 `json:"accuracy"`
}

// Example is a reply with a critique of the base model and one of the trained model.
type Example struct {
	Prompt   string  `json:"prompt"`
	Reply    string  `json:"reply"`
	Right    bool    `json:"right"`
	Base     string  `json:"base_critique"`
	Tuned    string  `json:"critic_rm_critique"`
	Reward   float64 `json:"reward"`
	BaseOff  bool    `json:"base_wrong"`
	TunedOff bool    `json:"critic_rm_wrong"`
}

// Difference is a paired comparison of two rows, in points.
type Difference struct {
	A    string   `json:"a"`
	B    string   `json:"b"`
	Diff Interval `json:"difference"`
}

// Results are all figures of a demo run.
type Results struct {
	Version     string             `json:"version"`
	Go          string             `json:"go"`
	CPU         string             `json:"cpu"`
	Device      string             `json:"device"`
	Threads     int                `json:"threads"`
	Full        bool               `json:"full"`
	Seeds       []uint64           `json:"seeds"`
	TrainPairs  int                `json:"train_pairs"`
	EvalPairs   int                `json:"eval_pairs"`
	Seconds     map[string]float64 `json:"seconds"` // per stage, summed over the seeds
	Stages      []string           `json:"stages"`  // order of Seconds
	Rows        []*Row             `json:"table"`
	Differences []Difference       `json:"differences"`
	Quality     []QualityRow       `json:"critique_quality"`
	ByM         []Curve            `json:"accuracy_by_m"`
	ByData      []Curve            `json:"accuracy_by_pairs"`
	Training    []Step             `json:"training"`
	Examples    []Example          `json:"examples"`
	Notes       []string           `json:"notes"`
}

// QualityRow measures the critiques themselves against the truth, which this task knows.
type QualityRow struct {
	Model   string  `json:"model"`
	Parsed  float64 `json:"parsed"`  // share with a score
	Verdict float64 `json:"verdict"` // share whose score takes the right side
	Count   float64 `json:"verdict_count"`
	Track   float64 `json:"verdict_track"`
}

// fill computes the row's figures from its correctness. Intervals are the bootstrap over evaluation prompts of the mean over
// seeds; the seeds' spread is given beside it.
func (r *Row) fill(boot *measure.Bootstrap) {
	r.Seeds = nil
	for _, c := range r.correct {
		r.Seeds = append(r.Seeds, percent(c))
	}
	if len(r.Seeds) > 1 {
		r.SD = stat.StdDev(r.Seeds, nil)
	}
	e := boot.Mean(meanOver(r.correct))
	r.Overall, r.Macro = interval(e.Mean, e.Interval), 100*e.Macro
	r.Categories = map[string]Interval{}
	for _, c := range e.Categories {
		r.Categories[c.Name] = interval(c.Mean, c.Interval)
	}
}

func interval(mean float64, i measure.Interval) Interval {
	return Interval{100 * mean, 100 * i.Low, 100 * i.High}
}

// meanOver is the mean over the seeds, pair by pair.
func meanOver(correct [][]float64) []float64 {
	mean := make([]float64, len(correct[0]))
	for _, c := range correct {
		for i, v := range c {
			mean[i] += v / float64(len(correct))
		}
	}
	return mean
}

func percent(x []float64) float64 { return 100 * stat.Mean(x, nil) }

// compare is the paired difference a - b.
func compare(boot *measure.Bootstrap, a, b *Row) Difference {
	e := boot.Difference(meanOver(a.correct), meanOver(b.correct))
	return Difference{a.Name(), b.Name(), interval(e.Mean, e.Interval)}
}

// WriteTable prints the table, one method a line.
func (r *Results) WriteTable(w io.Writer) {
	seeds := ""
	if len(r.Seeds) > 1 {
		seeds = fmt.Sprintf("  %5s", "sd")
	}
	head := fmt.Sprintf("%-34s %5s  %-19s%s", "method", "pairs", "overall [95 %]", seeds)
	for _, c := range categories {
		head += fmt.Sprintf("  %9s", c)
	}
	head += fmt.Sprintf("  %6s", "macro")
	fmt.Fprintf(w, "%s\n%s\n", head, strings.Repeat("─", len([]rune(head))))
	for _, row := range r.Rows {
		pairs := "–"
		if row.Pairs > 0 {
			pairs = fmt.Sprint(row.Pairs)
		}
		fmt.Fprintf(w, "%-34s %5s  %-19s", row.Name(), pairs, row.Overall)
		if len(r.Seeds) > 1 {
			fmt.Fprintf(w, "  %5.1f", row.SD)
		}
		for _, c := range categories {
			fmt.Fprintf(w, "  %9.1f", row.Categories[c].Value)
		}
		fmt.Fprintf(w, "  %6.1f\n", row.Macro)
	}
}

// JSON is the content of results.json.
func (r *Results) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("demo: results: %w", err)
	}
	return append(b, '\n'), nil
}

// WriteExamples prints the critiques to read.
func (r *Results) WriteExamples(w io.Writer) {
	for _, e := range r.Examples {
		fmt.Fprintf(w, "\n%s\n  reply      %s  (%s)\n  base       %s%s\n  Critic-RM  %s  → reward %.2f\n", e.Prompt, e.Reply,
			map[bool]string{true: "right", false: "wrong"}[e.Right], e.Base, map[bool]string{true: "   ✗", false: ""}[e.BaseOff], e.Tuned, e.Reward)
	}
}
