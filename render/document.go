package render

import (
	"errors"
	"fmt"
	"slices"

	"criticrm/model"
	"criticrm/record"
	"criticrm/tokenizer"
)

// Document makes an example for language modelling of a document, or of a single response with its prompt. The loss covers all tokens of a
// text, the given weights of input_ids, and the assistant's words of a conversation; other words of a conversation have the weight
// o.Rest. A document over the limit loses its start or its end, as the policy says: conversations lose words of their messages, never the
// tokens that the template writes, and a text keeps its begin-of-text token.
func (d *Renderer) Document(rec *record.Record, o Options) (Example, Outcome, error) {
	b, out, err := d.document(rec, o)
	e := Example{ID: rec.ID, Document: b}
	switch {
	case err != nil:
		return e, out, rec.Fault("%v", err)
	case out.Dropped != "":
	case len(b.IDs) < 2:
		out.Dropped = DropShort
	case e.Size(o.Parts).Weight == 0:
		out.Dropped = DropUntrained
	}
	return e, out, nil
}

func (d *Renderer) document(rec *record.Record, o Options) (Branch, Outcome, error) {
	doc := rec.Document
	switch {
	case doc == nil && rec.Correct != nil && !*rec.Correct:
		return Branch{}, Outcome{Dropped: DropWrong}, nil
	case doc == nil:
		return d.shortConversation(rec, o)
	case doc.Messages != nil:
		return d.shortConversation(asConversation(rec), o)
	case doc.IDs != nil:
		return d.cutTokens(Branch{IDs: doc.IDs, Weight: doc.Weights}, o)
	}
	return d.cutTokens(Branch{IDs: slices.Concat(d.BOS, d.Text(doc.Text), []int32{d.End})}, o)
}

// cutTokens shortens tokens that no template has written. A begin-of-text token stays when the start goes.
func (d *Renderer) cutTokens(b Branch, o Options) (Branch, Outcome, error) {
	keep := 0
	if len(d.BOS) > 0 && len(b.IDs) > 0 && b.IDs[0] == d.BOS[0] {
		keep = 1
	}
	over := len(b.IDs) - o.Limit
	if o.Limit <= 0 || over <= 0 {
		return b, Outcome{}, nil
	}
	switch {
	case o.Overlong == record.OverlongError:
		return b, Outcome{}, tooLong(over, o.Limit)
	case o.Overlong == record.OverlongDrop || o.Limit < keep+2:
		return b, Outcome{Dropped: DropOverlong}, nil
	}
	lo, hi := len(b.IDs)-over, len(b.IDs) // what goes: the end
	if o.Overlong == record.TruncateLeft {
		lo, hi = keep, keep+over
	}
	b.IDs = slices.Concat(b.IDs[:lo], b.IDs[hi:])
	if b.Weight != nil {
		b.Weight = slices.Concat(b.Weight[:lo], b.Weight[hi:])
	}
	return b, Outcome{Shortened: true}, nil
}

// asConversation takes a conversation as a prompt and the answer that ends it, if one does.
func asConversation(rec *record.Record) *record.Record {
	r := &record.Record{ID: rec.ID, File: rec.File, Line: rec.Line, Row: rec.Row, Prompt: record.Prompt{Messages: rec.Document.Messages}}
	n := len(r.Prompt.Messages) - 1
	if last := r.Prompt.Messages[n]; last.Role == "assistant" && n > 0 {
		r.Prompt.Messages, r.Response = r.Prompt.Messages[:n:n], &last.Content
	} else {
		r.Document = rec.Document // it has no side to cut
	}
	return r
}

// shortConversation is conversation of a prompt and a response, shortened if need be.
func (d *Renderer) shortConversation(rec *record.Record, o Options) (b Branch, out Outcome, err error) {
	from := *rec
	from.Cut = nil // a critic's
	cut, left, err := d.shorten(&from, o.Overlong, func(r *record.Record) ([]int, error) {
		messages := r.Prompt.Conversation()
		if r.Response != nil {
			messages = r.Messages(record.Single)
		}
		var err error
		b, err = d.conversation(messages, o.Rest)
		if err != nil || o.Limit <= 0 {
			return nil, err
		}
		return []int{len(b.IDs) - o.Limit}, nil
	})
	out.Shortened = cut != nil
	switch {
	case err != nil:
		return b, out, err
	case left > 0 && o.Overlong == record.OverlongError:
		return b, out, tooLong(left, o.Limit)
	case left > 0:
		return b, Outcome{Dropped: DropOverlong}, nil
	case cut != nil && cut.Response > 0: // the answer does not end there
		for i := len(b.IDs) - 1; i >= 0; i-- {
			if b.IDs[i] == d.End && b.Weight[i] == 1 {
				b.Weight[i] = o.Rest
				break
			}
		}
	}
	return b, out, nil
}

// conversation spells messages; what the template would let the model write, up to the end-of-turn token, has weight 1.
func (d *Renderer) conversation(messages []tokenizer.Message, rest float32) (Branch, error) {
	ids, err := d.Encode(messages, false)
	if err != nil {
		return Branch{}, err
	}
	b := Branch{IDs: ids, Weight: make([]float32, len(ids))}
	for i := range b.Weight {
		b.Weight[i] = rest
	}
	turns := 0
	for i, m := range messages {
		if m.Role != "assistant" {
			continue
		}
		before, err := d.Encode(messages[:i], true)
		if err != nil {
			return Branch{}, err
		}
		after, err := d.Encode(messages[:i+1], false)
		if err != nil {
			return Branch{}, err
		}
		if model.CommonPrefix(before, ids) != len(before) || model.CommonPrefix(after, ids) != len(after) || len(before) >= len(after) {
			return Branch{}, fmt.Errorf("messages[%d]: the chat template does not spell a conversation as the start of a longer one, so its answers cannot be found: give input_ids and weights", i)
		}
		end := len(after)
		if k := slices.Index(after[len(before):], d.End); k >= 0 {
			end = len(before) + k + 1
		}
		for k := len(before); k < end; k++ {
			b.Weight[k] = 1
		}
		turns++
	}
	if turns == 0 {
		return Branch{}, errors.New("messages: no message has the role assistant")
	}
	return b, nil
}
