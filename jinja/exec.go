package jinja

type signal int

const (
	goOn signal = iota
	breakLoop
	continueLoop
)

func (in *run) exec(list []stmt) signal {
	for _, n := range list {
		if s := in.stmt(n); s != goOn {
			return s
		}
	}
	return goOn
}

func (in *run) write(v Value) {
	t := in.str(v)
	in.charge(len(t.S))
	in.checkText(in.out.Len() + len(t.S))
	in.out.add(t)
}

// writeText writes the result of a block, which must be text.
func (in *run) writeText(v Value, block string) {
	if _, ok := v.(*Text); !ok {
		in.fail("{%% %s %%} gives %s, want a string", block, typeName(v))
	}
	in.write(v)
}

// capture gives what f writes.
func (in *run) capture(f func() signal) (*Text, signal) {
	outer := in.out
	in.out = &builder{}
	defer func() { in.out = outer }()
	s := f()
	return in.out.text(), s
}

func (in *run) nested(line int) func() {
	in.line = line
	if in.nesting++; in.nesting > maxNesting {
		in.fail("statements nest deeper than %d", maxNesting)
	}
	return func() { in.nesting-- }
}

func (in *run) stmt(n stmt) signal {
	in.step()
	switch n := n.(type) {
	case *output:
		in.line = n.line
		for _, x := range n.items {
			in.write(in.eval(x))
		}
	case *setStmt:
		in.line = n.line
		v := in.evalSet(n)
		in.assign(n.target, v)
	case *setBlock:
		defer in.nested(n.line)()
		in.enter(n.frame)
		t, s := in.capture(func() signal { return in.exec(n.body) })
		if s != goOn {
			return s
		}
		var v Value = t
		if n.filter != nil {
			v = in.applyFilter(n.filter, t)
		}
		in.assign(n.target, v)
		in.leave(n.frame)
	case *forStmt:
		defer in.nested(n.line)()
		return in.forLoop(n)
	case *ifStmt:
		defer in.nested(n.line)()
		if in.truth(in.eval(n.test)) {
			return in.exec(n.body)
		}
		for _, e := range n.elif {
			in.line = e.line
			if in.truth(in.eval(e.test)) {
				return in.exec(e.body)
			}
		}
		return in.exec(n.els)
	case *macroStmt:
		*in.at(n.ref) = &macro{def: n, env: in.env}
	case *callStmt:
		defer in.nested(n.line)()
		caller := &macro{def: n.macro, env: in.env}
		if n.call == nil {
			in.write(in.callMacro(caller, args{}))
			return goOn
		}
		f := in.eval(n.call.f)
		a := in.args(&n.call.args)
		a.names, a.named = append(a.names, "caller"), append(a.named, Value(caller))
		for _, k := range a.names[:len(a.names)-1] {
			if k == "caller" {
				in.fail("caller is given twice")
			}
		}
		in.line = n.line
		in.writeText(in.call(f, a), "call")
	case *filterStmt:
		defer in.nested(n.line)()
		in.enter(n.frame)
		t, s := in.capture(func() signal { return in.exec(n.body) })
		if s != goOn {
			return s
		}
		in.writeText(in.applyFilter(n.filter, t), "filter")
		in.leave(n.frame)
	case *withStmt:
		defer in.nested(n.line)()
		in.enter(n.frame)
		for i, t := range n.targets {
			in.assign(t, in.eval(n.values[i]))
		}
		s := in.exec(n.body)
		in.leave(n.frame)
		return s
	case *jump:
		if n.brk {
			return breakLoop
		}
		return continueLoop
	}
	return goOn
}

// evalSet checks the namespaces that a set changes before it computes the value, as Jinja2 does.
func (in *run) evalSet(n *setStmt) Value {
	var check func(x expr)
	check = func(x expr) {
		switch x := x.(type) {
		case *nsRef:
			if _, ok := (*in.at(x.ref)).(*namespace); !ok {
				in.fail("%s.%s cannot be set: %s is no namespace", x.name, x.attr, x.name)
			}
		case *tupleExpr:
			for _, i := range x.items {
				check(i)
			}
		}
	}
	check(n.target)
	return in.eval(n.value)
}

func (in *run) assign(target expr, v Value) {
	switch x := target.(type) {
	case *name:
		*in.at(x.ref) = v
	case *nsRef:
		ns, ok := (*in.at(x.ref)).(*namespace)
		if !ok {
			in.fail("%s.%s cannot be set: %s is no namespace", x.name, x.attr, x.name)
		}
		in.setAttr(ns, NewText(x.attr), v)
	case *tupleExpr:
		next := in.iterate(v)
		for i, t := range x.items {
			e := next()
			if e == nil {
				in.fail("not enough values to unpack: got %d, want %d", i, len(x.items))
			}
			in.assign(t, e)
		}
		if next() != nil {
			in.fail("too many values to unpack, want %d", len(x.items))
		}
	}
}

func (in *run) setAttr(ns *namespace, key, v Value) {
	if t, ok := key.(*Text); ok && len(t.S) > 0 && t.S[0] == '_' {
		in.fail("attribute %q of a namespace: names that start with _ are not allowed", t.S)
	}
	if !ns.attrs.set(key, v) {
		in.fail("a value of type %s cannot be a key", typeName(key))
	}
	in.items(len(ns.attrs.keys) / 8)
}

