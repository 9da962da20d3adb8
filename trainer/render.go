package trainer

import (
	"fmt"

	"criticrm/record"
	"criticrm/tokenizer"
)

// Encoder spells a conversation as tokens; with generation, up to the place where the model is to write.
// *tokenizer.Chat is one.
type Encoder interface {
	Encode(messages []tokenizer.Message, generation bool) ([]int32, error)
}

// Renderer makes examples of records: it is the one place where text becomes training tokens.
type Renderer struct {
	Chat Encoder
	// Text spells plain text, without control tokens; it is for critiques that were not sampled, and for documents.
	Text func(text string) []int32
	// Decode is the text of tokens; it is for records that must be shortened.
	Decode func(ids []int32) string
	// End ends a turn: it is put behind critiques and documents that have no tokens of their own.
	End int32
	// Ends are the tokens that end a sampled critique; none: End only.
	Ends []int32
	// BOS is put before documents of plain text; nil if the tokenizer puts nothing there.
	BOS []int32
	// Request is the conversation that ends where a critique of a response is written.
	Request func(r *record.Record, s record.Side) ([]tokenizer.Message, error)
}

// Outcome says what became of a record.
type Outcome struct {
	Dropped string // why it is not used; "" if it is
	Cut     bool   // it was shortened to fit
	Length  int    // critiques that the sampling limit had cut, and that have no end token therefore
	Empty   int    // critiques without a token that head_position could read a reward at; they are left out
}

// Reasons why a record is not used.
const (
	dropNoCritiques = "no critiques"
	dropOverlong    = "too long"
	dropEqual       = "equal responses"
)

// Pair makes an example of a preference record. The tokens that both sides begin with are the shared prompt; a critique's
// tokens are those that were sampled, or its text and the end-of-turn token. A scalar model's reward is read at the last
// token of the rendered conversation. limit is the longest sequence. Critiques are trained behind what their critic has read: a
// record that was cut when it was sampled is cut in the same places, and more only if it is over the limit still.
func (d *Renderer) Pair(rec *record.Record, c Config, limit int) (Example, Outcome, error) {
	var e Example
	var o Outcome
	from := *rec
	if c.Method == BT {
		from.Cut = nil // there are no critiques
	}
	f := record.Shortener{Encode: d.Text, Decode: d.Decode}
	cut, left, err := f.Fit(&from, c.Overlong, func(r *record.Record) (over []int, err error) {
		if e, o, err = d.pair(r, c); err != nil || o.Dropped != "" {
			return nil, err
		}
		by := e.over(&c, limit)
		return by[:], nil
	})
	o.Cut = cut != nil
	switch {
	case err != nil || left == 0:
		return e, o, err
	case c.Overlong == record.OverlongError:
		return e, o, fmt.Errorf("trainer: record %q (line %d): %d tokens, the limit is %d (set overlong to drop, truncate-left or truncate-right)",
			rec.ID, rec.Line, limit+left, limit)
	}
	return e, Outcome{Dropped: dropOverlong}, nil
}

// pair renders a record as it is.
func (d *Renderer) pair(r *record.Record, c Config) (Example, Outcome, error) {
	var o Outcome
	e := Example{ID: r.ID}
	if r.Margin != nil {
		e.Margin = float32(*r.Margin)
	}
	var ids [2][]int32
	for i, s := range [...]record.Side{record.Chosen, record.Rejected} {
		var err error
		if c.Method == BT {
			ids[i], err = d.Chat.Encode(r.Messages(s), false)
		} else {
			ids[i], err = d.request(r, s)
		}
		if err != nil {
			return e, o, fmt.Errorf("trainer: record %q (line %d): %s: %w", r.ID, r.Line, s, err)
		}
	}
	n := commonPrefix(ids[0], ids[1])
	if n == len(ids[0]) && n == len(ids[1]) {
		o.Dropped = dropEqual
		return e, o, nil
	}
	n = min(n, len(ids[0])-1, len(ids[1])-1) // a response keeps a token of its own, to read a reward and to predict from
	e.Prompt = ids[0][:n:n]
	for i, s := range [...]record.Side{record.Chosen, record.Rejected} {
		side := []*Side{&e.Chosen, &e.Rejected}[i]
		side.Response = Branch{IDs: ids[i][n:], Read: len(ids[i]) - n - 1}
		d.critiques(side, r, s, c, &o)
	}
	if c.Method != BT && len(e.Chosen.Critiques) == 0 && len(e.Rejected.Critiques) == 0 {
		o.Dropped = dropNoCritiques
	}
	return e, o, nil
}

func (d *Renderer) request(r *record.Record, s record.Side) ([]int32, error) {
	m, err := d.Request(r, s)
	if err != nil {
		return nil, err
	}
	return d.Chat.Encode(m, true)
}

// critiques adds a side's critiques: all of them for cloud, else those that are kept.
func (d *Renderer) critiques(side *Side, r *record.Record, s record.Side, c Config, o *Outcome) {
	list := r.Kept(s)
	switch c.Method {
	case BT:
		return
	case Cloud:
		list = *r.SideCritiques(s)
	}
	if c.MaxCritiques > 0 && len(list) > c.MaxCritiques {
		list = list[:c.MaxCritiques]
	}
	for _, z := range list {
		b := d.critique(z, c)
		if b.Read < 0 { // the model ended at once: there is no token to read a reward at
			o.Empty++
			continue
		}
		if z.FinishReason == record.FinishLength {
			o.Length++
		}
		side.Critiques = append(side.Critiques, b)
	}
}

func (d *Renderer) critique(z record.Critique, c Config) Branch {
	ids := z.Tokens
	if len(ids) == 0 {
		ids = d.Text(z.Text)
		if z.FinishReason != record.FinishLength {
			ids = append(ids[:len(ids):len(ids)], d.End)
		}
	}
	ends := d.Ends
	if ends == nil {
		ends = []int32{d.End}
	}
	return Branch{IDs: ids, Read: c.readAt().Index(ids, ends)} // as Generate reads it
}

// over is by how many tokens the longest branch of each side is over the limit.
func (e *Example) over(c *Config, limit int) (over [2]int) {
	for i, s := range []*Side{&e.Chosen, &e.Rejected} {
		longest := 0
		for _, z := range c.critiquesOf(s) {
			longest = max(longest, len(z.IDs))
		}
		over[i] = len(e.Prompt) + len(s.Response.IDs) + longest - limit
	}
	return over
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
