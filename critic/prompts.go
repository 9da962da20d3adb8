package critic

// The prompts of the method: three templates and their examples, built in or from a directory.

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
	"strings"

	"criticrm/record"
	"criticrm/safefile"
	"criticrm/tokenizer"
)

//go:embed prompts
var promptFiles embed.FS

// PromptSets are the names of the prompts that are built in beside the default ones: "small" is for models that follow instructions badly, "cloud" is
// what CLoud's models are asked with. What a set does not have is the default.
func PromptSets() []string { return []string{"small", "cloud"} }

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

// NamesScale says whether the critic is told the scale of the scores.
func (p *Prompts) NamesScale() bool {
	return slices.ContainsFunc(p.Critique.sections, func(s section) bool {
		return slices.ContainsFunc(s.parts, func(x part) bool { return x.name == "min" || x.name == "max" || x.name == "middle" })
	})
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
		if errors.Is(err, fs.ErrNotExist) {
			source, err = fs.ReadFile(promptFiles, "prompts/"+s.file)
		}
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
