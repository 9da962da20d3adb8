package trainer

import (
	"fmt"

	"criticrm/model"
)

// Branch is a run of tokens with a loss weight for each of them.
type Branch struct {
	IDs    []int32
	Weight []float32 // loss weight of predicting each token; nil: 1 for all
	Read   int       // index in IDs of the token at which a reward is read
}

// weight is the loss weight of token i.
func (b Branch) weight(i int) float32 {
	if b.Weight == nil {
		return 1
	}
	return b.Weight[i]
}

// Side is one response of a pair and the critiques of it. The response holds everything between the tokens that both
// sides share and the first token of a critique, the request for a critique included.
type Side struct {
	Response  Branch // Read is used by a scalar model; weights are not used
	Critiques []Branch
}

// Example is one unit of training data: a pair of responses, or a document.
type Example struct {
	ID     string
	Prompt []int32 // tokens that both responses share
	Chosen Side
	// Rejected is worse than Chosen by at least Margin.
	Rejected Side
	Margin   float32

	// Document is set for language modelling, and then all the above is empty. The weight of its first token is not used:
	// nothing predicts it.
	Document Branch
}

// IsDocument says whether the example is a document.
func (e *Example) IsDocument() bool { return len(e.Document.IDs) > 0 }

// check says what is wrong with an example from a Dataset; vocab is the number of token ids.
func (e *Example) check(c *Config, vocab int) error {
	branches := []Branch{e.Document, {IDs: e.Prompt}}
	if c.Method == LM && !e.IsDocument() {
		return fmt.Errorf("trainer: example %q: method %s wants a document", e.ID, c.Method)
	}
	if c.rewards() && e.IsDocument() {
		return fmt.Errorf("trainer: example %q: method %s wants a pair, got a document", e.ID, c.Method)
	}
	for _, s := range []*Side{&e.Chosen, &e.Rejected} {
		if !e.IsDocument() && len(s.Response.IDs) == 0 {
			return fmt.Errorf("trainer: example %q: a response has no tokens of its own", e.ID)
		}
		if r := s.Response.Read; c.Method == BT && (r < 0 || r >= len(s.Response.IDs)) {
			return fmt.Errorf("trainer: example %q: the reward of a response is read at token %d of %d", e.ID, r, len(s.Response.IDs))
		}
		for _, z := range s.Critiques {
			if z.Read < 0 || z.Read >= len(z.IDs) {
				return fmt.Errorf("trainer: example %q: the reward of a critique is read at token %d of %d", e.ID, z.Read, len(z.IDs))
			}
		}
		branches = append(append(branches, s.Critiques...), Branch{IDs: s.Response.IDs})
	}
	for _, b := range branches {
		if b.Weight != nil && len(b.Weight) != len(b.IDs) {
			return fmt.Errorf("trainer: example %q: %d weights for %d tokens", e.ID, len(b.Weight), len(b.IDs))
		}
		for _, id := range b.IDs {
			if id < 0 || int(id) >= vocab {
				return fmt.Errorf("trainer: example %q: token id %d, the model has 0 to %d", e.ID, id, vocab-1)
			}
		}
	}
	return nil
}

// critiquesOf are the critiques of a side that the method trains on.
func (c *Config) critiquesOf(s *Side) []Branch {
	if !c.critiques() {
		return nil
	}
	if c.MaxCritiques > 0 && len(s.Critiques) > c.MaxCritiques {
		return s.Critiques[:c.MaxCritiques]
	}
	return s.Critiques
}

// size is what an example costs and weighs.
type size struct {
	tokens  int     // of the packed tree
	flat    int     // tokens if every branch were a sequence of its own
	longest int     // of the longest branch
	weight  float64 // sum of the loss weights of its rows
	pairs   int     // 1 if both sides have a reward
}

