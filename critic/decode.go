package critic

// From a row's fields to a Record: format detection and field checks.

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"criticrm/tokenizer"
)

// Format is a layout of preference rows that the reader knows.
type Format int

const (
	FormatUnknown       Format = iota
	FormatPairs                // prompt, chosen, rejected: TRL standard, RewardBench, and this package's own
	FormatConversations        // chosen and rejected are message lists, with or without prompt: TRL conversational
	FormatCLoud                // pairs with chosen_feedback and rejected_feedback (string or list)
	FormatDialogues            // chosen and rejected are whole "Human: … Assistant: …" dialogues without prompt
	FormatResponses            // prompt with one response (or completion) and an optional label
)

// String names the format for messages.
func (f Format) String() string {
	return [...]string{"unknown", "prompt/chosen/rejected", "chosen/rejected message lists", "CLoud feedback",
		"chosen/rejected dialogues", "prompt/response"}[f]
}

// fieldError is a row that is good JSON with a bad field.
type fieldError struct{ msg string }

func (e *fieldError) Error() string { return e.msg }

func badField(format string, a ...any) error { return &fieldError{fmt.Sprintf(format, a...)} }

// recordKeys are the fields that Record writes, in the order they take when new: the order in which stages add them,
// so that a record written once at the end equals one that went through a file after each stage.
func recordKeys() []string {
	return []string{"id", "prompt", "chosen", "rejected", "response", "correct", "category", "subset", "margin",
		"chosen_critiques", "rejected_critiques", "critiques", "critic", "shortened", "dropped",
		"chosen_reward", "rejected_reward", "reward", "plain_shortened"}
}

func recordKey(key string) bool { return slices.Contains(recordKeys(), key) }

// row gives access to the fields of one object by name.
type row struct {
	members []member
	used    map[string]bool
}

func (r *row) get(key string) ([]byte, bool) {
	for _, m := range r.members {
		if m.key == key {
			if kindOf(m.raw) == "null" {
				return nil, false // null is an absent field; it stays in the record as an extra one
			}
			r.used[key] = true
			return m.raw, true
		}
	}
	return nil, false
}

func (r *row) has(key string) bool {
	return slices.ContainsFunc(r.members, func(m member) bool { return m.key == key && kindOf(m.raw) != "null" })
}

func (r *row) kind(key string) string {
	for _, m := range r.members {
		if m.key == key {
			return kindOf(m.raw)
		}
	}
	return ""
}

// detect names the format of a row by its keys, or says what is missing.
func detect(r *row) (Format, error) {
	c, j := r.kind("chosen"), r.kind("rejected")
	switch {
	case r.has("chosen_feedback") && r.has("rejected_feedback"):
		return FormatCLoud, nil
	case c == "array" && j == "array":
		return FormatConversations, nil
	case c != "" && j != "" && r.has("prompt"):
		return FormatPairs, nil
	case c == "string" && j == "string" && !r.has("instruction") && !r.has("input") && !r.has("conversations"):
		if v, _ := r.get("chosen"); strings.Contains(str(v), "Assistant:") {
			return FormatDialogues, nil
		}
		return 0, r.missing("prompt")
	case r.has("prompt") && (r.has("response") || r.has("completion")):
		return FormatResponses, nil
	}
	for _, known := range [...]struct{ key, name string }{
		{"completions", "NeMo ranked completions"}, {"conversations", "sharegpt"}, {"instruction", "alpaca"},
		{"better_response_id", "PKU-SafeRLHF"}, {"input", "axolotl bradley_terry"}} {
		if r.has(known.key) {
			return 0, badField("this looks like the %s format, which is not read: convert it to prompt, chosen, rejected", known.name)
		}
	}
	for _, key := range [...]string{"prompt", "chosen", "rejected"} {
		if r.kind(key) == "" {
			return 0, r.missing(key)
		}
	}
	return 0, badField("no known format: want prompt, chosen and rejected, or prompt and response")
}

// missing is the error for a key that is not there, with the near miss if only the case differs.
func (r *row) missing(key string) error {
	for _, m := range r.members {
		if m.key != key && strings.EqualFold(m.key, key) {
			return badField("key %q is missing (found %q: keys are case-sensitive)", key, m.key)
		}
	}
	if r.kind(key) == "null" {
		return badField("%q: got null, want a value", key)
	}
	return badField("key %q is missing", key)
}

// str decodes a checked JSON string; other kinds give "".
func str(raw []byte) string {
	if kindOf(raw) != "string" {
		return ""
	}
	v, err := (&scanner{b: raw}).text()
	if err != nil {
		panic("critic: str: the value was not checked before")
	}
	return v
}

