package experiment

// The models of a cell: what the method is compared with, and what is changed about it.

import (
	"fmt"
	"slices"
	"strings"

	"criticrm/critic"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/splitmix"
	"criticrm/trainer"
)

// variant is a model of a cell. Without changes it is the recipe's.
type variant struct {
	name    string                        // of its rows
	group   string                        // of an ablation; "": it stands in the main table
	method  string                        // of trainer; "": critic; judge: nothing is trained
	share   float64                       // of the cell's pairs, 0: all; above 1: more of them, of bt only
	change  func(*pipeline.Config)        // of the recipe; may be nil
	refined func([]*record.Record)        // changes what is trained on; may be nil
	flipped float64                       // share of the pairs whose labels are turned round
	rewrite func(*pipeline.Config) string // makes critiques of its own, by the model of another variant ("": the base); nil: those of the cell
	scored  bool                          // also read by the scores in its critiques, as those of the main table are
	curve   bool                          // also measured at temperature 1, and for several m
	samples int                           // critiques of an evaluation response; 0: those of averaged
	tuned   bool                          // its settings are looked for on the validation split
}

// judge is the method of the base model, by the scores of its critiques.
const judge = "judge"

// Names of variants that others are compared with.
const (
	scalarRM  = "scalar RM"
	llmJudge  = "LLM judge (base)"
	cloud     = "CLoud-style"
	ours      = "Critic-RM, margin (ours)"
	sft       = "SFT on the same critiques"
	published = "Critic-RM as published: mean, rank"
	merged    = "Critic-RM as published: mean, summary"
	defaults  = "Critic-RM, product defaults"
	tenth     = "ours, 10 % of the pairs"
	placebo   = "placebo: critiques shuffled"
	secondly  = "ours, second round"
	moreData  = ", 100 times the pairs"
)

// Names of ablations that are treated in their own way.
const (
	data  = "data"
	noise = "a fifth of the labels turned round"
	again = "second round on summaries' model" // which writes better critiques than the base, wrong ones among them
)

// Names in the group again.
const (
	anyLinear   = "any two, λ linear, 6 epochs"
	anyConstant = "any two, λ constant, 6 epochs"
	againSFT    = "margin, SFT"
)

// publishedAs is the method as far as its sources tell it: pairs whose mean scores agree with the label; the meta-judge's best two, or a
// summary; critiques first, then gradually rewards.
func publishedAs(mode string) func(*pipeline.Config) {
	return func(c *pipeline.Config) {
		c.Filter.Rule, c.Refine.Mode, c.Refine.TopK = critic.FilterMean, mode, 2
		lambda("linear")(c)
	}
}

// asDefault is what criticrm run does by itself, but for what belongs to the size of the model (batch, learning rate and epochs), and for the
// critiques, which are those of all rows: the recipe samples them at temperature 1.
func asDefault(c *pipeline.Config) {
	d := pipeline.Default()
	c.Filter, c.Refine.Mode, c.Refine.TopK, c.Refine.MetaSamples = d.Filter, d.Refine.Mode, d.Refine.TopK, d.Refine.MetaSamples
	c.Train.LambdaSchedule, c.Train.LambdaBeta, c.Train.LambdaHold, c.Train.LMWeight = d.Train.LambdaSchedule, d.Train.LambdaBeta, d.Train.LambdaHold, d.Train.LMWeight
	c.Train.Pairing = d.Train.Pairing
}

// usualSampling samples critiques as criticrm run does by itself.
func usualSampling(c *pipeline.Config) string {
	d := pipeline.Default()
	c.Generate.Temperature, c.Generate.TopP = d.Generate.Temperature, d.Generate.TopP
	return ""
}

// anyTwo trains a second round on two critiques of each response, whatever they say, twice as long: so that the head meets wrong ones, often enough.
func anyTwo(schedule string) func(*pipeline.Config) {
	return func(c *pipeline.Config) {
		c.Filter.Rule, c.Refine.Mode, c.Refine.TopK = critic.FilterNone, critic.RefineRandomAll, 2
		c.Train.Epochs *= 2
		lambda(schedule)(c)
	}
}

