package record

// What is wrong with a set of records as a whole: double ids, double rows, contradictory labels.

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Place is where a record stands.
type Place struct {
	File      string // of several; "": there is one
	Line, Row int    // from 1; the line, or in a file without lines the row (the position, if the record was made by program)
}

func (p Place) String() string {
	switch {
	case p.Line == 0 && p.File == "":
		return fmt.Sprintf("row %d", p.Row)
	case p.Line == 0:
		return fmt.Sprintf("%s: row %d", p.File, p.Row)
	case p.File == "":
		return fmt.Sprintf("line %d", p.Line)
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// mark is a Place in less memory: the file by its number.
type mark struct{ file, line, row int32 }

// Issue is one finding about two records.
type Issue struct {
	Kind        string // "duplicate id", "duplicate row", "contradiction"
	ID          string // of the later record
	At, Earlier Place  // of the later and the earlier record
}

func (i Issue) String() string {
	what := i.Kind
	if i.Kind == "contradiction" {
		what = "contradictory labels: same prompt, sides swapped"
	}
	return fmt.Sprintf("%v (id %.40q): %s, see %v", i.At, i.ID, what, i.Earlier)
}

// Checker collects issues record by record; its memory is some 100 bytes a record, whatever its texts.
type Checker struct {
	Issues []Issue // the first maxIssues
	Counts map[string]int

	ids   map[[16]byte]mark
	rows  map[[16]byte]mark
	files []string // by their numbers, from 1
	n     int

	swapped [][16]byte // what the distinct pairs would be the other way round
}

// maxIssues bounds the list; Counts goes on.
const maxIssues = 100

// NewChecker starts an empty check.
func NewChecker() *Checker {
	return &Checker{Counts: map[string]int{}, ids: map[[16]byte]mark{}, rows: map[[16]byte]mark{}}
}

// Add looks at one record.
func (c *Checker) Add(r *Record) {
	c.n++
	here := mark{line: int32(r.Line), row: int32(r.Row)}
	if r.Line == 0 && r.Row == 0 {
		here.line = int32(c.n)
	}
	if r.part > 0 {
		here.file = int32(r.part)
		for len(c.files) < r.part {
			c.files = append(c.files, "")
		}
		c.files[r.part-1] = r.File
	}
	note := func(kind string, earlier mark) {
		c.Counts[kind]++
		if len(c.Issues) < maxIssues {
			c.Issues = append(c.Issues, Issue{Kind: kind, ID: r.ID, At: c.place(here), Earlier: c.place(earlier)})
		}
	}
	id := rowKey(r.ID)
	if earlier, ok := c.ids[id]; ok {
		note("duplicate id", earlier)
	} else {
		c.ids[id] = here
	}
	first, second := r.Chosen, r.Rejected
	switch {
	case r.Document != nil:
		first = r.Document.key()
	case !r.Paired():
		first = *r.Response
	}
	if r.Benchmark != nil && r.Benchmark.Answers > 0 { // answers of one row may be equal
		second = fmt.Sprint("answer ", r.Benchmark.Answer)
	}
	key := rowKey(r.Prompt.Key(), first, second)
	if earlier, ok := c.rows[key]; ok {
		note("duplicate row", earlier)
		return
	}
	c.rows[key] = here
	if r.Paired() {
		swapped := rowKey(r.Prompt.Key(), second, first)
		c.swapped = append(c.swapped, swapped)
		if earlier, ok := c.rows[swapped]; ok {
			note("contradiction", earlier)
		}
	}
}

func (c *Checker) place(s mark) Place {
	p := Place{Line: int(s.line), Row: int(s.row)}
	if s.file > 0 {
		p.File = c.files[s.file-1]
	}
	return p
}

// Contradictions counts the pairs that another set has the other way round.
func (c *Checker) Contradictions(with *Checker) (n int) {
	for _, swapped := range with.swapped {
		if _, ok := c.rows[swapped]; ok {
			n++
		}
	}
	return n
}

func rowKey(parts ...string) (key [16]byte) {
	h := sha256.New()
	var length [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		io.WriteString(h, p)
	}
	copy(key[:], h.Sum(nil))
	return key
}

// Counts lists how many there are of each reason as "12 × reason", sorted by reason.
func Counts(m map[string]int) string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%d × %s", m[k], k))
	}
	return strings.Join(parts, ", ")
}
