package jinja

// binder goes over the template as Jinja2's compiler does and gives each name its variable.
type binder struct {
	s      *symbols
	soft   bool // inside an if: unknown filters fail only where they are reached
	inLoop bool // break has a loop to end
}

func bindTemplate(body []stmt) (*function, []load) {
	fn := &function{}
	s := newSymbols(nil, fn)
	s.body(body)
	b := &binder{s: s}
	b.body(body)
	return fn, s.entry()
}

// inner is the binder of a scope inside, in the same function where fn is nil.
func (b *binder) inner(fn *function) *binder {
	in := &binder{inLoop: b.inLoop}
	if fn == nil {
		fn = b.s.fn
	} else {
		fn.parent = b.s.fn
		in.inLoop = false
	}
	in.s = newSymbols(b.s, fn)
	return in
}

func (b *binder) softly() *binder {
	c := *b
	c.soft = true
	return &c
}

func (b *binder) body(list []stmt) {
	for _, n := range list {
		b.stmt(n)
	}
}

func (b *binder) stmt(n stmt) {
	switch n := n.(type) {
	case *output:
		b.exprs(n.items)
		for _, x := range n.items {
			fold(x, true)
		}
	case *setStmt:
		b.target(n.target)
		b.expr(n.value)
		foldValue(n.value)
	case *setBlock:
		in := b.inner(nil)
		in.s.body(n.body)
		in.body(n.body)
		b.target(n.target)
		if n.filter != nil {
			in.expr(n.filter)
		}
		n.frame = in.s.entry()
	case *forStmt:
		b.forLoop(n)
	case *ifStmt:
		in := b.softly()
		in.expr(n.test)
		foldValue(n.test)
		in.body(n.body)
		for _, e := range n.elif {
			in.expr(e.test)
			foldValue(e.test)
			in.body(e.body)
		}
		in.body(n.els)
	case *macroStmt:
		b.macro(n)
		n.ref = b.ref(n.name, n.line)
	case *callStmt:
		b.macro(n.macro)
		if n.call != nil {
			b.expr(n.call)
		}
	case *filterStmt:
		in := b.inner(nil)
		in.s.body(n.body)
		in.s.expr(n.filter)
		in.body(n.body)
		in.expr(n.filter)
		n.frame = in.s.entry()
	case *withStmt:
		in := b.inner(nil)
		for _, t := range n.targets {
			in.s.assign(t, true)
		}
		in.s.body(n.body)
		for i, t := range n.targets {
			in.target(t)
			b.expr(n.values[i])
		}
		in.body(n.body)
		n.frame = in.s.entry()
	case *jump:
		if !b.inLoop {
			panic(syntax(n.line, "{%% break %%} and {%% continue %%} want a loop around them"))
		}
	}
}

func (b *binder) forLoop(n *forStmt) {
	if assignsLoop(n) {
		panic(syntax(n.line, "loop cannot be assigned to inside a for"))
	}
	if n.test != nil {
		n.testFn = &function{}
		in := b.inner(n.testFn)
		in.s.assign(n.target, true)
		in.s.expr(n.test)
		n.testTarget = copyTarget(n.target)
		in.target(n.testTarget)
		in.expr(n.test)
		n.testLoad = in.s.entry()
	}
	n.extended = n.recursive || undeclared(n.body, "loop")["loop"]
	if n.recursive {
		n.fn = &function{}
	}
	in := b.inner(n.fn)
	els := &binder{s: newSymbols(b.s, in.s.fn), inLoop: in.inLoop}
	if n.extended {
		in.s.param("loop")
	}
	in.s.assign(n.target, true)
	in.s.body(n.body)
	els.s.body(n.els)
	in.inLoop = true
	in.target(n.target)
	if n.extended {
		n.loop = in.s.ref("loop")
	}
	b.expr(n.iter)
	foldValue(n.iter)
	in.body(n.body)
	els.body(n.els)
	n.frame, n.elsFrame = in.s.entry(), els.s.entry()
}

// macro binds a macro, or what a call has as its body.
func (b *binder) macro(m *macroStmt) {
	m.fn = &function{}
	in := b.inner(m.fn)
	explicit := -1
	special := map[string]bool{}
	seen := map[string]bool{}
	for i, a := range m.args {
		if seen[a.name] {
			panic(syntax(a.line, "parameter %s appears twice", a.name))
		}
		seen[a.name] = true
		in.s.param(a.name)
		if a.name == "caller" {
			explicit = i
		}
		if a.name == "kwargs" || a.name == "varargs" {
			special[a.name] = true
		}
	}
	for _, d := range m.defaults {
		in.s.expr(d)
	}
	in.s.body(m.body)
	used := undeclared(m.body, "caller", "kwargs", "varargs")
	declare := func(name string) ref { return refFrom(m.fn, in.s.param(name)) }
	if used["caller"] {
		m.caller = true
		if explicit < 0 {
			m.callerRef = declare("caller")
		} else if explicit < len(m.args)-len(m.defaults) {
			panic(syntax(m.line, "a parameter caller wants a default"))
		}
	}
	if m.kwargs = used["kwargs"] && !special["kwargs"]; m.kwargs {
		m.kwRef = declare("kwargs")
	}
	if m.varargs = used["varargs"] && !special["varargs"]; m.varargs {
		m.argRef = declare("varargs")
	}
	for _, a := range m.args {
		a.ref = in.s.ref(a.name)
	}
	in.exprs(m.defaults)
	in.body(m.body)
	m.frame = in.s.entry()
}

