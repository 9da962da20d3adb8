package render

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

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

// Reply is one response of a pair and the critiques of it. The response holds everything between the tokens that both
// sides share and the first token of a critique, the request for a critique included.
type Reply struct {
	Response  Branch // Read is used by a scalar model; weights are not used
	Critiques []Branch
}

// Example is one unit of training data: a pair of responses, one response with a label or a score, several in order, or a document.
type Example struct {
	ID     string
	Prompt []int32 // tokens that both responses share
	Chosen Reply
	// Rejected is worse than Chosen by at least Margin. A response that is labelled right is Chosen, one that is labelled wrong Rejected; the
	// other side is empty then.
	Rejected Reply
	Margin   float32
	// Scores are those of Chosen and Rejected, which their rewards are to equal, whichever is higher; an empty side's is not used. Empty: none.
	Scores []float32

	// Ranked are responses to Prompt, the best first, with their ranks, which do not fall; equal ones are tied. Chosen and Rejected are empty then.
	Ranked []Reply
	Ranks  []int32

	// Document is set for language modelling, and then all the above is empty. The weight of its first token is not used:
	// nothing predicts it.
	Document Branch
}

// IsDocument says whether the example is a document.
func (e *Example) IsDocument() bool { return len(e.Document.IDs) > 0 }

func (e *Example) pair() [2]*Reply { return [2]*Reply{&e.Chosen, &e.Rejected} }

// replies are the responses: those that are ranked, or both sides.
func (e *Example) replies() []*Reply {
	if len(e.Ranked) == 0 {
		return []*Reply{&e.Chosen, &e.Rejected}
	}
	list := make([]*Reply, len(e.Ranked))
	for i := range list {
		list[i] = &e.Ranked[i]
	}
	return list
}

// rank is that of reply i; a pair's are 0 and 1.
func (e *Example) rank(i int) int32 {
	if len(e.Ranked) == 0 {
		return int32(i)
	}
	return e.Ranks[i]
}

// IsLabelled says whether the example is one response with a label.
func (e *Example) IsLabelled() bool {
	return !e.IsDocument() && len(e.Ranked) == 0 && (len(e.Chosen.Response.IDs) == 0) != (len(e.Rejected.Response.IDs) == 0)
}

// branches are all of them: the document, the prompt, and of each side the response and its critiques.
func (e *Example) branches() []Branch {
	list := []Branch{e.Document, {IDs: e.Prompt}}
	for _, s := range e.replies() {
		list = append(append(list, s.Response), s.Critiques...)
	}
	return list
}

// weights is the error of a branch that has not one for each token.
func (e *Example) weights(b Branch) error {
	return fmt.Errorf("example %.40q: %d weights for %d tokens", e.ID, len(b.Weight), len(b.IDs))
}

// Parts says what of an example a method trains on.
type Parts struct {
	Critiques    bool // their tokens
	Rewards      bool // after critiques, or without them at the end of the responses: a scalar model
	MaxCritiques int  // at most the first this many of a response; 0: all
	Margin       bool // the example's margin is subtracted from the rewards' difference
	Scale        bool // the example's margin is the weight of its loss
	Scores       bool // rewards are held against the example's scores
	Lists        bool // rewards are ranked: examples are lists, of which a pair is one of two
}

// scalar says whether rewards are read at the end of responses.
func (p Parts) scalar() bool { return p.Rewards && !p.Critiques }

// firstOf is as many critiques of a response as are used.
func firstOf[T any](p Parts, list []T) []T {
	switch {
	case !p.Critiques:
		return nil
	case p.MaxCritiques > 0 && len(list) > p.MaxCritiques:
		return list[:p.MaxCritiques]
	}
	return list
}

