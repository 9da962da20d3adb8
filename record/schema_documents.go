package record

// Rows for language modelling.

import "math"

// Tokens is input_ids, with a loss weight for each or without.
var Tokens = Schema{Name: "input_ids", Group: single, For: ForDocuments, Has: "token ids, with a loss weight for each (`weights`) or without", From: "this program",
	Keys: []string{"input_ids"}, is: documentBy("input_ids"), decode: one(decodeTokens)}

func decodeTokens(rec *Record, r *row) error {
	d := rec.document()
	if err := first(r.oneForm, func() error { return r.optTokens("input_ids", &d.IDs) }); err != nil {
		return err
	}
	if len(d.IDs) == 0 {
		return badField("%q is empty", "input_ids")
	}
	var weights []float64
	if err := r.optNumbers("weights", &weights); err != nil {
		return err
	}
	if weights != nil && len(weights) != len(d.IDs) {
		return badField("weights has %d numbers, input_ids %d", len(weights), len(d.IDs))
	}
	for i, w := range weights {
		v := float32(w)
		if !(v >= 0) || math.IsInf(float64(v), 0) {
			return badField("weights[%d] is %v, want a number from 0", i, w)
		}
		d.Weights = append(d.Weights, v)
	}
	return nil
}

// Messages is a conversation.
var Messages = Schema{Name: "messages", Group: single, For: ForDocuments, Has: "`messages`, a conversation", From: "OpenAI, TRL",
	Keys: []string{"messages"}, is: documentBy("messages"), decode: one(func(rec *Record, r *row) (err error) {
		if err = r.oneForm(); err == nil {
			rec.document().Messages, err = r.messages("messages")
		}
		return err
	})}

// Text is plain text.
var Text = Schema{Name: "text", Group: single, For: ForDocuments, Has: "`text`, plain", From: "language modelling",
	Keys: []string{"text"}, is: documentBy("text"), decode: one(func(rec *Record, r *row) (err error) {
		rec.document().Text, err = r.anyText("text")
		return err
	})}

// documentBy is for rows with a key of a document, and no preference.
func documentBy(key string) func(*row) bool {
	return func(r *row) bool { return r.has(key) && r.kind("chosen") == "" && r.kind("rejected") == "" }
}

func (rec *Record) document() *Document {
	if rec.Document == nil {
		rec.Document = &Document{}
	}
	return rec.Document
}

// oneForm refuses a row that is a document in several ways: nobody can say which is meant.
func (r *row) oneForm() error {
	n := 0
	for _, key := range [...]string{"text", "input_ids", "messages"} {
		if r.has(key) {
			n++
		}
	}
	if n > 1 {
		return badField("want one of text, input_ids, messages, or prompt with completion; found %d of them", n)
	}
	return nil
}