func (in *run) forLoop(n *forStmt) signal {
	if !n.recursive {
		return in.rounds(n, in.eval(n.iter), nil, 0)
	}
	outer := in.env
	var render func(v Value, depth int) *Text
	render = func(v Value, depth int) *Text {
		defer in.enterCall(n.line)()
		saved := in.env
		in.env = &env{vars: make([]Value, n.fn.size), parent: outer}
		defer func() { in.env = saved }()
		t, _ := in.capture(func() signal { return in.rounds(n, v, render, depth) })
		return t
	}
	in.write(render(in.eval(n.iter), 0))
	return goOn
}

// filtered is the items of v that pass the test of a loop, each tested when the loop comes to it.
func (in *run) filtered(n *forStmt, v Value) *iter {
	scope := &env{vars: make([]Value, n.testFn.size), parent: in.env}
	if n.recursive { // the test stands outside the loop's function
		scope.parent = in.env.parent
	}
	saved := in.env
	in.env = scope
	in.enter(n.testLoad)
	in.env = saved
	next := in.iterate(v)
	return &iter{name: "loop", next: func() Value {
		saved := in.env
		in.env = scope
		defer func() { in.env = saved }()
		for {
			e := next()
			if e == nil {
				return nil
			}
			in.step()
			in.assign(n.testTarget, e)
			if in.truth(in.eval(n.test)) {
				return e
			}
		}
	}}
}

func (in *run) rounds(n *forStmt, v Value, recurse func(Value, int) *Text, depth int) signal {
	var src Value = v
	if n.test != nil {
		src = in.filtered(n, v)
	}
	var l *loop
	var next func() Value
	if n.extended {
		l = &loop{src: src, next: in.iterate(src), index0: -1, length: -1, recurse: recurse, depth0: depth}
		next = func() Value { return l.advance() }
	} else {
		next = in.iterate(src)
	}
	els := true
	for round := 0; ; round++ {
		e := next()
		if e == nil {
			break
		}
		in.step()
		if round >= maxItems {
			in.fail("loop over more than %d items", maxItems)
		}
		in.assign(n.target, e)
		if l != nil {
			*in.at(n.loop) = l
		}
		in.enter(n.frame)
		switch in.exec(n.body) {
		case goOn:
			els = false
			continue
		case continueLoop:
			continue
		}
		break
	}
	in.leave(n.frame)
	if !els || n.els == nil {
		return goOn
	}
	in.enter(n.elsFrame)
	s := in.exec(n.els)
	in.leave(n.elsFrame)
	return s
}

// enterCall counts calls inside each other.
func (in *run) enterCall(line int) func() {
	in.step()
	if in.macros++; in.macros > maxMacros {
		in.fail("macro calls nest deeper than %d", maxMacros)
	}
	nesting := in.nesting
	return func() { in.macros--; in.nesting = nesting }
}

// macro is a macro with the variables around it.
type macro struct {
	def *macroStmt
	env *env
}

func (in *run) callMacro(m *macro, a args) Value {
	d := m.def
	line := in.line
	defer in.enterCall(d.line)()
	saved := in.env
	e := &env{vars: make([]Value, d.fn.size), parent: m.env}
	n := min(len(a.pos), len(d.args))
	named := make([]bool, len(a.names))
	take := func(name string) Value {
		for i, k := range a.names {
			if k == name && !named[i] {
				named[i] = true
				return a.named[i]
			}
		}
		return nil
	}
	foundCaller := false
	for i, arg := range d.args {
		if i < n {
			e.vars[arg.ref.slot] = a.pos[i]
		} else {
			e.vars[arg.ref.slot] = take(arg.name)
			foundCaller = foundCaller || arg.name == "caller"
		}
		if n == len(d.args) && arg.name == "caller" {
			foundCaller = true
		}
	}
	if d.caller && !foundCaller {
		if c := take("caller"); c != nil && c != None {
			e.vars[d.callerRef.slot] = c
		} else {
			e.vars[d.callerRef.slot] = &undef{why: "no caller is defined"}
		}
	}
	rest := &Dict{}
	for i, k := range a.names {
		if !named[i] {
			if !d.kwargs {
				in.fail("macro %s takes no argument %s", d.name, k)
			}
			rest.set(NewText(k), a.named[i])
		}
	}
	if d.kwargs {
		e.vars[d.kwRef.slot] = rest
	}
	if d.varargs {
		e.vars[d.argRef.slot] = &Tuple{Items: a.pos[n:]}
	} else if len(a.pos) > n {
		in.fail("macro %s takes at most %d arguments", d.name, len(d.args))
	}
	in.env = e
	defer func() { in.env, in.line = saved, line }()
	in.enter(d.frame)
	for i, arg := range d.args {
		if e.vars[arg.ref.slot] != nil {
			continue
		}
		if k := i - (len(d.args) - len(d.defaults)); k >= 0 {
			e.vars[arg.ref.slot] = in.eval(d.defaults[k])
		} else {
			e.vars[arg.ref.slot] = &undef{why: "parameter " + arg.name + " was not given"}
		}
	}
	t, _ := in.capture(func() signal { return in.exec(d.body) })
	return t
}
