package spec

import (
	"math"

	"criticrm/gguf"
)

// Matmul is y = x·wᵀ (+ add).
type Matmul[T Real] struct {
	Y       []T `arg:"out y N,O"`
	X       []T `arg:"in real N,I"`
	W       []T `arg:"in real O,I"`
	Add     []T `arg:"in y N,O or-nil"`
	N, O, I int
	YF32    bool
	InPlace bool // implementations get y, which holds add, as add
}

func (*Matmul[T]) twin() Op { return new(Matmul[float32]) }

// Run multiplies.
func (o *Matmul[T]) Run() {
	for n := range o.N {
		for j := range o.O {
			y := dot(o.X[n*o.I:][:o.I], o.W[j*o.I:][:o.I])
			if o.Add != nil {
				y += o.Add[n*o.O+j]
			}
			o.Y[n*o.O+j] = y
		}
	}
}

// MatmulDX is dx = dy·w, or dx += dy·w.
type MatmulDX[T Real] struct {
	DX         []T `arg:"acc real N,I"`
	DY         []T `arg:"in real N,O"`
	W          []T `arg:"in real O,I"`
	N, O, I    int
	Accumulate bool
}

func (*MatmulDX[T]) twin() Op { return new(MatmulDX[float32]) }

// Run multiplies.
func (o *MatmulDX[T]) Run() {
	for n := range o.N {
		for i := range o.I {
			var sum T
			for j := range o.O {
				sum += o.DY[n*o.O+j] * o.W[j*o.I+i]
			}
			if o.Accumulate {
				sum += o.DX[n*o.I+i]
			}
			o.DX[n*o.I+i] = sum
		}
	}
}

// MatmulDW is dw += dyᵀ·x.
type MatmulDW[T Real] struct {
	DW      []T `arg:"+= f32 O,I"`
	DY      []T `arg:"in real N,O"`
	X       []T `arg:"in real N,I"`
	N, O, I int
}

func (*MatmulDW[T]) twin() Op { return new(MatmulDW[float32]) }

// Run multiplies.
func (o *MatmulDW[T]) Run() {
	for j := range o.O {
		for i := range o.I {
			var sum T
			for n := range o.N {
				sum += o.DY[n*o.O+j] * o.X[n*o.I+i]
			}
			o.DW[j*o.I+i] += sum
		}
	}
}

// nf4Values are what the codes stand for: the 16 quantiles of a normal distribution that QLoRA's authors chose.
var nf4Values = [16]float32{-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
	0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1}

// unpackNF4 gives the weight (o, 64b) that codes stand for, in the arithmetic that kernels.h asks for.
func unpackNF4[T Real](code, absmax []uint8, scale, table []T, offset T, round bool) []T {
	w := make([]T, 2*len(code))
	for i := range w {
		b := i / 64
		most := float32(math.FMA(float64(table[absmax[b]]), float64(scale[b/256]), float64(offset)))
		v := nf4Values[code[i/2]>>(4*(1-i%2))&15] * most
		if round {
			v = RoundBF16(v)
		}
		w[i] = T(v)
	}
	return w
}

// MatmulNF4 is y[:, at … at+o) = x·wᵀ with a weight of 4 bits.
type MatmulNF4[T Real] struct {
	Y                 []T     `arg:"in/out real N,C"`
	X                 []T     `arg:"in real N,64B"`
	Code              []uint8 `arg:"in u8 O,32B"`
	Absmax            []uint8 `arg:"in u8 O,B"`
	Scale             []T     `arg:"in f32 S exact"`
	Map               []T     `arg:"in f32 256 exact"`
	Offset            T
	N, C, O, B, S, At int
	BF16              bool // w is rounded to bfloat16, as everything else is
}

func (*MatmulNF4[T]) twin() Op { return new(MatmulNF4[float32]) }

// Run unpacks and multiplies.
func (o *MatmulNF4[T]) Run() {
	w := unpackNF4(o.Code, o.Absmax, o.Scale, o.Map, o.Offset, o.BF16)
	columns(o.Y, o.X, w, o.N, o.C, o.O, 64*o.B, o.At)
}

// MatmulNF4DX is dx = dy[:, at … at+o)·w, or dx += ….
type MatmulNF4DX[T Real] struct {
	DX                []T     `arg:"acc real N,64B"`
	DY                []T     `arg:"in real N,C"`
	Code              []uint8 `arg:"in u8 O,32B"`
	Absmax            []uint8 `arg:"in u8 O,B"`
	Scale             []T     `arg:"in f32 S exact"`
	Map               []T     `arg:"in f32 256 exact"`
	Offset            T
	N, C, O, B, S, At int
	Accumulate        bool
	BF16              bool
}

func (*MatmulNF4DX[T]) twin() Op { return new(MatmulNF4DX[float32]) }

