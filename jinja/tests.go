package jinja

import "math/big"

// testTable holds what stands behind is. Filled by init: it refers to itself.
var testTable map[string]func(in *run, v Value, a args) Value

func plainTest(f func(in *run, v Value) bool) func(in *run, v Value, a args) Value {
	return func(in *run, v Value, a args) Value {
		a.bind(in, "the test", 0)
		return f(in, v)
	}
}

func compareTest(op string) func(in *run, v Value, a args) Value {
	return func(in *run, v Value, a args) Value {
		return in.compare(op, v, a.positional(in, "the test", 1, 1)[0])
	}
}

func init() {
	testTable = map[string]func(in *run, v Value, a args) Value{
		"odd":  plainTest(func(in *run, v Value) bool { return in.equal(in.binary("%", v, int64(2)), int64(1)) }),
		"even": plainTest(func(in *run, v Value) bool { return in.equal(in.binary("%", v, int64(2)), int64(0)) }),
		"divisibleby": func(in *run, v Value, a args) Value {
			return in.equal(in.binary("%", v, a.bind(in, "divisibleby", 1, "num")[0]), int64(0))
		},
		"defined":   plainTest(func(_ *run, v Value) bool { return !isUndef(v) }),
		"undefined": plainTest(func(_ *run, v Value) bool { return isUndef(v) }),
		"none":      plainTest(func(_ *run, v Value) bool { return v == None }),
		"boolean":   plainTest(func(_ *run, v Value) bool { return v == true || v == false }),
		"true":      plainTest(func(_ *run, v Value) bool { return v == true }),
		"false":     plainTest(func(_ *run, v Value) bool { return v == false }),
		"integer":   plainTest(func(_ *run, v Value) bool { return isInt(v) }),
		"float":     plainTest(func(_ *run, v Value) bool { _, ok := v.(float64); return ok }),
		"number": plainTest(func(_ *run, v Value) bool {
			i, f := number(v)
			return i != nil || f != nil
		}),
		"string":  plainTest(func(_ *run, v Value) bool { _, ok := v.(*Text); return ok }),
		"mapping": plainTest(func(_ *run, v Value) bool { _, ok := v.(*Dict); return ok }),
		"sequence": plainTest(func(_ *run, v Value) bool {
			switch v.(type) {
			case *Text, *List, *Tuple, *Dict, *seq, *undef:
				return true
			}
			return false
		}),
		"iterable": plainTest(func(_ *run, v Value) bool { return iterable(v) }),
		"callable": plainTest(func(_ *run, v Value) bool {
			switch v.(type) {
			case *fn, *macro, *joiner, *loop, *undef:
				return true
			}
			return false
		}),
		"escaped": plainTest(func(_ *run, v Value) bool { t, ok := v.(*Text); return ok && t.safe }),
		"lower":   plainTest(func(in *run, v Value) bool { return casing(in.str(v).S, "lower") }),
		"upper":   plainTest(func(in *run, v Value) bool { return casing(in.str(v).S, "upper") }),
		"sameas":  func(in *run, v Value, a args) Value { return in.same(v, a.bind(in, "sameas", 1, "other")[0]) },
		"in":      func(in *run, v Value, a args) Value { return in.contains(a.bind(in, "in", 1, "seq")[0], v) },
		"filter": plainTest(func(in *run, v Value) bool {
			if _, ok := hashed(v); !ok {
				in.fail("a value of type %s cannot be a key", typeName(v))
			}
			t, ok := v.(*Text)
			return ok && filterTable[t.S] != nil
		}),
		"test": plainTest(func(in *run, v Value) bool {
			if _, ok := hashed(v); !ok {
				in.fail("a value of type %s cannot be a key", typeName(v))
			}
			t, ok := v.(*Text)
			return ok && testTable[t.S] != nil
		}),
	}
	for op, names := range map[string][]string{
		"==": {"==", "eq", "equalto"}, "!=": {"!=", "ne"}, ">": {">", "gt", "greaterthan"}, ">=": {">=", "ge"},
		"<": {"<", "lt", "lessthan"}, "<=": {"<=", "le"},
	} {
		for _, n := range names {
			testTable[n] = compareTest(op)
		}
	}
}

func isUndef(v Value) bool { _, ok := v.(*undef); return ok }

func isInt(v Value) bool {
	switch v.(type) {
	case int64, *big.Int:
		return true
	}
	return false
}

// same is Python's is. Whether two equal strings, numbers or tuples are one object is an accident there.
func (in *run) same(a, b Value) bool {
	switch x := a.(type) {
	case int64:
		y, ok := b.(int64)
		if !ok || x != y {
			return false
		}
		if x >= -5 && x <= 256 {
			return true
		}
	case float64:
		if y, ok := b.(float64); !ok || x != y {
			return false
		}
	case *big.Int:
		if y, ok := b.(*big.Int); !ok || x.Cmp(y) != 0 {
			return false
		}
	case *Text:
		y, ok := b.(*Text)
		if !ok || x.S != y.S {
			return false
		}
		if x == y || x.S == "" {
			return true
		}
	case *Tuple:
		y, ok := b.(*Tuple)
		if !ok || x != y && !in.equal(a, b) {
			return false
		}
		if x == y {
			return true
		}
	default:
		return a == b
	}
	in.fail("sameas of equal values of type %s is not supported", typeName(a))
	return false
}
