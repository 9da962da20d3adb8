package corpus

// A file is cut in two, by prompt.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	"criticrm/internal/spill"
	"criticrm/record"
)

// SplitOptions say what is held out.
type SplitOptions struct {
	Share      float64 `json:"share"` // of the rows, more than 0 and less than 1
	Seed       uint64  `json:"seed"`
	Near       bool    `json:"near"`        // near duplicates are on one side
	ByCategory bool    `json:"by_category"` // the share is that of each category, as far as its prompts allow it
}

// Splits is what Split did.
type Splits struct {
	Train      Side              `json:"train"`
	Eval       Side              `json:"eval"`
	Groups     int               `json:"groups"`     // of prompts that are kept together
	Categories map[string][2]int `json:"categories"` // rows of each on both sides
	Found      record.Found      `json:"-"`
	List       string            `json:"-"` // file with the bad rows; "": there are none
}

// Side is what one of both files holds.
type Side struct {
	Rows    int `json:"rows"`
	Prompts int `json:"prompts"`
}

// Split writes the rows of a file to two files. Rows with the same prompt, up to Normal and without system messages, are on one side, and so are
// near duplicates if Near says so; of documents the text counts. It reads the file twice: what is held out depends on the file's rows and the
// seed alone, and both files are there when both are whole. If it was interrupted, the next call goes on.
func Split(ctx context.Context, in, train, eval string, s SplitOptions, o Options) (out *Splits, err error) {
	if !(s.Share > 0 && s.Share < 1) {
		return nil, fmt.Errorf("share: got %v, want more than 0 and less than 1", s.Share)
	}
	if in == "-" {
		return nil, errors.New("a split reads its input twice, and standard input can be read once: write it to a file first (criticrm data convert --in - --out FILE.jsonl)")
	}
	if err := refuseOutputs(in, train, eval); err != nil {
		return nil, err
	}
	o.Read.Marks = true
	w, err := o.begin("data split", in, struct {
		reading
		SplitOptions
		Eval string `json:"eval_out"`
	}{reading{in, o.Read.MaxBad, o.Read.Layout}, s, eval}, true, train, eval, record.BadPath(train))
	if err != nil {
		return nil, err
	}
	defer func() { w.close(err) }()
	j := newJournal(w, w.files[0])
	x, err := newIndex(s.Seed, o.memory())
	if err != nil {
		return nil, err
	}
	defer x.Close()
	o.Index = x
	categories := spill.NewArray(x.numbers, "the categories of rows") // of each row
	defer categories.Close()
	var names []string
	known := map[string]uint32{}
	rows, first := 0, o
	if o.Progress != nil { // the file is read twice
		first.Progress = func(at Position) { o.Progress(Position{at.Rows, at.Read, 2 * at.Of}) }
	}
	f, err := first.scan(ctx, in, j, nil, func(m *measured) error {
		i, ok := known[m.Group]
		if !ok {
			i = uint32(len(names))
			names = append(names, m.Group)
			known[m.Group] = i
		}
		categories.Set(rows, i)
		rows++
		return categories.Err()
	})
	if err != nil {
		return nil, j.stopped(ctx, err)
	}
	defer f.Close()
	if err := errors.Join(f.Unsound...); err != nil {
		w.kept = false
		return nil, err
	}
	if err := x.prepare(ctx, s.Near); err != nil {
		return nil, j.stopped(ctx, err)
	}
	out = &Splits{Categories: map[string][2]int{}, Found: f.Found}
	held := spill.NewArray(x.numbers, "the prompts that are held out")
	defer held.Close()
	if err := x.choose(categories, s, out, held); err != nil {
		w.kept = false
		return nil, fmt.Errorf("%s: %w", in, err)
	}
	next, stop := iter.Pull2(x.rowsOf(0))
	defer stop()
	side := func() (bool, error) { // of the next row
		id, err, _ := next()
		return err == nil && held.Get(int(x.root(id))) != 0, errors.Join(err, x.parents.Err(), held.Err())
	}
	if err := out.write(ctx, in, w, f, side, func(row int) string { return names[categories.Get(row)] }); err != nil {
		return nil, err
	}
	return out, nil
}

// prepare makes the groups: of near duplicates, or of one prompt each.
func (x *Index) prepare(ctx context.Context, near bool) error {
	if near {
		return x.alike(ctx, nil)
	}
	return x.fold()
}

// grouped is something of a group: the row or the fingerprint of one of its prompts.
type grouped struct{ root, of uint64 }

var groupedForm = spill.Form[grouped]{
	Size:    16,
	Put:     func(b []byte, g grouped) { spill.Put(b, g.root, g.of) },
	Get:     func(b []byte) grouped { return grouped{spill.Word(b, 0), spill.Word(b, 1)} },
	Compare: func(g, h grouped) int { return cmp.Or(cmp.Compare(g.root, h.root), cmp.Compare(g.of, h.of)) },
}

// group is one of prompts that stay together.
type group struct {
	category uint64 // of its first row
	key      uint64 // the smallest fingerprint in it: it does not depend on the order of rows
	root     uint64
	rows     uint64
}

var groupForm = spill.Form[group]{
	Size: 32,
	Put:  func(b []byte, g group) { spill.Put(b, g.category, g.key, g.root, g.rows) },
	Get: func(b []byte) group {
		return group{spill.Word(b, 0), spill.Word(b, 1), spill.Word(b, 2), spill.Word(b, 3)}
	},
	Compare: func(g, h group) int { return cmp.Or(cmp.Compare(g.category, h.category), cmp.Compare(g.key, h.key)) },
}

