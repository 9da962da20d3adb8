package model

// Low-rank adapters of projections (LoRA, Hu et al. 2021): y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ with A (r, I), B (O, r), where W stays as it is.

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"criticrm/kernels"
	"criticrm/splitmix"
)

// lowRank is the adapter of a weight. Parts of one weight (q, k, v; gate, up) have adapters of their own, whose A are neighbouring rows of
// one tensor, so that x is multiplied once.
type lowRank struct {
	slot  int     // in acts.low
	scale float32 // s, one for all parts
	a     weight  // (sum of the ranks, I)
	parts []lowPart
}

// lowPart is the B (O, r) of a part: columns [from, from+r) of x·Aᵀ give columns [at, at+O) of y.
type lowPart struct {
	b              weight
	at, from, rank int
	module         part // its name, and rows
}

// projections are how many weights of a layer can have an adapter: qkv, out, gate and up, down.
const projections = 4

// lowRankOf is the adapter of a weight whose parts are modules with so many rows; nil if none of them has one.
func (l *LoRA) lowRankOf(slot int, modules []part) (*lowRank, error) {
	low, at, from := &lowRank{slot: slot}, 0, 0
	for _, p := range modules {
		if r, s := l.of(p.name); r > 0 {
			if from > 0 && s != low.scale {
				return nil, fmt.Errorf("model: %s and %s have different scales (%g and %g) and are multiplied together: give them one rank and one alpha", low.parts[0].module.name, p.name, low.scale, s)
			}
			low.scale = s
			low.parts = append(low.parts, lowPart{at: at, from: from, rank: r, module: p})
			from += r
		}
		at += p.rows
	}
	if from == 0 {
		return nil, nil
	}
	return low, nil
}

// each enumerates the parameters of an adapter of a weight of cols channels: A with all parts, then the B of each.
func (low *lowRank) each(f func(w *weight, kind ParamKind, cols int, parts ...part), cols int) {
	var as []part
	for _, p := range low.parts {
		as = append(as, part{p.module.name + loraA, p.rank})
	}
	f(&low.a, Adapter, cols, as...)
	for i := range low.parts {
		p := &low.parts[i]
		f(&p.b, Adapter, p.rank, part{p.module.name + loraB, p.module.rows})
	}
}

// modules are the names of all projections of the layers.
func (m *Model) modules() (names []string) {
	m.each(func(_ *weight, kind ParamKind, _ int, parts ...part) {
		for _, p := range parts {
			if kind == Matrix {
				names = append(names, strings.TrimSuffix(p.name, ".weight"))
			}
		}
	})
	return names
}

// makeAdapter makes the places of the adapter's parameters. Nothing but it and the reward head is trained, where Options do not say otherwise.
func (m *Model) makeAdapter() error {
	l := m.opt.LoRA
	if l == nil {
		return nil
	}
	err := l.Check()
	if err == nil {
		err = l.checkModules(append(m.modules(), embedModule))
	}
	if err != nil {
		return fmt.Errorf("model: adapter: %w", err)
	}
	if m.opt.Frozen == nil {
		m.opt.Frozen = func(string) bool { return true }
	}
	m.makeEmbeddingAdapter()
	for i := range m.blocks {
		b, parts := &m.blocks[i], m.parts(i)
		for slot, w := range b.projections() {
			if w.low, err = l.lowRankOf(slot, parts[slot]); err != nil {
				return err
			}
		}
	}
	return nil
}

// How PEFT names the tensors of a module's adapter.
const (
	loraA = ".lora_A.weight"
	loraB = ".lora_B.weight"
)

// addLow adds an adapter's part of a projection to y, and keeps x·Aᵀ for the backward pass.
func (m *Model) addLow(a *acts, y, x kernels.Tensor, low *lowRank) {
	t := m.shrink(a, x, low)
	for _, p := range low.parts {
		m.Dev.LoRA(y, t, p.b.W, p.at, p.from)
	}
}

// shrink gives s·x·Aᵀ (n, sum of the ranks).
func (m *Model) shrink(a *acts, x kernels.Tensor, low *lowRank) kernels.Tensor {
	t := &a.low[low.slot]
	m.fit(t, m.opt.DType, x.Dim(0), low.a.W.Dim(0))
	m.Dev.Matmul(*t, x, low.a.W, none)
	if low.scale != 1 {
		m.Dev.Scale(*t, low.scale)
	}
	return *t
}

