package experiment

// Settings of the rivals, looked for on the validation split of the first seed: a step in one setting at a time, kept if it is better.

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"criticrm/pipeline"
	"criticrm/trainer"
)

// setting is a change of a rival's recipe.
type setting struct {
	name   string
	change func(*pipeline.Config)
}

// searches are the steps for each rival. Each list begins with what the recipe has.
func (r *runner) searches(method string) [][]setting {
	if method == trainer.BT {
		tries := []scalarSetting{{3e-4, 20}, {3e-4, 8}, {1e-3, 8}}
		if r.Text != nil {
			tries = r.Text.size.scalar
		}
		var list []setting
		for _, t := range tries {
			list = append(list, setting{fmt.Sprintf("learning rate %g, %g epochs", t.rate, t.epochs),
				func(c *pipeline.Config) { c.BT.LearningRate, c.BT.Epochs = t.rate, t.epochs }})
		}
		return [][]setting{list}
	}
	position := func(at string) setting {
		return setting{"reward read at the critique's " + map[string]string{"end": "end token", "content": "last word"}[at],
			func(c *pipeline.Config) { c.HeadPosition = at }}
	}
	of := func(name string, value float64, set func(*trainer.Config)) setting {
		return setting{fmt.Sprintf("%s %.3g", name, value), func(c *pipeline.Config) { set(&c.Cloud) }}
	}
	var ks, eps, weights []setting
	for _, k := range []int{2, 4} {
		ks = append(ks, of("critiques of a response:", float64(k), func(t *trainer.Config) { t.MaxCritiques = k }))
	}
	for _, n := range []float64{3, 1} {
		eps = append(eps, of("epochs:", n, func(t *trainer.Config) { t.Epochs = n }))
	}
	for _, l := range []float64{.5, .75} {
		weights = append(weights, of("λ", l, func(t *trainer.Config) { t.LMWeight = l / (1 - l) }))
	}
	return [][]setting{{position("end"), position("content")}, ks, eps, weights}
}

// tuned says whether the settings of a rival at a task were looked for.
func (c *cell) tuned(v *variant) bool {
	e := c.finished[c.tuning(v)]
	return v.tuned && e != nil && e.Settings == c.searched() && e.Choice != ""
}

// tuning is the key of a search in finished.json, searched the hash of what it depends on.
func (c *cell) tuning(v *variant) string { return fmt.Sprintf("%s/tuning/%s", c.task.Name, v.method) }

func (c *cell) searched() string { return hashOf(c.recipe, c.Pairs, c.Valid, c.Seeds[0]) }

// tune gives the best settings of a rival at a task. They are looked for at the first seed, and are the same at all.
func (c *cell) tune(ctx context.Context, v *variant) (func(*pipeline.Config), error) {
	key, settings := c.tuning(v), c.searched()
	e := c.finished[key]
	if e == nil || e.Settings != settings {
		e = &entry{Settings: settings, Valid: map[string]float64{}}
		c.finished[key] = e
	}
	var chosen []setting
	best := -1.
	for _, step := range c.searches(v.method) {
		winner := -1
		for i, s := range step {
			if i == 0 && best >= 0 {
				continue // what is chosen so far has it
			}
			tried := append(slices.Clip(chosen), s)
			name := names(tried)
			if _, ok := e.Valid[name]; !ok {
				if err := c.try(ctx, v, tried, e); err != nil {
					return nil, err
				}
				c.printf("%s · choosing on the validation split · %s, %s: %.1f", c.task.Name, v.name, name, e.Valid[name])
			}
			if e.Valid[name] > best {
				best, winner = e.Valid[name], i
			}
		}
		if winner >= 0 {
			chosen = append(chosen, step[winner])
		}
	}
	e.Choice = names(chosen)
	return together(chosen), c.writeFinished()
}

func names(list []setting) string {
	var out []string
	for _, s := range list {
		out = append(out, s.name)
	}
	return strings.Join(out, ", ")
}

func together(list []setting) func(*pipeline.Config) {
	return func(p *pipeline.Config) {
		for _, s := range list {
			s.change(p)
		}
	}
}

// try notes a rival's accuracy on the validation split with other settings, at the best temperature.
func (c *cell) try(ctx context.Context, v *variant, tried []setting, e *entry) error {
	p, err := c.plan(&variant{name: v.name, method: v.method}, together(tried))
	if err != nil {
		return err
	}
	model, done, err := c.train(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	m, err := c.measurer(p, model)
	if err != nil {
		return err
	}
	defer m.engine.Close()
	m.passing = true
	if err := m.validate(ctx); err != nil {
		return err
	}
	e.Valid[names(tried)] = slices.Max(slices.Collect(maps.Values(m.entry.Valid)))
	return c.writeFinished()
}
