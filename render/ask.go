package render

// Scores that are asked for: the tokens that can stand behind a critique without one.

import (
	"fmt"
	"slices"

	"criticrm/critic"
)

// Endings spells what [critic.Ask] puts behind a sample, for every number of the scale from Min on, each with the end-of-turn token: as the
// tokenizer spells it behind a word.
func (d *Renderer) Endings(a *critic.Ask) (paths [][]int32, err error) {
	const word = "a"
	start := d.Text(word)
	for n := a.Scale.Min; n <= a.Scale.Max; n++ {
		text := a.Ending(n)
		ids := d.Text(word + text)
		if len(ids) <= len(start) || !slices.Equal(ids[:len(start)], start) || d.Decode(ids) != word+text {
			return nil, fmt.Errorf("render: the tokenizer cannot spell %q behind a text as tokens of its own: set ask_score off, or give a critique.txt with another [verdict]", text)
		}
		paths = append(paths, append(ids[len(start):len(ids):len(ids)], d.End))
	}
	return paths, nil
}

// askedTokens is how many tokens may be put behind a sample.
func (d *Renderer) askedTokens(a *critic.Ask) (most int, err error) {
	if a == nil {
		return 0, nil
	}
	paths, err := d.Endings(a)
	for _, p := range paths {
		most = max(most, len(p))
	}
	return most, err
}
