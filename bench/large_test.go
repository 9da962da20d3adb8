package bench

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"criticrm/cuda"
	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
	"criticrm/kernels/tile"
	"criticrm/model"
)

// BenchmarkLarge measures the ops at the shapes of large models, on the device of the build, in bfloat16 with random data:
//
//	go test ./bench -run '^$' -bench '^BenchmarkLarge$' -benchtime 11x -models Q05,L8
//
// An iteration queues the op many times and waits once; the median iteration counts, divided by the number of ops. Ops whose tensors a
// cache could hold work on several sets of them in turn. A case for which there is no memory is skipped.
func BenchmarkLarge(b *testing.B) {
	list := sizes(b)
	d := kerneltest.Open(b, 0)
	a := arena{dev: d, random: rand.New(rand.NewPCG(1, 2))}
	for i, s := range list {
		if i == 0 {
			a.general(b, s)
		}
		a.rows(b, s)
		a.products(b, s)
		a.attention(b, s)
		a.heads(b, s)
		a.decoding(b, s)
	}
}

// work is one op on one set of tensors; flops and bytes are what it does at least, the smaller of which is 0. Where weights are given, in
// bytes with their gradient, the device memory in use beside them is reported too.
type work struct {
	run                   func()
	flops, bytes, weights float64
}

// arena makes tensors for one benchmark at a time.
type arena struct {
	dev    *kernels.Device
	random *rand.Rand
	noise  []uint16
	made   []kernels.Tensor
}

// bench makes one or more sets of tensors and runs the op on them.
func (a *arena) bench(b *testing.B, name string, make func() work) {
	b.Run(name, func(b *testing.B) {
		defer func() {
			for _, t := range a.made {
				a.dev.Free(t)
			}
			a.made = nil
		}()
		sets, err := a.sets(make)
		if errors.As(err, new(kernels.OutOfMemory)) {
			b.Skip(err)
		} else if err != nil {
			b.Fatal(err)
		}
		next := 0
		spend := func(n int) time.Duration {
			start := time.Now()
			for range n {
				sets[next%len(sets)].run()
				next++
			}
			if err := a.dev.Sync(); err != nil {
				b.Fatal(err)
			}
			return time.Since(start)
		}
		spend(max(2, len(sets))) // scratch memory grows, algorithms are chosen
		n := int(min(100, max(1, 20*time.Millisecond/max(1, spend(2)/2))))
		var times []time.Duration
		for b.Loop() {
			times = append(times, spend(n))
		}
		slices.Sort(times)
		ns := float64(times[len(times)/2]) / float64(n)
		b.ReportMetric(ns, "ns/op")
		if w := sets[0]; w.flops > 0 {
			b.ReportMetric(w.flops/ns/1e3, "TFLOP/s")
		} else if w.bytes > 0 {
			b.ReportMetric(w.bytes/ns, "GB/s")
		}
		if use, ok := cuda.StatsOf(a.dev); ok && sets[0].weights > 0 {
			b.ReportMetric((float64(use.Allocated)-sets[0].weights)/(1<<30), "GiB")
		}
	})
}

// sets makes tensors of 256 MB together, five times what the caches of an H100 hold.
func (a *arena) sets(make func() work) (list []work, err error) {
	defer kernels.Recover(&err)
	total := 0
	for len(list) == 0 || total < 256<<20 && len(list) < 64 {
		before := len(a.made)
		list = append(list, make())
		for _, t := range a.made[before:] {
			total += t.Bytes()
		}
		if a.dev.Name() == "cpu" || total < 1<<20 {
			break // no device, or a tiny model
		}
	}
	return list, a.dev.Sync()
}

func (a *arena) alloc(t kernels.DType, shape ...int) kernels.Tensor {
	x := a.dev.Alloc(t, shape...)
	a.made = append(a.made, x)
	return x
}

