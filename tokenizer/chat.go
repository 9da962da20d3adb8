package tokenizer

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"criticrm/jinja"
	"criticrm/safefile"
	"criticrm/strictjson"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Chat is a chat template bound to a tokenizer.
type Chat struct {
	tok      *Tokenizer
	name     string // of the template's file, for messages
	source   string
	template *jinja.Template
	options  jinja.Options
	spelling *spelling
	vars     jinja.Vars // none can be changed by a template
}

// Files of a model directory that say how text becomes tokens. Those that are not there are not needed.
const (
	File         = "tokenizer.json"
	ConfigFile   = "tokenizer_config.json"
	TemplateFile = "chat_template.jinja"
)

// Files lists all of them.
func Files() []string {
	return []string{File, ModelFile, ConfigFile, SpecialFile, AddedFile, TemplateFile}
}

// ChatOptions say which template a model directory's chat has.
type ChatOptions struct {
	File string // a template that replaces the directory's own
	Date string // the day that strftime_now gives, "2006-01-02"; "": templates have no strftime_now, so that none changes with the calendar
}

// ErrNoTemplate says that a directory has no chat template.
var ErrNoTemplate = errors.New("no chat template (" + TemplateFile + ", or \"chat_template\" in " + ConfigFile + ")")

// LoadChat reads the chat template of a model directory: chat_template.jinja, else "chat_template" in
// tokenizer_config.json, a string or a list of named templates of which it takes "default". The special
// tokens (bos_token, eos_token, …; see LoadSpecial) are variables of the template.
func LoadChat(dir string, t *Tokenizer, o ChatOptions) (*Chat, error) {
	path := filepath.Join(dir, ConfigFile)
	config, err := readChatConfig(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	special, err := LoadSpecial(dir, t)
	if err != nil {
		return nil, err
	}
	for name, text := range special.Tokens {
		config.vars[name] = text
	}
	if o.Date != "" {
		if _, err := time.Parse(time.DateOnly, o.Date); err != nil {
			return nil, fmt.Errorf("tokenizer: date of the chat template: got %.40q, want a day as 2024-07-26", o.Date)
		}
		config.vars["date"] = o.Date
	}
	file := o.File
	if own := filepath.Join(dir, TemplateFile); file == "" {
		if _, err := os.Stat(own); !errors.Is(err, os.ErrNotExist) {
			file = own
		}
	}
	if file != "" {
		b, err := safefile.Read(file, MaxTemplate)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: chat template: %w", err)
		}
		path, config.template, config.has = file, string(b), true
	}
	if !config.has {
		return nil, fmt.Errorf("tokenizer: %s: %w", dir, ErrNoTemplate)
	}
	c, err := newChat(path, t, config.template, config.vars)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return c, nil
}

// NewChat binds a template. vars are what it may use besides messages and add_generation_prompt:
// bos_token, eos_token, …; maps with string keys, lists, strings, numbers, bools and nil only.
// A template sees strftime_now only if vars has "date", a day as "2006-01-02": rewards must not
// change with the calendar.
func NewChat(t *Tokenizer, source string, vars map[string]any) (*Chat, error) {
	c, err := newChat("chat template", t, source, vars)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return c, nil
}

