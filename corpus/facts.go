package corpus

// The facts of one file.

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"criticrm/internal/spill"
	"criticrm/measure"
	"criticrm/record"
)

// File are the facts of a file of rows.
type File struct {
	Name       string            `json:"name"`
	SHA256     string            `json:"sha256"`
	Bytes      int64             `json:"bytes"`
	Schema     string            `json:"schema"`
	Rows       int               `json:"rows"` // records, of good rows
	Kinds      map[string]int    `json:"kinds"`
	BadRows    int               `json:"bad_rows,omitempty"`
	Bad        []string          `json:"bad,omitempty"` // the first of them
	Reasons    map[string]int    `json:"bad_reasons,omitempty"`
	Aside      map[string]int    `json:"set_aside,omitempty"`
	Prompts    int               `json:"prompts"` // distinct ones
	Categories map[string]int    `json:"categories"`
	Characters map[string]Spread `json:"characters"` // by the names of Texts
	TextBytes  map[string]Spread `json:"text_bytes"` // likewise
	Tokens     map[string]Spread `json:"tokens,omitempty"`
	Longer     float64           `json:"chosen_longer"` // share of the pairs, one half for equal lengths in characters
	Bias       *measure.Estimate `json:"length_bias,omitempty"`
	Over       int               `json:"over_max_length,omitempty"`
	Unrendered int               `json:"unrendered,omitempty"` // records that the chat template refuses
	Duplicates map[string]int    `json:"duplicates"`
	Repeated   int               `json:"near_duplicates,omitempty"` // distinct prompts that nearly repeat an earlier one of the file
	Issues     []string          `json:"issues,omitempty"`          // the first duplicates and contradictions
	Labels     map[string]int    `json:"labels,omitempty"`          // of single responses
	First      map[string]int    `json:"first,omitempty"`           // of pairs that say which response was shown first: chosen, rejected
	Notes      []string          `json:"notes,omitempty"`
	Critiques  int               `json:"with_critiques,omitempty"` // records that bring critiques

	Found   record.Found `json:"-"`
	Unsound []error      `json:"-"` // the file is not what its stage has left, or not finished

	o       Options
	check   *record.Checker
	asked   *spill.Sorter[asking] // of each row
	lengths [3]map[string]*Lengths
	groups  []string          // categories by their numbers
	numbers map[string]uint64 // of categories
}

// Texts name the texts of a record in File's maps: what is asked, and what is answered; a document has its text only.
func Texts() []string { return []string{"prompt", "chosen", "rejected", "response", "document"} }

// Whole names the tokens of a record's longest conversation, as the model reads it.
const Whole = "whole"

// Units of lengths.
const (
	inCharacters = iota
	inBytes
	inTokens
)

const (
	maxListed     = 20   // issues and bad rows of a File
	maxCategories = 1000 // that are told apart, and reasons
	otherwise     = "…"  // the rest
)

func newFile(name string, o Options) *File {
	f := &File{Name: name, Kinds: map[string]int{}, Categories: map[string]int{}, Characters: map[string]Spread{}, TextBytes: map[string]Spread{},
		Tokens: map[string]Spread{}, o: o, check: record.NewChecker(), numbers: map[string]uint64{}}
	f.asked = newAsked(o.memory().sorted)
	for i := range f.lengths {
		f.lengths[i] = map[string]*Lengths{}
	}
	return f
}

// text is one text of a record with its lengths.
type text struct {
	Name    string `json:"name"`
	Lengths [3]int `json:"lengths"`
}

// measured is what of a record needs no other record: several are measured at a time.
type measured struct {
	Seen      record.Seen `json:"seen"`
	Group     string      `json:"group,omitempty"`
	Kind      string      `json:"kind"`
	Critiques bool        `json:"critiques,omitempty"`
	Correct   *bool       `json:"correct,omitempty"`
	First     string      `json:"first,omitempty"` // of a pair: the response that was shown first
	Texts     []text      `json:"texts"`
	Whole     int         `json:"whole,omitempty"`
	Fault     string      `json:"fault,omitempty"` // of the chat template
	Sketch    *sketch     `json:"sketch,omitempty"`
	Last      uint64      `json:"last,omitempty"` // fingerprint of the last turn; 0: there is none
	Key       [2]uint64   `json:"key"`

	line []byte // of a journal
}

