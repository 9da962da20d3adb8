package corpus

// Prompts of several files, and which of them are alike.

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"criticrm/internal/spill"
	"criticrm/safefile"
)

// sketch is what a prompt is added to an Index by. It is made of the text alone, so several are made at a time.
type sketch struct {
	Normal      string        `json:"normal"`
	Fingerprint uint64        `json:"fingerprint"`
	Signature   [bands]uint32 `json:"signature"`
}

func (s *sketcher) sketch(text string) sketch {
	normal := Normal(text)
	return sketch{Normal: normal, Fingerprint: fingerprint(normal), Signature: s.signature(s.hashes(nil, normal))}
}

// Index holds the prompts of files, in the order in which they came. Its memory does not grow with them: beyond some MiB they lie in temporary
// files, and so do their texts. Close must be called.
type Index struct {
	store
	sketcher *sketcher
	byText   map[uint64]int32 // prompts by fingerprint, emptied when it is full
	forgot   bool             // it was: a prompt that comes again then has another number
	parts    []string         // files of inputs of several, the first is none

	same    *spill.Array // of a prompt that has come before: how much less the number is that it had
	parents *spill.Array // of prompts that are alike: likewise of one before in the group; link makes them
	pairs   []Alike
	found   int // of pairs: the list is bounded
	over    int // comparisons that were left out

	common map[[2]int]Shared // by files, the first before the second
	again  []int             // of each file: prompts that nearly repeat one before

	list    []Benchmark
	table   map[uint64][]uint8 // of list
	matches []Match
	matched map[[2]uint64]bool // benchmark and fingerprint
}

// Alike is a pair of near duplicates.
type Alike struct {
	First, Second Place
	Jaccard       float64 `json:"jaccard"`
}

// Place is a row: the number of its file in the Index, its line, and the file where the input is a list of several.
type Place struct {
	File int    `json:"file"`
	Line int    `json:"line"`
	Part string `json:"part,omitempty"`
}

// NewIndex begins an index; the seed chooses the hash functions.
func NewIndex(seed uint64) (*Index, error) { return newIndex(seed, inMemory) }

func newIndex(seed uint64, l limits) (*Index, error) {
	f, err := safefile.NewScratch("the prompts' texts")
	if err != nil {
		return nil, err
	}
	const what = "the groups of prompts that are alike"
	x := &Index{store: store{limits: l, texts: f}, sketcher: newSketcher(seed), byText: map[uint64]int32{}, parts: []string{""},
		same: spill.NewArray(l.numbers, what), parents: spill.NewArray(l.numbers, what), list: Benchmarks().Benchmarks, matched: map[[2]uint64]bool{}}
	x.table, x.matches = benchmarkTable(x.list), make([]Match, len(x.list))
	return x, nil
}

// Close frees the temporary files.
func (x *Index) Close() error { return errors.Join(x.store.close(), x.same.Close(), x.parents.Close()) }

// file begins the next file, whose number it gives.
func (x *Index) file() int {
	x.rows, x.spilled = append(x.rows, nil), append(x.spilled, [2]int64{})
	return len(x.rows) - 1
}

// part is the number of a file; rows of one file follow each other, or those of a few take turns.
func (x *Index) part(name string) int32 {
	for i := len(x.parts) - 1; i >= 0; i-- {
		if x.parts[i] == name {
			return int32(i)
		}
	}
	x.parts = append(x.parts, name)
	return int32(len(x.parts) - 1)
}

// add takes a row's prompt; file is the last one begun, part the file that the row stands in if that is a list of several.
func (x *Index) add(s *sketch, line int, part string) error {
	id, ok := x.byText[s.Fingerprint]
	if !ok {
		if len(x.byText) == x.cached {
			clear(x.byText)
			x.forgot = true
		}
		id = int32(x.count())
		x.byText[s.Fingerprint] = id
		p := prompt{print: s.Fingerprint, file: int32(len(x.rows) - 1), line: int32(line), part: x.part(part)}
		if err := x.put(p, &s.Signature, s.Normal); err != nil {
			return err
		}
	}
	return x.row(id)
}

// prints is a fingerprint of the prompt with this number.
type prints struct {
	print uint64
	id    uint64
}

var printsForm = spill.Form[prints]{
	Size:    16,
	Put:     func(b []byte, p prints) { spill.Put(b, p.print, p.id) },
	Get:     func(b []byte) prints { return prints{spill.Word(b, 0), spill.Word(b, 1)} },
	Compare: func(p, q prints) int { return cmp.Or(cmp.Compare(p.print, q.print), cmp.Compare(p.id, q.id)) },
}

// fold ends the adding, and finds the prompts that have come before while byText had forgotten them.
func (x *Index) fold() error {
	if err := x.flush(); err != nil || !x.forgot {
		return err
	}
	x.byText, x.forgot = nil, false
	sorted := spill.NewSorter(printsForm, x.sorted, "the fingerprints of prompts")
	defer sorted.Close()
	id := uint64(0)
	for print, err := range x.fingerprints() {
		if err == nil {
			err = sorted.Add(prints{print, id})
		}
		if err != nil {
			return err
		}
		id++
	}
	if err := sorted.End(); err != nil {
		return err
	}
	var first prints
	open := false
	for p, err := range sorted.Sorted() {
		if err != nil {
			return err
		}
		if !open || p.print != first.print {
			first, open = p, true
			continue
		}
		x.same.Set(int(p.id), uint32(p.id-first.id))
		x.parents.Set(int(p.id), uint32(p.id-first.id))
	}
	return errors.Join(x.same.Err(), x.parents.Err())
}

