package render

// Records that are longer than a model can read: the one place where text is taken away, for sampling and for training.

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/tokenizer"
)

// longest is the limit of a sequence: the asked one, 0 for none, within the model's context.
func (d *Renderer) longest(asked int) int {
	if asked > 0 && (d.Context == 0 || asked < d.Context) {
		return asked
	}
	return d.Context
}

// Over is by how many tokens a request with write tokens behind it, and the score that it asks for, is over the limit. It implements
// [critic.Limits].
func (d *Renderer) Over(r critic.Request, write, limit int) (int, error) {
	asked, err := d.askedTokens(r.Ask)
	if err != nil {
		return 0, err
	}
	ids, err := d.Encode(r.Messages, write > 0)
	return len(ids) + write + asked - d.longest(limit), err
}

// Fit is how a record's whole text must be cut for a question; what an earlier model has read of it does not count. It implements
// [critic.Limits].
func (d *Renderer) Fit(r *record.Record, q critic.Question) (cut *record.Cut, fault string, err error) {
	limit := d.longest(q.Longest)
	asked, err := d.askedTokens(q.Ask)
	if err != nil {
		return nil, "", err
	}
	cut, left, err := d.shorten(r.Shortened(nil), q.Overlong, func(short *record.Record) (over []int, err error) {
		fault = ""
		for _, side := range short.Sides() {
			by, err := d.Over(critic.Request{Messages: q.Messages(short, side)}, q.Write+asked, limit)
			if err != nil {
				return nil, err
			}
			if over = append(over, by); by > 0 && fault == "" {
				fault = fmt.Sprintf("%q: %d tokens to read and %d to write, context is %d", side, by+limit-q.Write-asked, q.Write+asked, limit)
			}
		}
		return over, nil
	})
	if left == 0 {
		fault = ""
	}
	return cut, fault, err
}

// tries bounds the rounds of shorten: what is left of a text may have more tokens than it had as part of the whole.
const tries = 8

// shorten finds how a record must be cut, beyond its own Cut, so that it is within a limit. over renders a record and says by how
// many tokens each of its sides (in the order of Sides) is over the limit; no numbers count as none. cut is nil if the whole
// text fits. left is by how many tokens the record is still over: with the policies error and drop, or because there is
// not that much to cut. The record is not changed.
func (d *Renderer) shorten(r *record.Record, policy string, over func(*record.Record) ([]int, error)) (cut *record.Cut, left int, err error) {
	cut = r.Cut
	for try := 1; ; try++ {
		short := r.Shortened(cut)
		by, err := over(short)
		if err != nil {
			return cut, 0, err
		}
		left = 0
		for _, n := range by {
			left = max(left, n)
		}
		if left == 0 || policy != record.TruncateLeft && policy != record.TruncateRight || try == tries {
			return cut, left, nil
		}
		next := record.Cut{}
		if cut != nil {
			next = *cut
		}
		next.Policy = policy
		var ok bool
		if policy == record.TruncateRight {
			ok = d.cutEnds(short, by, &next)
		} else {
			ok = d.cutStart(short.Prompt.Conversation(), left, &next)
		}
		if !ok || blank(r.Shortened(&next), policy) {
			return cut, left, nil
		}
		cut = &next
	}
}

// blank says whether nothing is left of a response, or of the message that is answered.
func blank(r *record.Record, policy string) bool {
	if policy == record.TruncateLeft {
		list := r.Prompt.Conversation()
		return strings.TrimSpace(list[len(list)-1].Content) == ""
	}
	for _, s := range r.Sides() {
		if strings.TrimSpace(r.Text(s)) == "" {
			return true
		}
	}
	return false
}

// cutEnds adds to the cut about as many tokens of each response's end as it is over the limit. It says false if there is not that
// much to cut.
func (d *Renderer) cutEnds(short *record.Record, by []int, cut *record.Cut) bool {
	done := false
	for i, s := range short.Sides() {
		if by[i] <= 0 {
			continue
		}
		text := short.Text(s)
		ids := d.Text(text)
		if len(ids) <= by[i] {
			return false
		}
		*cut.Side(s) += d.without(text, ids[:len(ids)-by[i]])
		done = true
	}
	return done
}

// cutStart adds to the cut about as many tokens of the conversation's start. The last message is what the response answers:
// something of it stays.
func (d *Renderer) cutStart(list []tokenizer.Message, tokens int, cut *record.Cut) bool {
	for i, m := range list {
		if m.Role == "system" || tokens == 0 {
			continue
		}
		ids := d.Text(m.Content)
		if len(ids) == 0 {
			continue
		}
		if i == len(list)-1 && len(ids) <= tokens {
			return false
		}
		take := min(tokens, len(ids))
		cut.Prompt += d.without(m.Content, ids[take:])
		tokens -= take
	}
	return tokens == 0
}

// without is how many characters of the text are not in what is kept of its tokens; at least one.
func (d *Renderer) without(text string, kept []int32) int {
	n := utf8.RuneCountInString(text)
	if len(kept) == 0 {
		return n
	}
	return min(n, max(1, n-utf8.RuneCountInString(strings.ToValidUTF8(d.Decode(kept), ""))))
}

// Longest is how many tokens the longest of a record's conversations has, each up to the end of one response; of a document, how many it has.
func (d *Renderer) Longest(r *record.Record) (n int, err error) {
	if r.Document != nil {
		ids, err := d.Encode(r.Document.Messages, false)
		return len(ids), err
	}
	for _, side := range r.Sides() {
		ids, err := d.Encode(r.Messages(side), false)
		if err != nil {
			return 0, r.Fault("%q: %v", side, err)
		}
		n = max(n, len(ids))
	}
	return n, nil
}
