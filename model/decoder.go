package model

import (
	"fmt"
	"math"
	"slices"

	"criticrm/kernels"
)

// Decoder samples continuations for requests that come and go while others run: they join the batch, and leave it, between two of its steps.
// All of a Decoder is for one goroutine, which may do nothing else with the model meanwhile but Evaluate.
//
// The samples of a request are those of Generate, and on the CPU they do not depend on what else runs, to the bit. Prefixes are kept in a tree for requests that
// begin as others do: while one runs through them, and as many tokens after that as GenOptions.KeepTokens says.
type Decoder struct {
	m    *Model
	o    GenOptions
	stop []bool // by token id
	ways *ways  // of the endings; nil: there are none

	tree   prefixes
	wait   []*job
	active []*sequence // sequences of a job are neighbours
	free   int         // seats that are not taken
	seats  int
	slots  slots
	stats  DecoderStats
	drawn  int // tokens
	ended  int // samples
	err    error

	// host and device memory of a step, used again
	ids, pos, slot, group, segPtr, segStart, segLen, ownStart, ownLen, index []int32
	keys, sent                                                               []uint64 // of the rows; those that the device has
	logprob, reward                                                          []float32
	steps                                                                    kernels.Tensor // index of the token in its sequence
	iota                                                                     []int32        // what rows has uploaded
	askPtr, askIDs                                                           []int32        // tokens that the rows are asked for
	ask                                                                      [2]kernels.Tensor
	asked                                                                    []float32 // their log-probabilities
	segs                                                                     []*segment
	placePtr, placeSrc                                                       []int32
}

// DecoderStats are what a Decoder holds and has done.
type DecoderStats struct {
	Running, Waiting int // samples
	Cached           int // tokens of prefixes that no request needs now
	Read             int // tokens of prefixes that were computed
	Reused           int // tokens of prefixes that were there
	Written          int // tokens drawn
}

// Decoding is a request that a Decoder has taken.
type Decoding struct {
	o       GenOptions // how its tokens are drawn
	room    int        // tokens of a sample, at most
	samples []GenSample
	left    int // that have not ended
	gone    bool
	done    func([]GenSample)
	token   func(i int, id int32)
	lacks   func(ids []int32, stopped bool) bool // nil: no sample gets an ending
	jobs    []*job
}

// job is a run of samples of one request that are admitted together.
type job struct {
	of       *Decoding
	first, n int
	key      uint64
	prefix   []int32
	leaf     *segment // where the cache holds the prefix
	live     int      // samples that have not ended
}

// sequence is one sample while it is decoded.
type sequence struct {
	job     *job
	place   int // among the samples of the request
	out     *GenSample
	key     uint64
	own     int32 // first of its slots in the cache
	room    int   // how many it has
	closing bool  // complete; runs once more to read the reward at its last token
	ending  *ending
}

// NewDecoder begins without requests. Of the options Stop, Reward, Endings, MaxSequences and KeepTokens hold for all requests; how tokens are
// drawn, Seed too, is each request's. Endings.Lacks is not asked: a request brings its own.
func (m *Model) NewDecoder(o GenOptions) (*Decoder, error) {
	o.MaxTokens = max(o.MaxTokens, 1)
	if o.Endings != nil && o.Endings.Lacks == nil {
		e := *o.Endings
		e.Lacks = func(int, []int32, bool) bool { return false }
		o.Endings = &e
	}
	if err := m.checkShared(&o); err != nil {
		return nil, fmt.Errorf("model: decoder: %w", err)
	}
	d := newDecoder(m, o)
	d.seats = o.MaxSequences
	d.free = d.seats
	return d, nil
}

func newDecoder(m *Model, o GenOptions) *Decoder {
	d := &Decoder{m: m, o: o, stop: make([]bool, m.VocabSize)}
	for _, id := range o.Stop {
		d.stop[id] = true
	}
	if o.Endings != nil {
		d.ways = newWays(o.Endings.Paths)
	}
	d.tree.slots, d.tree.keep = &d.slots, o.KeepTokens
	m.staging.host, m.staging.items = m.staging.host[:0], m.staging.items[:0] // of a batch that had no memory
	return d
}

