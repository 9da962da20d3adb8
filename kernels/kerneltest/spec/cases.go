package spec

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"

	"criticrm/gguf"
)

// Case is an op with arguments. The same case is a conformance test and, if it is small, a gradient check; those of
// Benchmarks are measured instead.
type Case struct {
	Op   string // the name in kernels.h
	Name string // op/dtype/what, unique; the seed of its random numbers
	BF16 bool   // "real" is bfloat16
	Skew int    // elements between an aligned address and where each buffer begins
	Long bool   // so long that one run must do
	Race bool   // also run under sanitizers of threads, which are slow: a case for each path that an implementation may have
	make func(g *Gen) Op
}

// Make gives the op with all its arguments: what the case leaves open is filled with numbers from a normal distribution,
// and everything is rounded to the type that it has on a device.
func (c Case) Make() Op { return c.build(false) }

// Plan is Make for devices that hold more than the host should make: of long tensors there are only as many numbers as Pattern says,
// which are to be repeated. Indices are all there.
func (c Case) Plan() Op { return c.build(true) }

// Pattern is how many numbers stand for a longer tensor in a plan: a prime, so that no two rows are alike.
const Pattern = 1<<18 - 5

func (c Case) build(plan bool) Op {
	h := fnv.New64a()
	h.Write([]byte(c.Name))
	g := &Gen{Rand: rand.New(rand.NewPCG(h.Sum64(), 0)), BF16: c.BF16, Plan: plan}
	op := c.make(g)
	v := reflect.ValueOf(op).Elem()
	for i := range v.NumField() { // scalars are float32 in the header
		if f := v.Field(i); f.Kind() == reflect.Float64 {
			f.SetFloat(float64(float32(f.Float())))
		}
	}
	for _, a := range Args(op) {
		if a.Value.IsNil() && !a.Nil {
			if !a.IsFloat() && a.Dir == In {
				panic(fmt.Sprintf("spec: case %s has no %s", c.Name, a.Name))
			}
			n := g.made(a.Len())
			a.Value.Set(reflect.MakeSlice(a.Value.Type(), n, n))
			if a.Dir == In || a.Dir == InOut {
				copy(a.Floats(), g.Normal(n, 1))
			}
		}
		if a.IsFloat() && !a.Nil {
			RoundTo(a.Floats(), c.BF16 && a.Type == Real32)
		}
	}
	Args(op) // checks shapes
	return op
}

// RoundTo rounds to bfloat16 or float32.
func RoundTo(x []float64, bf16 bool) {
	for i, v := range x {
		f := float32(v)
		if bf16 {
			f = RoundBF16(f)
		}
		x[i] = float64(f)
	}
}

// Gen makes arguments.
type Gen struct {
	*rand.Rand
	BF16 bool
	Plan bool // for Case.Plan
}

// made is how many of n numbers are made.
func (g *Gen) made(n int) int {
	if g.Plan {
		return min(n, Pattern)
	}
	return n
}

// Room is for n numbers of an output that may be left out.
func (g *Gen) Room(n int) []float64 { return make([]float64, g.made(n)) }

// Normal is n numbers of a normal distribution.
func (g *Gen) Normal(n int, scale float64) []float64 {
	x := g.Room(n)
	for i := range x {
		x[i] = scale * g.NormFloat64()
	}
	return x
}

// Constant is n times v.
func (g *Gen) Constant(n int, v float64) []float64 {
	x := g.Room(n)
	for i := range x {
		x[i] = v
	}
	return x
}

// Ints is n integers in [0, below).
func (g *Gen) Ints(n, below int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(g.IntN(below))
	}
	return x
}

// Distinct is n different integers in [0, below).
func (g *Gen) Distinct(n, below int) []int32 {
	x := make([]int32, n)
	for i, v := range g.Perm(below)[:n] {
		x[i] = int32(v)
	}
	return x
}

// Group sorts the positions of id, whose values lie in [0, below), by value: Src holds them, Ptr where each value starts.
func Group(id []int32, below int) (ptr, src []int32) {
	ptr, src = make([]int32, below+1), make([]int32, len(id))
	for _, v := range id {
		ptr[v+1]++
	}
	for v := range below {
		ptr[v+1] += ptr[v]
	}
	next := slices.Clone(ptr)
	for n, v := range id {
		src[next[v]] = int32(n)
		next[v]++
	}
	return ptr, src
}

