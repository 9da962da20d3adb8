package record

// What a model has not read of a record. Package render decides on it.

import (
	"unicode/utf8"
)

// What is done with a record over the limit.
const (
	OverlongError = "error"          // refuse it
	OverlongDrop  = "drop"           // leave it out
	TruncateLeft  = "truncate-left"  // take away the start of the conversation, system messages excepted
	TruncateRight = "truncate-right" // take away the end of the response
)

// OverlongPolicies lists them.
func OverlongPolicies() []string {
	return []string{OverlongError, OverlongDrop, TruncateLeft, TruncateRight}
}

// Cut says how much of a record's text a model has not read, in characters (Unicode code points). The record itself keeps the
// whole text, and [Record.Shortened] gives what was read.
type Cut struct {
	Policy   string `json:"policy"`             // TruncateLeft or TruncateRight
	Prompt   int    `json:"prompt,omitempty"`   // from the start of the conversation, system messages not counted
	Chosen   int    `json:"chosen,omitempty"`   // from the end of the response
	Rejected int    `json:"rejected,omitempty"` // likewise
	Response int    `json:"response,omitempty"` // likewise
}

// Characters is how many are taken away in all.
func (c *Cut) Characters() int {
	if c == nil {
		return 0
	}
	return c.Prompt + c.Chosen + c.Rejected + c.Response
}

// Side is how much a response lacks, to read or to add to.
func (c *Cut) Side(s Side) *int { return [...]*int{&c.Chosen, &c.Rejected, &c.Response}[s] }

// check refuses a cut that cannot be one of r.
func (c *Cut) check(r *Record) bool {
	if c.Policy != TruncateLeft && c.Policy != TruncateRight || min(c.Prompt, c.Chosen, c.Rejected, c.Response) < 0 {
		return false
	}
	left := *c
	for _, s := range r.Sides() {
		if n := *c.Side(s); n > 0 && n >= utf8.RuneCountInString(r.Text(s)) {
			return false
		}
		*left.Side(s) = 0
	}
	n := 0
	for _, m := range r.Prompt.Conversation() {
		if m.Role != "system" {
			n += utf8.RuneCountInString(m.Content)
		}
	}
	return c.Prompt <= n && left.Characters() == left.Prompt
}

// Shortened is the record with the cut applied to its texts, and without one of its own; the record itself is not changed.
// A nil cut gives the whole text. Critiques are shared with the record.
func (r *Record) Shortened(c *Cut) *Record {
	short := *r
	short.Cut, short.PlainCut = nil, nil
	if c == nil {
		return &short
	}
	if r.Response != nil {
		short.Response = new(*r.Response)
	}
	for _, s := range r.Sides() {
		text := [...]*string{&short.Chosen, &short.Rejected, short.Response}[s]
		*text = withoutEnd(*text, *c.Side(s))
	}
	if c.Prompt > 0 {
		short.Prompt = r.Prompt.withoutStart(c.Prompt)
	}
	return &short
}

// AsRead is the record as the model that wrote its critiques has read it.
func (r *Record) AsRead() *Record { return r.Shortened(r.Cut) }

// withoutStart takes n characters from the start of the conversation, system messages excepted. Messages stay, if need be empty:
// chat templates want roles to alternate.
func (p Prompt) withoutStart(n int) Prompt {
	list := p.Conversation()
	for i := range list {
		if list[i].Role == "system" {
			continue
		}
		k := min(n, utf8.RuneCountInString(list[i].Content))
		list[i].Content = withoutStart(list[i].Content, k)
		n -= k
	}
	if len(p.Messages) == 0 {
		return Prompt{Text: list[0].Content}
	}
	return Prompt{Messages: list}
}

func withoutStart(text string, n int) string {
	for ; n > 0; n-- {
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	return text
}

func withoutEnd(text string, n int) string {
	for ; n > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
