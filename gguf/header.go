package gguf

// Reading the header. Every count and length is held against what is left of the file before memory is taken for it.

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// What files of strangers may ask for.
const (
	maxPairs     = 1 << 16   // keys of the metadata
	maxTensors   = 1 << 16   // tensors
	maxKey       = 1 << 12   // bytes of a key
	maxName      = 512       // bytes of a tensor's name
	maxString    = 64 << 20  // bytes of a string
	maxArray     = 1 << 24   // elements of an array
	maxMetaBytes = 512 << 20 // bytes of the whole header
	maxDims      = 4         // dimensions of a tensor, as in ggml
	maxAlignment = 1 << 16   // of a tensor, in bytes

	alignmentKey     = "general.alignment"
	defaultAlignment = 32
)

// Types of metadata values.
const (
	typeUint8 = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// scanner reads a header and keeps the first error. at is the byte it is at, limit the byte that it must not reach.
type scanner struct {
	r     *bufio.Reader
	at    int64
	limit int64
	err   error
}

func (s *scanner) fail(at int64, format string, a ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("byte %d: "+format, append([]any{at}, a...)...)
	}
}

// take reads n bytes, which must be there.
func (s *scanner) take(n int64) []byte {
	if s.err == nil && n > s.limit-s.at {
		s.fail(s.at, "the file is cut off: %d bytes are needed, %d are left", n, s.limit-s.at)
	}
	if s.err != nil {
		return make([]byte, min(n, 8)) // numbers read as 0
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(s.r, b); err != nil {
		s.fail(s.at, "%v", err)
	}
	s.at += n
	return b
}

func (s *scanner) u32() uint32 { return binary.LittleEndian.Uint32(s.take(4)) }
func (s *scanner) u64() uint64 { return binary.LittleEndian.Uint64(s.take(8)) }

// count reads a number of things, of which each takes at least size bytes.
func (s *scanner) count(what string, most uint64, size int64) int {
	at := s.at
	n := s.u64()
	switch {
	case s.err != nil:
	case n > most:
		s.fail(at, "%d %s, limit %d", n, what, most)
	case int64(n)*size > s.limit-s.at:
		s.fail(at, "%d %s do not fit into the %d bytes that are left: the file is cut off or damaged", n, what, s.limit-s.at)
	}
	if s.err != nil {
		return 0
	}
	return int(n)
}

// text reads a string.
func (s *scanner) text(what string, most uint64) string {
	n := s.count("bytes of "+what, most, 1)
	if s.err != nil {
		return ""
	}
	return string(s.take(int64(n)))
}

// name reads a string that people read.
func (s *scanner) name(what string, most uint64) string {
	at := s.at
	name := s.text(what, most)
	if s.err == nil && (name == "" || !utf8.ValidString(name)) {
		s.fail(at, "%s %s is not a name: the file is damaged", what, quote(name))
	}
	return name
}

func (f *File) readHeader(r io.Reader, size int64) error {
	s := &scanner{r: bufio.NewReaderSize(r, 1<<16), limit: min(size, maxMetaBytes)}
	head := s.take(min(size, int64(len(magic))))
	if string(head) != magic {
		return foreign(append(head, s.take(min(size-s.at, int64(len(lfs))))...))
	}
	switch v := s.u32(); {
	case s.err != nil:
	case v == 1:
		return errors.New("version 1 of GGUF, which was in use for weeks in 2023, is not read: take a newer file of the model")
	case v != 0 && v&0xffff == 0:
		return errors.New("big-endian GGUF is not read: take the little-endian file of the model")
	case v != 2 && v != 3:
		return fmt.Errorf("version %d of GGUF is not known, versions 2 and 3 are", v)
	default:
		f.Version = int(v)
	}
	tensors := s.count("tensors", maxTensors, 8+4+8+4+8)
	pairs := s.count("metadata keys", maxPairs, 8+1+4+1)
	seen := make(map[string]bool, pairs)
	for range pairs {
		if s.err != nil {
			break
		}
		at := s.at
		key := s.name("key", maxKey)
		value := s.value(s.u32(), key, false)
		if s.err == nil && seen[key] {
			s.fail(at, "metadata %s appears twice", quote(key))
		}
		seen[key] = true
		f.Meta = append(f.Meta, Pair{key, value})
	}
	f.byName = make(map[string]int, tensors)
	for i := range tensors {
		if s.err != nil {
			break
		}
		at := s.at
		t := s.tensor()
		if _, ok := f.byName[t.Name]; ok && s.err == nil {
			s.fail(at, "tensor %s appears twice", quote(t.Name))
		}
		f.byName[t.Name] = i
		f.tensors = append(f.tensors, t)
	}
	if s.err != nil {
		return s.err
	}
	return f.place(s.at, size)
}

// value reads a metadata value of a type.
func (s *scanner) value(kind uint32, key string, inArray bool) Value {
	le := binary.LittleEndian
	switch kind {
	case typeUint8:
		return s.take(1)[0]
	case typeInt8:
		return int8(s.take(1)[0])
	case typeUint16:
		return le.Uint16(s.take(2))
	case typeInt16:
		return int16(le.Uint16(s.take(2)))
	case typeUint32:
		return s.u32()
	case typeInt32:
		return int32(s.u32())
	case typeFloat32:
		return math.Float32frombits(s.u32())
	case typeBool:
		at := s.at
		b := s.take(1)[0]
		if b > 1 {
			s.fail(at, "metadata %s: a switch of %d, want 0 or 1", quote(key), b)
		}
		return b == 1
	case typeString:
		return s.text("metadata "+quote(key), maxString)
	case typeUint64:
		return s.u64()
	case typeInt64:
		return int64(s.u64())
	case typeFloat64:
		return math.Float64frombits(s.u64())
	case typeArray:
		if !inArray {
			return s.array(key)
		}
		s.fail(s.at, "metadata %s: arrays of arrays are not supported", quote(key))
	default:
		s.fail(s.at, "metadata %s: type %d is not known", quote(key), kind)
	}
	return nil
}

// array reads an array as a slice of its element's type.
func (s *scanner) array(key string) Value {
	kind := s.u32()
	least := map[uint32]int64{typeUint16: 2, typeInt16: 2, typeUint32: 4, typeInt32: 4, typeFloat32: 4, typeString: 8, typeUint64: 8, typeInt64: 8, typeFloat64: 8}[kind]
	n := s.count("elements of "+quote(key), maxArray, max(least, 1))
	switch kind {
	case typeUint8:
		return elements[uint8](s, kind, key, n)
	case typeInt8:
		return elements[int8](s, kind, key, n)
	case typeUint16:
		return elements[uint16](s, kind, key, n)
	case typeInt16:
		return elements[int16](s, kind, key, n)
	case typeUint32:
		return elements[uint32](s, kind, key, n)
	case typeInt32:
		return elements[int32](s, kind, key, n)
	case typeFloat32:
		return elements[float32](s, kind, key, n)
	case typeBool:
		return elements[bool](s, kind, key, n)
	case typeString:
		return elements[string](s, kind, key, n)
	case typeUint64:
		return elements[uint64](s, kind, key, n)
	case typeInt64:
		return elements[int64](s, kind, key, n)
	case typeFloat64:
		return elements[float64](s, kind, key, n)
	}
	s.value(kind, key, true) // says what is wrong
	return nil
}

func elements[T any](s *scanner, kind uint32, key string, n int) []T {
	list := make([]T, 0, n)
	for range n {
		if s.err != nil {
			return nil
		}
		list = append(list, s.value(kind, key, true).(T))
	}
	return list
}

// tensor reads what a tensor is; place checks where it is.
func (s *scanner) tensor() (t Tensor) {
	t.Name = s.name("tensor name", maxName)
	at := s.at
	dims := s.u32()
	if s.err == nil && (dims == 0 || dims > maxDims) {
		s.fail(at, "tensor %s has %d dimensions, want 1 to %d", quote(t.Name), dims, maxDims)
	}
	if s.err != nil {
		return t
	}
	n := uint64(1)
	for range dims {
		at := s.at
		d := s.u64()
		hi, lo := bits.Mul64(n, d)
		if s.err == nil && (d == 0 || hi != 0 || lo > 1<<48) {
			s.fail(at, "tensor %s: a dimension of %d: there is no such tensor", quote(t.Name), d)
		}
		n = lo
		t.Shape = append(t.Shape, int64(d))
	}
	at = s.at
	t.Type = Type(s.u32())
	t.offset = int64(s.u64())
	if s.err != nil {
		return t
	}
	k, ok := kinds[t.Type]
	switch {
	case !ok:
		s.fail(at, "tensor %s has type %d, which is not known", quote(t.Name), t.Type)
	case k.read == nil:
		s.fail(at, "tensor %s is stored as %v, which is not supported (supported: %s): take another file of the model", quote(t.Name), t.Type, readable())
	case t.Shape[0]%k.block != 0:
		s.fail(at, "tensor %s: rows of %d elements are not whole blocks of %d, as %v needs them", quote(t.Name), t.Shape[0], k.block, t.Type)
	default:
		t.bytes = int64(n) / k.block * k.bytes
	}
	slices.Reverse(t.Shape)
	return t
}

// place checks where the tensors lie: aligned, in the file, and none on another.
func (f *File) place(end, size int64) error {
	align := int64(defaultAlignment)
	if v := f.Meta.Get(alignmentKey); v != nil {
		n, ok := v.(uint32)
		if align = int64(n); !ok || align == 0 || align > maxAlignment || align&(align-1) != 0 {
			return fmt.Errorf("metadata %q: got %v, want a power of two up to %d", alignmentKey, v, maxAlignment)
		}
	}
	f.data = (end + align - 1) / align * align
	order := make([]*Tensor, len(f.tensors))
	for i := range f.tensors {
		t := &f.tensors[i]
		order[i] = t
		if t.offset < 0 || t.offset > size || t.bytes > size-f.data-t.offset {
			return fmt.Errorf("tensor %s: %d bytes at %d of the data run past the end of the file, which has %d bytes of data: it is cut off or damaged",
				quote(t.Name), t.bytes, uint64(t.offset), max(size-f.data, 0))
		}
		if t.offset%align != 0 {
			return fmt.Errorf("tensor %s: offset %d is not a multiple of the alignment %d", quote(t.Name), t.offset, align)
		}
	}
	slices.SortFunc(order, func(a, b *Tensor) int { return int(min(max(a.offset-b.offset, -1), 1)) })
	for i := 1; i < len(order); i++ {
		if a, b := order[i-1], order[i]; b.offset < a.offset+a.bytes {
			return fmt.Errorf("tensors %s and %s overlap at byte %d of the data", quote(a.Name), quote(b.Name), b.offset)
		}
	}
	return nil
}