func (b *binder) ref(name string, line int) ref {
	if b.s.find(name) == nil { // in the filter of {% set x | f(name) %}: Jinja2 loses it too
		panic(syntax(line, "%q cannot be used here", name))
	}
	return b.s.ref(name)
}

func (b *binder) target(x expr) {
	switch x := x.(type) {
	case *name:
		x.ref = b.ref(x.name, x.line)
	case *nsRef:
		x.ref = b.ref(x.name, x.line)
	case *tupleExpr:
		for _, i := range x.items {
			b.target(i)
		}
	}
}

func (b *binder) exprs(list []expr) {
	for _, x := range list {
		b.expr(x)
	}
}

func (b *binder) expr(x expr) {
	switch x := x.(type) {
	case *name:
		if x.name == "self" {
			panic(syntax(x.line, "self is not supported in a chat template"))
		}
		x.ref = b.ref(x.name, x.line)
		return
	case *condExpr:
		in := b.softly()
		in.exprs(children(x))
		return
	case *filter:
		x.soft = b.soft
		if filterTable[x.name] == nil && !b.soft {
			panic(syntax(x.line, "no filter named %q", x.name))
		}
	case *test:
		x.soft = b.soft
		if testTable[x.name] == nil && !b.soft {
			panic(syntax(x.line, "no test named %q", x.name))
		}
	}
	b.exprs(children(x))
}

// fold finds the constant expressions, which Jinja2 computes before rendering. There a slice of what has none is undefined, not an error,
// where the result can be written into the compiled template. It says whether all of x is constant.
func fold(x expr, written bool) bool {
	all := true
	switch x := x.(type) {
	case nil, *constant:
		return true
	case *name, *call:
		all = false
	case *condExpr:
		all = x.no != nil
	case *filter:
		switch x.name {
		case "map", "select", "reject", "selectattr", "rejectattr":
			all = false
		}
	}
	list := children(x)
	constant := make([]bool, len(list))
	for i, c := range list {
		constant[i] = fold(c, false)
		all = all && constant[i]
	}
	if all && !written {
		return true // whoever contains it goes on
	}
	for i, c := range list {
		if constant[i] {
			markFolded(c, all)
		}
	}
	if g, ok := x.(*getitem); ok && all {
		g.folded = true
	}
	return all
}

// foldValue is fold for an expression that is not written.
func foldValue(x expr) {
	if fold(x, false) {
		markFolded(x, false)
	}
}

// markFolded marks the slices in a constant expression; itself only where it stands inside a constant one.
func markFolded(x expr, itself bool) {
	if g, ok := x.(*getitem); ok && itself {
		g.folded = true
	}
	for _, c := range children(x) {
		markFolded(c, true)
	}
}

func copyTarget(x expr) expr {
	switch x := x.(type) {
	case *name:
		c := *x
		return &c
	case *tupleExpr:
		c := &tupleExpr{}
		for _, i := range x.items {
			c.items = append(c.items, copyTarget(i))
		}
		return c
	}
	return x
}

// assignsLoop says whether anything in a for assigns to the name loop.
func assignsLoop(n *forStmt) bool {
	found := false
	var target func(x expr)
	target = func(x expr) {
		switch x := x.(type) {
		case *name:
			found = found || x.name == "loop"
		case *tupleExpr:
			for _, i := range x.items {
				target(i)
			}
		}
	}
	var visit func(list []stmt)
	visit = func(list []stmt) {
		for _, n := range list {
			switch n := n.(type) {
			case *setStmt:
				target(n.target)
			case *setBlock:
				target(n.target)
				visit(n.body)
			case *forStmt:
				target(n.target)
				visit(n.body)
				visit(n.els)
			case *ifStmt:
				visit(n.body)
				for _, e := range n.elif {
					visit(e.body)
				}
				visit(n.els)
			case *macroStmt:
				visit(n.body)
			case *callStmt:
				visit(n.macro.body)
			case *filterStmt:
				visit(n.body)
			case *withStmt:
				visit(n.body)
			}
		}
	}
	visit([]stmt{n})
	return found
}
