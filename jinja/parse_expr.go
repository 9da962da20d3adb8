package jinja

// tupleRules say what parser.tuple reads.
type tupleRules struct {
	simple    bool   // names and literals only
	cond      bool   // x if y else z
	end       string // a name that ends it
	parens    bool   // in brackets: may be empty
	namespace bool   // ns.attr is a target
}

func (p *parser) tuple(r tupleRules) expr {
	var items []expr
	isTuple := false
	for {
		if len(items) > 0 {
			p.expect(",")
		}
		if p.is(tVarEnd) || p.is(tBlockEnd) || p.is(")") || r.end != "" && p.isName(r.end) {
			break
		}
		if r.simple {
			items = append(items, p.primary(r.namespace))
		} else {
			items = append(items, p.expression(r.cond))
		}
		if !p.is(",") {
			break
		}
		isTuple = true
	}
	if !isTuple {
		if len(items) > 0 {
			return items[0]
		}
		if !r.parens {
			p.fail("got %s, want an expression", p.cur())
		}
	}
	return &tupleExpr{items}
}

func (p *parser) expression(cond bool) expr {
	defer p.deeper()()
	line := p.cur().line
	x := p.or()
	for cond && p.skipName("if") {
		c := &condExpr{yes: x, test: p.or(), line: line}
		if p.skipName("else") {
			c.no = p.expression(true)
		}
		x, line = c, p.cur().line
	}
	return x
}

