package parquet

// The tree of the schema, and how the values of its leaves become the objects and lists of a row: by the levels of repetition and definition
// that each value has.

import (
	"errors"
	"fmt"
	"slices"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"criticrm/strictjson"
)

// node is one element of the schema.
type node struct {
	path     string
	key      []byte // its name as a string of JSON
	children []*node
	leaves   []*node // of it and below
	optional bool
	repeated bool

	repetition, definition int // levels of a value that is there

	shape  shape
	column *column                                  // of a leaf
	value  func(w *writer, v *pq.Value) *ValueError // likewise
}

// shape is what a group of children is in JSON.
type shape int

const (
	aStruct shape = iota
	aList         // of its child's only child, or of its child
	aMap          // from text to a value
)

// openTree makes the tree and lists its leaves.
func (f *File) openTree() (leaves []*node, err error) {
	list := f.meta.Schema
	if len(list) == 0 || list[0].Type.Valid {
		return nil, errors.New("it has no schema")
	}
	next := 0
	var open func(parent *node, depth int) (*node, error)
	open = func(parent *node, depth int) (*node, error) {
		if next == len(list) || depth > maxNesting {
			return nil, errors.New("its schema is damaged")
		}
		e := &list[next]
		next++
		n := &node{path: e.Name}
		var ok bool
		if n.key, ok = strictjson.AppendString(nil, e.Name); !ok {
			return nil, fmt.Errorf("the name of column %.40q is not valid UTF-8", e.Name)
		}
		if parent != nil {
			if parent.path != "" {
				n.path = parent.path + "." + e.Name
			}
			n.repetition, n.definition = parent.repetition, parent.definition
			n.optional, n.repeated = e.RepetitionType.V == format.Optional, e.RepetitionType.V == format.Repeated
			if n.optional || n.repeated {
				n.definition++
			}
			if n.repeated {
				n.repetition++
			}
		} else {
			n.path = ""
		}
		if e.Type.Valid {
			if n.value, err = writerOf(e); err != nil {
				return nil, fmt.Errorf("column %q: %w", n.path, err)
			}
			n.leaves = []*node{n}
			leaves = append(leaves, n)
			return n, nil
		}
		if _, ok := e.LogicalType.Value.(*format.VariantType); ok {
			return nil, fmt.Errorf("column %q: variants are not read: write it as text or as a struct", n.path)
		}
		if e.NumChildren.V <= 0 {
			return nil, fmt.Errorf("column %q has no fields: take it out", n.path)
		}
		for range e.NumChildren.V {
			child, err := open(n, depth+1)
			if err != nil {
				return nil, err
			}
			n.children, n.leaves = append(n.children, child), append(n.leaves, child.leaves...)
		}
		n.shape = n.shapeOf(e)
		return n, nil
	}
	if f.root, err = open(nil, 0); err == nil && next != len(list) {
		err = errors.New("its schema is damaged")
	}
	return leaves, err
}

// shapeOf says what a group is, by what is said of it and by its form.
func (n *node) shapeOf(e *format.SchemaElement) shape {
	if len(n.children) != 1 || !n.children[0].repeated {
		return aStruct
	}
	_, list := e.LogicalType.Value.(*format.ListType)
	_, dict := e.LogicalType.Value.(*format.MapType)
	if c := e.ConvertedType; c.Valid {
		list, dict = list || c.V == deprecated.List, dict || c.V == deprecated.Map || c.V == deprecated.MapKeyValue
	}
	pair := n.children[0].children
	switch {
	case dict && len(pair) == 2 && pair[0].value != nil && !pair[0].optional && !pair[0].repeated && !pair[1].repeated:
		return aMap
	case list || dict:
		return aList
	}
	return aStruct
}

// element is what a list's repeated child has for each item: its only child, unless the child itself is the item, as the rules for files of older
// writers say.
func (n *node) element() *node {
	child := n.children[0]
	name := child.path[len(n.path):]
	if len(child.children) != 1 || child.children[0].repeated || slices.Contains([]string{".array", "." + n.name() + "_tuple"}, name) {
		return child
	}
	return child.children[0]
}

func (n *node) name() string {
	for i := len(n.path) - 1; i >= 0; i-- {
		if n.path[i] == '.' {
			return n.path[i+1:]
		}
	}
	return n.path
}

// writer writes one row.
type writer struct {
	f   *File
	b   []byte
	bad *ValueError // what is wrong with the row, whose values are taken nevertheless
}