// real is a tensor of normal numbers: a million of them, again and again.
func (a *arena) real(shape ...int) kernels.Tensor {
	if a.noise == nil {
		for range 1<<20 - 3 {
			a.noise = append(a.noise, kernels.BF16FromF32(float32(a.random.NormFloat64())))
		}
	}
	x := a.alloc(kernels.BF16, shape...)
	for at, n := 0, 0; at < x.Len(); at += n {
		n = min(len(a.noise), x.Len()-at)
		a.dev.Upload(x.View(x.Len()).Rows(at, at+n), a.noise[:n])
	}
	return x
}

// f32 is a tensor of normal numbers times scale.
func (a *arena) f32(scale float32, shape ...int) kernels.Tensor {
	return a.fill(func(int) float32 { return scale * float32(a.random.NormFloat64()) }, shape...)
}

// fill makes a tensor of up to a million numbers, again and again.
func (a *arena) fill(f func(i int) float32, shape ...int) kernels.Tensor {
	x := a.alloc(kernels.F32, shape...)
	noise := make([]float32, min(1<<20-3, x.Len()))
	for i := range noise {
		noise[i] = f(i)
	}
	for at, n := 0, 0; at < x.Len(); at += n {
		n = min(len(noise), x.Len()-at)
		a.dev.Upload(x.View(x.Len()).Rows(at, at+n), noise[:n])
	}
	return x
}

func (a *arena) ints(x []int32) kernels.Tensor {
	t := a.alloc(kernels.I32, len(x))
	a.dev.Upload(t, x)
	return t
}

func (a *arena) draw(n, limit int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(a.random.IntN(limit))
	}
	return x
}

// size is the bytes of tensors.
func total(list ...kernels.Tensor) (n float64) {
	for _, t := range list {
		n += float64(t.Bytes())
	}
	return n
}

// general measures the ceilings: a copy and a large product; and the optimizer.
func (a *arena) general(b *testing.B, s size) {
	n, m, d := 1<<29, 8192, a.dev
	if s.name == "tiny" {
		n, m = 1<<12, 64
	}
	a.bench(b, "copy", func() work {
		x, y := a.real(n), a.alloc(kernels.BF16, n)
		return work{run: func() { d.Copy(y, x) }, bytes: total(x, y)}
	})
	a.matmul(b, "8192", m, m, m)
	n /= 4
	a.bench(b, "grad_norm", func() work {
		g, norm := a.f32(1, n), a.f32(1, 2)
		return work{run: func() { d.GradNorm(norm, g) }, bytes: total(g)}
	})
	a.bench(b, "adamw", func() work {
		p := kernels.AdamW{W: a.real(n), Master: a.f32(1, n), M: a.f32(1, n), V: a.fill(func(int) float32 { return a.random.Float32() }, n), G: a.f32(1, n), Norm: a.alloc(kernels.F32, 2),
			LR: 1e-9, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Bias1: 0.1, Bias2: 0.05}
		d.GradNorm(p.Norm, p.G)
		return work{run: func() { d.AdamW(p) }, bytes: total(p.W, p.G) + 2*total(p.Master, p.M, p.V)}
	})
	a.moments(b, n)
}

// moments measures the optimizer with moments in 8 bits, on weights without a master.
func (a *arena) moments(b *testing.B, n int) {
	a.bench(b, "adamw_8bit", func() work {
		p := kernels.AdamW{W: a.real(n), M: a.alloc(kernels.U8, n), V: a.alloc(kernels.U8, n), G: a.f32(1, n), Norm: a.alloc(kernels.F32, 2), LR: 1e-9, Beta1: 0.9, Beta2: 0.95,
			Eps: 1e-8, Bias1: 0.1, Bias2: 0.05}
		scale := a.alloc(kernels.F32, (n+kernels.MomentBlock-1)/kernels.MomentBlock, 2)
		for _, t := range []kernels.Tensor{p.M, p.V, scale} {
			a.dev.Zero(t)
		}
		a.dev.GradNorm(p.Norm, p.G)
		return work{run: func() { a.dev.AdamW8bit(p, scale) }, bytes: total(p.G) + 2*total(p.W, p.M, p.V, scale)}
	})
}

