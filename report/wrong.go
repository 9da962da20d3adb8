package report

// Where the model is wrong: pairs by margin, with the critiques to read.

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"criticrm/record"
)

// shownPair is what the template "pair" shows.
type shownPair struct {
	Open                 bool
	Margin, Label, Short string
	Prompt               string
	Sides                []shownSide
}

type shownSide struct {
	Chosen      bool
	Name, Facts string
	Text        string
	Critiques   []shownCritique
	More        string
}

type shownCritique struct{ Facts, Text string }

// wrongSection lists the pairs that the model gets wrong, the worst first, then ties.
func (r *run) wrongSection() (*section, error) {
	main := r.main()
	best := main.eval.best()
	if best == nil {
		return nil, nil
	}
	var wrong []int
	ties := 0
	for i, c := range best.Correct {
		if c < 1 {
			wrong = append(wrong, i)
			if c == 0.5 {
				ties++
			}
		}
	}
	slices.SortStableFunc(wrong, func(a, b int) int {
		return cmp.Or(cmp.Compare(best.Correct[a], best.Correct[b]), cmp.Compare(best.Margin[a], best.Margin[b]))
	})
	unit := "reward"
	if strings.HasPrefix(best.Name, "judge") {
		unit = "score"
	}
	s := &section{Title: "Where it is wrong"}
	line := fmt.Sprintf("%s prefers the rejected response in %d of %d pairs", main.named(best), len(wrong)-ties, len(best.Correct))
	if ties > 0 {
		line += fmt.Sprintf(", and cannot tell in %d", ties)
	}
	if n := min(len(wrong), r.o.Wrong); n < len(wrong) {
		line += fmt.Sprintf("; the %d worst are shown", n)
		wrong = wrong[:n]
	}
	s.Words = []string{sentence(line) + ". The margin is the " + unit + " of the chosen response less that of the rejected one."}
	for k, i := range wrong {
		h, err := execute("pair", r.shown(main.eval.pairs[i], best.Margin[i], k == 0))
		if err != nil {
			return nil, err
		}
		s.Parts = append(s.Parts, h)
	}
	return s, nil
}

func (r *run) shown(pair *record.Record, margin float64, open bool) shownPair {
	prompt := pair.Prompt.String()
	p := shownPair{Open: open, Margin: signedFigure(margin), Prompt: shorten(prompt, r.o.Characters), Label: fmt.Sprintf("%s · %s", shorten(pair.ID, maxName), shorten(pair.Group(), maxName)),
		Short: firstWords(prompt, 90)}
	if p.Prompt == p.Short {
		p.Prompt = ""
	}
	for _, side := range pair.Sides() {
		text := pair.Text(side)
		v := shownSide{Chosen: side == record.Chosen, Name: side.String(), Text: shorten(text, r.o.Characters), Facts: fmt.Sprintf("%d characters", utf8.RuneCountInString(text))}
		if reward := *pair.SideReward(side); reward != nil {
			v.Facts = fmt.Sprintf("reward %s · %s", figure(*reward), v.Facts)
		}
		list := *pair.SideCritiques(side)
		for i := range list[:min(len(list), r.o.Critiques)] {
			v.Critiques = append(v.Critiques, shownCritique{critiqueFacts(&list[i]), shorten(list[i].Text, r.o.Characters)})
		}
		if n := len(list) - len(v.Critiques); n > 0 {
			v.More = fmt.Sprintf("… and %d more critiques", n)
		}
		p.Sides = append(p.Sides, v)
	}
	return p
}

func critiqueFacts(c *record.Critique) string {
	facts := []string{"no score"}
	if c.Score != nil {
		facts[0] = fmt.Sprintf("score %.4g", *c.Score)
	}
	if c.AskedTokens > 0 {
		facts[0] += ", asked for"
	}
	if c.Reward != nil {
		facts = append(facts, "reward "+figure(float64(*c.Reward)))
	}
	if c.FinishReason == record.FinishLength {
		facts = append(facts, "cut by the token limit")
	}
	if c.Origin != "" {
		facts = append(facts, c.Origin)
	}
	return strings.Join(facts, " · ")
}

// figure is a reward with two decimals, or, where they would be zeros, with its first two digits: those of a model that has learnt little
// are tiny, and not all the same.
func figure(x float64) string {
	if x == 0 || math.Abs(x) >= 0.1 {
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.2g", x)
}

func signedFigure(x float64) string {
	if x < 0 {
		return figure(x)
	}
	return "+" + figure(x)
}

// firstWords is a text as one line of at most n characters.
func firstWords(text string, n int) string {
	line := strings.Join(strings.Fields(text[:min(len(text), 8*n)]), " ")
	if r := []rune(strings.ToValidUTF8(line, "")); len(r) > n {
		return string(r[:n]) + "…"
	}
	return strings.ToValidUTF8(line, "")
}
