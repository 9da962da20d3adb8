package corpus

// Prompts of several files, and which of them are alike.

import (
	"cmp"
	"context"
	"io"
	"slices"

	"criticrm/safefile"
)

// sketch is what a prompt is added to an Index by. It is made of the text alone, so several are made at a time.
type sketch struct {
	normal      string
	fingerprint uint64
	signature   [bands]uint32
}

func (s *sketcher) sketch(text string) sketch {
	normal := Normal(text)
	return sketch{normal: normal, fingerprint: fingerprint(normal), signature: s.signature(s.hashes(nil, normal))}
}

// prompt is a distinct one of an Index.
type prompt struct {
	at     int64 // of its normal text in the spill
	length int32
	file   int32 // where it stood first
	line   int32
	part   int32 // of Index.parts: which file of an input of several
}

// Index holds the distinct prompts of files, in the order in which they came. Its memory is about 140 bytes each, their texts lie in a
// temporary file. Close must be called.
type Index struct {
	sketcher *sketcher
	byText   map[uint64]int32 // by fingerprint
	prompts  []prompt
	bands    [bands][]uint32
	spill    *safefile.Scratch

	parts []string  // files of inputs of several, the first is none
	rows  [][]int32 // prompts of each file's rows
	group []int32   // parents of prompts that are alike: Link makes them
	pairs []Alike
	found int // of pairs: the list is bounded
	over  int // comparisons that were left out

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
func NewIndex(seed uint64) (*Index, error) {
	f, err := safefile.NewScratch("the prompts' texts")
	if err != nil {
		return nil, err
	}
	x := &Index{sketcher: newSketcher(seed), byText: map[uint64]int32{}, parts: []string{""}, spill: f, list: Benchmarks().Benchmarks, matched: map[[2]uint64]bool{}}
	x.table, x.matches = benchmarkTable(x.list), make([]Match, len(x.list))
	return x, nil
}

// Close frees the temporary file.
func (x *Index) Close() error { return x.spill.Close() }

// file begins the next file, whose number it gives.
func (x *Index) file() int {
	x.rows = append(x.rows, nil)
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
	file := len(x.rows) - 1
	id, ok := x.byText[s.fingerprint]
	if !ok {
		id = int32(len(x.prompts))
		x.byText[s.fingerprint] = id
		x.prompts = append(x.prompts, prompt{at: x.spill.Size(), length: int32(len(s.normal)), file: int32(file), line: int32(line), part: x.part(part)})
		for i, h := range s.signature {
			x.bands[i] = append(x.bands[i], h)
		}
		if _, err := io.WriteString(x.spill, s.normal); err != nil {
			return err
		}
	}
	x.rows[file] = append(x.rows[file], id)
	return nil
}

// text reads a prompt's normal text.
func (x *Index) text(id int32) (string, error) {
	p := x.prompts[id]
	b := make([]byte, p.length)
	if _, err := x.spill.ReadAt(b, p.at); err != nil {
		return "", err
	}
	return string(b), nil
}

const (
	maxCompared = 64 // groups that a prompt is compared with in a bucket
	maxAlike    = 20 // pairs that are listed
)

// link finds the prompts that are alike and joins them to groups. Each prompt is compared with one member of every other group in its buckets, the
// first; done gets the share of the work that is behind it.
func (x *Index) link(ctx context.Context, done func(share float64)) error {
	if err := x.spill.Flush(); err != nil {
		return err
	}
	x.group = make([]int32, len(x.prompts))
	order := make([]int32, len(x.prompts))
	for i := range x.group {
		x.group[i], order[i] = int32(i), int32(i)
	}
	for band := range bands {
		keys := x.bands[band]
		slices.SortFunc(order, func(a, b int32) int { return cmp.Or(cmp.Compare(keys[a], keys[b]), cmp.Compare(a, b)) })
		for from := 0; from < len(order); {
			to := from + 1
			for to < len(order) && keys[order[to]] == keys[order[from]] {
				to++
			}
			if to-from > 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := x.bucket(order[from:to]); err != nil {
					return err
				}
			}
			from = to
		}
		if done != nil {
			done(float64(band+1) / bands)
		}
	}
	return nil
}

// bucket compares prompts that have a band in common, in the order in which they came.
func (x *Index) bucket(ids []int32) error {
	type member struct {
		id  int32
		set []uint64 // nil: not read yet
	}
	set := func(m *member) error {
		if m.set != nil {
			return nil
		}
		text, err := x.text(m.id)
		m.set = x.sketcher.shingles(text)
		return err
	}
	var first []member // of each group in the bucket
	for _, id := range ids {
		own := member{id: id}
		known := false
		for i := range first {
			if x.root(first[i].id) == x.root(id) {
				known = true
				continue
			}
			if i >= maxCompared {
				x.over++
				continue
			}
			if err := set(&own); err != nil {
				return err
			}
			if err := set(&first[i]); err != nil {
				return err
			}
			if j := jaccard(first[i].set, own.set); j >= Near {
				x.join(first[i].id, id, j)
				known = true
			}
		}
		if !known {
			if len(first) >= maxCompared {
				own.set = nil // it will not be compared
			}
			first = append(first, own)
		}
	}
	return nil
}

func (x *Index) join(a, b int32, j float64) {
	if len(x.pairs) < maxAlike {
		place := func(id int32) Place {
			p := x.prompts[id]
			return Place{int(p.file), int(p.line), x.parts[p.part]}
		}
		x.pairs = append(x.pairs, Alike{First: place(min(a, b)), Second: place(max(a, b)), Jaccard: j})
	}
	x.found++
	if a, b = x.root(a), x.root(b); a != b {
		x.group[max(a, b)] = min(a, b)
	}
}

// root is the first prompt of a prompt's group.
func (x *Index) root(id int32) int32 {
	for x.group[id] != id {
		x.group[id] = x.group[x.group[id]]
		id = x.group[id]
	}
	return id
}

// repeated is how many of a file's distinct prompts nearly repeat an earlier one of the file.
func (x *Index) repeated(file int) (n int) {
	seen, groups := map[int32]bool{}, map[int32]bool{}
	for _, id := range x.rows[file] {
		if seen[id] {
			continue
		}
		seen[id] = true
		if root := x.root(id); groups[root] {
			n++
		} else {
			groups[root] = true
		}
	}
	return n
}

// Shared is what two files have in common.
type Shared struct {
	Prompts int `json:"prompts"` // distinct ones of the second that the first has, too
	Rows    int `json:"rows"`    // of the second, with one of them
	Near    int `json:"near"`    // distinct prompts of the second beside those that are near duplicates of one of the first, or linked to one by others
}

// shared compares two files.
func (x *Index) shared(first, second int) (s Shared) {
	has, groups := map[int32]bool{}, map[int32]bool{}
	for _, id := range x.rows[first] {
		has[id], groups[x.root(id)] = true, true
	}
	seen := map[int32]bool{}
	for _, id := range x.rows[second] {
		switch {
		case has[id]:
			s.Rows++
			if !seen[id] {
				s.Prompts++
			}
		case groups[x.root(id)]:
			if !seen[id] {
				s.Near++
			}
		}
		seen[id] = true
	}
	return s
}
