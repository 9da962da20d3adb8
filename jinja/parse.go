package jinja

import "slices"

// parser is Jinja2's, function by function.
type parser struct {
	tokens []token
	at     int
	depth  int
}

func (p *parser) cur() token { return p.tokens[p.at] }
func (p *parser) look() token {
	return p.tokens[min(p.at+1, len(p.tokens)-1)]
}
func (p *parser) next() token {
	t := p.cur()
	if t.kind != tEnd {
		p.at++
	}
	return t
}
func (p *parser) is(kind string) bool { return p.cur().kind == kind }
func (p *parser) isName(names ...string) bool {
	return p.is(tName) && slices.Contains(names, p.cur().text)
}
func (p *parser) skip(kind string) bool {
	if p.is(kind) {
		p.next()
		return true
	}
	return false
}
func (p *parser) skipName(n string) bool {
	if p.isName(n) {
		p.next()
		return true
	}
	return false
}
func (p *parser) expect(kind string) token {
	if !p.is(kind) {
		p.fail("got %s, want %s", p.cur(), kind)
	}
	return p.next()
}
func (p *parser) fail(format string, args ...any) {
	panic(syntax(p.cur().line, format, args...))
}

// deeper counts how far the parser, and later the evaluator, calls itself.
func (p *parser) deeper() func() {
	if p.depth++; p.depth > maxParse {
		p.fail("the template nests deeper than %d", maxParse)
	}
	return func() { p.depth-- }
}

// statements reads a body up to one of the words, which is left as the current token.
func (p *parser) statements(ends ...string) []stmt {
	p.skip(":")
	p.expect(tBlockEnd)
	body := p.body(ends...)
	if p.is(tEnd) {
		p.fail("the template ends, want {%% %s %%}", ends[len(ends)-1])
	}
	return body
}

// bodyOf is statements up to one word, which is taken.
func (p *parser) bodyOf(end string) []stmt {
	b := p.statements(end)
	p.next()
	return b
}

func (p *parser) body(ends ...string) []stmt {
	defer p.deeper()()
	var body []stmt
	var text *output
	add := func(x expr, line int) {
		if text == nil {
			text = &output{line: line}
			body = append(body, text)
		}
		text.items = append(text.items, x)
	}
	for {
		switch t := p.cur(); t.kind {
		case tEnd:
			return body
		case tData:
			p.next()
			add(&constant{NewText(t.text)}, t.line)
		case tVar:
			p.next()
			x := p.tuple(tupleRules{cond: true})
			p.expect(tVarEnd)
			add(x, t.line)
		case tBlock:
			text = nil
			p.next()
			if p.isName(ends...) {
				return body
			}
			body = append(body, p.statement())
			p.expect(tBlockEnd)
		default:
			p.fail("unexpected %s", t)
		}
	}
}

func (p *parser) statement() stmt {
	t := p.expect(tName)
	line := t.line
	switch t.text {
	case "for":
		return p.forLoop(line)
	case "if":
		return p.ifElse(line)
	case "set":
		target := p.target(tupleRules{namespace: true})
		if p.skip("=") {
			return &setStmt{target: target, value: p.tuple(tupleRules{cond: true}), line: line}
		}
		s := &setBlock{target: target, line: line}
		if f := p.filters(nil, false); f != nil {
			s.filter = f.(*filter)
		}
		s.body = p.bodyOf("endset")
		return s
	case "with":
		w := &withStmt{line: line}
		for !p.is(tBlockEnd) {
			if len(w.targets) > 0 {
				p.expect(",")
			}
			w.targets = append(w.targets, p.target(tupleRules{}))
			p.expect("=")
			w.values = append(w.values, p.expression(true))
		}
		w.body = p.bodyOf("endwith")
		return w
	case "macro":
		m := &macroStmt{name: p.nameTarget().name, line: line}
		p.signature(m)
		m.body = p.bodyOf("endmacro")
		return m
	case "call":
		m := &macroStmt{line: line}
		if p.is("(") {
			p.signature(m)
		}
		c, ok := p.expression(true).(*call)
		if !ok {
			panic(syntax(line, "{%% call %%} wants a call"))
		}
		m.body = p.bodyOf("endcall")
		return &callStmt{macro: m, call: c, line: line}
	case "generation":
		m := &macroStmt{line: line}
		m.body = p.bodyOf("endgeneration")
		return &callStmt{macro: m, line: line}
	case "filter":
		f := p.filters(nil, true).(*filter)
		return &filterStmt{filter: f, body: p.bodyOf("endfilter"), line: line}
	case "print":
		o := &output{line: line}
		for !p.is(tBlockEnd) {
			if len(o.items) > 0 {
				p.expect(",")
			}
			o.items = append(o.items, p.expression(true))
		}
		return o
	case "break", "continue":
		return &jump{brk: t.text == "break", line: line}
	case "include", "extends", "import", "from":
		panic(forbidden(line, "{%% %s %%} is not allowed: a chat template cannot load files", t.text))
	case "block", "autoescape", "trans":
		panic(forbidden(line, "{%% %s %%} is not supported in a chat template", t.text))
	}
	panic(syntax(line, "{%% %s %%} is no statement of a chat template", t.text))
}

func (p *parser) forLoop(line int) stmt {
	f := &forStmt{line: line}
	f.target = p.target(tupleRules{end: "in"})
	if !p.skipName("in") {
		p.fail("got %s, want in", p.cur())
	}
	f.iter = p.tuple(tupleRules{end: "recursive"})
	if p.skipName("if") {
		f.test = p.expression(true)
	}
	f.recursive = p.skipName("recursive")
	f.body = p.statements("endfor", "else")
	if p.next().text == "else" {
		f.els = p.bodyOf("endfor")
	}
	return f
}

func (p *parser) ifElse(line int) stmt {
	first := &ifStmt{line: line}
	for node := first; ; {
		node.test = p.tuple(tupleRules{})
		node.body = p.statements("elif", "else", "endif")
		switch p.next().text {
		case "elif":
			node = &ifStmt{line: p.cur().line}
			first.elif = append(first.elif, node)
			continue
		case "else":
			first.els = p.bodyOf("endif")
		}
		return first
	}
}

func (p *parser) signature(m *macroStmt) {
	p.expect("(")
	for !p.is(")") {
		if len(m.args) > 0 {
			p.expect(",")
		}
		m.args = append(m.args, p.nameTarget())
		if p.skip("=") {
			m.defaults = append(m.defaults, p.expression(true))
		} else if len(m.defaults) > 0 {
			p.fail("a parameter without a default follows one with a default")
		}
	}
	p.expect(")")
}

// nameTarget reads one name that is assigned to.
func (p *parser) nameTarget() *name {
	t := p.expect(tName)
	n := &name{name: t.text, line: t.line}
	p.assignable(n)
	return n
}

// target reads what a statement assigns to.
func (p *parser) target(rules tupleRules) expr {
	rules.simple = true
	x := p.tuple(rules)
	p.assignable(x)
	return x
}

func (p *parser) assignable(x expr) {
	switch x := x.(type) {
	case *name:
		switch x.name {
		case "true", "false", "none", "True", "False", "None":
			p.fail("cannot assign to %s", x.name)
		}
		return
	case *nsRef:
		return
	case *tupleExpr:
		for _, i := range x.items {
			p.assignable(i)
		}
		return
	}
	p.fail("cannot assign to an expression")
}
