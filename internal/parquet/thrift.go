package parquet

// How long a structure of Thrift's compact protocol is, and whether its counts can be true.

import (
	"encoding/binary"
	"errors"
)

var (
	errShort   = errors.New("it is cut off")
	errDamaged = errors.New("it is damaged")
)

const (
	maxElements = 1 << 20 // of all lists of a structure
	maxNesting  = 32
)

// structure walks a structure at the start of b, and gives its length. Every list in it must have as many bytes as elements, at least: whoever
// reads the structure takes memory for what a list claims.
func structure(b []byte) (int, error) {
	w := walker{b: b}
	err := w.fields(0)
	return w.i, err
}

type walker struct {
	b        []byte
	i        int
	elements int
}

func (w *walker) skip(n uint64) error {
	if n > uint64(len(w.b)-w.i) {
		return errShort
	}
	w.i += int(n)
	return nil
}

func (w *walker) byte() (byte, error) {
	if w.i == len(w.b) {
		return 0, errShort
	}
	w.i++
	return w.b[w.i-1], nil
}

func (w *walker) uvarint() (uint64, error) {
	v, n := binary.Uvarint(w.b[w.i:])
	if n == 0 {
		return 0, errShort
	}
	if n < 0 {
		return 0, errDamaged
	}
	w.i += n
	return v, nil
}

func (w *walker) fields(depth int) error {
	if depth > maxNesting {
		return errDamaged
	}
	for {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the field's number stands by itself
			if _, err := w.uvarint(); err != nil {
				return err
			}
		}
		if kind := head & 15; kind != 1 && kind != 2 { // booleans are their kind
			if err := w.value(kind, depth); err != nil {
				return err
			}
		}
	}
}

func (w *walker) value(kind byte, depth int) error {
	switch kind {
	case 1, 2, 3:
		return w.skip(1)
	case 4, 5, 6:
		_, err := w.uvarint()
		return err
	case 7:
		return w.skip(8)
	case 8:
		n, err := w.uvarint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case 9, 10:
		head, err := w.byte()
		if err != nil {
			return err
		}
		n := uint64(head >> 4)
		if n == 15 {
			if n, err = w.uvarint(); err != nil {
				return err
			}
		}
		return w.list(n, depth, head&15)
	case 11:
		n, err := w.uvarint()
		if err != nil || n == 0 {
			return err
		}
		kinds, err := w.byte()
		if err != nil {
			return err
		}
		return w.list(n, depth, kinds>>4, kinds&15)
	case 12:
		return w.fields(depth + 1)
	}
	return errDamaged
}

// list walks n times the values of some kinds.
func (w *walker) list(n uint64, depth int, kinds ...byte) error {
	if n > maxElements || w.elements+int(n) > maxElements {
		return errDamaged
	}
	if n > uint64(len(w.b)-w.i) {
		return errShort
	}
	w.elements += int(n)
	for range n {
		for _, kind := range kinds {
			if depth > maxNesting {
				return errDamaged
			}
			if err := w.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
