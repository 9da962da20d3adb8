package record

// What rows look like in files: the table of schemas. A new one is a file with a Schema and a line in the table.

import (
	"fmt"
	"slices"
	"strings"

	"criticrm/internal/spell"
)

// Schema is one layout of rows.
type Schema struct {
	Name string // for messages
	// Group is of layouts that one file may mix; "": it may not be mixed.
	Group string

	// Reads are the keys that this layout has of its own, beside those of every row (columns.go). No other one can be asked for.
	Reads []string

	// is says whether a row has this layout, by its keys and their types. Of several the first in the table is taken.
	is func(*row) bool
	// decode makes records of a row, with what the layout has: texts, labels and critiques. It may make several, or none (an aside). nil: the
	// layout is known and not read.
	decode func(*row) ([]*Record, error)
}

// one is the decode of a layout whose rows are one record each.
func one(decode func(*Record, *row) error) func(*row) ([]*Record, error) {
	return func(r *row) ([]*Record, error) {
		rec := &Record{}
		if err := decode(rec, r); err != nil {
			return nil, err
		}
		return []*Record{rec}, nil
	}
}

// aside is the reason why a row, or a part of one, that is as it should be gives no record: it is counted in Found.Aside, and no error.
type aside string

func (a aside) Error() string { return string(a) }

// Reasons of rows that are set aside.
const (
	AsideTie   aside = "without a preference (ties)"
	AsideEqual aside = "with two equal responses"
)

// String is the name.
func (s *Schema) String() string {
	if s == nil {
		return "unknown"
	}
	return s.Name
}

// Schemas lists the layouts that are read, in the order in which they are tried.
func Schemas() []*Schema {
	return slices.DeleteFunc(schemas(), func(s *Schema) bool { return s.decode == nil })
}

// schemas is the table. What must be told apart by more keys comes first; the layouts that are refused by name come last.
func schemas() []*Schema {
	return []*Schema{
		&CLoud,
		&Conversations,
		&Pairs,
		&Dialogues,
		&Responses,
		&Tokens,
		&Messages,
		&Text,
		&GSM8K,
		&MATH,
		&Results,
		&PromptOnly,
		foreign("NeMo ranked completions", "completions"),
		foreign("sharegpt", "conversations"),
		foreign("alpaca", "instruction"),
		foreign("PKU-SafeRLHF", "better_response_id"),
		foreign("axolotl bradley_terry", "input"),
	}
}

// foreign is a layout that is known by a key and not read.
func foreign(name, key string) *Schema {
	return &Schema{Name: name, is: func(r *row) bool { return r.has(key) }}
}

// schemaOf is the schema of a name, in any case, of those that are read.
func schemaOf(name string) (*Schema, error) {
	var names []string
	for _, s := range Schemas() {
		if strings.EqualFold(s.Name, name) {
			return s, nil
		}
		names = append(names, s.Name)
	}
	hint := ""
	if near := spell.Nearest(name, names); near != "" {
		hint = fmt.Sprintf(", did you mean %q?", near)
	}
	return nil, fmt.Errorf("schema: %.60q is not known%s: want one of %s", name, hint, strings.Join(names, "; "))
}

// detect finds the schema of a row, or says what is missing.
func detect(r *row) (*Schema, error) {
	for _, s := range schemas() {
		if !s.is(r) {
			continue
		}
		if s.decode == nil {
			return nil, badField("this looks like the %s format, which is not read: convert it to prompt, chosen, rejected", s.Name)
		}
		return s, nil
	}
	if r.kind("chosen") == "string" && r.kind("rejected") == "string" {
		return nil, r.missing("prompt")
	}
	if r.kind("prompt") == "null" {
		return nil, r.missing("prompt")
	}
	for _, m := range r.members {
		c, ok := r.columns.like(m.Key)
		if ok && r.kind(c.key) == "" && slices.Contains([]string{"prompt", "chosen", "rejected", "response", "completion", "text", "input_ids", "messages"}, c.key) {
			return nil, r.missing(c.key)
		}
	}
	for _, key := range [...]string{"prompt", "chosen", "rejected"} {
		if r.kind(key) == "" {
			return nil, r.missing(key)
		}
	}
	var names []string
	for _, s := range Schemas() {
		names = append(names, s.Name)
	}
	return nil, badField("no known format: want one of %s", strings.Join(names, ", "))
}

// single is the group of rows with one text to learn or to score.
const single = "single"

// mixes says whether a file may hold rows of both layouts.
func (s *Schema) mixes(other *Schema) bool {
	return s == other || s.Group != "" && s.Group == other.Group
}

// Pairs: prompt, chosen, rejected. TRL's standard form, RewardBench's, and this program's own.
var Pairs = Schema{
	Name: "prompt/chosen/rejected",
	is:   func(r *row) bool { return r.kind("chosen") != "" && r.kind("rejected") != "" && r.has("prompt") },
	decode: one(func(rec *Record, r *row) error {
		return first(func() error { return rec.decodePair(r) }, func() error { return rec.decodePairFields(r) })
	}),
}

// CLoud: pairs with chosen_feedback and rejected_feedback, each a string or a list.
var CLoud = Schema{
	Name: "CLoud feedback",
	is:   func(r *row) bool { return r.has("chosen_feedback") && r.has("rejected_feedback") },
	decode: one(func(rec *Record, r *row) error {
		return first(func() error { return rec.decodePair(r) }, func() error { return rec.decodePairFields(r) },
			func() error { return r.optCritiques("chosen_feedback", &rec.ChosenCritiques) },
			func() error { return r.optCritiques("rejected_feedback", &rec.RejectedCritiques) })
	}),
}

// Responses: prompt with one response (or completion) and an optional label.
var Responses = Schema{
	Name: "prompt/response", Group: single,
	is: func(r *row) bool { return r.has("prompt") && (r.has("response") || r.has("completion")) },
	decode: one(func(rec *Record, r *row) (err error) {
		key := "response"
		if !r.has(key) {
			key = "completion"
		}
		if rec.Prompt, err = r.prompt(); err != nil {
			return err
		}
		if rec.Response, err = r.text(key); err != nil {
			return err
		}
		return rec.decodeResponseFields(r)
	}),
}

// decodePair reads the texts of a pair.
func (rec *Record) decodePair(r *row) (err error) {
	if rec.Prompt, err = r.prompt(); err != nil {
		return err
	}
	if rec.Chosen, err = r.text("chosen"); err != nil {
		return err
	}
	if rec.Rejected, err = r.text("rejected"); err != nil {
		return err
	}
	return rec.differs()
}

// differs sets a pair of equal responses aside.
func (rec *Record) differs() error {
	if rec.Chosen == rec.Rejected {
		return AsideEqual
	}
	return nil
}

// isDialogue reports whether a text is a transcript with turns of a person and an assistant.
func isDialogue(text string) bool { return strings.Contains(text, "Assistant:") }
