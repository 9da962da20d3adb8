package tokenizer

import (
	"reflect"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// Three faults of the template engine (gonja v2.9.1), repaired in the parsed template:
//
//   - list[-n] of a list of n items is None, so messages[-1] of a single message; string[i] is a byte;
//   - 1 // 0 and 1 / 0 give some number;
//   - string * n makes strings of any size.
//
// The operands in question are wrapped in calls of functions that no template can spell.

const (
	indexFunc  = "\x00index"  // indexFunc(x)[i]: with the rules of Python
	divideFunc = "\x00divide" // a // divideFunc(b)
	repeatFunc = "\x00repeat" // repeatFunc(a, b) is a * b for strings
)

// repair changes a parsed template.
func repair(root *nodes.Template) {
	f := finder{seen: map[uintptr]bool{}}
	f.walk(reflect.ValueOf(root))
	for _, n := range f.items {
		n.Node = callOf(indexFunc, n.Position(), n.Node)
	}
	for _, n := range f.binary {
		switch n.Operator.Token.Type {
		case tokens.Division, tokens.FloorDivision, tokens.Modulo:
			n.Right = callOf(divideFunc, n.Operator.Token, n.Right)
		case tokens.Multiply:
			// a * b becomes f(a, b) * 1: a string is repeated by f, a number multiplied.
			n.Left = callOf(repeatFunc, n.Operator.Token, n.Left, n.Right)
			n.Right = &nodes.Integer{Location: n.Operator.Token, Val: 1}
		}
	}
}

func callOf(name string, at *tokens.Token, args ...nodes.Node) *nodes.Call {
	c := &nodes.Call{Location: at, Func: &nodes.Name{Name: &tokens.Token{Type: tokens.Name, Val: name, Line: at.Line, Col: at.Col}}}
	for _, a := range args {
		c.Args = append(c.Args, a)
	}
	return c
}

// finder collects expressions wherever statements keep them, in fields that are not exported too.
type finder struct {
	seen   map[uintptr]bool
	items  []*nodes.GetItem
	binary []*nodes.BinaryExpression
}

func (f *finder) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		f.walk(v.Elem())
	case reflect.Pointer:
		if v.IsNil() || f.seen[v.Pointer()] || v.Type() == reflect.TypeFor[*tokens.Token]() {
			return
		}
		f.seen[v.Pointer()] = true
		switch v.Type() {
		case reflect.TypeFor[*nodes.GetItem]():
			f.items = append(f.items, (*nodes.GetItem)(v.UnsafePointer()))
		case reflect.TypeFor[*nodes.BinaryExpression]():
			f.binary = append(f.binary, (*nodes.BinaryExpression)(v.UnsafePointer()))
		}
		f.walk(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "target" { // of a set: assigned to, not read
				f.walk(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			f.walk(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			f.walk(it.Value())
		}
	}
}

// repairs are the functions that repair calls.
func (b *budget) repairs() map[string]any {
	return map[string]any{
		indexFunc: func(va *exec.VarArgs) *exec.Value {
			if v := va.First(); v.IsString() || v.IsList() {
				return exec.AsValue(indexed{v})
			}
			return va.First()
		},
		divideFunc: func(va *exec.VarArgs) *exec.Value {
			if v := va.First(); v.IsNumber() && v.Float() == 0 {
				return exec.AsValue(b.fail("cannot be rendered: division by zero"))
			}
			return va.First()
		},
		repeatFunc: func(va *exec.VarArgs) *exec.Value { return b.multiply(va.Args[0], va.Args[1]) },
	}
}

// multiply is x * y.
func (b *budget) multiply(x, y *exec.Value) *exec.Value {
	if y.IsString() {
		x, y = y, x
	}
	switch {
	case x.IsString() && y.IsInteger():
		n := max(0, y.Integer())
		s := x.String()
		if len(s) > 0 && n > maxOutput/len(s) {
			return exec.AsValue(b.fail("output is over %d bytes", maxOutput))
		}
		out := make([]byte, 0, n*len(s))
		for range n {
			if out = append(out, s...); len(s) == 0 {
				break
			}
		}
		return exec.AsValue(string(out))
	case x.IsInteger() && y.IsInteger():
		return exec.AsValue(x.Integer() * y.Integer())
	case x.IsNumber() && y.IsNumber():
		return exec.AsValue(x.Float() * y.Float())
	}
	return exec.AsValue(b.fail("cannot be rendered: only numbers can be multiplied, or a string by a whole number"))
}

// indexed is a list or a string of which an item is taken.
type indexed struct{ v *exec.Value }

// GetItem is Python's v[i]: negative numbers count from the end.
func (x indexed) GetItem(key any) (*exec.Value, bool) {
	i, ok := key.(int)
	if !ok {
		return x.v.GetItem(key)
	}
	n := x.v.Len()
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return exec.AsValue(nil), false
	}
	return x.v.Index(i), true
}
