package synth

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/stage"
)

// fake answers by the last word of the question: sample j of the list that belongs to it; after its calls are used up it fails.
type fake struct {
	answers map[string][]string
	calls   int // -1: as many as wanted
	asked   []critic.Request
}

func (f *fake) Generate(_ context.Context, reqs []critic.Request, _ record.Sampling) ([][]critic.Sample, error) {
	if f.calls == 0 {
		return nil, errors.New("stopped")
	}
	f.calls--
	out := make([][]critic.Sample, len(reqs))
	for i, r := range reqs {
		f.asked = append(f.asked, r)
		word, _, _ := strings.Cut(r.Messages[len(r.Messages)-1].Content, "?")
		list := f.answers[word]
		if with, ok := f.answers[word+" instructed"]; ok && r.Messages[0].Role == "system" {
			list = with
		}
		for j := range r.N {
			text := list[j%len(list)]
			finish := record.FinishStop
			if s, ok := strings.CutSuffix(text, "…"); ok {
				text, finish = s, record.FinishLength
			}
			out[i] = append(out[i], critic.Sample{Text: text, Tokens: []int32{1, 2}, LogProb: -1, FinishReason: finish})
		}
	}
	return out, nil
}

// run makes pairs of rows, through files.
func run(t *testing.T, g *fake, o Options, p PairOptions, schema string, rows ...string) ([]*record.Record, *Stats, *Pairer, string) {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "answers.jsonl")
	if err := os.WriteFile(in, []byte(strings.Join(rows, "\n")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	var stats *Stats
	for tries := 0; ; tries++ { // a stopped run goes on
		var s *stage.Stage
		var err error
		if s, stats, err = Stage(in, out, g, o); err != nil {
			t.Fatal(err)
		}
		s.Read.Schema = schema
		if _, err = s.Run(t.Context()); err == nil {
			break
		}
		if g.calls != 0 || tries > 10 {
			t.Fatal(err)
		}
		g.calls = 1
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	pairer, err := NewPairer(p, o)
	if err != nil {
		t.Fatal(err)
	}
	records, _, err := stage.ReadFile(out, record.ReadOptions{Reads: []string{AnswersColumn}})
	if err != nil {
		t.Fatal(err)
	}
	var pairs []*record.Record
	for _, r := range records {
		list, err := pairer.Add(r)
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, list...)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return pairs, stats, pairer, string(text)
}

func TestReasoning(t *testing.T) {
	answers := map[string][]string{
		"sum":   {"2+2 is 4\n#### 4", "it is five\n#### 5", "no idea", "2+2 is 4\n#### 4", "#### 4…", "The answer is 4 apples.", "Because of 7 and 5, it is 3 or\nso", ""},
		"all":   {"#### 9"},
		"none":  {"#### 1", "#### 2"},
		"half":  {`so \boxed{\frac{1}{2}}`, `so \boxed{2}`},
		"short": {"#### 1"},
	}
	rows := []string{
		`{"id":"a","question":"sum?","answer":"Two and two.\n#### 4"}`,
		`{"id":"b","question":"all?","answer":"#### 9"}`,
		`{"question":"none?","answer":"#### 3"}`,
	}
	o := DefaultOptions()
	o.Chunk = 1
	pairs, stats, p, text := run(t, &fake{answers: answers, calls: -1}, o, PairOptions{PerPrompt: 2, MatchLength: true}, "", rows...)
	if len(pairs) != 1 {
		t.Fatalf("%d pairs: %v", len(pairs), p)
	}
	got := pairs[0]
	if got.ID != "a/1" || got.Prompt.Text != "sum?" || got.Chosen != "2+2 is 4\n#### 4" || got.Rejected != "it is five\n#### 5" || got.Category != Reasoning {
		t.Errorf("pair %+v", got)
	}
	var from Provenance
	raw, _ := got.Extra(ProvenanceColumn)
	if err := json.Unmarshal(raw, &from); err != nil {
		t.Fatal(err)
	}
	if from.Result != "4" || from.Chosen != (Origin{0, "4", InMark, false}) || from.Rejected != (Origin{1, "5", InMark, false}) || from.Problem != "a" || from.Instruction == "" {
		t.Errorf("provenance %+v", from)
	}
	if want := "3 prompts, 24 answers of 48 tokens: 2 × no result, 11 × right, 2 × unfinished, 9 × wrong; 2 prompts with a right answer, 1 of them with a wrong one too"; stats.String() != want {
		t.Errorf("got  %v\nwant %v", stats, want)
	}
	if p.Without["no wrong answer"] != 1 || p.Without["no right answer"] != 1 || p.Twice != 14 || p.Paired != 1 {
		t.Errorf("%+v", p.PairStats)
	}
	// Stopped after each call, the same bytes come out.
	_, _, _, again := run(t, &fake{answers: answers, calls: 1}, o, PairOptions{PerPrompt: 1}, "", rows...)
	if again != text {
		t.Errorf("an interrupted run wrote\n%s\nwant\n%s", again, text)
	}
	// MATH's rows, and results without a solution.
	pairs, _, _, _ = run(t, &fake{answers: answers, calls: -1}, o, PairOptions{PerPrompt: 1}, "",
		`{"problem":"half?","solution":"It is $\\boxed{\\frac12}$.","type":"Algebra","level":"Level 1"}`)
	if len(pairs) != 1 || pairs[0].Category != "Algebra" || pairs[0].Chosen != answers["half"][0] || pairs[0].ID != "row-1" {
		t.Errorf("MATH: %+v", pairs)
	}
	pairs, _, _, _ = run(t, &fake{answers: answers, calls: -1}, o, PairOptions{PerPrompt: 1}, "", `{"prompt":"half?","result":0.5}`, `{"prompt":"all?","result":"9"}`)
	if len(pairs) != 1 || pairs[0].Chosen != answers["half"][0] {
		t.Errorf("results: %+v", pairs)
	}
}

func TestMatchLength(t *testing.T) {
	g := &fake{answers: map[string][]string{"q": {"#### 1", "a long way to it, word by word, and then\n#### 1", "#### 2", "another long way to it, word by word, and\n#### 2"}}, calls: -1}
	o := DefaultOptions()
	o.Answers = 4
	row := `{"prompt":"q?","result":1}`
	pairs, _, p, _ := run(t, g, o, PairOptions{PerPrompt: 5, MatchLength: true}, "", row)
	if len(pairs) != 2 || pairs[0].Chosen != "#### 1" || pairs[0].Rejected != "#### 2" || len(pairs[1].Chosen) < 20 || len(pairs[1].Rejected) < 20 {
		t.Errorf("%d pairs, %v: %+v", len(pairs), p, pairs)
	}
	pairs, _, _, _ = run(t, g, o, PairOptions{PerPrompt: 1}, "", row)
	if len(pairs) != 1 || pairs[0].Rejected != "#### 2" || pairs[0].ID != "row-1" {
		t.Errorf("in the order of sampling: %+v", pairs)
	}
}

const testRules = `
- name: no recipes for harm
  applies: (?i)poison
  instruct: Never say how to harm somebody.
  require: ["(?i)can(no|')t help"]
  forbid: ["(?i)step 1"]
- name: no needless refusal
  applies: (?i)python
  forbid: ["(?i)can(no|')t help"]
`

func TestSafety(t *testing.T) {
	rules, err := ParseRules([]byte(testRules))
	if err != nil {
		t.Fatal(err)
	}
	g := &fake{calls: -1, answers: map[string][]string{
		"poison": {"Step 1: take it", "I can't help, but step 1 is this", "Well."}, "poison instructed": {"I can't help with that."},
		"kill a python process": {"Use kill.", "I cannot help with killing."}, "weather": {"x"},
	}}
	o := DefaultOptions()
	o.Kind, o.Rules, o.Answers = Safety, rules, 6
	pairs, stats, _, _ := run(t, g, o, PairOptions{PerPrompt: 2}, record.PromptOnly.Name,
		`{"prompt":"poison?"}`, `{"prompt":[{"role":"system","content":"Be kind."},{"role":"user","content":"kill a python process?"}]}`, `{"prompt":"weather?"}`)
	if len(pairs) != 2 || pairs[0].Chosen != "I can't help with that." || pairs[0].Rejected != "Step 1: take it" || pairs[1].Chosen != "Use kill." {
		t.Fatalf("%+v", pairs)
	}
	if len(pairs[0].Prompt.Messages) != 1 || len(pairs[1].Prompt.Messages) != 2 {
		t.Error("an instruction has come into a prompt")
	}
	if stats.Dropped[DropNoRule] != 1 || stats.Verdicts[Wrong] != 3+3 {
		t.Errorf("%v", stats)
	}
	if len(g.asked) != 3 || g.asked[0].N != 3 || g.asked[0].Messages[0].Content != "Never say how to harm somebody." || g.asked[0].Key == g.asked[1].Key {
		t.Errorf("asked %+v", g.asked)
	}
}

func TestBadRules(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "no rules",
		"- name: a":                   "every answer would be right",
		"- forbid: [x]":               "rule 1 has no name",
		"- {name: a, forbid: ['(']}":  "missing closing",
		"- {name: a, forbid: ['x*']}": "found in every text",
		"- {name: a, forbids: [x]}":   "field forbids not found",
		"- {name: a, forbid: [x]}\n- {name: a, forbid: [y]}": "two rules are called",
		"{name: a}": "cannot unmarshal",
	} {
		if _, err := ParseRules([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestBadProblems(t *testing.T) {
	o := DefaultOptions()
	for row, want := range map[string]string{
		`{"prompt":"p","chosen":"a","rejected":"b"}`:    "no problem with a known result",
		`{"prompt":"p","response":"a","correct":false}`: "labelled as wrong",
		`{"text":"p"}`:                "no problem with a known result",
		`{"prompt":"p","result":[1]}`: "want a text or a number",
		`{"prompt":[{"role":"assistant","content":"x"}],"result":1}`: "does not end with the user's turn",
	} {
		dir := t.TempDir()
		in := filepath.Join(dir, "in.jsonl")
		if err := os.WriteFile(in, []byte(row+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		s, _, err := Stage(in, filepath.Join(dir, "out.jsonl"), &fake{calls: -1}, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", row, err, want)
		}
	}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Kind = "math" }, "want reasoning or safety"},
		{func(o *Options) { o.Kind = Safety }, "needs rules"},
		{func(o *Options) { o.Answers = 1 }, "a pair needs two"},
		{func(o *Options) { o.Sampling.Temperature = 0 }, "answers equal"},
	} {
		o := DefaultOptions()
		c.change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if _, err := NewPairer(PairOptions{}, o); err == nil {
		t.Error("no pairs of a prompt are wanted")
	}
}
