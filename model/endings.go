package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"criticrm/kernels"
	"criticrm/splitmix"
)

// Endings are token sequences of which a sample that lacks something gets one: what it has written goes on in the cache behind it.
//
// Where the paths part, the next token is drawn among theirs alone, with the probabilities that the model gives them, by temperature, top_k and
// top_p. A path may end where others go on (1, 10): it does so with the probability that the model does not go on with theirs, whatever it
// would write instead. The model is asked about the paths' own tokens only, so a probability is that of their spelling.
type Endings struct {
	// Paths all begin with the same token. Each ends with a stop token and has no other; none is there twice.
	Paths [][]int32
	All   bool // also the chance of every path, GenSample.Chances

	// Lacks says whether a sample of a request that has ended gets a path: of its ids without the stop token, and whether there was one.
	Lacks func(req int, ids []int32, stopped bool) bool
}

// longest is how many tokens may stand behind MaxTokens.
func (e *Endings) longest() int {
	n := 0
	if e != nil {
		for _, p := range e.Paths {
			n = max(n, len(p))
		}
	}
	return n
}

// check says what is wrong with the paths; stop tells the stop tokens.
func (e *Endings) check(vocab int, stop []int32) error {
	if len(e.Paths) == 0 || e.Lacks == nil {
		return errors.New("endings: want paths, and Lacks to say who gets one")
	}
	seen := map[string]bool{}
	for i, p := range e.Paths {
		last := len(p) - 1
		for k, id := range p {
			switch {
			case id < 0 || int(id) >= vocab:
				return fmt.Errorf("endings: path %d: id %d, want 0..%d", i, id, vocab-1)
			case slices.Contains(stop, id) != (k == last):
				return fmt.Errorf("endings: path %d: its last token, and no other, must be a stop token", i)
			}
		}
		if key := fmt.Sprint(p); len(p) < 2 || p[0] != e.Paths[0][0] || seen[key] {
			return fmt.Errorf("endings: path %d is too short, there twice, or begins with another token than the first", i)
		} else {
			seen[key] = true
		}
	}
	return nil
}

// fork is a place in the tree of paths: what stands behind it.
type fork struct {
	id       int32 // the token that leads here
	depth    int   // tokens from the root
	path     int   // that ends here; -1: it goes on
	children []*fork
	ids      []int32 // of the children
}

// ways is the tree of paths. tour lists, each behind its parent, the places below the first parting that must be seen to know all chances.
type ways struct {
	root, first *fork
	tour        []*fork
}

func newWays(paths [][]int32) *ways {
	w := &ways{root: &fork{path: -1}}
	for i, p := range paths {
		at := w.root
		for _, id := range p {
			k := slices.Index(at.ids, id)
			if k < 0 {
				k = len(at.ids)
				at.ids, at.children = append(at.ids, id), append(at.children, &fork{id: id, depth: at.depth + 1, path: -1})
			}
			at = at.children[k]
		}
		at.path = i
	}
	for w.first = w.root; len(w.first.children) == 1; {
		w.first = w.first.children[0]
	}
	w.visit(w.first)
	return w
}

// visit adds what must be seen below a place, and says whether the place itself must be.
func (w *ways) visit(f *fork) bool {
	parts := len(f.children) > 1
	for _, c := range f.children {
		at := len(w.tour)
		w.tour = append(w.tour, c)
		if w.visit(c) {
			parts = true
		} else {
			w.tour = w.tour[:at]
		}
	}
	return parts
}