func (r *row) text(key string, max int) (string, error) {
	raw, ok := r.get(key)
	if !ok {
		return "", r.missing(key)
	}
	if kind := kindOf(raw); kind != "string" {
		return "", badField("%q: got %s, want string", key, kind)
	}
	v := str(raw)
	if err := checkText(key, v, max); err != nil {
		return "", err
	}
	return v, nil
}

func checkText(key, v string, max int) error {
	if len(v) > max {
		return badField("%q: text is %d bytes, limit %d", key, len(v), max)
	}
	if strings.TrimSpace(v) == "" {
		return badField("%q is empty", key)
	}
	return nil
}

func (r *row) optText(key string, dst *string) error {
	raw, ok := r.get(key)
	if !ok {
		return nil
	}
	if kind := kindOf(raw); kind != "string" {
		return badField("%q: got %s, want string", key, kind)
	}
	*dst = str(raw)
	return nil
}

func number(key string, raw []byte) (float64, error) {
	if kind := kindOf(raw); kind != "number" {
		return 0, badField("%q: got %s, want a finite number", key, kind)
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, badField("%q: number out of range", key)
	}
	return v, nil
}

func (r *row) optNumber(key string, dst **float64) error {
	raw, ok := r.get(key)
	if !ok {
		return nil
	}
	v, err := number(key, raw)
	if err == nil {
		*dst = &v
	}
	return err
}

func (r *row) optBool(key string, dst **bool) error {
	raw, ok := r.get(key)
	if !ok {
		return nil
	}
	if kind := kindOf(raw); kind != "boolean" {
		return badField("%q: got %s, want true or false", key, kind)
	}
	v := raw[0] == 't'
	*dst = &v
	return nil
}

// items splits a checked JSON array.
func items(raw []byte) []json.RawMessage {
	var out []json.RawMessage
	if err := json.Unmarshal(raw, &out); err != nil {
		panic("critic: items: the value was not checked before")
	}
	return out
}

// messages decodes a message list; only role and content are understood, because dropping the rest would change
// what the model is asked.
func messages(key string, raw []byte, max int) ([]tokenizer.Message, error) {
	list := items(raw)
	if len(list) == 0 {
		return nil, badField("%q is empty", key)
	}
	out := make([]tokenizer.Message, 0, len(list))
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if kind := kindOf(item); kind != "object" {
			return nil, badField("%q: got %s, want an object with role and content", at, kind)
		}
		m := &row{members: scanValue(item), used: map[string]bool{}}
		for _, f := range m.members {
			if f.key != "role" && f.key != "content" && kindOf(f.raw) != "null" {
				return nil, badField("%q: key %s is not supported: want role and content only", at, quote(f.key))
			}
		}
		role, err := m.text("role", 64)
		if err != nil {
			return nil, badField("%s: %v", at, err)
		}
		if role != "system" && role != "user" && role != "assistant" {
			return nil, badField("%q: role %s: want system, user or assistant", at, quote(role))
		}
		content, err := m.text("content", max)
		if err != nil {
			return nil, badField("%s: %v", at, err)
		}
		out = append(out, tokenizer.Message{Role: role, Content: content})
	}
	return out, nil
}

// prompt decodes the field "prompt": a string or a message list.
func (r *row) prompt(max int) (Prompt, error) {
	raw, ok := r.get("prompt")
	if !ok {
		return Prompt{}, r.missing("prompt")
	}
	switch kind := kindOf(raw); kind {
	case "string":
		v, err := r.text("prompt", max)
		return Prompt{Text: v}, err
	case "array":
		m, err := messages("prompt", raw, max)
		return Prompt{Messages: m}, err
	default:
		return Prompt{}, badField("%q: got %s, want string or message list", "prompt", kind)
	}
}

// decode makes a Record of a row of the given format. line numbers the row for a missing id.
func decode(members []member, f Format, line, maxText int) (*Record, error) {
	r := &row{members: members, used: map[string]bool{}}
	rec := &Record{Line: line}
	err := errors.Join( // the first error is the one shown; the others are rarely independent
		rec.decodeID(r, line),
		rec.decodeTexts(r, f, maxText),
	)
	if err == nil {
		err = rec.decodeShared(r, f, maxText)
	}
	if err != nil {
		return nil, firstError(err)
	}
	for _, m := range members {
		kept := member{key: m.key}
		if !r.used[m.key] {
			kept.raw = slices.Clone(m.raw)
		}
		rec.order = append(rec.order, kept)
	}
	return rec, nil
}

func firstError(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()[0]
	}
	return err
}

