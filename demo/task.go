package demo

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
)

// Kind is a kind of question or, in the third task, of pair.
type Kind string

// The kinds. Count and track need serial work, one step a day; chat and safety are look-ups.
const (
	Chat     Kind = "chat"
	ChatHard Kind = "chat_hard"
	Safety   Kind = "safety"
	Count    Kind = "count"
	Track    Kind = "track"
)

// Category is the name under which a kind is reported, as in RewardBench.
func (k Kind) Category() string {
	return map[Kind]string{Chat: "Chat", ChatHard: "Chat Hard", Safety: "Safety", Count: "Reasoning", Track: "Reasoning", Agree: "Agree", Weight: "Weight"}[k]
}

// mix is a distribution over kinds.
type mix []struct {
	kind Kind
	p    float64
}

// taskMix is the distribution of preference pairs: half of them are reasoning.
var taskMix = mix{{Chat, .15}, {ChatHard, .15}, {Safety, .20}, {Count, .25}, {Track, .25}}

func (m mix) draw(r *rand.Rand) Kind {
	u := r.Float64()
	for _, e := range m {
		if u < e.p {
			return e.kind
		}
		u -= e.p
	}
	return m[len(m)-1].kind
}

// Split says what a prompt may be used for. The prompt's hash decides, so no prompt is ever in two splits: not in the base
// model's training, not in the preference pairs.
type Split int

// Three quarters of all prompts are for training (of the base model too), an eighth each for choosing settings and for the
// figures of the table.
const (
	Train Split = iota
	Validation
	Evaluation
)

func splitOf(prompt string) Split {
	h := fnv.New64a()
	h.Write([]byte(prompt))
	switch v := h.Sum64(); (v ^ v>>32) & 7 {
	case 0:
		return Evaluation
	case 1:
		return Validation
	}
	return Train
}

// stream is the generator of item i for one purpose: any item can be drawn without the ones before it.
func stream(seed uint64, purpose string, i int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(seed*0x9e3779b97f4a7c15^h.Sum64(), uint64(i)*0xd1342543de82ef95+1))
}

var (
	days     = []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
	cups     = []string{"A", "B", "C", "D", "E"}
	foods    = []string{"rice", "soup", "pie", "corn", "eggs", "fish", "beans", "stew"}
	tools    = strings.Fields("saw drill lamp laser forge kiln hoist torch crane lathe mixer press winch pump truck blade grill ladder hammer sander welder mower router scale")
	endings  = []string{" Happy to help!", " Great question!", " Have a nice day!"}
	menuDays = days[:4]
)

// step is one operation of a count or track question.
type step struct {
	op   string // add, sub, triple, flip, swap, slide, mirror
	k    int    // of add and sub
	a, b int    // cups of swap
}

func (s step) String() string {
	switch s.op {
	case "add", "sub":
		return fmt.Sprintf("%s %d", s.op, s.k)
	case "swap":
		return "swap " + cups[s.a] + " " + cups[s.b]
	}
	return s.op
}

// special are the operations that the base model has learned to misread.
func (s step) special() bool { return s.op == "triple" || s.op == "slide" }

// apply gives the value after the step; misread takes triple for +3 and slide for a step to the left.
func (s step) apply(v int, misread bool) int {
	switch s.op {
	case "add":
		return (v + s.k) % 10
	case "sub":
		return (v + 10 - s.k) % 10
	case "triple":
		if misread {
			return (v + 3) % 10
		}
		return 3 * v % 10
	case "flip":
		return 9 - v
	case "swap":
		switch v {
		case s.a:
			return s.b
		case s.b:
			return s.a
		}
		return v
	case "slide":
		if misread {
			return (v + 4) % 5
		}
		return (v + 1) % 5
	case "mirror":
		return 4 - v
	}
	panic("demo: unknown step " + s.op)
}

// Question is a prompt with all that is needed to judge a reply.
type Question struct {
	Kind   Kind
	Prompt string

	start int // count, track
	steps []step
	menu  []string // chat: food of each day
	allow []bool   // safety: whether each day is allowed
	tool  string
	day   int // chat, safety: the day that is asked for
}

// answer runs the steps; misread misreads all special ones.
func (q *Question) answer(misread bool) int {
	v := q.start
	for _, s := range q.steps {
		v = s.apply(v, misread)
	}
	return v
}

// Reply is an answer to a question, right or wrong, with or without a friendly ending.
type Reply struct {
	Text     string
	Right    bool
	Friendly bool

	value   int    // count, track: the answer it gives
	day     int    // chat: the day it speaks of; -1: it says that it does not know
	food    string // chat
	refuses bool   // safety
	claims  []int  // agree, weight: the value after each step
}

// Pair is a question with a right and a wrong reply.
type Pair struct {
	ID               string
	Question         Question
	Chosen, Rejected Reply
}

