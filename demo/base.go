package demo

import (
	"math/rand/v2"
	"strings"

	"criticrm/critic"
	"criticrm/tokenizer"
)

// The base model is a small language model that has read, for every kind of question, replies with critiques, and so writes
// critiques as a pretrained model would: mostly sound, with systematic faults. It is made in two stages: clean drills first
// (with short chains, or the arithmetic is never learned), then documents as the faulty critic writes them.

// Special tokens of the demo's vocabulary. Each role of a conversation has one.
const (
	tokenPad = "<|pad|>"
	tokenEnd = "<|end|>"
)

var specialTokens = []string{tokenPad, "<|user|>", "<|assistant|>", "<|critique|>", tokenEnd, "<|meta|>", "<|critiques|>", "<|summary|>"}

// chatTemplate spells a conversation: the model writes a critique after a reply, a verdict on a critique after a critique, and
// a summary after several critiques. A finished conversation ends with the end token.
const chatTemplate = `{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}` +
	`{% if not add_generation_prompt %}<|end|>` +
	`{% elif messages[-1]['role'] == 'critique' %}<|meta|>` +
	`{% elif messages[-1]['role'] == 'critiques' %}<|summary|>` +
	`{% else %}<|critique|>{% endif %}`

const (
	baseVocab   = 576 // rows of the embedding
	baseContext = 512
)

// drillMix is the mix of the first stage.
var drillMix = mix{{Chat, .25}, {ChatHard, .10}, {Safety, .20}, {Count, .22}, {Track, .23}}

// document is a token sequence with the weight of each token as a target of language modelling.
type document struct {
	IDs     []int32
	Weights []float32
}

// writer spells documents with the demo's tokenizer.
type writer struct {
	tok *tokenizer.Tokenizer
	doc document
}

func (w *writer) special(token string, weight float32) {
	id, ok := w.tok.ID(token)
	if !ok {
		panic("demo: the tokenizer lacks " + token)
	}
	w.doc.IDs = append(w.doc.IDs, id)
	w.doc.Weights = append(w.doc.Weights, weight)
}

// text spells spans as one text. A token takes the weight of the span that holds its first byte that is not a space.
func (w *writer) text(spans ...span) {
	var b strings.Builder
	var weights []float32
	for _, s := range spans {
		b.WriteString(s.text)
		for range len(s.text) {
			weights = append(weights, s.weight)
		}
	}
	all := b.String()
	at := 0
	for _, id := range w.tok.Encode(all) {
		piece := w.tok.Decode([]int32{id})
		first := at + len(piece) - len(strings.TrimLeft(piece, " "))
		w.doc.IDs = append(w.doc.IDs, id)
		w.doc.Weights = append(w.doc.Weights, weights[min(first, len(weights)-1)])
		at += len(piece)
	}
}

func (w *writer) exchange(q *Question, p *Reply) {
	w.special("<|user|>", 0)
	w.text(span{q.Prompt, weightPrompt})
	w.special("<|assistant|>", weightPrompt)
	w.text(span{p.Text, weightReply})
}

// drawScene draws a question and a reply that is right half of the time.
func drawScene(r *rand.Rand, kind Kind, steps int) (Question, Reply) {
	q := drawQuestion(r, kind, steps, Train)
	right := r.IntN(2) == 0
	friendly := r.IntN(2) == 0
	if kind == ChatHard {
		friendly = !right
	}
	return q, drawReply(r, &q, right, friendly)
}

// drill is document i of the first stage: a sound critique, mostly of a short chain.
func drill(t *tokenizer.Tokenizer, seed uint64, i int) document {
	r := stream(seed, "drill", i)
	kind, steps := drillMix.draw(r), -1
	if r.Float64() < .75 {
		steps = r.IntN(3)
	}
	q, p := drawScene(r, kind, steps)
	w := writer{tok: t}
	w.exchange(&q, &p)
	w.special("<|critique|>", weightPrompt)
	c := drawCritique(r, &q, &p, noFaults, 4)
	w.text(c.spans...)
	w.special(tokenEnd, weightEnd)
	return w.doc
}

// lessonOf gives document i of the second stage: what a critic with such faults writes, and now and then its opinion of a critique or a
// summary of several.
func lessonOf(f faults) func(t *tokenizer.Tokenizer, seed uint64, i int) document {
	return func(t *tokenizer.Tokenizer, seed uint64, i int) document { return lesson(t, f, seed, i) }
}

func lesson(t *tokenizer.Tokenizer, f faults, seed uint64, i int) document {
	r := stream(seed, "lesson", i)
	q, p := drawScene(r, taskMix.draw(r), -1)
	w := writer{tok: t}
	w.exchange(&q, &p)
	switch u := r.Float64(); {
	case u < .10:
		c := drawCritique(r, &q, &p, f, 2)
		w.special("<|critique|>", weightPrompt)
		w.text(c.spans...)
		w.special("<|meta|>", 0)
		w.opinionOf(r, c.sound, .10, .25)
	case u < .15:
		w.summary(r, &q, &p, f)
	default:
		c := drawCritique(r, &q, &p, f, 2)
		w.special("<|critique|>", weightPrompt)
		w.text(c.spans...)
	}
	w.special(tokenEnd, weightEnd)
	return w.doc
}

// opinionOf is the meta-judge's verdict on a critique: it invents and overlooks so many of the flaws.
func (w *writer) opinionOf(r *rand.Rand, sound bool, invents, overlooks float64) {
	good := sound
	if sound && r.Float64() < invents || !sound && r.Float64() < overlooks {
		good = !good
	}
	word := "Flawed"
	if good {
		word = "Sound"
	}
	w.text(span{word, weightVerdict}, span{". Score:", weightText}, span{" " + string(rune('0'+drawScore(r, good))), weightScore})
}

// summary shows three critiques and repeats the first that agrees with most of them.
func (w *writer) summary(r *rand.Rand, q *Question, p *Reply, f faults) {
	var cs []critique
	var texts []string
	votes := 0
	for range 3 {
		c := drawCritique(r, q, p, f, 2)
		cs = append(cs, c)
		texts = append(texts, c.String())
		if c.verdict {
			votes++
		}
	}
	w.special("<|critiques|>", 0)
	w.text(span{joinCritiques(texts), 0})
	w.special("<|summary|>", 0)
	for _, c := range cs {
		if c.verdict == (votes >= 2) {
			w.text(c.spans...)
			return
		}
	}
}

// trainTokenizer learns the vocabulary from documents of the second stage.
func trainTokenizer(seed uint64) (*tokenizer.Tokenizer, error) {
	texts := func(yield func(string) bool) {
		for i := range 20000 {
			r := stream(seed, "vocabulary", i)
			q, p := drawScene(r, taskMix.draw(r), -1)
			c := drawCritique(r, &q, &p, baseFaults, 2)
			w := "Sound. Score: 9"
			if i%2 == 0 {
				w = "Flawed. Score: 1"
			}
			for _, s := range []string{q.Prompt, p.Text, c.String(), w} {
				if !yield(s) {
					return
				}
			}
		}
	}
	return tokenizer.Train(texts, tokenizer.TrainConfig{VocabSize: baseVocab, Special: specialTokens, Pattern: "qwen2"})
}

// joinCritiques spells several critiques as the method's {critiques} placeholder does.
func joinCritiques(texts []string) string {
	t, err := critic.ParseTemplate("critiques", "[user]\n{critiques}\n", nil, []string{"critiques"})
	if err != nil {
		panic(err) // the template is a constant
	}
	return t.Messages(critic.Values{Critiques: texts})[0].Content
}
