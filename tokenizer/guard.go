package tokenizer

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/builtins"
	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// What a template may use, each part with the check that keeps it inside the budget.

// guardedStatements gives the statements. include, import, extends, from, block, autoescape and trans
// are left out.
func guardedStatements() *exec.ControlStructureSet {
	set := map[string]parser.ControlStructureParser{"generation": parseGeneration}
	for _, name := range []string{"for", "if", "set", "macro", "call", "filter", "with", "do", "raw", "break", "continue"} {
		set[name], _ = builtins.ControlStructures.Get(name)
	}
	for name, parse := range set {
		set[name] = func(p, args *parser.Parser) (nodes.ControlStructure, error) {
			target := assignedItem(name, args)
			inner, err := parse(p, args)
			if err != nil {
				return nil, err
			}
			switch s := inner.(type) {
			case *controls.ForControlStructure:
				if s.Recursive {
					return nil, errors.New("recursive loops are not allowed")
				}
				boundLoop(s)
			case *controls.MacroControlStructure:
				inner = &guardedMacro{s}
			}
			return &guarded{inner: inner.(exec.ControlStructure), target: target}, nil
		}
	}
	return exec.NewControlStructureSet(set)
}

// assignedItem gives x for {% set x.y = … %} and {% set x[y] = … %}, else "".
func assignedItem(statement string, args *parser.Parser) string {
	if statement != "set" {
		return ""
	}
	if name := args.Current(tokens.Name); name != nil && args.Peek(tokens.Dot, tokens.LeftBracket) != nil {
		return name.Val
	}
	return ""
}

// guarded is a statement that pays for itself.
type guarded struct {
	inner  exec.ControlStructure
	target string // variable of which the statement changes an item
}

func (g *guarded) Position() *tokens.Token { return g.inner.Position() }
func (g *guarded) String() string          { return g.inner.String() }

func (g *guarded) Execute(r *exec.Renderer, tag *nodes.ControlStructureBlock) error {
	b := budgetOf(r.Environment.Context)
	if err := b.step(); err != nil {
		return err
	}
	if b.nesting++; b.nesting > maxNesting {
		return b.fail("statements nest deeper than %d", maxNesting)
	}
	defer func() { b.nesting-- }()
	if err := g.inner.Execute(r, tag); err != nil {
		return err
	}
	if g.target != "" {
		v, _ := r.Environment.Context.Get(g.target)
		if err := checkTree(v); err != nil {
			return b.fail("%v", err)
		}
	}
	return b.written(r.Output)
}

// guardedMacro defines a macro that counts how deep its calls nest: the engine calls macros on the Go
// stack, and a Go stack overflow ends the process.
type guardedMacro struct {
	*controls.MacroControlStructure
}

func (g *guardedMacro) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	macro, err := exec.MacroNodeToFunc(g.Macro, r)
	if err != nil {
		return err
	}
	b := budgetOf(r.Environment.Context)
	r.Environment.Context.Set(g.Name, exec.Macro(func(va *exec.VarArgs) *exec.Value {
		if err := b.step(); err != nil {
			return exec.AsValue(err)
		}
		if b.macros++; b.macros > maxMacros {
			return exec.AsValue(b.fail("macro calls nest deeper than %d", maxMacros))
		}
		defer func() { b.macros-- }()
		return macro(va)
	}))
	return nil
}

// boundLoop limits the items of a loop and makes each round pay.
func boundLoop(s *controls.ForControlStructure) {
	s.ObjectEvaluator = &nodes.FilteredExpression{
		Expression: s.ObjectEvaluator,
		Filters:    []*nodes.FilterCall{{Name: loopLimit, Token: s.Position()}},
	}
	round := &nodes.ControlStructureBlock{Location: s.Position(), Name: "round", ControlStructure: &loopRound{s.Position()}}
	s.BodyWrapper.Nodes = append([]nodes.Node{round}, s.BodyWrapper.Nodes...)
}

// loopRound is executed at the start of each round of a loop.
type loopRound struct{ at *tokens.Token }

func (l *loopRound) Position() *tokens.Token { return l.at }
func (l *loopRound) String() string          { return "loop" }
func (l *loopRound) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	b := budgetOf(r.Environment.Context)
	if err := b.step(); err != nil {
		return err
	}
	return b.written(r.Output)
}

// generation is {% generation %}: training templates mark with it what the assistant wrote. It
// renders its body.
type generation struct{ body *nodes.Wrapper }

func (g *generation) Position() *tokens.Token { return g.body.Position() }
func (g *generation) String() string          { return "generation" }
func (g *generation) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteWrapper(g.body)
}

func parseGeneration(p, args *parser.Parser) (nodes.ControlStructure, error) {
	if !args.End() {
		return nil, args.Error("generation takes no arguments", nil)
	}
	body, _, err := p.WrapUntil("endgeneration")
	return &generation{body}, err
}

// loopLimit is a filter that no template can spell.
const loopLimit = "\x00loop"

