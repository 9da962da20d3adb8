package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
	"criticrm/stage"
)

// Records is the Dataset of a file, as tokens in memory. As JSON it says what the file gave, as metrics.jsonl has it.
type Records struct {
	Path      string         `json:"file"`
	Rows      int            `json:"rows"`                       // good ones
	Used      int            `json:"examples"`                   // that became examples
	Dropped   map[string]int `json:"dropped,omitempty"`          // rows that are not used, by reason
	Shortened int            `json:"shortened,omitempty"`        // rows that were shortened to fit
	Idle      int            `json:"unused_critiques,omitempty"` // rows with critiques that the method does not read
	Margins   int            `json:"unused_margins,omitempty"`   // rows with a margin that the recipe does not use
	BadRows   int            `json:"bad_rows,omitempty"`         // rows that could not be used, under max_bad
	render.Counts
	record.Found

	examples  []render.Example
	maxTokens int    // that its critiques could have, if it says so
	critiques bool   // there are critiques to learn among them
	ask       string // what was done with those of them that ended without a score
	hash      string
}

// Len is the number of examples.
func (d *Records) Len() int { return len(d.examples) }

// Example is example i.
func (d *Records) Example(i int) (render.Example, error) { return d.examples[i], nil }

// Hash is the sha256 of the file's bytes and of the tokens they became.
func (d *Records) Hash() (string, error) { return d.hash, nil }

// String says what the file gave.
func (d *Records) String() string {
	s := fmt.Sprintf("%s: %d rows, %d examples", d.Path, d.Rows, len(d.examples))
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
	if d.Margins > 0 {
		s += fmt.Sprintf(", %d rows have a margin, which is not used (set use_margin)", d.Margins)
	}
	for _, n := range d.Found.Lines() {
		s += "; " + n
	}
	return s
}

// LoadRecords reads and renders a file of preference records, or of documents for language modelling. Every row is looked at
// before training begins; an error names file, line and field. limit is the longest sequence.
func LoadRecords(ctx context.Context, path string, r *render.Renderer, c Config, limit int) (*Records, error) {
	if path == "" {
		return nil, errors.New("trainer: no file of training records")
	}
	if err := stage.Unfinished(path); err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	d := &Records{Path: path, Dropped: map[string]int{}}
	o := c.Render(limit)
	var reads []string
	if c.critiques() {
		reads = r.Prompts.Columns()
	}
	in, err := record.Open(path, record.ReadOptions{MaxBad: c.MaxBad, Reads: reads, Layout: c.Layout, Check: func(rec *record.Record) error { return d.add(rec, r, c, o) }})
	if err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	defer in.Close()
	for _, err := range in.Records() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("trainer: %w", err)
		}
		d.Rows++
	}
	if err := stage.Altered(in); err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	d.Used, d.Found, d.BadRows = len(d.examples), in.Found, len(in.Bad)
	if len(d.examples) == 0 {
		return nil, fmt.Errorf("trainer: nothing to train on: %v", d)
	}
	sum, _, err := in.Sum()
	if err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	h := sha256.New()
	io.WriteString(h, sum)
	for i := range d.examples {
		d.examples[i].Digest(h)
	}
	d.hash = hex.EncodeToString(h.Sum(nil))
	return d, nil
}

// add renders a record, or counts why it is not used.
func (d *Records) add(rec *record.Record, r *render.Renderer, c Config, o render.Options) error {
	document := !rec.Paired() // or one response with its prompt
	var err error
	switch {
	case c.Method == LM && !document:
		err = rec.Fault("method lm wants documents: text, input_ids, messages, or prompt with completion; this row is a pair")
	case c.Method != LM && c.Method != SFT && rec.Document != nil:
		err = rec.Fault("method %s wants pairs (chosen and rejected), this row is a document", c.Method)
	case c.Method != LM && c.Method != SFT && document:
		err = rec.Fault("method %s wants pairs (chosen and rejected), this row has one response", c.Method)
	case rec.Dropped != "" && c.Method != BT && c.Method != Cloud:
		d.Dropped["by the filter: "+rec.Dropped]++
		return nil
	}
	var e render.Example
	var out render.Outcome
	switch {
	case err != nil:
	case document:
		e, out, err = r.Document(rec, o)
	default:
		e, out, err = r.Pair(rec, o)
	}
	if err != nil {
		return err
	}
	d.Counts.Add(out.Counts)
	if out.Dropped != "" {
		d.Dropped[out.Dropped]++
		return nil
	}
	if r.Vocab > 0 { // ids that a row brings may be another model's: say so now, not in the step that meets them
		if err := e.Check(c.Parts(), r.Vocab); err != nil {
			return rec.Fault("%v", err)
		}
	}
	if out.Shortened {
		d.Shortened++
	}
	if rec.Margin != nil && c.rewards() && !c.UseMargin {
		d.Margins++
	}
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
	d.examples = append(d.examples, e)
	return nil
}

// facts say which file this is, for the model that is trained on it.
func (d *Records) facts(use string) modeldir.Data {
	return modeldir.Data{Use: use, Name: filepath.Base(d.Path), SHA256: d.hash, Rows: d.Rows, Used: len(d.examples)}
}

// overlap counts the evaluation examples that are trained on, as they are or with chosen and rejected swapped: an evaluation on rows that
// were trained on says little.
func overlap(train, eval *Records) (same, swapped int) {
	key := func(e *render.Example, chosen, rejected render.Branch) string {
		h := sha256.New()
		(&render.Example{Prompt: e.Prompt, Chosen: render.Reply{Response: chosen}, Rejected: render.Reply{Response: rejected}, Document: e.Document}).Digest(h)
		return string(h.Sum(nil))
	}
	seen := map[string]bool{}
	for i := range train.examples {
		e := &train.examples[i]
		seen[key(e, e.Chosen.Response, e.Rejected.Response)] = true
	}
	for i := range eval.examples {
		switch e := &eval.examples[i]; {
		case seen[key(e, e.Chosen.Response, e.Rejected.Response)]:
			same++
		case seen[key(e, e.Rejected.Response, e.Chosen.Response)]:
			swapped++
		}
	}
	return same, swapped
}
