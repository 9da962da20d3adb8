package spec

import "math"

// Embed is out[n] = table[id[n]].
type Embed[T Real] struct {
	Out     []T     `arg:"out real N,H"`
	Table   []T     `arg:"in real V,H"`
	ID      []int32 `arg:"in i32 N"`
	N, H, V int
}

func (*Embed[T]) twin() Op { return new(Embed[float32]) }

// Run looks the rows up.
func (o *Embed[T]) Run() {
	for n, id := range o.ID {
		copy(o.Out[n*o.H:][:o.H], o.Table[int(id)*o.H:])
	}
}

// EmbedBackward is dtable[row[u]] += Σ_j dout[src[j]], j in [ptr[u], ptr[u+1]).
type EmbedBackward[T Real] struct {
	DTable     []T     `arg:"+= f32 V,H"`
	DOut       []T     `arg:"in real N,H"`
	Row        []int32 `arg:"in i32 U"`
	Ptr        []int32 `arg:"in i32 U+1"`
	Src        []int32 `arg:"in i32 N"`
	N, H, V, U int
}

func (*EmbedBackward[T]) twin() Op { return new(EmbedBackward[float32]) }

// Run adds the rows.
func (o *EmbedBackward[T]) Run() {
	for u, row := range o.Row {
		for h := range o.H {
			var sum T
			for _, n := range o.Src[o.Ptr[u]:o.Ptr[u+1]] {
				sum += o.DOut[int(n)*o.H+h]
			}
			o.DTable[int(row)*o.H+h] += sum
		}
	}
}

// Gather is out[r] = x[row[r]].
type Gather[T Real] struct {
	Out     []T     `arg:"out real R,H"`
	X       []T     `arg:"in real N,H"`
	Row     []int32 `arg:"in i32 R"`
	R, N, H int
}

func (*Gather[T]) twin() Op { return new(Gather[float32]) }

// Run copies the rows.
func (o *Gather[T]) Run() {
	for r, n := range o.Row {
		copy(o.Out[r*o.H:][:o.H], o.X[int(n)*o.H:])
	}
}

// GatherBackward is dx[n] = Σ_j dout[src[j]], j in [ptr[n], ptr[n+1]).
type GatherBackward[T Real] struct {
	DX      []T     `arg:"out real N,H"`
	DOut    []T     `arg:"in real R,H"`
	Ptr     []int32 `arg:"in i32 N+1"`
	Src     []int32 `arg:"in i32 R"`
	R, N, H int
}

func (*GatherBackward[T]) twin() Op { return new(GatherBackward[float32]) }

// Run sums the rows.
func (o *GatherBackward[T]) Run() {
	for n := range o.N {
		for h := range o.H {
			var sum T
			for _, r := range o.Src[o.Ptr[n]:o.Ptr[n+1]] {
				sum += o.DOut[int(r)*o.H+h]
			}
			o.DX[n*o.H+h] = sum
		}
	}
}

// RMSNorm is sum = x + res; rstd = 1/sqrt(mean(sum²) + eps); out = sum · rstd · (shift + w).
type RMSNorm[T Real] struct {
	Out   []T `arg:"out real N,H"`
	Sum   []T `arg:"out real N,H or-nil"`
	RStd  []T `arg:"out f32 N"`
	X     []T `arg:"in real N,H"`
	Res   []T `arg:"in real N,H or-nil"`
	W     []T `arg:"in real H"`
	Eps   T
	Shift T
	N, H  int
	Round func(T) T // the sum may be rounded as it is stored before it is used
}

func (*RMSNorm[T]) twin() Op { return new(RMSNorm[float32]) }

// Run normalises the rows.
func (o *RMSNorm[T]) Run() {
	for n := range o.N {
		row := append([]T(nil), o.X[n*o.H:][:o.H]...)
		if o.Res != nil {
			for h := range row {
				row[h] = round(o.Round, row[h]+o.Res[n*o.H+h])
			}
			copy(o.Sum[n*o.H:], row)
		}
		o.RStd[n] = 1 / sqrt(dot(row, row)/T(o.H)+o.Eps)
		for h, x := range row {
			o.Out[n*o.H+h] = x * o.RStd[n] * (o.Shift + o.W[h])
		}
	}
}

// RMSNormBackward is, with y = x·rstd and s = shift + w, dx += rstd · (dout·s - y · mean(dout·s·y)); dw += Σ_n dout · y; and out once more.
type RMSNormBackward[T Real] struct {
	DX    []T `arg:"+= real N,H"`
	DW    []T `arg:"+= f32 H"`
	Out   []T `arg:"out real N,H"`
	DOut  []T `arg:"in real N,H"`
	X     []T `arg:"in real N,H"`
	W     []T `arg:"in real H"`
	RStd  []T `arg:"in f32 N"`
	Shift T
	N, H  int
}

func (*RMSNormBackward[T]) twin() Op { return new(RMSNormBackward[float32]) }

// Run adds the gradients.
func (o *RMSNormBackward[T]) Run() {
	dw := make([]T, o.H)
	for n := range o.N {
		var mean T
		for h := range o.H {
			i := n*o.H + h
			mean += o.DOut[i] * (o.Shift + o.W[h]) * o.X[i] * o.RStd[n] / T(o.H)
		}
		for h := range o.H {
			i := n*o.H + h
			y := o.X[i] * o.RStd[n]
			o.DX[i] += o.RStd[n] * (o.DOut[i]*(o.Shift+o.W[h]) - y*mean)
			dw[h] += o.DOut[i] * y
			o.Out[i] = y * (o.Shift + o.W[h])
		}
	}
	for h := range dw {
		o.DW[h] += dw[h]
	}
}

