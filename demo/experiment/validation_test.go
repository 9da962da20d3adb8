package experiment

import (
	"math"
	"testing"

	"criticrm/demo"
	"criticrm/measure"
	"criticrm/record"
)

// The recipes are compared over all tasks, at the seeds that all of them have, on the validation split at the temperature that was chosen there; what is
// no recipe is not among them.
func TestValidation(t *testing.T) {
	o := Options{Dir: t.TempDir(), Seeds: []uint64{0, 1, 2}, Tasks: []string{"misread", "work"}, Full: true, Pairs: 60, Held: 40, Valid: 40}
	r := &runner{Options: o, finished: map[string]*entry{}, figures: map[string]*measure.Report{}}
	if err := r.what(); err != nil {
		t.Fatal(err)
	}
	r.results = &Results{Tasks: []*Task{{}, {}}}
	all := map[string]*variant{}
	for _, v := range allVariants() {
		all[v.label()] = v
	}
	// has leaves a model that is right about the first n pairs of each validation split, and wrong about all others.
	has := func(name string, seed uint64, n int) {
		for _, k := range r.tasks {
			c := &cell{runner: r, task: k, seed: seed}
			rs := k.split(demo.Validation, 40)
			for i, rec := range rs {
				for j, side := range rec.Sides() {
					reward := float32(1)
					if (j == 0) != (i < n) {
						reward = -1
					}
					mean := float64(reward)
					*rec.SideReward(side) = &mean
					*rec.SideCritiques(side) = []record.Critique{{Text: "x", Reward: &reward}}
				}
			}
			m := &measurer{cell: c, plan: &plan{variant: all[name]}, entry: &entry{Reading: readReward, Chosen: new(float64), Files: map[string]string{}}}
			if err := m.keep("valid 0", c.key(all[name])+".valid.T0", rs); err != nil {
				t.Fatal(err)
			}
			r.finished[c.key(all[name])] = m.entry
		}
	}
	if list, err := r.validation(); err != nil || list != nil {
		t.Errorf("nothing is measured: %v, %v", list, err)
	}
	for seed, n := range []int{20, 24} {
		has(defaults, uint64(seed), n)
		has(ours, uint64(seed), n+4)
		has("K: 2", uint64(seed), n-2)
		has(placebo, uint64(seed), 40)
		has(noise+": ours", uint64(seed), 40)
	}
	list, err := r.validation()
	if err != nil || len(list) != 3 || list[0].Name != ours || list[1].Name != defaults || list[2].Name != "K: 2" {
		t.Fatalf("%+v, %v", list, err)
	}
	first := list[0]
	if first.Mean != 65 || len(first.Seeds) != 2 || first.Seeds[0] != 60 || first.Tasks[1] != 65 || math.Abs(first.Ahead.Value-10) > 1e-9 || first.Ahead.Low < 2 || first.Ahead.Low > 8 ||
		first.OverSeeds.High-first.OverSeeds.Low > 1e-9 || list[1].Ahead != nil || list[2].Ahead.Value > -4 {
		t.Errorf("%+v %v %v", first, first.Ahead, list[2].Ahead)
	}
	has("K: 4", 0, 40)
	if list, err = r.validation(); err != nil || len(list) != 4 || list[0].Name != "K: 4" || len(list[1].Seeds) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}
