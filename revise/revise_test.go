package revise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/stage"
	"criticrm/synth"
	"criticrm/tokenizer"
)

// row is a record of a JSON text.
func row(t *testing.T, text string) *record.Record {
	t.Helper()
	list := rows(t, text)
	return list[0]
}

func rows(t *testing.T, text string) []*record.Record {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list, _, err := stage.ReadFile(path, record.ReadOptions{Reads: []string{"reference", "answer", "solution"}})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestReference(t *testing.T) {
	for _, c := range []struct{ row, kind, field, answer, found string }{
		{`"response":"r","reference":"12"`, Auto, "", "12", Number},
		{`"response":"r","reference":"She has 3.\nShe gets 4.\nA: 17"`, Auto, "", "17", Number},
		{`"response":"r","reference":"3+4=7\n#### 7"`, Auto, "", "7", Number},
		{`"response":"r","reference":"B"`, Auto, "", "B", Choice},
		{`"response":"r","reference":"So it is x^2/8.\nSolution: Choice_B"`, Auto, "", "B", Choice},
		{`"response":"r","answer":["Paris","paris"]`, Auto, "", "Paris", Text},
		{`"response":"r","answer":18`, Auto, "", "18", Number},
		{`"response":"r","solution":"\\boxed{(C)}"`, Choice, "solution", "C", Choice},
		{`"response":"r","reference":"12"`, Text, "", "12", Text},
		{`"chosen":"So A: 9\nA: 9","rejected":"A: 8"`, Auto, "", "9", Number},
	} {
		k := &Checker{Kind: c.kind, Field: c.field}
		answer, kind, err := k.reference(row(t, `{"prompt":"p",`+c.row+`}`))
		if err != nil || answer != c.answer || kind != c.found {
			t.Errorf("%s as %s: %q, %s, %v; want %q, %s", c.row, c.kind, answer, kind, err, c.answer, c.found)
		}
	}
	for _, c := range []struct{ row, kind, want string }{
		{`"response":"r"`, Auto, `no "reference" or "answer"`},
		{`"response":"r","reference":{"a":1}`, Auto, `"reference": want a text`},
		{`"response":"r","reference":"many"`, Number, "is no number"},
		{`"response":"r","reference":"many"`, Choice, "is no choice"},
	} {
		k := &Checker{Kind: c.kind}
		if _, _, err := k.reference(row(t, `{"prompt":"p",`+c.row+`}`)); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "rows.jsonl:1") {
			t.Errorf("%s: %v, want %q", c.row, err, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct{ reference, text, answer, verdict string }{
		{"17", "so\n#### 17.0", "17.0", synth.Right},
		{"17", "#### 18", "18", synth.Wrong},
		{"17", "it is 17", "17", synth.Right},
		{"17", "17 at first, then 18", "18", synth.Unreadable}, // an unmarked last number proves nothing
		{"17", "no idea", "", synth.Unreadable},
		{"B", "The answer is (B).", "B", synth.Right},
		{"B", "(B) looks good, but the answer is C", "C", synth.Wrong},
		{"B", "Solution: Choice_B", "B", synth.Right},
		{"B", "A good question", "", synth.Unreadable},
		{"a red fox", "The answer is A red fox.", "A red fox", synth.Right},
		{"a red fox", "The answer is a dog.", "a dog", synth.Wrong},
	} {
		k := &Checker{Kind: Auto}
		answer, verdict, err := k.check(t.Context(), row(t, fmt.Sprintf(`{"prompt":"p","response":"r","reference":%q}`, c.reference)), record.Single, c.text)
		if err != nil || answer != c.answer || verdict != c.verdict {
			t.Errorf("%q against %q: %q, %s, %v; want %q, %s", c.text, c.reference, answer, verdict, err, c.answer, c.verdict)
		}
	}
}

// TestCommand: code is what the fence holds; exit codes and the time limit decide; no shell reads the words; what cannot be run is an error.
func TestCommand(t *testing.T) {
	r := row(t, `{"prompt":"p","response":"r","correct":false,"test":"42"}`)
	for _, c := range []struct {
		command []string
		text    string
		want    string
	}{
		{[]string{"grep", "-qx", "print(42)", "{file}"}, "Here:\n```python\nprint(42)\n```\nDone.", synth.Right},
		{[]string{"grep", "-qx", "print(42)", "{file}"}, "print(41)", synth.Wrong},
		{[]string{"grep", "-q", "test", "{row}", "{file}"}, "x", synth.Right},
		{[]string{"sleep", "20", "{file}"}, "x", synth.Wrong},
		{[]string{"test", "-e", "{file}", ";", "true"}, "x", synth.Wrong}, // a shell would see two commands
	} {
		k := &Checker{Kind: Code, Command: c.command, Seconds: 10}
		if c.command[0] == "sleep" {
			k = &Checker{Kind: Code, Command: []string{"sh", "-c", "sleep 20 & wait", "{file}"}, Seconds: .2}
		}
		if err := k.validate(); err != nil {
			t.Fatal(err)
		}
		if _, verdict, err := k.check(t.Context(), r, record.Single, c.text); err != nil || verdict != c.want {
			t.Errorf("%v: %s, %v; want %s", c.command, verdict, err, c.want)
		}
	}
	t.Setenv("SECRET_KEY", "sk")
	if _, verdict, err := (&Checker{Kind: Code, Command: []string{"sh", "-c", `test -z "$SECRET_KEY" && test -n "$PATH"`, "{file}"}, Seconds: 10}).check(t.Context(), r, record.Single, "x"); err != nil || verdict != synth.Right {
		t.Errorf("the code sees a key: %s, %v", verdict, err)
	}
	k := &Checker{Kind: Code, Command: []string{"/no/such/program", "{file}"}, Seconds: 1}
	if _, _, err := k.check(t.Context(), r, record.Single, "x"); err == nil || !strings.Contains(err.Error(), "cannot be run") {
		t.Error(err)
	}
	for _, bad := range []Checker{{Kind: "guess"}, {Kind: Code}, {Kind: Number, Command: []string{"a", "{file}"}}, {Kind: Code, Command: []string{"a"}, Seconds: 1}, {Kind: Code, Command: []string{"a", "{file}"}}} {
		if bad.validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// fake corrects: it gives the number of the critique, or of the response where there is none.
type fake struct {
	calls int
	fail  int // call that fails
}

func (f *fake) Generate(_ context.Context, reqs []critic.Request, _ record.Sampling) ([][]critic.Sample, error) {
	if f.calls++; f.calls == f.fail {
		return nil, errors.New("stopped")
	}
	out := make([][]critic.Sample, len(reqs))
	for i, r := range reqs {
		text := r.Messages[len(r.Messages)-1].Content
		if strings.HasPrefix(text, "Check your answer") {
			text = r.Messages[len(r.Messages)-2].Content
		}
		out[i] = []critic.Sample{{Text: "#### " + digit.FindStringSubmatch(text)[1], FinishReason: record.FinishStop}}
	}
	return out, nil
}

var digit = regexp.MustCompile(`is (\d)`)

const revisable = `{"id":"a","prompt":"1+1","response":"It is 3","correct":false,"reference":"2","critiques":["The truth is 2",{"text":"It is 2","score":1},{"text":"It is 5","score":1}]}
{"id":"b","prompt":"1+3","response":"It is 4","correct":true,"reference":"4","critiques":[{"text":"It is 4","score":9},{"text":"It is 6","score":9}]}
{"id":"c","prompt":"2+3","response":"It is 6","correct":false,"reference":"5","critiques":[{"text":"It is 7","score":9},{"text":"It is 5","score":9}]}
`

func revised(t *testing.T, in, out string, g critic.Generator, o Options) (*Stats, error) {
	t.Helper()
	p, err := LoadPrompts("", "")
	if err != nil {
		t.Fatal(err)
	}
	o.Prompts = p.Hash()
	step, stats, err := Stage(in, out, record.ReadOptions{}, &Model{Generator: g, Prompts: p, Scale: critic.DefaultScale()}, o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = step.Run(t.Context())
	return stats, err
}

// TestStage: each condition has the critiques that it should, verdicts are before and after, and an interrupted run ends with the same bytes.
func TestStage(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.jsonl")
	if err := os.WriteFile(in, []byte(revisable), 0o600); err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.Conditions, o.Critiques, o.Checker, o.Chunk = Conditions(), 2, &Checker{Kind: Auto}, 1
	whole := filepath.Join(dir, "whole.jsonl")
	stats, err := revised(t, in, whole, &fake{}, o)
	if err != nil {
		t.Fatal(err)
	}
	if s := stats.String(); !strings.Contains(s, "3 records, responses before: 1 × right, 2 × wrong") || !strings.Contains(s, "revised, critique: 3 × right, 3 × wrong") ||
		!strings.Contains(s, "revised, none: 1 × right, 2 × wrong") || !strings.Contains(s, "revised, oracle: 1 × right") {
		t.Errorf("%s", s)
	}
	list, _, err := stage.ReadFile(whole, record.ReadOptions{Reads: []string{Column, "reference"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		of, err := Of(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range of {
			if (v.Condition == Shuffled) != (v.From != "" && v.From != r.ID) {
				t.Errorf("record %s: %+v", r.ID, v)
			}
		}
		if n := len(slices.DeleteFunc(of, func(v Revision) bool { return v.Condition != Shuffled })); n != 2 {
			t.Errorf("record %s: %d shuffled", r.ID, n)
		}
	}
	part := filepath.Join(dir, "part.jsonl")
	if _, err := revised(t, in, part, &fake{fail: 2}, o); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Fatal(err)
	}
	if _, err := revised(t, in, part, &fake{}, o); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(whole)
	b, _ := os.ReadFile(part)
	if string(a) != string(b) || len(a) == 0 {
		t.Error("an interrupted run ends with other bytes")
	}
	o.Critiques = 1
	if _, err := revised(t, in, part, &fake{}, o); err == nil || !strings.Contains(err.Error(), "cannot resume") {
		t.Error(err)
	}
}

// limit lets one response be too long.
type limit struct{ critic.Limits }

func (limit) Over(r critic.Request, _, _ int) (int, error) {
	if strings.Contains(r.Messages[0].Content, "2+3") {
		return 7, nil
	}
	return 0, nil
}

// TestTooLong: a question over the model's context is not asked, and counted as what it is.
func TestTooLong(t *testing.T) {
	p, _ := LoadPrompts("", "")
	m := &Model{Generator: &fake{}, Prompts: p, Scale: critic.DefaultScale(), Limits: limit{}}
	o := DefaultOptions()
	o.Conditions, o.Checker = []string{Own}, &Checker{Kind: Auto}
	list := rows(t, revisable)
	if err := o.work(t.Context(), m, list, nil); err != nil {
		t.Fatal(err)
	}
	of, err := Of(list[2])
	if err != nil || len(of) != 1 || of[0].Verdict != TooLong || of[0].Text != "" {
		t.Errorf("%+v %v", of, err)
	}
}

// TestAsk: text of a row is put into the prompt once, and a row without critiques is an error that says what to do.
func TestAsk(t *testing.T) {
	p, err := LoadPrompts("", "")
	if err != nil {
		t.Fatal(err)
	}
	m := &Model{Prompts: p, Scale: critic.DefaultScale()}
	r := row(t, `{"prompt":"p {critique}","response":"r","reference":"1","critiques":[{"text":"c {response}"}]}`)
	got := m.Messages(&Task{Record: r, Side: record.Single, Condition: Own, Critique: "c {response}"})
	text := fmt.Sprint(got)
	if len(got) != 3 || got[0] != (tokenizer.Message{Role: "user", Content: "p {critique}"}) || !strings.Contains(text, "\n\nc {response}\n\n") {
		t.Errorf("%q", got)
	}
	o := DefaultOptions()
	if _, err := o.tasks(row(t, `{"prompt":"p","response":"r"}`), nil); err == nil || !strings.Contains(err.Error(), "rows.jsonl:1") || !strings.Contains(err.Error(), "no sampled critiques") {
		t.Error(err)
	}
	for _, bad := range []func(*Options){func(o *Options) { o.Conditions = []string{"x"} }, func(o *Options) { o.Conditions = []string{Own, Own} }, func(o *Options) { o.Conditions = nil },
		func(o *Options) { o.Critiques = 0 }, func(o *Options) { o.Chunk = 0 }} {
		o := DefaultOptions()
		o.Checker = &Checker{Kind: Auto}
		if bad(&o); o.Validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