// SliceNorm is RMSNorm of parts of each row, in place: x = the part; rstd = 1/sqrt(mean(x²) + eps); it becomes x · rstd · (shift + w).
type SliceNorm[T Real] struct {
	Y                           []T `arg:"in/out real N,C"`
	X                           []T `arg:"out real N,Groups,Width or-nil"`
	RStd                        []T `arg:"out f32 N,Groups or-nil"`
	W                           []T `arg:"in real Width"`
	Eps, Shift                  T
	N, C, Groups, Width, Offset int
}

func (*SliceNorm[T]) twin() Op { return new(SliceNorm[float32]) }

// Run normalises the parts.
func (o *SliceNorm[T]) Run() {
	for n := range o.N {
		for g := range o.Groups {
			part := o.Y[n*o.C+o.Offset+g*o.Width:][:o.Width]
			rstd := 1 / sqrt(dot(part, part)/T(o.Width)+o.Eps)
			if o.X != nil {
				copy(o.X[(n*o.Groups+g)*o.Width:], part)
				o.RStd[n*o.Groups+g] = rstd
			}
			for i, x := range part {
				part[i] = x * rstd * (o.Shift + o.W[i])
			}
		}
	}
}

// SliceNormBackward is, with y = x·rstd, s = shift + w, and dy in the parts of dx: dx = rstd · (dy·s - y · mean(dy·s·y)); dw += Σ dy · y.
type SliceNormBackward[T Real] struct {
	DX                          []T `arg:"in/out real N,C"`
	DW                          []T `arg:"+= f32 Width"`
	X                           []T `arg:"in real N,Groups,Width"`
	W                           []T `arg:"in real Width"`
	RStd                        []T `arg:"in f32 N,Groups"`
	Shift                       T
	N, C, Groups, Width, Offset int
}

func (*SliceNormBackward[T]) twin() Op { return new(SliceNormBackward[float32]) }

// Run turns the gradients of the parts.
func (o *SliceNormBackward[T]) Run() {
	dw := make([]T, o.Width)
	for n := range o.N {
		for g := range o.Groups {
			part, x, rstd := o.DX[n*o.C+o.Offset+g*o.Width:][:o.Width], o.X[(n*o.Groups+g)*o.Width:], o.RStd[n*o.Groups+g]
			var mean T
			for i, dy := range part {
				mean += dy * (o.Shift + o.W[i]) * x[i] * rstd / T(o.Width)
			}
			for i, dy := range part {
				y := x[i] * rstd
				part[i] = rstd * (dy*(o.Shift+o.W[i]) - y*mean)
				dw[i] += dy * y
			}
		}
	}
	for i := range dw {
		o.DW[i] += dw[i]
	}
}

// RoPE turns channels i and i + R/2 of queries and keys: a' = a·cos - b·sin, b' = b·cos + a·sin. Channels from R on stay.
type RoPE[T Real] struct {
	QKV              []T     `arg:"in/out real N,A+2G,D"`
	Table            []T     `arg:"in f32 T,R"`
	Pos              []int32 `arg:"in i32 N"`
	N, A, G, D, R, T int
}

func (*RoPE[T]) twin() Op { return new(RoPE[float32]) }

// Run turns by the angles of the positions.
func (o *RoPE[T]) Run() { turn(o, 1) }

// RoPEBackward has a gradient in QKV.
type RoPEBackward[T Real] RoPE[T]

func (*RoPEBackward[T]) twin() Op { return new(RoPEBackward[float32]) }

// Run turns by the opposite angles: the transpose of a rotation is its inverse.
func (o *RoPEBackward[T]) Run() { turn((*RoPE[T])(o), -1) }

func turn[T Real](o *RoPE[T], sign T) {
	half := o.R / 2
	for n, pos := range o.Pos {
		cos := o.Table[int(pos)*o.R:][:half]
		sin := o.Table[int(pos)*o.R+half:][:half]
		for head := range o.A + o.G {
			x := o.QKV[(n*(o.A+2*o.G)+head)*o.D:][:o.D]
			for i := range half {
				a, b := x[i], x[i+half]
				x[i] = a*cos[i] - sign*b*sin[i]
				x[i+half] = b*cos[i] + sign*a*sin[i]
			}
		}
	}
}

// RoPETable gives cos(t·θ_i), i < D/2, then sin(t·θ_i) in row t, with θ_i = base^(-2i/D).
func RoPETable(t, d int, base float64) []float64 {
	table := make([]float64, t*d)
	for row := range t {
		for i := range d / 2 {
			angle := float64(row) * math.Pow(base, -2*float64(i)/float64(d))
			table[row*d+i], table[row*d+d/2+i] = math.Cos(angle), math.Sin(angle)
		}
	}
	return table
}

// Scale is x *= s.
type Scale[T Real] struct {
	X []T `arg:"in/out real N"`
	S T
	N int
}

func (*Scale[T]) twin() Op { return new(Scale[float32]) }

// Run multiplies each element.
func (o *Scale[T]) Run() {
	for i := range o.X {
		o.X[i] *= o.S
	}
}
