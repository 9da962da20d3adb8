package demo

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"criticrm/model"
	"criticrm/tokenizer"
)

// The third task: a reply says the value after every step of the lock, and each step may be at fault by itself, given the value that the reply
// has before it. A fault in triple or flip weighs more than one in add or sub, and the reply with less weight of faults is the better one. A critique
// checks some of the steps and passes over the others; its score underrates heavy faults. So several critiques find what one does not, and the
// faults that a critique names say more than its score.

// The kinds of its pairs: the better reply has fewer faults, or it has not, and they weigh less.
const (
	Agree  Kind = "agree"
	Weight Kind = "weight"
)

// Rates of the third task.
const (
	workFault  = .4 // a step of a reply is at fault
	workHeavy  = 3  // weight of a fault in triple or flip; others weigh 1
	workWeight = .3 // share of pairs of the kind Weight

	workFlip       = .05 // a check is turned round
	workTop        = 8   // the score of a reply without a fault that was found
	workLightCost  = 1.6 // what a fault that was found takes off the score
	workHeavyCost  = 2.4
	workNoise      = 1.5 // standard deviation of the score
	workVerdicts   = .2  // share of lessons with a meta-judge's verdict
	workSummaries  = .2  // share of lessons with a summary of three critiques
	workAmong      = 3
	workInvents    = .10 // the meta-judge calls a sound critique flawed
	workOverlooked = .25 // and a flawed one sound
)

// workCheck is how likely the base's critic is to check a step: attention flags.
var workCheck = []float64{.5, .4, .3, .15}

func (s step) heavy() bool { return s.op == "triple" || s.op == "flip" }

func drawWork(r *rand.Rand, want Split) Question {
	ops := []string{"add", "sub", "triple", "flip"}
	for {
		q := Question{Kind: Agree, start: r.IntN(10)}
		text := fmt.Sprintf("The lock shows %d.", q.start)
		for i := range workCheck {
			s := step{op: ops[r.IntN(len(ops))]}
			if !s.heavy() {
				s.k = 1 + r.IntN(5)
			}
			q.steps = append(q.steps, s)
			text += fmt.Sprintf(" %s %s.", days[i], s)
		}
		if q.Prompt = text + " What does it show?"; splitOf(q.Prompt) == want {
			return q
		}
	}
}

// before is the value that step i of a reply begins with.
func (q *Question) before(claims []int, i int) int {
	if i == 0 {
		return q.start
	}
	return claims[i-1]
}

// due is what step i should have given.
func (q *Question) due(claims []int, i int) int { return q.steps[i].apply(q.before(claims, i), false) }

func drawClaims(r *rand.Rand, q *Question) []int {
	claims := make([]int, len(q.steps))
	for i := range claims {
		claims[i] = q.due(claims, i)
		if r.Float64() < workFault {
			claims[i] = (claims[i] + 1 + r.IntN(9)) % 10
		}
	}
	return claims
}

// faultsOf counts a reply's faults, and adds up their weights.
func (q *Question) faultsOf(claims []int) (count, weight int) {
	for i, s := range q.steps {
		if claims[i] == q.due(claims, i) {
			continue
		}
		count, weight = count+1, weight+1
		if s.heavy() {
			weight += workHeavy - 1
		}
	}
	return count, weight
}

func workReply(q *Question, claims []int, right bool) Reply {
	text := fmt.Sprintf("Start=%d", q.start)
	for i, v := range claims {
		text += fmt.Sprintf(" %s=%d", days[i], v)
	}
	return Reply{Text: text + ".", Right: right, claims: claims}
}

// WorkPairs draws n preference pairs of a split for the third task.
func WorkPairs(seed uint64, n int, want Split) []Pair {
	out := make([]Pair, n)
	for i := range out {
		out[i] = drawWorkPair(seed, i, want)
	}
	return out
}

func drawWorkPair(seed uint64, i int, want Split) Pair {
	r := stream(seed, "work pair", i)
	kind := Agree
	if r.Float64() < workWeight {
		kind = Weight
	}
	for {
		q := drawWork(r, want)
		good, bad := drawClaims(r, &q), drawClaims(r, &q)
		fewer, light := q.faultsOf(good)
		more, heavy := q.faultsOf(bad)
		if light > heavy {
			good, bad, fewer, more, light, heavy = bad, good, more, fewer, heavy, light
		}
		if light == heavy || (fewer < more) != (kind == Agree) {
			continue
		}
		q.Kind = kind
		return Pair{ID: fmt.Sprintf("%d-%d", seed, i), Question: q, Chosen: workReply(&q, good, true), Rejected: workReply(&q, bad, false)}
	}
}

// finding is what a critique says of a step.
type finding int

const (
	passedOver finding = iota
	calledRight
	calledWrong
)

func calls(wrong bool) finding {
	if wrong {
		return calledWrong
	}
	return calledRight
}

// drawFindings checks all steps and is right, or checks some as the base's critic does.
func drawFindings(r *rand.Rand, q *Question, claims []int, all bool) []finding {
	found := make([]finding, len(claims))
	for i := range claims {
		wrong := claims[i] != q.due(claims, i)
		switch {
		case all:
			found[i] = calls(wrong)
		case r.Float64() < workCheck[i]:
			found[i] = calls(wrong != (r.Float64() < workFlip))
		}
	}
	return found
}

