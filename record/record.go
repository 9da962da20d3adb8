package record

// Record: one row of a file, with what the method's steps add to it.

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// Side names one response of a record.
type Side int

const (
	Chosen   Side = iota // the preferred response of a pair
	Rejected             // the other response of a pair
	Single               // the response of a record without a pair
)

// String is "chosen", "rejected" or "response": the JSON key of the side's text.
func (s Side) String() string { return [...]string{"chosen", "rejected", "response"}[s] }

// Prompt is what the response answers: plain text, or the messages of a conversation. Messages win if both are set.
type Prompt struct {
	Text     string
	Messages []tokenizer.Message
}

// Conversation gives the prompt as messages; plain text is one user message. The result may be changed freely.
func (p Prompt) Conversation() []tokenizer.Message {
	if len(p.Messages) > 0 {
		return slices.Clone(p.Messages)
	}
	return []tokenizer.Message{{Role: "user", Content: p.Text}}
}

// String gives the prompt as one text; conversations of several messages become a transcript "Role: content".
func (p Prompt) String() string {
	switch len(p.Messages) {
	case 0:
		return p.Text
	case 1:
		return p.Messages[0].Content
	}
	var b strings.Builder
	for i, m := range p.Messages {
		if i > 0 {
			b.WriteString("\n\n")
		}
		if m.Role != "" {
			b.WriteString(strings.ToUpper(m.Role[:1]) + m.Role[1:] + ": ")
		}
		b.WriteString(m.Content)
	}
	return b.String()
}

// Key identifies a prompt: equal keys are equal conversations.
func (p Prompt) Key() string {
	if len(p.Messages) == 1 && p.Messages[0].Role == "user" {
		return "user\x00" + p.Messages[0].Content
	}
	if len(p.Messages) == 0 {
		return "user\x00" + p.Text
	}
	var b strings.Builder
	for _, m := range p.Messages {
		b.WriteString(m.Role + "\x00" + m.Content + "\x01")
	}
	return b.String()
}

// Where a critique comes from. The empty origin is a sample of the critic.
const (
	OriginGiven   = "given"   // it was in the input, for example from a teacher or a person
	OriginSummary = "summary" // Refine merged it from the others
)

// Finish reasons of a sample.
const (
	FinishStop   = "stop"   // the model ended the text
	FinishLength = "length" // the limit of tokens cut it
)

// How a sampled critique came by its score.
const (
	VerdictWritten  = "written"  // the critique ends in it
	VerdictAsked    = "asked"    // it was asked for, and drawn among the numbers of the scale
	VerdictExpected = "expected" // likewise, and the score is the mean of the scale's numbers by their chances; the text has the one that was drawn
)

// Critique is one critique of one response.
type Critique struct {
	Text         string
	Tokens       []int32   // as sampled, with the stop token if one came; empty for given critiques
	Score        *float64  // the verdict in the text; nil if it could not be parsed, never a stand-in value. VerdictExpected: a mean
	Verdict      string    // how a sampled critique came by its score: one of the Verdict… constants; empty without one and in rows of older programs
	AskedTokens  int       // tokens at the end that the model did not choose among all: the words before an asked-for score, the score, the end token
	Chance       float64   // of an asked-for score's number among those of the scale, at temperature 1
	LogProb      float64   // natural log, summed over Tokens, asked-for ones too, under the model that wrote it, at temperature 1 and among all tokens
	FinishReason string    // FinishStop, FinishLength, or empty for given critiques: how the critique ended before a score was asked for
	Origin       string    // empty, OriginGiven or OriginSummary
	Kept         *bool     // nil until Filter or Refine has decided
	Reason       string    // why it was dropped; package critic's Drop… constants are the reasons
	Rank         int       // 1-based place among the kept ones after Refine; 0 before
	Meta         []float64 // scores of the meta-judge
	MetaAsked    int       // of those, were asked for
	Reward       *float32  // read after this critique by Score
	Correct      *bool     // known label: is the critique itself right?

	extra []member // fields that are not ours, in order
}

