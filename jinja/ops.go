package jinja

import (
	"math"
	"math/big"
	"strings"
)

// small gives an integer as an int64 where it fits.
func small(b *big.Int) Value {
	if b.IsInt64() {
		return b.Int64()
	}
	return b
}

func (in *run) bigger(b *big.Int) Value {
	if b.BitLen() > maxBits {
		in.fail("an integer has more than %d bits", maxBits)
	}
	return small(b)
}

// number gives a number as an integer or a float; both nil: it is none.
func number(v Value) (i *big.Int, f *float64) {
	switch v := v.(type) {
	case bool:
		if v {
			return big.NewInt(1), nil
		}
		return new(big.Int), nil
	case int64:
		return big.NewInt(v), nil
	case *big.Int:
		return v, nil
	case float64:
		return nil, &v
	}
	return nil, nil
}

func (in *run) toFloat(i *big.Int) float64 {
	f, _ := new(big.Float).SetInt(i).Float64()
	if math.IsInf(f, 0) {
		in.fail("an integer is too large for a float")
	}
	return f
}

func (in *run) binary(op string, x, y Value) Value {
	if t, ok := x.(*Text); ok && op == "%" {
		in.plain(t)
		return in.percent(t, y)
	}
	in.defined(x)
	in.defined(y)
	if a, ok := x.(int64); ok {
		if b, ok := y.(int64); ok {
			if v := smallOp(op, a, b); v != nil {
				return v
			}
		}
	}
	switch a := x.(type) {
	case *Text:
		if b, ok := y.(*Text); ok && op == "+" {
			return in.join(a, b)
		}
	case *List:
		if b, ok := y.(*List); ok && op == "+" {
			return &List{in.appendItems(a.Items, b.Items)}
		}
	case *Tuple:
		if b, ok := y.(*Tuple); ok && op == "+" {
			return &Tuple{Items: in.appendItems(a.Items, b.Items)}
		}
	}
	if op == "*" {
		if v := in.repeat(x, y); v != nil {
			return v
		}
		if v := in.repeat(y, x); v != nil {
			return v
		}
	}
	xi, xf := number(x)
	yi, yf := number(y)
	switch {
	case xi != nil && yi != nil:
		return in.intOp(op, xi, yi)
	case (xi != nil || xf != nil) && (yi != nil || yf != nil):
		if xf == nil {
			f := in.toFloat(xi)
			xf = &f
		}
		if yf == nil {
			f := in.toFloat(yi)
			yf = &f
		}
		return in.floatOp(op, *xf, *yf)
	}
	in.fail("%s cannot be used between %s and %s", op, typeName(x), typeName(y))
	return nil
}

func (in *run) defined(v Value) {
	if u, ok := v.(*undef); ok {
		in.useUndefined(u)
	}
}

// smallOp computes what surely fits, else gives nil.
func smallOp(op string, a, b int64) Value {
	const most = 1 << 31
	if a > most || a < -most || b > most || b < -most {
		return nil
	}
	switch op {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "//", "%":
		if b == 0 {
			return nil
		}
		q, r := a/b, a%b
		if r != 0 && (r < 0) != (b < 0) {
			q, r = q-1, r+b
		}
		if op == "%" {
			return r
		}
		return q
	}
	return nil
}

func (in *run) join(a, b *Text) *Text {
	if a.safe != b.safe {
		if a.safe {
			b = in.escape(b)
		} else {
			a = in.escape(a)
		}
	}
	in.text(len(a.S) + len(b.S))
	var out builder
	out.Grow(len(a.S) + len(b.S))
	out.add(a)
	out.add(b)
	t := out.text()
	t.safe = a.safe
	return t
}

func (in *run) appendItems(a, b []Value) []Value {
	in.items(len(a) + len(b))
	out := make([]Value, 0, len(a)+len(b))
	return append(append(out, a...), b...)
}

// repeat is sequence * n, nil where x is no sequence.
func (in *run) repeat(x, y Value) Value {
	n, ok := index(y)
	if !ok {
		return nil
	}
	n = max(0, n)
	count := func(size int) int {
		if size == 0 {
			n = 0
		} else if n > maxOutput/size {
			return maxOutput + 1
		}
		return n * size
	}
	items := func(list []Value) []Value {
		in.items(count(len(list)))
		var out []Value
		for range n {
			out = append(out, list...)
		}
		return out
	}
	switch x := x.(type) {
	case *Text:
		in.plain(x)
		in.text(count(len(x.S)))
		if len(x.Spans) == 0 {
			return NewText(strings.Repeat(x.S, n))
		}
		var b builder
		for range n {
			in.charge(24 * len(x.Spans))
			b.add(x)
		}
		return b.text()
	case *List:
		return &List{items(x.Items)}
	case *Tuple:
		return &Tuple{Items: items(x.Items)}
	}
	return nil
}

