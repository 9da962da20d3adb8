// Package synth makes preference pairs whose labels a program can check: a model answers problems with known results, or prompts that rules
// speak of; each answer is checked; right answers are paired with wrong ones. Every record says where it is from.
//
// It goes in two steps. [Stage] samples and checks answers, from file to file, and can be interrupted: all answers stay in the column
// "answers". [Pairs] makes pairs of them, which takes a moment and may be done again with other settings.
package synth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/stage"
	"criticrm/tokenizer"
)

// Kinds of pairs.
const (
	Reasoning = "reasoning" // problems with known results
	Safety    = "safety"    // prompts that rules speak of
)

// Kinds lists them.
func Kinds() []string { return []string{Reasoning, Safety} }

// DefaultInstruction stands behind a problem, so that a result can be found.
const DefaultInstruction = `Think step by step. End with a line "#### " and the result alone.`

// Options are the settings of Stage.
type Options struct {
	Kind        string          `json:"kind"`
	Answers     int             `json:"answers"`               // sampled for each prompt
	Instruction string          `json:"instruction,omitempty"` // behind the problem while answers are sampled; no record has it
	Rules       *Rules          `json:"-"`                     // of kind Safety
	RulesHash   string          `json:"rules,omitempty"`       // filled in
	Sampling    record.Sampling `json:"sampling"`
	Model       string          `json:"model"` // name or hash of the model
	Chunk       int             `json:"-"`     // records per call of the generator
	Limits      critic.Limits   `json:"-"`     // knows which prompts are too long: they are dropped and counted; nil: none is
	MaxLength   int             `json:"max_length,omitempty"`
}

// DefaultOptions is eight answers at temperature 1.
func DefaultOptions() Options {
	s := record.DefaultSampling()
	s.Temperature, s.TopP = 1, 1
	return Options{Kind: Reasoning, Answers: 8, Instruction: DefaultInstruction, Sampling: s, Chunk: 16}
}

// Validate checks the settings and fills what follows from others.
func (o *Options) Validate() error {
	switch {
	case o.Kind != Reasoning && o.Kind != Safety:
		return fmt.Errorf("synth: kind: got %.40q, want %s or %s", o.Kind, Reasoning, Safety)
	case o.Kind == Safety && o.Rules == nil:
		return errors.New("synth: kind safety needs rules")
	case o.Kind == Reasoning && o.Rules != nil:
		return errors.New("synth: rules are for kind safety")
	case o.Answers < 2 || o.Answers > 10000:
		return fmt.Errorf("synth: answers: got %d, want 2 to 10000: a pair needs two", o.Answers)
	case o.Sampling.Temperature == 0:
		return errors.New("synth: temperature 0 makes all answers equal: set a temperature")
	case o.Chunk < 1:
		return fmt.Errorf("synth: chunk: got %d, want 1 or more", o.Chunk)
	}
	if o.Kind == Safety {
		o.Instruction, o.RulesHash = "", o.Rules.Hash
	}
	return o.Sampling.Validate()
}

// Verdicts on an answer.
const (
	Right      = "right"
	Wrong      = "wrong"
	Unreadable = "no result"  // it may be right or wrong
	Unfinished = "unfinished" // the token limit cut it, or it is empty
)

// Answer is a sampled answer with what a program found of it. The column "answers" of a record is a list of them.
type Answer struct {
	Text         string  `json:"text"`
	Verdict      string  `json:"verdict"`
	Found        string  `json:"found,omitempty"`      // the result, or which rule is broken and how
	How          string  `json:"how,omitempty"`        // where the result was found
	Instructed   bool    `json:"instructed,omitempty"` // it was written behind the rules' instructions
	FinishReason string  `json:"finish_reason"`
	Tokens       int     `json:"tokens,omitempty"`  // absent where another engine wrote it and does not say
	LogProb      float64 `json:"logprob,omitempty"` // natural log, summed over the tokens, at temperature 1; absent likewise
}

// AnswersColumn is where a record keeps its answers.
const AnswersColumn = "answers"

// Reasons why a prompt has no answers.
const (
	DropNoResult = "no result in its solution"
	DropNoRule   = "no rule applies"
)

