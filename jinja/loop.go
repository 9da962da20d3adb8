package jinja

// loop is the variable of that name. It looks ahead only when it is asked to.
type loop struct {
	src             Value
	next            func() Value
	index0          int
	length          int // -1: not known yet
	after           Value
	before, current Value
	changed         *Tuple
	recurse         func(Value, int) *Text
	depth0          int
}

func (l *loop) advance() Value {
	e := l.after
	if e == nil {
		if e = l.next(); e == nil {
			return nil
		}
	}
	l.after = nil
	l.index0++
	l.before, l.current = l.current, e
	return e
}

func (l *loop) peek() Value {
	if l.after == nil {
		l.after = l.next()
	}
	return l.after
}

func (l *loop) len(in *run) int {
	if l.length >= 0 {
		return l.length
	}
	if n, ok := in.length(l.src); ok {
		l.length = n
		return n
	}
	rest := in.drain(l.next)
	l.length = len(rest) + l.index0 + 1
	if l.after != nil {
		l.length++
	}
	at := 0
	l.next = func() Value {
		if at == len(rest) {
			return nil
		}
		at++
		return rest[at-1]
	}
	return l.length
}

// attr gives an attribute of the loop, nil where it has none of that name.
func (l *loop) attr(in *run, name string) Value {
	switch name {
	case "index":
		return int64(l.index0 + 1)
	case "index0":
		return int64(l.index0)
	case "revindex":
		return int64(l.len(in) - l.index0)
	case "revindex0":
		return int64(l.len(in) - l.index0 - 1)
	case "first":
		return l.index0 == 0
	case "last":
		return l.peek() == nil
	case "length":
		return int64(l.len(in))
	case "depth":
		return int64(l.depth0 + 1)
	case "depth0":
		return int64(l.depth0)
	case "previtem":
		if l.index0 == 0 {
			return &undef{why: "there is no previous item"}
		}
		return l.before
	case "nextitem":
		if e := l.peek(); e != nil {
			return e
		}
		return &undef{why: "there is no next item"}
	case "cycle":
		return &fn{name: "loop.cycle", self: l, call: func(in *run, a args) Value {
			a.positional(in, "loop.cycle", 1, maxItems)
			return a.pos[l.index0%len(a.pos)]
		}}
	case "changed":
		return &fn{name: "loop.changed", self: l, call: func(in *run, a args) Value {
			a.positional(in, "loop.changed", 0, maxItems)
			t := &Tuple{Items: a.pos}
			if l.changed != nil && in.equal(l.changed, t) {
				return false
			}
			l.changed = t
			return true
		}}
	}
	return nil
}

// iterate gives the items of a value one after the other, nil at the end.
func (in *run) iterate(v Value) func() Value {
	switch v := v.(type) {
	case *List:
		return walkItems(v.Items)
	case *Tuple:
		return walkItems(v.Items)
	case *Dict:
		return walkItems(v.keys)
	case *Text:
		in.plain(v)
		rest, at := v.S, 0
		return func() Value {
			if at == len(rest) {
				return nil
			}
			in.charge(16)
			n := runeLen(rest[at:])
			t := v.cut(at, at+n)
			at += n
			return t
		}
	case *view:
		in.items(v.d.count())
		return walkItems(v.items())
	case *seq:
		i, n := 0, v.len()
		return func() Value {
			if i == n {
				return nil
			}
			i++
			return int64(v.start + (i-1)*v.step)
		}
	case *iter:
		return v.next
	case *undef:
		return func() Value { return nil }
	case *loop:
		in.fail("the loop itself cannot be iterated over")
	}
	in.fail("a value of type %s cannot be iterated over", typeName(v))
	return nil
}

func walkItems(items []Value) func() Value {
	i := 0
	return func() Value {
		if i == len(items) {
			return nil
		}
		i++
		return items[i-1]
	}
}

// iterable says whether iterate takes a value.
func iterable(v Value) bool {
	switch v.(type) {
	case *List, *Tuple, *Dict, *Text, *view, *seq, *iter, *undef, *loop:
		return true
	}
	return false
}

// drain gives all that is left.
func (in *run) drain(next func() Value) []Value {
	var out []Value
	for e := next(); e != nil; e = next() {
		in.step()
		if out = append(out, e); len(out) > maxItems {
			in.items(len(out))
		}
		in.charge(16)
	}
	return out
}

// list gives the items of a value, which must not be changed.
func (in *run) list(v Value) []Value {
	switch v := v.(type) {
	case *List:
		in.charge(8 * len(v.Items))
		return v.Items
	case *Tuple:
		in.charge(8 * len(v.Items))
		return v.Items
	}
	return in.drain(in.iterate(v))
}

func (d *Dict) count() int { return len(d.keys) }

// length is Python's len, false where it has none.
func (in *run) length(v Value) (int, bool) {
	switch v := v.(type) {
	case *Text:
		if v.runes == 0 {
			in.charge(len(v.S))
		}
		return v.len(), true
	case *List:
		return len(v.Items), true
	case *Tuple:
		return len(v.Items), true
	case *Dict:
		return len(v.keys), true
	case *view:
		return len(v.d.keys), true
	case *seq:
		return v.len(), true
	case *undef:
		return 0, true
	case *loop:
		return v.len(in), true
	}
	return 0, false
}

// truth is Python's bool.
func (in *run) truth(v Value) bool {
	switch v := v.(type) {
	case none:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case *Text:
		return v.S != ""
	case *undef:
		return false
	}
	n, ok := in.length(v)
	return !ok || n > 0
}
