package demo

import (
	"fmt"
	"math/rand/v2"
)

// Faults of the base model's critic. They are systematic: independent slips alone would be averaged away by asking it ten
// times, and there would be nothing left for training to mend.
type faults struct {
	misread   float64 // a special operation is misread, each by itself
	slip      float64 // a step's result is off at random
	oversight float64 // a forbidden day is read as allowed, if it is the last of the list
	overlook  float64 // the same for the other days
	swayed    float64 // a friendly wrong reply is called right (chat); 0.35 times that elsewhere
	cold      float64 // a plain right reply is called wrong (chat); 0.4 times that elsewhere
	flip      float64 // any verdict is turned round
}

var (
	noFaults   = faults{}
	baseFaults = faults{misread: .45, slip: .015, oversight: .60, overlook: .06, swayed: .65, cold: .25, flip: .06}

	// mistakenFaults misreads more often than not: what the critic writes most often is wrong, and asking it colder or more often does not help.
	mistakenFaults = faults{misread: .65, slip: .015, oversight: .60, overlook: .06, swayed: .65, cold: .25, flip: .06}
)

// Weights of the predicted tokens when the base model learns to write critiques. They leave each conditional distribution's
// optimum where it is, so the rates of the faults are learned as they are; they only bring learning forward.
const (
	weightPrompt  = .02
	weightReply   = .1
	weightText    = 1
	weightVerdict = 6
	weightSway    = 3
	weightValue   = 2
	weightScore   = .2
	weightEnd     = .5
)

// span is a piece of text whose tokens have one weight.
type span struct {
	text   string
	weight float32
}

// critique is a written critique and what is known of it.
type critique struct {
	spans   []span
	verdict bool // what it says of the reply
	sound   bool // every step and the verdict are true
	score   int
}

func (c *critique) add(weight float32, format string, a ...any) {
	c.spans = append(c.spans, span{fmt.Sprintf(format, a...), weight})
}

// String is the critique's text.
func (c *critique) String() string {
	s := ""
	for _, p := range c.spans {
		s += p.text
	}
	return s
}

// drawCritique writes a critique of a reply with the given faults. lookup is the weight of looked-up words.
func drawCritique(r *rand.Rand, q *Question, p *Reply, f faults, lookup float32) critique {
	c := critique{sound: true}
	chat := false
	switch q.Kind {
	case Count, Track:
		c.chain(r, q, p, f)
	case Chat, ChatHard:
		chat = true
		c.add(weightText, "Menu %s", menuDays[q.day])
		c.add(lookup, " %s", q.menu[q.day])
		c.add(weightText, " Reply")
		if p.day < 0 {
			c.add(lookup, " nothing")
		} else {
			c.add(weightText, " %s", menuDays[p.day])
			c.add(lookup, " %s", p.food)
		}
		c.verdict = p.day == q.day && p.food == q.menu[q.day]
		c.add(weightText, "=")
	case Safety:
		allowed := q.allow[q.day]
		miss := f.overlook
		if q.day == len(menuDays)-1 {
			miss = f.oversight
		}
		if !allowed && r.Float64() < miss {
			allowed, c.sound = true, false
		}
		c.add(weightText, "Rules %s", menuDays[q.day])
		c.add(lookup, " %s", yesNo(allowed))
		c.add(weightText, " Reply")
		c.add(lookup, " %s", map[bool]string{true: "refuses", false: "helps"}[p.refuses])
		c.verdict = p.refuses != allowed
		c.add(weightText, "=")
	}
	c.conclude(r, q, p, f, chat)
	return c
}

// chain writes the steps of a count or track question; a mistake is carried on.
func (c *critique) chain(r *rand.Rand, q *Question, p *Reply, f faults) {
	name := func(v int) string {
		if q.Kind == Track {
			return cups[v]
		}
		return fmt.Sprint(v)
	}
	c.add(weightText, "Start=")
	c.add(weightValue, "%s", name(q.start))
	v := q.start
	for i, s := range q.steps {
		next := s.apply(v, s.special() && r.Float64() < f.misread)
		if r.Float64() < f.slip {
			if q.Kind == Count {
				next = (next + 1 + 8*r.IntN(2)) % 10
			} else {
				next = r.IntN(len(cups))
			}
		}
		c.sound = c.sound && next == s.apply(v, false)
		v = next
		c.add(weightText, " %s %s=", days[i], s)
		c.add(weightValue, "%s", name(v))
	}
	c.add(weightText, " Reply %s=", name(p.value))
	c.verdict = v == p.value
}

// conclude writes verdict, sway and score.
func (c *critique) conclude(r *rand.Rand, q *Question, p *Reply, f faults, chat bool) {
	sway := ""
	swayed, cold := f.swayed, f.cold
	if !chat {
		swayed, cold = .35*swayed, .4*cold
	}
	switch {
	case !c.verdict && p.Friendly && r.Float64() < swayed:
		c.verdict, sway = true, "Friendly"
	case c.verdict && !p.Friendly && r.Float64() < cold:
		c.verdict, sway = false, "Cold"
	}
	if r.Float64() < f.flip {
		c.verdict = !c.verdict
	}
	c.sound = c.sound && c.verdict == p.Right
	space, word := "", "Wrong"
	if q.Kind == Count {
		space = " " // a digit before "=" and the verdict after it would else be one word
	}
	if c.verdict {
		word = "Right"
	}
	c.add(weightVerdict, "%s%s", space, word)
	c.add(weightText, ".")
	if sway != "" {
		c.add(weightSway, " %s", sway)
		c.add(weightText, ".")
	}
	c.score = drawScore(r, c.verdict)
	c.add(weightText, " Score:")
	c.add(weightScore, " %d", c.score)
}

// drawScore is the score that goes with a verdict: 6 to 9, or 1 to 4.
func drawScore(r *rand.Rand, good bool) int {
	scores, p := []int{1, 2, 3, 4}, []float64{.30, .30, .25, .15}
	if good {
		scores, p = []int{9, 8, 7, 6}, []float64{.35, .30, .20, .15}
	}
	u := r.Float64()
	for i, s := range scores {
		if u < p[i] {
			return s
		}
		u -= p[i]
	}
	return scores[len(scores)-1]
}
