package jinja

import "slices"

func (in *run) eval(x expr) Value {
	in.step()
	if in.depth++; in.depth > maxDepth {
		in.fail("expressions nest deeper than %d", maxDepth)
	}
	v := in.evalInner(x)
	in.depth--
	return v
}

func (in *run) evalInner(x expr) Value {
	switch x := x.(type) {
	case *constant:
		return x.v
	case *name:
		in.line = x.line
		if v := *in.at(x.ref); v != nil {
			return v
		}
		return &undef{why: quote(x.name) + " is undefined"}
	case *getattr:
		v := in.eval(x.x)
		in.line = x.line
		return in.getattr(v, x.name)
	case *getitem:
		v := in.eval(x.x)
		if s, ok := x.key.(*sliceExpr); ok {
			in.line = x.line
			start, stop, step := in.evalOr(s.start), in.evalOr(s.stop), in.evalOr(s.step)
			if x.folded && !sliceable(v, start, stop, step) {
				return missing(v, None)
			}
			return in.slice(v, start, stop, step)
		}
		k := in.eval(x.key)
		in.line = x.line
		return in.getitem(v, k)
	case *call:
		f := in.eval(x.f)
		a := in.args(&x.args)
		in.line = x.line
		return in.call(f, a)
	case *filter:
		return in.applyFilter(x, nil)
	case *test:
		v := in.eval(x.x)
		a := in.args(&x.args)
		in.line = x.line
		return in.runTest(x.name, v, a)
	case *condExpr:
		if in.truth(in.eval(x.test)) {
			return in.eval(x.yes)
		}
		if x.no == nil {
			return &undef{why: "the inline if has no else and its condition is false"}
		}
		return in.eval(x.no)
	case *logic:
		v := in.eval(x.left)
		if in.truth(v) == x.or {
			return v
		}
		return in.eval(x.right)
	case *not:
		return !in.truth(in.eval(x.x))
	case *compare:
		left := in.eval(x.x)
		for i, op := range x.ops {
			right := in.eval(x.with[i])
			in.line = x.line
			if !in.compare(op, left, right) {
				return false
			}
			left = right
		}
		return true
	case *binary:
		left := in.eval(x.left)
		right := in.eval(x.right)
		in.line = x.line
		return in.binary(x.op, left, right)
	case *unary:
		v := in.eval(x.x)
		in.line = x.line
		return in.unary(x.op, v)
	case *concat:
		var b builder
		values := in.evalAll(x.items)
		for _, v := range values {
			t := in.str(v)
			in.text(b.Len() + len(t.S))
			b.add(t)
		}
		return b.text()
	case *tupleExpr:
		return &Tuple{Items: in.evalAll(x.items)}
	case *listExpr:
		return &List{in.evalAll(x.items)}
	case *dictExpr:
		d := &Dict{}
		for i, k := range x.keys {
			key := in.eval(k)
			if v := in.eval(x.values[i]); !d.set(key, v) {
				in.fail("a value of type %s cannot be a key", typeName(key))
			}
		}
		return d
	}
	in.fail("unexpected expression")
	return nil
}

func (in *run) evalOr(x expr) Value {
	if x == nil {
		return None
	}
	return in.eval(x)
}

func (in *run) evalAll(list []expr) []Value {
	in.items(len(list))
	out := make([]Value, len(list))
	for i, x := range list {
		out[i] = in.eval(x)
	}
	return out
}

// args are the values of a call.
type args struct {
	pos   []Value
	names []string
	named []Value
}

func (in *run) args(c *callArgs) args {
	var a args
	if len(c.pos)+len(c.named) == 0 && c.list == nil && c.dict == nil {
		return a
	}
	a.pos = in.evalAll(c.pos)
	if c.list != nil { // before the named ones, as Python does
		a.pos = append(a.pos, in.list(in.eval(c.list))...)
	}
	a.names = slices.Clone(c.names)
	a.named = in.evalAll(c.named)
	if c.dict != nil {
		v := in.eval(c.dict)
		d, ok := v.(*Dict)
		if !ok {
			in.fail("** wants a mapping, got %s", typeName(v))
		}
		for i, k := range d.keys {
			t, ok := k.(*Text)
			if !ok || slices.Contains(a.names, t.S) {
				in.fail("** with a key that is no string, or that is given twice")
			}
			a.names, a.named = append(a.names, t.S), append(a.named, d.values[i])
		}
	}
	return a
}

// bind gives the arguments in the order of the parameters, nil for one that is not given. The first want must be given.
func (a args) bind(in *run, f string, want int, params ...string) []Value {
	if len(a.pos) > len(params) {
		in.fail("%s takes at most %d arguments, got %d", f, len(params), len(a.pos))
	}
	out := make([]Value, len(params))
	copy(out, a.pos)
	for i, n := range a.names {
		k := slices.Index(params, n)
		if k < 0 {
			in.fail("%s has no argument %s", f, n)
		}
		if out[k] != nil {
			in.fail("%s: argument %s is given twice", f, n)
		}
		out[k] = a.named[i]
	}
	for i := range want {
		if out[i] == nil {
			in.fail("%s: argument %s is missing", f, params[i])
		}
	}
	return out
}

// positional wants from least to most arguments without names.
func (a args) positional(in *run, f string, least, most int) []Value {
	if len(a.names) > 0 {
		in.fail("%s takes no named arguments", f)
	}
	if len(a.pos) < least || len(a.pos) > most {
		in.fail("%s takes %d to %d arguments, got %d", f, least, most, len(a.pos))
	}
	out := make([]Value, min(most, max(len(a.pos), 4)))
	copy(out, a.pos)
	return out
}

func (in *run) call(f Value, a args) Value {
	in.step()
	switch f := f.(type) {
	case *fn:
		return f.call(in, a)
	case *macro:
		return in.callMacro(f, a)
	case *loop:
		v := a.bind(in, "loop", 1, "iterable")[0]
		if f.recurse == nil {
			in.fail("loop can be called only in a loop that is recursive")
		}
		return f.recurse(v, f.depth0+1)
	case *joiner:
		a.positional(in, "joiner", 0, 0)
		if !f.used {
			f.used = true
			return empty
		}
		return f.sep
	case *undef:
		in.useUndefined(f)
	}
	in.fail("a value of type %s cannot be called", typeName(f))
	return nil
}

func (in *run) useUndefined(u *undef) {
	in.fail("%s", u.why)
}

func (in *run) applyFilter(f *filter, blockText *Text) Value {
	var v Value = blockText
	if f.x != nil {
		// The filters of a chain, as in {% set x | f | g %}, have the block's text innermost.
		if inner, ok := f.x.(*filter); ok && blockText != nil {
			v = in.applyFilter(inner, blockText)
		} else {
			v = in.eval(f.x)
		}
	}
	a := in.args(&f.args)
	in.line = f.line
	return in.runFilter(f.name, v, a)
}

func (in *run) runFilter(name string, v Value, a args) Value {
	in.step()
	f := filterTable[name]
	if f == nil {
		in.fail("no filter named %q", name)
	}
	return f(in, v, a)
}

func (in *run) runTest(name string, v Value, a args) Value {
	in.step()
	f := testTable[name]
	if f == nil {
		in.fail("no test named %q", name)
	}
	return f(in, v, a)
}
