package kerneltest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
)

// Fuzz is a device's fuzz test: a case of the list with other indices and extents. The op refuses them, by a panic of its own or a fault of
// the device that names it, or gives what the reference gives; it never reads or writes beside its arguments.
func Fuzz(f *testing.F, open func() *kernels.Device) {
	cases := small()
	for i := range cases {
		f.Add(uint16(i), []byte{})
		f.Add(uint16(i), []byte{byte(i), 0, byte(i), 255, 255, 255, 127}) // an index far beyond
		f.Add(uint16(i), []byte{byte(i), 1, byte(i), 1, 0, 0, 0})         // a dimension longer by one
	}
	d := open()
	f.Cleanup(d.Close)
	f.Fuzz(func(t *testing.T, which uint16, edits []byte) {
		c := cases[int(which)%len(cases)]
		op := c.Make()
		shapes := map[string][]int{}
		for ; len(edits) >= 7; edits = edits[7:] {
			edit(op, shapes, edits[0], edits[1], edits[2], int32(binary.LittleEndian.Uint32(edits[3:])))
		}
		got, refused := attemptOp(t, d, op, c, shapes)
		if refused {
			return
		}
		if err := compareAgain(c, op, got); err != "" {
			t.Fatalf("%s: %s", c.Name, err)
		}
	})
}

// small lists the cases that sanitizers run, a case for each path, as far as they are short.
func small() (list []spec.Case) {
	for _, c := range spec.Cases() {
		if !c.Race || c.Long {
			continue
		}
		n := 0
		for _, a := range spec.Args(c.Make()) {
			n += a.Len()
		}
		if n < 1<<14 {
			list = append(list, c)
		}
	}
	return list
}

// onTrust tells what an op does not check: package tile makes tiles of end; rows that gradients are added to are distinct.
func onTrust(op spec.Op, arg spec.Arg) bool {
	switch op.(type) {
	case *spec.Attention[float64], *spec.AttentionBackward[float64]:
		return arg.Name == "Tiles"
	case *spec.EmbedBackward[float64]:
		return arg.Name == "Row"
	}
	return false
}

// edit changes an index of an argument, or, in shapes, an extent by which the argument is handed over.
func edit(op spec.Op, shapes map[string][]int, which, how, at byte, value int32) {
	args := slices.DeleteFunc(spec.Args(op), func(a spec.Arg) bool { return a.Nil || a.Dir == spec.Aside || a.Len() == 0 })
	a := args[int(which)%len(args)]
	if onTrust(op, a) {
		return
	}
	if how%2 == 1 {
		if shapes[a.Name] == nil {
			shapes[a.Name] = slices.Clone(a.Shape)
		}
		i := int(at) % len(a.Shape)
		shapes[a.Name][i] = max(0, shapes[a.Name][i]+int(value%4))
		return
	}
	if x, ok := a.Value.Interface().([]int32); ok && a.Dir == spec.In {
		x[int(at)%len(x)] = value
	}
}

// attemptOp runs an op whose arguments are handed over in other shapes, where shapes says so, and says whether it was refused. Memory for the
// longer ones is there, so that what is written beside the argument shows in its guards.
func attemptOp(t *testing.T, d *kernels.Device, op spec.Op, c spec.Case, shapes map[string][]int) (got map[string]any, refused bool) {
	b := newBuffers(d, op, c)
	defer b.free()
	changed := false
	view := func(name string) kernels.Tensor {
		x := b.tensor(name)
		shape, ok := shapes[name]
		if !ok || slices.Equal(shape, x.Shape()) {
			return x
		}
		changed = true
		return b.other(name, shape)
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				if s, ok := p.(string); !ok || !strings.HasPrefix(s, "kernels: ") {
					panic(p)
				}
				refused = true
			}
		}()
		Call(d, op, view)
	}()
	err := d.Sync()
	if err != nil && (!strings.Contains(err.Error(), c.Op) || strings.Contains(err.Error(), "\n")) {
		t.Fatalf("%s: the fault does not name the op in a line: %q", c.Name, err)
	}
	got = b.download()
	if !changed {
		if fault := intact(b.args, b.sent, got); fault != nil {
			t.Fatalf("%s: %v", c.Name, fault)
		}
	}
	return got, refused || err != nil || changed
}

// other is a tensor of another shape for an argument, freed with the rest. It repeats what was sent, without guards.
func (b *buffers) other(name string, shape []int) kernels.Tensor {
	x := b.dev.Alloc(b.view[name].Type(), shape...)
	b.dev.Zero(x)
	b.whole[name+" in another shape"] = x
	return x
}

// compareAgain is compare, where the reference may have no meaning for the arguments: then the op should have refused them.
func compareAgain(c spec.Case, op spec.Op, got map[string]any) (fault string) {
	defer func() {
		if p := recover(); p != nil {
			fault = fmt.Sprintf("the op took what the reference cannot read: %v", p)
		}
	}()
	return newBound(c, op).compare(got)
}