// rows are the ops that are bound by memory, on TREE16.
func (a *arena) rows(b *testing.B, s size) {
	d, batch, h, f := a.dev, s.tree16(), s.HiddenSize, s.IntermediateSize
	n := batch.Len()
	name := func(op string) string { return op + "/" + s.label("TREE16") }
	a.bench(b, name("embed"), func() work {
		out, table, id := a.alloc(kernels.BF16, n, h), a.real(s.VocabSize, h), a.ints(batch.IDs)
		return work{run: func() { d.Embed(out, table, id) }, bytes: 2 * total(out)}
	})
	a.bench(b, name("embed_backward"), func() work {
		row, ptr, src := group(batch.IDs)
		dtable, dout := a.f32(1, s.VocabSize, h), a.real(n, h)
		r, p, q := a.ints(row), a.ints(ptr), a.ints(src)
		return work{run: func() { d.EmbedBackward(dtable, dout, r, p, q) }, bytes: total(dout) + 8*float64(len(row)*h)}
	})
	a.bench(b, name("gather"), func() work {
		out, x, row := a.alloc(kernels.BF16, len(batch.Row), h), a.real(n, h), a.ints(batch.Row)
		return work{run: func() { d.Gather(out, x, row) }, bytes: 2 * total(out)}
	})
	a.bench(b, name("rmsnorm"), func() work {
		out, sum, rstd := a.alloc(kernels.BF16, n, h), a.alloc(kernels.BF16, n, h), a.alloc(kernels.F32, n)
		x, res, w := a.real(n, h), a.real(n, h), a.real(h)
		return work{run: func() { d.RMSNorm(out, sum, rstd, x, res, w, 1e-5) }, bytes: total(out, sum, x, res)}
	})
	a.bench(b, name("rmsnorm_backward"), func() work {
		dx, dw, out := a.real(n, h), a.f32(1, h), a.alloc(kernels.BF16, n, h)
		dout, x, w, rstd := a.real(n, h), a.real(n, h), a.real(h), a.f32(1, n)
		return work{run: func() { d.RMSNormBackward(dx, dw, out, dout, x, w, rstd) }, bytes: 2*total(dx) + total(out, dout, x)}
	})
	a.bench(b, name("rope"), func() work {
		qkv, pos := a.real(n, s.NumAttentionHeads+2*s.NumKeyValueHeads, s.HeadDim), a.ints(batch.Pos)
		table := a.fill(func(i int) float32 { // cos, then sin
			sin, cos := math.Sincos(float64(i / s.HeadDim * (i%(s.HeadDim/2) + 1)))
			return float32([]float64{cos, sin}[i%s.HeadDim/(s.HeadDim/2)])
		}, int(slices.Max(batch.Pos))+1, s.HeadDim)
		turned := n * (s.NumAttentionHeads + s.NumKeyValueHeads) * s.HeadDim
		return work{run: func() { d.RoPE(qkv, table, pos, s.NumKeyValueHeads) }, bytes: 4 * float64(turned)}
	})
	a.bench(b, name("swiglu"), func() work {
		h, gu := a.alloc(kernels.BF16, n, f), a.real(n, 2*f)
		return work{run: func() { d.SwiGLU(h, gu) }, bytes: total(h, gu)}
	})
	a.bench(b, name("swiglu_backward"), func() work {
		dgu, h, dh, gu := a.alloc(kernels.BF16, n, 2*f), a.alloc(kernels.BF16, n, f), a.real(n, f), a.real(n, 2*f)
		return work{run: func() { d.SwiGLUBackward(dgu, h, dh, gu) }, bytes: total(dgu, h, dh, gu)}
	})
}

