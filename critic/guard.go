package critic

// The guard against a stage that writes for hours what nobody can read: critiques without a score.

import (
	"errors"
	"fmt"
	"strings"

	"criticrm/record"
)

// ErrUnparsed is the error of a stage that the guard has stopped. What was finished before is kept.
var ErrUnparsed = errors.New("almost no critique ends in a score")

const (
	warnAfter = 16 // critiques of which none has a score: a warning
	stopAfter = 64 // critiques before MinParsed counts
	shown     = 2  // of those without a score
	shownSize = 240
)

// guard counts the critiques of finished records.
type guard struct {
	o                 *GenerateOptions
	critiques, parsed int
	written           int // scores that were not asked for
	truncated         int
	samples           []string // the first without a score
	warned            bool
}

func newGuard(o *GenerateOptions) *guard { return &guard{o: o} }

// chunk begins a stage with little: one record for the warning, then as many as the guard decides on.
func (g *guard) chunk(done int) int {
	first := (stopAfter + 2*g.o.Critiques - 1) / (2 * g.o.Critiques)
	switch {
	case g.o.MinParsed == 0:
	case done == 0:
		return 1
	case done < first:
		return first - done
	}
	return g.o.Chunk
}

// observe adds a finished record; the error is ErrUnparsed.
func (g *guard) observe(r *record.Record) error {
	for _, side := range r.Sides() {
		for _, c := range *r.SideCritiques(side) {
			if c.Origin != "" {
				continue
			}
			g.critiques++
			if c.Score != nil {
				g.parsed++
			}
			if c.Score != nil && c.AskedTokens == 0 {
				g.written++
				continue
			}
			if c.FinishReason == record.FinishLength {
				g.truncated++
			}
			if len(g.samples) < shown {
				g.samples = append(g.samples, c.Text)
			}
		}
	}
	if g.o.MinParsed == 0 {
		return nil
	}
	if g.critiques >= stopAfter && float64(g.parsed) < g.o.MinParsed*float64(g.critiques) {
		g.warn()
		return fmt.Errorf("critic: %w: %d of %d, want at least %.3g %%: %s, or set min_parsed to 0 to go on; what is written stays", ErrUnparsed, g.parsed, g.critiques, 100*g.o.MinParsed, g.remedy())
	}
	if g.critiques >= warnAfter && g.written == 0 {
		g.warn()
	}
	return nil
}

// warn shows the samples, once.
func (g *guard) warn() {
	if g.warned || g.o.Warn == nil {
		return
	}
	g.warned = true
	asked := ""
	if n := g.parsed - g.written; n > 0 {
		asked = fmt.Sprintf(" of their own (%d were asked for one)", n)
	}
	g.o.Warn(fmt.Sprintf("warning: %d of the first %d critiques end in a score%s; the others look like this:", g.written, g.critiques, asked))
	for i, s := range g.samples {
		if len(s) > shownSize { // the end is where a score would be
			s = strings.ToValidUTF8(s[:shownSize/2], "") + " … " + strings.ToValidUTF8(s[len(s)-shownSize/2:], "")
		}
		g.o.Warn(fmt.Sprintf("  %d: %q", i+1, s))
	}
	g.o.Warn("  what helps: " + g.remedy())
}

// remedy says what to look at, the likeliest first.
func (g *guard) remedy() string {
	prompt := fmt.Sprintf("let critique.txt ask for a last line \"Score: N\", N from %d to %d, try --prompts small, look at the chat template, or take a model that follows instructions", g.o.Scale.Min, g.o.Scale.Max)
	if g.o.AskScore == "" {
		prompt += "; or let critiques be asked for a score (ask_score expect)"
	}
	if 2*g.truncated > g.critiques {
		return fmt.Sprintf("raise max_tokens (%d critiques were cut at %d), %s", g.truncated, g.o.Sampling.MaxTokens, prompt)
	}
	return prompt
}
