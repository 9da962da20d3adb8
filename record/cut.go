package record

// Records that are longer than the model can read: the one place where text is taken away, for sampling and for training.

import (
	"strings"
	"unicode/utf8"

	"criticrm/tokenizer"
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

func (c *Cut) side(s Side) *int { return [...]*int{&c.Chosen, &c.Rejected, &c.Response}[s] }

// check refuses a cut that cannot be one of r.
func (c *Cut) check(r *Record) bool {
	if c.Policy != TruncateLeft && c.Policy != TruncateRight || min(c.Prompt, c.Chosen, c.Rejected, c.Response) < 0 {
		return false
	}
	left := *c
	for _, s := range r.Sides() {
		if n := *c.side(s); n > 0 && n >= utf8.RuneCountInString(r.Text(s)) {
			return false
		}
		*left.side(s) = 0
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
	for _, s := range r.Sides() {
		text := [...]*string{&short.Chosen, &short.Rejected, &short.Response}[s]
		*text = withoutEnd(*text, *c.side(s))
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

// Shortener fits records into a limit of tokens.
type Shortener struct {
	Encode func(text string) []int32 // plain text as tokens, without control tokens
	Decode func(ids []int32) string  // and back; half characters at the ends are left out
}

// shortenTries bounds the rounds of Fit: what is left of a text may have more tokens than it had as part of the whole.
const shortenTries = 8

// Fit finds how a record must be cut, beyond its own Cut, so that it is within the limit. over renders a record and says by how
// many tokens each of its sides (in the order of Sides) is over the limit; no numbers count as none. cut is nil if the whole
// text fits. left is by how many tokens the record is still over: with the policies error and drop, or because there is
// not that much to cut. The record is not changed.
func (f Shortener) Fit(r *Record, policy string, over func(*Record) ([]int, error)) (cut *Cut, left int, err error) {
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
		if left == 0 || policy != TruncateLeft && policy != TruncateRight || try == shortenTries {
			return cut, left, nil
		}
		next := Cut{}
		if cut != nil {
			next = *cut
		}
		next.Policy = policy
		var ok bool
		if policy == TruncateRight {
			ok = f.right(short, by, &next)
		} else {
			ok = f.left(short.Prompt.Conversation(), left, &next)
		}
		if !ok {
			return cut, left, nil
		}
		cut = &next
	}
}

// right adds to the cut about as many tokens of each response's end as it is over the limit. It says false if there is not that
// much to cut.
func (f Shortener) right(short *Record, by []int, cut *Cut) bool {
	for i, s := range short.Sides() {
		if by[i] <= 0 {
			continue
		}
		text := short.Text(s)
		ids := f.Encode(text)
		if len(ids) <= by[i] {
			return false
		}
		n := f.without(text, ids[:len(ids)-by[i]])
		if strings.TrimSpace(withoutEnd(text, n)) == "" {
			return false
		}
		*cut.side(s) += n
	}
	return true
}

// left adds to the cut about as many tokens of the conversation's start. The last message is what the response answers:
// something of it stays.
func (f Shortener) left(list []tokenizer.Message, tokens int, cut *Cut) bool {
	for i, m := range list {
		if m.Role == "system" || tokens == 0 {
			continue
		}
		ids := f.Encode(m.Content)
		if len(ids) == 0 {
			continue
		}
		take := min(tokens, len(ids))
		n := f.without(m.Content, ids[take:])
		if i == len(list)-1 && (len(ids) <= tokens || strings.TrimSpace(withoutStart(m.Content, n)) == "") {
			return false
		}
		cut.Prompt += n
		tokens -= take
	}
	return tokens == 0
}

// without is how many characters of the text are not in what is kept of its tokens; at least one.
func (f Shortener) without(text string, kept []int32) int {
	n := utf8.RuneCountInString(text)
	if len(kept) == 0 {
		return n
	}
	return min(n, max(1, n-utf8.RuneCountInString(strings.ToValidUTF8(f.Decode(kept), ""))))
}
