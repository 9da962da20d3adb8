package experiment

// Which recipe the validation splits would choose for all tasks.

import (
	"cmp"
	"slices"

	"gonum.org/v1/gonum/stat"

	"criticrm/demo"
	"criticrm/measure"
	"criticrm/trainer"
)

// Recipe is a way of training on critiques by its accuracy on the validation splits, each model at its best temperature there, in per cent.
type Recipe struct {
	Name      string    `json:"name"`
	Tasks     []float64 `json:"tasks"` // of each task, mean over the seeds
	Seeds     []float64 `json:"seeds"` // of each seed, mean over the tasks
	Mean      float64   `json:"mean"`
	Ahead     *Interval `json:"ahead,omitempty"`      // of the product's defaults; interval by prompt. nil: these are they
	OverSeeds *Interval `json:"over_seeds,omitempty"` // of the same difference
}

// validation compares the recipes that all tasks have measured, on all pairs with their labels as they are, at the seeds that all of them have. It is
// nil where there is one task alone, or the product's defaults are not there.
func (r *runner) validation() (list []Recipe, err error) {
	if len(r.results.Tasks) < 2 || r.Text != nil {
		return nil, nil
	}
	var prompts, tasks []string
	for _, t := range r.tasks {
		for _, rec := range t.split(demo.Validation, atMost(r.Valid, t.most.valid)) {
			prompts, tasks = append(prompts, t.Name+"\x00"+rec.Prompt.Key()), append(tasks, t.Name)
		}
	}
	boot := measure.NewBootstrapBy(prompts, tasks, 2000, .95, 1)
	var recipes []*variant
	seeds := r.Seeds
	for _, v := range r.every() {
		if of := r.seedsOf(v); v.recipe() && len(of) > 0 {
			recipes = append(recipes, v)
			seeds = slices.DeleteFunc(slices.Clone(seeds), func(s uint64) bool { return !slices.Contains(of, s) })
		}
	}
	if len(seeds) == 0 || !slices.ContainsFunc(recipes, func(v *variant) bool { return v.name == defaults }) {
		return nil, nil
	}
	var reference [][]float64
	correct := map[string][][]float64{} // by seed, of all tasks' pairs in order
	for _, v := range recipes {
		x := Recipe{Name: v.label(), Tasks: make([]float64, len(r.tasks))}
		for _, seed := range seeds {
			var of []float64
			for i, t := range r.tasks {
				e := r.finished[(&cell{runner: r, task: t, seed: seed}).key(v)]
				c, err := r.correctOf(e.Files["valid "+number(*e.Chosen)], e.Reading, r.critiquesAt(*e.Chosen))
				if err != nil {
					return nil, err
				}
				of = append(of, c...)
				x.Tasks[i] += percent(c) / float64(len(seeds))
			}
			correct[x.Name] = append(correct[x.Name], of)
			x.Seeds = append(x.Seeds, percent(of))
		}
		x.Mean = stat.Mean(x.Tasks, nil)
		if v.name == defaults {
			reference = correct[x.Name]
		}
		list = append(list, x)
	}
	for i := range list {
		x := &list[i]
		if x.Name == defaults {
			continue
		}
		var each [][]float64
		var means []float64
		for k, of := range correct[x.Name] {
			ahead := slices.Clone(of)
			for j := range ahead {
				ahead[j] -= reference[k][j]
			}
			each, means = append(each, ahead), append(means, percent(ahead))
		}
		e := boot.Mean(meanOver(each))
		ahead := interval(e.Mean, e.Interval)
		x.Ahead, x.OverSeeds = &ahead, overSeeds(means)
	}
	slices.SortStableFunc(list, func(a, b Recipe) int { return cmp.Compare(b.Mean, a.Mean) })
	return list, nil
}

// recipe says whether a variant could be what criticrm run does by itself.
func (v *variant) recipe() bool {
	return v.trains() == trainer.Critic && v.share == 0 && v.flipped == 0 && v.refined == nil
}

// seedsOf are those at which all tasks have measured a variant.
func (r *runner) seedsOf(v *variant) (list []uint64) {
	for _, seed := range r.Seeds {
		if !slices.ContainsFunc(r.tasks, func(t *task) bool { return r.finished[(&cell{runner: r, task: t, seed: seed}).key(v)] == nil }) {
			list = append(list, seed)
		}
	}
	return list
}
