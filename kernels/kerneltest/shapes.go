package kerneltest

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
)

// TestShapes calls every op with each argument in turn left out, of another type, and longer by one in each dimension that another
// argument has too: all must panic with a sentence of the op, before anything runs.
func TestShapes(t *testing.T, open func() *kernels.Device) {
	d := open()
	defer d.Close()
	seen := map[string]bool{}
	for _, c := range spec.Cases() {
		if c.BF16 || c.Long || seen[c.Op] || slices.ContainsFunc(spec.Args(c.Make()), func(a spec.Arg) bool { return a.Len() == 0 }) {
			continue
		}
		seen[c.Op] = true
		t.Run(c.Op, func(t *testing.T) { testShapes(t, c, d) })
	}
	for _, c := range spec.Cases() {
		if !seen[c.Op] {
			t.Fatalf("%s has no float32 case without empty arguments", c.Op)
		}
	}
}

var dimension = regexp.MustCompile("[A-Za-z]+")

func testShapes(t *testing.T, c spec.Case, d *kernels.Device) {
	op := c.Make()
	right := map[string]kernels.Tensor{}
	tags := map[string][]string{} // direction, type, dimensions, flags
	uses := map[string]int{}      // of a dimension, by arguments
	for _, a := range spec.Args(op) {
		if a.Nil {
			continue
		}
		right[a.Name] = d.Alloc(TypeOf(a, false), a.Shape...)
		f, _ := reflect.TypeOf(op).Elem().FieldByName(a.Name)
		tags[a.Name] = strings.Fields(f.Tag.Get("arg"))
		names := dimension.FindAllString(tags[a.Name][2], -1)
		slices.Sort(names)
		for _, n := range slices.Compact(names) {
			uses[n]++
		}
	}
	wrong := func(name, how string, x kernels.Tensor) {
		read := false // some arguments are for the specification only
		defer func() {
			if p := recover(); read || p != nil {
				if s, ok := p.(string); !ok || !strings.HasPrefix(s, "kernels: ") {
					t.Errorf("%s %s: %v", name, how, p)
				}
			}
		}()
		Call(d, op, func(n string) kernels.Tensor {
			if n == name {
				read = true
				return x
			}
			return right[n]
		})
	}
	for _, a := range spec.Args(op) {
		if a.Nil {
			continue
		}
		tag := tags[a.Name]
		if !slices.Contains(tag[3:], "or-nil") {
			wrong(a.Name, "is left out", kernels.Tensor{})
		}
		other := kernels.F32
		if right[a.Name].Type() == other {
			other = kernels.I32
		}
		x := d.Alloc(other, a.Shape...)
		wrong(a.Name, "is of another type", x)
		d.Free(x)
		for i, dim := range strings.Split(tag[2], ",") {
			if slices.ContainsFunc(dimension.FindAllString(dim, -1), func(n string) bool { return uses[n] == 1 }) {
				continue // another length is right too
			}
			shape := slices.Clone(a.Shape)
			shape[i]++
			x := d.Alloc(right[a.Name].Type(), shape...)
			wrong(a.Name, "is longer in "+dim, x)
			d.Free(x)
		}
	}
	for _, x := range right {
		d.Free(x)
	}
}