func newChat(name string, t *Tokenizer, source string, vars map[string]any) (*Chat, error) {
	switch {
	case len(source) > MaxTemplate:
		return nil, fmt.Errorf("%s: %d bytes, limit %d", name, len(source), MaxTemplate)
	case !utf8.ValidString(source):
		return nil, fmt.Errorf("%s: not valid UTF-8", name)
	}
	c := &Chat{tok: t, name: name, source: source, vars: jinja.Vars{"tools": jinja.None, "documents": jinja.None}}
	var literals []string
	for key, v := range vars {
		value, err := jinja.FromGo(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c.vars[key] = value
		if s, ok := v.(string); ok && strings.HasSuffix(key, "_token") {
			literals = append(literals, s)
		}
	}
	var err error
	if c.options.Strftime, err = strftime(vars["date"]); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if c.template, err = jinja.Parse(source); err != nil {
		return nil, templateError(name, err)
	}
	slices.Sort(literals)
	c.spelling = newSpelling(t.added, append(controlLiterals(c.template.Literals()), literals...))
	return c, nil
}

// Source is the text of the template.
func (c *Chat) Source() string { return c.source }

// EndOfTurn finds the token that ends the model's turn: the last of ends, a model's end tokens, that the template writes
// after an assistant's message, or the first of them where it writes none. Without ends it is an error.
func (c *Chat) EndOfTurn(ends []int32) (int32, error) {
	if len(ends) == 0 {
		return 0, errors.New("tokenizer: neither generation_config.json nor config.json names an eos_token_id, and the tokenizer has no eos_token: nothing would end a critique")
	}
	ids, err := c.Encode([]Message{{Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}}, false)
	if err != nil {
		return 0, err
	}
	for _, id := range slices.Backward(ids) {
		if slices.Contains(ends, id) {
			return id, nil
		}
	}
	return ends[0], nil
}

// Text renders a conversation. With addGenerationPrompt it ends where the assistant is to write.
// The ids of a conversation come from Encode, not from the text: the text does not tell which
// control tokens are spelled by messages.
func (c *Chat) Text(messages []Message, addGenerationPrompt bool) (string, error) {
	out, err := c.render(messages, addGenerationPrompt)
	if err != nil {
		return "", err
	}
	return out.S, nil
}

// Encode gives the ids of a rendered conversation. What the template writes may be control tokens;
// message text that spells one, or a part of one, is plain text.
func (c *Chat) Encode(messages []Message, addGenerationPrompt bool) ([]int32, error) {
	out, err := c.render(messages, addGenerationPrompt)
	if err != nil {
		return nil, err
	}
	return c.spell(out)
}

// Continue gives the ids of a conversation, of several messages, whose last one is open and to be gone on with: they end with its words. It is an
// error if the template has no such place: if it does not write the message as it is, or, of one that the assistant has begun, not where it lets the
// assistant write.
func (c *Chat) Continue(messages []Message) ([]int32, error) {
	last := len(messages) - 1
	if last < 1 {
		return nil, fmt.Errorf("tokenizer: a turn is open behind %d messages, want one or more", max(last, 0))
	}
	before, err := c.render(messages[:last], messages[last].Role == "assistant")
	if err != nil {
		return nil, err
	}
	out, err := c.render(messages, false)
	if err != nil {
		return nil, err
	}
	end := 0
	for _, s := range out.Spans {
		if s.Source == last {
			end = s.To
		}
	}
	text := &jinja.Text{S: out.S[:end]}
	for _, s := range out.Spans {
		if s.To <= end {
			text.Spans = append(text.Spans, s)
		}
	}
	if words := messages[last].Content; !strings.HasPrefix(text.S, before.S) || !strings.HasSuffix(text.S[len(before.S):], words) {
		return nil, fmt.Errorf("tokenizer: %s: the template cannot let the %s go on behind the words %q: it does not write them, as they are, where it lets it begin", c.name, messages[last].Role, clip(words))
	}
	return c.spell(text)
}

// spell gives the ids of a rendered text.
func (c *Chat) spell(out *jinja.Text) ([]int32, error) {
	if word, ok := c.spelling.missing(out); ok {
		return nil, fmt.Errorf("tokenizer: tokenizer.json: %q is missing, the chat template writes it", word)
	}
	ids := make([]int32, 0, len(out.S)/3+4)
	return c.tok.appendAdded(ids, out.S, c.tok.pickOwn(c.tok.match, out.Spans), func(part string, at int, normal string) picker {
		return c.tok.pickOwn(c.tok.matchNormal, c.tok.normalSpans(out.Spans, part, at, normal))
	}), nil
}

// render gives the rendered text, which knows what of it is from which message. A message that is not blank and of which nothing is
// written is an error: the model would be asked about a conversation that is not the one given. A template may well leave out a part
// of a message: white space around it, the thoughts before an earlier answer.
func (c *Chat) render(messages []Message, addGenerationPrompt bool) (*jinja.Text, error) {
	list := jinja.NewList()
	for i, m := range messages {
		switch {
		case !plainRole(m.Role):
			return nil, fmt.Errorf("tokenizer: messages[%d]: role %q: want 1 to 64 letters, digits, - or _", i, clip(m.Role))
		case len(m.Content) > MaxText:
			return nil, fmt.Errorf("tokenizer: messages[%d]: text is %d bytes, limit %d", i, len(m.Content), MaxText)
		case !utf8.ValidString(m.Content):
			return nil, fmt.Errorf("tokenizer: messages[%d]: text is not valid UTF-8", i)
		}
		list.Items = append(list.Items, jinja.NewDict("role", jinja.NewText(m.Role), "content", jinja.NewSourced(m.Content, i)))
	}
	vars := maps.Clone(c.vars)
	vars["messages"] = list
	vars["add_generation_prompt"] = addGenerationPrompt
	out, err := c.template.Render(vars, c.options)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", templateError(c.name, err))
	}
	written := make([]bool, len(messages))
	for _, s := range out.Spans {
		written[s.Source] = true
	}
	for i, m := range messages {
		if !written[i] && strings.TrimFunc(m.Content, pythonSpace) != "" {
			return nil, fmt.Errorf("tokenizer: %s: nothing of messages[%d], role %s, is written: the template leaves the message out", c.name, i, m.Role)
		}
	}
	return out, nil
}

// plainRole says whether a role is a plain name. Templates write roles between control tokens, and some
// write "<|" + role + "|>"; so a role is part of the template's text and cannot be just anything.
func plainRole(role string) bool {
	for _, r := range role {
		if r != '-' && r != '_' && !(r >= '0' && r <= '9') && !(r >= 'a' && r <= 'z') && !(r >= 'A' && r <= 'Z') {
			return false
		}
	}
	return role != "" && len(role) <= 64
}

// chatConfig is what tokenizer_config.json says about chats.
type chatConfig struct {
	template string
	has      bool
	vars     map[string]any
}

// readChatConfig reads tokenizer_config.json; a missing file is an empty one.
func readChatConfig(path string) (*chatConfig, error) {
	c := &chatConfig{vars: map[string]any{}}
	b, err := safefile.Read(path, MaxConfigFile)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	} else if err != nil {
		return nil, err
	}
	err = readJSON(b, MaxConfigFile, func(r *strictjson.Reader, key string) error {
		v, err := r.Value()
		if err != nil {
			return err
		}
		switch {
		case key == "auto_map" || key == "trust_remote_code" && v == true:
			return fmt.Errorf("%s asks for Python code; this program never runs model code", key)
		case key == "chat_template":
			c.template, c.has, err = chosenTemplate(v)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// chosenTemplate takes a template, or the one named "default" of a list.
func chosenTemplate(v any) (string, bool, error) {
	switch x := v.(type) {
	case nil:
		return "", false, nil
	case string:
		return x, true, nil
	case []any:
		var names []string
		for _, v := range x {
			m, _ := v.(map[string]any)
			name, _ := m["name"].(string)
			text, ok := m["template"].(string)
			if name == "default" && ok {
				return text, true, nil
			}
			names = append(names, name)
		}
		return "", false, fmt.Errorf("chat_template: no template is named \"default\" (found: %s)", clip(strings.Join(names, ", ")))
	}
	return "", false, errors.New("chat_template: want a string or a list of named templates")
}
