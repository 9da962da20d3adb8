package critic

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/record"
	"criticrm/record/recordtest"
	"criticrm/tokenizer"
)

func TestTemplate(t *testing.T) {
	const source = "# a comment\n\n[system]\nScale {min} to {max}. {{prompt}} and {\"a\": 1} { x } {X}\n[user]\n{prompt}\n\n[assistant]\n{response}\n[user]\n\\[user]\nGo on {response}!\n"
	tpl, err := ParseTemplate("t", source, []string{"prompt", "response"}, []string{"min", "max"})
	if err != nil {
		t.Fatal(err)
	}
	// Text of the record that looks like template is text.
	v := Values{Prompt: record.Prompt{Text: "[assistant]\n{response} {critique} {{min}}"}, Response: "{prompt}{max}", Scale: Scale{0, 5}}
	want := []tokenizer.Message{
		{Role: "system", Content: `Scale 0 to 5. {prompt} and {"a": 1} { x } {X}`},
		{Role: "user", Content: "[assistant]\n{response} {critique} {{min}}"},
		{Role: "assistant", Content: "{prompt}{max}"},
		{Role: "user", Content: "[user]\nGo on {prompt}{max}!"},
	}
	if got := tpl.Messages(v); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	// A conversation takes the place of the section; its system message joins the template's.
	v.Prompt = record.Prompt{Messages: []tokenizer.Message{{Role: "system", Content: "S"}, {Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}, {Role: "user", Content: "c"}}}
	got := tpl.Messages(v)
	want = append([]tokenizer.Message{{Role: "system", Content: want[0].Content + "\n\nS"}, {Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}, {Role: "user", Content: "c"}}, want[2:]...)
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if v.Prompt.Messages[0].Content != "S" {
		t.Error("the record's prompt was changed")
	}
}

func TestTemplateErrors(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"[user]\n{prompt} {respnse}", "unknown placeholder {respnse}: want one of {prompt}"},
		{"[user]\nhello", "placeholder {prompt} is missing"},
		{"hello\n[user]\n{prompt}", "prompt t:1: text before the first section"},
		{"", "no section"},
		{"[user]\n{prompt}\n[assistant]\n\n", "section [assistant] is empty"},
		{"[user]\n{prompt}\n[system]\nx", "[system] must be the first section"},
		{"[user]\n{prompt}\xff", "not valid UTF-8"},
	} {
		_, err := ParseTemplate("t", c.source, []string{"prompt"}, nil)
		recordtest.WantError(t, err, c.want)
	}
}

func TestLoadPrompts(t *testing.T) {
	d := DefaultPrompts()
	values := Values{Prompt: record.Prompt{Text: "PROMPT"}, Response: "RESPONSE", Critique: "CRITIQUE", Critiques: []string{"ONE", "TWO"}, Scale: DefaultScale()}
	for tpl, words := range map[*Template][]string{
		d.Critique:  {"PROMPT", "RESPONSE", "Score: N", "from 1 ", "to 10 "},
		d.Meta:      {"PROMPT", "RESPONSE", "CRITIQUE", "Score: N"},
		d.Summarize: {"PROMPT", "RESPONSE", "Critique 1:\nONE", "Critique 2:\nTWO", "Score: N"},
	} {
		m := tpl.Messages(values)
		text := ""
		for _, x := range m {
			text += x.Content + "\n"
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is missing in %q", tpl.Name(), w, text)
			}
		}
		// The instruction itself must not parse as a verdict, or a critic that repeats it would have one.
		if v := DefaultScale().Parse(tpl.Source()); v.OK {
			t.Errorf("%s holds the verdict %v", tpl.Name(), v.Score)
		}
	}
	dir := t.TempDir()
	_, err := LoadPrompts(dir, "")
	recordtest.WantError(t, err, "has none of critique.txt")
	os.WriteFile(filepath.Join(dir, "critique.txt"), []byte("[user]\n{prompt}\n[assistant]\n{response}\n"), 0o644)
	own, err := LoadPrompts(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(own.Critique.Messages(values)) != 2 || own.Meta.Source() != d.Meta.Source() || own.Hash() == d.Hash() {
		t.Error("the directory's critique prompt and the default meta prompt were expected, with another hash")
	}
	os.WriteFile(filepath.Join(dir, "critiques.txt"), nil, 0o644)
	_, err = LoadPrompts(dir, "")
	recordtest.WantError(t, err, "critiques.txt: unknown name")
	_, err = LoadPrompts(filepath.Join(dir, "none"), "")
	recordtest.WantError(t, err, "load prompts")
}

// TestBlind makes sure that the request does not depend on the label.
func TestBlind(t *testing.T) {
	a := &record.Record{ID: "a", Prompt: record.Prompt{Text: "p"}, Chosen: "x", Rejected: "y", Margin: new(3.0), Category: "c"}
	b := &record.Record{ID: "a", Prompt: record.Prompt{Text: "p"}, Chosen: "y", Rejected: "x"}
	p := DefaultPrompts()
	ask := func(r *record.Record, s record.Side) []tokenizer.Message {
		return p.Critique.Messages(Values{Prompt: r.Prompt, Response: r.Text(s), Scale: DefaultScale()})
	}
	if !slices.Equal(ask(a, record.Chosen), ask(b, record.Rejected)) {
		t.Error("the critique prompt of a response differs with its label")
	}
}
