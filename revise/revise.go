// Package revise lets a model write responses again after critiques of them, and checks by program whether the final answers became right: what a
// critique is worth to whoever reads it. Beside the critique stand three controls: none, that of another prompt, and one that is known to be good.
package revise

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/safefile"
	"criticrm/stage"
	"criticrm/synth"
	"criticrm/tokenizer"
)

// What a response is revised after.
const (
	Own      = "critique" // the critiques that were sampled for it
	Without  = "none"     // nothing: the model is asked to check its answer
	Shuffled = "shuffled" // critiques of a response to another prompt, of the same category where there is one
	Oracle   = "oracle"   // the critiques that the row came with
)

// Conditions lists them.
func Conditions() []string { return []string{Own, Without, Shuffled, Oracle} }

// Column is where a record keeps its revisions.
const Column = "revisions"

// TooLong is the verdict on a revision that was not asked for because the question is over the model's context; the others are synth's.
const TooLong = "over the model's context"

// Revision is a response that was written again.
type Revision struct {
	Side         string `json:"side"`           // chosen, rejected or response
	Condition    string `json:"condition"`      // one of Conditions
	Critique     int    `json:"critique"`       // place of the critique among those of its kind, or of the sample without one
	From         string `json:"from,omitempty"` // id of the record whose critique it is, where that is another one
	Text         string `json:"text"`
	FinishReason string `json:"finish_reason,omitempty"`
	Tokens       int    `json:"tokens,omitempty"`
	Answer       string `json:"answer,omitempty"` // its final answer, as far as it is found
	Verdict      string `json:"verdict"`          // of that answer
	Before       string `json:"before"`           // verdict on the response itself
}

// Of reads the revisions of a record; none if it has none.
func Of(r *record.Record) (list []Revision, err error) {
	raw, ok := r.Extra(Column)
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, r.Fault("%q: %v", Column, err)
	}
	for i, v := range list {
		if !slices.Contains(Conditions(), v.Condition) || v.Verdict == "" || v.Before == "" {
			return nil, r.Fault("%q: item %d has the condition %.40q, the verdict %.40q and before %.40q: want what 'criticrm revise' writes", Column, i, v.Condition, v.Verdict, v.Before)
		}
	}
	return list, nil
}

// SideName is a side in words.
func SideName(s record.Side) string { return [...]string{"chosen", "rejected", "response"}[s] }

// Task is one response that is to be revised.
type Task struct {
	Record    *record.Record
	Side      record.Side
	Condition string
	Index     int
	Critique  string // text; empty without one
	from      string
}

// Reviser writes responses again: one sample for each task, which must depend on the task and the settings alone. A sample with the finish reason
// TooLong was not written.
type Reviser interface {
	Revise(ctx context.Context, tasks []Task, s record.Sampling) ([]critic.Sample, error)
}

// Prompts are what a model is asked.
type Prompts struct {
	With *critic.Template // {prompt} {response} {critique}
	None *critic.Template // {prompt} {response}
}

//go:embed prompts
var files embed.FS

// maxPrompt bounds a prompt file.
const maxPrompt = 1 << 20

