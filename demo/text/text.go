// Package text is the data of an experiment on real text: pairs from files that the user names, or made of the labelled answers there, and
// critiques that a program writes of worked answers from the answer alone, for a cold start.
package text

import (
	"cmp"
	"slices"
	"strings"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/stage"
)

// MaxText is the longest prompt with a response, in bytes: what is longer than a small model reads well is left out, and counted.
const MaxText = 2000

// Pairs are pairs of a file that have prompts of their own, in an order that depends on their prompts alone.
type Pairs struct {
	Records []*record.Record
	Long    int      // left out: longer than MaxText
	Again   int      // left out: of a prompt that was there
	Other   int      // left out: no pairs and no labelled answers, of several turns, or of a subset that is not wanted
	Whole   int      // left out: worked answers of which no step can be broken
	Alone   int      // left out: questions whose answers are all right or all wrong
	Bad     []string // what is said of rows that could not be read
}

// Read takes the pairs of a file that answer one question, one of each prompt, of one subset if it is given. Of labelled answers it makes
// pairs: of a right and a wrong one of a question, and of a right one alone that is worked as GSM8K's are, with the same answer with a step
// broken (see [Broken]). Up to maxBad rows may be bad, of which Bad tells.
func Read(path, subset string, maxBad int) (*Pairs, error) {
	rs, found, err := stage.ReadFile(path, record.ReadOptions{MaxBad: maxBad})
	if err != nil {
		return nil, err
	}
	p := &Pairs{Bad: found.BadLines(path, "")}
	seen := map[string]bool{}
	add := func(r *record.Record) {
		prompt := r.Prompt.String()
		switch {
		case len(prompt)+max(len(r.Chosen), len(r.Rejected)) > MaxText:
			p.Long++
		case seen[prompt]:
			p.Again++
		default:
			seen[prompt] = true
			p.Records = append(p.Records, &record.Record{ID: r.ID, Prompt: r.Prompt, Chosen: r.Chosen, Rejected: r.Rejected, Subset: r.Subset})
		}
	}
	var prompts []string
	answers := map[string][]*record.Record{}
	for _, r := range rs {
		prompt := r.Prompt.String()
		switch {
		case len(r.Prompt.Messages) > 1 || subset != "" && r.Subset != subset || !r.Paired() && r.Correct == nil:
			p.Other++
		case r.Paired():
			add(r)
		default:
			if answers[prompt] == nil {
				prompts = append(prompts, prompt)
			}
			answers[prompt] = append(answers[prompt], r)
		}
	}
	for _, prompt := range prompts {
		if r := p.ofAnswers(answers[prompt]); r != nil {
			add(r)
		}
	}
	key := func(r *record.Record) uint64 { return critic.KeyOf("text", r.Prompt.String(), record.Chosen, 0) }
	slices.SortFunc(p.Records, func(a, b *record.Record) int { return cmp.Compare(key(a), key(b)) })
	return p, nil
}

// ofAnswers is the pair of a question's labelled answers; nil: they make none, which is counted. Of several right or wrong ones it takes the
// one whose text has the smallest hash, so that neither their order nor who wrote them counts.
func (p *Pairs) ofAnswers(rs []*record.Record) *record.Record {
	var sides [2]*record.Record // wrong, right
	var keys [2]uint64
	for _, r := range rs {
		k := 0
		if *r.Correct {
			k = 1
		}
		key := critic.KeyOf("answer", r.Prompt.String()+"\x00"+*r.Response, record.Single, 0)
		if sides[k] == nil || key < keys[k] {
			sides[k], keys[k] = r, key
		}
	}
	wrong, right := sides[0], sides[1]
	switch {
	case wrong != nil && right != nil:
		pair := &record.Record{ID: right.ID, Prompt: right.Prompt, Chosen: Plain(*right.Response), Rejected: Plain(*wrong.Response), Subset: right.Subset}
		if strings.TrimSpace(pair.Rejected) != "" && pair.Chosen != pair.Rejected {
			return pair
		}
		p.Alone++
	case right != nil && strings.Contains(*right.Response, resultMark):
		p.Again += len(rs) - 1
		broken, kind, ok := Broken(right.Prompt.String(), *right.Response)
		if ok {
			return &record.Record{ID: right.ID, Prompt: right.Prompt, Chosen: Plain(*right.Response), Rejected: broken, Subset: kind}
		}
		p.Whole++
	default:
		p.Alone++
	}
	return nil
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