// ofSummaries lets the model that was trained on summaries write the critiques.
func ofSummaries(*pipeline.Config) string { return merged }

func lambda(schedule string) func(*pipeline.Config) {
	return func(c *pipeline.Config) { c.Train.LambdaSchedule, c.Train.LambdaHold = schedule, 1./3 }
}

func keep(k int, pairing string) func(*pipeline.Config) {
	return func(c *pipeline.Config) { c.Refine.TopK, c.Train.Pairing = k, pairing }
}

func selection(rule, mode string) func(*pipeline.Config) {
	return func(c *pipeline.Config) { c.Filter.Rule, c.Refine.Mode = rule, mode }
}

// mainVariants are those of every demo.
func mainVariants() []*variant {
	return []*variant{
		{name: scalarRM, method: trainer.BT, tuned: true},
		{name: llmJudge, method: judge, curve: true},
		{name: cloud, method: trainer.Cloud, tuned: true, curve: true},
		{name: published, change: publishedAs(critic.RefineRank)},
		{name: defaults, change: asDefault},
		{name: sft, method: trainer.SFT, curve: true},
		{name: ours, curve: true},
		{name: tenth, share: .1},
	}
}

// controls are what a sceptic asks for beside the main ones.
func controls() []*variant {
	return []*variant{
		{name: secondly, rewrite: func(*pipeline.Config) string { return ours }},
		{name: merged, change: publishedAs(critic.RefineSummarize)},
		{name: placebo, refined: shuffleEqual},
		{name: llmJudge + ", asked more often", method: judge, samples: 40},
	}
}

// ablations change one thing about ours; the first ones, what has no other place.
func ablations() []*variant {
	list := []*variant{
		{name: "with their own sampling", group: "product defaults", change: asDefault, rewrite: usualSampling},
		{name: anyLinear, group: again, change: anyTwo("linear"), rewrite: ofSummaries, scored: true},
		{name: anyConstant, group: again, change: anyTwo("constant"), rewrite: ofSummaries, scored: true},
		{name: againSFT, group: again, method: trainer.SFT, rewrite: ofSummaries},
	}
	for _, a := range []struct {
		group, name string
		change      func(*pipeline.Config)
	}{
		{"λ", "linear: 1 for a third, then falling", lambda("linear")},
		{"λ", "last-epoch", lambda("last-epoch")},
		{"K", "2", keep(2, "zip")},
		{"K", "4", keep(4, "zip")},
		{"pairing (K = 2)", "cross", keep(2, "cross")},
		{"pairing (K = 2)", "mean", keep(2, "mean")},
		{"selection", "no filter, one at random", selection(critic.FilterNone, critic.RefineRandomAll)},
		{"selection", "filter mean, one at random", selection(critic.FilterMean, critic.RefineRandomAll)},
		{"selection", "filter mean+each, one at random", selection(critic.FilterMeanEach, critic.RefineRandomAll)},
		{"selection", "a consistent pair at random", selection(critic.FilterNone, critic.RefineRandom)},
		{"selection", "filter mean, margin", selection(critic.FilterMean, critic.RefineMargin)},
		{"selection", "filter mean+each, meta-judge", selection(critic.FilterMeanEach, critic.RefineRank)},
		{"selection", "filter mean+each, summary", selection(critic.FilterMeanEach, critic.RefineSummarize)},
	} {
		list = append(list, &variant{name: a.name, group: a.group, change: a.change})
	}
	for _, t := range []float64{.7, .3} {
		list = append(list, &variant{name: fmt.Sprint(t), group: "temperature of the critiques to train on",
			rewrite: func(c *pipeline.Config) string { c.Generate.Temperature = t; return "" }})
	}
	for _, s := range []float64{.25, .5} {
		list = append(list, &variant{name: fmt.Sprintf("%g %% of the pairs", 100*s), group: data, share: s},
			&variant{name: fmt.Sprintf("%g %% of the pairs, scalar RM", 100*s), group: data, method: trainer.BT, share: s})
	}
	list = append(list, &variant{name: "10 % of the pairs, scalar RM", group: data, method: trainer.BT, share: .1})
	return append(list,
		&variant{name: "ours", group: noise, flipped: .2},
		&variant{name: "λ linear", group: noise, flipped: .2, change: lambda("linear")},
		&variant{name: "filter mean, margin", group: noise, flipped: .2, change: selection(critic.FilterMean, critic.RefineMargin)},
		&variant{name: "scalar RM", group: noise, flipped: .2, method: trainer.BT})
}