// GroupUsed is Group without the values that do not occur; Row lists those that do.
func GroupUsed(id []int32, below int) (row, ptr, src []int32) {
	all, src := Group(id, below)
	row, ptr = []int32{}, []int32{0}
	for v := range below {
		if all[v+1] > all[v] {
			row, ptr = append(row, int32(v)), append(ptr, all[v+1])
		}
	}
	return row, ptr, src
}

type list []Case

// add makes a case for each type of real numbers.
func (l *list) add(op, name string, make func(g *Gen) Op) {
	*l = append(*l, Case{Op: op, Name: op + "/f32/" + name, make: make},
		Case{Op: op, Name: op + "/bf16/" + name, make: make, BF16: true})
}

// addSkewed makes the same cases with buffers that begin an element after an aligned address, as views may.
func (l *list) addSkewed(op, name string, make func(g *Gen) Op) {
	l.add(op, name+"_skewed", make)
	for i := len(*l) - 2; i < len(*l); i++ {
		(*l)[i].Skew = 1
	}
}

// skewed adds the last n cases once more, with buffers that begin an element after an aligned address.
func (l *list) skewed(n int) {
	for _, c := range (*l)[len(*l)-n:] {
		c.Name, c.Skew = c.Name+"_skewed", 1
		*l = append(*l, c)
	}
}

// race marks the last n cases for the sanitizers.
func (l *list) race(n int) {
	for i := len(*l) - n; i < len(*l); i++ {
		(*l)[i].Race = true
	}
}

// raceCores is race without attention_backward in float32: one kernel has all its head sizes, and cases of 16 and 80 numbers reach all of it.
func (l *list) raceCores(n int) {
	for i := len(*l) - n; i < len(*l); i++ {
		c := &(*l)[i]
		c.Race = c.Race || c.BF16 || c.Op != "attention_backward"
	}
}

// add32 makes one case: the op has no argument of type real, or the case is long.
func (l *list) add32(op, name string, make func(g *Gen) Op) {
	*l = append(*l, Case{Op: op, Name: op + "/f32/" + name, make: make})
}

// add16 makes one case, for bfloat16.
func (l *list) add16(op, name string, make func(g *Gen) Op) {
	*l = append(*l, Case{Op: op, Name: op + "/bf16/" + name, make: make, BF16: true})
}

// Cases is the list of cases, without the benchmarks.
func Cases() []Case {
	var l list
	l.rows()
	l.norms()
	l.sliceNorms()
	l.turns()
	l.biases()
	l.scales()
	l.gates()
	l.longStreams()
	l.vocabularies()
	l.matmul()
	l.lowRank()
	l.fourBits()
	l.inBlocks()
	l.attention()
	l.decode()
	l.loss()
	l.reward()
	l.optim()
	l.sample()
	l.logprobs()
	return l
}

func (l *list) matmul() {
	for _, s := range [][3]int{{1, 1, 1}, {2, 3, 17}, {17, 33, 129}, {129, 31, 2}, {3, 129, 257}, {64, 64, 64}, {65, 127, 128}, {1, 560, 128}, {33, 1, 31}, {0, 3, 17}, {3, 5, 0}, {18, 50, 1030}, {260, 35, 70}} {
		n, o, i := s[0], s[1], s[2]
		name := fmt.Sprintf("N%d_O%d_I%d", n, o, i)
		l.add("matmul", name, func(g *Gen) Op { return &Matmul[float64]{N: n, O: o, I: i} })
		l.add("matmul", name+"_y32", func(g *Gen) Op { return &Matmul[float64]{N: n, O: o, I: i, YF32: true} })
		l.add("matmul", name+"_add", func(g *Gen) Op {
			return &Matmul[float64]{Add: g.Normal(n*o, 1), N: n, O: o, I: i}
		})
		l.add("matmul", name+"_add_in_place", func(g *Gen) Op {
			return &Matmul[float64]{Add: g.Normal(n*o, 1), N: n, O: o, I: i, InPlace: true}
		})
		l.add("matmul", name+"_add_y32", func(g *Gen) Op {
			return &Matmul[float64]{Add: g.Normal(n*o, 1), N: n, O: o, I: i, YF32: true}
		})
		l.add("matmul_dx", name, func(g *Gen) Op { return &MatmulDX[float64]{N: n, O: o, I: i} })
		l.add("matmul_dx", name+"_accumulate", func(g *Gen) Op { return &MatmulDX[float64]{N: n, O: o, I: i, Accumulate: true} })
		l.add("matmul_dw", name, func(g *Gen) Op { return &MatmulDW[float64]{N: n, O: o, I: i} })
		if n == 17 || n == 65 {
			l.race(16)
		}
	}
	const n, o, i = 40, 72, 64
	l.addSkewed("matmul", "N40_O72_I64", func(g *Gen) Op { return &Matmul[float64]{N: n, O: o, I: i} })
	l.addSkewed("matmul", "N40_O72_I64_add_y32", func(g *Gen) Op {
		return &Matmul[float64]{Add: g.Normal(n*o, 1), N: n, O: o, I: i, YF32: true}
	})
	l.addSkewed("matmul_dx", "N40_O72_I64_accumulate", func(g *Gen) Op { return &MatmulDX[float64]{N: n, O: o, I: i, Accumulate: true} })
	l.addSkewed("matmul_dw", "N40_O72_I64", func(g *Gen) Op { return &MatmulDW[float64]{N: n, O: o, I: i} })
	l.race(8)
}

