package trainer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"criticrm/checkpoint"
	"criticrm/internal/progress"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
	"criticrm/stage"
)

// Records is the Dataset of a file, as tokens in memory and, beyond data_memory, on the disk. As JSON it says what the file gave, as metrics.jsonl has it.
type Records struct {
	Path      string         `json:"file"`
	Rows      int            `json:"rows"`                       // good ones
	Used      int            `json:"examples"`                   // that became examples
	Dropped   map[string]int `json:"dropped,omitempty"`          // rows that are not used, by reason
	Shortened int            `json:"shortened,omitempty"`        // rows that were shortened to fit
	Idle      int            `json:"unused_critiques,omitempty"` // rows with critiques that the method does not read
	Margins   int            `json:"unused_margins,omitempty"`   // rows with a margin that the recipe does not use
	Zeros     int            `json:"without_margin,omitempty"`   // rows without a margin, where the recipe subtracts it
	BadRows   int            `json:"bad_rows,omitempty"`         // rows that could not be used, under max_bad
	Cut       int            `json:"max_samples,omitempty"`      // rows after which the reading ended; 0: all were read
	render.Counts
	record.Found

	examples  *shelf
	list      listing // that is not at its end
	maxTokens int     // that its critiques could have, if it says so
	critiques bool    // there are critiques to learn among them
	ask       string  // what was done with those of them that ended without a score
	hash      string

	most     int            // rows that are used; 0: all
	groups   map[string]int // names of categories, and their numbers; nil: nobody asks for them
	category []int16        // of each example; -1: it has none
}

// Len is the number of examples.
func (d *Records) Len() int { return d.examples.len() }

// Example is example i. It may come from the disk, whose errors it gives.
func (d *Records) Example(i int) (render.Example, error) { return d.examples.example(i) }

// Hash is the sha256 of the file's bytes and of the tokens they became.
func (d *Records) Hash() (string, error) { return d.hash, nil }

// Close gives back what the examples take of the disk.
func (d *Records) Close() error {
	if d == nil {
		return nil
	}
	return d.examples.close()
}

// String says what the file gave.
func (d *Records) String() string {
	s := fmt.Sprintf("%s: %d rows, %d examples", d.Path, d.Rows, d.Len())
	for _, reason := range slices.Sorted(maps.Keys(d.Dropped)) {
		s += fmt.Sprintf(", %d dropped (%s)", d.Dropped[reason], reason)
	}
	if d.Shortened > 0 {
		s += fmt.Sprintf(", %d shortened", d.Shortened)
	}
	for _, line := range d.Counts.Lines() {
		s += ", " + line
	}
	if d.Idle > 0 {
		s += fmt.Sprintf(", %d rows have critiques, which this method does not read", d.Idle)
	}
	if d.BadRows > 0 {
		s += fmt.Sprintf(", %d bad rows set aside", d.BadRows)
	}
	if d.Cut > 0 {
		s += fmt.Sprintf(", no more than these %d rows are read (max_samples)", d.Cut)
	}
	if d.Margins > 0 {
		s += fmt.Sprintf(", %d rows have a margin, which is not used (set use_margin or scale_by_margin)", d.Margins)
	}
	if d.Zeros > 0 {
		s += fmt.Sprintf(", %d rows have no margin, which counts as 0 (use_margin)", d.Zeros)
	}
	for _, n := range append(d.Found.Lines(), d.Found.Warnings()...) {
		s += "; " + n
	}
	if n := d.examples.onDisk(); n > 0 {
		s += fmt.Sprintf("; %s of tokens lie on the disk of %s", checkpoint.MiB(uint64(n)), d.examples.dir)
	}
	return s
}

// LoadRecords reads and renders a file of preference records, or of documents for language modelling, on as many goroutines as the recipe
// has threads. Every row is looked at before training begins; an error names file, line and field, and is the first of the file. limit is
// the longest sequence. Of the examples data_memory stay in memory; the others lie in a file without a name, on the disk of output_dir, which
// is gone with Close or with the process. report's log hears how far the reading is.
func LoadRecords(ctx context.Context, path string, r *render.Renderer, c Config, limit int, report Report) (*Records, error) {
	return loadRecords(ctx, &Records{Path: path, most: c.MaxSamples}, r, c, limit, report)
}

// loadHeldOut is LoadRecords of rows that are measured, by their categories too.
func loadHeldOut(ctx context.Context, path string, r *render.Renderer, c Config, limit int, report Report) (*Records, error) {
	return loadRecords(ctx, &Records{Path: path, most: c.MaxEvalSamples, groups: map[string]int{}}, r, c, limit, report)
}