func (rec *Record) decodeID(r *row, line int) error {
	raw, ok := r.get("id")
	if !ok {
		rec.ID = fmt.Sprintf("row-%d", line)
		return nil
	}
	switch kind := kindOf(raw); {
	case kind == "string":
		rec.ID = str(raw)
	case kind == "number" && !strings.ContainsAny(string(raw), ".eE"):
		rec.ID, rec.numericID = string(raw), true
	default:
		return badField("%q: got %s, want string or integer", "id", kind)
	}
	if rec.ID == "" || len(rec.ID) > 1024 {
		return badField("%q: got %d bytes, want 1 to 1024", "id", len(rec.ID))
	}
	return nil
}

// decodeTexts fills prompt and responses.
func (rec *Record) decodeTexts(r *row, f Format, max int) (err error) {
	switch f {
	case FormatConversations, FormatDialogues:
		return rec.decodeConversations(r, f, max)
	case FormatResponses:
		key := "response"
		if !r.has(key) {
			key = "completion"
		}
		if rec.Prompt, err = r.prompt(max); err == nil {
			rec.Response, err = r.text(key, max)
		}
		return err
	}
	if rec.Prompt, err = r.prompt(max); err != nil {
		return err
	}
	if rec.Chosen, err = r.text("chosen", max); err != nil {
		return err
	}
	if rec.Rejected, err = r.text("rejected", max); err != nil {
		return err
	}
	if rec.Chosen == rec.Rejected {
		return badField("%q and %q are equal: a pair needs two different responses", "chosen", "rejected")
	}
	return nil
}

// decodeConversations splits two message lists (or dialogues) into the shared prompt and one answer each.
func (rec *Record) decodeConversations(r *row, f Format, max int) error {
	var sides [2][]tokenizer.Message
	for i, key := range [...]string{"chosen", "rejected"} {
		raw, ok := r.get(key)
		if !ok {
			return r.missing(key)
		}
		var err error
		switch {
		case f == FormatDialogues && kindOf(raw) == "string":
			sides[i], err = splitDialogue(key, str(raw), max)
		case f == FormatConversations && kindOf(raw) == "array":
			sides[i], err = messages(key, raw, max)
		default:
			err = badField("%q: got %s, the file began with %s", key, kindOf(raw), f)
		}
		if err != nil {
			return err
		}
	}
	c, j := sides[0], sides[1]
	n := 0
	for n < len(c)-1 && n < len(j)-1 && c[n] == j[n] {
		n++
	}
	for i, key := range [...]string{"chosen", "rejected"} {
		if m := sides[i]; len(m) != n+1 || m[n].Role != "assistant" {
			return badField("%q: want the shared turns and then one assistant message, got %d messages after %d shared turns",
				key, len(m)-n, n)
		}
	}
	rec.Chosen, rec.Rejected = c[n].Content, j[n].Content
	if rec.Chosen == rec.Rejected {
		return badField("%q and %q are equal: a pair needs two different responses", "chosen", "rejected")
	}
	rec.Prompt = Prompt{Messages: c[:n:n]}
	if !r.has("prompt") {
		if n == 0 {
			return r.missing("prompt")
		}
		return nil
	}
	p, err := r.prompt(max)
	if err != nil {
		return err
	}
	// Some sets repeat the prompt inside both lists, as text (the last user turn) or as messages.
	if n == 0 {
		rec.Prompt = p
	} else if !slices.Equal(p.Conversation(), c[:n]) && (len(p.Messages) > 0 || p.Text != c[n-1].Content) {
		return badField("%q differs from the turns that chosen and rejected share", "prompt")
	}
	return nil
}

// splitDialogue splits "\n\nHuman: …\n\nAssistant: …" into messages.
func splitDialogue(key, text string, max int) ([]tokenizer.Message, error) {
	if len(text) > max {
		return nil, badField("%q: text is %d bytes, limit %d", key, len(text), max)
	}
	text = "\n\n" + strings.TrimLeft(text, "\n")
	var out []tokenizer.Message
	for text != "" {
		role, mark := "user", "\n\nHuman:"
		if !strings.HasPrefix(text, mark) {
			role, mark = "assistant", "\n\nAssistant:"
		}
		if !strings.HasPrefix(text, mark) {
			return nil, badField("%q: want a dialogue that starts with \"Human:\"", key)
		}
		text = text[len(mark):]
		end := len(text)
		for _, next := range [...]string{"\n\nHuman:", "\n\nAssistant:"} {
			if i := strings.Index(text, next); i >= 0 && i < end {
				end = i
			}
		}
		content := strings.TrimSpace(text[:end])
		if content == "" {
			return nil, badField("%q: turn %d is empty", key, len(out))
		}
		out = append(out, tokenizer.Message{Role: role, Content: content})
		text = text[end:]
	}
	return out, nil
}