// group gives the positions of each id that occurs, as embed_backward wants them.
func group(ids []int32) (row, ptr, src []int32) {
	for i := range ids {
		src = append(src, int32(i))
	}
	slices.SortStableFunc(src, func(a, b int32) int { return int(ids[a] - ids[b]) })
	for i, s := range src {
		if i == 0 || ids[s] != row[len(row)-1] {
			row, ptr = append(row, ids[s]), append(ptr, int32(i))
		}
	}
	return row, append(ptr, int32(len(ids))), src
}

func (a *arena) matmul(b *testing.B, name string, n, o, i int) {
	a.bench(b, "matmul/"+name, func() work {
		y, x, w := a.alloc(kernels.BF16, n, o), a.real(n, i), a.real(o, i)
		return work{run: func() { a.dev.Matmul(y, x, w, kernels.Tensor{}) }, flops: 2 * float64(n) * float64(o) * float64(i)}
	})
}

// products are a layer's on TREE16, and the gradients of its largest.
func (a *arena) products(b *testing.B, s size) {
	d, n, h, f := a.dev, s.tree16().Len(), s.HiddenSize, s.IntermediateSize
	a.matmul(b, s.label("qkv"), n, (s.NumAttentionHeads+2*s.NumKeyValueHeads)*s.HeadDim, h)
	a.matmul(b, s.label("out"), n, h, s.NumAttentionHeads*s.HeadDim)
	a.matmul(b, s.label("gate_up"), n, 2*f, h)
	a.matmul(b, s.label("down"), n, h, f)
	flops := 4 * float64(n) * float64(f) * float64(h)
	a.bench(b, "matmul_dx/"+s.label("gate_up"), func() work {
		dx, dy, w := a.alloc(kernels.BF16, n, h), a.real(n, 2*f), a.real(2*f, h)
		return work{run: func() { d.MatmulDX(dx, dy, w, false) }, flops: flops}
	})
	a.bench(b, "matmul_dw/"+s.label("gate_up"), func() work {
		dw, dy, x := a.f32(1, 2*f, h), a.real(n, 2*f), a.real(n, h)
		return work{run: func() { d.MatmulDW(dw, dy, x) }, flops: flops}
	})
}

func (a *arena) attention(b *testing.B, s size) {
	d, heads := a.dev, s.NumAttentionHeads+2*s.NumKeyValueHeads
	for _, c := range []struct {
		name  string
		batch *model.Batch
	}{{"TREE16", s.tree16()}, {"VAR16", s.var16()}, {"CAU16", s.cau16()}} {
		n, flops := c.batch.Len(), 4*visible(c.batch.End)*float64(s.NumAttentionHeads*s.HeadDim)
		make := func() (out, lse, qkv, end, tiles kernels.Tensor) {
			return a.alloc(kernels.BF16, n, s.NumAttentionHeads, s.HeadDim), a.alloc(kernels.F32, n, s.NumAttentionHeads), a.real(n, heads, s.HeadDim),
				a.ints(c.batch.End), a.ints(tile.Lists(nil, c.batch.End))
		}
		a.bench(b, "attention/"+s.label(c.name), func() work {
			out, lse, qkv, end, tiles := make()
			return work{run: func() { d.Attention(out, lse, qkv, end, tiles) }, flops: flops}
		})
		a.bench(b, "attention_backward/"+s.label(c.name), func() work {
			out, lse, qkv, end, tiles := make()
			d.Attention(out, lse, qkv, end, tiles)
			dqkv, delta, dout := a.alloc(kernels.BF16, n, heads, s.HeadDim), a.alloc(kernels.F32, n, s.NumAttentionHeads), a.real(n, s.NumAttentionHeads, s.HeadDim)
			return work{run: func() { d.AttentionBackward(dqkv, delta, dout, out, lse, qkv, end, tiles) }, flops: 2.5 * flops}
		})
	}
}