func (e *Example) size(c *Config) size {
	var s size
	if e.IsDocument() {
		s.tokens = len(e.Document.IDs)
		s.flat, s.longest = s.tokens, s.tokens
		for i := 1; i < s.tokens; i++ {
			s.weight += float64(e.Document.weight(i))
		}
		return s
	}
	s.tokens = len(e.Prompt)
	rewarded := 0
	for _, side := range []*Side{&e.Chosen, &e.Rejected} {
		stem := len(e.Prompt) + len(side.Response.IDs)
		s.tokens += len(side.Response.IDs)
		s.longest = max(s.longest, stem)
		critiques := c.critiquesOf(side)
		for _, z := range critiques {
			s.tokens += len(z.IDs)
			s.flat += stem + len(z.IDs)
			s.longest = max(s.longest, stem+len(z.IDs))
			for i := range z.IDs {
				s.weight += float64(z.weight(i))
			}
		}
		if len(critiques) == 0 {
			s.flat += stem
		}
		if c.Method == BT || len(critiques) > 0 {
			rewarded++
		}
	}
	if c.rewards() && rewarded == 2 {
		s.pairs = 1
	}
	return s
}

// appendTo adds the example to a batch as a tree: [prompt][response+][critiques+][response-][critiques-]. Each critique
// token is a loss row; the first of a critique is predicted by the response's last token, whose position is repeated for
// every critique. Rewards are read in the critiques, or for a scalar model in the responses.
func (e *Example) appendTo(b *model.Batch, c *Config) {
	if e.IsDocument() {
		at := int32(b.Len())
		b.Open(e.Document.IDs)
		b.Close()
		for i := 1; i < len(e.Document.IDs); i++ {
			addRow(b, at+int32(i)-1, e.Document.IDs[i], e.Document.weight(i))
		}
		return
	}
	if c.rewards() && len(b.Side) == 0 {
		b.Side = append(b.Side, 0)
	}
	if len(e.Prompt) > 0 {
		b.Open(e.Prompt)
	}
	for _, side := range []*Side{&e.Chosen, &e.Rejected} {
		at := int32(b.Len())
		b.Open(side.Response.IDs)
		last := int32(b.Len()) - 1
		if c.Method == BT {
			b.Leaf = append(b.Leaf, at+int32(side.Response.Read))
		}
		for _, z := range c.critiquesOf(side) {
			from, at := last, int32(b.Len())
			b.Open(z.IDs)
			b.Close()
			for i, id := range z.IDs {
				addRow(b, from, id, z.weight(i))
				from = at + int32(i)
			}
			if c.rewards() {
				b.Leaf = append(b.Leaf, at+int32(z.Read))
			}
		}
		b.Close()
		if c.rewards() {
			b.Side = append(b.Side, int32(len(b.Leaf)))
		}
	}
	if len(e.Prompt) > 0 {
		b.Close()
	}
	if c.rewards() && c.UseMargin {
		b.Margin = append(b.Margin, e.Margin)
	}
}

// addRow adds a loss row, unless its weight is zero.
func addRow(b *model.Batch, row, target int32, weight float32) {
	if weight != 0 {
		b.Row, b.Target, b.Weight = append(b.Row, row), append(b.Target, target), append(b.Weight, weight)
	}
}

// fit makes the example's longest branch at most limit tokens long as the policy says: it cuts the start of the shared
// prompt (truncate-left) or, of a document, either end. Critiques and responses are never cut here; text that comes from
// a chat template is cut before it is rendered, see Renderer. drop says that the example cannot be used.
func (e *Example) fit(c *Config, limit int) (cut, drop bool, err error) {
	over := e.size(c).longest - limit
	if limit <= 0 || over <= 0 {
		return false, false, nil
	}
	switch {
	case c.Overlong == "error":
		return false, false, fmt.Errorf("trainer: example %q: %d tokens, the limit is %d (set overlong to drop, truncate-left or truncate-right)", e.ID, over+limit, limit)
	case e.IsDocument() && c.Overlong != "drop":
		lo, hi := 0, limit
		if c.Overlong == "truncate-left" {
			lo, hi = over, over+limit
		}
		e.Document.IDs = e.Document.IDs[lo:hi]
		if e.Document.Weight != nil {
			e.Document.Weight = e.Document.Weight[lo:hi]
		}
		return true, false, nil
	case c.Overlong == "truncate-left" && over < len(e.Prompt):
		e.Prompt = e.Prompt[over:]
		return true, false, nil
	}
	return false, true, nil
}
