package model

import "slices"

// segment is a run of prefix tokens in the cache, which all jobs whose prefix runs through it share.
type segment struct{ start, n, jobs int32 }

// prefill admits waiting jobs: it computes their prefixes as one forest, stores the keys and values, and draws the first
// token of every sample.
func (g *generator) prefill() {
	m := g.m
	jobs := g.admit()
	f := planting{jobs: jobs, row: make([]int32, len(jobs))}
	f.plant(&g.slots, 0, len(jobs), 0, nil, -1)
	if g.reserve(); g.err != nil {
		return
	}
	var seqs []*sequence
	var row []int32
	g.keys, g.index = g.keys[:0], g.index[:0]
	for i, j := range jobs {
		for k := range j.n {
			s := &sequence{job: j, out: &g.samples[j.req][j.first+k], key: SampleKey(j.key, j.first+k)}
			g.free--
			seqs, row = append(seqs, s), append(row, f.row[i])
			g.keys, g.index = append(g.keys, s.key), append(g.index, 0)
		}
	}
	st := &deviceBatch{n: f.Len(), rows: len(row), compact: true}
	p := &m.staging
	p.put(&st.id, f.IDs)
	p.putSight(st, &f.Forest, m.windows)
	p.put(&st.slot, f.slot)
	p.put(&st.row, row)
	p.put(&g.step, g.index)
	g.putAsks(seqs)
	p.flush(m)
	m.reserveRope(slices.Max(f.Pos) + int32(g.o.room()))
	m.forward(st, false)
	if g.draw(len(seqs)); g.err == nil {
		g.advance(seqs)
	}
}

// admit takes the jobs from the front of the queue that find seats, as many as fit one forward pass.
func (g *generator) admit() []*job {
	seats, tokens, n := g.free, 0, 0
	for n < len(g.wait) {
		j := g.wait[n]
		fresh := len(j.prefix)
		if n > 0 {
			fresh -= CommonPrefix(g.wait[n-1].prefix, j.prefix)
		}
		if j.n > seats || n > 0 && tokens+fresh > prefillTokens {
			break
		}
		j.live = j.n
		seats, tokens, n = seats-j.n, tokens+fresh, n+1
	}
	jobs := g.wait[:n]
	g.wait = g.wait[n:]
	return jobs
}

// planting builds the forest of new prefixes and notes where the cache will hold each token.
type planting struct {
	Forest
	slot []int32 // cache slot of each token
	row  []int32 // last token of each job's prefix
	jobs []*job
}

// plant appends the tokens from depth on of jobs [lo, hi), whose prefixes agree before it. Neighbours that agree further
// become one node, with the rest below it. above are the segments that lead here; at is the token before depth.
func (p *planting) plant(free *slots, lo, hi, depth int, above []*segment, at int32) {
	for lo < hi {
		j := p.jobs[lo]
		if len(j.prefix) == depth {
			p.row[lo], j.path = at, above
			lo++
			continue
		}
		end, depthNext := lo+1, len(j.prefix)
		for end < hi { // the run of neighbours that go on with the same token, and how far all of them agree
			c := CommonPrefix(j.prefix[depth:], p.jobs[end].prefix[depth:])
			if c == 0 {
				break
			}
			depthNext, end = min(depthNext, depth+c), end+1
		}
		seg := &segment{start: free.take(depthNext - depth), n: int32(depthNext - depth), jobs: int32(end - lo)}
		p.Open(j.prefix[depth:depthNext])
		for i := range seg.n {
			p.slot = append(p.slot, seg.start+i)
		}
		p.plant(free, lo, end, depthNext, append(slices.Clip(above), seg), int32(p.Len()-1))
		p.Close()
		lo = end
	}
}
