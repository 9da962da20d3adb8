package trainer

// What rewards learn: pairs, or scores.

import (
	"cmp"
	"fmt"
	"slices"

	"criticrm/record"
	"criticrm/render"
)

// Kinds of reward loss.
const (
	BradleyTerry = "bradley_terry" // -log σ of the difference of a pair's rewards
	Regression   = "regression"    // squared error of each response's reward against its score
	PlackettLuce = "plackett_luce" // -log of the chance of the order of several responses
)

// regression says whether rewards are held against scores.
func (c Config) regression() bool { return c.rewards() && c.LossType == Regression }

// lists says whether the order of several responses is learned.
func (c Config) lists() bool { return c.rewards() && c.LossType == PlackettLuce }

// checkLossType refuses what only pairs can have beside another loss, and what the loss has no use for.
func (c Config) checkLossType() error {
	if c.LossType == BradleyTerry {
		return nil
	}
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"use_margin", c.UseMargin}, {"scale_by_margin", c.ScaleByMargin}, {"label_smoothing", c.LabelSmoothing != 0}, {"center_rewards_coefficient", c.CenterCoefficient != 0},
	} {
		if f.given {
			return fmt.Errorf("trainer: config: %s: is of pairs' loss, and loss_type is %s: leave it out, or set loss_type %s", f.name, c.LossType, BradleyTerry)
		}
	}
	if c.lists() && c.critiques() && c.Pairing == "cross" {
		return fmt.Errorf("trainer: config: pairing: got cross, which compares two responses: with loss_type %s set mean (of a response's critiques) or zip", PlackettLuce)
	}
	return nil
}

// readOptions say how a file of examples is read.
func (c Config) readOptions(prompts []string) record.ReadOptions {
	o := record.ReadOptions{MaxBad: c.MaxBad, Layout: c.Layout, Apart: c.regression()}
	if c.critiques() {
		o.Reads = prompts
	}
	switch {
	case c.regression():
		o.Reads = append(o.Reads, record.ScoreColumns(c.ScoreColumn)...)
	case c.lists():
		o.Reads = append(o.Reads, record.ListColumn, record.RankColumn)
		o.Ranked = cmp.Or(o.Ranked, record.RankedList)
	}
	return o
}

// dropUnranked is why a list is left out.
const dropUnranked = "lists without two responses of different ranks"

// listing collects the responses of a list, which stand one behind the other.
type listing struct {
	id    string
	items []ranked
	ended map[string]bool // lists that were there before
	group int16           // of the list that ended last
}

// ranked is a response of a list.
type ranked struct {
	render.Example
	list   string // "": none
	rank   float64
	prompt string // its key
	group  int16  // its category, where these are asked for
}

// add takes the next example; of a list that ends with it, it gives the whole. nil ends the last list.
func (l *listing) add(next *ranked) (whole *render.Example, ok bool, err error) {
	if next != nil && next.list == l.id && len(l.items) > 0 {
		if next.prompt != l.items[0].prompt {
			return nil, false, fmt.Errorf("%s %q: its responses (%s and %s) have different prompts", record.ListColumn, l.id, l.items[0].ID, next.ID)
		}
		l.items = append(l.items, *next)
		return nil, true, nil
	}
	if len(l.items) > 0 {
		l.group = l.items[0].group
		whole, ok = l.whole()
		l.ended[l.id] = true
		l.id, l.items = "", nil
	} else {
		ok = true
	}
	if next == nil {
		return whole, ok, nil
	}
	if l.ended == nil {
		l.ended = map[string]bool{}
	}
	if l.ended[next.list] {
		return nil, false, fmt.Errorf("%s %q: its responses do not stand one behind the other: sort the file", record.ListColumn, next.list)
	}
	l.id, l.items = next.list, []ranked{*next}
	return whole, ok, nil
}

// whole makes an example of a list, if it ranks two responses.
func (l *listing) whole() (*render.Example, bool) {
	slices.SortStableFunc(l.items, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	ranks, singles := make([]int32, len(l.items)), make([]render.Example, len(l.items))
	for i, x := range l.items {
		singles[i] = x.Example
		if i > 0 {
			ranks[i] = ranks[i-1]
			if x.rank != l.items[i-1].rank {
				ranks[i]++
			}
		}
	}
	if ranks[len(ranks)-1] == 0 {
		return nil, false
	}
	e := render.List(l.id, singles, ranks)
	return &e, true
}

// compared makes figures of comparisons, which were divided by pairs, means over those that were compared; NaN if none was.
func compared(figures []*float64, pairs, compared int) {
	for _, x := range figures {
		switch {
		case compared == 0:
			*x = nan()
		case compared != pairs:
			*x *= float64(pairs) / float64(compared)
		}
	}
}