// IsKept reports whether training may use the critique: kept, or not yet decided on.
func (c *Critique) IsKept() bool { return c.Kept == nil || *c.Kept }

// MeanLogProb is the log-likelihood per token, 0 without tokens.
func (c *Critique) MeanLogProb() float64 {
	if len(c.Tokens) == 0 {
		return 0
	}
	return c.LogProb / float64(len(c.Tokens))
}

// Decide records that the critique is kept (reason "") or dropped for the reason.
func (c *Critique) Decide(reason string) {
	kept := reason == ""
	c.Kept, c.Reason, c.Rank = &kept, reason, 0
}

// Range is a range of whole numbers, both ends included.
type Range struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// CriticInfo says which model and settings wrote the sampled critiques of a record.
type CriticInfo struct {
	Model    string   `json:"model,omitempty"`     // as the caller names it
	Prompts  string   `json:"prompts"`             // Prompts.Hash
	Scale    *Range   `json:"scale,omitempty"`     // of the scores that were asked for; nil in rows of older programs
	AskScore string   `json:"ask_score,omitempty"` // what was done with critiques that ended without a score: sample or expect; empty: nothing
	Sampling Sampling `json:"sampling"`
}

// Record is one row: a preference pair (Chosen, Rejected), one Response with an optional label, or a Document.
type Record struct {
	ID       string // from the row, else "row-<line>"; of several files "row-<file>-<line>"; where lines are no rows, the row's number
	Prompt   Prompt
	Chosen   string // of a pair, as is Rejected
	Rejected string
	Response *string // one response, which may be empty; nil: the record is a pair or a Document
	Correct  *bool   // known label of Response
	Document *Document
	Category string
	Subset   string
	Margin   *float64 // by how much chosen should be ahead; nil: not given

	Benchmark *Benchmark // the row of a public benchmark that this is, or is a part of

	// ShownFirst is the response of a pair that stood first in a row of which a column says which one is preferred; nil: the row does not tell.
	// It is not written.
	ShownFirst *Side

	ChosenCritiques   []Critique
	RejectedCritiques []Critique
	Critiques         []Critique // of Response

	ChosenReward   *float64 // mean over the critiques' rewards, or the plain reward
	RejectedReward *float64
	Reward         *float64 // of Response

	Dropped string // why the record is out of training; empty: it is in. Package critic's Drop… constants are the reasons
	Critic  *CriticInfo

	Cut      *Cut // what the critic has not read of the texts; nil: it has read all. Written as "shortened"
	PlainCut *Cut // likewise for rewards without critiques. Written as "plain_shortened"

	File string // that it was read from; empty if made by program
	Line int    // where it begins there, 1-based; 0 if made by program, or in a file without lines
	Row  int    // which row it is there, 1-based; 0 where rows are lines

	ordinal   int      // of its row among those of the file that are not blank, 1-based
	order     []member // fields of the input in order; those that are ours are rewritten from the struct
	numericID bool     // the id was a JSON integer and is written as one
	listed    bool     // a response of a list that decode is to name
	part      int      // number of its file among several, from 1; 0: there is one alone
}

// shown says of pairs that the chosen response stood second in the row, or first.
func shown(pairs []*Record, second bool) []*Record {
	side := Chosen
	if second {
		side = Rejected
	}
	for _, r := range pairs {
		r.ShownFirst = &side
	}
	return pairs
}

// Document is a row for language modelling, in one of three forms.
type Document struct {
	Text     string              // plain text, if there is neither of the others
	IDs      []int32             // token ids
	Weights  []float32           // loss weight of each id; nil: 1
	Messages []tokenizer.Message // a conversation
}

// key identifies a document's content.
func (d *Document) key() string {
	return "document\x00" + d.Text + "\x00" + Prompt{Messages: d.Messages}.Key() + fmt.Sprint(d.IDs, d.Weights)
}

// Paired reports whether the record is a preference pair.
func (r *Record) Paired() bool { return r.Response == nil && r.Document == nil }

