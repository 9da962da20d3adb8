package critic

// Asked-for verdicts: a critique that has ended without a score goes on behind the words that a score stands behind, with the numbers of the
// scale alone.

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"criticrm/tokenizer"
)

// What is done with critiques that end without a score.
const (
	AskOff    = "off"    // they have none
	AskSample = "sample" // the number is drawn as its tokens are
	AskExpect = "expect" // likewise, and the score is the mean of the numbers by their chances
)

// DefaultAsk is what is done where neither the user nor the model's directory says.
const DefaultAsk = AskOff

// AskModes lists them.
func AskModes() []string { return []string{AskOff, AskSample, AskExpect} }

// validAsk checks a mode; off becomes "", so that it stands nowhere, as with programs that did not know of it.
func validAsk(mode *string) error {
	if *mode == AskOff {
		*mode = ""
	}
	if *mode != "" && !slices.Contains(AskModes(), *mode) {
		return fmt.Errorf("critic: ask_score: got %.40q, want one of %s", *mode, strings.Join(AskModes(), ", "))
	}
	return nil
}

// Ask is how a Generator goes on with a sample that has ended without a score: Lead and one of the numbers of the scale are put behind it, and an
// end token. They belong to the sample: to its text, tokens and log-probability, and a reward is read behind them.
type Ask struct {
	Lead   string // a line break and the words that a score stands behind
	Scale  Scale
	Expect bool   // Asked.Mean is wanted
	Before string // what stands before the sample in the same turn
}

// Asked is what came of it.
type Asked struct {
	Score  int      // the number in the text
	Mean   *float64 // over the scale's numbers, by their chances; with Expect only
	Chance float64  // of the number among the scale's, at temperature 1
	Tokens int      // at the end of the sample that were put there
}

// Lacks says whether a sample has no score.
func (a *Ask) Lacks(text, finish string) bool {
	return !a.Scale.scoreOf(a.Before+strings.ToValidUTF8(text, "\uFFFD"), finish).OK
}

// Ending is what is put behind a sample whose score becomes n.
func (a *Ask) Ending(n int) string { return a.Lead + " " + strconv.Itoa(n) }

// ask is how a score is asked for behind what is written for the template; nil with AskOff.
func (t *Template) ask(how string, scale Scale) *Ask {
	if how == AskOff || how == "" {
		return nil
	}
	return &Ask{Lead: "\n" + t.verdict, Scale: scale, Expect: how == AskExpect, Before: t.begun(scale)}
}

// Roles of a last message whose turn stays open: the model goes on behind its words. Begun is of a turn of the model's own; BegunUser of the
// user's, in which CLoud lets its models write.
const (
	Begun     = "assistant" + begunRole
	BegunUser = "user" + begunRole

	begunRole = "_begun"
)

// OpenTurn says whose turn it is that the last of the messages leaves open; "" if it leaves none.
func OpenTurn(messages []tokenizer.Message) string {
	if len(messages) > 0 {
		if of, ok := strings.CutSuffix(messages[len(messages)-1].Role, begunRole); ok {
			return of
		}
	}
	return ""
}

// begins says whether the last section is the beginning of the model's turn: the assistant's, in words of the template's own. One with a text of
// the record is a turn that is over.
func (t *Template) begins() bool {
	s := t.sections[len(t.sections)-1]
	return s.role == "assistant" && !slices.ContainsFunc(s.parts, func(p part) bool {
		return p.name != "" && p.name != "min" && p.name != "max" && p.name != "middle"
	})
}

// begun are those words; "" if it is not.
func (t *Template) begun(scale Scale) string {
	if !t.begins() {
		return ""
	}
	return strings.TrimRight(t.sections[len(t.sections)-1].text(Values{Scale: scale}), " \t")
}

// check refuses an answer that is not the one asked for.
func (a *Ask) check(x *Sample) error {
	text := strings.ToValidUTF8(x.Text, "\uFFFD")
	switch {
	case a == nil && x.Asked != nil:
		return errors.New("generator gave a score that it was not asked for")
	case a == nil:
		return nil
	case x.Asked == nil && a.Lacks(text, x.FinishReason):
		return errors.New("generator gave a sample without a score, and was asked for one")
	case x.Asked == nil:
		return nil
	}
	v := a.Scale.Parse(a.Before + text)
	mean := x.Asked.Mean
	if !v.OK || int(v.Score) != x.Asked.Score || a.Expect != (mean != nil) || mean != nil && !(*mean >= float64(a.Scale.Min) && *mean <= float64(a.Scale.Max)) ||
		!(x.Asked.Chance >= 0 && x.Asked.Chance <= 1) || x.Asked.Tokens < 1 || x.Asked.Tokens > len(x.Tokens) {
		return fmt.Errorf("generator gave the score %+v for a text that ends with %.40q", *x.Asked, text[max(0, len(text)-40):])
	}
	return nil
}

// defaultVerdict is the line of a template that names none.
const defaultVerdict = "Score:"

// checkVerdict refuses words behind which a number would not be read as a score, whatever stands before them.
func checkVerdict(line string) error {
	for _, s := range []Scale{{0, 1}, {1, 10}, {0, 1000}} {
		for _, n := range []int{s.Min, s.Max} {
			for _, before := range []string{"", "good", "Score:", "Score: 7", "7/", "**", "("} {
				if v := s.Parse(before + "\n" + line + " " + strconv.Itoa(n)); !v.OK || v.Score != float64(n) {
					return fmt.Errorf("%q with a number behind it is not read as a score: want one line that ends with \"Score:\"", line)
				}
			}
		}
	}
	if strings.ContainsAny(line, "\n{}") || !utf8.ValidString(line) {
		return fmt.Errorf("%q: want one line without placeholders", line)
	}
	return nil
}
