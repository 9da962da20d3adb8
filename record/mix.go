package record

// Several files as one input: one behind the other, or mixed by weights.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	"criticrm/safefile"
)

// mix says whose turn it is.
type mix struct {
	parts  []*part
	groups []*group
}

// group is what has a weight: files behind each other. Without weights there is one group.
type group struct {
	name   string
	weight float64
	share  uint64 // the weight as a whole number, in the ratio of the others
	parts  []*part
	at     int // of parts
	given  int // records
}

func newMix(r *Reader, files []File) (m mix) {
	for i, f := range files {
		p := &part{r: r, file: f, name: f.Name()}
		if len(files) > 1 {
			p.number = i + 1
		}
		if len(m.groups) == 0 || f.Weight > 0 && f.group != files[i-1].group {
			m.groups = append(m.groups, &group{name: f.item, weight: f.Weight})
		}
		g := m.groups[len(m.groups)-1]
		g.parts, m.parts = append(g.parts, p), append(m.parts, p)
	}
	if len(m.groups) > 1 {
		m.shares()
	}
	return m
}

// shares are the weights as whole numbers, so that 0.7 and 0.3 mix as 7 and 3 do: to the record.
func (m *mix) shares() {
	exact, all := make([]*big.Rat, len(m.groups)), big.NewInt(1)
	most := 0.0
	for i, g := range m.groups {
		exact[i], _ = new(big.Rat).SetString(strconv.FormatFloat(g.weight, 'g', -1, 64)) // its decimals
		d := exact[i].Denom()
		all.Mul(all, new(big.Int).Div(d, new(big.Int).GCD(nil, nil, all, d)))
		most = max(most, g.weight)
	}
	whole := make([]*big.Int, len(m.groups))
	common := new(big.Int)
	for i, x := range exact {
		x.Mul(x, new(big.Rat).SetInt(all))
		whole[i] = x.Num()
		common.GCD(nil, nil, common, whole[i])
	}
	const digits = 40
	large := false
	for _, w := range whole {
		large = large || w.Div(w, common).BitLen() > digits
	}
	for i, g := range m.groups {
		if g.share = whole[i].Uint64(); large {
			g.share = uint64(max(1, math.Round(g.weight/most*(1<<digits))))
		}
	}
}

// behind says whether a is further behind its share than b.
func behind(a, b *group) bool {
	x1, x0 := bits.Mul64(uint64(a.given+1), b.share)
	y1, y0 := bits.Mul64(uint64(b.given+1), a.share)
	return x1 < y1 || x1 == y1 && x0 < y0
}

// turn is the file whose row is next: of the group that is the furthest behind its weight, the first of equals. Where that has no more rows,
// all ends.
func (m *mix) turn() (*part, error) {
	next := m.groups[0]
	for _, g := range m.groups[1:] {
		if behind(g, next) {
			next = g
		}
	}
	for ; next.at < len(next.parts); next.at++ {
		if p := next.parts[next.at]; !p.ended {
			return p, nil
		}
	}
	return nil, m.end(next)
}

// gave counts the records of a row.
func (m *mix) gave(p *part, records int) {
	p.given += records
	for _, g := range m.groups {
		if g.at < len(g.parts) && g.parts[g.at] == p {
			g.given += records
		}
	}
}

// end says what the files gave and what was not reached. The group that is exhausted ended it.
func (m *mix) end(exhausted *group) error {
	r := m.parts[0].r
	if len(m.groups) > 1 && exhausted.given == 0 {
		return &RowError{File: exhausted.name, At: -1, Msg: "no examples, so that nothing can be mixed with it"}
	}
	for _, g := range m.groups {
		if g == exhausted {
			continue
		}
		n, more := g.left()
		if n+len(more) > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("%s: %d%s rows are not reached, because %s has no more (weights %v and %v)", g.name, n, more, exhausted.name, g.weight, exhausted.weight))
		}
	}
	if len(m.parts) > 1 {
		r.Notes = append(r.Notes, m.String())
	}
	return io.EOF
}

// left counts the rows of a group that were not reached; more is said where one of them cannot be read.
func (g *group) left() (n int, more string) {
	for _, p := range g.parts[g.at:] {
		for {
			_, err := p.next()
			var bad badRow
			if err == io.EOF {
				break
			}
			if err != nil && !errors.As(err, &bad) {
				return n, " or more"
			}
			n++
		}
	}
	return n, ""
}

// String says what each file gave.
func (m *mix) String() string {
	const most = 10
	var list []string
	rest := 0
	for i, p := range m.parts {
		if i < most || len(m.parts) == most+1 {
			list = append(list, fmt.Sprintf("%s (%d records)", p.name, p.given))
		} else {
			rest += p.given
		}
	}
	text := fmt.Sprintf("%d files: %s", len(m.parts), strings.Join(list, ", "))
	if n := len(m.parts) - len(list); n > 0 {
		text += fmt.Sprintf(" and %d more (%d records)", n, rest)
	}
	return text
}

// FileSum says which bytes a file holds.
type FileSum struct {
	Name   string // its path, or what stands for it in errors
	SHA256 string // of the stored bytes, before they are unpacked, in hexadecimal
	Bytes  int64  // their number
}

// Sums reads what is left of the files and says what they hold. It is what Next has read, also if a file was replaced meanwhile.
func (r *Reader) Sums() ([]FileSum, error) {
	var list []FileSum
	for _, p := range r.mix.parts {
		if err := p.finish(); err != nil {
			return nil, err
		}
		list = append(list, FileSum{Name: p.name, SHA256: p.sum, Bytes: p.read.Load()})
	}
	return list, nil
}

// Sum is Sums as one: the hash of the only file, or one of all hashes in their order, with the weights; names do not count.
func (r *Reader) Sum() (sha string, bytes int64, err error) {
	list, err := r.Sums()
	if err != nil {
		return "", 0, err
	}
	files := make([]File, len(list))
	for i, p := range r.mix.parts {
		files[i] = p.file
	}
	sha, bytes = together(files, list)
	return sha, bytes, nil
}

// Sum is what Reader.Sum gives of an input, without looking at its rows. An input that can be read once only is an error.
func Sum(input string) (sha string, bytes int64, err error) {
	files, err := Files(input)
	if err != nil {
		return "", 0, err
	}
	var list []FileSum
	for _, f := range files {
		if f.Stream {
			return "", 0, once(f)
		}
		s := FileSum{Name: f.Path}
		in, err := safefile.Open(f.Path)
		if err != nil {
			return "", 0, err
		}
		h := sha256.New()
		s.Bytes, err = io.Copy(h, in)
		in.Close()
		if err != nil {
			return "", 0, fmt.Errorf("%s: %w", f.Path, err)
		}
		s.SHA256 = hex.EncodeToString(h.Sum(nil))
		list = append(list, s)
	}
	sha, bytes = together(files, list)
	return sha, bytes, nil
}

func together(files []File, list []FileSum) (sha string, bytes int64) {
	if len(list) == 1 {
		return list[0].SHA256, list[0].Bytes
	}
	h := sha256.New()
	for i, s := range list {
		io.WriteString(h, s.SHA256+" "+strconv.FormatFloat(files[i].Weight, 'g', -1, 64)+"\n")
		bytes += s.Bytes
	}
	return hex.EncodeToString(h.Sum(nil)), bytes
}
