package record

// What is wrong with a set of records as a whole: double ids, double rows, contradictory labels.

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
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

// Issue is one finding about two records.
type Issue struct {
	Kind        string // "duplicate id", "duplicate row", "contradiction", "contradictory label"
	ID          string // of the later record
	At, Earlier Place  // of the later and the earlier record
}

func (i Issue) String() string {
	what := i.Kind
	switch i.Kind {
	case "contradiction":
		what = "contradictory labels: same prompt, sides swapped"
	case otherLabel:
		what += ": same prompt and response, called right once and wrong once"
	}
	return fmt.Sprintf("%v (id %.40q): %s, see %v", i.At, i.ID, what, i.Earlier)
}

// Checker collects issues record by record. Its memory does not grow with them: of each record it keeps a hash of its id, one of its row and where
// it stands, in temporary files once they are many. After the last record Finish finds the issues; Close frees the files.
type Checker struct {
	Issues []Issue // the first maxIssues, in the order of the later records
	Counts map[string]int

	seen  sightings
	log   journal
	files []string // by their numbers, from 1
	n     int
	found []finding
	done  bool
}

const (
	// maxIssues bounds the list; Counts goes on.
	maxIssues = 100
	// What a Checker keeps in memory: keys of records, 24 bytes each and two of a record, and bytes of places and ids.
	checkKeys = 1 << 18
	checkLog  = 4 << 20
)

// NewChecker starts an empty check.
func NewChecker() *Checker { return newChecker(checkKeys, checkLog) }

func newChecker(keys, log int) *Checker {
	return &Checker{Counts: map[string]int{}, seen: newSightings(keys), log: journal{most: log}}
}

// finding is an issue by where its records lie in the journal.
type finding struct {
	at, earlier int64
	kind        string
}

func (f finding) order() int64 {
	if f.kind == "duplicate id" {
		return 2 * f.at
	}
	return 2*f.at + 1
}

// Seen is what a Checker keeps of a record.
type Seen struct {
	ID   string    `json:"id"`
	Line int       `json:"line,omitempty"`
	Row  int       `json:"row,omitempty"`
	Part int       `json:"part,omitempty"` // number of the file, of several
	File string    `json:"file,omitempty"` // its name
	Keys [4]uint64 `json:"keys"`           // the hashes of the id and of the row
	Kind int       `json:"kind"`           // of the row's
}

// See makes it. It is the slow part of adding a record, and needs no other one.
func See(r *Record) Seen {
	s := Seen{ID: r.ID, Line: r.Line, Row: r.Row, Part: r.part, File: r.Part()}
	key, kind := r.rowKey()
	id := rowKey(r.ID)
	s.Keys, s.Kind = [4]uint64{id[0], id[1], key[0], key[1]}, kind
	return s
}

// Place is where the record stands; file names its file unless that is one of several.
func (s *Seen) Place(file string) Place {
	return Place{File: cmp.Or(s.File, file), Line: s.Line, Row: s.Row}
}

// Add takes note of one record. Errors are of the temporary files.
func (c *Checker) Add(r *Record) error {
	s := See(r)
	return c.AddSeen(&s)
}

// AddSeen is Add of what See has made.
func (c *Checker) AddSeen(s *Seen) error {
	if c.done {
		panic("record: Checker.Add after Finish")
	}
	c.n++
	here := mark{file: s.Part, line: s.Line, row: s.Row}
	if s.Line == 0 && s.Row == 0 {
		here.line = c.n
	}
	if s.Part > 0 {
		for len(c.files) < s.Part {
			c.files = append(c.files, "")
		}
		c.files[s.Part-1] = s.File
	}
	at, err := c.log.add(here, s.ID)
	if err != nil {
		return err
	}
	if err := c.seen.add(rowHash(s.Keys[:2]), at, 0); err != nil {
		return err
	}
	return c.seen.add(rowHash(s.Keys[2:]), at, s.Kind)
}

// rowKey is the hash of a record's texts, and what it is of.
func (r *Record) rowKey() (rowHash, int) {
	first, second := r.Chosen, r.Rejected
	switch {
	case r.Document != nil:
		first = r.Document.key()
	case !r.Paired() && r.Benchmark == nil:
		return rowKey(r.Prompt.Key(), *r.Response), labelKind(r.Correct)
	case !r.Paired():
		first = *r.Response
	}
	if r.Benchmark != nil && r.Benchmark.Answers > 0 { // answers of one row may be equal
		second = fmt.Sprint("answer ", r.Benchmark.Answer)
	}
	kind := isRow
	if r.Paired() {
		kind |= isPair
	}
	switch strings.Compare(first, second) {
	case 0:
		kind |= isEven
	case 1: // a pair and the one with its sides swapped have one key
		kind |= isSwapped
		first, second = second, first
	}
	return rowKey(r.Prompt.Key(), first, second), kind
}

