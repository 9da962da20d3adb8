package render

// Examples as bytes, for whoever keeps more of them than memory holds.

import (
	"encoding/binary"
	"errors"
	"math"
)

// errBinary says that bytes are no example.
var errBinary = errors.New("render: the bytes are not those of an example")

// AppendBinary adds the example as bytes: an id takes 1 to 3 as a rule, weights as much as their changes. It implements
// encoding.BinaryAppender; an example that Check refuses for the number of its weights is an error.
func (e *Example) AppendBinary(b []byte) ([]byte, error) {
	for _, x := range e.branches() {
		if x.Weight != nil && len(x.Weight) != len(x.IDs) {
			return b, e.weights(x)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(e.ID)))
	b = append(b, e.ID...)
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(e.Margin))
	b = appendBranch(b, Branch{IDs: e.Prompt})
	b = appendReply(appendReply(b, e.Chosen), e.Rejected)
	b = binary.AppendUvarint(b, uint64(len(e.Ranked)))
	for i, s := range e.Ranked {
		b = appendReply(binary.AppendVarint(b, int64(e.rank(i))), s)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Scores)))
	for _, x := range e.Scores {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return appendBranch(b, e.Document), nil
}

func appendReply(b []byte, s Reply) []byte {
	b = appendBranch(b, s.Response)
	b = binary.AppendUvarint(b, uint64(len(s.Critiques)))
	for _, z := range s.Critiques {
		b = appendBranch(b, z)
	}
	return b
}

// appendBranch adds ids, the read position, and the weights: their number, 0 for none, in runs of equal ones.
func appendBranch(b []byte, x Branch) []byte {
	b = binary.AppendUvarint(b, uint64(len(x.IDs)))
	b = binary.AppendVarint(b, int64(x.Read))
	for _, id := range x.IDs {
		b = binary.AppendUvarint(b, uint64(uint32(id)))
	}
	b = binary.AppendUvarint(b, uint64(len(x.Weight)))
	for i := 0; i < len(x.Weight); {
		w, n := math.Float32bits(x.Weight[i]), 1
		for i+n < len(x.Weight) && math.Float32bits(x.Weight[i+n]) == w {
			n++
		}
		b = binary.LittleEndian.AppendUint32(binary.AppendUvarint(b, uint64(n)), w)
		i += n
	}
	return b
}

// UnmarshalBinary reads what AppendBinary has written: the same example, but that lists without an element are nil. It implements
// encoding.BinaryUnmarshaler. Bytes of anything else are an error.
func (e *Example) UnmarshalBinary(b []byte) error {
	r := parts{b: b}
	*e = Example{ID: string(r.take(r.count()))}
	e.Margin = math.Float32frombits(r.word())
	e.Prompt = r.branch().IDs
	e.Chosen, e.Rejected = r.reply(), r.reply()
	for range r.count() {
		e.Ranks = append(e.Ranks, int32(r.number()))
		if e.Ranked = append(e.Ranked, r.reply()); r.bad {
			break
		}
	}
	for range r.count() {
		if e.Scores = append(e.Scores, math.Float32frombits(r.word())); r.bad {
			break
		}
	}
	e.Document = r.branch()
	if r.bad || len(r.b) > 0 {
		*e = Example{}
		return errBinary
	}
	return nil
}

// parts reads bytes from front to back. What is not there is zero, and bad is set.
type parts struct {
	b   []byte
	bad bool
}

func (r *parts) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	x := r.b[:n]
	r.b = r.b[n:]
	return x
}

// count is a number of things that take a byte or more each.
func (r *parts) count() int {
	n, k := binary.Uvarint(r.b)
	if r.take(max(k, 0)); k <= 0 || n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return 0
	}
	return int(n)
}

func (r *parts) word() uint32 {
	if x := r.take(4); len(x) == 4 {
		return binary.LittleEndian.Uint32(x)
	}
	return 0
}

// number is one of either sign.
func (r *parts) number() int64 {
	n, k := binary.Varint(r.b)
	if r.take(max(k, 0)); k <= 0 {
		r.bad = true
	}
	return n
}

func (r *parts) reply() (s Reply) {
	s.Response = r.branch()
	for range r.count() {
		if s.Critiques = append(s.Critiques, r.branch()); r.bad {
			break
		}
	}
	return s
}

func (r *parts) branch() (x Branch) {
	n := r.count()
	x.Read = int(r.number())
	if r.bad || n > len(r.b) {
		r.bad = true
		return x
	}
	if n > 0 {
		x.IDs = make([]int32, n)
	}
	for i := range x.IDs {
		if len(r.b) > 0 && r.b[0] < 0x80 { // most often
			x.IDs[i], r.b = int32(r.b[0]), r.b[1:]
			continue
		}
		id, k := binary.Uvarint(r.b)
		if r.take(max(k, 0)); k <= 0 || id > math.MaxUint32 {
			r.bad = true
			return x
		}
		x.IDs[i] = int32(uint32(id))
	}
	weights, k := binary.Uvarint(r.b)
	if r.take(max(k, 0)); k <= 0 || weights != 0 && weights != uint64(n) {
		r.bad = true
		return x
	}
	for weights > 0 {
		run, k := binary.Uvarint(r.b)
		r.take(max(k, 0))
		w := math.Float32frombits(r.word())
		if k <= 0 || r.bad || run == 0 || run > weights {
			r.bad = true
			return x
		}
		for range run {
			x.Weight = append(x.Weight, w)
		}
		weights -= run
	}
	return x
}
