package trainer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"criticrm/record"
)

// Records is the Dataset of a file, as tokens in memory.
type Records struct {
	Path    string
	Rows    int            // rows of the file
	Dropped map[string]int // rows that are not used, by reason
	Cut     int            // rows that were shortened to fit
	Length  int            // critiques that the sampling limit had cut
	Empty   int            // critiques that were left out because they are empty

	examples []Example
	hash     string
}

// Len is the number of examples.
func (d *Records) Len() int { return len(d.examples) }

// Example is example i.
func (d *Records) Example(i int) (Example, error) { return d.examples[i], nil }

// Hash is the sha256 of the file's bytes and of the tokens they became.
func (d *Records) Hash() (string, error) { return d.hash, nil }

// String says what the file gave.
func (d *Records) String() string {
	s := fmt.Sprintf("%s: %d rows, %d examples", d.Path, d.Rows, len(d.examples))
	for _, reason := range slices.Sorted(maps.Keys(d.Dropped)) {
		s += fmt.Sprintf(", %d dropped (%s)", d.Dropped[reason], reason)
	}
	if d.Cut > 0 {
		s += fmt.Sprintf(", %d shortened", d.Cut)
	}
	if d.Length > 0 {
		s += fmt.Sprintf(", %d critiques without an end (cut when sampled)", d.Length)
	}
	if d.Empty > 0 {
		s += fmt.Sprintf(", %d empty critiques left out", d.Empty)
	}
	return s
}

// LoadRecords reads and renders a file of preference records, or of documents for language modelling. Every row is looked at
// before training begins; an error names file, line and field. limit is the longest sequence.
func LoadRecords(path string, r *Renderer, c Config, limit int) (*Records, error) {
	if path == "" {
		return nil, errors.New("trainer: no file of training records")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("trainer: %s: not a regular file", path)
	}
	d := &Records{Path: path, Dropped: map[string]int{}}
	documents := c.Method == LM
	if c.Method == SFT {
		if documents, err = isDocuments(path); err != nil {
			return nil, err
		}
	}
	if documents {
		err = d.readDocuments(r, c, limit)
	} else {
		err = d.readPairs(r, c, limit)
	}
	if err != nil {
		return nil, err
	}
	if len(d.examples) == 0 {
		return nil, fmt.Errorf("trainer: nothing to train on: %v", d)
	}
	d.hash, err = d.digest()
	return d, err
}

func (d *Records) readDocuments(r *Renderer, c Config, limit int) error {
	rest := float32(0)
	if c.Method == LM {
		rest = float32(c.PromptWeight)
	}
	return readDocuments(d.Path, func(line int, row *documentRow) error {
		d.Rows++
		b, err := r.document(row, rest)
		if err != nil {
			return err
		}
		e := Example{ID: fmt.Sprintf("row-%d", line), Document: b}
		if row.ID != nil {
			e.ID = fmt.Sprint(row.ID)
		}
		if len(b.IDs) < 2 {
			d.Dropped["fewer than two tokens"]++
			return nil
		}
		cut, drop, err := e.fit(&c, limit)
		if drop {
			d.Dropped[dropOverlong]++
			return nil
		}
		if cut {
			d.Cut++
		}
		d.examples = append(d.examples, e)
		return err
	})
}

func (d *Records) readPairs(r *Renderer, c Config, limit int) error {
	in, err := record.Open(d.Path, record.ReadOptions{})
	if err != nil {
		return fmt.Errorf("trainer: %w", err)
	}
	defer in.Close()
	for {
		rec, err := in.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("trainer: %w", err)
		}
		d.Rows++
		switch {
		case !rec.Paired():
			return fmt.Errorf("trainer: %s:%d: method %s wants pairs (chosen and rejected), this row has one response", d.Path, rec.Line, c.Method)
		case rec.Dropped != "" && c.Method != BT && c.Method != Cloud:
			d.Dropped["by the filter: "+rec.Dropped]++
			continue
		}
		e, o, err := r.Pair(rec, c, limit)
		if err != nil {
			return fmt.Errorf("%s: %w", d.Path, err)
		}
		d.Empty += o.Empty
		if o.Dropped != "" {
			d.Dropped[o.Dropped]++
			continue
		}
		if o.Cut {
			d.Cut++
		}
		d.Length += o.Length
		d.examples = append(d.examples, e)
	}
}

// digest hashes the file and the examples.
func (d *Records) digest() (string, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return "", fmt.Errorf("trainer: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("trainer: read %s: %w", d.Path, err)
	}
	for i := range d.examples {
		d.examples[i].digest(h)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// digest writes all that training reads of an example, each list after its length.
func (e *Example) digest(h hash.Hash) {
	var b []byte
	u := func(x uint32) { b = binary.LittleEndian.AppendUint32(b, x) }
	branch := func(x Branch) {
		u(uint32(len(x.IDs)))
		u(uint32(x.Read))
		for i, id := range x.IDs {
			u(uint32(id))
			u(math.Float32bits(x.weight(i)))
		}
	}
	branch(e.Document)
	branch(Branch{IDs: e.Prompt})
	u(math.Float32bits(e.Margin))
	for _, s := range []*Side{&e.Chosen, &e.Rejected} {
		branch(s.Response)
		u(uint32(len(s.Critiques)))
		for _, z := range s.Critiques {
			branch(z)
		}
	}
	h.Write(b)
}

// overlap lists prompts that occur in both data sets, as a count: an evaluation on rows that were trained on says little.
func overlap(train, eval *Records) int {
	key := func(e *Example) string {
		h := sha256.New()
		(&Example{Prompt: e.Prompt, Chosen: Side{Response: e.Chosen.Response}, Rejected: Side{Response: e.Rejected.Response}, Document: e.Document}).digest(h)
		return string(h.Sum(nil))
	}
	seen := map[string]bool{}
	for i := range train.examples {
		seen[key(&train.examples[i])] = true
	}
	n := 0
	for i := range eval.examples {
		if seen[key(&eval.examples[i])] {
			n++
		}
	}
	return n
}

// promptsMatch refuses critiques that were asked for with other prompts than the ones they would be trained behind.
func promptsMatch(rec *record.Record, hash string) error {
	if rec.Critic != nil && rec.Critic.Prompts != "" && rec.Critic.Prompts != hash {
		return fmt.Errorf("the critiques were written with the prompts %s, this run has %s: give the same prompt_dir", strings.TrimSpace(rec.Critic.Prompts), hash)
	}
	return nil
}