// Run unpacks and multiplies.
func (o *MatmulNF4DX[T]) Run() {
	w := unpackNF4(o.Code, o.Absmax, o.Scale, o.Map, o.Offset, o.BF16)
	columnsDX(o.DX, o.DY, w, o.N, o.C, o.O, 64*o.B, o.At, o.Accumulate)
}

// unpackBlocks gives the weight (o, i) that rows of ggml's blocks stand for.
func unpackBlocks[T Real](code []uint8, kind gguf.Type, o, i int, round bool) []T {
	x := make([]float32, o*i)
	if err := gguf.Dequantize(x, code, kind); err != nil {
		panic(err)
	}
	w := make([]T, len(x))
	for j, v := range x {
		if round {
			v = RoundBF16(v)
		}
		w[j] = T(v)
	}
	return w
}

// MatmulBlocks is y[:, at … at+o) = x·wᵀ with a weight in ggml's blocks.
type MatmulBlocks[T Real] struct {
	Y                 []T     `arg:"in/out real N,C"`
	X                 []T     `arg:"in real N,I"`
	Code              []uint8 `arg:"in u8 O,R"`
	N, C, O, I, R, At int
	Type              gguf.Type
	BF16              bool // w is rounded to bfloat16, as everything else is
}

func (*MatmulBlocks[T]) twin() Op { return new(MatmulBlocks[float32]) }

// Run unpacks and multiplies.
func (o *MatmulBlocks[T]) Run() {
	columns(o.Y, o.X, unpackBlocks[T](o.Code, o.Type, o.O, o.I, o.BF16), o.N, o.C, o.O, o.I, o.At)
}

// MatmulBlocksDX is dx = dy[:, at … at+o)·w, or dx += ….
type MatmulBlocksDX[T Real] struct {
	DX                []T     `arg:"acc real N,I"`
	DY                []T     `arg:"in real N,C"`
	Code              []uint8 `arg:"in u8 O,R"`
	N, C, O, I, R, At int
	Type              gguf.Type
	Accumulate        bool
	BF16              bool
}

func (*MatmulBlocksDX[T]) twin() Op { return new(MatmulBlocksDX[float32]) }

// Run unpacks and multiplies.
func (o *MatmulBlocksDX[T]) Run() {
	columnsDX(o.DX, o.DY, unpackBlocks[T](o.Code, o.Type, o.O, o.I, o.BF16), o.N, o.C, o.O, o.I, o.At, o.Accumulate)
}

// columns is y[:, at … at+o) = x·wᵀ; y (n, c), x (n, i), w (o, i).
func columns[T Real](y, x, w []T, n, c, o, i, at int) {
	for row := range n {
		for j := range o {
			y[row*c+at+j] = dot(x[row*i:][:i], w[j*i:][:i])
		}
	}
}

// columnsDX is dx (n, i) = dy[:, at … at+o)·w (o, i), or dx += …; dy (n, c).
func columnsDX[T Real](dx, dy, w []T, n, c, o, i, at int, accumulate bool) {
	for row := range n {
		for k := range i {
			var sum T
			for j := range o {
				sum += dy[row*c+at+j] * w[j*i+k]
			}
			if accumulate {
				sum += dx[row*i+k]
			}
			dx[row*i+k] = sum
		}
	}
}

// AddBias is y[n] += b.
type AddBias[T Real] struct {
	Y    []T `arg:"+= real N,O"`
	B    []T `arg:"in real O"`
	N, O int
}

func (*AddBias[T]) twin() Op { return new(AddBias[float32]) }

// Run adds the bias to each row.
func (o *AddBias[T]) Run() {
	for i := range o.Y {
		o.Y[i] += o.B[i%o.O]
	}
}

// AddBiasBackward is db += Σ_n dy[n].
type AddBiasBackward[T Real] struct {
	DB   []T `arg:"+= f32 O"`
	DY   []T `arg:"in real N,O"`
	N, O int
}

func (*AddBiasBackward[T]) twin() Op { return new(AddBiasBackward[float32]) }

// Run adds the rows up.
func (o *AddBiasBackward[T]) Run() {
	for i := range o.DB {
		var sum T
		for n := range o.N {
			sum += o.DY[n*o.O+i]
		}
		o.DB[i] += sum
	}
}

// LoRA is y[n, at+o] += Σ_k t[n, from+k]·b[o, k].
type LoRA[T Real] struct {
	Y                       []T `arg:"+= real N,C"`
	T                       []T `arg:"in real N,P"`
	B                       []T `arg:"in real O,R"`
	N, C, P, O, R, At, From int
}

func (*LoRA[T]) twin() Op { return new(LoRA[float32]) }

// Run multiplies.
func (o *LoRA[T]) Run() {
	for n := range o.N {
		t := o.T[n*o.P+o.From:][:o.R]
		for j := range o.O {
			o.Y[n*o.C+o.At+j] += dot(t, o.B[j*o.R:][:o.R])
		}
	}
}

