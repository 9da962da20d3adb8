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
	"criticrm/stage"
)

// Converted is what Convert did.
type Converted struct {
	Rows  int            // that were written
	Lost  map[string]int // parts of rows that the form has no place for, and the rows that had them
	Left  map[string]int // rows that the form cannot hold, by reason
	Found record.Found   // of the input
	List  string         // file with the rows that were left out; "": there is none, or there are no such rows
}

// Convert writes the records of a file in a form, row by row. The output is there when it is whole; "-" is stdout, where rows come as they are
// made. Rows that are left out, bad ones and those that the form cannot hold, are listed beside the output as record.BadPath says.
func Convert(ctx context.Context, in, out string, stdout io.Writer, form *Form, o Options) (c *Converted, err error) {
	if err := refuseOutputs(in, out); err != nil {
		return nil, err
	}
	r, err := record.Open(in, o.Read)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	to, err := create(out, stdout)
	if err != nil {
		return nil, err
	}
	defer to.abort()
	var left leftOut
	if out != "-" {
		left.path = record.BadPath(out)
	}
	defer func() { left.to.abort() }()
	c = &Converted{Lost: map[string]int{}, Left: map[string]int{}}
	var line []byte
	for done := 0; ; done++ {
		if err := ctx.Err(); err != nil {
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
		var lost []string
		line, lost, err = form.Append(line[:0], rec)
		if err != nil && form.row == nil {
			return c, record.InFile(err, in)
		}
		if err != nil {
			if c.Left[err.Error()]++; len(c.Left) > maxCategories {
				return c, fmt.Errorf("%s: more than %d reasons why rows cannot be held", in, maxCategories)
			}
			if err := left.add(rec.Fault("%v", err)); err != nil {
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
	if err := left.add(r.Bad...); err != nil {
		return c, err
	}
	if c.Rows == 0 {
		return c, fmt.Errorf("%s: the form %s can hold none of its rows: %s", in, form.Name, record.Counts(c.Left))
	}
	if c.List, err = left.commit(); err != nil {
		return c, err
	}
	return c, to.commit()
}

// leftOut is the list of rows that are left out, a file that is begun with the first of them.
type leftOut struct {
	path string // "": no list is made
	to   *output
}

func (l *leftOut) add(rows ...error) error {
	if l.path == "" || len(rows) == 0 {
		return nil
	}
	if l.to == nil {
		to, err := create(l.path, nil)
		if err != nil {
			return err
		}
		l.to = to
	}
	b, err := record.Bad(rows)
	if err == nil {
		_, err = l.to.Write(b)
	}
	return err
}

func (l *leftOut) commit() (path string, err error) {
	if l.to == nil && l.path != "" {
		return "", stage.SetAside(l.path, nil)
	}
	if l.to == nil {
		return "", nil
	}
	return l.path, l.to.commit()
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
