// Package text is the data of an experiment on real text: pairs from files that the user names, and critiques that a program writes of
// worked answers from the answer alone, for a cold start.
package text

import (
	"cmp"
	"slices"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/stage"
)

// MaxText is the longest prompt with a response, in bytes: what is longer than a small model reads well is left out, and counted.
const MaxText = 2000

// Pairs are pairs of a file that have prompts of their own, in an order that depends on their prompts alone.
type Pairs struct {
	Records []*record.Record
	Long    int // left out: longer than MaxText
	Again   int // left out: of a prompt that was there
	Other   int // left out: no pairs, of several turns, or of a subset that is not wanted
}

// Read takes the pairs of a file that answer one question, one of each prompt, of one subset if it is given.
func Read(path, subset string) (*Pairs, error) {
	rs, _, err := stage.ReadFile(path, record.ReadOptions{})
	if err != nil {
		return nil, err
	}
	p := &Pairs{}
	seen := map[string]bool{}
	for _, r := range rs {
		prompt := r.Prompt.String()
		switch {
		case !r.Paired() || len(r.Prompt.Messages) > 1 || subset != "" && r.Subset != subset:
			p.Other++
		case len(prompt)+max(len(r.Chosen), len(r.Rejected)) > MaxText:
			p.Long++
		case seen[prompt]:
			p.Again++
		default:
			seen[prompt] = true
			p.Records = append(p.Records, &record.Record{ID: r.ID, Prompt: r.Prompt, Chosen: r.Chosen, Rejected: r.Rejected, Subset: r.Subset})
		}
	}
	key := func(r *record.Record) uint64 { return critic.KeyOf("text", r.Prompt.String(), record.Chosen, 0) }
	slices.SortFunc(p.Records, func(a, b *record.Record) int { return cmp.Compare(key(a), key(b)) })
	return p, nil
}

// Without leaves out pairs whose prompts are among others.
func (p *Pairs) Without(others []*record.Record) {
	known := map[string]bool{}
	for _, r := range others {
		known[r.Prompt.String()] = true
	}
	p.Records = slices.DeleteFunc(p.Records, func(r *record.Record) bool { return known[r.Prompt.String()] })
}

// Take cuts n pairs off.
func (p *Pairs) Take(n int) []*record.Record {
	n = min(n, len(p.Records))
	taken := p.Records[:n:n]
	p.Records = p.Records[n:]
	return taken
}
