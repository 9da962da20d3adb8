package spec

import "iter"

// Attention over a packed forest: query q sees key k iff k <= q < end[k] and, with a window, pos[q] - pos[k] < window; query head a
// reads key head a·G/A. out = softmax(s)·v over the visible keys, lse = log Σ exp(s), with scores s = scale·q·kᵀ, under a cap
// cap·tanh(scale·q·kᵀ/cap).
type Attention[T Real] struct {
	Out        []T     `arg:"out real N,A,D"`
	LSE        []T     `arg:"out f32 N,A"`
	QKV        []T     `arg:"in real N,A+2G,D"`
	End        []int32 `arg:"in i32 N"`
	Pos        []int32 `arg:"in i32 N"`
	Tiles      []int32 `arg:"in i32 T"` // tile.Lists of End, Pos and Window, for devices that read them
	N, A, G, D int
	T          int
	Window     int       // 0: none
	Scale, Cap T         // Cap 0: none
	Round      func(T) T // probabilities may be rounded before they meet the values
}

// score is the score of a product of query and key, and its derivative by scale·x.
func score[T Real](x, scale, limit T) (s, slope T) {
	s = x * scale
	if limit == 0 {
		return s, 1
	}
	t := tanh(s / limit)
	return limit * t, 1 - t*t
}

// head is head h of token n of qkv (N, A+2G, D): queries, then keys, then values.
func head[T Real](qkv []T, n, h, a, g, d int) []T { return qkv[(n*(a+2*g)+h)*d:][:d] }

// visible gives the keys that query q sees, in rising order, of those from the first token of its tree on. A key that ends at or
// before q has its whole subtree there, of which q sees nothing: so a long stream of short trees takes little time.
func visible(end, pos []int32, window, first, q int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for k := first; k <= q; {
			if int(end[k]) <= q {
				k = int(end[k])
				continue
			}
			if (window == 0 || int(pos[q]-pos[k]) < window) && !yield(k) {
				return
			}
			k++
		}
	}
}

func (*Attention[T]) twin() Op { return new(Attention[float32]) }

// Run attends.
func (o *Attention[T]) Run() {
	scores := make([]T, 0, o.N)
	value := make([][]T, 0, o.N)
	first := 0 // token of the tree of q
	for q := range o.N {
		if q >= int(o.End[first]) {
			first = q
		}
		for a := range o.A {
			g := a * o.G / o.A
			query := head(o.QKV, q, a, o.A, o.G, o.D)
			scores, value = scores[:0], value[:0]
			for k := range visible(o.End, o.Pos, o.Window, first, q) {
				s, _ := score(dot(query, head(o.QKV, k, o.A+g, o.A, o.G, o.D)), o.Scale, o.Cap)
				scores = append(scores, s)
				value = append(value, head(o.QKV, k, o.A+o.G+g, o.A, o.G, o.D))
			}
			o.LSE[q*o.A+a] = softmaxMean(o.Out[(q*o.A+a)*o.D:][:o.D], scores, value, o.Round)
		}
	}
}

// softmaxMean is out = softmax(score)·value, and gives log Σ exp(score).
func softmaxMean[T Real](out, score []T, value [][]T, rnd func(T) T) T {
	top := score[0]
	for _, s := range score {
		top = max(top, s)
	}
	var sum T
	for _, s := range score {
		sum += exp(s - top)
	}
	clear(out)
	for k, s := range score {
		p := round(rnd, exp(s-top)/sum)
		for d, v := range value[k] {
			out[d] += p * v
		}
	}
	return top + log(sum)
}

// AttentionBackward is p = exp(s - lse); delta = Σ_d dout·out; dv = pᵀ·dout; ds = p·(dout·vᵀ - delta), under a cap times
// 1 - (s/cap)²; dq = scale·ds·k; dk = scale·dsᵀ·q, with sums over the query heads of a key head.
type AttentionBackward[T Real] struct {
	DQKV       []T     `arg:"out real N,A+2G,D"`
	Delta      []T     `arg:"scratch f32 N,A"`
	DOut       []T     `arg:"in real N,A,D"`
	Out        []T     `arg:"in real N,A,D"`
	LSE        []T     `arg:"in f32 N,A"`
	QKV        []T     `arg:"in real N,A+2G,D"`
	End        []int32 `arg:"in i32 N"`
	Pos        []int32 `arg:"in i32 N"`
	Tiles      []int32 `arg:"in i32 T"` // as in Attention, and the rest
	N, A, G, D int
	T          int
	Window     int
	Scale, Cap T
	Round      func(T) T // p and ds may be rounded before they are multiplied
}

// Forward is the op of which this is the gradient, without its outputs.
func (o *AttentionBackward[T]) Forward() Op {
	return &Attention[T]{QKV: o.QKV, End: o.End, Pos: o.Pos, Tiles: o.Tiles, N: o.N, A: o.A, G: o.G, D: o.D, T: o.T,
		Window: o.Window, Scale: o.Scale, Cap: o.Cap}
}

func (*AttentionBackward[T]) twin() Op { return new(AttentionBackward[float32]) }