// divide is Python's // and %.
func divide(a, b *big.Int) (q, r *big.Int) {
	q, r = new(big.Int).QuoRem(a, b, new(big.Int))
	if r.Sign() != 0 && r.Sign() != b.Sign() {
		q.Sub(q, big.NewInt(1))
		r.Add(r, b)
	}
	return q, r
}

func (in *run) intOp(op string, a, b *big.Int) Value {
	in.charge((a.BitLen() + b.BitLen()) / 4)
	z := new(big.Int)
	switch op {
	case "+":
		return in.bigger(z.Add(a, b))
	case "-":
		return in.bigger(z.Sub(a, b))
	case "*":
		return in.bigger(z.Mul(a, b))
	case "**":
		if b.Sign() < 0 {
			return in.floatOp(op, in.toFloat(a), in.toFloat(b))
		}
		if a.BitLen() > 1 && (!b.IsInt64() || b.Int64() > maxBits || int64(a.BitLen()-1)*b.Int64() > maxBits) {
			in.fail("an integer has more than %d bits", maxBits)
		}
		if a.BitLen() <= 1 && b.Sign() > 0 { // of -1, 0 and 1 only whether the exponent is odd counts
			b = big.NewInt(2 - int64(b.Bit(0)))
		}
		return in.bigger(z.Exp(a, b, nil))
	}
	if b.Sign() == 0 {
		in.fail("division by zero")
	}
	switch op {
	case "//":
		q, _ := divide(a, b)
		return in.bigger(q)
	case "%":
		_, r := divide(a, b)
		return in.bigger(r)
	}
	f, _ := new(big.Rat).SetFrac(a, b).Float64()
	if math.IsInf(f, 0) {
		in.fail("the quotient of two integers is too large for a float")
	}
	if a.Sign() == 0 && b.Sign() < 0 {
		return math.Copysign(0, -1)
	}
	return f
}

func (in *run) floatOp(op string, a, b float64) Value {
	switch op {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "**":
		if a == 0 && b < 0 {
			in.fail("0 cannot be raised to a negative power")
		}
		if a < 0 && b != math.Trunc(b) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
			in.fail("a power of a negative number is complex: not supported")
		}
		return in.pow(a, b)
	}
	if b == 0 {
		in.fail("division by zero")
	}
	if op == "/" {
		return a / b
	}
	mod := math.Mod(a, b)
	div := (a - mod) / b
	if mod != 0 {
		if (b < 0) != (mod < 0) {
			mod += b
			div--
		}
	} else {
		mod = math.Copysign(0, b)
	}
	if op == "%" {
		return mod
	}
	if div == 0 {
		return math.Copysign(0, a/b)
	}
	floor := math.Floor(div)
	if div-floor > 0.5 {
		floor++
	}
	return floor
}

func (in *run) unary(op string, v Value) Value {
	in.defined(v)
	i, f := number(v)
	switch {
	case i != nil && op == "-":
		return small(new(big.Int).Neg(i))
	case i != nil:
		return small(i)
	case f != nil && op == "-":
		return -*f
	case f != nil:
		return *f
	}
	in.fail("%s cannot be used with %s", op, typeName(v))
	return nil
}

// pow is rounded to the nearest float, as C's nearly always is and Go's is not.
func (in *run) pow(a, b float64) float64 {
	f := math.Pow(a, b)
	special := a == 0 || math.IsNaN(f) || math.IsInf(a, 0) || math.IsInf(b, 0)
	switch {
	case special || b == 0 || a == 1:
	case b == 0.5:
		f = math.Sqrt(a)
	case b == math.Trunc(b) && math.Abs(b) <= 64:
		z, x := big.NewFloat(1).SetPrec(4096), big.NewFloat(a).SetPrec(4096)
		for range int(math.Abs(b)) {
			z.Mul(z, x)
		}
		if b < 0 {
			z.Quo(big.NewFloat(1).SetPrec(4096), z)
		}
		f, _ = z.Float64()
	default:
		in.fail("a power with the exponent %s is not supported", floatRepr(b))
	}
	if math.IsInf(f, 0) && !special {
		in.fail("the power of two numbers is too large")
	}
	return f
}
