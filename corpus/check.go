package corpus

// Several files, and what they share.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"syscall"

	"criticrm/record"
)

// Report is what Check finds.
type Report struct {
	Files      []*File   `json:"files"` // those that are checked, then those that they are held against
	Against    int       `json:"against,omitempty"`
	Pairs      []Between `json:"between,omitempty"` // two files that have something in common
	Near       Nearness  `json:"near"`
	Benchmarks []Match   `json:"benchmarks"`
	Known      []string  `json:"benchmarks_known"`
	Unknown    []Unknown `json:"benchmarks_unknown"`
	Findings   []Finding `json:"findings"` // the worst first
}

// Between is what two files have in common.
type Between struct {
	First  string `json:"first"`
	Second string `json:"second"`
	Overlap
	Shared Shared `json:"text"` // by the texts alone
	strict bool   // one of them is held against the other
}

// Nearness says how near duplicates were looked for, and gives the first of them.
type Nearness struct {
	Jaccard    float64 `json:"jaccard"` // from which two prompts are near duplicates
	Shingle    int     `json:"shingle"` // characters
	Bands      int     `json:"bands"`
	Rows       int     `json:"band_rows"`
	Seed       uint64  `json:"seed"`
	Pairs      []Alike `json:"pairs,omitempty"`
	Uncompared int     `json:"uncompared,omitempty"` // pairs with a common band that were not compared, because too many prompts had it
}

// Finding is something that is wrong with files, or that people should know.
type Finding struct {
	Wrong bool   `json:"wrong"` // enough for --strict
	File  string `json:"file,omitempty"`
	Text  string `json:"text"`
}

// Check reads files and those that they are held against. Bad rows are counted, and end nothing. If it was interrupted, the next call goes on,
// as StateDir says; where that has no room, it begins anew and keeps nothing.
func Check(ctx context.Context, files, against []string, o Options) (*Report, error) {
	r, err := o.check(ctx, files, against)
	if (errors.Is(err, record.ErrOther) || errors.Is(err, errTorn)) && !o.Restart {
		if o.Restart = true; o.Resumed != nil {
			o.Resumed(0)
		}
		r, err = o.check(ctx, files, against)
	}
	if o.StateDir != "" && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
		o.StateDir = "" // without what is kept for another run there may be room
		r, err = o.check(ctx, files, against)
	}
	return r, err
}

func (o Options) check(ctx context.Context, files, against []string) (_ *Report, err error) {
	j, end, err := o.remember("data check", struct {
		Files   []string      `json:"files"`
		Against []string      `json:"against"`
		Layout  record.Layout `json:"layout"`
		Seed    uint64        `json:"seed"`
		Tokens  string        `json:"tokens"`
	}{files, against, o.Read.Layout, o.Seed, o.Tokens.Name}, slices.Concat(files, against)...)
	if err != nil {
		return nil, err
	}
	defer func() { end(err) }()
	x, err := newIndex(o.Seed, o.memory())
	if err != nil {
		return nil, err
	}
	defer x.Close()
	o.Index, o.Read.MaxBad, o.paths = x, AnyBad, true
	r := &Report{Against: len(against), Near: Nearness{Jaccard: Near, Shingle: shingle, Bands: bands, Rows: bandRows, Seed: o.Seed}, Benchmarks: []Match{}, Findings: []Finding{}}
	var behind Position
	for _, path := range slices.Concat(files, against) {
		if behind.Of >= 0 {
			behind.Of += cmp.Or(record.Size(path), math.MinInt64)
		}
	}
	if progress := o.Progress; progress != nil {
		o.Progress = func(at Position) {
			progress(Position{behind.Rows + at.Rows, behind.Read + at.Read, max(behind.Of, 0)})
		}
		o.Progress(Position{})
	}
	for i, path := range slices.Concat(files, against) {
		if i == len(files) {
			r.Benchmarks = append(r.Benchmarks, x.Matches()...)
		}
		f, err := o.scan(ctx, path, j, nil, nil)
		if err != nil {
			return nil, j.stopped(ctx, err)
		}
		defer f.Close()
		behind.Rows, behind.Read = behind.Rows+f.Rows, behind.Read+record.Size(path)
		r.Files = append(r.Files, f)
	}
	if len(against) == 0 {
		r.Benchmarks = append(r.Benchmarks, x.Matches()...)
	}
	if err := x.link(ctx, nil); err != nil {
		return nil, j.stopped(ctx, err)
	}
	r.Near.Pairs, r.Near.Uncompared = x.pairs, x.over
	for i, f := range r.Files[:len(files)] {
		f.Repeated = x.repeated(i)
	}
	for i, first := range r.Files {
		for j := i + 1; j < len(r.Files); j++ {
			if i >= len(files) { // both are held against
				continue
			}
			both, err := Overlaps(first, r.Files[j])
			if err != nil {
				return nil, err
			}
			b := Between{First: first.Name, Second: r.Files[j].Name, Overlap: both, Shared: x.shared(i, j), strict: j >= len(files)}
			if b.Overlap != (Overlap{}) || b.Shared != (Shared{}) {
				r.Pairs = append(r.Pairs, b)
			}
		}
	}
	m := Benchmarks()
	for _, b := range m.Benchmarks {
		r.Known = append(r.Known, b.Name)
	}
	r.Unknown = m.Unknown
	r.judge()
	return r, nil
}

