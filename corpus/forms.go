package corpus

// Rows as other programs want them: a table of forms.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"criticrm/internal/spell"
	"criticrm/record"
	"criticrm/tokenizer"
)

// Form is a layout that records are written in.
type Form struct {
	Name string
	Help string
	// holds are the parts of a record beside its texts that the form has a place for; every other one is lost, and counted.
	holds []string
	// row is what stands in a line, or an error that says why the form cannot hold the record. nil: the record's own line, which loses nothing.
	row func(*record.Record) (any, error)
}

// Forms is the table.
func Forms() []Form {
	return []Form{
		{Name: "criticrm", Help: "this program's own: nothing is lost"},
		{Name: "trl", Help: "TRL's conversational form: prompt, chosen and rejected as lists of messages; prompt, completion and label; messages; text", holds: []string{"margin", "label"}, row: trl},
		{Name: "openrlhf", Help: "OpenRLHF's pairs: chosen and rejected as whole conversations (its apply_chat_template)", holds: []string{"margin"}, row: openRLHF},
		{Name: "llama-factory", Help: "LLaMA-Factory's sharegpt: conversations with chosen and rejected, or with kto_tag", holds: []string{"label"}, row: llamaFactory},
		{Name: "cloud", Help: "CLoud's pairs of single-turn texts, with the critiques that are kept as feedback", holds: []string{"critiques", "id"}, row: cloud},
	}
}

// FormOf is the form of a name, in any case.
func FormOf(name string) (*Form, error) {
	var names []string
	for _, f := range Forms() {
		if strings.EqualFold(f.Name, name) {
			return &f, nil
		}
		names = append(names, f.Name)
	}
	return nil, fmt.Errorf("form %.40q is not known%s: want one of %s", name, spell.Hint(name, names), strings.Join(names, ", "))
}

// part is something that a record may have beside its texts.
type part struct {
	name string
	has  func(*record.Record) bool
}

func parts() []part {
	return []part{
		{"id", func(r *record.Record) bool { return r.ID != "" && r.ID != r.PlaceID() }},
		{"category", func(r *record.Record) bool { return r.Category != "" || r.Subset != "" }},
		{"margin", func(r *record.Record) bool { return r.Margin != nil }},
		{"label", func(r *record.Record) bool { return r.Correct != nil }},
		{"critiques", func(r *record.Record) bool {
			return len(r.ChosenCritiques)+len(r.RejectedCritiques)+len(r.Critiques) > 0
		}},
		{"rewards", func(r *record.Record) bool {
			return r.ChosenReward != nil || r.RejectedReward != nil || r.Reward != nil
		}},
		{"what the method's steps decided", func(r *record.Record) bool {
			return r.Dropped != "" || r.Critic != nil || r.Cut != nil || r.PlainCut != nil
		}},
		{"what its benchmark's rule asks for", func(r *record.Record) bool { return r.Benchmark != nil }},
		{"other columns", func(r *record.Record) bool { return len(r.ExtraKeys()) > 0 }},
	}
}

// Append writes a record as a line, without the line's end, and names what of it is lost. An error says why the form cannot hold the record.
func (f *Form) Append(dst []byte, r *record.Record) (line []byte, lost []string, err error) {
	if f.row == nil {
		line, err = r.AppendJSON(dst)
		return line, nil, err
	}
	v, err := f.row(r)
	if err != nil {
		return dst, nil, err
	}
	for _, p := range parts() {
		if p.has(r) && !slices.Contains(f.holds, p.name) {
			lost = append(lost, p.name)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, nil, err
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), lost, nil
}

// message is a turn as Hugging Face's templates have it.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func messages(list []tokenizer.Message) []message {
	out := make([]message, len(list))
	for i, m := range list {
		out[i] = message{m.Role, m.Content}
	}
	return out
}

func answer(text string) []message { return []message{{"assistant", text}} }

var (
	errDocument = errors.New("a document is no preference")
	errSingle   = errors.New("a single response is no pair")
)

