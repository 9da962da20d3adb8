package kerneltest

import (
	"encoding/binary"
	"reflect"
	"strings"
	"sync"

	"criticrm/kernels/kerneltest/spec"
)

// Record is a case for a program without Go, which calls the op as C does: testdata/cases.h of package kernels reads Bytes and gives the
// buffers back. They have no guards, since a device that checks every access needs their exact ends.
type Record struct {
	Case  spec.Case
	Bytes []byte

	op    spec.Op
	args  []spec.Arg // those with buffers
	sent  map[string]any
	bound func() *bound // made when it is needed
}

// Plain says whether the op can be called with the arguments of a case just as they are: none of its tensors stands for two.
func Plain(c spec.Case) bool { return !strings.HasSuffix(c.Name, "_in_place") }

// NewRecord makes a case.
func NewRecord(h *spec.Header, c spec.Case) *Record {
	r := &Record{Case: c, op: c.Make(), sent: map[string]any{}}
	r.bound = sync.OnceValue(func() *bound { return newBound(c, r.op) })
	args, at := h.Pack(c, r.op)
	number := func(n int) { r.Bytes = binary.LittleEndian.AppendUint64(r.Bytes, uint64(n)) }
	text := func(s []byte) { number(len(s)); r.Bytes = append(r.Bytes, s...) }
	for _, a := range spec.Args(r.op) {
		if _, passed := at[a.Name]; passed && !a.Nil {
			r.args, r.sent[a.Name] = append(r.args, a), encode(a, c, 0)
		}
	}
	text([]byte(c.Op))
	text(args)
	number(len(r.args))
	for _, a := range r.args {
		number(at[a.Name])
		number(c.Skew * TypeOf(a, c.BF16).Size())
		data, _ := binary.Append(nil, binary.LittleEndian, r.sent[a.Name])
		text(data)
	}
	return r
}

// Wrong says what is wrong with an answer, as TestDevice would, or nothing.
func (r *Record) Wrong(answer []byte) string {
	got := map[string]any{}
	for _, a := range r.args {
		x := reflect.MakeSlice(reflect.TypeOf(r.sent[a.Name]), a.Len(), a.Len()).Interface()
		n, err := binary.Decode(answer, binary.LittleEndian, x)
		if err != nil {
			return err.Error()
		}
		got[a.Name], answer = x, answer[n:]
	}
	if err := intact(r.args, r.sent, got); err != nil {
		return err.Error()
	}
	return r.bound().compare(got)
}