// labelKind is what the key of a single response is of: one that is right and one that is wrong are each other's other way.
func labelKind(correct *bool) int {
	switch {
	case correct == nil:
		return isRow
	case *correct:
		return isRow | isLabelled
	}
	return isRow | isLabelled | isSwapped
}

// otherLabel is the kind of an issue of two equal responses.
const otherLabel = "contradictory label"

// Finish finds the issues, after the last record. Errors are of the temporary files.
func (c *Checker) Finish() error {
	c.done = true
	if err := c.log.end(); err != nil {
		return err
	}
	if err := c.seen.End(); err != nil {
		return err
	}
	var last sighting
	id, first := int64(-1), nowhere // where the id, and the rows of the key, stand first
	for s, err := range c.seen.Sorted() {
		if err != nil {
			return err
		}
		if s.key != last.key || s.kind()&isRow != last.kind()&isRow {
			id, first = -1, nowhere
		}
		last = s
		switch {
		case s.kind()&isRow != 0:
			c.row(s, &first)
		case id < 0:
			id = s.at()
		default:
			c.note("duplicate id", s.at(), id)
		}
	}
	c.trim()
	for _, f := range c.found {
		later, name, err := c.log.read(f.at)
		if err != nil {
			return err
		}
		earlier, _, err := c.log.read(f.earlier)
		if err != nil {
			return err
		}
		c.Issues = append(c.Issues, Issue{Kind: f.kind, ID: name, At: c.place(later), Earlier: c.place(earlier)})
	}
	c.found = nil
	return nil
}

// row looks at a record that follows those of the same texts.
func (c *Checker) row(s sighting, first *firsts) {
	way, other := s.way(), s.otherWay()
	if first.at[way] >= 0 {
		c.note("duplicate row", s.at(), first.at[way])
		return
	}
	labelled := s.kind()&isLabelled != 0
	first.at[way], first.labelled[way] = s.at(), labelled
	switch {
	case first.at[other] < 0:
	case first.labelled[other] != labelled: // one of the two has no label
		c.note("duplicate row", s.at(), first.at[other])
	case labelled:
		c.note(otherLabel, s.at(), first.at[other])
	case s.kind()&isPair != 0:
		c.note("contradiction", s.at(), first.at[other])
	}
}

func (c *Checker) note(kind string, at, earlier int64) {
	c.Counts[kind]++
	if c.found = append(c.found, finding{at, earlier, kind}); len(c.found) >= 2*maxIssues {
		c.trim()
	}
}

// trim keeps the first findings; of a record that of its id comes first.
func (c *Checker) trim() {
	slices.SortFunc(c.found, func(a, b finding) int { return cmp.Compare(a.order(), b.order()) })
	c.found = c.found[:min(len(c.found), maxIssues)]
}

func (c *Checker) place(m mark) Place {
	p := Place{Line: m.line, Row: m.row}
	if m.file > 0 {
		p.File = c.files[m.file-1]
	}
	return p
}

// Contradictions counts the pairs that another set has the other way round, and responses with the other label. Both are finished and not closed.
func (c *Checker) Contradictions(with *Checker) (n int, err error) {
	if !c.done || !with.done {
		panic("record: Contradictions of a Checker without Finish")
	}
	mine, stop := iter.Pull2(c.seen.rows())
	defer stop()
	own, err, ok := mine()
	for theirs, fault := range with.seen.rows() {
		if fault != nil {
			return n, fault
		}
		for ok && err == nil && own.key.compare(theirs.key) < 0 {
			own, err, ok = mine()
		}
		if err != nil || !ok {
			return n, err
		}
		if own.key != theirs.key {
			continue
		}
		for way, judged := range theirs.judged {
			if judged && own.judged[theirs.other(way)] {
				n++
			}
		}
	}
	return n, err
}

// Close frees the temporary files; Issues and Counts stay.
func (c *Checker) Close() error {
	return errors.Join(c.seen.Close(), c.log.close())
}

func rowKey(parts ...string) (key rowHash) {
	h := sha256.New()
	var length [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		io.WriteString(h, p)
	}
	sum := h.Sum(nil)
	return rowHash{binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:])}
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
