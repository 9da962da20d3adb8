package jinja

import "fmt"

// Template is a parsed template. It is read-only and can be rendered from several goroutines at once.
type Template struct {
	body     []stmt
	fn       *function
	frame    []load
	literals []string
}

// Vars are the variables of a template.
type Vars map[string]Value

// Options of a rendering.
type Options struct {
	// Strftime is strftime_now; nil: the template has none.
	Strftime func(format string) (string, error)
}

// Parse parses a template. The error is an *Error.
func Parse(source string) (t *Template, err error) {
	defer catch(&err)
	tokens := lex(source)
	t = &Template{}
	for _, k := range tokens {
		if k.kind == tData || k.kind == tString {
			t.literals = append(t.literals, k.text)
		}
	}
	p := &parser{tokens: tokens}
	t.body = p.body()
	t.fn, t.frame = bindTemplate(t.body)
	return t, nil
}

func catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		*err = r
	default: // a fault of this package must not end a program that was given a bad template
		*err = &Error{Line: 1, Text: fmt.Sprintf("internal error: %v", r)}
	}
}

// Literals are the texts that the template itself may write: what stands between its tags, and its string literals.
func (t *Template) Literals() []string { return t.literals }

// Render renders the template. The error is an *Error.
func (t *Template) Render(vars Vars, o Options) (out *Text, err error) {
	defer catch(&err)
	in := &run{day: o.Strftime, vars: make(map[string]Value, len(vars)+len(globals)+1), out: &builder{}, line: 1}
	for n, f := range globals {
		in.vars[n] = f
	}
	if o.Strftime != nil {
		in.vars["strftime_now"] = &fn{name: "strftime_now", call: strftimeNow}
	}
	given := 0
	for n, v := range vars {
		in.vars[n] = v
		given += size(v)
	}
	in.limit = maxWork + workFactor*given
	in.env = &env{vars: make([]Value, t.fn.size)}
	in.enter(t.frame)
	in.exec(t.body)
	return in.out.text(), nil
}

// size is how many bytes of text a value holds.
func size(v Value) int {
	n := 0
	switch v := v.(type) {
	case *Text:
		n = len(v.S)
	case *List:
		for _, x := range v.Items {
			n += 16 + size(x)
		}
	case *Dict:
		for i := range v.keys {
			n += 32 + size(v.keys[i]) + size(v.values[i])
		}
	}
	return n
}

// env is the variables of one call of a function. nil: not set.
type env struct {
	vars   []Value
	parent *env
}

func (in *run) at(r ref) *Value {
	e := in.env
	for range r.hops {
		e = e.parent
	}
	return &e.vars[r.slot]
}

// enter starts a scope.
func (in *run) enter(frame []load) {
	for _, l := range frame {
		switch l.kind {
		case loadUndefined:
			in.env.vars[l.slot] = nil
		case loadResolve:
			in.env.vars[l.slot] = in.vars[l.name]
		case loadAlias:
			in.env.vars[l.slot] = *in.at(l.alias)
		}
	}
}

// leave ends a scope.
func (in *run) leave(frame []load) {
	for _, l := range frame {
		in.env.vars[l.slot] = nil
	}
}