// Sides lists the record's responses; a document has none.
func (r *Record) Sides() []Side {
	switch {
	case r.Document != nil:
		return nil
	case r.Paired():
		return []Side{Chosen, Rejected}
	}
	return []Side{Single}
}

// Text is the response of a side.
func (r *Record) Text(s Side) string { return *[...]*string{&r.Chosen, &r.Rejected, r.Response}[s] }

// Texts are the record's responses, in the order of Sides.
func (r *Record) Texts() (list []string) {
	for _, s := range r.Sides() {
		list = append(list, r.Text(s))
	}
	return list
}

// SideCritiques is the list of critiques of a side, to read or to replace.
func (r *Record) SideCritiques(s Side) *[]Critique {
	return [...]*[]Critique{&r.ChosenCritiques, &r.RejectedCritiques, &r.Critiques}[s]
}

// SideReward is the reward of a side, to read or to replace.
func (r *Record) SideReward(s Side) **float64 {
	return [...]**float64{&r.ChosenReward, &r.RejectedReward, &r.Reward}[s]
}

// Kept lists the critiques of a side that training may use, in rank order where Refine has ranked them. Index i
// of the chosen list belongs to index i of the rejected one for critiques matched by rank.
func (r *Record) Kept(s Side) []Critique {
	var out []Critique
	if r.Dropped != "" {
		return nil
	}
	for _, c := range *r.SideCritiques(s) {
		if c.IsKept() {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b Critique) int { return rankOrder(a.Rank) - rankOrder(b.Rank) })
	return out
}

// rankOrder puts unranked critiques last.
func rankOrder(rank int) int {
	if rank == 0 {
		return int(^uint32(0) >> 1)
	}
	return rank
}

// Group is the category that results are split by: Category, else Subset, else the part of a benchmark, else "all".
func (r *Record) Group() string {
	switch {
	case r.Category != "":
		return r.Category
	case r.Subset != "":
		return r.Subset
	case r.Benchmark != nil && r.Benchmark.Part != "":
		return r.Benchmark.Part
	}
	return "all"
}

// Messages is the conversation up to and with the response of a side: what a plain reward is read from.
func (r *Record) Messages(s Side) []tokenizer.Message {
	return append(r.Prompt.Conversation(), tokenizer.Message{Role: "assistant", Content: r.Text(s)})
}

// Extra gives the raw JSON of a field that is not ours.
func (r *Record) Extra(key string) (json.RawMessage, bool) {
	for _, m := range r.order {
		if m.key == key && m.raw != nil {
			return slices.Clone(m.raw), true
		}
	}
	return nil, false
}

// ExtraKeys lists the fields that are not ours, in the order of the row.
func (r *Record) ExtraKeys() (keys []string) {
	for _, m := range r.order {
		if m.raw != nil && !isEmpty(m.raw) {
			keys = append(keys, m.key)
		}
	}
	return keys
}

// SetCategory takes the category from a field of the row: category itself, subset, or one that is not ours, as it is written if it is
// no string.
func (r *Record) SetCategory(field string) error {
	switch field {
	case "category":
		return nil
	case "subset":
		r.Category = r.Subset
		return nil
	}
	raw, ok := r.Extra(field)
	if !ok {
		return r.Fault("key %q is missing", field)
	}
	if r.Category = string(raw); strictjson.KindOf(raw) == "string" {
		r.Category = str(raw)
	}
	return nil
}

// SetExtra adds or replaces a field that is not ours. It panics if the key is one of ours or v is no JSON value.
func (r *Record) SetExtra(key string, v json.RawMessage) {
	if c, ok := columns().of(key); ok && c.has != nil || !json.Valid(v) {
		panic("record: SetExtra: the key is a field of Record or the value is not JSON")
	}
	for i := range r.order {
		if r.order[i].key == key {
			r.order[i].raw = slices.Clone(v)
			return
		}
	}
	r.order = append(r.order, member{key: key, raw: slices.Clone(v)})
}

// member is a field of the input: its raw value, nil for one that the struct holds.
type member struct {
	key string
	raw []byte
}
