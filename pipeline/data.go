package pipeline

// check: what is in the two files, before anything is made of them.

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/record"
	"criticrm/render"
	"criticrm/splitmix"
	"criticrm/stage"
)

// The two parts of train_file where a validation split is held out of it.
const (
	trainSplit = "train.jsonl"
	validSplit = "valid.jsonl"
)

// Data is data.json: the facts of the files.
type Data struct {
	Train   File    `json:"train"`
	Eval    File    `json:"eval"`
	Overlap Overlap `json:"overlap"`
	Valid   *Split  `json:"valid,omitempty"` // what is held out of train_file
}

// Overlap are the prompts that both files have.
type Overlap struct {
	Prompts int `json:"prompts"`
	Rows    int `json:"rows"`              // of eval_file with one of them
	Swapped int `json:"swapped,omitempty"` // pairs of eval_file that train_file has the other way round
}

// Split is a part of train_file.
type Split struct {
	Share   float64 `json:"share"`
	Prompts int     `json:"prompts"`
	Rows    int     `json:"rows"`
	Left    int     `json:"left"` // rows to train on
}

// File are the facts of a file of pairs.
type File struct {
	Name        string            `json:"name"`
	SHA256      string            `json:"sha256"`
	Bytes       int64             `json:"bytes"`
	Schema      string            `json:"schema"`
	Rows        int               `json:"rows"` // good ones
	BadRows     int               `json:"bad_rows,omitempty"`
	Bad         []string          `json:"bad,omitempty"` // the first of them
	Prompts     int               `json:"prompts"`       // distinct ones
	Categories  map[string]int    `json:"categories"`
	Characters  map[string]Spread `json:"characters"` // of prompt, chosen, rejected
	Tokens      map[string]Spread `json:"tokens"`     // of the same
	Longer      float64           `json:"chosen_longer"`
	Overlong    int               `json:"overlong"`  // rows that the critic cannot read: left out
	Shortened   int               `json:"shortened"` // rows that it reads in part
	Duplicates  map[string]int    `json:"duplicates"`
	Issues      []string          `json:"issues,omitempty"` // the first duplicates and contradictions
	Notes       []string          `json:"notes,omitempty"`
	HasCritique int               `json:"with_critiques,omitempty"` // rows that bring critiques

	prompts map[string]int // rows of each, by key
	check   *record.Checker
	first   string // fault of the first row that does not fit
	found   record.Found
}

// Spread describes a list of lengths.
type Spread struct {
	Mean   float64 `json:"mean"`
	Median int     `json:"median"`
	P95    int     `json:"p95"`
	Max    int     `json:"max"`
}

func spread(x []int) (s Spread) {
	if len(x) == 0 {
		return s
	}
	slices.Sort(x)
	for _, v := range x {
		s.Mean += float64(v) / float64(len(x))
	}
	at := func(q float64) int { return x[min(len(x)-1, int(q*float64(len(x))))] }
	s.Mean, s.Median, s.P95, s.Max = math.Round(100*s.Mean)/100, at(.5), at(.95), x[len(x)-1]
	return s
}

// maxListed bounds the issues and bad rows of a File.
const maxListed = 20

