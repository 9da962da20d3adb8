package model

import (
	"errors"
	"fmt"
	"slices"

	"criticrm/internal/trace"
	"criticrm/kernels"
	"criticrm/kernels/tile"
)

// deviceBatch is one batch on the device. Row lists are compacted: the R rows that predict a token, then the L leaves.
type deviceBatch struct {
	n, rows, leaves int
	compact         bool             // r = rows + leaves rows are gathered in the last layer; else all n tokens go on
	id, pos, end    kernels.Tensor   // (n)
	tiles           []kernels.Tensor // for each window of the model: what tile.Lists makes of end and pos
	row             kernels.Tensor   // (r)
	target          kernels.Tensor   // (R)
	weight          kernels.Tensor   // (R) f32
	margin, scale   kernels.Tensor   // (P) f32
	score           kernels.Tensor   // (2P) f32
	side, iota      kernels.Tensor   // (S+1); (L) 0, 1, …
	list, worse     kernels.Tensor   // (P+1), (S), or nothing
	rowPtr, rowSrc  kernels.Tensor   // which rows come from a token: (n+1), (r)
	idRow           kernels.Tensor   // which tokens have an id: (U), (U+1), (n)
	idPtr, idSrc    kernels.Tensor

	slot    kernels.Tensor // (n) cache slots to fill, or nothing
	around  *around        // the forest of which the n tokens are a part, where the others are in the cache; nil: they are all of it
	decode  bool           // attention against the cache, as context says
	context kernels.DecodeContext
}

func (s *deviceBatch) read() int {
	if s.compact {
		return s.rows + s.leaves
	}
	return s.n
}

// tail is everything after the last layer, on r rows.
type tail struct {
	x, f, df        kernels.Tensor // (r, H)  residual stream, final norm, gradient of it
	rstd            kernels.Tensor // (r) f32
	loss            kernels.Tensor // (7) f32 reward_loss's six numbers, critique loss
	logprob         kernels.Tensor // (R) f32
	reward, dreward kernels.Tensor // (L) f32
	logits          kernels.Tensor // (rows of a chunk, V) f32
}

// around is a forest of N tokens of which n are computed and M were before: those are in the cache.
type around struct {
	n                int              // N
	pos, end         kernels.Tensor   // (N)
	tiles            []kernels.Tensor // for each window of the model
	row              kernels.Tensor   // (n) place of a computed token in the forest
	ptr, src         kernels.Tensor   // (N+1), (n) which computed token is at a place
	cached, cachedAt kernels.Tensor   // (M) slot and place of the others
}

// sight is what attention is told of the batch.
func (s *deviceBatch) sight(l *layer) kernels.Sight {
	if w := s.around; w != nil {
		return kernels.Sight{End: w.end, Pos: w.pos, Tiles: w.tiles[l.tiles]}
	}
	return kernels.Sight{End: s.end, Pos: s.pos, Tiles: s.tiles[l.tiles]}
}

// staging collects int32 arrays, so that a batch costs one upload of them.
type staging struct {
	host  []int32
	items []staged

	ints, weight, margin, scale, score kernels.Tensor // on the device: the arrays, (R), (P), (P) and (2P) f32

	row, keyPtr, keySrc, iota []int32   // host memory that is used again
	tiles                     [][]int32 // by window
	ids                       grouping
}

type staged struct {
	dst   *kernels.Tensor
	at, n int
}

func (g *staging) put(dst *kernels.Tensor, x []int32) {
	g.items = append(g.items, staged{dst, len(g.host), len(x)})
	g.host = append(g.host, x...)
}

// putSight puts the tokens' positions and what they see, by token and by tile.
func (g *staging) putSight(s *deviceBatch, f *Forest, windows []int) {
	g.put(&s.pos, f.Pos)
	g.put(&s.end, f.End)
	s.tiles = g.putTiles(f, windows)
}

func (g *staging) putTiles(f *Forest, windows []int) []kernels.Tensor {
	tiles := make([]kernels.Tensor, len(windows))
	g.tiles = resizeLists(g.tiles, len(windows))
	for i, w := range windows {
		g.tiles[i] = tile.Lists(g.tiles[i], f.End, f.Pos, w)
		g.put(&tiles[i], g.tiles[i])
	}
	return tiles
}

