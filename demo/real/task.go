package real

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

//go:embed topics.txt
var topicsText string

// topic is a request and words that an answer to it may well have.
type topic struct {
	request string
	words   []string
}

// topics reads topics.txt.
func topics() (list []topic) {
	for line := range strings.Lines(topicsText) {
		if request, words, ok := strings.Cut(line, "|"); ok && line[0] != '#' {
			list = append(list, topic{strings.TrimSpace(request), strings.Fields(words)})
		}
	}
	return list
}

// Wish is a request with a word that the answer must have, or must not have. Whether an answer does what was asked can be checked by
// program, so the labels of pairs are true, whoever wrote the answers.
type Wish struct {
	Request, Word string
	Without       bool
}

// Prompt is what the model is asked.
func (w Wish) Prompt() string {
	if w.Without {
		return fmt.Sprintf("%s Answer in one sentence. Do not use the word %q.", w.Request, w.Word)
	}
	return fmt.Sprintf("%s Answer in one sentence. Use the word %q.", w.Request, w.Word)
}

// Category is the kind of a wish.
func (w Wish) Category() string {
	if w.Without {
		return "without a word"
	}
	return "with a word"
}

// Holds says whether an answer does what was asked, and quotes the place where the word stands.
func (w Wish) Holds(answer string) (ok bool, quote string) {
	words := strings.Fields(answer)
	for i, x := range words { // "water's" and "snow-covered" have water and snow
		if slices.ContainsFunc(strings.FieldsFunc(x, notLetter), func(part string) bool { return strings.EqualFold(part, w.Word) }) {
			return !w.Without, strings.Join(words[max(0, i-2):min(len(words), i+2)], " ")
		}
	}
	return w.Without, ""
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }

// Scores of critiques by program.
const (
	good = 9
	bad  = 2
)

// Critique is what the cold start teaches to say of an answer: what was asked for, where the answer has it, and a score.
func (w Wish) Critique(answer string) string {
	ok, quote := w.Holds(answer)
	score := bad
	if ok {
		score = good
	}
	var says string
	switch {
	case w.Without && ok:
		says = fmt.Sprintf("The word %q was not to be used, and it is not in the answer.", w.Word)
	case w.Without:
		says = fmt.Sprintf("The word %q was not to be used, but the answer says %q.", w.Word, quote)
	case ok:
		says = fmt.Sprintf("The word %q was asked for, and the answer says %q.", w.Word, quote)
	default:
		says = fmt.Sprintf("The word %q was asked for, but it is not in the answer.", w.Word)
	}
	return fmt.Sprintf("%s\nScore: %d", says, score)
}
