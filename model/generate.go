package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"criticrm/kernels"
	"criticrm/splitmix"
)

// RewardAt says where the reward of a sample is read.
type RewardAt int

// NoReward reads none. AtContent reads at the last token before the stop token, AtEnd at the stop token. A sample that was
// cut at MaxTokens has no stop token: both read at its last token.
const (
	NoReward RewardAt = iota
	AtContent
	AtEnd
)

// ParseRewardAt reads the name of a place: end or content.
func ParseRewardAt(name string) (RewardAt, error) {
	switch name {
	case "end":
		return AtEnd, nil
	case "content":
		return AtContent, nil
	}
	return NoReward, fmt.Errorf("model: head position: got %.40q, want end or content", name)
}

// Index is where the reward of a sample is read: an index in ids, which end with one of the stop tokens or with none. It
// is -1, the token before the sample, for AtContent and a sample that is a stop token only.
func (at RewardAt) Index(ids, stop []int32) int {
	n := len(ids) - 1
	if at == AtContent && n >= 0 && slices.Contains(stop, ids[n]) {
		n--
	}
	return n
}

// GenRequest asks for N samples that continue Prefix. Sample i draws its numbers from the stream SampleKey(Key, i).
type GenRequest struct {
	Prefix []int32
	N      int
	Key    uint64
}

// GenOptions hold for all requests of a call.
type GenOptions struct {
	Temperature  float32 // 0: greedy
	TopP         float32 // nucleus; 0 and 1: off
	TopK         int     // 0: off
	MaxTokens    int     // per sample, with the stop token
	Seed         uint64
	Stop         []int32 // a sample ends with the first of these
	Reward       RewardAt
	Endings      *Endings // what a sample that lacks something gets behind it; nil: nothing
	MaxSequences int      // decoded at once; 0: 256

	Progress func(tokens, ended int) // called between forward passes with the tokens drawn and the samples ended so far; nil: not
}

// GenSample is one sampled continuation.
type GenSample struct {
	IDs     []int32 // with the stop token, if one came
	LogProb float64 // sum over IDs of the natural log-probabilities at temperature 1, among all tokens
	Stopped bool    // by a stop token, not by MaxTokens
	Reward  float32 // as GenOptions.Reward says

	// Of a sample that went on along a path of GenOptions.Endings; Stopped says how it had ended itself.
	Added   int       // tokens at the end of IDs that the path has; in place of the stop token if there was one. 0: it got none
	Path    int       // which of the paths
	Chance  float64   // the path's probability among the paths, at temperature 1
	Chances []float64 // with Endings.All: that of every path
}

// SampleKey is the key of the random stream of sample i of a request: mix(mix(key) + i·0x9e3779b97f4a7c15), where mix is the finaliser
// of SplitMix64. Samples of one request never share a stream.
func SampleKey(key uint64, i int) uint64 {
	return splitmix.Mix(splitmix.Mix(key) + uint64(i)*splitmix.Golden)
}

const (
	defaultSequences = 256
	prefillTokens    = 8192 // of new prefixes in one forward pass
)

// Generate samples continuations and calls done, on this goroutine, with all samples of a request as soon as the last of them ends;
// requests end in any order. Tokens, log-probabilities and rewards depend on the weights, Seed, Key, sample index and prefix only: on the
// CPU to the bit; on a GPU the last bits of a sequence's logits may differ with its company. Leading tokens that neighbouring requests have in common
// are computed once when they are admitted together, and a request's prefix is kept once for all its samples. Finished
// sequences leave the batch at once and waiting requests take their place.
func (m *Model) Generate(ctx context.Context, reqs []GenRequest, o GenOptions, done func(req int, samples []GenSample)) (err error) {
	defer kernels.Recover(&err)
	if err := m.checkGenerate(reqs, &o); err != nil {
		return fmt.Errorf("model: generate: %w", err)
	}
	g := newGenerator(m, reqs, o, done)
	for len(g.wait) > 0 || len(g.active) > 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("model: generate: %w", err)
		}
		if g.admissible() {
			g.prefill()
		} else {
			g.next()
		}
		if g.err != nil {
			return fmt.Errorf("model: generate: %w", g.err)
		}
		if o.Progress != nil {
			o.Progress(g.drawn, g.ended)
		}
	}
	return nil
}