func (g *staging) flush(m *Model) {
	m.fit(&g.ints, kernels.I32, len(g.host))
	m.Dev.Upload(g.ints, g.host)
	for _, i := range g.items {
		*i.dst = g.ints.Rows(i.at, i.at+i.n)
	}
	g.host, g.items = g.host[:0], g.items[:0]
}

// upload uploads a batch; train adds what only the backward pass needs.
func (m *Model) upload(b *Batch, train bool) *deviceBatch {
	g := &m.staging
	g.host, g.items = g.host[:0], g.items[:0] // of a batch that had no memory
	s := &deviceBatch{n: b.Len(), rows: len(b.Row), leaves: len(b.Leaf), compact: true}
	g.row = append(append(g.row[:0], b.Row...), b.Leaf...)
	for len(g.iota) < s.leaves {
		g.iota = append(g.iota, int32(len(g.iota)))
	}
	g.put(&s.id, b.IDs)
	g.putSight(s, &b.Forest, m.windows)
	g.put(&s.row, g.row)
	g.put(&s.target, b.Target)
	g.put(&s.iota, g.iota[:s.leaves])
	if train {
		g.keyPtr, g.keySrc = lists(g.keyPtr, g.keySrc, g.row, s.n)
		g.put(&s.rowPtr, g.keyPtr)
		g.put(&s.rowSrc, g.keySrc)
		row, ptr, src := g.ids.occurring(b.IDs)
		g.put(&s.idRow, row)
		g.put(&s.idPtr, ptr)
		g.put(&s.idSrc, src)
		g.put(&s.side, b.SidePtr)
		if len(b.List) > 0 {
			g.put(&s.list, b.List)
			g.put(&s.worse, b.Worse)
		}
	}
	g.flush(m)
	m.fit(&g.weight, kernels.F32, s.rows)
	s.weight = g.weight
	if len(b.Weight) > 0 {
		m.Dev.Upload(s.weight, b.Weight)
	} else {
		m.Dev.Zero(s.weight)
	}
	if len(b.Margin) > 0 {
		m.fit(&g.margin, kernels.F32, len(b.Margin))
		s.margin = g.margin
		m.Dev.Upload(s.margin, b.Margin)
	}
	if len(b.Scale) > 0 {
		m.fit(&g.scale, kernels.F32, len(b.Scale))
		s.scale = g.scale
		m.Dev.Upload(s.scale, b.Scale)
	}
	if len(b.Score) > 0 {
		m.fit(&g.score, kernels.F32, len(b.Score))
		s.score = g.score
		m.Dev.Upload(s.score, b.Score)
	}
	m.reserveRope(slices.Max(b.Pos))
	return s
}

// shared says whether all layers have one set of activations: without a backward pass, and with gradient checkpointing, where each has
// its input for itself.
func (m *Model) shared(keep bool) bool { return !keep || m.opt.GradientCheckpointing }

// layer gives the activations of layer l.
func (m *Model) layer(l int, keep bool) *acts {
	if m.shared(keep) || l < m.lowest { // what is below the lowest that is trained keeps nothing
		l = 0
	}
	return &m.acts[l]
}

// input gives a layer that shares its other activations its own place for its input (n, H).
func (m *Model) input(a *acts, l, n int) {
	if m.opt.GradientCheckpointing {
		own, all := &m.acts[l].x, a.xr == a.x
		m.fit(own, m.opt.DType, n, m.HiddenSize)
		a.x = *own
		if all {
			a.xr = a.x
		}
	}
}

