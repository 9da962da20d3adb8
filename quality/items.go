// Package quality tells how good critiques are, against responses of which it is known whether they are right: verdicts, the first wrong step,
// soundness, what a revision after the critique is worth, and the best of several responses.
//
// "Wrong" is the positive class everywhere, as in CriticBench: what a critique is to find.
package quality

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/revise"
	"criticrm/strictjson"
)

// StepColumn is where a row says which step of its response is the first wrong one, counted from 1; null or nothing: none is, or nobody has
// said so.
const StepColumn = "first_error_step"

// Columns are those of rows that this package reads beside the record's own.
func Columns() []string { return []string{StepColumn, revise.Column} }

// NoError is the step of a response without a wrong one.
const NoError = 0

// DefaultSteps finds the step that a critique calls the first wrong one. The last match of a text counts; its group is the step, or "none".
const DefaultSteps = `(?i)first\s+(?:wrong|error|erroneous|incorrect|mistaken)\s*(?:step)?\W{0,4}(?:is\W{1,3})?(?:step\W{0,3})?(none|no\b|\d+)`

// Critique is what is known of one critique of an item.
type Critique struct {
	Score  *float64 `json:"score,omitempty"`  // nil: none can be read
	Reward *float64 `json:"reward,omitempty"` // read behind it
	Step   *int     `json:"step,omitempty"`   // the first wrong one, in its words; NoError: it says that there is none; nil: it names none
	Sound  *bool    `json:"sound,omitempty"`  // a label of the critique itself
}

// Item is one response with a label.
type Item struct {
	ID        string            `json:"id"`
	Side      string            `json:"side"`
	Prompt    string            `json:"prompt_hash"`   // the first 16 hex digits of a SHA-256
	Response  string            `json:"response_hash"` // likewise
	Group     string            `json:"group"`
	Right     bool              `json:"right"`
	Step      *int              `json:"first_error_step,omitempty"` // nil: not known; NoError: the response has no wrong step
	Reward    *float64          `json:"reward,omitempty"`           // of the response: the mean, or a plain one
	Critiques []Critique        `json:"critiques,omitempty"`        // sampled ones, in order
	Given     []Given           `json:"given,omitempty"`            // critiques with labels of their own that the meta-judge has read
	Revisions []revise.Revision `json:"revisions,omitempty"`
}

// Given is a critique with a label, and what the meta-judge makes of it.
type Given struct {
	Right bool    `json:"right"`
	Meta  float64 `json:"meta"` // mean score
}

// Reading says how items are made of records.
type Reading struct {
	Pairs bool           // of a pair the chosen response is right and the rejected one wrong
	Steps *regexp.Regexp // finds the step that a critique names; nil: DefaultSteps
}

// Hash identifies a text.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:16]
}

// Items are the labelled responses of records, in order, and the number of records without any, by reason.
func Items(records []*record.Record, o Reading) (items []*Item, leftOut map[string]int, err error) {
	if o.Steps == nil {
		o.Steps = regexp.MustCompile(DefaultSteps)
	}
	leftOut = map[string]int{}
	for _, r := range records {
		switch {
		case r.Dropped == critic.DropOverlong:
			leftOut[r.Dropped]++
			continue
		case r.Document != nil:
			leftOut["documents"]++
			continue
		case r.Paired() && !o.Pairs:
			leftOut["pairs, which say what is better and not what is right (--pairs_labelled takes chosen as right)"]++
			continue
		case !r.Paired() && r.Correct == nil:
			leftOut["responses without a label (correct)"]++
			continue
		}
		revisions, err := revise.Of(r)
		if err != nil {
			return nil, nil, err
		}
		for _, side := range r.Sides() {
			it, err := o.item(r, side)
			if err != nil {
				return nil, nil, err
			}
			for _, v := range revisions {
				if v.Side == it.Side {
					it.Revisions = append(it.Revisions, v)
				}
			}
			items = append(items, it)
		}
	}
	if len(items) == 0 {
		return nil, nil, fmt.Errorf("critique-eval: no response has a label to measure against: %s", record.Counts(leftOut))
	}
	return items, leftOut, nil
}

// item is one side of a record.
func (o *Reading) item(r *record.Record, side record.Side) (*Item, error) {
	it := &Item{ID: r.ID, Side: revise.SideName(side), Prompt: Hash(r.Prompt.Key()), Response: Hash(r.Text(side)), Group: r.Group(), Right: side == record.Chosen,
		Reward: *r.SideReward(side)}
	if side == record.Single {
		it.Right = *r.Correct
	}
	if it.Reward != nil && !finite(*it.Reward) {
		return nil, r.Fault("the reward of %s is %v", side, *it.Reward)
	}
	if side == record.Single {
		var err error
		if it.Step, err = firstError(r, it.Right); err != nil {
			return nil, err
		}
	}
	for _, c := range *r.SideCritiques(side) {
		switch {
		case c.Origin == "":
			it.Critiques = append(it.Critiques, o.critique(&c))
		case c.Correct != nil && len(c.Meta) > 0:
			sum := 0.0
			for _, v := range c.Meta {
				sum += v
			}
			it.Given = append(it.Given, Given{*c.Correct, sum / float64(len(c.Meta))})
		}
	}
	return it, nil
}

func (o *Reading) critique(c *record.Critique) Critique {
	out := Critique{Score: c.Score, Step: namedStep(o.Steps, c.Text), Sound: c.Correct}
	if c.Reward != nil {
		v := float64(*c.Reward)
		out.Reward = &v
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// namedStep is the step that a text names; nil: none.
func namedStep(pattern *regexp.Regexp, text string) *int {
	all := pattern.FindAllStringSubmatch(text, -1)
	if all == nil {
		return nil
	}
	word := all[len(all)-1][1]
	step, err := strconv.Atoi(word)
	if err != nil {
		if strings.HasPrefix(strings.ToLower(word), "no") {
			step = NoError
		} else {
			return nil
		}
	}
	return &step
}

// CompileSteps is the pattern of a flag.
func CompileSteps(text string) (*regexp.Regexp, error) {
	p, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("step_pattern: %w", err)
	}
	if p.NumSubexp() != 1 {
		return nil, fmt.Errorf("step_pattern: %.60q has %d groups in parentheses, want one: the step, or none", text, p.NumSubexp())
	}
	return p, nil
}

// firstError reads the row's first wrong step. A right response has none; a wrong one without it has one that nobody has named.
func firstError(r *record.Record, right bool) (*int, error) {
	raw, ok := r.Extra(StepColumn)
	if !ok {
		return nil, nil
	}
	text := strings.TrimSpace(string(raw))
	if strictjson.KindOf(raw) == "string" {
		text = strings.Trim(text, `"`)
	}
	if text == "null" || text == "" {
		if !right {
			return nil, nil
		}
		none := NoError
		return &none, nil
	}
	step, err := strconv.Atoi(text)
	switch {
	case err != nil || step < 1:
		return nil, r.Fault("%q: got %.40s, want a whole number from 1, or null", StepColumn, string(raw))
	case right:
		return nil, r.Fault("%q is %d, and \"correct\" is true: a right response has no wrong step", StepColumn, step)
	}
	return &step, nil
}