func trl(r *record.Record) (any, error) {
	if d := r.Document; d != nil {
		switch {
		case d.Messages != nil:
			return struct {
				Messages []message `json:"messages"`
			}{messages(d.Messages)}, nil
		case d.IDs != nil:
			return nil, errors.New("token ids are those of one tokenizer, and TRL has no weights for them")
		}
		return struct {
			Text string `json:"text"`
		}{d.Text}, nil
	}
	prompt := messages(r.Prompt.Conversation())
	if !r.Paired() {
		return struct {
			Prompt     []message `json:"prompt"`
			Completion []message `json:"completion"`
			Label      *bool     `json:"label,omitempty"`
		}{prompt, answer(*r.Response), r.Correct}, nil
	}
	return struct {
		Prompt   []message `json:"prompt"`
		Chosen   []message `json:"chosen"`
		Rejected []message `json:"rejected"`
		Margin   *float64  `json:"margin,omitempty"`
	}{prompt, answer(r.Chosen), answer(r.Rejected), r.Margin}, nil
}

func openRLHF(r *record.Record) (any, error) {
	if err := wantPair(r); err != nil {
		return nil, err
	}
	return struct {
		Chosen   []message `json:"chosen"`
		Rejected []message `json:"rejected"`
		Margin   *float64  `json:"margin,omitempty"`
	}{messages(r.Messages(record.Chosen)), messages(r.Messages(record.Rejected)), r.Margin}, nil
}

func wantPair(r *record.Record) error {
	switch {
	case r.Document != nil:
		return errDocument
	case !r.Paired():
		return errSingle
	}
	return nil
}

// turn is a message as sharegpt has it.
type turn struct {
	From  string `json:"from"`
	Value string `json:"value"`
}

// shareGPT takes the system message off a conversation and renames the roles, which must take turns: user first.
func shareGPT(list []tokenizer.Message) (system string, turns []turn, err error) {
	if len(list) > 0 && list[0].Role == "system" {
		system, list = list[0].Content, list[1:]
	}
	for i, m := range list {
		from := [...]string{"human", "gpt"}[i%2]
		if want := [...]string{"user", "assistant"}[i%2]; m.Role != want {
			return "", nil, fmt.Errorf("sharegpt wants turns of user and assistant, the user first: turn %d is of %.20q", i+1, m.Role)
		}
		turns = append(turns, turn{from, m.Content})
	}
	return system, turns, nil
}

func llamaFactory(r *record.Record) (any, error) {
	type row struct {
		Conversations []turn `json:"conversations"`
		Chosen        *turn  `json:"chosen,omitempty"`
		Rejected      *turn  `json:"rejected,omitempty"`
		Tag           *bool  `json:"kto_tag,omitempty"`
		System        string `json:"system,omitempty"`
	}
	list := r.Prompt.Conversation()
	switch {
	case r.Document != nil && r.Document.Messages == nil:
		return nil, errors.New("a text without turns is no conversation")
	case r.Document != nil:
		list = r.Document.Messages
	case !r.Paired() && r.Correct == nil:
		return nil, errors.New("a single response without a label: sharegpt with kto_tag wants one")
	}
	system, turns, err := shareGPT(list)
	if err != nil {
		return nil, err
	}
	out := row{Conversations: turns, System: system}
	if r.Document != nil {
		return out, nil
	}
	if len(turns)%2 == 0 {
		return nil, errors.New("sharegpt wants a last turn of the user before the answer")
	}
	if r.Paired() {
		out.Chosen, out.Rejected = &turn{"gpt", r.Chosen}, &turn{"gpt", r.Rejected}
	} else {
		out.Conversations, out.Tag = append(turns, turn{"gpt", *r.Response}), r.Correct
	}
	return out, nil
}

func cloud(r *record.Record) (any, error) {
	if err := wantPair(r); err != nil {
		return nil, err
	}
	list := r.Prompt.Conversation()
	if len(list) != 1 || list[0].Role != "user" {
		return nil, errors.New("CLoud's prompt is one text of the user")
	}
	feedback := func(s record.Side) (texts []string) {
		for _, c := range r.Kept(s) {
			texts = append(texts, c.Text)
		}
		return texts
	}
	chosen, rejected := feedback(record.Chosen), feedback(record.Rejected)
	if (chosen == nil) != (rejected == nil) || chosen == nil && len(r.ChosenCritiques)+len(r.RejectedCritiques) > 0 {
		return nil, errors.New("CLoud wants feedback on both responses, and only one has critiques that are kept, or none")
	}
	return struct {
		Prompt   string   `json:"prompt"`
		ID       string   `json:"id"`
		Chosen   string   `json:"chosen"`
		Rejected string   `json:"rejected"`
		Good     []string `json:"chosen_feedback,omitempty"`
		Bad      []string `json:"rejected_feedback,omitempty"`
	}{list[0].Content, r.ID, r.Chosen, r.Rejected, chosen, rejected}, nil
}
