package synth

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"criticrm/record"
)

// PairOptions are the settings of Pairs.
type PairOptions struct {
	PerPrompt   int  `json:"per_prompt"`   // pairs of a prompt, at most; no answer is in two of them
	MatchLength bool `json:"match_length"` // pair answers that are nearly as long; else in the order in which they were sampled
}

// ProvenanceColumn is where a pair says where it is from.
const ProvenanceColumn = "synthetic"

// Provenance says how a pair came to be.
type Provenance struct {
	Kind        string          `json:"kind"`
	Model       string          `json:"model"` // that wrote both answers
	Sampling    record.Sampling `json:"sampling"`
	Instruction string          `json:"instruction,omitempty"` // that stood behind the prompt while they were written
	Rules       string          `json:"rules,omitempty"`       // sha256 of the list
	Problem     string          `json:"problem"`               // id of the row
	Result      string          `json:"result,omitempty"`      // that is known to be right
	Chosen      Origin          `json:"chosen"`
	Rejected    Origin          `json:"rejected"`
}

// Origin is one answer of a pair.
type Origin struct {
	Sample     int    `json:"sample"` // its place among the answers, from 0
	Found      string `json:"found,omitempty"`
	How        string `json:"how,omitempty"`
	Instructed bool   `json:"instructed,omitempty"`
}

// PairStats counts what became of the prompts.
type PairStats struct {
	Prompts int            `json:"prompts"`
	Paired  int            `json:"paired"` // of those
	Pairs   int            `json:"pairs"`
	Without map[string]int `json:"without"` // prompts without a pair, by reason
	Twice   int            `json:"twice"`   // answers left out that repeat an earlier one of their prompt
	Longer  float64        `json:"longer"`  // share of pairs whose chosen answer is longer, ties one half
}

// String is one line for people.
func (s *PairStats) String() string {
	text := fmt.Sprintf("%d pairs from %d of %d prompts; chosen is longer in %.0f %%", s.Pairs, s.Paired, s.Prompts, 100*s.Longer)
	if len(s.Without) > 0 {
		text += "; prompts without a pair: " + record.Counts(s.Without)
	}
	if s.Twice > 0 {
		text += fmt.Sprintf("; %d answers repeat another one and are left out", s.Twice)
	}
	return text
}

// Pairer makes pairs of records with answers, one record after the other.
type Pairer struct {
	PairStats
	o      PairOptions
	source Options
	longer float64
}

// NewPairer begins; source is how the answers were sampled.
func NewPairer(o PairOptions, source Options) (*Pairer, error) {
	if o.PerPrompt < 1 {
		return nil, fmt.Errorf("synth: pairs of a prompt: got %d, want 1 or more", o.PerPrompt)
	}
	return &Pairer{PairStats: PairStats{Without: map[string]int{}}, o: o, source: source}, nil
}

// Add gives the pairs of one record.
func (p *Pairer) Add(r *record.Record) ([]*record.Record, error) {
	p.Prompts++
	if r.Dropped != "" {
		p.Without[r.Dropped]++
		return nil, nil
	}
	list, err := Of(r)
	if err != nil {
		return nil, err
	}
	if list == nil {
		return nil, r.Fault("it has no answers")
	}
	var right, wrong []int
	seen := map[string]bool{}
	for i, a := range list {
		if a.Verdict != Right && a.Verdict != Wrong {
			continue
		}
		if seen[a.Text] {
			p.Twice++
			continue
		}
		seen[a.Text] = true
		if a.Verdict == Right {
			right = append(right, i)
		} else {
			wrong = append(wrong, i)
		}
	}
	switch {
	case len(right)+len(wrong) == 0:
		p.Without["no answer could be judged"]++
	case len(wrong) == 0:
		p.Without["no wrong answer"]++
	case len(right) == 0:
		p.Without["no right answer"]++
	}
	if len(right) == 0 || len(wrong) == 0 {
		return nil, nil
	}
	p.Paired++
	var out []*record.Record
	for _, pair := range p.match(list, right, wrong) {
		rec, err := p.pair(r, list, pair, len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, rec)
		switch d := runes(list[pair[0]].Text) - runes(list[pair[1]].Text); {
		case d > 0:
			p.longer++
		case d == 0:
			p.longer += .5
		}
	}
	p.Pairs += len(out)
	p.Longer = p.longer / float64(p.Pairs)
	return out, nil
}

func runes(s string) int { return utf8.RuneCountInString(s) }

// match chooses pairs of a right and a wrong answer. No answer is used twice.
func (p *Pairer) match(list []Answer, right, wrong []int) (pairs [][2]int) {
	var all [][2]int
	for _, i := range right {
		for _, j := range wrong {
			all = append(all, [2]int{i, j})
		}
	}
	if p.o.MatchLength { // the pair that differs least goes first
		apart := func(x [2]int) int { d := runes(list[x[0]].Text) - runes(list[x[1]].Text); return max(d, -d) }
		slices.SortStableFunc(all, func(a, b [2]int) int { return apart(a) - apart(b) })
	}
	used := map[int]bool{}
	for _, x := range all {
		if len(pairs) < p.o.PerPrompt && !used[x[0]] && !used[x[1]] {
			used[x[0]], used[x[1]] = true, true
			pairs = append(pairs, x)
		}
	}
	return pairs
}

// pair is a record of two answers, with its provenance.
func (p *Pairer) pair(r *record.Record, list []Answer, x [2]int, k int) (*record.Record, error) {
	origin := func(i int) Origin { return Origin{i, list[i].Found, list[i].How, list[i].Instructed} }
	from := Provenance{Kind: p.source.Kind, Model: p.source.Model, Sampling: p.source.Sampling, Instruction: p.source.Instruction, Rules: p.source.RulesHash,
		Problem: r.ID, Chosen: origin(x[0]), Rejected: origin(x[1])}
	if p.source.Kind == Reasoning {
		from.Result, _ = Reference(r.Text(record.Single))
	}
	b, err := json.Marshal(from)
	if err != nil {
		return nil, r.Fault("%v", err)
	}
	out := &record.Record{ID: r.ID, Prompt: prompt(r), Chosen: list[x[0]].Text, Rejected: list[x[1]].Text, Category: r.Category, Subset: r.Subset}
	if p.o.PerPrompt > 1 {
		out.ID = fmt.Sprintf("%s/%d", r.ID, k+1)
	}
	if out.Category == "" {
		out.Category = p.source.Kind
	}
	out.SetExtra(ProvenanceColumn, b)
	return out, nil
}
