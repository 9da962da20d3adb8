package spec

// GradNorm is norm[0] = sqrt(Σ g²); norm[1] = how many elements are not finite.
type GradNorm[T Real] struct {
	Norm []T `arg:"out f32 2 each"`
	G    []T `arg:"in f32 N"`
	N    int
}

// Run sums.
func (o *GradNorm[T]) Run() {
	o.Norm[0], o.Norm[1] = sqrt(dot(o.G, o.G)), 0
	for _, g := range o.G {
		if !finite(g) {
			o.Norm[1]++
		}
	}
}

// clip is the factor of the gradient, and whether there is an update at all.
func clip[T Real](norm []T, maxNorm T) (factor T, ok bool) {
	if !finite(norm[0]) || norm[1] > 0 {
		return 0, false
	}
	if maxNorm > 0 && norm[0] > maxNorm {
		return maxNorm / norm[0], true
	}
	return 1, true
}

// AdamW is m = β1·m + (1-β1)·g'; v = β2·v + (1-β2)·g'²; p -= lr·((m/bias1)/(sqrt(v/bias2) + eps) + weight_decay·p), with
// g' = g·min(1, max_norm/norm) and p the master copy, then w = p; or w itself where there is no master.
type AdamW[T Real] struct {
	W                                  []T `arg:"in/out real N"`
	Master                             []T `arg:"in/out f32 N or-nil"`
	M                                  []T `arg:"in/out f32 N"`
	V                                  []T `arg:"in/out f32 N"`
	G                                  []T `arg:"in f32 N"`
	Norm                               []T `arg:"in f32 2 exact"`
	LR, Beta1, Beta2, Eps, WeightDecay T
	Bias1, Bias2, MaxNorm              T
	N                                  int
}

// Run updates, unless the norm says that the gradient is broken.
func (o *AdamW[T]) Run() {
	factor, ok := clip(o.Norm, o.MaxNorm)
	if !ok {
		return
	}
	p := o.Master
	if p == nil {
		p = o.W
	}
	for i := range o.N {
		g := o.G[i] * factor
		o.M[i] = o.Beta1*o.M[i] + (1-o.Beta1)*g
		o.V[i] = o.Beta2*o.V[i] + (1-o.Beta2)*g*g
		p[i] -= o.LR * (o.M[i]/o.Bias1/(sqrt(o.V[i]/o.Bias2)+o.Eps) + o.WeightDecay*p[i])
		o.W[i] = p[i]
	}
}

// Muon is m = momentum·m + g'; u = g' + momentum·m; X = u/‖u‖ (0 where u is 0); five times A = X·Xᵀ,
// X = a·X + (b·A + c·A²)·X, on the transpose where R > C; p -= lr·(max(1, R/C)^½·X + weight_decay·p).
type Muon[T Real] struct {
	W                                  []T `arg:"in/out real R,C"`
	Master                             []T `arg:"in/out f32 R,C or-nil"`
	M                                  []T `arg:"in/out f32 R,C"`
	G                                  []T `arg:"in f32 R,C"`
	Norm                               []T `arg:"in f32 2 exact"`
	Scratch                            []T `arg:"scratch f32 ScratchLen"`
	LR, Momentum, WeightDecay, MaxNorm T
	R, C, ScratchLen                   int
}

// Run updates, unless the norm says that the gradient is broken.
func (o *Muon[T]) Run() {
	factor, ok := clip(o.Norm, o.MaxNorm)
	if !ok {
		return
	}
	x := make([]T, o.R*o.C)
	for i := range x {
		g := o.G[i] * factor
		o.M[i] = o.Momentum*o.M[i] + g
		x[i] = g + o.Momentum*o.M[i]
	}
	if norm := sqrt(dot(x, x)); norm > 0 {
		for i := range x {
			x[i] /= norm
		}
	}
	rows, cols := o.R, o.C
	if o.R > o.C {
		x, rows, cols = transpose(x, o.R, o.C), o.C, o.R
	}
	for range 5 {
		a := product(x, transpose(x, rows, cols), rows, cols, rows)
		b := product(a, a, rows, rows, rows)
		for i := range b {
			b[i] = -4.7750*a[i] + 2.0315*b[i]
		}
		y := product(b, x, rows, rows, cols)
		for i := range x {
			x[i] = 3.4445*x[i] + y[i]
		}
	}
	if o.R > o.C {
		x = transpose(x, o.C, o.R)
	}
	p := o.Master
	if p == nil {
		p = o.W
	}
	scale := sqrt(max(1, T(o.R)/T(o.C)))
	for i := range x {
		p[i] -= o.LR * (scale*x[i] + o.WeightDecay*p[i])
		o.W[i] = p[i]
	}
}

// transpose of x (r, c).
func transpose[T Real](x []T, r, c int) []T {
	y := make([]T, len(x))
	for i := range r {
		for j := range c {
			y[j*r+i] = x[i*c+j]
		}
	}
	return y
}

// product of x (n, k) and y (k, m).
func product[T Real](x, y []T, n, k, m int) []T {
	z := make([]T, n*m)
	for i := range n {
		for l := range k {
			for j := range m {
				z[i*m+j] += x[i*k+l] * y[l*m+j]
			}
		}
	}
	return z
}