func (p *parser) or() expr {
	x := p.and()
	for p.skipName("or") {
		x = &logic{or: true, left: x, right: p.and()}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for p.skipName("and") {
		x = &logic{left: x, right: p.not()}
	}
	return x
}

func (p *parser) not() expr {
	if p.isName("not") {
		defer p.deeper()()
		p.next()
		return &not{p.not()}
	}
	return p.comparison()
}

func (p *parser) comparison() expr {
	c := &compare{x: p.sum(), line: p.cur().line}
	for {
		op := p.cur().kind
		switch {
		case op == "==" || op == "!=" || op == "<" || op == "<=" || op == ">" || op == ">=":
			p.next()
		case p.skipName("in"):
			op = "in"
		case p.isName("not") && p.look().kind == tName && p.look().text == "in":
			p.next()
			p.next()
			op = "not in"
		case len(c.ops) == 0:
			return c.x
		default:
			return c
		}
		c.ops, c.with = append(c.ops, op), append(c.with, p.sum())
	}
}

func (p *parser) sum() expr {
	x := p.concat()
	for p.is("+") || p.is("-") {
		t := p.next()
		x = &binary{op: t.kind, left: x, right: p.concat(), line: t.line}
	}
	return x
}

func (p *parser) concat() expr {
	x := p.product()
	if !p.is("~") {
		return x
	}
	c := &concat{items: []expr{x}}
	for p.skip("~") {
		c.items = append(c.items, p.product())
	}
	return c
}

func (p *parser) product() expr {
	x := p.power()
	for p.is("*") || p.is("/") || p.is("//") || p.is("%") {
		t := p.next()
		x = &binary{op: t.kind, left: x, right: p.power(), line: t.line}
	}
	return x
}

func (p *parser) power() expr {
	x := p.unary(true)
	for p.is("**") {
		t := p.next()
		x = &binary{op: t.kind, left: x, right: p.unary(true), line: t.line}
	}
	return x
}

func (p *parser) unary(filters bool) expr {
	defer p.deeper()()
	var x expr
	if t := p.cur(); t.kind == "-" || t.kind == "+" {
		p.next()
		x = &unary{op: t.kind, x: p.unary(false), line: t.line}
	} else {
		x = p.primary(false)
	}
	x = p.postfix(x)
	for filters {
		switch {
		case p.is("|"):
			x = p.filters(x, false)
		case p.isName("is"):
			x = p.test(x)
		case p.is("("):
			x = p.call(x)
		default:
			return x
		}
	}
	return x
}

func (p *parser) primary(namespace bool) expr {
	t := p.cur()
	switch t.kind {
	case tName:
		p.next()
		switch t.text {
		case "true", "True":
			return &constant{true}
		case "false", "False":
			return &constant{false}
		case "none", "None":
			return &constant{None}
		}
		if namespace && p.skip(".") {
			return &nsRef{name: t.text, attr: p.expect(tName).text, line: t.line}
		}
		return &name{name: t.text, line: t.line}
	case tString:
		s := ""
		for p.is(tString) {
			s += p.next().text
		}
		return &constant{NewText(s)}
	case tInt, tFloat:
		p.next()
		return &constant{t.val}
	case "(":
		p.next()
		x := p.tuple(tupleRules{cond: true, parens: true})
		p.expect(")")
		return x
	case "[":
		p.next()
		l := &listExpr{}
		for !p.is("]") {
			if len(l.items) > 0 {
				p.expect(",")
			}
			if p.is("]") {
				break
			}
			l.items = append(l.items, p.expression(true))
		}
		p.expect("]")
		return l
	case "{":
		p.next()
		d := &dictExpr{}
		for !p.is("}") {
			if len(d.keys) > 0 {
				p.expect(",")
			}
			if p.is("}") {
				break
			}
			d.keys = append(d.keys, p.expression(true))
			p.expect(":")
			d.values = append(d.values, p.expression(true))
		}
		p.expect("}")
		return d
	}
	p.fail("unexpected %s", t)
	return nil
}

func (p *parser) postfix(x expr) expr {
	for {
		switch t := p.cur(); t.kind {
		case ".":
			p.next()
			switch k := p.next(); k.kind {
			case tName:
				x = &getattr{x: x, name: k.text, line: t.line}
			case tInt:
				x = &getitem{x: x, key: &constant{k.val}, line: t.line}
			default:
				panic(syntax(t.line, "got %s behind a dot, want a name or a number", k))
			}
		case "[":
			p.next()
			var keys []expr
			for !p.is("]") {
				if len(keys) > 0 {
					p.expect(",")
				}
				keys = append(keys, p.subscript())
			}
			p.expect("]")
			var key expr = &tupleExpr{keys}
			if len(keys) == 1 {
				key = keys[0]
			} else {
				for _, k := range keys {
					if _, ok := k.(*sliceExpr); ok {
						panic(syntax(t.line, "a slice among several subscripts is not supported"))
					}
				}
			}
			x = &getitem{x: x, key: key, line: t.line}
		case "(":
			x = p.call(x)
		default:
			return x
		}
	}
}

func (p *parser) subscript() expr {
	s := &sliceExpr{}
	if !p.is(":") {
		s.start = p.expression(true)
		if !p.is(":") {
			return s.start
		}
	}
	p.next()
	part := func() expr {
		if p.is("]") || p.is(",") {
			return nil
		}
		return p.expression(true)
	}
	if !p.is(":") {
		s.stop = part()
	}
	if p.skip(":") {
		s.step = part()
	}
	return s
}

func (p *parser) call(f expr) expr {
	line := p.cur().line
	return &call{f: f, args: p.args(), line: line}
}

func (p *parser) args() callArgs {
	line := p.expect("(").line
	var a callArgs
	want := func(ok bool) {
		if !ok {
			panic(syntax(line, "the arguments of a call are in the wrong order"))
		}
	}
	for comma := false; !p.is(")"); comma = true {
		if comma {
			p.expect(",")
			if p.is(")") {
				break
			}
		}
		switch {
		case p.is("*"):
			want(a.list == nil && a.dict == nil)
			p.next()
			a.list = p.expression(true)
		case p.is("**"):
			want(a.dict == nil)
			p.next()
			a.dict = p.expression(true)
		case p.is(tName) && p.look().kind == "=":
			want(a.dict == nil)
			key := p.next().text
			p.next()
			for _, n := range a.names {
				if n == key {
					panic(syntax(line, "argument %s appears twice", key))
				}
			}
			a.names, a.named = append(a.names, key), append(a.named, p.expression(true))
		default:
			want(a.list == nil && a.dict == nil && len(a.names) == 0)
			a.pos = append(a.pos, p.expression(true))
		}
	}
	p.expect(")")
	return a
}

func (p *parser) dotted() string {
	n := p.expect(tName).text
	for p.skip(".") {
		n += "." + p.expect(tName).text
	}
	return n
}

// filters reads |f|g(…); without the first | where inline is set.
func (p *parser) filters(x expr, inline bool) expr {
	for inline || p.is("|") {
		if !inline {
			p.next()
		}
		inline = false
		f := &filter{x: x, line: p.cur().line}
		f.name = p.dotted()
		if p.is("(") {
			f.args = p.args()
		}
		x = f
	}
	return x
}

func (p *parser) test(x expr) expr {
	line := p.next().line
	negated := p.skipName("not")
	t := &test{x: x, line: line}
	t.name = p.dotted()
	switch k := p.cur(); {
	case k.kind == "(":
		t.args = p.args()
	case k.kind == tString || k.kind == tInt || k.kind == tFloat || k.kind == "[" || k.kind == "{" ||
		k.kind == tName && !p.isName("else", "or", "and"):
		if p.isName("is") {
			p.fail("tests cannot be chained with is")
		}
		t.args.pos = []expr{p.postfix(p.primary(false))}
	}
	if negated {
		return &not{t}
	}
	return t
}