// judge says what is wrong.
func (r *Report) judge() {
	say := func(wrong bool, file, format string, a ...any) {
		r.Findings = append(r.Findings, Finding{Wrong: wrong, File: file, Text: fmt.Sprintf(format, a...)})
	}
	for _, f := range r.Files[:len(r.Files)-r.Against] {
		for _, err := range f.Unsound {
			say(true, f.Name, "%v", err)
		}
		if f.BadRows > 0 {
			say(true, f.Name, "%d rows are bad: every command ends at the first of them, --max_bad leaves them out", f.BadRows)
		}
		for _, kind := range slices.Sorted(maps.Keys(f.Duplicates)) {
			say(true, f.Name, "%d × %s", f.Duplicates[kind], kind)
		}
		if f.Over > 0 {
			say(true, f.Name, "%d of %d records are longer than %d tokens: --overlong decides on them", f.Over, f.Rows, f.o.MaxLength)
		}
		if f.Unrendered > 0 {
			say(true, f.Name, "%d records cannot be rendered with the model's chat template", f.Unrendered)
		}
		if len(f.Aside) > 0 {
			say(false, f.Name, "set aside: %s", record.Counts(f.Aside))
		}
		if f.Repeated > 0 {
			say(false, f.Name, "%d of %d prompts nearly repeat an earlier one", f.Repeated, f.Prompts)
		}
		if b := f.Bias; b != nil && (b.Interval.Low > lopsided || b.Interval.High < 1-lopsided) {
			say(false, f.Name, "the length of a response says which one was chosen in %.0f %% of the pairs: a reward model may learn that alone", 100*max(b.Mean, 1-b.Mean))
		}
		if a, b := f.First["chosen"], f.First["rejected"]; a+b >= 100 && (float64(max(a, b)) > lopsided*float64(a+b)) {
			say(false, f.Name, "the response that was shown first is the chosen one in %.0f %% of the pairs that say it", 100*float64(a)/float64(a+b))
		}
	}
	for _, b := range r.Pairs {
		if b.Swapped > 0 {
			say(true, b.Second, "%d rows are in %s the other way round: chosen and rejected swapped, or the other label", b.Swapped, b.First)
		}
		if n := b.Shared.Prompts + b.Shared.Near; n > 0 {
			say(b.strict, b.Second, "%d prompts (%d rows) are also in %s, and %d more nearly are", b.Shared.Prompts, b.Shared.Rows, b.First, b.Shared.Near)
		}
	}
	for _, m := range r.Benchmarks {
		say(true, "", "%d rows have a prompt of the benchmark %s, %d of its %d prompts (first: %s): what a model that is trained on them scores there says little", m.Rows, m.Name, m.Prompts, m.Of, m.First[0])
	}
	if r.Near.Uncompared > 0 {
		say(false, "", "%d pairs of prompts that may be near duplicates were not compared: too many prompts are alike in part", r.Near.Uncompared)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		switch {
		case a.Wrong == b.Wrong:
			return 0
		case a.Wrong:
			return -1
		}
		return 1
	})
}