func (l *list) lowRank() {
	// n, width of y, of t; columns, rank; from which columns on
	for _, s := range [][7]int{{1, 1, 1, 1, 1, 0, 0}, {2, 5, 3, 3, 2, 1, 1}, {17, 33, 8, 33, 8, 0, 0}, {33, 200, 48, 129, 16, 70, 16}, {129, 70, 65, 31, 64, 39, 1}, {301, 96, 24, 32, 8, 64, 16},
		{5, 40, 600, 24, 520, 16, 80}, {0, 17, 8, 17, 8, 0, 0}, {3, 9, 4, 0, 4, 9, 0}} {
		n, c, p, o, r, at, from := s[0], s[1], s[2], s[3], s[4], s[5], s[6]
		name := fmt.Sprintf("N%d_C%d_P%d_O%d_R%d_at%d_from%d", n, c, p, o, r, at, from)
		forward := func(g *Gen) Op {
			return &LoRA[float64]{N: n, C: c, P: p, O: o, R: r, At: at, From: from}
		}
		back := func(g *Gen) Op {
			return &LoRABackward[float64]{N: n, C: c, P: p, O: o, R: r, At: at, From: from}
		}
		l.add("lora", name, forward)
		l.add("lora_backward", name, back)
		if n == 33 {
			l.race(4)
			l.addSkewed("lora", name, forward)
			l.addSkewed("lora_backward", name, back)
		}
	}
}

// nf4 are the codes, maxima and scales of a weight (o, 64·b) whose numbers are about 1/8.
func nf4(g *Gen, o, b int) (code, absmax []uint8, scale, table []float64, offset float64) {
	octets := func(n int) []uint8 {
		x := make([]uint8, n)
		for i := range x {
			x[i] = uint8(g.IntN(256))
		}
		return x
	}
	scale, table = make([]float64, (o*b+255)/256), make([]float64, 256)
	for i := range scale {
		scale[i] = 0.02 + 0.02*g.Float64()
	}
	for i := range table { // signed and uneven, as bitsandbytes' is
		table[i] = math.Pow(float64(i-128)/128, 3)
	}
	return octets(o * 32 * b), octets(o * b), scale, table, 0.25
}

func (l *list) fourBits() {
	for _, s := range [][5]int{{1, 1, 1, 1, 0}, {2, 4, 3, 1, 1}, {17, 50, 33, 2, 16}, {300, 40, 40, 3, 0}, {5, 140, 129, 5, 8}, {1, 300, 300, 1, 0}, {65, 36, 20, 16, 16}, {0, 5, 5, 1, 0}, {3, 2, 0, 2, 1}} {
		n, c, o, b, at := s[0], s[1], s[2], s[3], s[4]
		name := fmt.Sprintf("N%d_C%d_O%d_B%d_at%d", n, c, o, b, at)
		forward := func(g *Gen) Op {
			m := &MatmulNF4[float64]{N: n, C: c, O: o, B: b, At: at, BF16: g.BF16}
			m.Code, m.Absmax, m.Scale, m.Map, m.Offset = nf4(g, o, b)
			m.S = len(m.Scale)
			return m
		}
		back := func(accumulate bool) func(g *Gen) Op {
			return func(g *Gen) Op {
				m := &MatmulNF4DX[float64]{N: n, C: c, O: o, B: b, At: at, Accumulate: accumulate, BF16: g.BF16}
				m.Code, m.Absmax, m.Scale, m.Map, m.Offset = nf4(g, o, b)
				m.S = len(m.Scale)
				return m
			}
		}
		l.add("matmul_nf4", name, forward)
		l.add("matmul_nf4_dx", name, back(false))
		l.add("matmul_nf4_dx", name+"_accumulate", back(true))
		if n == 17 {
			l.race(6)
		}
	}
}