func loadRecords(ctx context.Context, d *Records, r *render.Renderer, c Config, limit int, report Report) (*Records, error) {
	path := d.Path
	if path == "" {
		return nil, errors.New("trainer: no file of training records")
	}
	if err := stage.Unfinished(path); err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	in, err := record.Open(path, c.readOptions(r.Prompts.Columns()))
	if err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	defer in.Close()
	d.Dropped, d.examples = map[string]int{}, newShelf(int64(c.DataMemory)<<20, nearestDir(c.OutputDir))
	whole := false
	defer func() {
		if !whole {
			d.Close()
		}
	}()
	d.examples.left = func() int64 {
		read, of := in.Progress()
		return int64(float64(d.examples.at[d.Len()]) / float64(max(read, 1)) * float64(max(of-read, 0)))
	}
	meter := progress.New(cmp.Or(report.Log, io.Discard))
	defer meter.Close()
	o := c.Render(limit)
	err = record.Each(ctx, in, cmp.Or(c.Threads, runtime.GOMAXPROCS(0)), func(rec *record.Record) (rendered, error) {
		return renderRecord(rec, r, c, o)
	}, func(rec *record.Record, x rendered) error {
		read, of := in.Progress()
		meter.Read("reading "+record.Title(path), d.Rows, read, of)
		d.Rows++
		if err := d.add(rec, x, c); err != nil || d.Rows != d.most {
			return err
		}
		d.Cut = d.most
		return errEnough
	})
	if err != nil && err != errEnough {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	if err := d.keep(c, nil); err != nil {
		return nil, err
	}
	if err := stage.Altered(in); err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	d.Used, d.Found, d.BadRows = d.Len(), in.Found, len(in.Bad)
	if d.Len() == 0 {
		return nil, fmt.Errorf("trainer: nothing to train on: %v", d)
	}
	if err := d.examples.seal(); err != nil {
		return nil, err
	}
	if d.hash, err = d.sum(ctx, in); err != nil {
		return nil, err
	}
	whole = true
	return d, nil
}

// errEnough ends the reading of a file.
var errEnough = errors.New("enough rows")

// sum is what Hash gives.
func (d *Records) sum(ctx context.Context, in *record.Reader) (string, error) {
	file, _, err := in.Sum()
	if err != nil {
		return "", fmt.Errorf("trainer: %w", err)
	}
	h := sha256.New()
	io.WriteString(h, file)
	for i := range d.Len() {
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("trainer: %w", err)
		}
		e, err := d.Example(i)
		if err != nil {
			return "", err
		}
		e.Digest(h)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// rendered is what became of a record: an example as bytes, a response of a list, or why there is none.
type rendered struct {
	example []byte
	ranked  *ranked
	out     render.Outcome
}

// keep keeps an example, or the list that is whole with it; nil ends the last one.
func (d *Records) keep(c Config, next *ranked) error {
	whole, ok, err := d.list.add(next)
	switch {
	case err != nil:
		return fmt.Errorf("trainer: %s: %w", d.Path, err)
	case !ok:
		d.Dropped[dropUnranked]++
	case whole != nil:
		if over := whole.Size(c.Parts()); over.Pairs == 0 && over.Weight == 0 {
			d.Dropped[dropUnranked]++
			return nil
		}
		b, err := whole.AppendBinary(nil)
		if err != nil {
			return fmt.Errorf("trainer: %s: %w", d.Path, err)
		}
		if d.groups != nil {
			d.category = append(d.category, d.list.group)
		}
		return d.examples.add(b)
	}
	return nil
}

// renderRecord renders a record. It only reads what it is given, and so may be called by several goroutines at once.
func renderRecord(rec *record.Record, r *render.Renderer, c Config, o render.Options) (x rendered, err error) {
	document := !rec.Paired() // or one response with its prompt
	switch {
	case c.Method == LM && !document:
		err = rec.Fault("method lm wants documents: text, input_ids, messages, or prompt with completion; this row is a pair")
	case c.Method != LM && c.Method != SFT && rec.Document != nil:
		err = rec.Fault("method %s wants pairs (chosen and rejected), this row is a document", c.Method)
	case (c.regression() || c.lists()) && rec.Dropped != "" && c.Method == Critic:
		x.out.Dropped = "by the filter: " + rec.Dropped
		return x, nil
	case c.lists() && document:
		x.ranked = &ranked{prompt: rec.Prompt.Key()}
		if x.ranked.list, x.ranked.rank, err = rec.Place(); err == nil && x.ranked.list == "" {
			err = rec.Fault("loss_type %s wants ranked responses (columns %s and %s, as --ranked %s makes them) or pairs, this row has one response",
				PlackettLuce, record.ListColumn, record.RankColumn, record.RankedList)
		}
		document = false
	case c.regression():
		document = false
	case c.Method != LM && c.Method != SFT && document && rec.Correct == nil:
		err = rec.Fault("method %s wants pairs (chosen and rejected) or responses with a label (correct), this row has one response", c.Method)
	case c.ScaleByMargin && rec.Correct != nil:
		err = rec.Fault("scale_by_margin wants pairs with a margin, this row has one response")
	case document && rec.Correct != nil && c.rewards():
		document = false
	case rec.Dropped != "" && c.Method != BT && c.Method != Cloud:
		x.out.Dropped = "by the filter: " + rec.Dropped
		return x, nil
	}
	var e render.Example
	switch {
	case err != nil:
	case document:
		e, x.out, err = r.Document(rec, o)
	default:
		e, x.out, err = r.Pair(rec, o)
	}
	if err != nil || x.out.Dropped != "" {
		return x, err
	}
	if r.Vocab > 0 { // ids that a row brings may be another model's: say so now, not in the step that meets them
		if err := e.Check(c.Parts(), r.Vocab); err != nil {
			return x, rec.Fault("%v", err)
		}
	}
	if x.ranked != nil {
		x.ranked.Example = e
		return x, nil
	}
	if x.example, err = e.AppendBinary(nil); err != nil {
		return x, rec.Fault("%v", err)
	}
	return x, nil
}

// maxReasons bounds how many reasons of dropped rows are counted apart: a row may bring one of its own.
const maxReasons = 100

// add keeps a record's example, or counts why there is none.
func (d *Records) add(rec *record.Record, x rendered, c Config) error {
	d.Counts.Add(x.out.Counts)
	if why := x.out.Dropped; why != "" {
		if _, ok := d.Dropped[why]; !ok && len(d.Dropped) >= maxReasons {
			why = "for other reasons"
		}
		d.Dropped[why]++
		return nil
	}
	if x.out.Shortened {
		d.Shortened++
	}
	if rec.Margin != nil && c.rewards() && !c.UseMargin && !c.ScaleByMargin {
		d.Margins++
	}
	if rec.Margin == nil && c.rewards() && c.UseMargin {
		d.Zeros++
	}
	document := !rec.Paired() && !c.rewards() // else it is an example with a label or a score
	if len(rec.ChosenCritiques)+len(rec.RejectedCritiques)+len(rec.Critiques) > 0 && (document || !c.critiques()) {
		d.Idle++
	}
	if !document && c.critiques() {
		d.critiques = true
		if info := rec.Critic; info != nil {
			d.maxTokens = max(d.maxTokens, info.Sampling.MaxTokens)
			if d.ask == "" {
				d.ask = info.AskScore
			}
		}
	}
	if x.ranked != nil {
		if d.groups != nil {
			x.ranked.group = d.group(rec.Group())
		}
		return d.keep(c, x.ranked)
	}
	if c.lists() { // a pair ends a list
		if err := d.keep(c, nil); err != nil {
			return err
		}
	}
	if d.groups != nil {
		d.category = append(d.category, d.group(rec.Group()))
	}
	return d.examples.add(x.example)
}

// maxCategories bounds how many categories are measured apart, and maxCategory the characters of a name.
const maxCategories, maxCategory = 100, 60

// group is the number of a category.
func (d *Records) group(name string) int16 {
	if name == "all" { // it has none
		return -1
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, name)
	if r := []rune(name); len(r) > maxCategory {
		name = string(r[:maxCategory]) + "…"
	}
	if _, ok := d.groups[name]; !ok && len(d.groups) >= maxCategories {
		name = "others"
	}
	k, ok := d.groups[name]
	if !ok {
		k = len(d.groups)
		d.groups[name] = k
	}
	return int16(k)
}

// Categories implements [Categorised].
func (d *Records) Categories() []string {
	names := make([]string, len(d.groups))
	for name, k := range d.groups {
		names[k] = name
	}
	return names
}

// Category implements [Categorised].
func (d *Records) Category(i int) int { return int(d.category[i]) }

// facts say which file this is, for the model that is trained on it.
func (d *Records) facts(use string) modeldir.Data {
	return modeldir.Data{Use: use, Name: record.Title(d.Path), SHA256: d.hash, Rows: d.Rows, Used: d.Len()}
}

// pairKey identifies what two responses answer, and which of them is the better one.
type pairKey [16]byte

func keyOf(e *render.Example, chosen, rejected render.Branch) (k pairKey) {
	h := sha256.New()
	alone := render.Example{Prompt: e.Prompt, Chosen: render.Reply{Response: chosen}, Rejected: render.Reply{Response: rejected}, Document: e.Document}
	for _, s := range e.Ranked {
		alone.Ranked, alone.Ranks = append(alone.Ranked, render.Reply{Response: s.Response}), e.Ranks
	}
	alone.Digest(h)
	copy(k[:], h.Sum(nil))
	return k
}

// overlap counts the evaluation examples that are trained on, as they are or with chosen and rejected swapped: an evaluation on rows that
// were trained on says little. Keys of the smaller of both are in memory.
func overlap(train, eval *Records) (same, swapped int, err error) {
	each := func(d *Records, visit func(key, swapped pairKey)) {
		for i := 0; i < d.Len() && err == nil; i++ {
			var e render.Example
			if e, err = d.Example(i); err == nil {
				visit(keyOf(&e, e.Chosen.Response, e.Rejected.Response), keyOf(&e, e.Rejected.Response, e.Chosen.Response))
			}
		}
	}
	trained := map[pairKey]bool{}
	few := eval.Len() < train.Len()
	if few {
		each(eval, func(key, swapped pairKey) { trained[key], trained[swapped] = false, false })
	}
	each(train, func(key, _ pairKey) {
		if _, asked := trained[key]; asked || !few {
			trained[key] = true
		}
	})
	each(eval, func(key, other pairKey) {
		switch {
		case trained[key]:
			same++
		case trained[other]:
			swapped++
		}
	})
	return same, swapped, err
}
