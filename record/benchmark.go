package record

// Rows of public benchmarks: what a record says of the row that it was, or was a part of, so that it can be scored by the benchmark's own
// rule after it went through files.

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"criticrm/strictjson"
)

// Names of public benchmarks. Package measure has their rules.
const (
	RewardBench    = "rewardbench"
	RewardBench2   = "rewardbench2"
	RMBench        = "rmbench"
	JudgeBench     = "judgebench"
	RMB            = "rmb"
	PPEPreference  = "ppe-preference"
	PPECorrectness = "ppe-correctness"
	LLMBar         = "llmbar"
	CrossEval      = "crosseval"
	CriticBench    = "criticbench"
	StanfordSHP    = "shp"
	QAFeedback     = "qa-feedback"
)

// Benchmarks lists the names.
func Benchmarks() []string {
	return []string{RewardBench, RewardBench2, RMBench, JudgeBench, RMB, PPEPreference, PPECorrectness, LLMBar, CrossEval, CriticBench, StanfordSHP, QAFeedback}
}

// HeldOut reports whether a benchmark is there to compare models only: SHP and QA Feedback are made for training as well.
func HeldOut(benchmark string) bool { return benchmark != StanfordSHP && benchmark != QAFeedback }

// Benchmark says which row of a public benchmark a record is, or is a part of, and what the official rule asks of it beside the texts.
// A row with two answers is a pair; one with more is as many records of one response, whose Correct says whether it is right.
type Benchmark struct {
	Name    string   `json:"name"`              // one of Benchmarks
	Part    string   `json:"part,omitempty"`    // what the rule splits by: the subset, domain, source or set, as the row calls it
	Row     string   `json:"row,omitempty"`     // the id of a row that became several records
	Answer  int      `json:"answer,omitempty"`  // which of its answers this is, from 0
	Answers int      `json:"answers,omitempty"` // … of so many; 0: the record is the whole row
	Second  bool     `json:"second,omitempty"`  // the right answer of a pair stood second in the row
	Rating  *float64 `json:"rating,omitempty"`  // mean of what people gave to the answer
	Pairs   [][2]int `json:"pairs,omitempty"`   // of the row's first record: answers, from 0, that are compared
	Group   string   `json:"group,omitempty"`   // a second split, across parts: the type of a question
}

// decodeBenchmark reads what a row says of its benchmark. A column of that name that is something else is left unread.
func (rec *Record) decodeBenchmark(r *row) error {
	if !r.ofBenchmark() {
		return nil
	}
	const fault = "not what this program writes of a benchmark's row"
	var b Benchmark
	if _, err := r.optObject("benchmark", &b, fault); err != nil {
		return err
	}
	single := b.Answers > 0
	if single == rec.Paired() || b.Answer < 0 || single && b.Answer >= b.Answers || single && b.Row == "" {
		return badField("%q: %s", "benchmark", fault)
	}
	for _, p := range b.Pairs {
		if min(p[0], p[1]) < 0 || max(p[0], p[1]) >= b.Answers || p[0] == p[1] {
			return badField("%q: %s: pair %v of %d answers", "benchmark", fault, p, b.Answers)
		}
	}
	rec.Benchmark = &b
	return nil
}

// ofBenchmark reports whether a row says itself that it is one of a benchmark: it went through this program.
func (r *row) ofBenchmark() bool {
	for _, m := range r.members {
		if m.Key == "benchmark" && strictjson.KindOf(m.Raw) == "object" {
			var b struct {
				Name string `json:"name"`
			}
			return json.Unmarshal(m.Raw, &b) == nil && slices.Contains(Benchmarks(), b.Name)
		}
	}
	return false
}