func (m *Model) checkGenerate(reqs []GenRequest, o *GenOptions) error {
	if o.TopP == 0 {
		o.TopP = 1
	}
	if o.MaxSequences == 0 {
		o.MaxSequences = defaultSequences
	}
	switch {
	case !m.HasLM():
		return errors.New("a sequence classifier has no LM head to sample from")
	case !(o.Temperature >= 0) || !finite(o.Temperature):
		return fmt.Errorf("temperature %v: want a finite number of at least 0", o.Temperature)
	case !(o.TopP > 0 && o.TopP <= 1):
		return fmt.Errorf("top_p %v: want 0 to 1", o.TopP)
	case o.TopK < 0 || o.TopK > 1<<30:
		return fmt.Errorf("top_k %d: want 0 (off) or more", o.TopK)
	case o.MaxTokens < 1 || o.MaxTokens > m.MaxPositionEmbeddings:
		return fmt.Errorf("max tokens %d: want 1..%d", o.MaxTokens, m.MaxPositionEmbeddings)
	case o.MaxSequences < 1 || o.MaxSequences > 1<<20:
		return fmt.Errorf("max sequences %d: want 1..%d", o.MaxSequences, 1<<20)
	case o.Reward < NoReward || o.Reward > AtEnd:
		return fmt.Errorf("reward position %d is not known", o.Reward)
	case o.Reward != NoReward && !m.hasReward:
		return errors.New("rewards are asked for, but the model has no reward head")
	}
	for _, id := range o.Stop {
		if id < 0 || int(id) >= m.VocabSize {
			return fmt.Errorf("stop token %d: want 0..%d", id, m.VocabSize-1)
		}
	}
	if o.Endings != nil {
		if err := o.Endings.check(m.VocabSize, o.Stop); err != nil {
			return err
		}
	}
	total, longest, room := 0, 0, o.room()
	for i, r := range reqs {
		total, longest = total+r.N, max(longest, len(r.Prefix)+room)
		switch n := len(r.Prefix); {
		case r.N < 0:
			return fmt.Errorf("request %d: %d samples", i, r.N)
		case n == 0:
			return fmt.Errorf("request %d: the prefix is empty", i)
		case n+room > m.MaxPositionEmbeddings:
			return fmt.Errorf("request %d: a prefix of %d tokens and %d new ones are over max_position_embeddings (%d)", i, n, room, m.MaxPositionEmbeddings)
		}
		for j, id := range r.Prefix {
			if id < 0 || int(id) >= m.VocabSize {
				return fmt.Errorf("request %d: token %d: id %d, want 0..%d", i, j, id, m.VocabSize-1)
			}
		}
	}
	// Slots of the cache are numbered by int32, and it grows by a quarter more than is asked for.
	if seats := min(o.MaxSequences, total); seats > maxSlots/max(longest, 1) {
		return fmt.Errorf("%d sequences of up to %d tokens at once: want at most %d tokens in all: lower max sequences or max tokens", seats, longest, maxSlots)
	}
	return nil
}

// room is how many tokens a sample may have.
func (o *GenOptions) room() int { return o.MaxTokens + o.Endings.longest() }

// maxSlots is how many tokens the cache may hold.
const maxSlots = math.MaxInt32 / 5 * 4

// job is a run of samples of one request that are admitted together.
type job struct {
	req, first, n int
	key           uint64
	prefix        []int32
	path          []*segment // where the cache holds the prefix
	live          int        // samples that have not ended
}

// sequence is one sample while it is decoded.
type sequence struct {
	job     *job
	out     *GenSample
	key     uint64
	own     int32 // first of its slots in the cache
	room    int   // how many it has
	closing bool  // complete; runs once more to read the reward at its last token
	ending  *ending
}

// generator is the state of one call of Generate. The cache's slots hold prefixes and, in runs that grow with them, what sequences have
// written themselves.
type generator struct {
	m    *Model
	o    GenOptions
	done func(int, []GenSample)
	stop []bool // by token id
	ways *ways  // of the endings; nil: there are none

	samples [][]GenSample
	left    []int // samples of a request that have not ended
	wait    []*job
	active  []*sequence // sequences of a job are neighbours
	free    int         // seats that are not taken
	seats   int
	slots   slots
	drawn   int // tokens
	ended   int // samples
	err     error

	// host and device memory of a step, used again
	ids, pos, slot, group, segPtr, segStart, segLen, ownStart, ownLen, index []int32
	keys, sent                                                               []uint64 // of the rows; those that the device has
	logprob, reward                                                          []float32
	step                                                                     kernels.Tensor // index of the token in its sequence
	iota                                                                     []int32        // what rows has uploaded
	askPtr, askIDs                                                           []int32        // tokens that the rows are asked for
	ask                                                                      [2]kernels.Tensor
	asked                                                                    []float32 // their log-probabilities
}

