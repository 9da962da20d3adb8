package record

// What a Checker keeps of records: keys in order, and a journal of where they stand. Both lie in temporary files once they are many.

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"io"
	"iter"
	"slices"

	"criticrm/safefile"
)

// rowHash is the first half of the sha256 of texts.
type rowHash [2]uint64

func (k rowHash) compare(other rowHash) int {
	return cmp.Or(cmp.Compare(k[0], other[0]), cmp.Compare(k[1], other[1]))
}

// sighting says that a record of the journal has a key: of its id, or of its row.
type sighting struct {
	key  rowHash
	what uint64 // the place in the journal, above kindBits of what the key is of
}

// What a key is of; 0: an id.
const (
	isRow     = 1 << iota
	isPair    // a row of two responses
	isSwapped // whose key has its texts the other way round
	isEven    // whose texts are equal
	kindBits  = iota
)

// sightingSize is a sighting's in a file, bytes.
const sightingSize = 24

func (s sighting) kind() int { return int(s.what & (1<<kindBits - 1)) }
func (s sighting) at() int64 { return int64(s.what >> kindBits) }

// way is which of the two rows of a key it is, otherWay the one with the sides swapped.
func (s sighting) way() int {
	if s.kind()&isSwapped != 0 {
		return 1
	}
	return 0
}

func (s sighting) otherWay() int {
	if s.kind()&isEven != 0 {
		return s.way()
	}
	return 1 - s.way()
}

// compare orders by key, and records of one key as they came.
func (s sighting) compare(t sighting) int {
	return cmp.Or(s.key.compare(t.key), cmp.Compare(s.what&isRow, t.what&isRow), cmp.Compare(s.what, t.what))
}

// firsts are where the two rows of a key stand first in the journal; -1: nowhere.
type firsts [2]int64

var nowhere = firsts{-1, -1}

// sightings are sorted in memory, and beyond most of them in sorted runs on disk, which are merged when they are read.
type sightings struct {
	most int
	list []sighting
	file *safefile.Scratch
	runs []int64 // where they end in the file
}

func (l *sightings) add(key rowHash, at int64, kind int) error {
	if len(l.list) == l.most {
		if err := l.spill(); err != nil {
			return err
		}
	}
	l.list = append(l.list, sighting{key, uint64(at)<<kindBits | uint64(kind)})
	return nil
}

// spill writes what is in memory as a run.
func (l *sightings) spill() (err error) {
	if l.file == nil {
		if l.file, err = safefile.NewScratch("the hashes of rows, to find the ones that stand there twice"); err != nil {
			return err
		}
	}
	slices.SortFunc(l.list, sighting.compare)
	var b [sightingSize]byte
	for _, s := range l.list {
		for i, v := range [...]uint64{s.key[0], s.key[1], s.what} {
			binary.LittleEndian.PutUint64(b[8*i:], v)
		}
		if _, err := l.file.Write(b[:]); err != nil {
			return err
		}
	}
	l.runs, l.list = append(l.runs, l.file.Size()), l.list[:0]
	return nil
}

// end ends the adding.
func (l *sightings) end() error {
	if l.file == nil {
		slices.SortFunc(l.list, sighting.compare)
		return nil
	}
	if err := l.spill(); err != nil {
		return err
	}
	l.list = nil
	return l.file.Flush()
}

func (l *sightings) close() error {
	l.list = nil
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file, l.runs = nil, nil
	return err
}

// merged is how many bytes of all runs are read ahead, and leastRead the least of one.
const (
	merged    = 8 << 20
	leastRead = 4 << 10
)

// run is one that is being read.
type run struct {
	in   *bufio.Reader
	head sighting
}

// next reads the next one; io.EOF: there is none.
func (r *run) next() error {
	var b [sightingSize]byte
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return err
	}
	r.head = sighting{rowHash{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}, binary.LittleEndian.Uint64(b[16:])}
	return nil
}

// merge is a heap of runs, the least in front.
type merge []*run

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return m[i].head.compare(m[j].head) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*run)) }
func (m *merge) Pop() any {
	last := len(*m) - 1
	r := (*m)[last]
	*m = (*m)[:last]
	return r
}