// The kinds of records, by which they are counted.
const (
	pairKind     = "pairs"
	responseKind = "responses"
	documentKind = "documents"
)

// measure is the slow part of adding a record of a file with this name.
func (o *Options) measure(rec *record.Record, file string) (m measured) {
	m.Seen, m.Group, m.Correct = record.See(rec), rec.Group(), rec.Correct
	m.Critiques = len(rec.ChosenCritiques)+len(rec.RejectedCritiques)+len(rec.Critiques) > 0
	switch {
	case rec.Document != nil:
		m.Kind = documentKind
	case rec.Paired():
		m.Kind = pairKind
	default:
		m.Kind = responseKind
	}
	if rec.ShownFirst != nil {
		m.First = rec.ShownFirst.String()
	}
	add := func(name, s string) {
		t := text{Name: name, Lengths: [3]int{inCharacters: utf8.RuneCountInString(s), inBytes: len(s)}}
		if o.Tokens.Text != nil {
			t.Lengths[inTokens] = o.Tokens.Text(s)
		}
		m.Texts = append(m.Texts, t)
	}
	if d := rec.Document; d != nil {
		switch {
		case d.IDs != nil:
			m.Texts = append(m.Texts, text{Name: "document", Lengths: [3]int{inTokens: len(d.IDs)}})
		case d.Messages != nil:
			add("document", record.Prompt{Messages: d.Messages}.String())
		default:
			add("document", d.Text)
		}
	} else {
		add("prompt", rec.Prompt.String())
		for _, side := range rec.Sides() {
			add(side.String(), rec.Text(side))
		}
		sum := sha256.Sum256([]byte(rec.Prompt.Key()))
		m.Key = [2]uint64{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
	}
	if o.Tokens.Whole != nil && (rec.Document == nil || rec.Document.Messages != nil) {
		var fault error
		if m.Whole, fault = o.Tokens.Whole(rec); fault != nil {
			m.Fault = record.InFile(fault, file).Error()
		}
	}
	if o.Index != nil {
		m.Sketch = new(o.Index.sketcher.sketch(asked(rec)))
		if last := lastTurn(rec.Prompt); last != "" {
			m.Last = Fingerprint(last)
		}
	}
	return m
}

// add takes a measured record.
func (f *File) add(m *measured) error {
	if err := f.check.AddSeen(&m.Seen); err != nil {
		return err
	}
	f.Rows++
	category := m.Group
	if _, ok := f.Categories[category]; !ok && len(f.Categories) >= maxCategories {
		category = otherwise
	}
	group, ok := f.numbers[category]
	if !ok {
		category = strings.Clone(category)
		group = uint64(len(f.groups))
		f.numbers[category], f.groups = group, append(f.groups, category)
	}
	f.Categories[category]++
	for _, t := range m.Texts {
		for unit, n := range t.Lengths {
			if unit == inTokens && f.o.Tokens.Text == nil && t.Lengths[inCharacters] > 0 {
				continue
			}
			f.length(unit, t.Name, n)
		}
	}
	switch {
	case m.Fault != "":
		if f.Unrendered++; f.Unrendered <= maxListed {
			f.Issues = append(f.Issues, m.Fault)
		}
	case m.Whole > 0:
		f.length(inTokens, Whole, m.Whole)
		if f.o.MaxLength > 0 && m.Whole > f.o.MaxLength {
			f.Over++
		}
	}
	if m.Sketch != nil {
		if err := f.o.Index.add(m.Sketch, cmp.Or(m.Seen.Row, m.Seen.Line), m.Seen.File); err != nil {
			return err
		}
		f.o.Index.match(m, f.Name)
	}
	f.Kinds[m.Kind]++
	if m.Kind == documentKind {
		return nil
	}
	if m.Critiques {
		f.Critiques++
	}
	what := uint64(f.Rows) << pairBits
	if m.Kind == pairKind {
		what |= group<<(1+winsBits) | f.pair(m)<<1 | isPair
	} else {
		f.label(m.Correct)
	}
	return f.asked.Add(asking{m.Key, what})
}

func (f *File) length(unit int, name string, n int) {
	l := f.lengths[unit][name]
	if l == nil {
		l = &Lengths{}
		f.lengths[unit][name] = l
	}
	l.Add(n)
}

// pair takes note of which response is longer, and which was shown first.
func (f *File) pair(m *measured) (wins uint64) {
	a, b := m.Texts[1].Lengths[inCharacters], m.Texts[2].Lengths[inCharacters]
	wins = 1
	if a > b {
		wins = 2
	} else if a < b {
		wins = 0
	}
	f.Longer += float64(wins) / 2
	if m.First != "" {
		if f.First == nil {
			f.First = map[string]int{}
		}
		f.First[m.First]++
	}
	return wins
}

func (f *File) label(correct *bool) {
	if f.Labels == nil {
		f.Labels = map[string]int{}
	}
	switch {
	case correct == nil:
		f.Labels["none"]++
	case *correct:
		f.Labels["correct"]++
	default:
		f.Labels["incorrect"]++
	}
}

// bad takes note of bad rows.
func (f *File) bad(rows []error) {
	for _, err := range rows {
		f.BadRows++
		if len(f.Bad) < maxListed {
			f.Bad = append(f.Bad, err.Error())
		}
		reason, _ := record.Reason(err)
		if f.Reasons == nil {
			f.Reasons = map[string]int{}
		}
		if _, ok := f.Reasons[reason]; !ok && len(f.Reasons) >= maxCategories {
			reason = otherwise
		}
		f.Reasons[reason]++
	}
}

// finish makes the facts that need all records.
func (f *File) finish(in *record.Reader) (err error) {
	f.bad(in.Bad)
	if err := f.check.Finish(); err != nil {
		return err
	}
	f.Found, f.Schema, f.Notes, f.Aside = in.Found, in.Layouts(), in.Lines(), in.Aside
	if err := f.asked.End(); err != nil {
		return err
	}
	f.Duplicates = f.check.Counts
	for _, err := range f.eachPrompt() {
		if err != nil {
			return err
		}
		f.Prompts++
	}
	for unit, to := range []map[string]Spread{f.Characters, f.TextBytes, f.Tokens} {
		for name, l := range f.lengths[unit] {
			to[name] = l.Spread()
		}
	}
	if n := f.Kinds[pairKind]; n > 0 {
		f.Longer = math.Round(1e4*f.Longer/float64(n)) / 1e4
		if f.o.Draws > 0 {
			if err := f.bias(); err != nil {
				return err
			}
		}
	}
	for _, issue := range f.check.Issues[:min(len(f.check.Issues), maxListed)] {
		f.Issues = append(f.Issues, issue.String())
	}
	f.SHA256, f.Bytes, err = in.Sum()
	return err
}

// Histogram are the lengths of a text: of what (Texts, or "whole" in tokens), in "characters", "bytes" or "tokens".
func (f *File) Histogram(name, unit string) []Bin {
	i := slices.Index([]string{"characters", "bytes", "tokens"}, unit)
	if i < 0 {
		panic("corpus: Histogram: want characters, bytes or tokens")
	}
	if l := f.lengths[i][name]; l != nil {
		return l.Bins()
	}
	return nil
}

// Overlap are the prompts that two files have, by their whole conversations.
type Overlap struct {
	Prompts int `json:"prompts"`
	Rows    int `json:"rows"`              // of the second file with one of them
	Swapped int `json:"swapped,omitempty"` // pairs of the second file that the first has the other way round, and responses with the other label
}

// Close frees the temporary files that Overlaps needs; the facts stay.
func (f *File) Close() error { return errors.Join(f.check.Close(), f.asked.Close()) }

// Head says in a line what a file holds.
func (f *File) Head() string {
	head := fmt.Sprintf("%s: %s", f.Name, Kinds(f.Kinds))
	if f.Prompts > 0 {
		head += fmt.Sprintf(" of %d prompts", f.Prompts)
	}
	if len(f.Categories) > 6 {
		return fmt.Sprintf("%s, %d categories", head, len(f.Categories))
	}
	return head + ", " + record.Counts(f.Categories)
}

// Kinds lists the records of a file by kind: "3 pairs".
func Kinds(kinds map[string]int) string {
	var parts []string
	for _, kind := range []string{pairKind, responseKind, documentKind} {
		if n := kinds[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(parts, ", ")
}
