package critic

// Examples: critiques that are shown to the critic before it is asked, as turns of the conversation.

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"criticrm/record"
	"criticrm/safefile"
	"criticrm/tokenizer"
)

// ExamplesFile has rows with critiques and scores, in a directory of prompts; [Prompts.Ask] puts them before its question.
const ExamplesFile = "examples.jsonl"

// maxExamples bounds them: they stand before every question.
const maxExamples = 64

// examples are turns that have been asked and answered.
type examples struct {
	source string // of the file
	list   []example
}

type example struct {
	row      *record.Record
	side     record.Side
	critique string // ends with its score
	score    float64
}

// loadExamples takes a file, or the one that a directory of prompts has.
func (p *Prompts) loadExamples(dir, file string) error {
	given := file != ""
	if !given && dir != "" {
		file = filepath.Join(dir, ExamplesFile)
	}
	if file == "" {
		return nil
	}
	source, err := safefile.Read(file, maxPromptFile)
	if !given && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("critic: load examples: %w", err)
	}
	p.examples, err = parseExamples(file, string(source), p.Critique)
	return err
}

// WithExamples are the prompts with the examples of a file in place of their own.
func (p *Prompts) WithExamples(file string) (*Prompts, error) {
	with := *p
	return &with, with.loadExamples("", file)
}

// parseExamples reads rows: the first critique of each response that has one is an example. A score that the critique's text does not end with is
// put behind it as the template t says.
func parseExamples(name, source string, t *Template) (*examples, error) {
	r, err := record.NewReader(strings.NewReader(source), name, record.ReadOptions{Reads: t.columns, Check: t.lacks})
	if err != nil {
		return nil, fmt.Errorf("critic: examples: %w", err)
	}
	defer r.Close()
	e := &examples{source: source}
	for row, err := range r.Records() {
		if err != nil {
			return nil, fmt.Errorf("critic: examples: %w", err)
		}
		if len(row.Prompt.Messages) > 0 && row.Prompt.Messages[0].Role == "system" {
			return nil, fmt.Errorf("critic: examples: %w", row.Fault("an example cannot have a system message of its own: it stands in the middle of a conversation"))
		}
		some := false
		for _, side := range row.Sides() {
			list := *row.SideCritiques(side)
			if len(list) == 0 {
				continue
			}
			x, err := exampleOf(row, side, list[0], t)
			if err != nil {
				return nil, fmt.Errorf("critic: examples: %w", err)
			}
			e.list, some = append(e.list, x), true
		}
		if !some {
			return nil, fmt.Errorf("critic: examples: %w", row.Fault("it has no critique: want chosen_critiques, rejected_critiques or critiques"))
		}
		if len(e.list) > maxExamples {
			return nil, fmt.Errorf("critic: examples: %s: more than %d critiques: each is put before every question", name, maxExamples)
		}
	}
	if len(r.Found.Unread) > 0 {
		return nil, fmt.Errorf("critic: examples: %s: %s", name, strings.Join(r.Found.Lines(), "; "))
	}
	return e, nil
}

// widest is a scale that has every score.
var widest = Scale{0, 1000}

// exampleOf makes an example of a critique.
func exampleOf(row *record.Record, side record.Side, c record.Critique, t *Template) (x example, err error) {
	v := widest.Parse(t.begun(widest) + c.Text)
	x = example{row: row, side: side, critique: strings.TrimRight(c.Text, " \t\n"), score: v.Score}
	switch {
	case c.Score == nil && !v.OK:
		return x, row.Fault("%s: the critique has no score: give score, or let its text end with \"%s N\"", side, t.verdict)
	case c.Score != nil && v.OK && v.Score != *c.Score:
		return x, row.Fault("%s: the critique's text ends with the score %v, and score is %v", side, v.Score, *c.Score)
	case c.Score != nil && !v.OK:
		if x.score = *c.Score; x.score != float64(int(x.score)) {
			return x, row.Fault("%s: the score %v is not a whole number", side, x.score)
		}
		x.critique += "\n" + t.verdict + " " + strconv.Itoa(int(x.score))
	}
	return x, nil
}

// CheckScale says which example has a score that is not on the scale.
func (p *Prompts) CheckScale(s Scale) error {
	if p.examples == nil {
		return nil
	}
	for _, x := range p.examples.list {
		if x.score < float64(s.Min) || x.score > float64(s.Max) {
			return fmt.Errorf("critic: examples: %w", x.row.Fault("%s: the score %v is not on the scale from %d to %d: change it, or give scale_min and scale_max", x.side, x.score, s.Min, s.Max))
		}
	}
	return nil
}

// before puts the examples before a question: each asked as the template asks, and answered. A system message stays in front of all.
func (e *examples) before(t *Template, question []tokenizer.Message, scale Scale) []tokenizer.Message {
	if e == nil {
		return question
	}
	var out []tokenizer.Message
	if question[0].Role == "system" {
		out, question = append(out, question[0]), question[1:]
	}
	for _, x := range e.list {
		m := t.Messages(Values{Prompt: x.row.Prompt, Response: x.row.Text(x.side), Scale: scale, Row: x.row})
		if m[0].Role == "system" {
			m = m[1:]
		}
		answer := tokenizer.Message{Role: "assistant", Content: x.critique}
		if of := OpenTurn(m); of != "" { // which the critique goes on with
			last := len(m) - 1
			m, answer = m[:last], tokenizer.Message{Role: of, Content: m[last].Content + " " + x.critique}
		}
		out = append(append(out, m...), answer)
	}
	return append(out, question...)
}
