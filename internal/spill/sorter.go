// Package spill holds what grows with a file in memory that does not: up to a bound there, beyond it in temporary files (safefile.Scratch, whose
// errors say what it was). A [Sorter] gives values in order, an [Array] has numbers by their places.
package spill

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"io"
	"iter"
	"slices"

	"criticrm/safefile"
)

// Form says how values are ordered, and how one is written in Size bytes.
type Form[T any] struct {
	Size    int
	Put     func(b []byte, v T)
	Get     func(b []byte) T
	Compare func(v, w T) int
}

// Sorter sorts values in memory, and beyond a bound in sorted runs on disk, which are merged when they are read. Close must be called.
type Sorter[T any] struct {
	form Form[T]
	what string // it holds, for errors
	most int    // values in memory
	list []T
	file *safefile.Scratch
	runs []int64 // where they end in the file
}

// NewSorter makes an empty one that keeps most values in memory; what it holds is for errors.
func NewSorter[T any](form Form[T], most int, what string) *Sorter[T] {
	return &Sorter[T]{form: form, what: what, most: most}
}

// Add adds a value.
func (s *Sorter[T]) Add(v T) error {
	if len(s.list) == s.most {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.list = append(s.list, v)
	return nil
}

// spill writes what is in memory as a run.
func (s *Sorter[T]) spill() (err error) {
	if s.file == nil {
		if s.file, err = safefile.NewScratch(s.what); err != nil {
			return err
		}
	}
	slices.SortFunc(s.list, s.form.Compare)
	b := make([]byte, s.form.Size)
	for _, v := range s.list {
		s.form.Put(b, v)
		if _, err := s.file.Write(b); err != nil {
			return err
		}
	}
	s.runs, s.list = append(s.runs, s.file.Size()), s.list[:0]
	return nil
}

// End ends the adding.
func (s *Sorter[T]) End() error {
	if s.file == nil {
		slices.SortFunc(s.list, s.form.Compare)
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.list = nil
	return s.file.Flush()
}

// Close frees memory and disk.
func (s *Sorter[T]) Close() error {
	s.list = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file, s.runs = nil, nil
	return err
}

// merged is how many bytes of all runs are read ahead, and leastRead the least of one.
const (
	merged    = 8 << 20
	leastRead = 4 << 10
)

// run is one that is being read.
type run[T any] struct {
	in   *bufio.Reader
	b    []byte
	head T
}

// next reads the next one; io.EOF: there is none.
func (r *run[T]) next(form *Form[T]) error {
	if _, err := io.ReadFull(r.in, r.b); err != nil {
		return err
	}
	r.head = form.Get(r.b)
	return nil
}

// merge is a heap of runs, the least in front.
type merge[T any] struct {
	form *Form[T]
	runs []*run[T]
}

func (m *merge[T]) Len() int           { return len(m.runs) }
func (m *merge[T]) Less(i, j int) bool { return m.form.Compare(m.runs[i].head, m.runs[j].head) < 0 }
func (m *merge[T]) Swap(i, j int)      { m.runs[i], m.runs[j] = m.runs[j], m.runs[i] }
func (m *merge[T]) Push(x any)         { m.runs = append(m.runs, x.(*run[T])) }
func (m *merge[T]) Pop() any {
	last := len(m.runs) - 1
	r := m.runs[last]
	m.runs = m.runs[:last]
	return r
}

// Sorted gives all in order, after End, and again if it is called again.
func (s *Sorter[T]) Sorted() iter.Seq2[T, error] {
	if s.file == nil {
		return func(yield func(T, error) bool) {
			for _, v := range s.list {
				if !yield(v, nil) {
					return
				}
			}
		}
	}
	return func(yield func(T, error) bool) {
		var none T
		m := &merge[T]{form: &s.form}
		from := int64(0)
		for _, to := range s.runs {
			if from == to {
				continue
			}
			r := &run[T]{in: bufio.NewReaderSize(io.NewSectionReader(s.file, from, to-from), max(leastRead, merged/len(s.runs))), b: make([]byte, s.form.Size)}
			if err := r.next(m.form); err != nil {
				yield(none, err)
				return
			}
			m.runs, from = append(m.runs, r), to
		}
		heap.Init(m)
		for len(m.runs) > 0 {
			if !yield(m.runs[0].head, nil) {
				return
			}
			switch err := m.runs[0].next(m.form); {
			case err == nil:
				heap.Fix(m, 0)
			case err == io.EOF:
				heap.Pop(m)
			default:
				yield(none, err)
				return
			}
		}
	}
}

// Put writes words, 8 bytes each: for a Form.
func Put(b []byte, words ...uint64) {
	for i, v := range words {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
}

// Word is number i of what Put has written.
func Word(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
