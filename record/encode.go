package record

// Records back to JSONL: input fields keep their order, new ones follow; one line per record.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// AppendJSON appends the record as one line of JSON without the newline. Errors name the record: a reward or
// score that is not finite, or text that is not UTF-8, is never written.
func (r *Record) AppendJSON(dst []byte) ([]byte, error) {
	e := &encoder{b: append(dst, '{')}
	start := len(e.b)
	table, done := columns(), make(map[string]bool)
	put := func(key string, value func()) {
		if len(e.b) > start {
			e.b = append(e.b, ',')
		}
		e.text(key)
		e.b = append(e.b, ':')
		value()
		done[key] = true
	}
	for _, m := range r.order {
		if c, ok := table.of(m.key); ok && c.has != nil && c.has(r) { // also replaces a null that the input had
			put(m.key, func() { c.write(e, r) })
		} else if m.raw != nil {
			put(m.key, func() { e.b = append(e.b, m.raw...) })
		}
	}
	for _, c := range table {
		if !done[c.key] && c.has != nil && c.has(r) {
			put(c.key, func() { c.write(e, r) })
		}
	}
	if e.err != nil {
		return dst, fmt.Errorf("record: write record %.40q: %w", r.ID, e.err)
	}
	return append(e.b, '}'), nil
}

// MarshalJSON is AppendJSON for encoding/json.
func (r *Record) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil) }

// encoder appends JSON; the first error sticks.
type encoder struct {
	b   []byte
	err error
}

func (e *encoder) id(r *Record) {
	if r.numericID {
		e.b = append(e.b, r.ID...)
	} else {
		e.text(r.ID)
	}
}

func (e *encoder) prompt(r *Record) {
	if len(r.Prompt.Messages) > 0 {
		e.messages(r.Prompt.Messages)
	} else {
		e.text(r.Prompt.Text)
	}
}

func (e *encoder) tokens(ids []int32) {
	list(e, ids, func(id int32) { e.b = strconv.AppendInt(e.b, int64(id), 10) })
}

func (e *encoder) marshal(v any) {
	b, err := json.Marshal(v)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.b = append(e.b, b...)
}

// list appends an array, whose items item appends.
func list[T any](e *encoder, items []T, item func(T)) {
	e.b = append(e.b, '[')
	for i, x := range items {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		item(x)
	}
	e.b = append(e.b, ']')
}

func (e *encoder) messages(messages []tokenizer.Message) {
	list(e, messages, func(m tokenizer.Message) {
		e.b = append(e.b, `{"role":`...)
		e.text(m.Role)
		e.b = append(e.b, `,"content":`...)
		e.text(m.Content)
		e.b = append(e.b, '}')
	})
}

func (e *encoder) critiques(critiques []Critique) {
	list(e, critiques, func(c Critique) { e.critique(&c) })
}

func (e *encoder) critique(c *Critique) {
	key := func(k string) { e.b = append(append(append(e.b, `,"`...), k...), `":`...) }
	e.b = append(e.b, `{"text":`...)
	e.text(c.Text)
	if c.Score != nil {
		key("score")
		e.number(*c.Score)
	}
	if c.Chance != 0 {
		key("chance")
		e.number(c.Chance)
	}
	for _, f := range [...]struct{ k, v string }{{"verdict", c.Verdict}, {"finish_reason", c.FinishReason}, {"origin", c.Origin}} {
		if f.v != "" {
			key(f.k)
			e.text(f.v)
		}
	}
	if c.Kept != nil {
		key("kept")
		e.b = strconv.AppendBool(e.b, *c.Kept)
	}
	if c.Reason != "" {
		key("reason")
		e.text(c.Reason)
	}
	if c.Rank != 0 {
		key("rank")
		e.b = strconv.AppendInt(e.b, int64(c.Rank), 10)
	}
	if len(c.Meta) > 0 {
		key("meta")
		list(e, c.Meta, e.number)
	}
	if c.MetaAsked != 0 {
		key("meta_asked")
		e.b = strconv.AppendInt(e.b, int64(c.MetaAsked), 10)
	}
	if c.Reward != nil {
		key("reward")
		e.float(float64(*c.Reward), 32)
	}
	if c.Correct != nil {
		key("correct")
		e.b = strconv.AppendBool(e.b, *c.Correct)
	}
	if c.LogProb != 0 {
		key("logprob")
		e.number(c.LogProb)
	}
	if c.AskedTokens != 0 {
		key("asked_tokens")
		e.b = strconv.AppendInt(e.b, int64(c.AskedTokens), 10)
	}
	if len(c.Tokens) > 0 {
		key("tokens")
		e.tokens(c.Tokens)
	}
	for _, m := range c.extra {
		e.b = append(e.b, ',')
		e.text(m.key)
		e.b = append(append(e.b, ':'), m.raw...)
	}
	e.b = append(e.b, '}')
}

func (e *encoder) number(v float64) { e.float(v, 64) }

// float prints the shortest text that reads back to the same bits.
func (e *encoder) float(v float64, bits int) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		if e.err == nil {
			e.err = fmt.Errorf("number %v is not finite", v)
		}
		return
	}
	e.b = strconv.AppendFloat(e.b, v, 'g', -1, bits)
}

// text appends a JSON string.
func (e *encoder) text(s string) {
	b, ok := strictjson.AppendString(e.b, s)
	if !ok && e.err == nil {
		e.err = fmt.Errorf("text %.40q is not valid UTF-8", s)
	}
	e.b = b
}

// WriteRecords writes one line per record.
func WriteRecords(w io.Writer, records []*Record) error {
	bw := bufio.NewWriterSize(w, 1<<20)
	var line []byte
	for _, r := range records {
		var err error
		if line, err = r.AppendJSON(line[:0]); err != nil {
			return err
		}
		line = append(line, '\n')
		if _, err := bw.Write(line); err != nil {
			return fmt.Errorf("record: write records: %w", err)
		}
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("record: write records: %w", err)
	}
	return nil
}
