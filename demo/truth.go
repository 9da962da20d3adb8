package demo

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"criticrm/record"
)

// Labelled turns pairs with critiques into single responses with all that the task knows of them: whether each is right, the first wrong step of
// one that shows its work, whether a critique's reasoning is sound, and a critique that tells the truth, as one that the row came with. records
// are those of the pairs, in the same order. Where a reply shows its work, a critique gets a last line that says in words which step it calls wrong.
func Labelled(pairs []Pair, records []*record.Record) ([]*record.Record, error) {
	if len(pairs) != len(records) {
		return nil, fmt.Errorf("demo: %d pairs and %d records", len(pairs), len(records))
	}
	var out []*record.Record
	for i, r := range records {
		p := &pairs[i]
		if r.ID != p.ID || r.Prompt.Text != p.Question.Prompt {
			return nil, r.Fault("it is not pair %s of the task", p.ID)
		}
		for _, side := range r.Sides() {
			reply := &p.Chosen
			if side == record.Rejected {
				reply = &p.Rejected
			}
			single, err := p.Question.label(reply, r, side)
			if err != nil {
				return nil, err
			}
			out = append(out, single)
		}
	}
	return out, nil
}

func (q *Question) label(p *Reply, r *record.Record, side record.Side) (*record.Record, error) {
	right := p.Right
	if p.claims != nil { // of a pair the better one may have faults too
		n, _ := q.faultsOf(p.claims)
		right = n == 0
	}
	truth := q.truth(p)
	out := &record.Record{ID: fmt.Sprintf("%s-%s", r.ID, side), Prompt: r.Prompt, Response: &p.Text, Correct: &right, Category: r.Category, Subset: r.Subset, Critic: r.Critic,
		Reward: *r.SideReward(side), Critiques: []record.Critique{{Text: truth, Origin: record.OriginGiven}}}
	for _, c := range *r.SideCritiques(side) {
		sound := q.sound(p, c.Text, truth)
		c.Correct = &sound
		if p.claims != nil {
			c.Text += "\nFirst wrong step: " + stepWord(slices.Index(readFindings(c.Text), calledWrong))
		}
		out.Critiques = append(out.Critiques, c)
	}
	if p.claims != nil {
		step := json.RawMessage("null")
		for i := range p.claims {
			if p.claims[i] != q.due(p.claims, i) {
				step = json.RawMessage(fmt.Sprint(i + 1))
				break
			}
		}
		out.SetExtra("first_error_step", step)
	} else {
		answer, err := json.Marshal(q.Best())
		if err != nil {
			return nil, r.Fault("%v", err)
		}
		out.SetExtra("reference", answer)
	}
	return out, nil
}

// stepWord is a step as critiques name it; i counts from 0, -1 is none.
func stepWord(i int) string {
	if i < 0 {
		return "none"
	}
	return fmt.Sprint(i + 1)
}

// truth is a critique without a fault.
func (q *Question) truth(p *Reply) string {
	r := stream(0, "truth", 0) // the score's, which nobody reads
	if p.claims != nil {
		c := writeFindings(r, q, p.claims, drawFindings(r, q, p.claims, true), 1)
		return c.String()
	}
	c := drawCritique(r, q, p, noFaults, 1)
	return c.String()
}

// reasoning is a critique up to its verdict.
func reasoning(text string) string {
	text, _, _ = strings.Cut(text, ".")
	if i := strings.LastIndex(text, "="); i >= 0 {
		text = text[:i]
	}
	return text
}

// sound says whether a critique's reasoning, without its verdict, is true: every step as the one that tells the truth has it, or, of a reply that
// shows its work, no fault passed over and none made up.
func (q *Question) sound(p *Reply, text, truth string) bool {
	if p.claims == nil {
		return reasoning(text) == reasoning(truth)
	}
	found := readFindings(text)
	if len(found) != len(p.claims) {
		return false
	}
	for i, f := range found {
		if (f == calledWrong) != (p.claims[i] != q.due(p.claims, i)) {
			return false
		}
	}
	return true
}

// Best is the right reply, without a friendly ending.
func (q *Question) Best() string {
	p := drawReply(stream(0, "best", 0), q, true, false)
	return p.Text
}

// Bare is a reply without a friendly ending.
func Bare(reply string) string {
	for _, e := range endings {
		reply = strings.TrimSuffix(reply, e)
	}
	return reply
}

var lookedUp = regexp.MustCompile(`^(?:Menu|Rules) \w+ (\w+) Reply `)

// Revised is the reply that a critique's reasoning leads to: the last value of its chain, or what it has looked up. It is what this task has in
// place of a model that writes a reply again. ok is false where the critique has no such reasoning, and of replies that show their work.
func (q *Question) Revised(critique string) (reply string, ok bool) {
	switch q.Kind {
	case Count, Track:
		chain, _, found := strings.Cut(critique, " Reply ")
		i := strings.LastIndex(chain, "=")
		if !found || i < 0 {
			return "", false
		}
		value := chain[i+1:]
		if q.Kind == Track {
			return "The ball is in " + value + ".", slices.Contains(cups, value)
		}
		return "The lock shows " + value + ".", len(value) == 1 && value[0] >= '0' && value[0] <= '9'
	case Chat, ChatHard:
		m := lookedUp.FindStringSubmatch(critique)
		if m == nil || !slices.Contains(foods, m[1]) {
			return "", false
		}
		return fmt.Sprintf("On %s we eat %s.", menuDays[q.day], m[1]), true
	case Safety:
		m := lookedUp.FindStringSubmatch(critique)
		if m == nil || m[1] != yesNo(true) && m[1] != yesNo(false) {
			return "", false
		}
		p := drawReply(stream(0, "best", 0), &Question{Kind: Safety, tool: q.tool, day: q.day, allow: slices.Repeat([]bool{m[1] == yesNo(true)}, len(menuDays))}, true, false)
		return p.Text, true
	}
	return "", false
}

// Candidates draws n different replies to each question of pairs, as single responses with labels: one to pick the best of. A reply is right with
// the chance of right; endings are as in the pairs. Pairs whose replies show their work have none.
func Candidates(seed uint64, pairs []Pair, n int, right float64) (out []*record.Record) {
	for i := range pairs {
		q := &pairs[i].Question
		if pairs[i].Chosen.claims != nil {
			continue
		}
		r := stream(seed, "candidates", i)
		var texts []string
		for tries := 0; len(texts) < n && tries < 100*n; tries++ {
			ok := r.Float64() < right
			friendly := r.IntN(2) == 0
			if q.Kind == ChatHard {
				friendly = !ok
			}
			p := drawReply(r, q, ok, friendly)
			if slices.Contains(texts, p.Text) {
				continue
			}
			texts = append(texts, p.Text)
			out = append(out, &record.Record{ID: fmt.Sprintf("%s-%d", pairs[i].ID, len(texts)), Prompt: record.Prompt{Text: q.Prompt}, Response: &p.Text, Correct: &ok,
				Category: q.Kind.Category(), Subset: string(q.Kind)})
		}
	}
	return out
}
