package critic

// Prompt templates: text files with sections and placeholders that users can replace.
//
//	# comment lines may stand before the first section
//	[system]
//	You are a critic.
//	[user]
//	{prompt}
//	[assistant]
//	{response}
//	[verdict]
//	Score:
//
// A last section [assistant] that has no text of the record is what the model's own turn begins with: it goes on behind the words. So it does
// behind a last section [user_begun], a turn of the user that stays open.
//
// A section is one message, its name the role; the model writes after the last one. [verdict] is none: it has the words that a score stands
// behind, where one is asked for (Ask); "Score:" without it. "{name}" of a known placeholder is replaced,
// "{{name}}" stands for the text "{name}", a line "\[user]" for the text "[user]". Any other use of braces is
// plain text, except "{word}" in lower case, which is an error: it is a placeholder that does not exist here.

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"criticrm/record"
	"criticrm/tokenizer"
)

// maxPromptFile bounds a template file.
const maxPromptFile = 1 << 20

// Values fill the placeholders of a template.
type Values struct {
	Prompt    record.Prompt
	Response  string
	Critique  string
	Critiques []string
	Scale     Scale
	Row       *record.Record // has the columns of record.PromptColumns
}

// Template is one parsed prompt file.
type Template struct {
	name     string
	source   string
	sections []section
	verdict  string   // the words that a score stands behind, on a line of their own
	columns  []string // of record.PromptColumns that it names
}

type section struct {
	role  string
	parts []part
}

// part is literal text, or a placeholder's name.
type part struct {
	text string
	name string
}

// Columns are those of record.PromptColumns that the template names.
func (t *Template) Columns() []string { return t.columns }

// Name and Source tell where the template comes from and its text.
func (t *Template) Name() string   { return t.name }
func (t *Template) Source() string { return t.source }