// Check says what is wrong with an example that somebody else has made; vocab is the number of token ids.
func (e *Example) Check(p Parts, vocab int) error {
	if !p.Critiques && !p.Rewards && !e.IsDocument() {
		return fmt.Errorf("example %.40q: language modelling wants a document", e.ID)
	}
	if p.Rewards && e.IsDocument() {
		return fmt.Errorf("example %.40q: rewards want a pair, got a document", e.ID)
	}
	if len(e.Ranked) > 0 {
		if !p.Rewards || !p.Lists {
			return fmt.Errorf("example %.40q: a list of ranked responses, want a pair", e.ID)
		}
		if len(e.Ranks) != len(e.Ranked) || !slices.IsSorted(e.Ranks) {
			return fmt.Errorf("example %.40q: ranks %v of %d responses: want one for each, not falling", e.ID, e.Ranks, len(e.Ranked))
		}
	}
	if p.Rewards && p.Scores && len(e.Scores) != 2 {
		return fmt.Errorf("example %.40q: %d scores, want one for each of its two sides", e.ID, len(e.Scores))
	}
	for _, s := range e.replies() {
		if len(s.Response.IDs) == 0 && e.IsLabelled() && len(s.Critiques) == 0 {
			continue
		}
		if !e.IsDocument() && len(s.Response.IDs) == 0 {
			return fmt.Errorf("example %.40q: a response has no tokens of its own", e.ID)
		}
		if r := s.Response.Read; p.scalar() && (r < 0 || r >= len(s.Response.IDs)) {
			return fmt.Errorf("example %.40q: the reward of a response is read at token %d of %d", e.ID, r, len(s.Response.IDs))
		}
		for _, z := range s.Critiques {
			if z.Read < 0 || z.Read >= len(z.IDs) {
				return fmt.Errorf("example %.40q: the reward of a critique is read at token %d of %d", e.ID, z.Read, len(z.IDs))
			}
		}
	}
	for _, b := range e.branches() {
		if b.Weight != nil && len(b.Weight) != len(b.IDs) {
			return e.weights(b)
		}
		for _, id := range b.IDs {
			if id < 0 || int(id) >= vocab {
				return fmt.Errorf("example %.40q: token id %d, the model has 0 to %d", e.ID, id, vocab-1)
			}
		}
	}
	return nil
}

// Size is what an example costs and weighs.
type Size struct {
	Tokens   int     // of the packed tree
	Flat     int     // tokens if every branch were a sequence of its own
	Longest  int     // of the longest branch
	Weight   float64 // sum of the loss weights of its rows
	Pairs    int     // 1 if its rewards are learned from: both sides have one, or the one that is labelled; with scores one of them
	Compared int     // 1 if rewards are compared, so that they can be in the right order
}

// Size counts an example.
func (e *Example) Size(p Parts) Size {
	var s Size
	if e.IsDocument() {
		s.Tokens = len(e.Document.IDs)
		s.Flat, s.Longest = s.Tokens, s.Tokens
		for i := 1; i < s.Tokens; i++ {
			s.Weight += float64(e.Document.weight(i))
		}
		return s
	}
	s.Tokens = len(e.Prompt)
	rewarded := 0
	var ranks []int32 // of those with a reward
	labelled := e.IsLabelled()
	for i, reply := range e.replies() {
		if labelled && len(reply.Response.IDs) == 0 {
			continue
		}
		stem := len(e.Prompt) + len(reply.Response.IDs)
		s.Tokens += len(reply.Response.IDs)
		s.Longest = max(s.Longest, stem)
		critiques := firstOf(p, reply.Critiques)
		for _, z := range critiques {
			s.Tokens += len(z.IDs)
			s.Flat += stem + len(z.IDs)
			s.Longest = max(s.Longest, stem+len(z.IDs))
			for i := range z.IDs {
				s.Weight += float64(z.weight(i))
			}
		}
		if len(critiques) == 0 {
			s.Flat += stem
		}
		if p.scalar() || len(critiques) > 0 {
			rewarded++
			ranks = append(ranks, e.rank(i))
		}
	}
	if p.Lists {
		if p.Rewards && len(ranks) > 0 && ranks[0] != ranks[len(ranks)-1] {
			s.Pairs, s.Compared = 1, 1
		}
		return s
	}
	if p.Rewards && (rewarded == 2 || (labelled || p.Scores) && rewarded == 1) {
		s.Pairs = 1
	}
	if s.Pairs > 0 && (rewarded == 2 || !p.Scores) {
		s.Compared = 1
	}
	return s
}

// over is by how many tokens the longest branch of each side is over the limit.
func (e *Example) over(p Parts, limit int) (over [2]int) {
	if limit <= 0 {
		return over
	}
	for i, s := range e.pair() {
		longest := 0
		for _, z := range firstOf(p, s.Critiques) {
			longest = max(longest, len(z.IDs))
		}
		over[i] = len(e.Prompt) + len(s.Response.IDs) + longest - limit
	}
	return over
}

