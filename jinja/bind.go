package jinja

// Which variable a name means is decided before rendering, as Jinja2's compiler decides it (its idtracking): a scope that assigns a
// name has a variable of its own for it, which starts as the outer one, as the template's variable of that name, or as nothing,
// depending on the order in which the scope mentions it. Templates rely on the details.

// ref is a variable: that many functions out, and its place there.
type ref struct{ hops, slot int }

// function is what has variables of its own when it is called: the template, a macro, a recursive loop, the test of a loop.
type function struct {
	parent *function
	size   int
}

// load says what a variable is at the start of its scope.
type load struct {
	slot  int
	kind  loadKind
	name  string // resolve
	alias ref
}

type loadKind int

const (
	loadParam     loadKind = iota // set by who enters the scope
	loadUndefined                 // nothing
	loadResolve                   // the template's variable
	loadAlias                     // an outer scope's
)

type variable struct {
	fn   *function
	slot int
}

type symload struct {
	kind  loadKind
	name  string
	outer *variable
}

// symbols is one scope, or what a branch of an if adds to it.
type symbols struct {
	parent *symbols
	base   *symbols // of a branch
	fn     *function
	own    map[string]*variable // shared by the branches
	refs   map[string]*variable
	loads  map[*variable]symload
	order  *[]*variable
	stores map[string]bool
}

func newSymbols(parent *symbols, fn *function) *symbols {
	return &symbols{parent: parent, fn: fn, own: map[string]*variable{}, refs: map[string]*variable{}, loads: map[*variable]symload{},
		order: new([]*variable), stores: map[string]bool{}}
}

func (s *symbols) branch() *symbols {
	return &symbols{parent: s.parent, base: s, fn: s.fn, own: s.own, refs: map[string]*variable{}, loads: map[*variable]symload{},
		order: s.order, stores: map[string]bool{}}
}

// here finds a name in this scope alone.
func (s *symbols) here(name string) *variable {
	for ; s != nil; s = s.base {
		if v := s.refs[name]; v != nil {
			return v
		}
	}
	return nil
}

func (s *symbols) stored(name string) bool {
	for ; s != nil; s = s.base {
		if s.stores[name] {
			return true
		}
	}
	return false
}

func (s *symbols) find(name string) *variable {
	for ; s != nil; s = s.parent {
		if v := s.here(name); v != nil {
			return v
		}
	}
	return nil
}

func (s *symbols) define(name string, l symload) *variable {
	v := s.own[name]
	if v == nil {
		v = &variable{fn: s.fn, slot: s.fn.size}
		s.fn.size++
		s.own[name] = v
		*s.order = append(*s.order, v)
	}
	s.refs[name] = v
	s.loads[v] = l
	return v
}

func (s *symbols) load(name string) {
	if s.find(name) == nil {
		s.define(name, symload{kind: loadResolve, name: name})
	}
}

func (s *symbols) store(name string) {
	s.stores[name] = true
	if s.here(name) != nil {
		return
	}
	if outer := s.parent.find(name); outer != nil {
		s.define(name, symload{kind: loadAlias, outer: outer})
	} else {
		s.define(name, symload{kind: loadUndefined})
	}
}

func (s *symbols) param(name string) *variable {
	s.stores[name] = true
	return s.define(name, symload{kind: loadParam})
}

// merge takes over what the branches of an if did.
func (s *symbols) merge(branches ...*symbols) {
	stores := map[string]bool{}
	for _, b := range branches {
		for n := range b.stores {
			if !s.stored(n) {
				stores[n] = true
			}
		}
	}
	for _, b := range branches {
		for n, v := range b.refs {
			s.refs[n] = v
		}
		for v, l := range b.loads {
			s.loads[v] = l
		}
		for n := range b.stores {
			s.stores[n] = true
		}
	}
	for n := range stores {
		target := s.find(n)
		if outer := s.parent.find(n); outer != nil {
			s.loads[target] = symload{kind: loadAlias, outer: outer}
		} else {
			s.loads[target] = symload{kind: loadResolve, name: n}
		}
	}
}

// entry gives the loads of a scope that is complete.
func (s *symbols) entry() []load {
	var out []load
	for _, v := range *s.order {
		l := s.loads[v]
		e := load{slot: v.slot, kind: l.kind, name: l.name}
		if l.outer != nil {
			e.alias = refFrom(s.fn, l.outer)
		}
		out = append(out, e)
	}
	return out
}

func refFrom(fn *function, v *variable) ref {
	hops := 0
	for ; fn != v.fn; fn = fn.parent {
		hops++
	}
	return ref{hops, v.slot}
}

func (s *symbols) ref(name string) ref { return refFrom(s.fn, s.find(name)) }

