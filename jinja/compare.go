package jinja

import (
	"math"
	"math/big"
	"strings"
)

func (in *run) compare(op string, x, y Value) bool {
	switch op {
	case "==":
		return in.equal(x, y)
	case "!=":
		return !in.equal(x, y)
	case "in":
		return in.contains(y, x)
	case "not in":
		return !in.contains(y, x)
	case "<":
		return in.order(x, y, op) == -1
	case ">":
		return in.order(x, y, op) == 1
	case "<=":
		c := in.order(x, y, op)
		return c == -1 || c == 0
	}
	c := in.order(x, y, op)
	return c == 1 || c == 0
}

// compareNumbers gives -1, 0, 1, or 2 where one of them is not a number.
func compareNumbers(xi *big.Int, xf *float64, yi *big.Int, yf *float64) int {
	switch {
	case xf != nil && math.IsNaN(*xf) || yf != nil && math.IsNaN(*yf):
		return 2
	case xi != nil && yi != nil:
		return xi.Cmp(yi)
	}
	val := func(i *big.Int, f *float64) *big.Float {
		if i != nil {
			return new(big.Float).SetInt(i)
		}
		return new(big.Float).SetFloat64(*f)
	}
	return val(xi, xf).Cmp(val(yi, yf))
}

// order compares as < does.
func (in *run) order(x, y Value, op string) int {
	in.defined(x)
	in.defined(y)
	in.step()
	if a, ok := x.(int64); ok {
		if b, ok := y.(int64); ok {
			switch {
			case a < b:
				return -1
			case a > b:
				return 1
			}
			return 0
		}
	}
	if a, ok := x.(*Text); ok {
		if b, ok := y.(*Text); ok {
			in.charge(min(len(a.S), len(b.S)))
			return strings.Compare(a.S, b.S)
		}
	}
	xi, xf := number(x)
	yi, yf := number(y)
	if (xi != nil || xf != nil) && (yi != nil || yf != nil) {
		return compareNumbers(xi, xf, yi, yf)
	}
	lists := func(a, b []Value) int {
		defer in.deeper()()
		for i := range min(len(a), len(b)) {
			if !in.equal(a[i], b[i]) {
				return in.order(a[i], b[i], op)
			}
		}
		return big.NewInt(int64(len(a))).Cmp(big.NewInt(int64(len(b))))
	}
	switch a := x.(type) {
	case *List:
		if b, ok := y.(*List); ok {
			return lists(a.Items, b.Items)
		}
	case *Tuple:
		if b, ok := y.(*Tuple); ok {
			return lists(a.Items, b.Items)
		}
	case *view:
		if _, ok := y.(*view); ok {
			in.fail("%s between views of dicts is not supported", op)
		}
	}
	in.fail("%s cannot be used between %s and %s", op, typeName(x), typeName(y))
	return 0
}

func (in *run) deeper() func() {
	if in.depth += 10; in.depth > maxDepth {
		in.fail("values nest too deep")
	}
	return func() { in.depth -= 10 }
}

// equal is ==.
func (in *run) equal(x, y Value) bool {
	in.step()
	lists := func(a, b []Value) bool {
		defer in.deeper()()
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if !in.equal(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	switch a := x.(type) {
	case *Text:
		b, ok := y.(*Text)
		if ok && len(a.S) == len(b.S) {
			in.charge(len(a.S))
			return a.S == b.S
		}
		return false
	case *undef:
		_, ok := y.(*undef)
		return ok
	case *List:
		b, ok := y.(*List)
		return ok && lists(a.Items, b.Items)
	case *Tuple:
		b, ok := y.(*Tuple)
		return ok && lists(a.Items, b.Items)
	case *Dict:
		b, ok := y.(*Dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		defer in.deeper()()
		for i, k := range a.keys {
			v, ok := b.get(k)
			if !ok || !in.equal(a.values[i], v) {
				return false
			}
		}
		return true
	case *seq:
		b, ok := y.(*seq)
		if !ok || a.len() != b.len() {
			return false
		}
		return a.len() == 0 || a.start == b.start && (a.len() == 1 || a.step == b.step)
	case *view:
		if _, ok := y.(*view); ok && x != y {
			in.fail("comparing views of dicts is not supported")
		}
	case *fn:
		if b, ok := y.(*fn); ok && (a.self != nil || b.self != nil) {
			in.fail("comparing methods is not supported")
		}
	}
	xi, xf := number(x)
	yi, yf := number(y)
	if (xi != nil || xf != nil) && (yi != nil || yf != nil) {
		return compareNumbers(xi, xf, yi, yf) == 0
	}
	return x == y
}

// contains is v in list.
func (in *run) contains(list, v Value) bool {
	switch l := list.(type) {
	case *Text:
		t, ok := v.(*Text)
		if !ok {
			in.fail("%s in str: want a string", typeName(v))
		}
		in.charge(len(l.S) + len(t.S))
		return strings.Contains(l.S, t.S)
	case *Dict:
		if _, ok := hashed(v); !ok {
			in.fail("a value of type %s cannot be a key", typeName(v))
		}
		_, ok := l.get(v)
		return ok
	case *view:
		if l.kind == "keys" {
			return in.contains(l.d, v)
		}
	case *macro, *fn, *cycler, *joiner, *namespace:
		in.fail("in cannot look into %s", typeName(list))
	case *loop:
		in.fail("in cannot look into loop")
	}
	next := in.iterate(list)
	for e := next(); e != nil; e = next() {
		if in.equal(e, v) || e == v {
			return true
		}
	}
	return false
}