// forward runs the decoder and leaves the final norm of the rows that are read in m.tail.f (r, H). keep says that a backward
// pass follows.
func (m *Model) forward(s *deviceBatch, keep bool) {
	d, z, last := m.Dev, &m.scratch, len(m.blocks)-1
	if m.shared(keep) || m.lowest > 0 { // no memory may move between two layers
		m.acts[0].reserve(m, s.n, max(s.n, s.read()), false)
	}
	if s.around != nil {
		z.reserveAround(m, s.around.n)
	}
	m.beginForward()
	var in, mlp kernels.Tensor
	for l := range m.blocks {
		m.useLayer(l, l+1)
		span := trace.BeginNumbered(trace.Compute, "forward of layer", l)
		b, a := &m.blocks[l], m.layer(l, keep)
		r, compact := s.n, false
		if l == last {
			r, compact = s.read(), s.compact
		}
		a.reserve(m, s.n, r, compact)
		if keep && l >= m.lowest {
			m.input(a, l, s.n)
		}
		if l == 0 {
			m.embedTokens(a.x, s.id)
		}
		z.reserveNorms(m, s.n, r)
		b.attend(m, l, a, s, z, in, mlp)
		if compact {
			d.Gather(a.xr, a.x, s.row)
			d.Gather(a.attr, a.att2, s.row)
		}
		z.reserveForward(m, r)
		b.feed(m, a, z)
		in, mlp = a.x1, z.mlp
		span.End()
	}
	t, r := &m.tail, s.read()
	m.fit(&t.x, m.opt.DType, r, m.HiddenSize)
	m.fit(&t.f, m.opt.DType, r, m.HiddenSize)
	m.fit(&t.rstd, kernels.F32, r)
	d.RMSNorm(t.f, t.x, t.rstd, in, mlp, m.norm.W, m.eps, m.shift)
}

// learnsBelow says whether something is trained but for the heads.
func (m *Model) learnsBelow() bool { return m.lowest < len(m.blocks) || !m.norm.G.IsNil() }

// backward reads forward from the bottom up: from m.tail.df to the gradients of all parameters that are trained.
func (m *Model) backward(s *deviceBatch) {
	if !m.learnsBelow() {
		return
	}
	d, z, t, last := m.Dev, &m.scratch, &m.tail, len(m.blocks)-1
	z.reserveBackward(m, s.n, s.read(), s.compact)
	d.Zero(z.dresr)
	d.RMSNormBackward(z.dresr, m.normGradient(m.norm), t.f, t.df, t.x, m.norm.W, t.rstd, m.shift) // f as it was
	for l := last; l >= m.lowest; l-- {
		span := trace.BeginNumbered(trace.Compute, "backward of layer", l)
		m.useLayer(l, m.below(l))
		m.beginLayerGradients(l)
		b, a := &m.blocks[l], m.layer(l, true)
		if m.opt.GradientCheckpointing && l < last {
			a.reserve(m, s.n, s.n, false)
			m.input(a, l, s.n)
			z.reserveForward(m, s.n)
			b.attend(m, l, a, s, z, none, none)
			b.feedAgain(m, a, z)
		}
		b.feedBackward(m, a, z)
		if l == last && s.compact {
			d.GatherBackward(z.dres, z.dresr, s.rowPtr, s.rowSrc)
			d.GatherBackward(z.datt2, z.dattr, s.rowPtr, s.rowSrc)
		}
		b.attendBackward(m, l, a, s, z)
		m.sendFrom(l)
		if l == last && s.compact {
			z.reserveBackward(m, s.n, s.n, false) // dres stays: its memory and size are the same
		}
		span.End()
	}
	m.embedBackward(z.dres, s)
}

// LossOptions say what is minimised: Lambda·critique + (1 - Lambda)·reward. The scales make the sums over batches and devices
// that share an optimizer step into means.
type LossOptions struct {
	Lambda     float32         // weight of the critique loss, 0 to 1
	Center     float32         // coefficient of (c + r)², which keeps rewards around zero
	TokenScale float32         // 1 / sum of the weights of all rows of the optimizer step
	PairScale  float32         // 1 / number of all pairs of the optimizer step
	Pairing    kernels.Pairing // which leaves of a pair are compared
	Smoothing  float32         // share of the labels that are taken to be wrong, in [0, ½)
	Alone      bool            // the leaves of a pair's only side are compared with the reward 0: its label is learned
}

// Losses of one batch, scaled by TokenScale and PairScale: those of the batches of one step add up to the step's.
type Losses struct {
	Joint    float32 // Lambda·Critique + (1 - Lambda)·Reward
	Critique float32 // cross-entropy of the critique tokens
	Reward   float32 // -log σ of the margins, with centring; or the squared error against scores, or of lists -log of their order's chance
	Accuracy float32 // share of pairs in the right order; a tie counts one half
	Margin   float32 // reward of the chosen minus reward of the rejected
	Ties     float32 // number of compared pairs of rewards that are equal to the bit
	Rewards  Rewards // of the batch's leaves, where there are pairs
}