// AppendTo adds the example to a batch as a tree: [prompt][response+][critiques+][response-][critiques-]. Each critique
// token is a loss row; the first of a critique is predicted by the response's last token, whose position is repeated for
// every critique. Rewards are read in the critiques, or for a scalar model in the responses.
func (e *Example) AppendTo(b *model.Batch, p Parts) {
	if e.IsDocument() {
		at := int32(b.Len())
		b.Open(e.Document.IDs)
		b.Close()
		for i := 1; i < len(e.Document.IDs); i++ {
			addRow(b, at+int32(i)-1, e.Document.IDs[i], e.Document.weight(i))
		}
		return
	}
	if p.Rewards && len(b.SidePtr) == 0 {
		b.SidePtr = append(b.SidePtr, 0)
	}
	if len(e.Prompt) > 0 {
		b.Open(e.Prompt)
	}
	rewards := p.Rewards && e.Size(p).Pairs > 0 // a side without an other one is compared with nothing, unless it is labelled
	for _, reply := range e.replies() {
		if len(reply.Response.IDs) == 0 {
			if p.Rewards {
				b.SidePtr = append(b.SidePtr, int32(len(b.Leaf)))
			}
			continue
		}
		at := int32(b.Len())
		b.Open(reply.Response.IDs)
		last := int32(b.Len()) - 1
		if p.scalar() {
			b.Leaf = append(b.Leaf, at+int32(reply.Response.Read))
		}
		for _, z := range firstOf(p, reply.Critiques) {
			from, at := last, int32(b.Len())
			b.Open(z.IDs)
			b.Close()
			for i, id := range z.IDs {
				addRow(b, from, id, z.weight(i))
				from = at + int32(i)
			}
			if rewards {
				b.Leaf = append(b.Leaf, at+int32(z.Read))
			}
		}
		b.Close()
		if p.Rewards {
			b.SidePtr = append(b.SidePtr, int32(len(b.Leaf)))
		}
	}
	if len(e.Prompt) > 0 {
		b.Close()
	}
	if p.Rewards && p.Lists {
		e.appendRanks(b)
	}
	if p.Rewards && p.Margin {
		b.Margin = append(b.Margin, e.Margin)
	}
	if p.Rewards && p.Scale {
		b.Scale = append(b.Scale, e.Margin)
	}
	if p.Rewards && p.Scores {
		b.Score = append(b.Score, e.Scores...)
	}
}

// appendRanks tells which sides of the list that is last in the batch are worse than which.
func (e *Example) appendRanks(b *model.Batch) {
	if len(b.List) == 0 {
		b.List = append(b.List, 0)
	}
	first, end := len(b.Worse), len(b.SidePtr)-1
	for s := first; s < end; s++ {
		worse := s + 1
		for worse < end && e.rank(worse-first) == e.rank(s-first) {
			worse++
		}
		b.Worse = append(b.Worse, int32(worse))
	}
	b.List = append(b.List, int32(end))
}

// addRow adds a loss row, unless its weight is zero.
func addRow(b *model.Batch, row, target int32, weight float32) {
	if weight != 0 {
		b.Row, b.Target, b.Weight = append(b.Row, row), append(b.Target, target), append(b.Weight, weight)
	}
}

// Digest writes all that training reads of an example, each list after its length.
func (e *Example) Digest(w io.Writer) {
	n := 12
	for _, x := range e.branches() {
		n += 8 + 8*len(x.IDs)
	}
	b := make([]byte, 0, n)
	u := func(x uint32) { b = binary.LittleEndian.AppendUint32(b, x) }
	branch := func(x Branch) {
		u(uint32(len(x.IDs)))
		u(uint32(x.Read))
		for i, id := range x.IDs {
			b = binary.LittleEndian.AppendUint64(b, uint64(uint32(id))|uint64(math.Float32bits(x.weight(i)))<<32)
		}
	}
	branch(e.Document)
	branch(Branch{IDs: e.Prompt})
	u(math.Float32bits(e.Margin))
	for _, s := range e.replies() {
		branch(s.Response)
		u(uint32(len(s.Critiques)))
		for _, z := range s.Critiques {
			branch(z)
		}
	}
	for _, x := range e.Ranks { // nothing without them
		u(uint32(x))
	}
	for _, x := range e.Scores {
		u(math.Float32bits(x))
	}
	w.Write(b)
}