// writeFindings spells a critique. value is the weight of what it works out. Sound it is if it passes no fault over and invents none.
func writeFindings(r *rand.Rand, q *Question, claims []int, found []finding, value float32) critique {
	const weightOp = 2
	c := critique{sound: true}
	c.add(weightText, "Start=")
	c.add(1, "%d", q.start)
	score := workTop + workNoise*r.NormFloat64()
	for i, f := range found {
		s := q.steps[i]
		c.sound = c.sound && (f == calledWrong) == (claims[i] != q.due(claims, i))
		c.add(weightText, " %s", days[i])
		if f == passedOver {
			c.add(weightOp, " nothing")
		} else {
			c.add(weightOp, " %s", s.op)
			if s.k > 0 {
				c.add(weightText, " %d", s.k)
			}
			c.add(weightText, "=")
			c.add(value, "%d", q.due(claims, i))
		}
		c.add(weightText, " Reply %s=", days[i])
		c.add(1, "%d", claims[i])
		switch {
		case f == calledRight:
			c.add(weightVerdict, " Right")
		case f == calledWrong && s.heavy():
			score -= workHeavyCost
			c.add(weightVerdict, " Wrong")
		case f == calledWrong:
			score -= workLightCost
			c.add(weightVerdict, " Wrong")
		}
		c.add(weightText, ".")
	}
	c.score = int(math.Round(min(9, max(1, score))))
	c.add(weightText, " Score:")
	c.add(1, " %d", c.score)
	return c
}

// workDrill is a document of the first stage: a critique that checks everything.
func workDrill(t *tokenizer.Tokenizer, seed uint64, i int) document {
	r := stream(seed, "work drill", i)
	q := drawWork(r, Train)
	claims := drawClaims(r, &q)
	w := workExchange(t, &q, claims)
	w.special("<|critique|>", weightPrompt)
	c := writeFindings(r, &q, claims, drawFindings(r, &q, claims, true), 3)
	w.text(c.spans...)
	w.special(tokenEnd, weightEnd)
	return w.doc
}

// workLesson is a document of the second: what the base's critic writes, its verdict on a critique, or a summary of several.
func workLesson(t *tokenizer.Tokenizer, seed uint64, i int) document {
	r := stream(seed, "work lesson", i)
	q := drawWork(r, Train)
	claims := drawClaims(r, &q)
	w := workExchange(t, &q, claims)
	draw := func() ([]finding, critique) {
		f := drawFindings(r, &q, claims, false)
		return f, writeFindings(r, &q, claims, f, weightValue)
	}
	switch u := r.Float64(); {
	case u < workVerdicts:
		_, c := draw()
		w.special("<|critique|>", 0)
		w.text(c.spans...)
		w.special("<|meta|>", 0)
		w.opinionOf(r, c.sound, workInvents, workOverlooked)
	case u < workVerdicts+workSummaries:
		all := make([]finding, len(claims))
		var texts []string
		for range workAmong {
			f, c := draw()
			texts = append(texts, c.String())
			for k, x := range f {
				if all[k] == passedOver {
					all[k] = x
				}
			}
		}
		w.special("<|critiques|>", 0)
		w.text(span{joinCritiques(texts), 0})
		w.special("<|summary|>", 0)
		c := writeFindings(r, &q, claims, all, weightValue)
		w.text(c.spans...)
	default:
		_, c := draw()
		w.special("<|critique|>", weightPrompt)
		w.text(c.spans...)
	}
	w.special(tokenEnd, weightEnd)
	return w.doc
}

func workExchange(t *tokenizer.Tokenizer, q *Question, claims []int) writer {
	w := writer{tok: t}
	w.special("<|user|>", 0)
	w.text(span{q.Prompt, weightPrompt})
	w.special("<|assistant|>", weightPrompt)
	w.text(span{workReply(q, claims, false).Text, 0})
	return w
}

// workProbe asks for the likeliest critique, and for one at temperature 1, of validation replies: how many steps they check, and how many of the
// checks are right.
func workProbe(ctx context.Context, m *model.Model, tok *tokenizer.Tokenizer, seed uint64) (string, error) {
	const n = 100
	line := ""
	for _, temperature := range []float64{0, 1} {
		var reqs []model.GenRequest
		var all [n]struct {
			q      Question
			claims []int
		}
		for i := range all {
			r := stream(seed, "work probe", i)
			a := &all[i]
			a.q = drawWork(r, Validation)
			a.claims = drawClaims(r, &a.q)
			w := workExchange(tok, &a.q, a.claims)
			w.special("<|critique|>", 0)
			reqs = append(reqs, model.GenRequest{Prefix: w.doc.IDs, N: 1, Key: uint64(i)})
		}
		checked, right := 0, 0
		err := m.Generate(ctx, reqs, model.GenOptions{MaxTokens: 90, Temperature: float32(temperature), Stop: m.Config.EOSTokenIDs, MaxSequences: 512}, func(i int, s []model.GenSample) {
			a := &all[i]
			for k, f := range readFindings(tok.DecodeText(s[0].IDs)) {
				if f == passedOver || k >= len(a.claims) {
					continue
				}
				checked++
				if f == calls(a.claims[k] != a.q.due(a.claims, k)) {
					right++
				}
			}
		})
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf("  temperature %g: %.2f of the steps checked, %.2f of these rightly", temperature, float64(checked)/float64(n*len(workCheck)), float64(right)/float64(max(checked, 1)))
	}
	return strings.TrimSpace(line), nil
}

// readFindings reads the findings of a critique back.
func readFindings(text string) (found []finding) {
	sentences := strings.Split(text, ".")
	for _, s := range sentences[:len(sentences)-1] {
		switch {
		case strings.HasSuffix(s, " Right"):
			found = append(found, calledRight)
		case strings.HasSuffix(s, " Wrong"):
			found = append(found, calledWrong)
		default:
			found = append(found, passedOver)
		}
	}
	return found
}
