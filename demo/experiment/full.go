package demo

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/measure"
	"criticrm/record"
	"criticrm/trainer"
)

// full adds what a single short run leaves out: other refinements, less and more data, the scalar model's sweep, and a second
// round of critiques written by the trained model.
func (r *runner) full(ctx context.Context, all []Pair, sampled []*record.Record, first bool) error {
	if first {
		if err := r.sweeps(ctx, all, sampled); err != nil {
			return err
		}
	}
	for _, n := range []int{r.Pairs / 10, r.Pairs / 4, r.Pairs / 2} {
		if err := r.scalarRow(ctx, all, n); err != nil {
			return err
		}
	}
	if err := r.scalarRow(ctx, Pairs(10000+r.seed, 10*r.Pairs, Train), 10*r.Pairs); err != nil {
		return err
	}
	for _, n := range []int{r.Pairs / 4, r.Pairs / 2} {
		if _, err := r.variant(ctx, fmt.Sprint("Critic-RM, ", 100*n/r.Pairs, shareOfData), sampled, trainer.Critic, critic.RefineMargin, n, []int{1, 8}); err != nil {
			return err
		}
	}
	for _, v := range []struct{ name, mode string }{
		{"Critic-RM, filter only (random K)", critic.RefineRandom},
		{"Critic-RM, rank by meta-judge", critic.RefineRank},
		{"Critic-RM, summarize", critic.RefineSummarize},
	} {
		if _, err := r.variant(ctx, v.name, sampled, trainer.Critic, v.mode, r.Pairs, []int{1, 8}); err != nil {
			return err
		}
	}
	return r.secondRound(ctx, all, sampled)
}

// secondRound lets the trained model write the critiques and trains a fresh copy of the base model on them.
func (r *runner) secondRound(ctx context.Context, all []Pair, sampled []*record.Record) error {
	start := time.Now()
	rs := clone(sampled)
	if _, err := r.refine(ctx, rs, critic.RefineMargin, 2); err != nil {
		return err
	}
	e, _, err := r.train(ctx, rs, r.recipe(trainer.Critic, r.Pairs))
	if err != nil {
		return err
	}
	again := records(all)
	_, err = critic.Generate(ctx, e, again, r.generateOptions(critiquesEach, 2))
	e.Close()
	if err != nil {
		return err
	}
	r.clock("second round's critiques", start)
	_, err = r.variant(ctx, "Critic-RM, second round", again, trainer.Critic, critic.RefineMargin, r.Pairs, []int{1, 8})
	return err
}

// sweeps shows on the validation split, never on the evaluation pairs, how the settings of recipe were chosen.
func (r *runner) sweeps(ctx context.Context, all []Pair, sampled []*record.Record) error {
	start := time.Now()
	for _, t := range []struct {
		lr     float64
		epochs float64
	}{{3e-4, 8}, {3e-4, 20}, {3e-4, 40}, {1e-3, 3}, {1e-3, 8}, {1e-3, 20}, {1e-3, 40}, {2e-3, 8}, {2e-3, 20}} {
		c := r.recipe(trainer.BT, r.Pairs)
		c.LearningRate, c.Epochs = t.lr, t.epochs
		e, _, err := r.train(ctx, records(all), c)
		if err != nil {
			return err
		}
		correct, err := r.scalar(ctx, e, r.valid)
		e.Close()
		if err != nil {
			return err
		}
		r.note("validation split, scalar RM, learning rate %g, %g epochs: %.1f", t.lr, t.epochs, percent(correct))
	}
	for _, n := range []int{r.Pairs, r.Pairs / 10} {
		for _, position := range []string{"end", "content"} {
			if err := r.sweepPosition(ctx, sampled, n, position); err != nil {
				return err
			}
		}
	}
	r.clock("sweeps on the validation split", start)
	return nil
}

// sweepPosition trains on the first n pairs with the reward read at the critique's end token or at the last word before it.
func (r *runner) sweepPosition(ctx context.Context, sampled []*record.Record, n int, position string) error {
	rs := clone(sampled[:n])
	if _, err := r.refine(ctx, rs, critic.RefineMargin, r.topK(n)); err != nil {
		return err
	}
	c := r.recipe(trainer.Critic, n)
	c.HeadPosition = position
	e, _, err := r.train(ctx, rs, c)
	if err != nil {
		return err
	}
	defer e.Close()
	held := r.eval
	r.eval = r.valid
	d, err := r.measure(ctx, e, 8, true, 1, 8)
	r.eval = held
	if err != nil {
		return err
	}
	where := map[string]string{"content": "last word", "end": "end token"}[position]
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
	boot := measure.NewBootstrap(records(r.eval), 2000, .95, 1)
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
	for _, other := range []*Row{scalar, r.row("LLM judge (base)", critiquesEach, 0), r.row("CLoud-style", 8, r.Pairs), r.row("Critic-RM", 1, r.Pairs)} {
		r.results.Differences = append(r.results.Differences, compare(boot, best, other))
	}
	r.results.Differences = append(r.results.Differences, compare(boot, r.row(tenPercent, 8, r.Pairs/10), scalar))
}

// write leaves results.json and report.html, whole or not at all.
func (r *runner) write() error {
	b, err := r.results.JSON()
	if err != nil {
		return err
	}
	if err := checkpoint.WriteFileAtomic(filepath.Join(r.Dir, "results.json"), b); err != nil {
		return err
	}
	if b, err = r.results.HTML(); err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(filepath.Join(r.Dir, "report.html"), b)
}

// examples picks replies to read: where the base's first critique is wrong and the trained model's is right, one of each kind, and
// one where both are right.
func examples(pairs []Pair, base, tuned *measured) []Example {
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