// children gives the expressions in an expression, in Jinja2's order.
func children(x expr) []expr {
	switch x := x.(type) {
	case *tupleExpr:
		return x.items
	case *listExpr:
		return x.items
	case *dictExpr:
		var out []expr
		for i := range x.keys {
			out = append(out, x.keys[i], x.values[i])
		}
		return out
	case *condExpr:
		return []expr{x.test, x.yes, x.no}
	case *logic:
		return []expr{x.left, x.right}
	case *not:
		return []expr{x.x}
	case *compare:
		return append([]expr{x.x}, x.with...)
	case *binary:
		return []expr{x.left, x.right}
	case *unary:
		return []expr{x.x}
	case *concat:
		return x.items
	case *getattr:
		return []expr{x.x}
	case *getitem:
		return []expr{x.x, x.key}
	case *sliceExpr:
		return []expr{x.start, x.stop, x.step}
	case *call:
		return append([]expr{x.f}, x.args.all()...)
	case *filter:
		return append([]expr{x.x}, x.args.all()...)
	case *test:
		return append([]expr{x.x}, x.args.all()...)
	}
	return nil
}

func (a *callArgs) all() []expr {
	out := append([]expr(nil), a.pos...)
	out = append(out, a.named...)
	return append(out, a.list, a.dict)
}

// walk visits the names in an expression.
func walk(x expr, visit func(*name)) {
	if n, ok := x.(*name); ok {
		visit(n)
		return
	}
	for _, c := range children(x) {
		walk(c, visit)
	}
}

// loads notes the names that an expression reads.
func (s *symbols) expr(x expr) { walk(x, func(n *name) { s.load(n.name) }) }

// assign notes the names that a target sets.
func (s *symbols) assign(x expr, param bool) {
	switch x := x.(type) {
	case *name:
		if param {
			s.param(x.name)
		} else {
			s.store(x.name)
		}
	case *nsRef:
		s.load(x.name)
	case *tupleExpr:
		for _, i := range x.items {
			s.assign(i, param)
		}
	}
}

// body notes what the statements of a scope read and set; scopes inside are not entered.
func (s *symbols) body(list []stmt) {
	for _, n := range list {
		switch n := n.(type) {
		case *output:
			for _, x := range n.items {
				s.expr(x)
			}
		case *setStmt:
			s.expr(n.value)
			s.assign(n.target, false)
		case *setBlock:
			s.assign(n.target, false)
		case *forStmt:
			s.expr(n.iter)
		case *ifStmt:
			s.expr(n.test)
			yes, elif, els := s.branch(), s.branch(), s.branch()
			yes.body(n.body)
			for _, e := range n.elif {
				elif.body([]stmt{e})
			}
			els.body(n.els)
			s.merge(yes, elif, els)
		case *macroStmt:
			s.store(n.name)
		case *callStmt:
			if n.call != nil {
				s.expr(n.call)
			}
		case *filterStmt:
			s.expr(n.filter)
		case *withStmt:
			for _, v := range n.values {
				s.expr(v)
			}
		}
	}
}

// undeclared says which of the names are read in the statements before they are set, however deep.
func undeclared(list []stmt, names ...string) map[string]bool {
	left, found := map[string]bool{}, map[string]bool{}
	for _, n := range names {
		left[n] = true
	}
	read := func(x expr) {
		walk(x, func(n *name) {
			if left[n.name] {
				found[n.name] = true
			}
		})
	}
	var set func(x expr)
	set = func(x expr) {
		switch x := x.(type) {
		case *name:
			delete(left, x.name)
		case *tupleExpr:
			for _, i := range x.items {
				set(i)
			}
		}
	}
	var visit func(list []stmt)
	macro := func(m *macroStmt) {
		for _, a := range m.args {
			set(a)
		}
		for _, d := range m.defaults {
			read(d)
		}
		visit(m.body)
	}
	visit = func(list []stmt) {
		for _, n := range list {
			switch n := n.(type) {
			case *output:
				for _, x := range n.items {
					read(x)
				}
			case *setStmt:
				set(n.target)
				read(n.value)
			case *setBlock:
				set(n.target)
				if n.filter != nil {
					read(n.filter)
				}
				visit(n.body)
			case *forStmt:
				set(n.target)
				read(n.iter)
				visit(n.body)
				visit(n.els)
				read(n.test)
			case *ifStmt:
				read(n.test)
				visit(n.body)
				for _, e := range n.elif {
					visit([]stmt{e})
				}
				visit(n.els)
			case *macroStmt:
				macro(n)
			case *callStmt:
				if n.call != nil {
					read(n.call)
				}
				macro(n.macro)
			case *filterStmt:
				visit(n.body)
				read(n.filter)
			case *withStmt:
				for _, t := range n.targets {
					set(t)
				}
				for _, v := range n.values {
					read(v)
				}
				visit(n.body)
			}
		}
	}
	visit(list)
	return found
}