// blockType is a type of matmul_blocks.
type blockType struct {
	gguf.Type
	factor float64 // the largest of a scale
	scales []int   // where they are in a block
}

var blockTypes = []blockType{
	{gguf.Q4_0, 8, []int{0}}, {gguf.Q4_1, 15, []int{0, 2}}, {gguf.Q5_0, 16, []int{0}}, {gguf.Q5_1, 31, []int{0, 2}}, {gguf.Q8_0, 127, []int{0}},
	{gguf.Q4_K, 63 * 15, []int{0, 2}}, {gguf.Q5_K, 63 * 31, []int{0, 2}}, {gguf.Q6_K, 127 * 32, []int{208}},
}

// blocks are random blocks of a type, of numbers of about 1/4. Their scales have both signs; one in eight is subnormal or zero.
func blocks(g *Gen, kind int, n int) []uint8 {
	t := blockTypes[kind]
	_, size := t.Block()
	b := make([]uint8, n*size)
	for i := range b {
		b[i] = uint8(g.IntN(256))
	}
	for i := range n {
		for _, at := range t.scales {
			e := max(15-2-int(math.Ceil(math.Log2(t.factor))), 0) // so that factor · 2^(e-15) is about 1/4
			if g.IntN(8) == 0 {
				e = 0
			}
			b[i*size+at+1] = b[i*size+at+1]&0x83 | uint8(e)<<2
		}
	}
	return b
}

// BlocksOf are n random blocks of a type, the same each time.
func BlocksOf(t gguf.Type, n int) []uint8 {
	g := &Gen{Rand: rand.New(rand.NewPCG(uint64(t), uint64(n)))}
	return blocks(g, slices.IndexFunc(blockTypes, func(b blockType) bool { return b.Type == t }), n)
}

func (l *list) inBlocks() {
	for kind, t := range blockTypes {
		elements, size := t.Block()
		shapes := [][5]int{{17, 50, 33, 2, 16}} // N, C, O, blocks in a row, at
		switch t.Type {
		case gguf.Q4_K:
			shapes = append(shapes, [][5]int{{1, 300, 300, 1, 0}, {300, 40, 40, 1, 0}, {0, 5, 5, 1, 0}}...)
		case gguf.Q8_0:
			shapes = append(shapes, [][5]int{{1, 1, 1, 1, 0}, {300, 140, 129, 3, 8}, {65, 36, 20, 32, 16}, {3, 2, 0, 2, 1}}...)
		}
		for _, s := range shapes {
			n, c, o, i, at := s[0], s[1], s[2], s[3]*elements, s[4]
			name := fmt.Sprintf("%v_N%d_C%d_O%d_I%d_at%d", t, n, c, o, i, at)
			forward := func(g *Gen) Op {
				return &MatmulBlocks[float64]{N: n, C: c, O: o, I: i, R: s[3] * size, At: at, Type: t.Type, BF16: g.BF16, Code: blocks(g, kind, o*s[3])}
			}
			back := func(accumulate bool) func(g *Gen) Op {
				return func(g *Gen) Op {
					return &MatmulBlocksDX[float64]{N: n, C: c, O: o, I: i, R: s[3] * size, At: at, Type: t.Type, BF16: g.BF16, Accumulate: accumulate, Code: blocks(g, kind, o*s[3])}
				}
			}
			l.add("matmul_blocks", name, forward)
			l.add("matmul_blocks_dx", name, back(false))
			if n == 17 {
				l.race(4)
			}
			l.add("matmul_blocks_dx", name+"_accumulate", back(true))
		}
	}
}