// inspect reads a file as read says; keep gets every good row.
func inspect(ctx context.Context, path string, r *render.Renderer, o critic.GenerateOptions, read record.ReadOptions, keep func(*record.Record) error) (*File, error) {
	if err := stage.Unfinished(path); err != nil {
		return nil, err
	}
	read.Check = o.Prompts.Lacks
	in, err := record.Open(path, read)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	f := &File{Name: filepath.Base(path), Categories: map[string]int{}, Characters: map[string]Spread{}, Tokens: map[string]Spread{}, prompts: map[string]int{}, check: record.NewChecker()}
	characters, tokens := map[string][]int{}, map[string][]int{}
	for rec, err := range in.Records() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && !rec.Paired() {
			err = record.InFile(rec.Fault("it is no pair, and the method needs pairs: prompt, chosen, rejected"), path)
		}
		if err != nil {
			return nil, err
		}
		if err := keep(rec); err != nil {
			return nil, err
		}
		f.check.Add(rec)
		f.Rows++
		f.Categories[rec.Group()]++
		f.prompts[rec.Prompt.Key()]++
		for _, x := range []struct{ name, text string }{{"prompt", rec.Prompt.String()}, {"chosen", rec.Chosen}, {"rejected", rec.Rejected}} {
			characters[x.name] = append(characters[x.name], utf8.RuneCountInString(x.text))
			tokens[x.name] = append(tokens[x.name], len(r.Text(x.text)))
		}
		switch a, b := utf8.RuneCountInString(rec.Chosen), utf8.RuneCountInString(rec.Rejected); {
		case a > b:
			f.Longer++
		case a == b:
			f.Longer += 0.5
		}
		if len(rec.ChosenCritiques)+len(rec.RejectedCritiques) > 0 {
			f.HasCritique++
		}
		fault, shortened, err := o.Fits(rec)
		if err != nil {
			return nil, record.InFile(err, path)
		}
		if fault != "" {
			if f.Overlong++; f.first == "" {
				f.first = record.InFile(rec.Fault("%s", fault), path).Error()
			}
		} else if shortened {
			f.Shortened++
		}
	}
	if err := stage.Altered(in); err != nil {
		return nil, err
	}
	f.Schema, f.Notes, f.Prompts, f.Duplicates = in.Schema.String(), in.Lines(), len(f.prompts), f.check.Counts
	f.Longer = math.Round(1e4*f.Longer/float64(f.Rows)) / 1e4
	for name := range characters {
		f.Characters[name], f.Tokens[name] = spread(characters[name]), spread(tokens[name])
	}
	for _, issue := range f.check.Issues[:min(len(f.check.Issues), maxListed)] {
		f.Issues = append(f.Issues, issue.String())
	}
	f.found, f.BadRows = in.Found, len(in.Bad)
	for _, bad := range in.Bad[:min(len(in.Bad), maxListed)] {
		f.Bad = append(f.Bad, bad.Error())
	}
	if f.SHA256, f.Bytes, err = in.Sum(); err != nil {
		return nil, err
	}
	return f, f.fits(o.Overlong)
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
	head := fmt.Sprintf("%s: %d pairs of %d prompts, %s", f.Name, f.Rows, f.Prompts, record.Counts(f.Categories))
	if len(f.Categories) > 6 {
		head = fmt.Sprintf("%s: %d pairs of %d prompts, %d categories", f.Name, f.Rows, f.Prompts, len(f.Categories))
	}
	out = append(out, fmt.Sprintf("%s; tokens (median, most): prompt %d, %d, chosen %d, %d, rejected %d, %d; chosen is longer in %.0f %%", head,
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
	out = append(out, f.found.BadLines(f.Name, listed)...)
	for _, n := range f.Notes {
		out = append(out, f.Name+": "+n)
	}
	return out
}

// split chooses the prompts that are held out of a file, by the seed, and writes the two parts.
func (f *File) split(rows []*record.Record, share float64, seed uint64, dir string) (*Split, error) {
	keys := slices.Sorted(maps.Keys(f.prompts))
	n := int(math.Ceil(share * float64(len(keys))))
	if n >= len(keys) {
		return nil, fmt.Errorf("%s has %d prompts: %d of them cannot be held out (valid_share %v)", f.Name, len(keys), n, share)
	}
	held := map[string]bool{}
	for _, i := range splitmix.Permutation(splitmix.Mix(seed), len(keys))[:n] {
		held[keys[i]] = true
	}
	s := &Split{Share: share, Prompts: n}
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

func overlap(train, eval *File) (o Overlap) {
	o.Swapped = train.check.Contradictions(eval.check)
	for key, rows := range eval.prompts {
		if train.prompts[key] > 0 {
			o.Prompts++
			o.Rows += rows
		}
	}
	return o
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
