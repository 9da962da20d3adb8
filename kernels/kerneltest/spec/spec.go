// Package spec is the specification of the kernels: every op of kernels.h as plain Go loops, and the list of cases on
// which implementations are tested. It has no cgo and no device, so its own tests (gradients, known answers) need neither.
//
// An op is a struct with the fields of its args struct in kernels.h and a method Run. Fields are generic over the type of
// numbers: float64 is the specification, float32 is the naive implementation whose error sets the tolerance of real ones.
// Tags say direction, type and shape, in the words of the header; shapes are in terms of the struct's own fields.
package spec

import (
	"fmt"
	"math"
	"reflect"
	"strings"
)

// Real is the type of numbers that an op computes with.
type Real interface{ float32 | float64 }

// Op is an op with its arguments. Its twin is the same op, empty, in float32.
type Op interface {
	Run()
	twin() Op
}

// Dir is the direction of an argument.
type Dir int

// In is read only. Out is overwritten. InOut is read and written, which includes accumulation. Scratch holds nothing before
// and nothing after. Aside is of the specification alone: a result before it is rounded by chance.
const (
	In Dir = iota
	Out
	InOut
	Scratch
	Aside
)

// Type is the type of an argument's elements.
type Type int

// Real32 is the header's "real": float32 or bfloat16 as the case says.
const (
	Real32 Type = iota
	F32
	I32
	U64
	U8
)

// Arg is one tensor argument of an op.
type Arg struct {
	Name  string
	Dir   Dir
	Type  Type
	Shape []int
	Nil   bool // an optional argument that is left out
	Exact bool // ties of the values matter: no jitter
	Each  bool // elements have different units: one tolerance each
	Unit  bool // a sum near 1 has gone through a logarithm, or numbers near 1 were taken from each other: an absolute error like that of 1 is natural
	Value reflect.Value
}

// Floats is the argument's data, which must be float64.
func (a Arg) Floats() []float64 { return a.Value.Interface().([]float64) }

// IsFloat says whether the argument has real numbers.
func (a Arg) IsFloat() bool { return a.Type <= F32 }

// Len is the number of elements.
func (a Arg) Len() int {
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	return n
}

// Args lists the tensor arguments of an op (a pointer to one of the structs of this package) in the order of its fields.
// It panics where a slice has not the length that its shape says.
func Args(op Op) []Arg {
	v := reflect.ValueOf(op).Elem()
	var args []Arg
	for i := range v.NumField() {
		tag, ok := v.Type().Field(i).Tag.Lookup("arg")
		if !ok {
			continue
		}
		a := parse(v, tag)
		a.Name, a.Value = v.Type().Field(i).Name, v.Field(i)
		a.Nil = a.Nil && a.Value.IsNil()
		if n := a.Value.Len(); !a.Nil && !a.Value.IsNil() && n != a.Len() && n != Pattern {
			panic(fmt.Sprintf("spec: %T.%s has %d elements, shape %v", op, a.Name, a.Value.Len(), a.Shape))
		}
		args = append(args, a)
	}
	return args
}

// parse reads "direction type dims flag…".
func parse(op reflect.Value, tag string) (a Arg) {
	w := strings.Fields(tag)
	switch w[0] {
	case "in":
		a.Dir = In
	case "out":
		a.Dir = Out
	case "in/out", "+=":
		a.Dir = InOut
	case "acc": // out, or += if the op's Accumulate is set
		a.Dir = Out
		if op.FieldByName("Accumulate").Bool() {
			a.Dir = InOut
		}
	case "scratch":
		a.Dir = Scratch
	case "aside":
		a.Dir = Aside
	default:
		panic("spec: direction of " + tag)
	}
	switch w[1] {
	case "real":
		a.Type = Real32
	case "f32":
		a.Type = F32
	case "i32":
		a.Type = I32
	case "u64":
		a.Type = U64
	case "u8":
		a.Type = U8
	case "y": // real, or f32 if the op's YF32 is set
		a.Type = Real32
		if op.FieldByName("YF32").Bool() {
			a.Type = F32
		}
	default:
		panic("spec: type of " + tag)
	}
	for _, expr := range strings.Split(w[2], ",") {
		a.Shape = append(a.Shape, dim(op, expr))
	}
	for _, flag := range w[3:] {
		switch flag {
		case "or-nil":
			a.Nil = true
		case "exact":
			a.Exact = true
		case "ties": // exact if the op's Ties is set
			a.Exact = op.FieldByName("Ties").Bool()
		case "each":
			a.Each = true
		case "unit":
			a.Unit = true
		default:
			panic("spec: flag of " + tag)
		}
	}
	return a
}

