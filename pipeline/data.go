package pipeline

// check: what is in the two files, before anything is made of them.

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"criticrm/checkpoint"
	"criticrm/corpus"
	"criticrm/critic"
	"criticrm/record"
	"criticrm/render"
	"criticrm/stage"
)

// The two parts of train_file where a validation split is held out of it.
const (
	trainSplit = "train.jsonl"
	validSplit = "valid.jsonl"
)

// Data is data.json: the facts of the files.
type Data struct {
	Train   File           `json:"train"`
	Eval    File           `json:"eval"`
	Overlap corpus.Overlap `json:"overlap"`
	Valid   *Split         `json:"valid,omitempty"` // what is held out of train_file
}

// Split is a part of train_file.
type Split struct {
	Share   float64 `json:"share"`
	Prompts int     `json:"prompts"`
	Rows    int     `json:"rows"`
	Left    int     `json:"left"` // rows to train on
}

// File are the facts of a file of pairs, and what of it the critic cannot read.
type File struct {
	*corpus.File
	Overlong  int `json:"overlong"`  // rows that the critic cannot read: left out
	Shortened int `json:"shortened"` // rows that it reads in part

	first string // fault of the first row that does not fit
}

// inspect reads a file as read says; keep gets every good row.
func inspect(ctx context.Context, path string, r *render.Renderer, o critic.GenerateOptions, read record.ReadOptions, keep func(*record.Record) error) (*File, error) {
	if err := stage.Unfinished(path); err != nil {
		return nil, err
	}
	read.Check = o.Prompts.Lacks
	f := &File{}
	count := corpus.Counter{Text: func(text string) int { return len(r.Text(text)) }}
	var err error
	f.File, err = corpus.Scan(ctx, path, corpus.Options{Read: read, Tokens: count}, func(rec *record.Record) error {
		if !rec.Paired() {
			return rec.Fault("it is no pair, and the method needs pairs: prompt, chosen, rejected")
		}
		if err := keep(rec); err != nil {
			return err
		}
		fault, shortened, err := o.Fits(rec)
		if err != nil {
			return err
		}
		if fault != "" {
			if f.Overlong++; f.first == "" {
				f.first = record.InFile(rec.Fault("%s", fault), path).Error()
			}
		} else if shortened {
			f.Shortened++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err = errors.Join(f.Unsound...); err == nil {
		err = f.fits(o.Overlong)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fits refuses rows that the critic cannot read before hours are spent on those in front of them.
func (f *File) fits(policy string) error {
	if f.Overlong > 0 && cmp.Or(policy, record.OverlongError) == record.OverlongError {
		return fmt.Errorf("%s (%d of %d rows are too long: set --overlong to drop, truncate-left or truncate-right, or make --generate.max_tokens smaller, which --eval.max_tokens follows)", f.first, f.Overlong, f.Rows)
	}
	if f.Overlong == f.Rows {
		return fmt.Errorf("%s (all rows are too long: make --generate.max_tokens smaller, which --eval.max_tokens follows)", f.first)
	}
	return nil
}

// lines say what people should know of a file; listed is the one with its bad rows, "" in a dry run.
func (f *File) lines(listed string) (out []string) {
	out = append(out, fmt.Sprintf("%s; tokens (median, most): prompt %d, %d, chosen %d, %d, rejected %d, %d; chosen is longer in %.0f %%", f.Head(),
		f.Tokens["prompt"].Median, f.Tokens["prompt"].Max, f.Tokens["chosen"].Median, f.Tokens["chosen"].Max, f.Tokens["rejected"].Median, f.Tokens["rejected"].Max, 100*f.Longer))
	if f.Overlong+f.Shortened > 0 {
		out = append(out, fmt.Sprintf("%s: %d rows are too long and left out, %d are read in part", f.Name, f.Overlong, f.Shortened))
	}
	if len(f.Duplicates) > 0 {
		out = append(out, fmt.Sprintf("%s: %s", f.Name, record.Counts(f.Duplicates)))
		for _, issue := range f.Issues[:min(3, len(f.Issues))] {
			out = append(out, "  "+issue)
		}
	}
	out = append(out, f.Found.BadLines(f.Name, listed)...)
	for _, n := range f.Notes {
		out = append(out, f.Name+": "+n)
	}
	return out
}

// split chooses the prompts that are held out of a file, by the seed, and writes the two parts.
func (f *File) split(rows []*record.Record, share float64, seed uint64, dir string) (*Split, error) {
	prompts := map[string]int{} // of one size each
	for _, r := range rows {
		prompts[r.Prompt.Key()] = 1
	}
	held := corpus.Hold(prompts, share, seed)
	if len(held) == len(prompts) {
		return nil, fmt.Errorf("%s has %d prompts: %d of them cannot be held out (valid_share %v)", f.Name, len(prompts), len(held), share)
	}
	s := &Split{Share: share, Prompts: len(held)}
	var parts [2][]*record.Record
	for _, r := range rows {
		if held[r.Prompt.Key()] {
			parts[1] = append(parts[1], r)
		} else {
			parts[0] = append(parts[0], r)
		}
	}
	s.Left, s.Rows = len(parts[0]), len(parts[1])
	for i, name := range []string{trainSplit, validSplit} {
		var b bytes.Buffer
		if err := record.WriteRecords(&b, parts[i]); err != nil {
			return nil, err
		}
		if err := checkpoint.WriteFileAtomic(filepath.Join(dir, name), b.Bytes()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