// spoil takes note of the first thing that is wrong with the row.
func (w *writer) spoil(n *node, format string, a ...any) {
	if w.bad == nil {
		w.bad = &ValueError{Msg: fmt.Sprintf("column %q: ", n.path) + fmt.Sprintf(format, a...)}
	}
}

// peek is the next value of a leaf, which must begin at that level of repetition.
func (w *writer) peek(leaf *node, repetition int) (*pq.Value, error) {
	v, err := leaf.column.peek()
	switch {
	case err != nil:
		return nil, err
	case v == nil:
		return nil, leaf.column.fault(errors.New("it has fewer values than rows"))
	case v.RepetitionLevel() != repetition || v.DefinitionLevel() > leaf.definition:
		return nil, leaf.column.fault(errDamaged)
	}
	return v, nil
}

// absent takes the values that stand for nothing of a node: one of each leaf.
func (w *writer) absent(n *node, repetition int) error {
	for _, leaf := range n.leaves {
		v, err := w.peek(leaf, repetition)
		if err != nil {
			return err
		}
		if v.DefinitionLevel() >= n.definition {
			return leaf.column.fault(errDamaged)
		}
		leaf.column.pop()
	}
	return nil
}

// node writes a node: null, a list, or what is there.
func (w *writer) node(n *node, repetition int) error {
	if !n.optional && !n.repeated {
		return w.content(n, repetition)
	}
	v, err := w.peek(n.leaves[0], repetition)
	if err != nil {
		return err
	}
	switch there := v.DefinitionLevel() >= n.definition; {
	case n.repeated: // a list that nobody calls so
		return w.items(n, repetition, '[', ']', func(repetition int) error { return w.content(n, repetition) })
	case !there:
		w.b = append(w.b, "null"...)
		return w.absent(n, repetition)
	}
	return w.content(n, repetition)
}

// content writes what is there of a node.
func (w *writer) content(n *node, repetition int) error {
	switch {
	case n.value != nil:
		v, err := w.peek(n, repetition)
		if err != nil {
			return err
		}
		if v.DefinitionLevel() != n.definition {
			return n.column.fault(errDamaged)
		}
		if len(w.b) <= w.f.most {
			if bad := n.value(w, v); bad != nil {
				w.spoil(n, "%s", bad.Msg)
			}
		}
		if len(w.b) > w.f.most && w.bad == nil {
			w.bad = &ValueError{Msg: fmt.Sprintf("it has more than %d bytes", w.f.most)}
		}
		n.column.pop()
		return nil
	case n.shape == aList:
		item := n.element()
		return w.items(n.children[0], repetition, '[', ']', func(repetition int) error {
			if item == n.children[0] {
				return w.content(item, repetition)
			}
			return w.node(item, repetition)
		})
	case n.shape == aMap:
		pair := n.children[0].children
		return w.items(n.children[0], repetition, '{', '}', func(repetition int) error {
			start := len(w.b)
			if err := w.content(pair[0], repetition); err != nil {
				return err
			}
			if key := w.b[start:]; len(key) > 0 && key[0] != '"' {
				quoted, _ := strictjson.AppendString(nil, string(key))
				w.b = append(w.b[:start], quoted...)
			}
			w.b = append(w.b, ':')
			return w.node(pair[1], repetition)
		})
	}
	return w.object(n, repetition)
}

// items writes a repeated node, by item.
func (w *writer) items(n *node, repetition int, open, end byte, item func(repetition int) error) error {
	v, err := w.peek(n.leaves[0], repetition)
	if err != nil {
		return err
	}
	w.b = append(w.b, open)
	if v.DefinitionLevel() < n.definition {
		w.b = append(w.b, end)
		return w.absent(n, repetition)
	}
	for {
		if err := item(repetition); err != nil {
			return err
		}
		repetition = n.repetition
		v, err := n.leaves[0].column.peek()
		if err != nil {
			return err
		}
		if v == nil || v.RepetitionLevel() < n.repetition {
			w.b = append(w.b, end)
			return nil
		}
		w.b = append(w.b, ',')
	}
}

// object writes the children of a node.
func (w *writer) object(n *node, repetition int) error {
	w.b = append(w.b, '{')
	for i, child := range n.children {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(append(w.b, child.key...), ':')
		if err := w.node(child, repetition); err != nil {
			return err
		}
	}
	w.b = append(w.b, '}')
	return nil
}
