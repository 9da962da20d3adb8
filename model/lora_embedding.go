package model

// A low-rank adapter of the embedding, as PEFT has it: a token's row is W[id] + s·B·A[:, id], with A (r, V) and B (H, r). A is kept as (V, r), so that a
// token's r numbers are a row, which is gathered as the embedding's are. B is drawn and A is zero at first.

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/splitmix"
)

// How PEFT names the tensors of an embedding's adapter, and the module.
const (
	embedModule    = "model.embed_tokens"
	loraEmbeddingA = ".lora_embedding_A"
	loraEmbeddingB = ".lora_embedding_B"
)

// embeds says whether the embedding has an adapter: it is named, alone or in an expression.
func (l *LoRA) embeds() bool {
	return l.Targets != AllLinear && (l.expression == nil || strings.Contains(l.Targets, "embed_tokens")) && l.targets(embedModule)
}

// makeEmbeddingAdapter makes the place of the embedding's adapter, if it has one.
func (m *Model) makeEmbeddingAdapter() {
	l := m.opt.LoRA
	if !l.embeds() {
		return
	}
	r, s := l.of(embedModule)
	m.embed.low = &lowRank{scale: s, parts: []lowPart{{rank: r, module: part{embedModule, m.HiddenSize}}}}
}

// eachOfEmbedding enumerates the parameters of the embedding's adapter, for vocab tokens.
func (low *lowRank) eachOfEmbedding(f func(w *weight, kind ParamKind, cols int, parts ...part), vocab int) {
	p := &low.parts[0]
	f(&low.a, Adapter, p.rank, part{p.module.name + loraEmbeddingA, vocab})
	f(&p.b, Adapter, p.rank, part{p.module.name + loraEmbeddingB, p.module.rows})
}

// turned says whether a parameter is stored in a file with rows and columns changed.
func (p *Param) turned() bool { return strings.HasSuffix(p.Name, loraEmbeddingA) }

// stored is the shape of an adapter's parameter in a file.
func (p *Param) stored() []int64 {
	shape := shape64(p.Shape)
	if p.turned() {
		slices.Reverse(shape)
	}
	return shape
}

// turn changes rows and columns of x (rows, cols).
func turn(x []float32, rows, cols int) []float32 {
	out := make([]float32, len(x))
	for i := range rows {
		for k := range cols {
			out[k*rows+i] = x[i*cols+k]
		}
	}
	return out
}

// turnedData is a parameter as it is stored.
func (p *Param) turnedData(t checkpoint.TensorData) checkpoint.TensorData {
	if !p.turned() {
		return t
	}
	x, size := make([]byte, len(t.Data)), len(t.Data)/p.Len()
	rows, cols := p.Shape[0], p.Shape[1]
	for i := range rows {
		for k := range cols {
			copy(x[(k*rows+i)*size:][:size], t.Data[(i*cols+k)*size:])
		}
	}
	t.Data, t.Shape = x, p.stored()
	return t
}

// embedTokens looks up the tokens' rows into x (n, H).
func (m *Model) embedTokens(x, id kernels.Tensor) {
	d := m.Dev
	d.Embed(x, m.embed.W, id)
	if low := m.embed.low; low != nil {
		m.fit(&m.embedLow, m.opt.DType, x.Dim(0), low.parts[0].rank)
		d.Embed(m.embedLow, low.a.W, id)
		if low.scale != 1 {
			d.Scale(m.embedLow, low.scale)
		}
		d.LoRA(x, m.embedLow, low.parts[0].b.W, 0, 0)
	}
	if m.embedScale != 1 {
		d.Scale(x, m.embedScale)
	}
}

// embedTrained says whether the embedding, or its adapter, is trained.
func (m *Model) embedTrained() bool {
	return !m.embed.G.IsNil() || m.embed.low != nil && !m.embed.low.a.G.IsNil()
}

// embedBackward adds to the gradients of the embedding and its adapter; dx (n, H) is the gradient of what embedTokens gave, and is used up.
func (m *Model) embedBackward(dx kernels.Tensor, s *deviceBatch) {
	if !m.embedTrained() {
		return
	}
	d := m.Dev
	if m.embedScale != 1 {
		d.Scale(dx, m.embedScale)
	}
	if low := m.embed.low; low != nil && !low.a.G.IsNil() {
		p, dt := low.parts[0], &m.scratch.dlow
		m.fit(dt, m.opt.DType, dx.Dim(0), p.rank)
		d.LoRABackward(*dt, p.b.G, dx, m.embedLow, p.b.W, 0, 0)
		if low.scale != 1 {
			d.Scale(*dt, low.scale)
		}
		d.EmbedBackward(low.a.G, *dt, s.idRow, s.idPtr, s.idSrc)
	}
	if !m.embed.G.IsNil() {
		d.EmbedBackward(m.embed.G, dx, s.idRow, s.idPtr, s.idSrc)
	}
}

// initialiseEmbeddingAdapter draws B, normal with standard deviation 1 as PEFT does; A stays 0.
func (m *Model) initialiseEmbeddingAdapter(p *Param) {
	x := make([]float32, p.Len())
	normals(x, splitmix.Mix(m.opt.LoRA.Seed^hashName(p.Name)), 1)
	m.set(p, 0, x)
}

// mergeEmbedding adds what the embedding's adapter does to its rows.
func (m *Model) mergeEmbedding() error {
	low := m.embed.low
	switch {
	case low == nil:
		return nil
	case m.TieWordEmbeddings && m.HasLM():
		return errors.New("model: merge: the LM head is the embedding (tie_word_embeddings), and the adapter is of the embedding alone: leave them apart, or export with --format peft")
	}
	var scaled kernels.Tensor
	m.fit(&scaled, m.opt.DType, m.VocabSize, low.parts[0].rank)
	m.Dev.Copy(scaled, low.a.W)
	m.Dev.Scale(scaled, low.scale)
	m.Dev.LoRA(m.embed.W, scaled, low.parts[0].b.W, 0, 0)
	m.Dev.Free(m.memory[&scaled])
	delete(m.memory, &scaled)
	m.embed.low = nil
	return nil
}

// sameEmbedding wants a tensor of an adapter's file to be the base's embedding, which PEFT stores beside an adapter of it.
func (m *Model) sameEmbedding(f *checkpoint.SafetensorsFile, path, name string) error {
	x, err := f.ReadF32(name)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	i := slices.IndexFunc(m.params, func(p *Param) bool { return p.Name == embedName })
	have := make([]float32, m.params[i].Len())
	m.Dev.Download(have, m.params[i].W.View(len(have)))
	if err := m.Dev.Sync(); err != nil {
		return err
	}
	same := len(x) == len(have)
	for k := 0; same && k < len(x); k++ {
		same = have[k] == x[k] || m.opt.DType == kernels.BF16 && have[k] == kernels.F32FromBF16(kernels.BF16FromF32(x[k]))
	}
	if !same {
		return fmt.Errorf("model: %s: tensor %q is another embedding than the base's: merge the adapter with PEFT (merge_and_unload)", path, name)
	}
	return nil
}

// storedEmbedding says whether a tensor of an adapter's file is the base's embedding.
func (l *LoRA) storedEmbedding(name string) bool {
	return l.embeds() && (name == peftPrefix+embedModule+".base_layer.weight" || name == peftPrefix+embedModule+".weight")
}
