package corpus

// A file in one layout becomes a file in another.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"criticrm/record"
)

// Converted is what Convert did.
type Converted struct {
	Rows  int            `json:"rows"`           // that were written
	Lost  map[string]int `json:"lost,omitempty"` // parts of rows that the form has no place for, and the rows that had them
	Left  map[string]int `json:"left,omitempty"` // rows that the form cannot hold, by reason
	Found record.Found   `json:"-"`              // of the input
	List  string         `json:"-"`              // file with the rows that were left out; "": there is none, or there are no such rows
}

// reading is what the rows of an input depend on, as settings of a work.
type reading struct {
	In            string `json:"in"`
	MaxBad        int    `json:"max_bad"`
	record.Layout        // schema, columns, ranked
}

// Convert writes the records of a file in a form, row by row. The output is there when it is whole; "-" is stdout, where rows come as they are
// made. Rows that are left out, bad ones and those that the form cannot hold, are listed beside the output as record.BadPath says. If it was
// interrupted, the next call goes on, unless the input is a pipe or the output a stream.
func Convert(ctx context.Context, in, out string, stdout io.Writer, form *Form, o Options) (c *Converted, err error) {
	if err := refuseOutputs(in, out); err != nil {
		return nil, err
	}
	o.Read.Marks = true
	r, err := record.Open(in, o.Read)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var outs []string
	if out != "-" {
		outs = []string{out, record.BadPath(out)}
	}
	w, err := o.begin("data convert", in, struct {
		To string `json:"to"`
		reading
	}{form.Name, reading{in, o.Read.MaxBad, o.Read.Layout}}, false, outs...)
	if err != nil {
		return nil, err
	}
	defer func() { w.close(err) }()
	to, left := stdout, io.Discard
	if out != "-" {
		to, left = w.files[0], w.files[1]
	}
	c = &Converted{Lost: map[string]int{}, Left: map[string]int{}}
	if err := w.pass(ctx, r, c); err != nil {
		return c, err
	}
	var line []byte
	for done := 1; ; done++ {
		if err := w.look(ctx, r, done, c); err != nil {
			return c, err
		}
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.Found = r.Found
			return c, err
		}
		if w.Complete {
			return c, w.grown()
		}
		var lost []string
		line, lost, err = form.Append(line[:0], rec)
		if err != nil && form.row == nil {
			return c, record.InFile(err, in)
		}
		if err != nil {
			if c.Left[err.Error()]++; len(c.Left) > maxCategories {
				w.kept = false
				return c, fmt.Errorf("%s: more than %d reasons why rows cannot be held", in, maxCategories)
			}
			if err := addBad(left, rec.Fault("%v", err)); err != nil {
				return c, err
			}
			continue
		}
		for _, what := range lost {
			c.Lost[what]++
		}
		if _, err := to.Write(append(line, '\n')); err != nil {
			return c, err
		}
		if c.Rows++; o.Progress != nil && c.Rows%often == 0 {
			o.Progress(position(c.Rows, r))
		}
	}
	c.Found = r.Found
	if c.Rows == 0 {
		w.kept = false
		return c, fmt.Errorf("%s: the form %s can hold none of its rows: %s", in, form.Name, record.Counts(c.Left))
	}
	if !w.Complete {
		if err := addBad(left, r.Bad...); err != nil {
			return c, err
		}
	}
	if out != "-" && len(r.Bad)+len(c.Left) > 0 {
		c.List = record.BadPath(out)
	}
	return c, w.finish(ctx, r.Mark(), c)
}

// addBad lists rows that are left out.
func addBad(to io.Writer, rows ...error) error {
	b, err := record.Bad(rows)
	if err == nil && len(b) > 0 {
		_, err = to.Write(b)
	}
	return err
}

// Lines say for people what is not in the output, and where it is listed.
func (c *Converted) Lines(form *Form) (lines []string) {
	for _, what := range slices.Sorted(maps.Keys(c.Lost)) {
		lines = append(lines, fmt.Sprintf("not in the output, since the form %s has no place for it: %s of %d rows", form.Name, what, c.Lost[what]))
	}
	for _, why := range slices.Sorted(maps.Keys(c.Left)) {
		lines = append(lines, fmt.Sprintf("left out: %d rows: %s", c.Left[why], why))
	}
	if len(c.Left) > 0 && c.List != "" {
		lines = append(lines, "rows that are left out are listed in "+c.List)
	}
	return lines
}
