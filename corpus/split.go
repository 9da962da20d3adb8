package corpus

// A file is cut in two, by prompt.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"criticrm/record"
)

// SplitOptions say what is held out.
type SplitOptions struct {
	Share      float64 // of the rows, more than 0 and less than 1
	Seed       uint64
	Near       bool // near duplicates are on one side
	ByCategory bool // the share is that of each category, as far as its prompts allow it
}

// Splits is what Split did.
type Splits struct {
	Train, Eval struct{ Rows, Prompts int }
	Groups      int               // of prompts that are kept together
	Categories  map[string][2]int // rows of each on both sides
	Found       record.Found
	List        string // file with the bad rows; "": there are none
}

// Split writes the rows of a file to two files. Rows with the same prompt, up to Normal and without system messages, are on one side, and so are
// near duplicates if Near says so; of documents the text counts. It reads the file twice: what is held out depends on the file's rows and the
// seed alone, and both files are there when both are whole.
func Split(ctx context.Context, in, train, eval string, s SplitOptions, o Options) (*Splits, error) {
	if !(s.Share > 0 && s.Share < 1) {
		return nil, fmt.Errorf("share: got %v, want more than 0 and less than 1", s.Share)
	}
	if in == "-" {
		return nil, errors.New("a split reads its input twice, and standard input can be read once: write it to a file first (criticrm data convert --in - --out FILE.jsonl)")
	}
	if err := refuseSame(in, train, eval); err != nil {
		return nil, err
	}
	x, err := NewIndex(s.Seed)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	o.Index = x
	var categories []int32 // of each row
	var names []string
	known := map[string]int32{}
	f, err := Scan(ctx, in, o, func(r *record.Record) error {
		i, ok := known[r.Group()]
		if !ok {
			i = int32(len(names))
			names = append(names, r.Group())
			known[r.Group()] = i
		}
		categories = append(categories, i)
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := errors.Join(f.Unsound...); err != nil {
		return nil, err
	}
	if err := x.prepare(ctx, s.Near); err != nil {
		return nil, err
	}
	out := &Splits{Categories: map[string][2]int{}, Found: f.Found}
	held, err := x.choose(categories, s, out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in, err)
	}
	if err := out.write(ctx, in, train, eval, f, o, func(row int) bool { return held[x.root(x.rows[0][row])] }, func(row int) string { return names[categories[row]] }); err != nil {
		return nil, err
	}
	for id := range x.prompts {
		if held[x.root(int32(id))] {
			out.Eval.Prompts++
		} else {
			out.Train.Prompts++
		}
	}
	return out, nil
}

// prepare makes the groups: of near duplicates, or of one prompt each.
func (x *Index) prepare(ctx context.Context, near bool) error {
	if near {
		return x.link(ctx, nil)
	}
	x.group = make([]int32, len(x.prompts))
	for i := range x.group {
		x.group[i] = int32(i)
	}
	return nil
}

// choose holds out groups of prompts, by their first prompts. A group is of the category of its first row.
func (x *Index) choose(categories []int32, s SplitOptions, out *Splits) (map[int32]bool, error) {
	type group struct {
		key      uint64 // the smallest fingerprint in it: it does not depend on the order of rows
		rows     int
		category int32
	}
	groups := map[int32]*group{}
	for row, id := range x.rows[0] {
		g := groups[x.root(id)]
		if g == nil {
			g = &group{key: ^uint64(0)}
			if groups[x.root(id)] = g; s.ByCategory {
				g.category = categories[row]
			}
		}
		g.rows++
	}
	for print, id := range x.byText {
		g := groups[x.root(id)]
		g.key = min(g.key, print)
	}
	out.Groups = len(groups)
	sizes, roots := map[int32]map[uint64]int{}, map[uint64]int32{}
	for root, g := range groups {
		if sizes[g.category] == nil {
			sizes[g.category] = map[uint64]int{}
		}
		sizes[g.category][g.key] = g.rows
		roots[g.key] = root
	}
	mend := "another share"
	if s.Near {
		mend += ", or --near=false: then equal prompts alone stay together"
	}
	held := map[int32]bool{}
	for _, of := range sizes {
		for key := range Hold(of, s.Share, s.Seed) {
			held[roots[key]] = true
		}
	}
	switch {
	case len(held) == 0:
		return nil, fmt.Errorf("nothing can be held out: it has %d groups of prompts that must stay together, and none is small enough for a share of %v (%s)", len(groups), s.Share, mend)
	case len(held) == len(groups):
		return nil, fmt.Errorf("nothing is left: it has %d groups of prompts that must stay together, and a share of %v takes all of them (%s)", len(groups), s.Share, mend)
	}
	return held, nil
}

// write reads the file again and gives each row to its side.
func (out *Splits) write(ctx context.Context, in, train, eval string, f *File, o Options, held func(row int) bool, category func(row int) string) error {
	r, err := record.Open(in, o.Read)
	if err != nil {
		return err
	}
	defer r.Close()
	var sides [2]*output
	for i, path := range []string{train, eval} {
		if sides[i], err = create(path, nil); err != nil {
			return err
		}
		defer sides[i].abort()
	}
	changed := fmt.Errorf("%s changed while it was read", in)
	var line []byte
	for row := 0; ; row++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			if row != f.Rows {
				return changed
			}
			break
		}
		if err == nil && row >= f.Rows {
			err = changed
		}
		if err == nil {
			line, err = rec.AppendJSON(line[:0])
		}
		if err != nil {
			return record.InFile(err, in)
		}
		side := 0
		if held(row) {
			side = 1
		}
		counts := out.Categories[category(row)]
		counts[side]++
		out.Categories[category(row)] = counts
		if side == 0 {
			out.Train.Rows++
		} else {
			out.Eval.Rows++
		}
		if _, err := sides[side].Write(append(line, '\n')); err != nil {
			return err
		}
		if o.Progress != nil && row%often == 0 {
			o.Progress(f.Rows + row)
		}
	}
	if sum, _, err := r.Sum(); err != nil || sum != f.SHA256 {
		return errors.Join(err, changed)
	}
	left := leftOut{path: record.BadPath(train)}
	defer func() { left.to.abort() }()
	if err := left.add(f.Found.Bad...); err != nil {
		return err
	}
	if out.List, err = left.commit(); err != nil {
		return err
	}
	return errors.Join(sides[0].commit(), sides[1].commit())
}

// Lines say for people what is where.
func (out *Splits) Lines(train, eval string) []string {
	lines := []string{
		fmt.Sprintf("%s: %d rows of %d prompts", train, out.Train.Rows, out.Train.Prompts),
		fmt.Sprintf("%s: %d rows of %d prompts (%.1f %% of the rows)", eval, out.Eval.Rows, out.Eval.Prompts, 100*float64(out.Eval.Rows)/float64(out.Train.Rows+out.Eval.Rows)),
	}
	if n := out.Train.Prompts + out.Eval.Prompts - out.Groups; n > 0 {
		lines = append(lines, fmt.Sprintf("%d prompts stay with others that they nearly repeat", n))
	}
	if len(out.Categories) > 1 {
		const most = 20
		for i, name := range slices.Sorted(maps.Keys(out.Categories)) {
			if i == most {
				return append(lines, fmt.Sprintf("… and %d categories more", len(out.Categories)-most))
			}
			n := out.Categories[name]
			lines = append(lines, fmt.Sprintf("category %.60q: %d and %d", name, n[0], n[1]))
		}
	}
	return lines
}