// ofBenchmark: rows of any benchmark as this program writes them, pairs and single responses. Answers may be blank or equal: the rule
// decides what that is worth.
var ofBenchmark = Schema{
	Name: "benchmark", Group: "benchmark",
	Has:  "`benchmark`, and a pair or a `response`: what this program writes of the rows below",
	For:  ForBenchmark,
	From: "this program",
	is: func(r *row) bool {
		return r.ofBenchmark() && (r.has("response") || r.has("chosen") && r.has("rejected"))
	},
	decode: one(func(rec *Record, r *row) (err error) {
		r.blank = true
		if rec.Prompt, err = r.prompt(); err != nil {
			return err
		}
		if r.has("response") {
			return first(func() error { rec.Response = new(""); return r.answer("response", rec.Response) }, func() error { return rec.decodeResponseFields(r) })
		}
		return first(func() error { return r.answer("chosen", &rec.Chosen) }, func() error { return r.answer("rejected", &rec.Rejected) },
			func() error { return rec.decodePairFields(r) })
	}),
}

// answer is the text of an answer in a benchmark, which may be empty: the rule counts it as any other.
func (r *row) answer(key string, dst *string) (err error) {
	*dst, err = r.anyText(key)
	return err
}

// answers are the texts of a list of them.
func (r *row) answers(key string) ([]string, error) {
	list, err := r.list(key, "answers")
	if err != nil {
		return nil, err
	}
	var out []string
	for i, raw := range list {
		if strictjson.KindOf(raw) != "string" {
			return nil, badField("%q: item %d is %s, want an answer", key, i, clip(string(raw)))
		}
		text := str(raw)
		if len(text) > r.max {
			return nil, badField("%q: item %d is %d bytes, limit %d", key, i, len(text), r.max)
		}
		out = append(out, text)
	}
	if out == nil {
		return nil, badField("%q is empty", key)
	}
	return out, nil
}

// ask is the question of a row, which stands under a name of its own.
func (r *row) ask(key string) (Prompt, error) {
	text, err := r.text(key)
	return Prompt{Text: text}, err
}

// word is a text that may not be there, or a whole number.
func (r *row) word(key string) (string, error) {
	raw, ok := r.get(key)
	if !ok {
		return "", nil
	}
	switch kind := strictjson.KindOf(raw); kind {
	case "string":
		return str(raw), nil
	case "number":
		return string(raw), nil
	default:
		return "", badField("%q: got %s, want string or integer", key, kind)
	}
}

// name is a word that must be there.
func (r *row) name(key string) (string, error) {
	s, err := r.word(key)
	if err == nil && s == "" {
		err = r.missing(key)
	}
	return s, err
}

// pair makes the record of a row of two answers, of which the first is the right one unless second is set.
func (b Benchmark) pair(id string, prompt Prompt, first, second string) []*Record {
	rec := &Record{ID: id, Prompt: prompt, Chosen: first, Rejected: second, Benchmark: &b}
	if b.Second {
		rec.Chosen, rec.Rejected = second, first
	}
	return []*Record{rec}
}

// each makes the records of a row of several answers. correct says whether an answer is right; nil: nobody says so.
func (b Benchmark) each(prompt Prompt, answers []string, correct func(i int) bool) (list []*Record) {
	b.Answers = len(answers)
	for i, text := range answers {
		own := b
		own.Answer = i
		if i > 0 {
			own.Pairs = nil
		}
		rec := &Record{ID: fmt.Sprintf("%s/%d", b.Row, i+1), Prompt: prompt, Response: &text, Benchmark: &own}
		if correct != nil {
			right := correct(i)
			rec.Correct = &right
		}
		list = append(list, rec)
	}
	return list
}

// addBenchmark counts a row of a benchmark.
func (f *Found) addBenchmark(list []*Record) {
	if len(list) == 0 || list[0].Benchmark == nil || list[0].Benchmark.Answer > 0 {
		return
	}
	if f.Benchmarks == nil {
		f.Benchmarks = map[string]int{}
	}
	f.Benchmarks[list[0].Benchmark.Name]++
}

// Warnings say what those should know who train on the rows.
func (f *Found) Warnings() (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(f.Benchmarks)) {
		if HeldOut(name) {
			lines = append(lines, fmt.Sprintf("WARNING: %d rows are of the public benchmark %s: a model that was trained on them cannot be measured by it", f.Benchmarks[name], name))
		}
	}
	return lines
}