// TrainStep runs the batch forward and backward and adds the gradient of the joint loss to the parameters' G. Leaves without pairs
// take no part in the loss.
func (m *Model) TrainStep(b *Batch, o LossOptions) (Losses, error) {
	losses, err := m.TrainStepLater(b, o)
	if err != nil {
		return Losses{}, err
	}
	l := losses()
	if err := m.Dev.Sync(); err != nil {
		return Losses{}, fmt.Errorf("model: train step: %w", err)
	}
	return l, nil
}

// TrainStepLater queues what TrainStep does. The function that it gives, to be called once, waits for the losses of this step
// and not for what was queued after it. A fault of the device is for the caller to ask for.
func (m *Model) TrainStepLater(b *Batch, o LossOptions) (losses func() Losses, err error) {
	defer kernels.Recover(&err)
	if !m.opt.Train {
		return nil, errNotTrained
	}
	err = b.validate(m, true)
	if err == nil && len(b.Row)+len(b.Leaf) == 0 {
		err = errors.New("nothing to learn from: no rows and no leaves")
	}
	if err == nil && (o.Pairing < kernels.Cross || o.Pairing > kernels.Zip) {
		err = fmt.Errorf("pairing %d is not known", o.Pairing)
	}
	if err == nil && len(b.List) > 0 && o.Pairing == kernels.Cross {
		err = errors.New("lists are not compared crosswise: want pairing mean or zip")
	}
	if err == nil && !(o.Smoothing >= 0 && o.Smoothing < 0.5) {
		err = fmt.Errorf("smoothing %v: want at least 0 and less than 1/2", o.Smoothing)
	}
	if err != nil {
		return nil, fmt.Errorf("model: batch: %w", err)
	}
	span := trace.Begin(trace.Host, "upload of a micro-batch")
	s := m.upload(b, true)
	span.EndWith(trace.Number{Name: "tokens", N: int64(s.n)})
	m.forward(s, true)
	m.beginGradients()
	span = trace.Begin(trace.Compute, "heads and losses")
	m.losses(s, o)
	span.End()
	read := m.Dev.DownloadLater(m.tail.loss)
	m.backward(s)
	m.sendFrom(beforeLayers)
	if err := m.shardError(); err != nil {
		return nil, err
	}
	pairs := len(b.SidePtr) > 2 && len(b.Leaf) > 0
	return func() Losses {
		x := read()
		if !pairs { // reward_loss did not run
			return Losses{Joint: o.Lambda * x[6], Critique: x[6]}
		}
		l := Losses{Joint: x[0], Critique: x[1], Reward: x[2], Accuracy: x[3], Margin: x[4], Ties: x[5]}
		l.Rewards.Add(x[lossFigures:])
		return l
	}, nil
}

// lossFigures is where in the losses' tensor the rewards begin, which are read with them: seven figures, and one for alignment.
const lossFigures = 8

// losses computes both losses and leaves their gradient in m.tail.df (r, H).
func (m *Model) losses(s *deviceBatch, o LossOptions) {
	d, t, h := m.Dev, &m.tail, m.HiddenSize
	m.fit(&t.df, m.opt.DType, s.read(), h)
	m.fit(&t.loss, kernels.F32, lossFigures+s.leaves)
	d.Zero(t.loss)
	critique := t.loss.Rows(6, 7)
	switch {
	case s.rows == 0:
	case o.Lambda*o.TokenScale == 0 || m.head.G.IsNil() && !m.learnsBelow(): // measured, not learned
		m.critique(s, critique, o, none, none)
		d.Zero(t.df.Rows(0, s.rows))
	default:
		m.critique(s, critique, o, t.df.Rows(0, s.rows), m.head.G)
	}
	if s.leaves == 0 {
		return
	}
	m.fit(&t.dreward, kernels.F32, s.leaves)
	f, df := t.f.Rows(s.rows, s.rows+s.leaves), t.df.Rows(s.rows, s.rows+s.leaves)
	if s.side.Len() < 3 {
		d.Zero(df)
		return
	}
	d.RewardLoss(kernels.RewardLoss{Loss: t.loss.Rows(0, 6), Reward: t.loss.Rows(lossFigures, lossFigures+s.leaves), DReward: t.dreward, DX: df, DW: m.score.G, X: f, W: m.score.W,
		Side: s.side, List: s.list, Worse: s.worse, Margin: s.margin, Weight: s.scale, Target: s.score, Smoothing: o.Smoothing, Alone: o.Alone, Critique: critique, Lambda: o.Lambda, Center: o.Center, LossScale: o.PairScale,
		GradScale: (1 - o.Lambda) * o.PairScale, Pairing: o.Pairing})
}

