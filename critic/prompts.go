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
// A last section [assistant] that has no text of the record is what the model's own turn begins with: it goes on behind the words.
//
// A section is one message, its name the role; the model writes after the last one. [verdict] is none: it has the words that a score stands
// behind, where one is asked for (Ask); "Score:" without it. "{name}" of a known placeholder is replaced,
// "{{name}}" stands for the text "{name}", a line "\[user]" for the text "[user]". Any other use of braces is
// plain text, except "{word}" in lower case, which is an error: it is a placeholder that does not exist here.

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"criticrm/record"
	"criticrm/safefile"
	"criticrm/tokenizer"
)

//go:embed prompts
var promptFiles embed.FS

// PromptSets are the names of the prompts that are built in beside the default ones: "small" is for models that follow instructions badly.
func PromptSets() []string { return []string{"small"} }

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
	for i, s := range t.sections {
		if s.role == "user" && len(s.parts) == 1 && s.parts[0].name == "prompt" && len(v.Prompt.Messages) > 0 {
			conv := v.Prompt.Conversation()
			if len(out) == 1 && out[0].Role == "system" && conv[0].Role == "system" {
				out[0].Content += "\n\n" + conv[0].Content
				conv = conv[1:]
			}
			out = append(out, conv...)
			continue
		}
		if i == len(t.sections)-1 && t.begins() {
			return append(out, tokenizer.Message{Role: Begun, Content: t.begun(v.Scale)})
		}
		out = append(out, tokenizer.Message{Role: s.role, Content: s.text(v)})
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
	text, _ := v.Row.PromptColumn(name) // Lacks has looked
	return text
}

// Prompts are the three templates of the method.
type Prompts struct {
	Critique  *Template // {prompt} {response}, optional {min} {max} {middle} and record.PromptColumns
	Meta      *Template // and {critique}
	Summarize *Template // and {critiques}

	examples *examples // that are put before what the critic is asked; nil: none
}

// slot is one of the templates with what it must hold.
type slot struct {
	file     string
	dst      **Template
	required []string
}

func (s slot) parse(name, source string) (*Template, error) {
	return ParseTemplate(name, source, s.required, []string{"min", "max", "middle"})
}

// slots enumerates the templates.
func (p *Prompts) slots() []slot {
	return []slot{
		{"critique.txt", &p.Critique, []string{"prompt", "response"}},
		{"meta.txt", &p.Meta, []string{"prompt", "response", "critique"}},
		{"summarize.txt", &p.Summarize, []string{"prompt", "response", "critiques"}},
	}
}

// Ask is what the critic is asked about one side of a record: the conversation behind which it writes, and behind which rewards of
// critiques are read. It is the one place where that conversation is made.
func (p *Prompts) Ask(r *record.Record, s record.Side, scale Scale) []tokenizer.Message {
	return p.examples.before(p.Critique, p.Critique.Messages(Values{Prompt: r.Prompt, Response: r.Text(s), Scale: scale, Row: r}), scale)
}

// Columns are those of record.PromptColumns that the prompts name.
func (p *Prompts) Columns() (names []string) {
	for _, s := range p.slots() {
		for _, c := range (*s.dst).columns {
			if !slices.Contains(names, c) {
				names = append(names, c)
			}
		}
	}
	return names
}

// Lacks is the error for a record without a column that the critic's prompt names.
func (p *Prompts) Lacks(r *record.Record) error { return p.Critique.lacks(r) }

func (t *Template) lacks(r *record.Record) error {
	for _, c := range t.columns {
		text, err := r.PromptColumn(c)
		if err == nil && text == "" {
			err = r.Fault("it has no %q, which the prompt %s names", c, t.name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Texts are the templates' texts by file name; ParsePrompts reads them back.
func (p *Prompts) Texts() map[string]string {
	texts := map[string]string{}
	for _, s := range p.slots() {
		texts[s.file] = (*s.dst).source
	}
	if p.examples != nil {
		texts[ExamplesFile] = p.examples.source
	}
	return texts
}

// ParsePrompts makes prompts of texts by file name, all three and the examples if there are any. from stands for the folder in errors.
func ParsePrompts(from string, texts map[string]string) (*Prompts, error) {
	p := &Prompts{}
	for _, s := range p.slots() {
		source, ok := texts[s.file]
		if !ok {
			return nil, fmt.Errorf("critic: prompts of %s: %s is missing", from, s.file)
		}
		var err error
		if *s.dst, err = s.parse(from+": "+s.file, source); err != nil {
			return nil, err
		}
	}
	want := len(p.slots())
	if source, ok := texts[ExamplesFile]; ok {
		want++
		var err error
		if p.examples, err = parseExamples(from+": "+ExamplesFile, source, p.Critique); err != nil {
			return nil, err
		}
	}
	if len(texts) != want {
		return nil, fmt.Errorf("critic: prompts of %s: %d texts, want %d", from, len(texts), want)
	}
	return p, nil
}

// DefaultPrompts are the embedded templates.
func DefaultPrompts() *Prompts {
	p, err := LoadPrompts("", "")
	if err != nil {
		panic(err) // the embedded files are tested
	}
	return p
}

// LoadPrompts takes the templates that a directory has (critique.txt, meta.txt, summarize.txt, and examples.jsonl) and the embedded
// ones for the rest. Another .txt file is an error, because it is most likely a misspelt name. "" is no directory, and a name of
// PromptSets stands for prompts that are built in. examples, if it is not empty, is a file in place of the directory's examples.jsonl.
func LoadPrompts(dir, examples string) (*Prompts, error) {
	set := "prompts"
	if slices.Contains(PromptSets(), dir) {
		if _, err := os.Stat(dir); err == nil {
			return nil, fmt.Errorf("critic: load prompts: %q is a built-in set, and there is a directory of that name: write ./%s for the directory, or rename it", dir, dir)
		}
		set, dir = path.Join(set, dir), ""
	}
	p := &Prompts{}
	var names []string
	for _, s := range p.slots() {
		names = append(names, s.file)
		source, err := fs.ReadFile(promptFiles, set+"/"+s.file)
		name := "built-in " + s.file
		if dir != "" {
			path := filepath.Join(dir, s.file)
			own, ownErr := safefile.Read(path, maxPromptFile)
			if ownErr == nil {
				source, name = own, path
			} else if !errors.Is(ownErr, fs.ErrNotExist) {
				err = ownErr
			}
		}
		if err != nil {
			return nil, fmt.Errorf("critic: load prompts: %w", err)
		}
		if *s.dst, err = s.parse(name, string(source)); err != nil {
			return nil, err
		}
	}
	if err := p.loadExamples(dir, examples); err != nil || dir == "" {
		return p, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("critic: load prompts: %w", err)
	}
	found := false
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".txt" && !slices.Contains(names, e.Name()) {
			return nil, fmt.Errorf("critic: prompt %s: unknown name: want %s", filepath.Join(dir, e.Name()), strings.Join(names, ", "))
		}
		found = found || slices.Contains(names, e.Name())
	}
	if !found {
		return nil, fmt.Errorf("critic: load prompts: %s has none of %s", dir, strings.Join(names, ", "))
	}
	return p, nil
}

// Hash identifies the texts: the first 16 hex digits of a SHA-256.
func (p *Prompts) Hash() string {
	h := sha256.New()
	for _, s := range p.slots() {
		fmt.Fprintf(h, "%s %d\n%s", s.file, len((*s.dst).source), (*s.dst).source)
	}
	if p.examples != nil {
		fmt.Fprintf(h, "%s %d\n%s", ExamplesFile, len(p.examples.source), p.examples.source)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