func (l *list) optim() {
	for _, n := range []int{0, 1, 2, 3, 17, 129, 1000, 70001} {
		l.add32("grad_norm", fmt.Sprintf("n%d", n), func(g *Gen) Op { return &GradNorm[float64]{N: n} })
	}
	l.skewed(2)
	l.race(4)
	l.add32("grad_norm", "nan", func(g *Gen) Op {
		x := g.Normal(1000, 1)
		x[17], x[999] = math.NaN(), math.NaN()
		return &GradNorm[float64]{G: x, N: len(x)}
	})
	l.add32("grad_norm", "inf", func(g *Gen) Op {
		x := g.Normal(1000, 1)
		x[0], x[500], x[999] = math.Inf(1), math.Inf(-1), math.Inf(1)
		return &GradNorm[float64]{G: x, N: len(x)}
	})
	limits := []struct {
		name          string
		norm, bad     float64
		maxNorm, wd   float64
		step          int
		scale         float64 // of gradient and momentum, if not 1
		skip          float64
		master, still bool
	}{
		{name: "first", norm: 2, wd: 0.1, step: 1}, {name: "later", norm: 2, maxNorm: 100, wd: 0.01, step: 1000},
		{name: "clipped", norm: 50, maxNorm: 1, step: 7}, {name: "master", norm: 1, maxNorm: 1, step: 3, master: true},
		{name: "norm_inf", norm: math.Inf(1), maxNorm: 1, step: 3}, {name: "norm_nan", norm: math.NaN(), step: 3},
		{name: "not_finite", norm: 1, bad: 1, step: 3}, {name: "still", step: 2, wd: 0.1, still: true},
		{name: "spike", norm: 2.5, maxNorm: 1, skip: 2.25, step: 3}, {name: "at_the_limit", norm: 2.5, maxNorm: 1, skip: 2.5, step: 3, master: true},
		{name: "tiny", norm: 1e-8, step: 5, scale: 1e-8}, // eps is as large as the rest
	}
	for _, c := range limits {
		for _, n := range []int{0, 1, 3, 17, 1000} {
			step := func(g *Gen) *AdamW[float64] {
				o := &AdamW[float64]{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: c.wd, MaxNorm: c.maxNorm, SkipNorm: c.skip, N: n,
					Norm: []float64{c.norm, c.bad}, W: g.Normal(n, 1), M: g.Normal(n, 0.1), V: g.Normal(n, 0.1)}
				o.Bias1, o.Bias2 = 1-math.Pow(o.Beta1, float64(c.step)), 1-math.Pow(o.Beta2, float64(c.step))
				if c.still { // no gradient yet: the step is decay only, not 0/0
					o.G, o.M, o.V = g.Constant(n, 0), g.Constant(n, 0), g.Constant(n, 0)
				}
				if c.scale != 0 {
					o.G, o.M, o.V = g.Normal(n, c.scale), g.Normal(n, c.scale), g.Normal(n, c.scale)
				}
				for i := range o.V {
					o.V[i] *= o.V[i]
				}
				return o
			}
			l.add("adamw", fmt.Sprintf("%s_n%d", c.name, n), func(g *Gen) Op {
				o := step(g)
				o.Master = master(g, c.master, o.W)
				return o
			})
			l.add16("adamw", fmt.Sprintf("%s_by_chance_n%d", c.name, n), func(g *Gen) Op {
				o := step(g)
				o.ByChance, o.Seed, o.Step, o.First = true, g.Uint64(), g.Uint32(), g.IntN(3)*(1<<34)+g.IntN(8)
				return o
			})
			if n == 1000 && (c.name == "later" || c.name == "master") {
				l.skewed(3)
				l.race(6)
			}
			l.add("adamw_8bit", fmt.Sprintf("%s_n%d", c.name, n), func(g *Gen) Op {
				o := coded(g, step(g))
				o.Master = master(g, c.master, o.W)
				return o
			})
			l.add16("adamw_8bit", fmt.Sprintf("%s_by_chance_n%d", c.name, n), func(g *Gen) Op {
				o := coded(g, step(g))
				o.ByChance = true
				return o
			})
			if n == 1000 && c.name == "master" {
				l.race(3)
			}
		}
	}
	l.moments()
}

// master is the float32 copy of parameters that bfloat16 weights always have and float32 ones sometimes.
func master(g *Gen, want bool, w []float64) []float64 {
	if !want && !g.BF16 {
		return nil
	}
	m := append([]float64(nil), w...)
	RoundTo(m, false)
	copy(w, m)
	return m
}