// LoRABackward is dt[n, from+k] = Σ_o dy[n, at+o]·b[o, k], db[o, k] += Σ_n dy[n, at+o]·t[n, from+k].
type LoRABackward[T Real] struct {
	DT                      []T `arg:"in/out real N,P"`
	DB                      []T `arg:"+= f32 O,R"`
	DY                      []T `arg:"in real N,C"`
	T                       []T `arg:"in real N,P"`
	B                       []T `arg:"in real O,R"`
	N, C, P, O, R, At, From int
}

func (*LoRABackward[T]) twin() Op { return new(LoRABackward[float32]) }

// Run multiplies.
func (o *LoRABackward[T]) Run() {
	for k := range o.R {
		for n := range o.N {
			var sum T
			for j := range o.O {
				sum += o.DY[n*o.C+o.At+j] * o.B[j*o.R+k]
			}
			o.DT[n*o.P+o.From+k] = sum
		}
		for j := range o.O {
			var sum T
			for n := range o.N {
				sum += o.DY[n*o.C+o.At+j] * o.T[n*o.P+o.From+k]
			}
			o.DB[j*o.R+k] += sum
		}
	}
}

// SwiGLU is h = silu(gate)·up, silu(g) = g/(1 + exp(-g)); a row of gu is gate (F) then up (F).
type SwiGLU[T Real] struct {
	H    []T `arg:"out real N,F"`
	GU   []T `arg:"in real N,2F"`
	N, F int
}

func (*SwiGLU[T]) twin() Op { return new(SwiGLU[float32]) }

// Run applies the gate.
func (o *SwiGLU[T]) Run() { gated(o, silu[T]) }

// silu is g/(1 + exp(-g)), and its derivative σ(g)·(1 + g·(1 - σ(g))).
func silu[T Real](g T) (y, dy T) {
	sig := 1 / (1 + exp(-g))
	return g / (1 + exp(-g)), sig * (1 + g*(1-sig))
}

// gated is h = act(gate)·up.
func gated[T Real](o *SwiGLU[T], act func(T) (y, dy T)) {
	for n := range o.N {
		for f := range o.F {
			y, _ := act(o.GU[n*2*o.F+f])
			o.H[n*o.F+f] = y * o.GU[n*2*o.F+o.F+f]
		}
	}
}

// SwiGLUBackward is dup = dh·silu(gate), dgate = dh·up·silu'(gate), silu'(g) = σ(g)·(1 + g·(1 - σ(g))), and h once more.
type SwiGLUBackward[T Real] struct {
	DGU  []T `arg:"out real N,2F"`
	H    []T `arg:"out real N,F"`
	DH   []T `arg:"in real N,F"`
	GU   []T `arg:"in real N,2F"`
	N, F int
}

func (*SwiGLUBackward[T]) twin() Op { return new(SwiGLUBackward[float32]) }

// Run gives both gradients.
func (o *SwiGLUBackward[T]) Run() { gatedBackward(o, silu[T]) }

func gatedBackward[T Real](o *SwiGLUBackward[T], act func(T) (y, dy T)) {
	for n := range o.N {
		for f := range o.F {
			g, u := n*2*o.F+f, n*2*o.F+o.F+f
			up, dh := o.GU[u], o.DH[n*o.F+f]
			y, dy := act(o.GU[g])
			o.DGU[g] = dh * up * dy
			o.DGU[u] = dh * y
			o.H[n*o.F+f] = y * up
		}
	}
}

// GeGLU is h = gelu(gate)·up, gelu(g) = ½·g·(1 + tanh(sqrt(2/π)·(g + 0.044715·g³))).
type GeGLU[T Real] SwiGLU[T]

func (*GeGLU[T]) twin() Op { return new(GeGLU[float32]) }

// Run applies the gate.
func (o *GeGLU[T]) Run() { gated((*SwiGLU[T])(o), gelu[T]) }

// GeGLUBackward is dup = dh·gelu(gate), dgate = dh·up·gelu'(gate), and h once more.
type GeGLUBackward[T Real] SwiGLUBackward[T]

func (*GeGLUBackward[T]) twin() Op { return new(GeGLUBackward[float32]) }

// Run gives both gradients.
func (o *GeGLUBackward[T]) Run() { gatedBackward((*SwiGLUBackward[T])(o), gelu[T]) }

// gelu and its derivative: with u = sqrt(2/π)·(g + 0.044715·g³), ½·(1 + tanh u) + ½·g·(1 - tanh² u)·du/dg.
func gelu[T Real](g T) (y, dy T) {
	c := T(math.Sqrt(2 / math.Pi))
	th := tanh(c * (g + 0.044715*g*g*g))
	return g * (1 + th) / 2, (1+th)/2 + g*(1-th*th)/2*c*(1+3*0.044715*g*g)
}
