package revise

// Critiques of responses to other prompts.

import (
	"fmt"
	"slices"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/stage"
)

// donor is a response with critiques that another one may get.
type donor struct {
	id, prompt string
	texts      []string
}

// donors are those of a file, by category.
type donors struct {
	seed    uint64
	byGroup map[string][]donor
	all     []donor
}

// survey reads a file before anything is asked: every row must be one that can be revised, unless bad ones may be left out, and where critiques
// are shuffled it keeps them.
func survey(in string, read record.ReadOptions, o *Options) (*donors, error) {
	if err := record.Rereadable(in); err != nil {
		return nil, fmt.Errorf("revise: input %w", err)
	}
	read.MaxLine = 1 << 30
	records, _, err := stage.ReadFile(in, read)
	if err != nil {
		return nil, err
	}
	d, prompts := donorsOf(records, o)
	if slices.Contains(o.Conditions, Shuffled) && prompts < 2 {
		return nil, fmt.Errorf("revise: %s: %d prompts have critiques, and shuffled ones are those of another prompt: leave %s out of the conditions", in, prompts, Shuffled)
	}
	for _, r := range records {
		if read.MaxBad > 0 {
			break
		}
		if err := o.revisable(r, d); err != nil {
			return nil, record.InFile(err, in)
		}
	}
	if !slices.Contains(o.Conditions, Shuffled) {
		return nil, nil
	}
	return d, nil
}

// donorsOf are the responses with critiques, and the number of prompts that they have.
func donorsOf(records []*record.Record, o *Options) (d *donors, prompts int) {
	d = &donors{seed: o.Sampling.Seed, byGroup: map[string][]donor{}}
	seen := map[string]bool{}
	for _, r := range records {
		for _, side := range r.Sides() {
			if texts := critiquesOf(r, side, false, o.Critiques); texts != nil {
				one := donor{r.ID, r.Prompt.Key(), texts}
				d.byGroup[r.Group()] = append(d.byGroup[r.Group()], one)
				d.all = append(d.all, one)
				seen[one.prompt] = true
			}
		}
	}
	return d, len(seen)
}

// of are the critiques that a response gets, and whose they are. They depend on the file, the seed and the response.
func (d *donors) of(r *record.Record, side record.Side) (texts []string, from string) {
	own := r.Prompt.Key()
	for _, list := range [][]donor{d.byGroup[r.Group()], d.all} {
		if len(list) == 0 {
			continue
		}
		first := int(critic.KeyOf("shuffle", fmt.Sprint(d.seed, " ", r.ID), side, 0) % uint64(len(list)))
		for i := range list {
			if x := list[(first+i)%len(list)]; x.prompt != own {
				return x.texts, x.id
			}
		}
	}
	return nil, ""
}
