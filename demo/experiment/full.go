package experiment

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/demo"
	"criticrm/measure"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/trainer"
)

// full adds what a single short run leaves out: less and more data, other refinements of the main run's critiques, the scalar model's sweep,
// and a second round of critiques written by the trained model.
func (r *runner) full(ctx context.Context, sampled string, first bool) error {
	if first {
		if err := r.sweeps(ctx); err != nil {
			return err
		}
	}
	for _, n := range []int{r.Pairs / 10, r.Pairs / 4, r.Pairs / 2, 10 * r.Pairs} {
		start := time.Now()
		correct, err := r.scalar(ctx, n, r.held, nil)
		if err != nil {
			return err
		}
		r.spent("scalar RM", time.Since(start).Seconds())
		r.add("scalar RM", 0, n, correct)
		r.printf("scalar RM, %d pairs: accuracy %.1f", n, percent(correct))
	}
	for _, n := range []int{r.Pairs / 4, r.Pairs / 2} {
		if err := r.variant(ctx, fmt.Sprint("Critic-RM, ", 100*n/r.Pairs, shareOfData), plan{pairs: n}); err != nil {
			return err
		}
	}
	if err := r.refinements(ctx, sampled); err != nil {
		return err
	}
	return r.secondRound(ctx)
}

// refinements are runs that go on from the critiques of the main one.
func (r *runner) refinements(ctx context.Context, sampled string) error {
	for _, v := range []struct{ name, rule, mode string }{
		{"Critic-RM, filter only (random K)", critic.FilterNone, critic.RefineRandom},
		{"Critic-RM, rank by meta-judge", critic.FilterMeanEach, critic.RefineRank},
		{"Critic-RM, summarize", critic.FilterMeanEach, critic.RefineSummarize},
	} {
		p := plan{pairs: r.Pairs, from: sampled, change: func(c *pipeline.Config) { c.Filter.Rule, c.Refine.Mode = v.rule, v.mode }}
		if err := r.variant(ctx, v.name, p); err != nil {
			return err
		}
	}
	return nil
}

// secondRound lets the trained model write the critiques and trains a fresh copy of the base model on them. The pipeline chooses the better
// round by a hundredth of the prompts; the second is shown whatever it chooses.
func (r *runner) secondRound(ctx context.Context) error {
	const name = "Critic-RM, second round"
	p := plan{pairs: r.Pairs, change: func(c *pipeline.Config) { c.Rounds, c.ValidShare = 2, 0.01 }}
	d, err := r.measure(ctx, name, p, "round-2")
	if err != nil {
		return err
	}
	for _, m := range []int{1, 8} {
		r.add(name, m, r.Pairs, d.reward(m))
	}
	return nil
}