// inputGradient gives dx = dy·w, or dx += dy·w. Of an adapter it adds to the gradients of B, and leaves that of x·Aᵀ for weightGradient,
// which is to follow.
func (m *Model) inputGradient(a *acts, dx, dy kernels.Tensor, w weight, accumulate bool) {
	d := m.Dev
	m.multiplyDX(dx, dy, w, accumulate)
	low := w.low
	if low == nil {
		return
	}
	t, dt := a.low[low.slot], &m.scratch.dlow
	m.fit(dt, m.opt.DType, t.Dim(0), t.Dim(1))
	for _, p := range low.parts {
		d.LoRABackward(*dt, p.b.G, dy, t, p.b.W, p.at, p.from)
	}
	if low.scale != 1 {
		d.Scale(*dt, low.scale)
	}
	d.MatmulDX(dx, *dt, low.a.W, true)
}

// projections are the weights of a block that can have an adapter, as Model.parts has their modules.
func (b *block) projections() [projections]*weight {
	return [projections]*weight{&b.qkv, &b.out, &b.gateUp, &b.down}
}

// HasAdapter says whether the model is a base with an adapter.
func (m *Model) HasAdapter() bool { return m.opt.LoRA != nil }

// Merge adds what the adapter does to the weights, W += s·B·A, rounded once to the model's type, and takes it away: the model then is a
// plain one. In bfloat16 its numbers are a little other than with the adapter apart. It is for models that are not trained.
func (m *Model) Merge() (err error) {
	defer kernels.Recover(&err)
	if m.opt.Train {
		panic("model: merge: the model was opened with Options.Train")
	}
	if m.opt.LoRA == nil {
		return nil
	}
	if m.quantised {
		return errors.New("model: merge: the base's weights are stored in 4 bits, which nothing is added to: keep the adapter apart, or name the base that they were made of in adapter_config.json")
	}
	if m.keepsBlocks() {
		return errors.New("model: merge: the base's weights are in blocks: open it with Options.Unpack")
	}
	if m.opt.NF4 {
		return errors.New("model: merge: the weights are of 4 bits: open the base as it is stored")
	}
	if err := m.mergeEmbedding(); err != nil {
		return err
	}
	var scaled kernels.Tensor
	for l := range m.blocks {
		for _, w := range m.blocks[l].projections() {
			low := w.low
			if low == nil {
				continue
			}
			for _, p := range low.parts {
				rows, rank := p.b.W.Dim(0), p.b.W.Dim(1)
				m.fit(&scaled, m.opt.DType, rows, rank)
				m.Dev.Copy(scaled, p.b.W)
				m.Dev.Scale(scaled, low.scale)
				m.Dev.MatmulDX(w.W.Rows(p.at, p.at+rows), scaled, low.a.W.Rows(p.from, p.from+rank), true)
			}
			w.low = nil
		}
	}
	m.Dev.Free(m.memory[&scaled])
	delete(m.memory, &scaled)
	m.params = withoutAdapters(m.params)
	m.spans = withoutAdapters(m.spans)
	m.opt.LoRA = nil
	return m.Dev.Sync()
}

func withoutAdapters(params []*Param) (kept []*Param) {
	for _, p := range params {
		if p.Kind != Adapter {
			kept = append(kept, p)
		}
	}
	return kept
}

// initialiseAdapter draws A as PEFT does, uniformly within 1/sqrt(I), by the seed and the parameter's name and index only; B stays 0, so
// that the model is its base.
func (m *Model) initialiseAdapter(p *Param) {
	if strings.HasSuffix(p.Name, loraEmbeddingB) {
		m.initialiseEmbeddingAdapter(p)
		return
	}
	if !strings.HasSuffix(p.Name, loraA) {
		return
	}
	x, bound, key := make([]float32, p.W.Len()), 1/math.Sqrt(float64(p.Shape[1])), splitmix.Mix(m.opt.LoRA.Seed^hashName(p.Name))
	for i := range x {
		u := splitmix.Mix(key + uint64(i)*splitmix.Golden)
		x[i] = float32(bound * (float64(u>>11)/(1<<52) - 1))
	}
	m.set(p, 0, x)
}