// Add takes a request, which joins the batch when there is room. o says how its tokens are drawn: Temperature, TopP, TopK, MaxTokens, Seed. done is
// called by Step with all samples; token, if it is not nil, with every token of sample i; lacks says which samples get one of the
// Decoder's endings, nil: none.
func (d *Decoder) Add(r GenRequest, o GenOptions, lacks func(ids []int32, stopped bool) bool, token func(i int, id int32), done func([]GenSample)) (*Decoding, error) {
	own := d.o
	own.Temperature, own.TopP, own.TopK, own.MaxTokens, own.Seed = o.Temperature, o.TopP, o.TopK, o.MaxTokens, o.Seed
	if own.TopP == 0 {
		own.TopP = 1
	}
	if lacks == nil {
		own.Endings = nil
	} else if d.ways == nil {
		return nil, fmt.Errorf("model: decoder: the request may need an ending, and the decoder has none")
	}
	err := d.m.checkDrawing(&own)
	if err == nil {
		err = d.m.checkRequest(r, &own)
	}
	if err == nil {
		err = checkSlots(d.seats, len(r.Prefix)+own.room())
	}
	if err != nil {
		return nil, fmt.Errorf("model: decoder: %w", err)
	}
	q := d.request(r, own)
	q.lacks, q.token, q.done = lacks, token, done
	d.add(q)
	return q, nil
}

// request makes a request of the decoder's without adding it.
func (d *Decoder) request(r GenRequest, o GenOptions) *Decoding {
	q := &Decoding{o: o, room: o.room(), samples: make([]GenSample, r.N), left: r.N}
	for first := 0; first < r.N; first += d.seats {
		q.jobs = append(q.jobs, &job{of: q, key: r.Key, first: first, n: min(r.N-first, d.seats), prefix: r.Prefix})
	}
	return q
}

func (d *Decoder) add(q *Decoding) {
	d.wait = append(d.wait, q.jobs...)
	if q.left == 0 {
		q.done(q.samples)
	}
}

// Cancel lets a request go: its samples leave the batch, and done is not called.
func (d *Decoder) Cancel(q *Decoding) {
	if q.gone || q.left == 0 {
		return
	}
	q.gone = true
	d.wait = slices.DeleteFunc(d.wait, func(j *job) bool { return j.of == q })
	kept := d.active[:0]
	for _, s := range d.active {
		if s.job.of != q {
			kept = append(kept, s)
			continue
		}
		d.end(s)
	}
	clear(d.active[len(kept):])
	d.active = kept
}

// Idle says that there is nothing to do.
func (d *Decoder) Idle() bool { return len(d.wait) == 0 && len(d.active) == 0 }

// Stats says what the decoder holds and has done.
func (d *Decoder) Stats() DecoderStats {
	s := d.stats
	s.Running, s.Cached, s.Written = len(d.active), d.tree.idle, d.drawn
	for _, j := range d.wait {
		s.Waiting += j.n
	}
	return s
}

// Step takes in requests that wait, if there is room for them, or draws the next token of every sample. After an error the decoder is of no
// use any more.
func (d *Decoder) Step() (err error) {
	defer kernels.Recover(&err)
	if d.Idle() {
		return nil
	}
	if d.step(true); d.err != nil {
		return fmt.Errorf("model: decoder: %w", d.err)
	}
	return nil
}

// step is Step. Eager, requests are taken in as soon as they fit.
func (g *Decoder) step(eager bool) {
	if g.admissible(eager) {
		g.prefill()
	} else {
		g.next()
	}
}

// admissible says whether waiting jobs should enter now. Where nobody waits for the first token they enter in groups, when a quarter of the
// seats is free, so that a forward pass over prefixes is worth its start.
func (g *Decoder) admissible(eager bool) bool {
	if len(g.wait) == 0 || g.wait[0].n > g.free {
		return false
	}
	return eager || len(g.active) == 0 || g.free >= (g.seats+3)/4
}

// advance takes the drawn token of each sequence, in the order of seqs, and keeps those that go on in g.active.
func (g *Decoder) advance(seqs []*sequence) {
	for i, s := range seqs {
		if g.take(s, i) {
			g.active = append(g.active, s)
			continue
		}
		g.ended++
		g.end(s)
		q := s.job.of
		if q.left--; q.left == 0 {
			q.done(q.samples)
		}
	}
}