// ParseTemplate reads a template. required placeholders must occur, optional ones may; others are errors. name
// stands for the file in errors.
func ParseTemplate(name, source string, required, optional []string) (*Template, error) {
	t := &Template{name: name, source: source, verdict: defaultVerdict}
	if !utf8.ValidString(source) {
		return nil, fmt.Errorf("critic: prompt %s: not valid UTF-8", name)
	}
	if len(source) > maxPromptFile {
		return nil, fmt.Errorf("critic: prompt %s: %d bytes, limit %d", name, len(source), maxPromptFile)
	}
	known := slices.Concat(required, optional, record.PromptColumns())
	seen := map[string]bool{}
	var role string
	var body []string
	startLine := 0
	flush := func() error {
		if role == "" {
			return nil
		}
		text := strings.Trim(strings.Join(body, "\n"), "\n")
		if strings.TrimSpace(text) == "" {
			return fmt.Errorf("critic: prompt %s:%d: section [%s] is empty", name, startLine, role)
		}
		if role == "verdict" {
			t.verdict = strings.TrimSpace(text)
			if err := checkVerdict(t.verdict); err != nil {
				return fmt.Errorf("critic: prompt %s:%d: section [verdict]: %w", name, startLine, err)
			}
			return nil
		}
		parts, err := parseParts(text, known, seen)
		if err != nil {
			return fmt.Errorf("critic: prompt %s: section [%s] of line %d: %w", name, role, startLine, err)
		}
		t.sections = append(t.sections, section{role, parts})
		return nil
	}
	for i, line := range strings.Split(strings.ReplaceAll(source, "\r\n", "\n"), "\n") {
		switch s := strings.TrimRight(line, " \t"); {
		case isSection(s):
			if err := flush(); err != nil {
				return nil, err
			}
			if role == "verdict" {
				return nil, fmt.Errorf("critic: prompt %s:%d: [verdict] must be the last section", name, i+1)
			}
			if role == BegunUser && s != "[verdict]" {
				return nil, fmt.Errorf("critic: prompt %s:%d: [%s] must be the last section: the model writes behind it", name, i+1, BegunUser)
			}
			if s == "[system]" && role != "" {
				return nil, fmt.Errorf("critic: prompt %s:%d: [system] must be the first section", name, i+1)
			}
			role, body, startLine = strings.Trim(s, "[]"), nil, i+1
		case role == "" && s != "" && s[0] != '#':
			return nil, fmt.Errorf("critic: prompt %s:%d: text before the first section: want [system], [user] or [assistant]", name, i+1)
		case strings.HasPrefix(line, `\[`):
			body = append(body, line[1:])
		default:
			body = append(body, line)
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if len(t.sections) == 0 {
		return nil, fmt.Errorf("critic: prompt %s: no section: want [system], [user] or [assistant]", name)
	}
	for _, r := range required {
		if !seen[r] {
			return nil, fmt.Errorf("critic: prompt %s: placeholder {%s} is missing", name, r)
		}
	}
	for _, c := range record.PromptColumns() {
		if seen[c] {
			t.columns = append(t.columns, c)
		}
	}
	return t, nil
}

// isSection says whether a line begins a section: a role in brackets, [user] or any other lower-case word that the chat template
// knows.
func isSection(line string) bool {
	role, ok := strings.CutPrefix(line, "[")
	role, end := strings.CutSuffix(role, "]")
	return ok && end && role != "" && strings.Trim(role, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// parseParts splits text at placeholders.
func parseParts(text string, known []string, seen map[string]bool) ([]part, error) {
	var parts []part
	literal := ""
	for text != "" {
		i := strings.IndexByte(text, '{')
		if i < 0 {
			break
		}
		literal += text[:i]
		text = text[i:]
		name, n := placeholderAt(text[1:])
		switch {
		case strings.HasPrefix(text, "{{"):
			if inner, n := placeholderAt(text[2:]); inner != "" && strings.HasPrefix(text[2+n:], "}") {
				literal += "{" + inner + "}"
				text = text[2+n+1:]
				continue
			}
			literal, text = literal+"{", text[1:]
		case name == "":
			literal, text = literal+"{", text[1:]
		case !slices.Contains(known, name):
			return nil, fmt.Errorf("unknown placeholder {%.40s}: want one of {%s} (or {{%.40s}} for the text itself)",
				name, strings.Join(known, "}, {"), name)
		default:
			if literal != "" {
				parts = append(parts, part{text: literal})
				literal = ""
			}
			parts = append(parts, part{name: name})
			seen[name] = true
			text = text[1+n:]
		}
	}
	if literal += text; literal != "" {
		parts = append(parts, part{text: literal})
	}
	return parts, nil
}

// placeholderAt reads "name}" and gives the name and the length with the brace; no name: "", 0.
func placeholderAt(s string) (string, int) {
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] == '_') {
		n++
	}
	if n == 0 || n == len(s) || s[n] != '}' {
		return "", 0
	}
	return s[:n], n + 1
}

// Messages fills the template. Text of the record is inserted once and never read as template. A [user] section
// that is only {prompt} takes over a whole conversation; a system message in it is joined to the template's.
func (t *Template) Messages(v Values) []tokenizer.Message {
	var out []tokenizer.Message
	for _, s := range t.sections {
		if s.role == "user" && len(s.parts) == 1 && s.parts[0].name == "prompt" && len(v.Prompt.Messages) > 0 {
			conv := v.Prompt.Conversation()
			if len(out) == 1 && out[0].Role == "system" && conv[0].Role == "system" {
				out[0].Content += "\n\n" + conv[0].Content
				conv = conv[1:]
			}
			out = append(out, conv...)
			continue
		}
		out = append(out, tokenizer.Message{Role: s.role, Content: s.text(v)})
	}
	last := &out[len(out)-1]
	if t.begins() {
		last.Role = Begun
	}
	if OpenTurn(out) != "" {
		last.Content = strings.TrimRight(last.Content, " \t")
	}
	return out
}

func (s *section) text(v Values) string {
	var b strings.Builder
	for _, p := range s.parts {
		if p.name == "" {
			b.WriteString(p.text)
		} else {
			b.WriteString(v.value(p.name))
		}
	}
	return b.String()
}

func (v *Values) value(name string) string {
	switch name {
	case "prompt":
		return v.Prompt.String()
	case "response":
		return v.Response
	case "critique":
		return v.Critique
	case "critiques":
		var b strings.Builder
		for i, c := range v.Critiques {
			if i > 0 {
				b.WriteString("\n\n")
			}
			fmt.Fprintf(&b, "Critique %d:\n%s", i+1, c)
		}
		return b.String()
	case "min":
		return strconv.Itoa(v.Scale.Min)
	case "max":
		return strconv.Itoa(v.Scale.Max)
	case "middle":
		return strconv.Itoa((v.Scale.Min + v.Scale.Max) / 2)
	}
	if !slices.Contains(record.PromptColumns(), name) {
		panic("critic: template has a placeholder that ParseTemplate does not know")
	}
	if v.Row == nil {
		return ""
	}
	text, _ := v.Row.PromptColumn(name) // Lacks has looked
	return text
}