// LoadPrompts reads prompt files; an empty name is the one that is built in.
func LoadPrompts(with, none string) (p Prompts, err error) {
	for _, t := range []struct {
		path, own string
		needs     []string
		to        **critic.Template
	}{{with, "revise.txt", []string{"prompt", "response", "critique"}, &p.With}, {none, "plain.txt", []string{"prompt", "response"}, &p.None}} {
		name := t.path
		source, err := files.ReadFile("prompts/" + t.own)
		if t.path != "" {
			source, err = safefile.Read(t.path, maxPrompt)
		} else {
			name = "built-in " + t.own
		}
		if err != nil {
			return p, fmt.Errorf("revise: prompt %w", err)
		}
		if *t.to, err = critic.ParseTemplate(name, string(source), t.needs, []string{"min", "max", "middle"}); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Hash identifies the texts.
func (p *Prompts) Hash() string {
	sum := sha256.Sum256([]byte(p.With.Source() + "\x00" + p.None.Source()))
	return hex.EncodeToString(sum[:])[:16]
}

// Options are the settings of Stage.
type Options struct {
	Conditions []string        `json:"conditions"`
	Critiques  int             `json:"critiques"` // of each response that are used, from the first
	Sampling   record.Sampling `json:"sampling"`
	Model      string          `json:"model"`
	Prompts    string          `json:"prompts,omitempty"` // Prompts.Hash
	Checker    *Checker        `json:"checker"`
	Chunk      int             `json:"-"` // records between two saves
}

// DefaultOptions is one critique against none, a shuffled one and, where rows have them, a known one.
func DefaultOptions() Options {
	s := record.DefaultSampling()
	s.Temperature, s.TopP = 0, 1
	return Options{Conditions: []string{Own, Without, Shuffled}, Critiques: 1, Sampling: s, Chunk: 16}
}

// Validate checks the settings.
func (o *Options) Validate() error {
	switch {
	case len(o.Conditions) == 0:
		return errors.New("revise: conditions: want some of " + strings.Join(Conditions(), ", "))
	case o.Critiques < 1 || o.Critiques > 10000:
		return fmt.Errorf("revise: critiques: got %d, want 1 to 10000", o.Critiques)
	case o.Chunk < 1:
		return fmt.Errorf("revise: chunk: got %d, want 1 or more", o.Chunk)
	}
	seen := map[string]bool{}
	for _, c := range o.Conditions {
		if !slices.Contains(Conditions(), c) {
			return fmt.Errorf("revise: conditions: got %.40q, want some of %s", c, strings.Join(Conditions(), ", "))
		}
		if seen[c] {
			return fmt.Errorf("revise: conditions: %s stands there twice", c)
		}
		seen[c] = true
	}
	return errors.Join(o.Checker.validate(), o.Sampling.Validate())
}

// critiquesOf are the texts of critiques that were sampled, or that the row came with.
func critiquesOf(r *record.Record, side record.Side, given bool, most int) (texts []string) {
	for _, c := range *r.SideCritiques(side) {
		if (c.Origin == record.OriginGiven) == given && (given || c.Origin == "") && len(texts) < most {
			texts = append(texts, c.Text)
		}
	}
	return texts
}

// tasks are what is asked about a record.
func (o *Options) tasks(r *record.Record, d *donors) (list []Task, err error) {
	for _, side := range r.Sides() {
		own := critiquesOf(r, side, false, o.Critiques)
		for _, c := range o.Conditions {
			texts, from := own, ""
			switch c {
			case Own:
				if own == nil {
					return nil, r.Fault("the %s has no sampled critiques to revise it after: 'criticrm generate' or 'criticrm score' writes them", SideName(side))
				}
			case Without:
				n := o.Critiques
				if o.Sampling.Temperature == 0 {
					n = 1 // all would be the same
				}
				texts = make([]string, n)
			case Shuffled:
				texts, from = d.of(r, side)
			case Oracle:
				texts = critiquesOf(r, side, true, o.Critiques)
			}
			for i, text := range texts {
				list = append(list, Task{Record: r, Side: side, Condition: c, Index: i, Critique: text, from: from})
			}
		}
	}
	return list, nil
}

// revisable says what work would refuse a record for.
func (o *Options) revisable(r *record.Record, d *donors) error {
	if r.Document != nil {
		return r.Fault("it is a document and has no response")
	}
	if r.Dropped == critic.DropOverlong {
		return nil
	}
	if _, err := o.tasks(r, d); err != nil {
		return err
	}
	_, _, err := o.Checker.reference(r)
	return err
}

// work revises some records.
func (o *Options) work(ctx context.Context, w Reviser, records []*record.Record, d *donors) error {
	var tasks []Task
	for _, r := range records {
		if err := o.revisable(r, d); err != nil {
			return err
		}
		if r.Dropped == critic.DropOverlong { // it has no critiques
			continue
		}
		list, err := o.tasks(r, d)
		if err != nil {
			return err
		}
		tasks = append(tasks, list...)
	}
	if len(tasks) == 0 {
		return nil
	}
	samples, err := w.Revise(ctx, tasks, o.Sampling)
	if err == nil && len(samples) != len(tasks) {
		err = fmt.Errorf("%d samples for %d tasks", len(samples), len(tasks))
	}
	if err != nil {
		return fmt.Errorf("revise: records %.40q to %.40q: %w", records[0].ID, records[len(records)-1].ID, err)
	}
	of := map[*record.Record][]Revision{}
	before := map[*record.Record]map[record.Side]string{}
	for i, t := range tasks {
		if before[t.Record] == nil {
			before[t.Record] = map[record.Side]string{}
		}
		was, ok := before[t.Record][t.Side]
		if !ok {
			if was, err = o.Checker.before(ctx, t.Record, t.Side); err != nil {
				return err
			}
			before[t.Record][t.Side] = was
		}
		x := samples[i]
		v := Revision{Side: SideName(t.Side), Condition: t.Condition, Critique: t.Index, From: t.from, Text: strings.TrimSpace(strings.ToValidUTF8(x.Text, "\uFFFD")),
			FinishReason: x.FinishReason, Tokens: len(x.Tokens), Before: was}
		switch {
		case x.FinishReason == TooLong:
			v.FinishReason, v.Verdict = "", TooLong
		case v.Text == "" || x.FinishReason != record.FinishStop:
			v.Verdict = synth.Unfinished
		default:
			if v.Answer, v.Verdict, err = o.Checker.check(ctx, t.Record, t.Side, v.Text); err != nil {
				return err
			}
		}
		of[t.Record] = append(of[t.Record], v)
	}
	for r, list := range of {
		b, err := json.Marshal(list)
		if err != nil {
			return r.Fault("%v", err)
		}
		r.SetExtra(Column, b)
	}
	return nil
}

// Revise revises the responses of records in memory, as Stage does from file to file.
func Revise(ctx context.Context, w Reviser, records []*record.Record, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	d, _ := donorsOf(records, &o)
	return o.work(ctx, w, records, d)
}

// Stats counts what Stage has done. It is a function of the finished records alone.
type Stats struct {
	Records int
	Without int // records without a revision
	Before  map[string]int
	After   map[string]map[string]int // verdicts by condition
}

// Observe adds one finished record.
func (s *Stats) Observe(r *record.Record) error {
	s.Records++
	list, err := Of(r)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		s.Without++
	}
	seen := map[string]bool{}
	for _, v := range list {
		if !seen[v.Side] {
			seen[v.Side] = true
			s.Before[v.Before]++
		}
		if s.After[v.Condition] == nil {
			s.After[v.Condition] = map[string]int{}
		}
		s.After[v.Condition][v.Verdict]++
	}
	return nil
}

// String is a line for each condition.
func (s *Stats) String() string {
	lines := []string{fmt.Sprintf("%d records, responses before: %s", s.Records, record.Counts(s.Before))}
	for _, c := range Conditions() {
		if s.After[c] != nil {
			lines = append(lines, fmt.Sprintf("revised, %s: %s", c, record.Counts(s.After[c])))
		}
	}
	if s.Without > 0 {
		lines = append(lines, fmt.Sprintf("%d records without a revision", s.Without))
	}
	return strings.Join(lines, "\n")
}

// Stage revises the responses of in; out has each row with its revisions. in is read once
// more at the beginning, so that a row that cannot be revised is told before anything is asked.
func Stage(in, out string, read record.ReadOptions, w Reviser, o Options) (*stage.Stage, *Stats, error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	read.Reads = append(slices.Clone(read.Reads), o.Checker.columns()...)
	read.Reads = append(read.Reads, Column)
	d, err := survey(in, read, &o)
	if err != nil {
		return nil, nil, err
	}
	stats := &Stats{Before: map[string]int{}, After: map[string]map[string]int{}}
	return &stage.Stage{
		Name: "revise", In: in, Out: out, Chunk: o.Chunk, Settings: o, Read: record.ReadOptions{Reads: read.Reads, Check: func(r *record.Record) error { return o.revisable(r, d) }},
		Work:    func(ctx context.Context, records []*record.Record) error { return o.work(ctx, w, records, d) },
		Observe: stats.Observe,
	}, stats, nil
}

// Model is a Reviser that asks a model.
type Model struct {
	Generator critic.Generator
	Prompts   Prompts
	Scale     critic.Scale
	Limits    critic.Limits // nil: everything fits
	MaxLength int           // tokens of question and answer; 0: the model's context
}

// Messages are what the model is asked.
func (m *Model) Messages(t *Task) []tokenizer.Message {
	v := critic.Values{Prompt: t.Record.Prompt, Response: t.Record.Text(t.Side), Critique: t.Critique, Scale: m.Scale, Row: t.Record}
	if t.Condition == Without {
		return m.Prompts.None.Messages(v)
	}
	return m.Prompts.With.Messages(v)
}

// Revise asks for one sample for each task.
func (m *Model) Revise(ctx context.Context, tasks []Task, s record.Sampling) ([]critic.Sample, error) {
	out := make([]critic.Sample, len(tasks))
	var reqs []critic.Request
	var place []int
	for i := range tasks {
		t := &tasks[i]
		req := critic.Request{Messages: m.Messages(t), N: 1, Key: critic.KeyOf("revise "+t.Condition, t.Record.ID, t.Side, t.Index)}
		if m.Limits != nil {
			over, err := m.Limits.Over(req, s.MaxTokens, m.MaxLength)
			if err != nil {
				return nil, t.Record.Fault("%v", err)
			}
			if over > 0 {
				out[i].FinishReason = TooLong
				continue
			}
		}
		reqs, place = append(reqs, req), append(place, i)
	}
	if len(reqs) == 0 {
		return out, nil
	}
	answers, err := critic.Samples(ctx, m.Generator, reqs, s)
	var over *critic.OverContext
	if err != nil && !errors.As(err, &over) {
		return nil, err
	}
	for k, list := range answers {
		if len(list) == 0 {
			out[place[k]].FinishReason = TooLong
			continue
		}
		out[place[k]] = list[0]
	}
	return out, nil
}
