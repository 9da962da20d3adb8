package model

import "slices"

// prefill admits waiting jobs: it computes what the cache does not know of their prefixes as one forest, stores the keys and values, and
// draws the first token of every sample.
func (g *Decoder) prefill() {
	m := g.m
	jobs := g.admit()
	leaves := make([]*segment, len(jobs))
	for i, j := range jobs {
		leaves[i] = j.leaf
	}
	f := plant(leaves, &g.tree.root)
	g.stats.Read += len(f.row)
	if g.reserve(); g.err != nil {
		return
	}
	var seqs []*sequence
	var row []int32
	g.keys, g.index = g.keys[:0], g.index[:0]
	for _, j := range jobs {
		for k := range j.n {
			s := &sequence{job: j, place: j.first + k, out: &j.of.samples[j.first+k], key: SampleKey(j.key, j.first+k)}
			g.free--
			seqs, row = append(seqs, s), append(row, f.last[j.leaf])
			g.keys, g.index = append(g.keys, s.key), append(g.index, 0)
		}
	}
	st := &deviceBatch{n: len(f.row), rows: len(row), compact: true}
	p := &m.staging
	if len(f.cached) == 0 {
		p.put(&st.id, f.IDs)
		p.putSight(st, &f.Forest, m.windows)
	} else {
		g.putAround(st, f)
	}
	p.put(&st.slot, f.slot)
	p.put(&st.row, row)
	p.put(&g.steps, g.index)
	g.putAsks(seqs)
	p.flush(m)
	room := 0
	for _, j := range jobs {
		room = max(room, j.of.room)
	}
	m.reserveRope(slices.Max(f.Pos) + int32(room))
	m.forward(st, false)
	if g.draw(seqs); g.err == nil {
		g.advance(seqs)
	}
}

// putAround puts the tokens that are computed, and the forest around them.
func (g *Decoder) putAround(st *deviceBatch, f *planting) {
	p, w, n := &g.m.staging, &around{n: f.Len()}, len(f.row)
	id, pos := make([]int32, n), make([]int32, n)
	for i, at := range f.row {
		id[i], pos[i] = f.IDs[at], f.Pos[at]
	}
	p.put(&st.id, id)
	p.put(&st.pos, pos)
	p.put(&w.pos, f.Pos)
	p.put(&w.end, f.End)
	w.tiles = p.putTiles(&f.Forest, g.m.windows)
	g.placePtr, g.placeSrc = lists(g.placePtr, g.placeSrc, f.row, f.Len())
	p.put(&w.row, f.row)
	p.put(&w.ptr, g.placePtr)
	p.put(&w.src, g.placeSrc)
	p.put(&w.cached, f.cached)
	p.put(&w.cachedAt, f.cachedAt)
	st.around = w
}

// aroundTokens is how many tokens that are there already may be around the new ones of a forward pass.
const aroundTokens = 4 * prefillTokens

// admit takes the jobs from the front of the queue that find seats, as many as fit one forward pass, into the tree of prefixes.
func (g *Decoder) admit() []*job {
	seats, fresh, there, n := g.free, 0, 0, 0
	for n < len(g.wait) {
		j := g.wait[n]
		known := min(g.tree.known(j.prefix), len(j.prefix)-1)
		if j.n > seats || n > 0 && (fresh+len(j.prefix)-known > prefillTokens || there+known > aroundTokens) {
			break
		}
		j.live, j.leaf = j.n, g.tree.enter(j.prefix)
		g.stats.Reused += known
		seats, fresh, there, n = seats-j.n, fresh+len(j.prefix)-known, there+known, n+1
	}
	jobs := g.wait[:n:n]
	g.wait = g.wait[n:]
	return jobs
}
