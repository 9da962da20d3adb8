package critic

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/record"
	"criticrm/record/recordtest"
	"criticrm/tokenizer"
)

const shots = `{"prompt":"1+1?","chosen":"2","rejected":"3","chosen_critiques":[{"text":"Right.","score":9}],"rejected_critiques":["Wrong.\nScore: 2"]}
{"prompt":"2+2?","chosen":"4","rejected":"5","chosen_critiques":["Fine.\nScore: 8"]}
`

// one is a row of one response.
func one(t *testing.T, line string) *record.Record {
	t.Helper()
	list, err := record.ReadFile(recordtest.File(t, "x.jsonl", line+"\n"), record.DefaultReadOptions())
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

// Examples are asked as the critic is and answered before its question; a system message stays in front; the words that the model's turn begins
// with stand before their critiques. They belong to the prompts: to their hash, and to the texts that a model's directory keeps.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "critique.txt"), []byte("[system]\nBe strict.\n[user]\nQ: {prompt} A: {response}\n[assistant]\nReview: \n[verdict]\nFinal score:\n"), 0o644)
	os.WriteFile(filepath.Join(dir, ExamplesFile), []byte(shots), 0o644)
	p, err := LoadPrompts(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []tokenizer.Message{{Role: "system", Content: "Be strict."},
		{Role: "user", Content: "Q: 1+1? A: 2"}, {Role: "assistant", Content: "Review: Right.\nFinal score: 9"},
		{Role: "user", Content: "Q: 1+1? A: 3"}, {Role: "assistant", Content: "Review: Wrong.\nScore: 2"},
		{Role: "user", Content: "Q: 2+2? A: 4"}, {Role: "assistant", Content: "Review: Fine.\nScore: 8"},
		{Role: "user", Content: "Q: p A: r"}, {Role: Begun, Content: "Review:"}}
	r := one(t, `{"prompt":"p","response":"r"}`)
	if got := p.Ask(r, record.Single, DefaultScale()); !slices.Equal(got, want) {
		t.Errorf("asked\n%q, want\n%q", got, want)
	}
	back, err := ParsePrompts("m", p.Texts())
	if err != nil || back.Hash() != p.Hash() || !slices.Equal(back.Ask(r, record.Single, DefaultScale()), want) {
		t.Errorf("what a model's directory keeps gives other prompts: %v", err)
	}
	bare, err := LoadPrompts(dir, recordtest.File(t, "other.jsonl", `{"prompt":"x","response":"y","critiques":["Z.\nScore: 1"]}`))
	if err != nil || bare.Hash() == p.Hash() || len(bare.Ask(r, record.Single, DefaultScale())) != 5 {
		t.Errorf("a file of one example in place of the directory's: %v", err)
	}
	recordtest.WantError(t, p.CheckScale(Scale{1, 5}), "the score 9 is not on the scale from 1 to 5")
	for file, want := range map[string]string{
		`{"prompt":"p","response":"r"}`:                                                                                          "it has no critique",
		`{"prompt":"p","response":"r","critiques":["Good."]}`:                                                                    "the critique has no score",
		`{"prompt":"p","response":"r","critiques":[{"text":"Good.\nScore: 3","score":4}]}`:                                       "ends with the score 3, and score is 4",
		`{"prompt":"p","response":"r","critiques":[{"text":"Good.","score":4.5}]}`:                                               "4.5 is not a whole number",
		`{"prompt":"p","response":"r","rubric":"x","critiques":["Good.\nScore: 3"]}`:                                             `column "rubric" of 1 rows is not read`,
		`{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"p"}],"response":"r","critiques":["A.\nScore: 3"]}`: "cannot have a system message",
		"": "no examples",
	} {
		_, err := LoadPrompts("", recordtest.File(t, "bad.jsonl", file))
		recordtest.WantError(t, err, want)
	}
	_, err = LoadPrompts("", filepath.Join(dir, "none"))
	recordtest.WantError(t, err, "load examples")
}

// A last section [assistant] begins the model's turn: a score may stand partly in it, and one that holds the response is over.
func TestBegunTurn(t *testing.T) {
	p, err := ParseTemplate("x", "[user]\n{prompt} {response}\n[assistant]\nScore:\n", []string{"prompt", "response"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := Sample{Text: " 7\nIt is fine.", FinishReason: record.FinishStop}
	if score, how := s.score(DefaultScale(), p); score == nil || *score != 7 || how != record.VerdictWritten {
		t.Errorf("the score behind the words of the turn is %v, %s", score, how)
	}
	if ask := p.ask(AskSample, DefaultScale()); ask.Lacks(s.Text, s.FinishReason) || !ask.Lacks(" fine", s.FinishReason) {
		t.Error("the words of the turn do not count")
	}
	over, err := ParseTemplate("x", "[user]\n{prompt}\n[assistant]\n{response}\n", []string{"prompt", "response"}, nil)
	if err != nil || over.begun(DefaultScale()) != "" || over.Messages(Values{Response: "r"})[1].Role != "assistant" {
		t.Errorf("a turn with the response is not over: %v, %v", over, err)
	}
}

// Columns that a prompt names come from the row; a row without one is an error that says so, and is told before it is asked about.
func TestPromptColumns(t *testing.T) {
	p, err := ParseTemplate("rubric.txt", "[user]\n{prompt} {response}\nBy:\n{rubric}\n{principles}\n", []string{"prompt", "response"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set := DefaultPrompts()
	set.Critique = p
	r := one(t, `{"prompt":"p","response":"r","rubric":" be {prompt} ","principles":["short","true"]}`)
	if got := set.Ask(r, record.Single, DefaultScale())[0].Content; got != "p r\nBy:\nbe {prompt}\n- short\n- true" {
		t.Errorf("asked %q", got)
	}
	if got := set.Columns(); !slices.Equal(got, []string{"rubric", "principles"}) || set.Lacks(r) != nil {
		t.Errorf("columns %q, lacks %v", got, set.Lacks(r))
	}
	for line, want := range map[string]string{
		`{"prompt":"p","response":"r","rubric":"x"}`:                        `it has no "principles", which the prompt rubric.txt names`,
		`{"prompt":"p","response":"r","rubric":"x","principles":[]}`:        `it has no "principles"`,
		`{"prompt":"p","response":"r","rubric":"x","principles":["a", 3]}`:  `"principles": item 1 is 3, want a text`,
		`{"prompt":"p","response":"r","rubric":{"a":1},"principles":"one"}`: `"rubric": got object, want a text or a list of texts`,
	} {
		row := one(t, line)
		recordtest.WantError(t, set.Lacks(row), want)
		o := DefaultGenerateOptions()
		o.Prompts = set
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		recordtest.WantError(t, o.Check()(row), want)
	}
}

// The built-in sets are whole, ask for a score and do not hold one that a critic could repeat as a placeholder's.
func TestPromptSets(t *testing.T) {
	for _, name := range PromptSets() {
		p, err := LoadPrompts(name, "")
		if err != nil {
			t.Fatal(err)
		}
		m := p.Ask(one(t, `{"prompt":"PROMPT","response":"RESPONSE"}`), record.Single, Scale{1, 5})
		if OpenTurn(m) == "user" {
			continue // see TestCloudPrompts
		}
		if last := m[len(m)-1].Content; !strings.Contains(last, "PROMPT") || !strings.Contains(last, "RESPONSE") {
			t.Errorf("%s: the last message is %q", name, last)
		}
		scores := map[float64]bool{}
		for _, x := range m {
			if v := (Scale{1, 5}).Parse(x.Content); x.Role == "assistant" && v.OK {
				scores[v.Score] = true
			}
		}
		if !scores[1] || !scores[3] || !scores[5] {
			t.Errorf("%s: its examples have the scores %v, want both ends and the middle of the scale", name, scores)
		}
		for _, s := range p.slots() {
			if source, _ := promptFiles.ReadFile("prompts/" + name + "/" + s.file); len(source) == 0 {
				t.Errorf("%s has no %s", name, s.file)
			}
		}
		t.Chdir(t.TempDir())
		os.Mkdir(name, 0o755)
		_, err = LoadPrompts(name, "")
		recordtest.WantError(t, err, "write ./"+name+" for the directory")
	}
}

// CLoud's models write in a turn of the user's, which examples fill, too.
func TestCloudPrompts(t *testing.T) {
	p, err := LoadPrompts("cloud", "")
	if err != nil {
		t.Fatal(err)
	}
	words := "The following is a break down on the correctness and usefulness of the assistant's response to my question:"
	want := []tokenizer.Message{{Role: "user", Content: "P"}, {Role: "assistant", Content: "R"}, {Role: BegunUser, Content: words}}
	row := one(t, `{"prompt":"P","response":"R"}`)
	if d := cmp.Diff(want, p.Ask(row, record.Single, DefaultScale())); d != "" {
		t.Error(d)
	}
	file := filepath.Join(t.TempDir(), ExamplesFile)
	if err := os.WriteFile(file, []byte(`{"prompt":"p","response":"r","critiques":[{"text":"So-so. Score: 4"}]}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err = LoadPrompts("cloud", file); err != nil {
		t.Fatal(err)
	}
	want = slices.Concat([]tokenizer.Message{{Role: "user", Content: "p"}, {Role: "assistant", Content: "r"}, {Role: "user", Content: words + " So-so. Score: 4"}}, want)
	if d := cmp.Diff(want, p.Ask(row, record.Single, DefaultScale())); d != "" {
		t.Error(d)
	}
	for _, text := range []string{"[user_begun]\n{prompt} {response}\n[user]\nmore", "[user_begun]\n{prompt} {response}\n[assistant]\nmore"} {
		if _, err := ParseTemplate("x", text, []string{"prompt", "response"}, nil); err == nil || !strings.Contains(err.Error(), "x:3: [user_begun] must be the last section") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