// guardedFilters gives the filters: not random, whose result changes, and not center, which makes a
// string of any size.
func guardedFilters() *exec.FilterSet {
	set := map[string]exec.FilterFunction{
		loopLimit: func(e *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
			if n := in.Len(); !in.IsError() && n > maxItems {
				return exec.AsValue(budgetOf(e.Environment.Context).fail("loop over %d items, limit %d", n, maxItems))
			}
			return in
		},
	}
	for _, name := range []string{
		"abs", "attr", "batch", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float",
		"groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject",
		"rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort", "string", "sum",
		"title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount", "wordwrap",
	} {
		inner, _ := builtins.Filters.Get(name)
		set[name] = func(e *exec.Evaluator, in *exec.Value, va *exec.VarArgs) *exec.Value {
			b := budgetOf(e.Environment.Context)
			if err := b.step(); err != nil {
				return exec.AsValue(err)
			}
			for _, a := range va.Args { // the width of indent, the size of batch
				if a.IsInteger() && a.Integer() > maxItems {
					return exec.AsValue(b.fail("cannot be rendered: filter %s: %d is over %d", name, a.Integer(), maxItems))
				}
			}
			for _, a := range va.KwArgs {
				if a.IsInteger() && a.Integer() > maxItems {
					return exec.AsValue(b.fail("cannot be rendered: filter %s: %d is over %d", name, a.Integer(), maxItems))
				}
			}
			if name == "trim" && in.IsString() && len(va.Args)+len(va.KwArgs) == 0 {
				return exec.AsValue(strings.TrimFunc(in.String(), pythonSpace))
			}
			out := inner(e, in, va)
			if out.IsString() && out.Len() > maxOutput {
				return exec.AsValue(b.fail("output is over %d bytes", maxOutput))
			}
			return out
		}
	}
	return exec.NewFilterSet(set)
}

// guardedMethods gives the methods of strings, lists and dicts: not those that make strings of any size
// (center, ljust, zfill, format, …).
func guardedMethods() exec.Methods {
	m := builtins.Methods
	m.Str = keepMethods[string](stripping{m.Str}, nil, "capitalize", "count", "endswith", "find", "isalnum", "isalpha", "isascii",
		"isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip",
		"partition", "removeprefix", "removesuffix", "replace", "rfind", "rpartition", "rsplit", "rstrip", "split",
		"splitlines", "startswith", "strip", "swapcase", "title", "upper")
	m.List = keepMethods[[]any](m.List, checkTree, "append", "copy", "reverse")
	m.Dict = keepMethods[map[string]any](m.Dict, checkTree, "clear", "copy", "get", "items", "keys", "pop", "setdefault", "update", "values")
	return m
}

// pythonSpace is what Python's strip takes off: U+001C … U+001F too, unlike Go.
func pythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F }

// stripping is the methods of strings, with Python's idea of white space.
type stripping struct{ *exec.MethodSet[string] }

func (s stripping) Get(name string) (exec.Method[string], bool) {
	inner, ok := s.MethodSet.Get(name)
	trim := map[string]func(string, func(rune) bool) string{
		"strip": strings.TrimFunc, "lstrip": strings.TrimLeftFunc, "rstrip": strings.TrimRightFunc,
	}[name]
	if trim == nil {
		return inner, ok
	}
	return func(self string, value *exec.Value, va *exec.VarArgs) (any, error) {
		if len(va.Args)+len(va.KwArgs) == 0 {
			return trim(self, pythonSpace), nil
		}
		return inner(self, value, va)
	}, ok
}

// keepMethods takes the named methods over; after each call check sees the value it was called on.
func keepMethods[T any](from interface {
	Get(string) (exec.Method[T], bool)
}, check func(any) error, names ...string) *exec.MethodSet[T] {
	set := map[string]exec.Method[T]{}
	for _, name := range names {
		inner, ok := from.Get(name)
		if !ok {
			continue
		}
		set[name] = func(self T, value *exec.Value, va *exec.VarArgs) (any, error) {
			out, err := inner(self, value, va)
			if err == nil && check != nil {
				err = check(value.Interface())
			}
			return out, err
		}
	}
	return exec.NewMethodSet(set)
}

// checkTree refuses values that contain themselves, or are very large: the engine would print them
// until the Go stack overflows, which ends the process.
func checkTree(v any) error {
	left := maxItems
	var walk func(v reflect.Value, depth int) error
	walk = func(v reflect.Value, depth int) error {
		if left--; left < 0 {
			return fmt.Errorf("a value holds more than %d items", maxItems)
		}
		if depth > maxNesting {
			return fmt.Errorf("a value nests deeper than %d", maxNesting)
		}
		if v.IsValid() && v.CanInterface() {
			if x, ok := v.Interface().(*exec.Value); ok {
				if x == nil || x.IsNil() {
					return nil
				}
				return walk(x.Val, depth+1)
			}
		}
		switch v.Kind() {
		case reflect.Interface, reflect.Pointer:
			return walk(v.Elem(), depth+1)
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				if err := walk(it.Value(), depth+1); err != nil {
					return err
				}
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				if err := walk(v.Index(i), depth+1); err != nil {
					return err
				}
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if err := walk(v.Field(i), depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return walk(reflect.ValueOf(v), 0)
}