func newGenerator(m *Model, reqs []GenRequest, o GenOptions, done func(int, []GenSample)) *generator {
	g := &generator{m: m, o: o, done: done, stop: make([]bool, m.VocabSize)}
	for _, id := range o.Stop {
		g.stop[id] = true
	}
	if o.Endings != nil {
		g.ways = newWays(o.Endings.Paths)
	}
	g.samples, g.left = make([][]GenSample, len(reqs)), make([]int, len(reqs))
	total := 0
	for i, r := range reqs {
		g.samples[i], g.left[i] = make([]GenSample, r.N), r.N
		total += r.N
		for first := 0; first < r.N; first += o.MaxSequences {
			g.wait = append(g.wait, &job{req: i, key: r.Key, first: first, n: min(r.N-first, o.MaxSequences), prefix: r.Prefix})
		}
		if r.N == 0 {
			done(i, g.samples[i])
		}
	}
	g.seats = min(o.MaxSequences, total)
	g.free = g.seats
	m.staging.host, m.staging.items = m.staging.host[:0], m.staging.items[:0] // of a batch that had no memory
	return g
}

// admissible says whether waiting jobs should enter now. They enter in groups, when a quarter of the seats is free, so that
// neighbours share what they have in common and a forward pass over prefixes is worth its start.
func (g *generator) admissible() bool {
	if len(g.wait) == 0 || g.wait[0].n > g.free {
		return false
	}
	return len(g.active) == 0 || g.free >= (g.seats+3)/4
}

// advance takes the drawn token of each sequence, in the order of seqs, and keeps those that go on in g.run.
func (g *generator) advance(seqs []*sequence) {
	for i, s := range seqs {
		if g.take(s, i) {
			g.active = append(g.active, s)
			continue
		}
		g.free, g.ended = g.free+1, g.ended+1
		g.slots.give(int(s.own), s.room)
		if s.job.live--; s.job.live == 0 {
			g.slots.release(s.job.path)
		}
		r := s.job.req
		if g.left[r]--; g.left[r] == 0 {
			g.done(r, g.samples[r])
		}
	}
}

// take adds row i's token to s and says whether s goes on.
func (g *generator) take(s *sequence, i int) bool {
	if s.closing {
		s.out.Reward = g.reward[i]
		return false
	}
	if s.ending != nil {
		return g.follow(s, i)
	}
	id := g.ids[i]
	stopped := g.stop[id]
	ends := stopped || len(s.out.IDs)+1 == g.o.MaxTokens
	if ends && g.begin(s, i, stopped) && stopped { // the path takes the stop token's place
		return len(s.out.IDs) > 0 || g.follow(s, i) // a last token of its own is fed once more
	}
	s.out.IDs, g.drawn = append(s.out.IDs, id), g.drawn+1
	s.out.LogProb += float64(g.logprob[i])
	if !ends || s.ending != nil {
		return true
	}
	s.out.Stopped = stopped
	return g.close(s, i, stopped)
}

// close ends a sample whose last token row i has given, and says whether it must run once more.
func (g *generator) close(s *sequence, i int, stopped bool) bool {
	switch {
	case g.o.Reward == NoReward:
		return false
	case stopped && g.o.Reward == AtContent:
		s.out.Reward = g.reward[i] // of the row that drew the stop token: the last content token
		return false
	}
	s.closing = true
	return true
}

