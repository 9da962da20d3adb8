package record

// What a Checker keeps of records: keys in order, and a journal of where they stand. Both lie in temporary files once they are many.

import (
	"cmp"
	"encoding/binary"
	"io"
	"iter"

	"criticrm/internal/spill"
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
	isRow      = 1 << iota
	isPair     // a row of two responses
	isSwapped  // whose key has its texts the other way round
	isEven     // whose texts are equal
	isLabelled // a response that is called right, or, with isSwapped, wrong
	kindBits   = iota
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

// firsts are where the two rows of a key stand first in the journal, -1 for nowhere, and whether they are labelled responses.
type firsts struct {
	at       [2]int64
	labelled [2]bool
}

var nowhere = firsts{at: [2]int64{-1, -1}}

// sightings are sorted, beyond a bound in a temporary file.
type sightings struct{ *spill.Sorter[sighting] }

var sightingForm = spill.Form[sighting]{
	Size: sightingSize,
	Put:  func(b []byte, s sighting) { spill.Put(b, s.key[0], s.key[1], s.what) },
	Get: func(b []byte) sighting {
		return sighting{rowHash{spill.Word(b, 0), spill.Word(b, 1)}, spill.Word(b, 2)}
	},
	Compare: sighting.compare,
}

func newSightings(most int) sightings {
	return sightings{spill.NewSorter(sightingForm, most, "the hashes of rows, to find the ones that stand there twice")}
}

func (l sightings) add(key rowHash, at int64, kind int) error {
	return l.Add(sighting{key, uint64(at)<<kindBits | uint64(kind)})
}

// texts are the rows of a key: which of both ways there are, and which of them are judged where they stand first, as pairs and labelled
// responses are.
type texts struct {
	key    rowHash
	has    [2]bool
	judged [2]bool
	even   bool
}

func (t *texts) other(way int) int {
	if t.even {
		return way
	}
	return 1 - way
}

// rows gives the keys of rows in order.
func (l sightings) rows() iter.Seq2[texts, error] {
	return func(yield func(texts, error) bool) {
		var t texts
		open := false
		for s, err := range l.Sorted() {
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
				t.has[way], t.judged[way] = true, s.kind()&(isPair|isLabelled) != 0
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