// tunedVariants are those whose settings are looked for on the validation split: rivals once more, and the scalar model with more pairs, which
// sees each of them less often.
func tunedVariants() []*variant {
	list := []*variant{
		{name: scalarRM + ", 10 times the pairs", method: trainer.BT, tuned: true, share: 10, change: epochs(10)},
		{name: scalarRM + moreData, method: trainer.BT, tuned: true, share: 100, change: epochs(1)},
	}
	for _, v := range mainVariants() {
		if v.tuned {
			list = append(list, v)
		}
	}
	return list
}

// allVariants are all of them, in the order of the tables.
func allVariants() (list []*variant) {
	for _, v := range slices.Concat(mainVariants(), tunedVariants(), controls(), ablations()) {
		if !slices.ContainsFunc(list, func(x *variant) bool { return x.slug() == v.slug() }) {
			list = append(list, v)
		}
	}
	return list
}

// named is a variant of the main table or the controls.
func named(name string) *variant {
	list := slices.Concat(mainVariants(), controls())
	return list[slices.IndexFunc(list, func(v *variant) bool { return v.name == name })]
}

func epochs(n float64) func(*pipeline.Config) {
	return func(c *pipeline.Config) { c.BT.Epochs = n }
}

// slug is the name as a file has it.
func (v *variant) slug() string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(v.group + " " + v.name)) {
		switch {
		case r == 'λ':
			b.WriteString("lambda")
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '+':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.TrimRight(b.String(), "-")
}

// trains is the trainer's method.
func (v *variant) trains() string {
	if v.method == "" {
		return trainer.Critic
	}
	return v.method
}

// rewards says whether the model reads rewards behind its critiques.
func (v *variant) rewards() bool { return v.trains() == trainer.Critic || v.trains() == trainer.Cloud }

// reading is what the model is judged by.
func (v *variant) reading() string {
	if v.rewards() || v.method == trainer.BT {
		return readReward
	}
	return readScore
}

// pairsOf is how many of n pairs it is trained on.
func (v *variant) pairsOf(n int) int {
	switch {
	case v.method == judge:
		return 0
	case v.share > 0:
		return int(v.share*float64(n) + .5)
	}
	return n
}

// shuffleEqual gives each kept critique the place of another one with the same score, whatever that was written about.
func shuffleEqual(rs []*record.Record) {
	places := map[float64][]*record.Critique{}
	for _, r := range rs {
		if r.Dropped != "" {
			continue
		}
		for _, side := range r.Sides() {
			list := *r.SideCritiques(side)
			for i := range list {
				if c := &list[i]; c.IsKept() && c.Score != nil {
					places[*c.Score] = append(places[*c.Score], c)
				}
			}
		}
	}
	for score, list := range places {
		was := make([]record.Critique, len(list))
		for i, c := range list {
			was[i] = *c
		}
		for i, p := range splitmix.Permutation(uint64(1000*score), len(list)) {
			list[i].Text, list[i].Tokens, list[i].LogProb = was[p].Text, was[p].Tokens, was[p].LogProb
		}
	}
}

// turnRound swaps the responses of a share of the pairs, with all that belongs to them.
func turnRound(rs []*record.Record, share float64) {
	for _, r := range rs {
		if splitmix.Below(critic.KeyOf("label", r.ID, record.Chosen, 0), 1000) < int(1000*share) {
			r.Chosen, r.Rejected = r.Rejected, r.Chosen
			r.ChosenCritiques, r.RejectedCritiques = r.RejectedCritiques, r.ChosenCritiques
		}
	}
}