// next feeds the last token of every running sequence and draws the next.
func (g *generator) next() {
	m, n := g.m, len(g.active)
	if g.grow(); g.err != nil {
		return
	}
	st := &deviceBatch{n: n, decode: true}
	g.context()
	p := &m.staging
	p.put(&st.id, g.ids)
	p.put(&st.pos, g.pos)
	p.put(&st.slot, g.slot)
	c := &st.context
	p.put(&c.Group, g.group)
	p.put(&c.SegPtr, g.segPtr)
	p.put(&c.SegStart, g.segStart)
	p.put(&c.SegLen, g.segLen)
	p.put(&c.OwnStart, g.ownStart)
	p.put(&c.OwnLen, g.ownLen)
	p.put(&g.step, g.index)
	g.putAsks(g.active)
	p.flush(m)
	m.forward(st, false)
	g.draw(n)
	if g.err != nil {
		return
	}
	seqs := g.active
	g.active = g.active[:0] // advance writes behind its own reading
	g.advance(seqs)
	clear(seqs[len(g.active):])
}

// context describes the running sequences: last token, position, slot, and what each sees in the cache.
func (g *generator) context() {
	g.ids, g.pos, g.slot, g.index, g.group = g.ids[:0], g.pos[:0], g.slot[:0], g.index[:0], g.group[:0]
	g.segPtr, g.segStart, g.segLen = append(g.segPtr[:0], 0), g.segStart[:0], g.segLen[:0]
	g.ownStart, g.ownLen, g.keys = g.ownStart[:0], g.ownLen[:0], g.keys[:0]
	var last *job
	for _, s := range g.active {
		if s.job != last {
			last = s.job
			for _, seg := range last.path {
				g.segStart, g.segLen = append(g.segStart, seg.start), append(g.segLen, seg.n)
			}
			g.segPtr = append(g.segPtr, int32(len(g.segStart)))
		}
		id, k := g.last(s)
		g.ids = append(g.ids, id)
		g.pos = append(g.pos, int32(len(last.prefix))+k)
		g.slot = append(g.slot, s.own+k)
		g.index = append(g.index, k+1)
		g.group = append(g.group, int32(len(g.segPtr)-2))
		g.ownStart, g.ownLen = append(g.ownStart, s.own), append(g.ownLen, k+1)
		g.keys = append(g.keys, s.key)
	}
}

// draw samples a token from each of the n rows of m.tail.f into g.ids and g.logprob, and reads the rewards of the rows. The caller has
// set g.keys and g.step. All figures come in one download, for which alone the host waits.
func (g *generator) draw(n int) {
	m, d, t, z := g.m, g.m.Dev, &g.m.tail, &g.m.sampled
	m.fit(&z.keys, kernels.U64, n)
	m.fit(&t.logits, kernels.F32, n, m.VocabSize)
	// Ids as they are, log-probabilities, those that were asked for, rewards.
	asked, rewards := len(g.askIDs), g.o.Reward != NoReward
	m.fit(&z.figures, kernels.F32, 3*n+asked)
	figures := z.figures
	if !slices.Equal(g.keys, g.sent) {
		d.Upload(z.keys, g.keys)
		g.sent = append(g.sent[:0], g.keys...)
	}
	m.logits(t.logits, t.f)
	d.Sample(kernels.Sample{ID: figures.Rows(0, n).As(kernels.I32), LogProb: figures.Rows(n, 2*n), Logits: t.logits, Key: z.keys, Step: g.step, Seed: g.o.Seed,
		Temperature: g.o.Temperature, TopP: g.o.TopP, TopK: g.o.TopK})
	g.readAsks(figures.Rows(2*n, 2*n+asked), t.logits)
	if rewards {
		d.RewardHead(figures.Rows(2*n+asked, 3*n+asked), t.f, g.rows(n), m.score.W)
	} else {
		figures = figures.Rows(0, 2*n+asked)
	}
	host := d.DownloadLater(figures)()
	if g.err = d.Fault(); g.err != nil {
		return
	}
	g.ids = resize(g.ids, n)
	for i := range g.ids {
		g.ids[i] = int32(math.Float32bits(host[i]))
	}
	g.logprob, g.asked, g.reward = host[n:2*n], host[2*n:2*n+asked], host[2*n+asked:]
}

// rows are the numbers 0 to n-1 on the device.
func (g *generator) rows(n int) kernels.Tensor {
	rows := &g.m.sampled.rows
	g.m.fit(rows, kernels.I32, n)
	if n > len(g.iota) {
		for i := len(g.iota); i < n; i++ {
			g.iota = append(g.iota, int32(i))
		}
		g.m.Dev.Upload(*rows, g.iota)
	}
	return *rows
}