// chances are the probabilities of the places behind a parting, of their tokens' log-probabilities.
func (f *fork) chances(logprob []float32) []float64 {
	p, end, top := make([]float64, len(f.children)), -1, math.Inf(-1)
	for i, c := range f.children {
		if c.path >= 0 {
			end = i
		} else {
			top = max(top, float64(logprob[i]))
		}
	}
	if end >= 0 {
		top = 0 // what is left of 1 is the end's
	}
	sum := 0.0
	for i := range p {
		if i != end {
			p[i] = math.Exp(float64(logprob[i]) - top)
			sum += p[i]
		}
	}
	if end >= 0 {
		p[end] = max(0, 1-sum)
		sum += p[end]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// among draws one of a few things as the op sample draws a token: temperature 0 is the likeliest; top_k and top_p take the likeliest ones.
func among(p []float64, u float64, o *GenOptions) int {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	if o.Temperature == 0 {
		return order[0]
	}
	w, total := make([]float64, len(p)), 0.0
	for i := range p {
		w[i] = math.Pow(p[i]/p[order[0]], 1/float64(o.Temperature))
		total += w[i]
	}
	if o.TopK > 0 {
		order = order[:min(o.TopK, len(order))]
	}
	kept := 0.0
	for i, k := range order {
		if kept += w[k]; kept >= float64(o.TopP)*total {
			order = order[:i+1]
			break
		}
	}
	sum := 0.0
	for _, k := range order {
		if sum += w[k]; sum > u*kept {
			return k
		}
	}
	return order[0]
}

// ending is a sample on its way along a path.
type ending struct {
	at   *fork
	tour int                 // index of what is seen next; -1: nothing, a path is taken
	seen map[*fork][]float32 // log-probabilities behind the partings
}

// asks are the tokens whose log-probabilities a sequence needs of its next row.
func (g *Decoder) asks(s *sequence) []int32 {
	switch {
	case s.job.of.lacks == nil || s.closing || s.ending == nil && len(s.out.IDs) > 0:
		return nil
	case s.ending == nil: // the prompt's end, which is not fed again
		return g.ways.root.ids
	case s.ending.tour >= 0:
		return g.ways.tour[s.ending.tour].ids
	}
	return s.ending.at.ids
}

// putAsks sends what the rows of sequences are asked for.
func (g *Decoder) putAsks(seqs []*sequence) {
	if g.ways == nil {
		return
	}
	g.askPtr, g.askIDs = append(g.askPtr[:0], 0), g.askIDs[:0]
	for _, s := range seqs {
		g.askIDs = append(g.askIDs, g.asks(s)...)
		g.askPtr = append(g.askPtr, int32(len(g.askIDs)))
	}
	g.m.staging.put(&g.ask[0], g.askPtr)
	g.m.staging.put(&g.ask[1], g.askIDs)
}

// readAsks has the device read them off the logits.
func (g *Decoder) readAsks(to, logits kernels.Tensor) {
	if len(g.askIDs) > 0 {
		g.m.Dev.LogProbs(to, logits, g.ask[0], g.ask[1])
	}
}

// last is the token that a sequence feeds next and its place among its own.
func (g *Decoder) last(s *sequence) (id, at int32) {
	n := int32(len(s.out.IDs))
	if e := s.ending; e != nil && e.tour >= 0 {
		f := g.ways.tour[e.tour]
		return f.id, n + int32(f.depth-g.ways.first.depth) - 1
	}
	return s.out.IDs[n-1], n - 1
}

// begin has a sample that has ended, with row i, go on along a path; it says false if it lacks nothing.
func (g *Decoder) begin(s *sequence, i int, stopped bool) bool {
	if s.job.of.lacks == nil {
		return false
	}
	ids := s.out.IDs
	if !stopped {
		ids = append(ids, g.ids[i])
	}
	if !s.job.of.lacks(ids, stopped) {
		return false
	}
	s.out.Stopped, s.out.Chance, s.ending = stopped, 1, &ending{at: g.ways.root, tour: -1}
	return true
}

// follow takes row i of a sample on its way along a path and says whether it goes on.
func (g *Decoder) follow(s *sequence, i int) bool {
	e, logprob := s.ending, g.asked[g.askPtr[i]:g.askPtr[i+1]]
	switch {
	case e.tour >= 0:
		e.seen[g.ways.tour[e.tour]] = slices.Clone(logprob)
		if e.tour++; e.tour == len(g.ways.tour) {
			e.tour = -1 // the last token of its own is fed once more
			s.out.Chances = g.allChances(e)
		}
		return true
	case g.o.Endings.All && e.at == g.ways.first && e.seen == nil:
		e.seen = map[*fork][]float32{e.at: slices.Clone(logprob)}
		if len(g.ways.tour) > 0 {
			e.tour = 0
			return true
		}
		s.out.Chances = g.allChances(e)
	}
	k := 0
	if len(e.at.children) > 1 {
		p := e.at.chances(logprob)
		k = among(p, chance(s.job.of.o.Seed, s.key, len(s.out.IDs)), &s.job.of.o)
		s.out.Chance *= p[k]
	}
	g.append(s, e.at.ids[k], logprob[k])
	s.out.Added++
	if e.at = e.at.children[k]; e.at.path < 0 {
		return true
	}
	s.out.Path = e.at.path
	return g.close(s, i, true)
}

// chance is a number in [0, 1) of its own for each step of a sequence; the op sample draws from another stream.
func chance(seed, key uint64, step int) float64 {
	return float64(splitmix.Draw(splitmix.Mix(seed)^key, uint64(step))>>11) * 0x1p-53
}

// allChances are those of the paths, once all partings are seen.
func (g *Decoder) allChances(e *ending) []float64 {
	all := make([]float64, len(g.o.Endings.Paths))
	var spread func(f *fork, p float64)
	spread = func(f *fork, p float64) {
		if f.path >= 0 {
			all[f.path] = p
			return
		}
		share := []float64{1}
		if len(f.children) > 1 {
			share = f.chances(e.seen[f])
		}
		for i, c := range f.children {
			spread(c, p*share[i])
		}
	}
	spread(g.ways.first, 1)
	return all
}