// Run gives the gradient of queries, keys and values.
func (o *AttentionBackward[T]) Run() {
	clear(o.DQKV)
	first := 0 // token of the tree of q
	for q := range o.N {
		if q >= int(o.End[first]) {
			first = q
		}
		for a := range o.A {
			g := a * o.G / o.A
			dout := o.DOut[(q*o.A+a)*o.D:][:o.D]
			delta := dot(dout, o.Out[(q*o.A+a)*o.D:][:o.D])
			query, dquery := head(o.QKV, q, a, o.A, o.G, o.D), head(o.DQKV, q, a, o.A, o.G, o.D)
			for k := range visible(o.End, o.Pos, o.Window, first, q) {
				key, dkey := head(o.QKV, k, o.A+g, o.A, o.G, o.D), head(o.DQKV, k, o.A+g, o.A, o.G, o.D)
				value, dvalue := head(o.QKV, k, o.A+o.G+g, o.A, o.G, o.D), head(o.DQKV, k, o.A+o.G+g, o.A, o.G, o.D)
				s, slope := score(dot(query, key), o.Scale, o.Cap)
				p := exp(s - o.LSE[q*o.A+a])
				ds := round(o.Round, p*(dot(dout, value)-delta)*slope)
				p = round(o.Round, p)
				for d := range o.D {
					dvalue[d] += p * dout[d]
					dquery[d] += ds * key[d] * o.Scale
					dkey[d] += ds * query[d] * o.Scale
				}
			}
		}
	}
}

// KVStore writes keys and values of new tokens into their cache slots.
type KVStore[T Real] struct {
	KV            []T     `arg:"in/out real S,2G,D"`
	QKV           []T     `arg:"in real N,A+2G,D"`
	Slot          []int32 `arg:"in i32 N"`
	N, A, G, D, S int
}

func (*KVStore[T]) twin() Op { return new(KVStore[float32]) }

// Run copies.
func (o *KVStore[T]) Run() {
	for n, slot := range o.Slot {
		copy(o.KV[int(slot)*2*o.G*o.D:][:2*o.G*o.D], o.QKV[(n*(o.A+2*o.G)+o.A)*o.D:])
	}
}

// KVLoad writes keys and values out of their cache slots into rows of a batch.
type KVLoad[T Real] struct {
	QKV              []T     `arg:"in/out real N,A+2G,D"`
	KV               []T     `arg:"in real S,2G,D"`
	Slot             []int32 `arg:"in i32 M"`
	Row              []int32 `arg:"in i32 M"`
	M, N, A, G, D, S int
}

func (*KVLoad[T]) twin() Op { return new(KVLoad[float32]) }

// Run copies.
func (o *KVLoad[T]) Run() {
	for m, slot := range o.Slot {
		copy(o.QKV[(int(o.Row[m])*(o.A+2*o.G)+o.A)*o.D:][:2*o.G*o.D], o.KV[int(slot)*2*o.G*o.D:])
	}
}

// AttentionDecode attends with one query for each of B sequences. The context of sequence b is the segments of its group
// (slots SegStart[i] … + SegLen[i], i in [SegPtr[g], SegPtr[g+1])) and then OwnStart[b] … + OwnLen[b]; with a window, the last Window
// slots of these. Scores as in Attention.
type AttentionDecode[T Real] struct {
	Out                             []T     `arg:"out real B,A,D"`
	QKV                             []T     `arg:"in real B,A+2G,D"`
	KV                              []T     `arg:"in real S,2G,D"`
	Group                           []int32 `arg:"in i32 B"`
	SegPtr                          []int32 `arg:"in i32 Groups+1"`
	SegStart                        []int32 `arg:"in i32 Segments"`
	SegLen                          []int32 `arg:"in i32 Segments"`
	OwnStart                        []int32 `arg:"in i32 B"`
	OwnLen                          []int32 `arg:"in i32 B"`
	B, A, G, D, S, Groups, Segments int
	Window                          int
	Scale, Cap                      T
	Round                           func(T) T
}

func (*AttentionDecode[T]) twin() Op { return new(AttentionDecode[float32]) }

// Run attends.
func (o *AttentionDecode[T]) Run() {
	for b := range o.B {
		for a := range o.A {
			g := a * o.G / o.A
			var scores []T
			var value [][]T
			see := func(start, n int32) {
				for slot := int(start); slot < int(start+n); slot++ {
					key := o.KV[(slot*2*o.G+g)*o.D:][:o.D]
					s, _ := score(dot(head(o.QKV, b, a, o.A, o.G, o.D), key), o.Scale, o.Cap)
					scores = append(scores, s)
					value = append(value, o.KV[(slot*2*o.G+o.G+g)*o.D:][:o.D])
				}
			}
			for i := o.SegPtr[o.Group[b]]; i < o.SegPtr[o.Group[b]+1]; i++ {
				see(o.SegStart[i], o.SegLen[i])
			}
			see(o.OwnStart[b], o.OwnLen[b])
			if unseen := len(scores) - o.Window; o.Window > 0 && unseen > 0 {
				scores, value = scores[unseen:], value[unseen:]
			}
			softmaxMean(o.Out[(b*o.A+a)*o.D:][:o.D], scores, value, o.Round)
		}
	}
}