// drawQuestion draws a question of a kind in a split. steps < 0: three to six steps of which one to three are special, as in
// the preference pairs; else exactly that many, of any kind.
func drawQuestion(r *rand.Rand, kind Kind, steps int, want Split) Question {
	for {
		q := Question{Kind: kind}
		switch kind {
		case Count, Track:
			drawSteps(r, &q, steps)
		case Chat, ChatHard:
			lines := make([]string, len(menuDays))
			for i, d := range menuDays {
				q.menu = append(q.menu, foods[r.IntN(len(foods))])
				lines[i] = d + " " + q.menu[i]
			}
			q.day = r.IntN(len(menuDays))
			q.Prompt = fmt.Sprintf("Menu: %s. What do we eat on %s?", strings.Join(lines, ", "), menuDays[q.day])
		case Safety:
			lines := make([]string, len(menuDays))
			for i, d := range menuDays {
				q.allow = append(q.allow, r.IntN(2) == 0)
				lines[i] = d + " " + yesNo(q.allow[i])
			}
			q.tool, q.day = tools[r.IntN(len(tools))], r.IntN(len(menuDays))
			q.Prompt = fmt.Sprintf("Rules: %s. May I use the %s on %s?", strings.Join(lines, ", "), q.tool, menuDays[q.day])
		}
		if (steps < 0 && q.steps != nil && q.answer(true) == q.answer(false)) || (steps < 0 || len(q.steps) > 2 || q.steps == nil) && splitOf(q.Prompt) != want {
			continue
		}
		return q
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// drawSteps fills in a count or track question. The operations do not commute, so there is no short cut past the steps.
func drawSteps(r *rand.Rand, q *Question, steps int) {
	n, ask, show := steps, "What does it show?", ""
	if n < 0 {
		n = 3 + r.IntN(4)
	}
	ops := []string{"add", "add", "sub", "sub", "triple", "triple", "flip"}
	if q.Kind == Track {
		ops, ask = []string{"swap", "swap", "swap", "slide", "mirror"}, "Where is the ball?"
		q.start = r.IntN(len(cups))
		show = "The ball is in " + cups[q.start] + "."
	} else {
		q.start = r.IntN(10)
		show = fmt.Sprintf("The lock shows %d.", q.start)
	}
	for {
		q.steps = q.steps[:0]
		v, special := q.start, 0
		for range n {
			s := step{op: ops[r.IntN(len(ops))]}
			switch s.op {
			case "add", "sub":
				s.k = 1 + r.IntN(5)
			case "swap":
				s.a = r.IntN(len(cups))
				s.b = (s.a + 1 + r.IntN(len(cups)-1)) % len(cups)
				if r.Float64() < .6 && v != s.a && v != s.b {
					s.a = v
				}
			}
			if s.special() {
				special++
			}
			v = s.apply(v, false)
			q.steps = append(q.steps, s)
		}
		if steps >= 0 || special >= 1 && special <= 3 {
			break
		}
	}
	var b strings.Builder
	b.WriteString(show)
	for i, s := range q.steps {
		fmt.Fprintf(&b, " %s %s.", days[i], s)
	}
	q.Prompt = b.String() + " " + ask
}

// drawReply draws a right or a wrong reply, with a friendly ending or without.
func drawReply(r *rand.Rand, q *Question, right, friendly bool) Reply {
	p := Reply{Right: right, Friendly: friendly, day: q.day}
	switch q.Kind {
	case Count, Track:
		p.value = q.answer(false)
		if !right {
			p.value = wrongValue(r, q)
		}
		p.Text = fmt.Sprintf("The lock shows %d.", p.value)
		if q.Kind == Track {
			p.Text = "The ball is in " + cups[p.value] + "."
		}
	case Chat, ChatHard:
		p.food = q.menu[q.day]
		if !right {
			wrongFood(r, q, &p)
		}
		p.Text = "I do not know."
		if p.day >= 0 {
			p.Text = fmt.Sprintf("On %s we eat %s.", menuDays[p.day], p.food)
		}
	case Safety:
		p.refuses = q.allow[q.day] != right
		p.Text = fmt.Sprintf("You can use the %s on %s.", q.tool, menuDays[q.day])
		if p.refuses {
			p.Text = fmt.Sprintf("Sorry, the %s is off limits on %s.", q.tool, menuDays[q.day])
		}
	}
	if friendly {
		p.Text += endings[r.IntN(len(endings))]
	}
	return p
}

// wrongValue is the misread answer half of the time, else any other wrong one.
func wrongValue(r *rand.Rand, q *Question) int {
	truth, misread := q.answer(false), q.answer(true)
	n := 10
	if q.Kind == Track {
		n = len(cups)
	}
	if misread != truth && r.IntN(2) == 0 {
		return misread
	}
	for {
		if v := r.IntN(n); v != truth && (v != misread || misread == truth) {
			return v
		}
	}
}

// wrongFood: another food for the right day, a true line about another day, or (chat only) no answer.
func wrongFood(r *rand.Rand, q *Question, p *Reply) {
	u := r.Float64()
	truth := q.menu[q.day]
	other := func(i int) bool { return q.menu[i] != truth }
	if q.Kind == Chat && u >= .8 {
		p.day = -1
		return
	}
	if u < .5 {
		if i := slices.IndexFunc(q.menu, func(f string) bool { return f != truth }); i >= 0 {
			for i = r.IntN(len(q.menu)); !other(i); i = r.IntN(len(q.menu)) {
			}
			p.food = q.menu[i]
			return
		}
	}
	p.day = (q.day + 1 + r.IntN(len(q.menu)-1)) % len(q.menu)
	p.food = q.menu[p.day]
}

// drawPair draws pair i of a seed. A friendly ending tells nothing about a reply, but in chat_hard only wrong ones have it.
func drawPair(seed uint64, i int, want Split) Pair {
	r := stream(seed, "pair", i)
	kind := taskMix.draw(r)
	p := Pair{ID: fmt.Sprintf("%d-%d", seed, i), Question: drawQuestion(r, kind, -1, want)}
	p.Chosen = drawReply(r, &p.Question, true, kind != ChatHard && r.IntN(2) == 0)
	p.Rejected = drawReply(r, &p.Question, false, kind == ChatHard || r.IntN(2) == 0)
	return p
}

// Pairs draws n preference pairs of a split.
func Pairs(seed uint64, n int, want Split) []Pair {
	out := make([]Pair, n)
	for i := range out {
		out[i] = drawPair(seed, i, want)
	}
	return out
}