// sorted gives all in order, after end.
func (l *sightings) sorted() iter.Seq2[sighting, error] {
	if l.file == nil {
		return func(yield func(sighting, error) bool) {
			for _, s := range l.list {
				if !yield(s, nil) {
					return
				}
			}
		}
	}
	return func(yield func(sighting, error) bool) {
		var m merge
		from := int64(0)
		for _, to := range l.runs {
			if from == to {
				continue
			}
			r := &run{in: bufio.NewReaderSize(io.NewSectionReader(l.file, from, to-from), max(leastRead, merged/len(l.runs)))}
			if err := r.next(); err != nil {
				yield(sighting{}, err)
				return
			}
			m, from = append(m, r), to
		}
		heap.Init(&m)
		for len(m) > 0 {
			if !yield(m[0].head, nil) {
				return
			}
			switch err := m[0].next(); {
			case err == nil:
				heap.Fix(&m, 0)
			case err == io.EOF:
				heap.Pop(&m)
			default:
				yield(sighting{}, err)
				return
			}
		}
	}
}

// texts are the rows of a key: which of both ways there are, and which of them are pairs where they stand first.
type texts struct {
	key   rowHash
	has   [2]bool
	pairs [2]bool
	even  bool
}

func (t *texts) other(way int) int {
	if t.even {
		return way
	}
	return 1 - way
}

// rows gives the keys of rows in order.
func (l *sightings) rows() iter.Seq2[texts, error] {
	return func(yield func(texts, error) bool) {
		var t texts
		open := false
		for s, err := range l.sorted() {
			if err != nil {
				yield(t, err)
				return
			}
			if s.kind()&isRow == 0 {
				continue
			}
			if open && s.key != t.key {
				if !yield(t, nil) {
					return
				}
				open = false
			}
			if !open {
				t, open = texts{key: s.key, even: s.kind()&isEven != 0}, true
			}
			if way := s.way(); !t.has[way] {
				t.has[way], t.pairs[way] = true, s.kind()&isPair != 0
			}
		}
		if open {
			yield(t, nil)
		}
	}
}

// mark is a Place with the file by its number.
type mark struct{ file, line, row int }

// markSize is a mark's in the journal with the length of the id behind it, bytes.
const markSize = 24

// journal has of each record where it stands, and its id.
type journal struct {
	most int // bytes in memory
	list []byte
	file *safefile.Scratch
}

// add gives the place in the journal.
func (j *journal) add(m mark, id string) (at int64, err error) {
	var b [markSize]byte
	binary.LittleEndian.PutUint64(b[:], uint64(m.line))
	binary.LittleEndian.PutUint64(b[8:], uint64(m.row))
	binary.LittleEndian.PutUint32(b[16:], uint32(m.file))
	binary.LittleEndian.PutUint32(b[20:], uint32(len(id)))
	if j.file == nil {
		at = int64(len(j.list))
		j.list = append(append(j.list, b[:]...), id...)
		if len(j.list) <= j.most {
			return at, nil
		}
		if j.file, err = safefile.NewScratch("where rows stand, to name the ones that stand there twice"); err != nil {
			return 0, err
		}
		_, err = j.file.Write(j.list)
		j.list = nil
		return at, err
	}
	at = j.file.Size()
	if _, err := j.file.Write(b[:]); err != nil {
		return 0, err
	}
	_, err = io.WriteString(j.file, id)
	return at, err
}

// end ends the adding.
func (j *journal) end() error {
	if j.file == nil {
		return nil
	}
	return j.file.Flush()
}

func (j *journal) read(at int64) (m mark, id string, err error) {
	get := func(at int64, n int) ([]byte, error) {
		if j.file == nil {
			return j.list[at : at+int64(n)], nil
		}
		b := make([]byte, n)
		_, err := j.file.ReadAt(b, at)
		return b, err
	}
	b, err := get(at, markSize)
	if err != nil {
		return m, "", err
	}
	m = mark{line: int(binary.LittleEndian.Uint64(b)), row: int(binary.LittleEndian.Uint64(b[8:])), file: int(binary.LittleEndian.Uint32(b[16:]))}
	name, err := get(at+markSize, int(binary.LittleEndian.Uint32(b[20:])))
	if err != nil {
		return m, "", err
	}
	return m, string(name), nil
}

func (j *journal) close() error {
	j.list = nil
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}
