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

// Issue is one finding about two records.
type Issue struct {
	Kind          string // "duplicate id", "duplicate row", "contradiction"
	ID            string // of the later record
	Line, Earlier int    // lines of the later and the earlier record (positions from 1 if made by program)
}

func (i Issue) String() string {
	what := i.Kind
	if i.Kind == "contradiction" {
		what = "contradictory labels: same prompt, sides swapped"
	}
	return fmt.Sprintf("line %d (id %.40q): %s, see line %d", i.Line, i.ID, what, i.Earlier)
}

// Checker collects issues record by record; its memory is some 100 bytes a record, whatever its texts.
type Checker struct {
	Issues []Issue // the first maxIssues
	Counts map[string]int

	ids  map[[16]byte]int32 // lines
	rows map[[16]byte]int32
	n    int

	swapped [][16]byte // what the distinct pairs would be the other way round
}

// maxIssues bounds the list; Counts goes on.
const maxIssues = 100

// NewChecker starts an empty check.
func NewChecker() *Checker {
	return &Checker{Counts: map[string]int{}, ids: map[[16]byte]int32{}, rows: map[[16]byte]int32{}}
}

// Add looks at one record.
func (c *Checker) Add(r *Record) {
	c.n++
	line := r.Line
	if line == 0 {
		line = c.n
	}
	note := func(kind string, earlier int32) {
		c.Counts[kind]++
		if len(c.Issues) < maxIssues {
			c.Issues = append(c.Issues, Issue{Kind: kind, ID: r.ID, Line: line, Earlier: int(earlier)})
		}
	}
	id := rowKey(r.ID)
	if earlier, ok := c.ids[id]; ok {
		note("duplicate id", earlier)
	} else {
		c.ids[id] = int32(line)
	}
	first, second := r.Chosen, r.Rejected
	switch {
	case r.Document != nil:
		first = r.Document.key()
	case !r.Paired():
		first = r.Response
	}
	if r.Benchmark != nil && r.Benchmark.Answers > 0 { // answers of one row may be equal
		second = fmt.Sprint("answer ", r.Benchmark.Answer)
	}
	key := rowKey(r.Prompt.Key(), first, second)
	if earlier, ok := c.rows[key]; ok {
		note("duplicate row", earlier)
		return
	}
	c.rows[key] = int32(line)
	if r.Paired() {
		swapped := rowKey(r.Prompt.Key(), second, first)
		c.swapped = append(c.swapped, swapped)
		if earlier, ok := c.rows[swapped]; ok {
			note("contradiction", earlier)
		}
	}
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