// end frees what a sequence has.
func (g *Decoder) end(s *sequence) {
	g.free++
	g.slots.give(int(s.own), s.room)
	if s.job.live--; s.job.live == 0 {
		g.tree.leave(s.job.leaf)
	}
}

// append adds a token to a sample.
func (g *Decoder) append(s *sequence, id int32, logprob float32) {
	s.out.IDs, g.drawn = append(s.out.IDs, id), g.drawn+1
	s.out.LogProb += float64(logprob)
	if f := s.job.of.token; f != nil {
		f(s.place, id)
	}
}

// take adds row i's token to s and says whether s goes on.
func (g *Decoder) take(s *sequence, i int) bool {
	if s.closing {
		s.out.Reward = g.reward[i]
		return false
	}
	if s.ending != nil {
		return g.follow(s, i)
	}
	id := g.ids[i]
	stopped := g.stop[id]
	ends := stopped || len(s.out.IDs)+1 == s.job.of.o.MaxTokens
	if ends && g.begin(s, i, stopped) && stopped { // the path takes the stop token's place
		return len(s.out.IDs) > 0 || g.follow(s, i) // a last token of its own is fed once more
	}
	g.append(s, id, g.logprob[i])
	if !ends || s.ending != nil {
		return true
	}
	s.out.Stopped = stopped
	return g.close(s, i, stopped)
}

// close ends a sample whose last token row i has given, and says whether it must run once more.
func (g *Decoder) close(s *sequence, i int, stopped bool) bool {
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
func (g *Decoder) next() {
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
	p.put(&g.steps, g.index)
	g.putAsks(g.active)
	p.flush(m)
	m.forward(st, false)
	g.draw(g.active)
	if g.err != nil {
		return
	}
	seqs := g.active
	g.active = g.active[:0] // advance writes behind its own reading
	g.advance(seqs)
	clear(seqs[len(g.active):])
}

// context describes the running sequences: last token, position, slot, and what each sees in the cache.
func (g *Decoder) context() {
	g.ids, g.pos, g.slot, g.index, g.group = g.ids[:0], g.pos[:0], g.slot[:0], g.index[:0], g.group[:0]
	g.segPtr, g.segStart, g.segLen = append(g.segPtr[:0], 0), g.segStart[:0], g.segLen[:0]
	g.ownStart, g.ownLen, g.keys = g.ownStart[:0], g.ownLen[:0], g.keys[:0]
	var last *job
	for _, s := range g.active {
		if s.job != last {
			last = s.job
			g.segs = last.leaf.path(g.segs[:0])
			for _, seg := range g.segs {
				g.segStart, g.segLen = append(g.segStart, seg.start), append(g.segLen, int32(len(seg.ids)))
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

// draw samples a token of each sequence from its row of m.tail.f into g.ids and g.logprob, and reads the rewards of the rows. The caller has
// set g.keys and g.steps. All figures come in one download, for which alone the host waits.
func (g *Decoder) draw(seqs []*sequence) {
	m, d, t, z, n := g.m, g.m.Dev, &g.m.tail, &g.m.sampled, len(seqs)
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
	for lo, hi := 0, 0; lo < n; lo = hi { // neighbours that are drawn alike
		o := &seqs[lo].job.of.o
		for hi = lo + 1; hi < n && alike(o, &seqs[hi].job.of.o); {
			hi++
		}
		d.Sample(kernels.Sample{ID: figures.Rows(lo, hi).As(kernels.I32), LogProb: figures.Rows(n+lo, n+hi), Logits: t.logits.Rows(lo, hi), Key: z.keys.Rows(lo, hi),
			Step: g.steps.Rows(lo, hi), Seed: o.Seed, Temperature: o.Temperature, TopP: o.TopP, TopK: o.TopK})
	}
	g.readAsks(figures.Rows(2*n, 2*n+asked), t.logits)
	if rewards {
		m.rewards(figures.Rows(2*n+asked, 3*n+asked), t.f, g.rows(n))
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

// alike says whether two requests' tokens are drawn in the same way.
func alike(a, b *GenOptions) bool {
	return a == b || a.Temperature == b.Temperature && a.TopP == b.TopP && a.TopK == b.TopK && a.Seed == b.Seed
}

// rows are the numbers 0 to n-1 on the device.
func (g *Decoder) rows(n int) kernels.Tensor {
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