// dim evaluates a sum of terms like 3, N or 2G.
func dim(op reflect.Value, expr string) int {
	sum := 0
	for _, term := range strings.Split(expr, "+") {
		name := strings.TrimLeft(term, "0123456789")
		factor := 1
		if digits := term[:len(term)-len(name)]; digits != "" {
			fmt.Sscan(digits, &factor)
		}
		if name != "" {
			factor *= int(op.FieldByName(name).Int())
		}
		sum += factor
	}
	return sum
}

// Copy copies all fields of src into dst, an op of the same kind whose numbers may have the other type.
func Copy(dst, src Op) {
	d, s := reflect.ValueOf(dst).Elem(), reflect.ValueOf(src).Elem()
	for i := range s.NumField() {
		from, to := s.Field(i), d.Field(i)
		switch from.Kind() {
		case reflect.Func:
		case reflect.Slice:
			if from.IsNil() {
				continue
			}
			to.Set(reflect.MakeSlice(to.Type(), from.Len(), from.Len()))
			switch x := from.Interface().(type) {
			case []float64:
				if y, ok := to.Interface().([]float32); ok {
					convert(y, x)
					continue
				}
			case []float32:
				if y, ok := to.Interface().([]float64); ok {
					convert(y, x)
					continue
				}
			}
			reflect.Copy(to, from)
		default:
			to.Set(from.Convert(to.Type()))
		}
	}
}

func convert[T, F Real](dst []T, src []F) {
	for i, x := range src {
		dst[i] = T(x)
	}
}

// Clone is a deep copy in the same type.
func Clone(op Op) Op {
	c := reflect.New(reflect.TypeOf(op).Elem()).Interface().(Op)
	Copy(c, op)
	return c
}

// Naive is the op in float32 arithmetic, in the order in which the specification is written. With bf16, the intermediate
// results that an implementation may keep in bfloat16 are rounded to it.
func Naive(op Op, bf16 bool) Op {
	n := op.twin()
	Copy(n, op)
	if f := reflect.ValueOf(n).Elem().FieldByName("Round"); f.IsValid() && bf16 {
		f.Set(reflect.ValueOf(RoundBF16))
	}
	return n
}

// RoundBF16 rounds to the nearest bfloat16, ties to even.
func RoundBF16(x float32) float32 {
	if x != x {
		return x
	}
	b := math.Float32bits(x)
	return math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
}

func round[T Real](f func(T) T, x T) T {
	if f == nil {
		return x
	}
	return f(x)
}

func exp[T Real](x T) T   { return T(math.Exp(float64(x))) }
func log[T Real](x T) T   { return T(math.Log(float64(x))) }
func log1p[T Real](x T) T { return T(math.Log1p(float64(x))) }
func tanh[T Real](x T) T  { return T(math.Tanh(float64(x))) }
func sqrt[T Real](x T) T  { return T(math.Sqrt(float64(x))) }

func dot[T Real](x, y []T) T {
	var sum T
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}

func abs[T Real](x T) T { return T(math.Abs(float64(x))) }

func finite[T Real](x T) bool { return x-x == 0 }
