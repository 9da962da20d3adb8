package tokenizer

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// What is a letter, a number or a mark changes from one release of Unicode to the next. The Hugging Face library has tables of several of
// them: 16 for patterns, 9 for normal forms, older for punctuation, newer for digits and capitals. Go's own are of yet another, and of
// a later one with a later Go; so ids come from tables that testdata/golden/unicode.py has asked of the library.

//go:embed unicode.txt
var unicodeText string

// unicodeTables are the tables of unicode.txt.
type unicodeTables struct {
	sets    map[string]*unicode.RangeTable // general categories; and those below
	lowered []loweredRun
	kinds   []kindTables

	punctuation, digits, words, accents, normal *unicode.RangeTable
}

// loweredRun has every step-th character of a range; added makes small ones of them.
type loweredRun struct{ first, last, step, added rune }

var uni = sync.OnceValue(func() *unicodeTables {
	u := &unicodeTables{sets: map[string]*unicode.RangeTable{}}
	for line := range strings.Lines(unicodeText) {
		fields := strings.Fields(line)
		if fields[0] == "lower" {
			for _, f := range fields[1:] {
				var run loweredRun
				if _, err := fmt.Sscanf(f, "%x-%x/%d%d", &run.first, &run.last, &run.step, &run.added); err != nil {
					panic(err) // TestUnicodeTables reads all of it
				}
				u.lowered = append(u.lowered, run)
			}
			continue
		}
		u.sets[fields[0]] = readTable(fields[1:])
	}
	u.punctuation, u.digits, u.words, u.accents, u.normal = u.sets["punctuation"], u.sets["digits"], u.sets["words"], u.sets["accents"], u.sets["normal"]
	u.kinds = u.makeKinds()
	return u
})

// readTable reads ranges that are in order: 41-5a c0-d6 100.
func readTable(ranges []string) *unicode.RangeTable {
	t := &unicode.RangeTable{}
	for _, f := range ranges {
		first, last, ok := strings.Cut(f, "-")
		if !ok {
			last = first
		}
		lo, err := strconv.ParseUint(first, 16, 32)
		hi, err2 := strconv.ParseUint(last, 16, 32)
		if err = errors.Join(err, err2); err != nil {
			panic(err) // TestUnicodeTables reads all of it
		}
		if hi < 1<<16 {
			t.R16 = append(t.R16, unicode.Range16{Lo: uint16(lo), Hi: uint16(hi), Stride: 1})
		} else {
			t.R32 = append(t.R32, unicode.Range32{Lo: uint32(lo), Hi: uint32(hi), Stride: 1})
		}
		if hi <= unicode.MaxLatin1 {
			t.LatinOffset = len(t.R16)
		}
	}
	return t
}

// category gives the tables of \p{name}: of a general category as Lu, or of all that begin with one of the letters L, M, N, P, S and Z; nil
// for any other name.
func (u *unicodeTables) category(name string) (tables []*unicode.RangeTable) {
	for known, t := range u.sets {
		if len(known) == 2 && (known == name || known[:1] == name && name != "C") { // of C not all is there
			tables = append(tables, t)
		}
	}
	return tables
}

// lowerRune is the small form of a character that has one of one character.
func lowerRune(r rune) rune {
	for _, run := range uni().lowered {
		if r < run.first {
			break
		}
		if r <= run.last && (r-run.first)%run.step == 0 {
			return r + run.added
		}
	}
	return r
}

// newer says whether normal forms know a character here and not in the library, where it is as a letter that nothing is composed with.
func newer(r rune) bool {
	if r < 0x300 || unicode.Is(uni().normal, r) {
		return false
	}
	p := norm.NFKD.PropertiesString(string(r))
	return p.CCC() != 0 || p.Decomposition() != nil && (r < hangulBase || r >= hangulEnd) || !norm.NFC.PropertiesString(string(r)).BoundaryBefore()
}

// betweenNewer normalizes what stands between newer characters.
func betweenNewer(s string, form func(string) string) string {
	var out []byte
	from := 0
	for i, r := range s {
		if newer(r) {
			end := i + utf8.RuneLen(r)
			out = append(append(out, form(s[from:i])...), s[i:end]...)
			from = end
		}
	}
	if from == 0 {
		return form(s)
	}
	return string(append(out, form(s[from:])...))
}