// lopsided is the share from which two kinds of pairs are not balanced.
const lopsided = 0.6

// Wrong are the findings that --strict does not accept.
func (r *Report) Wrong() (n int) {
	for _, f := range r.Findings {
		if f.Wrong {
			n++
		}
	}
	return n
}

// Lines say it for people.
func (r *Report) Lines() (lines []string) {
	add := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	for i, f := range r.Files {
		if i >= len(r.Files)-r.Against {
			add("held against %s", f.Head())
			continue
		}
		lines = append(lines, f.Lines()...)
	}
	add("benchmarks looked up: %d, of which %d have prompts in these files", len(r.Known), len(r.Benchmarks))
	var unknown []string
	for _, u := range r.Unknown {
		unknown = append(unknown, u.Name)
	}
	add("  not looked up, since their prompts are not known here: %s (--against FILE looks for those of a file)", strings.Join(unknown, "; "))
	for _, p := range r.Near.Pairs[:min(3, len(r.Near.Pairs))] {
		add("near duplicates: %s:%d and %s:%d (%.2f)", r.fileOf(p.First), p.First.Line, r.fileOf(p.Second), p.Second.Line, p.Jaccard)
	}
	for _, f := range r.Findings {
		word, file := "note", ""
		if f.Wrong {
			word = "wrong"
		}
		if f.File != "" {
			file = f.File + ": "
		}
		add("%s: %s%s", word, file, f.Text)
	}
	return lines
}

// byCount orders keys by their counts, the largest first.
func byCount(counts map[string]int) func(a, b string) int {
	return func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b)) }
}

// Lines say for people what a file holds, without what is wrong with it.
func (f *File) Lines() (lines []string) {
	add := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	add("%s", f.Head())
	add("  layout: %s; %d bytes, sha256 %.12s…", f.Schema, f.Bytes, f.SHA256)
	if len(f.Categories) > 1 {
		names := slices.SortedFunc(maps.Keys(f.Categories), byCount(f.Categories))
		for _, name := range names[:min(len(names), 10)] {
			add("  category %.60q: %d", name, f.Categories[name])
		}
		if n := len(names); n > 10 {
			add("  … and %d categories more", n-10)
		}
	}
	for _, unit := range []struct {
		name string
		of   map[string]Spread
	}{{"characters", f.Characters}, {"bytes", f.TextBytes}, {"tokens", f.Tokens}} {
		for _, name := range append(Texts(), Whole) {
			if s, ok := unit.of[name]; ok && (unit.name != "bytes" || s != f.Characters[name]) {
				add("  %s of %s: median %d, mean %.0f, 95 %% within %d, most %d", unit.name, name, s.Median, s.Mean, s.P95, s.Max)
			}
		}
	}
	if f.Kinds["pairs"] > 0 {
		line := fmt.Sprintf("  the longer response is the chosen one in %.1f %%", 100*f.Longer)
		if b := f.Bias; b != nil {
			line += fmt.Sprintf(" (%g %% interval by prompt: %.1f to %.1f)", 100*f.o.Level, 100*b.Interval.Low, 100*b.Interval.High)
		}
		add("%s", line)
	}
	if f.First != nil {
		add("  shown first: %s", record.Counts(f.First))
	}
	if f.Labels != nil {
		add("  labels: %s", record.Counts(f.Labels))
	}
	if f.Critiques > 0 {
		add("  records with critiques: %d", f.Critiques)
	}
	for _, reason := range slices.SortedFunc(maps.Keys(f.Reasons), byCount(f.Reasons)) {
		add("  bad: %d × %s", f.Reasons[reason], reason)
	}
	for _, text := range f.Bad[:min(len(f.Bad), 5)] {
		add("    %s", text)
	}
	for _, issue := range f.Issues[:min(len(f.Issues), 5)] {
		add("    %s", issue)
	}
	for _, n := range f.Notes {
		add("  %s", n)
	}
	return lines
}

// fileOf names the file that a row stands in.
func (r *Report) fileOf(p Place) string {
	return cmp.Or(p.Part, r.Files[p.File].Name)
}