// prompt is the conversation of a record of either kind.
func prompt(r *record.Record) record.Prompt {
	if r.Document != nil {
		return record.Prompt{Messages: r.Document.Messages}
	}
	return r.Prompt
}

// check says whether a record can be worked on at all.
func (o *Options) check(r *record.Record) error {
	switch {
	case o.Kind == Reasoning && (r.Paired() || r.Document != nil):
		return r.Fault("it is no problem with a known result: want question and answer (GSM8K), problem and solution (MATH), prompt and result, or prompt and response")
	case o.Kind == Reasoning && r.Correct != nil && !*r.Correct:
		return r.Fault("its response is labelled as wrong, so its result is not known")
	case o.Kind == Safety && r.Document != nil && r.Document.Messages == nil:
		return r.Fault("it has no prompt")
	}
	if list := prompt(r).Conversation(); list[len(list)-1].Role != "user" {
		return r.Fault("its prompt does not end with the user's turn")
	}
	return nil
}

// asked are the conversations of a record that the model is to go on, with the share of the answers that each has.
type asked struct {
	messages   []tokenizer.Message
	n          int
	instructed bool
}

// ask says what the model is asked about a record, or why nothing is.
func (o *Options) ask(r *record.Record) (list []asked, drop string) {
	messages := prompt(r).Conversation()
	if o.Kind == Reasoning {
		if result, _ := Reference(r.Text(record.Single)); result == "" {
			return nil, DropNoResult
		}
		if o.Instruction != "" {
			messages[len(messages)-1].Content += "\n\n" + o.Instruction
		}
		return []asked{{messages: messages, n: o.Answers}}, ""
	}
	rules := o.Rules.Of(prompt(r).String())
	if len(rules) == 0 {
		return nil, DropNoRule
	}
	var instruct []string
	for _, rule := range rules {
		if text := strings.TrimSpace(rule.Instruct); text != "" {
			instruct = append(instruct, text)
		}
	}
	if instruct == nil {
		return []asked{{messages: messages, n: o.Answers}}, ""
	}
	with := append([]tokenizer.Message{{Role: "system", Content: strings.Join(instruct, "\n")}}, messages...)
	if messages[0].Role == "system" {
		with = append([]tokenizer.Message{{Role: "system", Content: messages[0].Content + "\n\n" + strings.Join(instruct, "\n")}}, messages[1:]...)
	}
	half := o.Answers / 2
	return []asked{{messages: with, n: half, instructed: true}, {messages: messages, n: o.Answers - half}}, ""
}

// judge says what a program finds of an answer.
func (o *Options) judge(r *record.Record, a *Answer) {
	if strings.TrimSpace(a.Text) == "" || a.FinishReason != record.FinishStop {
		a.Verdict = Unfinished
		return
	}
	a.Verdict = Right
	if o.Kind == Safety {
		for _, rule := range o.Rules.Of(prompt(r).String()) {
			if why := rule.Broken(a.Text); why != "" {
				a.Verdict, a.Found = Wrong, why
				return
			}
		}
		return
	}
	want, _ := Reference(r.Text(record.Single))
	a.Found, a.How = Result(a.Text, IsNumber(want))
	switch {
	case a.Found == "", IsNumber(want) && !IsNumber(a.Found):
		a.Verdict = Unreadable
	case Same(a.Found, want):
	case a.How == LastPlace: // the result may stand before it
		a.Verdict = Unreadable
	default:
		a.Verdict = Wrong
	}
}