// first is the number that a prompt had when it came first.
func (x *Index) first(id int32) int32 { return id - int32(x.same.Get(int(id))) }

// join makes two prompts one group.
func (x *Index) join(a, b int32, j float64) error {
	if len(x.pairs) < maxAlike {
		first, err := x.place(min(a, b))
		if err != nil {
			return err
		}
		second, err := x.place(max(a, b))
		if err != nil {
			return err
		}
		x.pairs = append(x.pairs, Alike{First: first, Second: second, Jaccard: j})
	}
	x.found++
	if a, b = x.root(a), x.root(b); a != b {
		x.parents.Set(int(max(a, b)), uint32(max(a, b)-min(a, b)))
	}
	return x.parents.Err()
}

// place is where a prompt stood first.
func (x *Index) place(id int32) (Place, error) {
	p, err := x.prompt(id)
	return Place{int(p.file), int(p.line), x.parts[p.part]}, err
}

// root is the first prompt of a prompt's group. Errors are kept in parents.
func (x *Index) root(id int32) int32 {
	for x.parents.Err() == nil {
		up := int32(x.parents.Get(int(id)))
		if up == 0 {
			break
		}
		if next := int32(x.parents.Get(int(id - up))); next > 0 {
			up += next
			x.parents.Set(int(id), uint32(up))
		}
		id -= up
	}
	return id
}

// link finds the prompts that are alike, joins them to groups, and counts what files have in common; done gets the share of the work that is
// behind it.
func (x *Index) link(ctx context.Context, done func(share float64)) error {
	if err := x.alike(ctx, done); err != nil {
		return err
	}
	return x.meet()
}

// Shared is what two files have in common.
type Shared struct {
	Prompts int `json:"prompts"` // distinct ones of the second that the first has, too
	Rows    int `json:"rows"`    // of the second, with one of them
	Near    int `json:"near"`    // distinct prompts of the second beside those that are near duplicates of one of the first, or linked to one by others
}

// shared is what two files have in common, repeated how many of a file's distinct prompts nearly repeat an earlier one of the file; after link.
func (x *Index) shared(first, second int) Shared { return x.common[[2]int{first, second}] }
func (x *Index) repeated(file int) int           { return x.again[file] }

// sighting is a row of a file with a prompt of a group.
type sighting struct {
	prompt uint64 // below the number of its group's first
	file   uint64
}

func (s sighting) group() uint64 { return s.prompt >> 32 }

var sightingForm = spill.Form[sighting]{
	Size:    16,
	Put:     func(b []byte, s sighting) { spill.Put(b, s.prompt, s.file) },
	Get:     func(b []byte) sighting { return sighting{spill.Word(b, 0), spill.Word(b, 1)} },
	Compare: func(s, t sighting) int { return cmp.Or(cmp.Compare(s.prompt, t.prompt), cmp.Compare(s.file, t.file)) },
}

// meet counts what files have in common, group by group.
func (x *Index) meet() error {
	x.common, x.again = map[[2]int]Shared{}, make([]int, len(x.rows))
	sorted := spill.NewSorter(sightingForm, x.sorted, "the prompts of rows")
	defer sorted.Close()
	for file := range x.rows {
		for id, err := range x.rowsOf(file) {
			if err == nil {
				err = sorted.Add(sighting{uint64(x.root(id))<<32 | uint64(x.first(id)), uint64(file)})
			}
			if err != nil {
				return err
			}
		}
	}
	if err := errors.Join(x.same.Err(), x.parents.Err(), sorted.End()); err != nil {
		return err
	}
	m := meeting{index: x, both: map[[2]int]int{}}
	var last sighting
	for s, err := range sorted.Sorted() {
		if err != nil {
			return err
		}
		if s.prompt != last.prompt {
			m.endPrompt()
		}
		if s.group() != last.group() {
			m.endGroup()
		}
		last = s
		m.prompt = count(m.prompt, int(s.file))
	}
	m.endPrompt()
	m.endGroup()
	return nil
}

// meeting is a group while its rows are counted.
type meeting struct {
	index         *Index
	prompt, group []counted      // rows of the prompt, and distinct prompts of the group, by file in order
	both          map[[2]int]int // prompts of the group that two files have
}

type counted struct{ file, n int }

// count adds one of a file.
func count(list []counted, file int) []counted {
	i, ok := slices.BinarySearchFunc(list, file, func(c counted, file int) int { return cmp.Compare(c.file, file) })
	if !ok {
		list = slices.Insert(list, i, counted{file: file})
	}
	list[i].n++
	return list
}

func (m *meeting) endPrompt() {
	for i, a := range m.prompt {
		m.group = count(m.group, a.file)
		for _, b := range m.prompt[i+1:] {
			files := [2]int{a.file, b.file}
			s := m.index.common[files]
			s.Prompts, s.Rows = s.Prompts+1, s.Rows+b.n
			m.index.common[files] = s
			m.both[files]++
		}
	}
	m.prompt = m.prompt[:0]
}

func (m *meeting) endGroup() {
	for i, a := range m.group {
		m.index.again[a.file] += a.n - 1
		for _, b := range m.group[i+1:] {
			files := [2]int{a.file, b.file}
			if near := b.n - m.both[files]; near > 0 {
				s := m.index.common[files]
				s.Near += near
				m.index.common[files] = s
			}
		}
	}
	m.group = m.group[:0]
	clear(m.both)
}