// heads are the critique loss with its gradient, a gigabyte of logits at a time, and everything between the rewards' rows and their
// gradients.
func (a *arena) heads(b *testing.B, s size) {
	d, r, h, v := a.dev, s.lossRows, s.HiddenSize, s.VocabSize
	a.bench(b, "critique_loss/"+s.name, func() work {
		weight := a.f32(1, r)
		c := kernels.CritiqueLoss{Loss: a.alloc(kernels.F32, 1), LogProb: a.alloc(kernels.F32, r), DX: a.alloc(kernels.BF16, r, h), DW: a.f32(1, v, h),
			X: a.real(r, h), W: a.real(v, h), Target: a.ints(a.draw(r, v)), Weight: weight, LossScale: 1, GradScale: 1,
			Scratch: a.alloc(kernels.F32, min(r, (1<<28)/v), v)}
		return work{run: func() { d.CritiqueLoss(c) }, flops: 6 * float64(r) * float64(h) * float64(v), weights: total(c.W, c.DW)}
	})
	batch := s.tree16()
	l := len(batch.Leaf)
	a.bench(b, "reward_loss/"+s.name, func() work {
		c := kernels.RewardLoss{Loss: a.alloc(kernels.F32, 6), Reward: a.alloc(kernels.F32, l), DReward: a.alloc(kernels.F32, l), DX: a.alloc(kernels.BF16, l, h),
			DW: a.f32(1, h), X: a.real(l, h), W: a.f32(0.1, h), Side: a.ints(batch.SidePtr), Lambda: 0.5, LossScale: 1, GradScale: 1}
		return work{run: func() { d.RewardLoss(c) }, bytes: 2 * total(c.X)}
	})
}

// decoding is one token of many sequences: groups of ten share a prefix.
func (a *arena) decoding(b *testing.B, s size) {
	d, n, heads := a.dev, s.sequences, s.NumAttentionHeads+2*s.NumKeyValueHeads
	groups := n / 10
	a.bench(b, "attention_decode/"+s.name, func() work {
		var c kernels.DecodeContext
		group, ptr, start, length, own, ownLen := make([]int32, n), make([]int32, groups+1), make([]int32, groups), make([]int32, groups), make([]int32, n), make([]int32, n)
		for i := range groups {
			ptr[i+1], start[i], length[i] = int32(i+1), int32(i*s.prefix), int32(s.prefix)
		}
		for i := range n {
			group[i], own[i], ownLen[i] = int32(i/10), int32(groups*s.prefix+i*s.depth), int32(s.depth)
		}
		slots := groups*s.prefix + n*s.depth
		c.Group, c.SegPtr, c.SegStart, c.SegLen, c.OwnStart, c.OwnLen = a.ints(group), a.ints(ptr), a.ints(start), a.ints(length), a.ints(own), a.ints(ownLen)
		out, qkv, kv := a.alloc(kernels.BF16, n, s.NumAttentionHeads, s.HeadDim), a.real(n, heads, s.HeadDim), a.real(slots, 2*s.NumKeyValueHeads, s.HeadDim)
		return work{run: func() { d.AttentionDecode(out, qkv, kv, c) }, bytes: total(out, qkv, kv)}
	})
	for _, topP := range []float32{1, 0.95} {
		name := "sample/"
		if topP < 1 {
			name = "sample_top_p/"
		}
		a.bench(b, name+s.name, func() work {
			key := a.alloc(kernels.U64, n)
			keys := make([]uint64, n)
			for i := range keys {
				keys[i] = uint64(i)
			}
			d.Upload(key, keys)
			p := kernels.Sample{ID: a.alloc(kernels.I32, n), LogProb: a.alloc(kernels.F32, n), Logits: a.f32(3, n, s.VocabSize), Key: key, Step: a.ints(a.draw(n, 1000)),
				Temperature: 0.7, TopP: topP}
			return work{run: func() { d.Sample(p) }, bytes: total(p.Logits)}
		})
	}
}