// work samples and checks answers for some records.
func (o *Options) work(ctx context.Context, g critic.Generator, records []*record.Record) error {
	var reqs []critic.Request
	var of []int // the record of each request
	var with []bool
	for i, r := range records {
		if err := o.check(r); err != nil {
			return err
		}
		list, drop := o.ask(r)
		r.Dropped = drop
		for k, a := range list {
			req := critic.Request{Messages: a.messages, N: a.n, Key: critic.KeyOf("answer", r.ID, record.Single, k)}
			if o.Limits != nil {
				over, err := o.Limits.Over(req, o.Sampling.MaxTokens, o.MaxLength)
				if err != nil {
					return r.Fault("%v", err)
				}
				if over > 0 {
					r.Dropped = critic.DropOverlong
				}
			}
			reqs, of, with = append(reqs, req), append(of, i), append(with, a.instructed)
		}
	}
	keep := 0
	for k := range reqs {
		if records[of[k]].Dropped == "" {
			reqs[keep], of[keep], with[keep] = reqs[k], of[k], with[k]
			keep++
		}
	}
	reqs = reqs[:keep]
	answers := make([][]Answer, len(records))
	if keep > 0 {
		out, err := critic.Samples(ctx, g, reqs, o.Sampling)
		if over := (*critic.OverContext)(nil); errors.As(err, &over) {
			for k := range over.Why {
				records[of[k]].Dropped = critic.DropOverlong
			}
			err = nil
		}
		if err != nil {
			return fmt.Errorf("synth: answers to records %.40q to %.40q: %w", records[0].ID, records[len(records)-1].ID, err)
		}
		for k, list := range out {
			for _, s := range list {
				a := Answer{Text: strings.TrimSpace(strings.ToValidUTF8(s.Text, "\uFFFD")), FinishReason: s.FinishReason, Tokens: len(s.Tokens), LogProb: s.LogProb, Instructed: with[k]}
				o.judge(records[of[k]], &a)
				answers[of[k]] = append(answers[of[k]], a)
			}
		}
	}
	for i, r := range records {
		if r.Dropped != "" {
			continue
		}
		b, err := json.Marshal(answers[i])
		if err != nil {
			return r.Fault("%v", err)
		}
		r.SetExtra(AnswersColumn, b)
	}
	return nil
}

// Of reads the answers of a record; none if it has none.
func Of(r *record.Record) (list []Answer, err error) {
	raw, ok := r.Extra(AnswersColumn)
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, r.Fault("%q: %v", AnswersColumn, err)
	}
	return list, nil
}

// Stats counts what Stage has done. It is a function of the finished records alone.
type Stats struct {
	Records  int            `json:"records"`
	Dropped  map[string]int `json:"dropped,omitempty"` // by reason
	Answers  int            `json:"answers"`
	Verdicts map[string]int `json:"verdicts"`
	Solved   int            `json:"solved"` // records with a right answer
	Mixed    int            `json:"mixed"`  // records with a right answer and a wrong one
	Tokens   int            `json:"tokens"`
}

// Observe adds one finished record.
func (s *Stats) Observe(r *record.Record) error {
	s.Records++
	if r.Dropped != "" {
		s.Dropped[r.Dropped]++
		return nil
	}
	list, err := Of(r)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, a := range list {
		s.Answers++
		s.Tokens += a.Tokens
		s.Verdicts[a.Verdict]++
		seen[a.Verdict] = true
	}
	if seen[Right] {
		s.Solved++
		if seen[Wrong] {
			s.Mixed++
		}
	}
	return nil
}

// String is one line for people.
func (s *Stats) String() string {
	text := fmt.Sprintf("%d prompts, %d answers of %d tokens: %s; %d prompts with a right answer, %d of them with a wrong one too",
		s.Records, s.Answers, s.Tokens, record.Counts(s.Verdicts), s.Solved, s.Mixed)
	if len(s.Dropped) > 0 {
		text += "; not asked: " + record.Counts(s.Dropped)
	}
	return text
}

// Stage samples and checks answers to the prompts of in; out has each row with its answers. The statistics are filled while it runs.
func Stage(in, out string, g critic.Generator, o Options) (*stage.Stage, *Stats, error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	stats := &Stats{Dropped: map[string]int{}, Verdicts: map[string]int{}}
	return &stage.Stage{
		Name: "answers", In: in, Out: out, Chunk: o.Chunk, Settings: o,
		Read:    record.ReadOptions{Check: o.check, Reads: []string{AnswersColumn}},
		Work:    func(ctx context.Context, records []*record.Record) error { return o.work(ctx, g, records) },
		Observe: stats.Observe,
	}, stats, nil
}