// critique runs the LM head on the rows, chunk by chunk; dx and dw may be left out.
func (m *Model) critique(s *deviceBatch, loss kernels.Tensor, o LossOptions, dx, dw kernels.Tensor) {
	t := &m.tail
	m.fit(&t.logprob, kernels.F32, s.rows)
	m.fit(&t.logits, kernels.F32, min(s.rows, m.chunkRows()), m.VocabSize)
	m.Dev.CritiqueLoss(kernels.CritiqueLoss{LogitScale: m.logitScale, LogitCap: m.logitCap, Loss: loss, LogProb: t.logprob, DX: dx, DW: dw, X: t.f.Rows(0, s.rows), W: m.head.W,
		Target: s.target, Weight: s.weight, LossScale: o.TokenScale, GradScale: o.Lambda * o.TokenScale,
		Scratch: t.logits})
}

// logits gives the LM head's (n, V) for the rows of f (n, H).
func (m *Model) logits(out, f kernels.Tensor) {
	m.Dev.Matmul(out, f, m.head.W, none)
	if m.logitScale != 1 || m.logitCap != 0 {
		m.Dev.SoftCap(out, m.logitScale, m.logitCap)
	}
}

// chunkRows is how many rows of logits exist at once: on a CPU a few megabytes of them, and enough rows for an efficient product;
// on a GPU a gigabyte, because every chunk reads and writes the whole gradient of the head.
func (m *Model) chunkRows() int {
	if m.Dev.Name() == "cuda" {
		return max(256, (1<<28)/m.VocabSize)
	}
	return max(256, (1<<20)/m.VocabSize)
}

// Evaluate gives the natural log-probability of each Target at its Row and the reward at each Leaf. Weight, Side and Margin are not
// read.
func (m *Model) Evaluate(b *Batch) (logprob, reward []float32, err error) {
	defer kernels.Recover(&err)
	if err := b.validate(m, false); err != nil {
		return nil, nil, fmt.Errorf("model: batch: %w", err)
	}
	logprob, reward = make([]float32, len(b.Row)), make([]float32, len(b.Leaf))
	if len(b.Row)+len(b.Leaf) == 0 {
		return logprob, reward, nil
	}
	s, t := m.upload(b, false), &m.tail
	m.forward(s, false)
	if s.rows > 0 {
		m.fit(&t.loss, kernels.F32, 7)
		m.critique(s, t.loss.Rows(6, 7), LossOptions{}, none, none)
		m.Dev.Download(logprob, t.logprob)
	}
	if s.leaves > 0 {
		m.fit(&t.reward, kernels.F32, s.leaves)
		m.rewards(t.reward, t.f.Rows(s.rows, s.rows+s.leaves), s.iota)
		m.Dev.Download(reward, t.reward)
	}
	if err := errors.Join(m.shardError(), m.Dev.Sync()); err != nil {
		return nil, nil, fmt.Errorf("model: evaluate: %w", err)
	}
	return logprob, reward, nil
}

// Logits gives the hidden states after the final norm (N, H) and the logits (N, V) of all tokens; the logits of a sequence classifier
// are nil. It is for tests and inspection: it holds all of them at once.
func (m *Model) Logits(f *Forest) (hidden, logits []float32, err error) {
	defer kernels.Recover(&err)
	if err := f.validate(&m.Config); err != nil {
		return nil, nil, fmt.Errorf("model: forest: %w", err)
	}
	s := m.upload(&Batch{Forest: *f}, false)
	s.compact = false
	m.forward(s, false)
	hidden = make([]float32, s.n*m.HiddenSize)
	m.Dev.Download(hidden, m.tail.f)
	if m.HasLM() {
		logits = make([]float32, s.n*m.VocabSize)
		m.fit(&m.tail.logits, kernels.F32, s.n, m.VocabSize)
		m.logits(m.tail.logits, m.tail.f)
		m.Dev.Download(logits, m.tail.logits)
	}
	if err := errors.Join(m.shardError(), m.Dev.Sync()); err != nil {
		return nil, nil, fmt.Errorf("model: logits: %w", err)
	}
	return hidden, logits, nil
}