// sweeps shows on the validation split, never on the evaluation pairs, how the settings of the recipe were chosen.
func (r *runner) sweeps(ctx context.Context) error {
	start := time.Now()
	for _, t := range []struct {
		lr     float64
		epochs float64
	}{{3e-4, 8}, {3e-4, 20}, {3e-4, 40}, {1e-3, 3}, {1e-3, 8}, {1e-3, 20}, {1e-3, 40}, {2e-3, 8}, {2e-3, 20}} {
		correct, err := r.scalar(ctx, r.Pairs, r.valid, func(c *trainer.Config) { c.LearningRate, c.Epochs = t.lr, t.epochs })
		if err != nil {
			return err
		}
		r.note("validation split, scalar RM, learning rate %g, %g epochs: %.1f", t.lr, t.epochs, percent(correct))
	}
	r.spent("sweeps on the validation split", time.Since(start).Seconds())
	for _, n := range []int{r.Pairs, r.Pairs / 10} {
		for _, position := range []string{"end", "content"} {
			if err := r.sweepPosition(ctx, n, position); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepPosition trains on the first n pairs with the reward read at the critique's end token or at the last word before it.
func (r *runner) sweepPosition(ctx context.Context, n int, position string) error {
	where := map[string]string{"content": "last word", "end": "end token"}[position]
	p := plan{pairs: n, eval: r.valid, change: func(c *pipeline.Config) { c.HeadPosition = position }}
	d, err := r.measure(ctx, "reward at the critique's "+where, p, "round-1")
	if err != nil {
		return err
	}
	r.note("validation split, Critic-RM on %d pairs, reward read at the critique's %s: %.1f at m = 1, %.1f at m = 8", n, where, percent(d.reward(1)), percent(d.reward(8)))
	return nil
}

func (r *runner) note(format string, a ...any) {
	s := fmt.Sprintf(format, a...)
	r.results.Notes = append(r.results.Notes, s)
	r.printf("           %s", s)
}

// addPoint adds a point to the curve of a name.
func addPoint(curves *[]Curve, name string, x int, y Interval) {
	i := slices.IndexFunc(*curves, func(c Curve) bool { return c.Name == name })
	if i < 0 {
		i = len(*curves)
		*curves = append(*curves, Curve{Name: name})
	}
	c := &(*curves)[i]
	c.Points = append(c.Points, Point{float64(x), y})
	slices.SortFunc(c.Points, func(a, b Point) int { return int(a.X - b.X) })
}

// finish computes intervals, curves and comparisons.
func (r *runner) finish() {
	boot := measure.NewBootstrap(demo.Records(demo.Pairs(evalSeed, r.Held, demo.Evaluation)), 2000, .95, 1)
	for _, row := range r.results.Rows {
		row.fill(boot)
		switch row.Method {
		case "Critic-RM", "CLoud-style", "LLM judge (base)":
			addPoint(&r.results.ByM, row.Method, row.M, row.Overall)
		case "scalar RM":
			addPoint(&r.results.ByData, row.Method, row.Pairs, row.Overall)
		}
		if row.M == 8 && (row.Method == "Critic-RM" || strings.HasSuffix(row.Method, shareOfData)) {
			addPoint(&r.results.ByData, "Critic-RM", row.Pairs, row.Overall)
		}
	}
	best, scalar := r.row("Critic-RM", 8, r.Pairs), r.row("scalar RM", 0, r.Pairs)
	for _, other := range []*Row{scalar, r.row("LLM judge (base)", judged, 0), r.row("CLoud-style", 8, r.Pairs), r.row("Critic-RM", 1, r.Pairs)} {
		r.results.Differences = append(r.results.Differences, compare(boot, best, other))
	}
	r.results.Differences = append(r.results.Differences, compare(boot, r.row(tenPercent, 8, r.Pairs/10), scalar))
}

// save leaves results.json and report.html, whole or not at all.
func (r *runner) save() error {
	b, err := r.results.JSON()
	if err != nil {
		return err
	}
	if err := checkpoint.WriteFileAtomic(filepath.Join(r.Dir, resultsFile), b); err != nil {
		return err
	}
	if b, err = r.results.HTML(); err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(filepath.Join(r.Dir, reportFile), b)
}

// examples picks replies to read: where the base's first critique is wrong and the trained model's is right, one of each kind, and
// one where both are right.
func examples(pairs []demo.Pair, base, tuned *measured) []Example {
	var out []Example
	seen := map[string]bool{}
	middle := critic.DefaultScale().Middle()
	wrong := func(c *record.Critique, right bool) bool { return c.Score == nil || (*c.Score > middle) != right }
	for i := range pairs {
		for _, side := range []record.Side{record.Rejected, record.Chosen} {
			b, t := &(*base.records[i].SideCritiques(side))[0], &(*tuned.records[i].SideCritiques(side))[0]
			right := side == record.Chosen
			key := string(pairs[i].Question.Kind)
			if !wrong(b, right) {
				key = "both right"
			}
			if wrong(t, right) || seen[key] {
				continue
			}
			seen[key] = true
			reply := pairs[i].Rejected.Text
			if right {
				reply = pairs[i].Chosen.Text
			}
			out = append(out, Example{Prompt: pairs[i].Question.Prompt, Reply: reply, Right: right, Base: b.Text, Tuned: t.Text,
				Reward: float64(*t.Reward), BaseOff: wrong(b, right), TunedOff: wrong(t, right)})
		}
	}
	return out
}
