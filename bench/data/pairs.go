package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
)

// message is one of a conversation.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// common are words that text is full of, the most frequent ones first; the rarer ones are made of syllables.
var common = strings.Fields(`the of and to a in is that it for you with as are this on be or can not your have an will from which more if by at one
use when they has all their was how what so each also we make other into than number some there about but time would like these should list up
example first then value may where most need function code two new used way people data only word using its out system based step model such
work different could set many any write here help same after because between text find number answer given result know return point case line
state both over part must long even see take provide good high while however important information between under small large problem question
following consider order before water world health process change food energy money school city country story character children company power
class string array table input output file error test method object simple possible better often change without through during against main`)

// vocabulary is words by their rank: common ones, then made-up ones, as long as rare words are.
func vocabulary(r *rand.Rand, n int) []string {
	starts := strings.Fields("b c d f g h j k l m n p r s t v w z st tr pr ch sh th pl cr br gr fl sp")
	cores := strings.Fields("a e i o u ai ea ou ee oo ie a e i o a e i")
	ends := strings.Fields("n r s t l m d ng nt st ck rd ss tion ment ly er ing ed al ic ous able")
	words := append([]string{}, common...)
	for len(words) < n {
		var b strings.Builder
		for range 1 + r.IntN(3) {
			b.WriteString(starts[r.IntN(len(starts))] + cores[r.IntN(len(cores))])
		}
		b.WriteString(ends[r.IntN(len(ends))])
		words = append(words, b.String())
	}
	return words
}

// writer makes text: words by Zipf's law in sentences and paragraphs, with lists, numbers, code and other scripts now and then.
type writer struct {
	r     *rand.Rand
	words []string
	zipf  *rand.Zipf
}

func newWriter(seed uint64) *writer {
	words := vocabulary(rand.New(rand.NewPCG(0, 0)), 30000) // the language is the same for all seeds
	r := rand.New(rand.NewPCG(seed, 1))
	return &writer{r: r, words: words, zipf: rand.NewZipf(r, 1.4, 2, uint64(len(words)-1))}
}

func (w *writer) word() string { return w.words[w.zipf.Uint64()] }

// text is so many words.
func (w *writer) text(n int) string {
	var b strings.Builder
	item := 0
	for left := n; left > 0; {
		sentence := min(left, 4+w.r.IntN(20))
		left -= sentence
		switch w.r.IntN(12) {
		case 0: // a list goes on
			item++
			fmt.Fprintf(&b, "%d. ", item)
		case 1:
			fmt.Fprintf(&b, "```python\nfor %s in range(%d):\n    print(%s[\"%s\"] + %d)\n```\n", w.word(), w.r.IntN(100), w.word(), w.word(), w.r.IntN(5000))
		case 2:
			b.WriteString([...]string{"– «größere» ", "naïve ", "数据 ", "“quoted” ", "приклад ", "✓ "}[w.r.IntN(6)])
		}
		for i := range sentence {
			word := w.word()
			if i == 0 {
				word = strings.ToUpper(word[:1]) + word[1:]
			} else {
				b.WriteByte(' ')
			}
			b.WriteString(word)
			switch w.r.IntN(40) {
			case 0, 1, 2:
				b.WriteByte(',')
			case 3:
				fmt.Fprintf(&b, " %d", w.r.IntN(2050))
			case 4:
				b.WriteString("'s")
			}
		}
		b.WriteString([...]string{". ", ". ", ". ", "? ", ".\n", ".\n\n", ": ", "!\n"}[w.r.IntN(8)])
	}
	return strings.TrimSpace(b.String())
}

// length is a number of words: log-normal, as lengths of prompts and answers are, with the given mean, from 3 to 20 means.
func (w *writer) length(mean float64) int {
	const spread = 0.7
	n := math.Exp(math.Log(mean) - spread*spread/2 + spread*w.r.NormFloat64())
	return int(min(max(n, 3), 20*mean))
}

// pairs writes n pairs in TRL's conversational form. With SmolLM2's tokenizer a prompt has some 150 tokens and an answer some 250, both with a
// long tail.
func pairs(out io.Writer, n int, seed uint64) error {
	w, b := newWriter(seed), bufio.NewWriterSize(out, 1<<20)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	for range n {
		row := struct {
			Prompt   []message `json:"prompt"`
			Chosen   []message `json:"chosen"`
			Rejected []message `json:"rejected"`
		}{
			[]message{{"user", w.text(w.length(promptWords))}}, []message{{"assistant", w.text(w.length(answerWords))}}, []message{{"assistant", w.text(w.length(answerWords))}},
		}
		if err := e.Encode(row); err != nil {
			return err
		}
	}
	return b.Flush()
}

// Mean words of a prompt and of an answer.
const (
	promptWords = 80
	answerWords = 138
)