// groups gives the groups in the order of their keys, category by category.
func (x *Index) groups(category func(row int) uint32) (*spill.Sorter[group], error) {
	rows := spill.NewSorter(groupedForm, x.sorted, "the groups of rows")
	prints := spill.NewSorter(groupedForm, x.sorted, "the groups of prompts")
	defer func() { rows.Close(); prints.Close() }()
	row, id := 0, 0
	for of, err := range x.rowsOf(0) {
		if err == nil {
			err = rows.Add(grouped{uint64(x.root(of)), uint64(row)})
		}
		if err != nil {
			return nil, err
		}
		row++
	}
	for print, err := range x.fingerprints() {
		if err == nil {
			err = prints.Add(grouped{uint64(x.root(int32(id))), print})
		}
		if err != nil {
			return nil, err
		}
		id++
	}
	if err := errors.Join(rows.End(), prints.End(), x.parents.Err()); err != nil {
		return nil, err
	}
	sorted := spill.NewSorter(groupForm, x.sorted, "the groups of prompts")
	next, stop := iter.Pull2(rows.Sorted())
	defer stop()
	r, fault, more := next()
	for p, err := range prints.Sorted() {
		if err == nil && more && r.root == p.root { // the smallest of its group: all rows are taken with it
			g := group{category: uint64(category(int(r.of))), key: p.of, root: p.root}
			for more && fault == nil && r.root == p.root {
				g.rows++
				r, fault, more = next()
			}
			err = sorted.Add(g)
		}
		if err := errors.Join(err, fault); err != nil {
			return nil, errors.Join(err, sorted.Close())
		}
	}
	if err := sorted.End(); err != nil {
		return nil, errors.Join(err, sorted.Close())
	}
	return sorted, nil
}

// choose holds out groups of prompts: it sets the numbers of their first prompts.
func (x *Index) choose(categories *spill.Array, s SplitOptions, out *Splits, held *spill.Array) error {
	sorted, err := x.groups(func(row int) uint32 {
		if s.ByCategory {
			return categories.Get(row)
		}
		return 0
	})
	if err != nil {
		return err
	}
	defer sorted.Close()
	var sizes []int32 // of a category's groups; the permutation of them is the most that is in memory
	kept, category := 0, uint64(0)
	next, stop := iter.Pull2(sorted.Sorted())
	defer stop()
	end := func() error { // of a category
		chosen := make([]uint64, len(sizes)/64+1)
		for i := range hold(sizes, s.Share, s.Seed) {
			chosen[i>>6] |= 1 << (i & 63)
			kept++
		}
		for i := range sizes {
			g, err, _ := next()
			if err != nil {
				return err
			}
			if chosen[i>>6]>>(i&63)&1 != 0 {
				held.Set(int(g.root), 1)
			}
		}
		out.Groups += len(sizes)
		sizes = sizes[:0]
		return held.Err()
	}
	for g, err := range sorted.Sorted() {
		if err == nil && g.category != category {
			err = end()
			category = g.category
		}
		if err != nil {
			return err
		}
		sizes = append(sizes, int32(g.rows))
	}
	if err := errors.Join(end(), categories.Err()); err != nil {
		return err
	}
	mend := "another share"
	if s.Near {
		mend += ", or --near=false: then equal prompts alone stay together"
	}
	switch {
	case kept == 0:
		return fmt.Errorf("nothing can be held out: it has %d groups of prompts that must stay together, and none is small enough for a share of %v (%s)", out.Groups, s.Share, mend)
	case kept == out.Groups:
		return fmt.Errorf("nothing is left: it has %d groups of prompts that must stay together, and a share of %v takes all of them (%s)", out.Groups, s.Share, mend)
	}
	for id := range int32(x.count()) {
		switch {
		case x.first(id) != id:
		case held.Get(int(x.root(id))) != 0:
			out.Eval.Prompts++
		default:
			out.Train.Prompts++
		}
	}
	return errors.Join(x.same.Err(), x.parents.Err(), held.Err())
}

// write reads the file again and gives each row to its side.
func (out *Splits) write(ctx context.Context, in string, w *work, f *File, held func() (bool, error), category func(row int) string) error {
	r, err := record.Open(in, w.o.Read)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := w.pass(ctx, r, out); err != nil {
		return err
	}
	row := out.Train.Rows + out.Eval.Rows
	for range row { // those of an earlier run
		if _, err := held(); err != nil {
			return err
		}
	}
	changed := fmt.Errorf("%s changed while it was read", in)
	var line []byte
	for ; ; row++ {
		if err := w.look(ctx, r, row, out); err != nil {
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
		if out, err := held(); err != nil {
			return err
		} else if out {
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
		if _, err := w.files[1+side].Write(append(line, '\n')); err != nil {
			return err
		}
		if w.o.Progress != nil && row%often == 0 {
			at := position(f.Rows+row, r)
			w.o.Progress(Position{at.Rows, at.Read + at.Of, 2 * at.Of})
		}
	}
	if sum, _, err := r.Sum(); err != nil || sum != f.SHA256 {
		return errors.Join(err, changed)
	}
	if n := len(f.Found.Bad); n > 0 {
		out.List = w.files[3].out
		if !w.Complete {
			if err := addBad(w.files[3], f.Found.Bad...); err != nil {
				return err
			}
		}
	}
	return w.finish(ctx, r.Mark(), out)
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
