package model

// Weights of 4 bits: NF4 with doubly quantised maxima, as bitsandbytes makes them of a module's weight (Dettmers et al. 2023, QLoRA).

import (
	"math"
	"runtime"
	"slices"
	"sync"

	"criticrm/kernels"
)

// quantised is a module's weight on the host.
type quantised struct {
	code, absmax []uint8
	scale        []float32
	offset       float32
}

// dynamicMap are the 256 numbers that maxima are quantised to (Dettmers et al. 2021, 8-bit optimizers via block-wise quantization): signs, 7
// powers of ten, and the finer steps the larger the power. In float32, as bitsandbytes makes them.
var dynamicMap = sync.OnceValue(func() []float32 {
	out := []float32{0, 1}
	for e := range 7 {
		n := 1<<e + 1
		edge := func(i int) float32 { // of torch.linspace(0.1, 1, n), which rounds once
			step := float64((1 - float32(0.1)) / float32(n-1))
			if i < n/2 {
				return float32(step*float64(i) + float64(float32(0.1)))
			}
			return float32(1 - step*float64(n-1-i))
		}
		power := float32(math.Pow(10, float64(e-6)))
		for i := range n - 1 {
			mean := (edge(i) + edge(i+1)) / 2
			out = append(out, power*mean, -power*mean)
		}
	}
	slices.Sort(out)
	return out
})

// nearest is the index of the value of a rising list that is nearest to x; of two equally near, the first.
func nearest(list []float32, x float32) uint8 {
	i, found := slices.BinarySearch(list, x)
	switch {
	case found || i == 0:
	case i == len(list) || x-list[i-1] <= list[i]-x:
		i--
	}
	return uint8(i)
}

// quantise makes 4 bits of a weight of whole blocks.
func quantise(w []float32) quantised {
	blocks := len(w) / kernels.NF4Block
	q := quantised{code: make([]uint8, len(w)/2), absmax: make([]uint8, blocks), scale: make([]float32, (blocks+kernels.NF4Scales-1)/kernels.NF4Scales)}
	values, most := kernels.NF4Values(), make([]float32, blocks)
	var all sync.WaitGroup
	part := (blocks + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for lo := 0; lo < blocks; lo += part {
		all.Go(func() {
			for b := lo; b < min(lo+part, blocks); b++ {
				x := w[b*kernels.NF4Block:][:kernels.NF4Block]
				for _, v := range x {
					most[b] = max(most[b], float32(math.Abs(float64(v))))
				}
				for i, v := range x {
					c := uint8(7) // of zero
					if most[b] > 0 {
						c = nearest(values[:], v/most[b])
					}
					q.code[(b*kernels.NF4Block+i)/2] |= c << (4 * (1 - i%2))
				}
			}
		})
	}
	all.Wait()
	sum := 0.
	for _, v := range most {
		sum += float64(v)
	}
	q.offset = float32(sum / float64(max(blocks, 1)))
	for s := range q.scale {
		group := most[s*kernels.NF4Scales : min((s+1)*kernels.NF4Scales, blocks)]
		for _, v := range group {
			q.scale[s] = max(q.scale[s], float32(math.Abs(float64(v-q.offset))))
		}
		for i, v := range group {
			c := nearest(dynamicMap(), 0)
			if q.scale[s] > 0 {
				c = nearest(dynamicMap(), (v-q.offset)/q.scale[s])
			}
			q.absmax[s*kernels.NF4Scales+i] = c
		}
	}
	return q
}

// packed is a module's weight of 4 bits or in blocks on the device, with where its columns of the product are.
type packed struct {
	nf4    *kernels.NF4 // or
	blocks *kernels.Blocks
	at     int
}

// packs says whether a weight is kept in 4 bits: the projections of the layers are, where they are not trained.
func (m *Model) packs(kind ParamKind, trained bool) bool {
	return m.opt.NF4 && kind == Matrix && !trained
}

// Quantised says whether projections are of 4 bits.
func (m *Model) Quantised() bool { return m.opt.NF4 }

// pack goes past a module's weight of 4 bits.
func (p *place) pack(rows, cols int) {
	blocks := rows * cols / kernels.NF4Block
	p.packedCode += (rows*cols/2 + alignElems - 1) &^ (alignElems - 1)
	p.packedMost += (blocks + alignElems - 1) &^ (alignElems - 1)
	p.packedScale += (blocks + kernels.NF4Scales - 1) / kernels.NF4Scales
}

// bindPacked places the parts of a weight of 4 bits, and appends their parameters to the list.
func (m *Model) bindPacked(w *weight, cols int, parts []part, to *place) {
	column := 0
	for _, p := range parts {
		blocks := cols / kernels.NF4Block
		scales := (p.rows*blocks + kernels.NF4Scales - 1) / kernels.NF4Scales
		q := &kernels.NF4{
			Code:   m.packedCode.Rows(to.packedCode, to.packedCode+p.rows*cols/2).View(p.rows, cols/2),
			Absmax: m.packedMost.Rows(to.packedMost, to.packedMost+p.rows*blocks).View(p.rows, blocks),
			Scale:  m.packedScale.Rows(to.packedScale, to.packedScale+scales),
			Map:    m.packedMap,
		}
		w.packed = append(w.packed, packed{nf4: q, at: column})
		m.params = append(m.params, &Param{Name: p.name, Shape: []int{p.rows, cols}, Kind: Matrix, NF4: q, First: to.weight})
		column += p.rows
		to.pack(p.rows, cols)
	}
}

// setPacked collects a weight's values until they are whole, and quantises them then.
func (m *Model) setPacked(p *Param, at int, x []float32) {
	if m.pending == nil {
		m.pending = map[*Param][]float32{}
	}
	all := m.pending[p]
	if all == nil {
		all = make([]float32, p.Len())
		m.pending[p] = all
	}
	copy(all[at:], x)
	if at+len(x) < len(all) {
		return
	}
	delete(m.pending, p)
	q := quantise(all)
	m.Dev.Upload(p.NF4.Code.View(len(q.code)), q.code)
	m.Dev.Upload(p.NF4.Absmax.View(len(q.absmax)), q.absmax)
	m.Dev.Upload(p.NF4.Scale, q.scale)
	p.NF4.Offset = q.offset
}

// multiply is y = x·wᵀ.
func (m *Model) multiply(y, x kernels.Tensor, w weight) {
	if w.packed == nil {
		m.Dev.Matmul(y, x, w.W, none)
		return
	}
	for _, p := range w.packed {
		if p.blocks != nil {
			m.Dev.MatmulBlocks(y, x, *p.blocks, p.at)
		} else {
			m.Dev.MatmulNF4(y, x, *p.nf4, p.at)
		}
	}
}

// multiplyDX is dx = dy·w, or dx += dy·w.
func (m *Model) multiplyDX(dx, dy kernels.Tensor, w weight, accumulate bool) {
	if w.packed == nil {
		m.Dev.MatmulDX(dx, dy, w.W, accumulate)
		return
	}
	for i, p := range w.packed {
		if more := accumulate || i > 0; p.blocks != nil {
			m.Dev.MatmulBlocksDX(dx, dy, *p.blocks, p.at, more)
		} else {
			m.Dev.MatmulNF4DX(dx, dy, *p.nf4, p.at, more)
		}
	}
}
