package critic

// Refine: from the filtered critiques to the few that are trained on.
//
//	rank        a meta-judge scores each kept critique MetaSamples times; the TopK best means stay
//	summarize   one critique per response, merged from the kept ones by the model
//	margin      pairs (z⁺, z⁻) with s⁺ > s⁻, largest s⁺ - s⁻ first, ties by the sum of log-likelihoods per token;
//	            greedily TopK pairs without using a critique twice; rank k of both sides belongs together
//	random      TopK consistent pairs at random (ablation of margin)
//	random-all  TopK pairs at random, consistent or not (ablation of the filter)
//	none        what the filter kept

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"criticrm/record"
	"criticrm/splitmix"

	"gonum.org/v1/gonum/stat"
)

// Refine modes.
const (
	RefineRank      = "rank"
	RefineSummarize = "summarize"
	RefineMargin    = "margin"
	RefineRandom    = "random"
	RefineRandomAll = "random-all"
	RefineNone      = "none"
)

// DropSpare is why a kept critique is left out of a summary of the first SummaryOf.
const DropSpare = "not needed for the summary"

// RefineOptions are the settings of Refine.
type RefineOptions struct {
	Mode         string          `json:"mode"`
	TopK         int             `json:"top_k"`        // critiques kept per response (rank, margin, random, random-all)
	MetaSamples  int             `json:"meta_samples"` // meta-judge scores averaged per critique (rank)
	SummaryOf    int             `json:"summary_of"`   // summarize merges at most the first this many kept critiques; 0: all
	Sampling     record.Sampling `json:"sampling"`     // of the meta-judge or the summary; Seed also seeds random
	Scale        Scale           `json:"scale"`
	AskScore     string          `json:"ask_score,omitempty"` // meta-judgements and summaries that end without a score: AskOff, AskSample or AskExpect
	MinSurvivors float64         `json:"-"`
	Chunk        int             `json:"-"`
	Model        string          `json:"model"`
	Prompts      *Prompts        `json:"-"`
	Reading      `json:"-"`      // Overlong: error, or drop (questions over the limit count as not answered)
}

// DefaultRefineOptions is rank with K = 4 and three meta-judge scores.
func DefaultRefineOptions() RefineOptions {
	return RefineOptions{Mode: RefineRank, TopK: 4, MetaSamples: 3, Sampling: record.DefaultSampling(), Scale: DefaultScale(),
		MinSurvivors: 0.1, Chunk: 64}
}

// Chooses reports whether the mode keeps at most TopK critiques of a response.
func (o *RefineOptions) Chooses() bool { return o.Mode != RefineNone && o.Mode != RefineSummarize }

// Idle says that the mode had nothing to choose from, once all records are counted; "": it had.
func (o *RefineOptions) Idle(s *DropStats) string {
	if !o.Chooses() || s.KeptCritiques == 0 || s.CritiqueReasons[DropRank] > 0 {
		return ""
	}
	return fmt.Sprintf("keep %d left nothing out: no response had more critiques to choose from, so %s decided nothing", o.TopK, o.Mode)
}

// NeedsGenerator reports whether the mode asks the model.
func (o *RefineOptions) NeedsGenerator() bool {
	return o.Mode == RefineRank || o.Mode == RefineSummarize
}

// Validate checks the settings and fills what has a default.
func (o *RefineOptions) Validate() error {
	modes := []string{RefineRank, RefineSummarize, RefineMargin, RefineRandom, RefineRandomAll, RefineNone}
	if !slices.Contains(modes, o.Mode) {
		return fmt.Errorf("critic: refine: got %.40q, want one of %s", o.Mode, strings.Join(modes, ", "))
	}
	if o.TopK < 1 && o.Chooses() {
		return fmt.Errorf("critic: keep: got %d, want ≥ 1", o.TopK)
	}
	if o.Mode == RefineRank && (o.MetaSamples < 1 || o.MetaSamples > 10000) {
		return fmt.Errorf("critic: meta_samples: got %d, want 1 to 10000", o.MetaSamples)
	}
	if o.SummaryOf < 0 {
		return fmt.Errorf("critic: summary_of: got %d, want ≥ 0", o.SummaryOf)
	}
	if !(o.MinSurvivors >= 0 && o.MinSurvivors <= 1) {
		return fmt.Errorf("critic: min_survivors: got %v, want 0 to 1", o.MinSurvivors)
	}
	if err := o.Scale.Validate(); err != nil {
		return err
	}
	if o.Prompts == nil {
		o.Prompts = DefaultPrompts()
	}
	if err := validChunk(&o.Chunk); err != nil {
		return err
	}
	if err := o.Reading.validate(); err != nil {
		return err
	}
	if o.Overlong != record.OverlongError && o.Overlong != record.OverlongDrop {
		return fmt.Errorf("critic: refine: overlong: got %.40q, want error or drop: critiques are judged by what their critic has read", o.Overlong)
	}
	if err := validAsk(&o.AskScore); err != nil || !o.NeedsGenerator() {
		return err
	}
	return validSampling(&o.Sampling)
}

// Refine selects or merges the kept critiques of the kept pairs. g may be nil for modes that do not ask the model.
// It reads Filter's decisions and adds its own, so a second run with another mode needs Filter again.
func Refine(ctx context.Context, g Generator, records []*record.Record, o RefineOptions) (*DropStats, error) {
	stats := NewDropStats()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	err := inChunks(ctx, records, o.Chunk, func(chunk []*record.Record) error {
		if err := refineChunk(ctx, g, chunk, &o); err != nil {
			return err
		}
		for _, r := range chunk {
			stats.Observe(r)
		}
		return nil
	})
	if err != nil {
		return stats, err
	}
	return stats, stats.CheckSurvivors(o.MinSurvivors)
}

// refinable says what refining refuses a record for.
func (o *RefineOptions) refinable(r *record.Record) error {
	switch {
	case !r.Paired():
		return r.Fault("it is no pair, and refining needs pairs")
	case r.Dropped == "" && len(r.ChosenCritiques) == 0 && len(r.RejectedCritiques) == 0:
		return r.Fault("it has no critiques: run generate and filter first")
	case o.Mode == RefineRank && r.Dropped == "":
		return o.Prompts.Meta.lacks(r)
	case o.Mode == RefineSummarize && r.Dropped == "":
		return o.Prompts.Summarize.lacks(r)
	}
	return nil
}

func refineChunk(ctx context.Context, g Generator, records []*record.Record, o *RefineOptions) error {
	var live []*record.Record
	for _, r := range records {
		if err := o.refinable(r); err != nil {
			return err
		}
		if r.Dropped == "" {
			dropIfEmpty(r, DropNoCritique)
		}
		if r.Dropped == "" {
			live = append(live, r)
		}
	}
	if o.NeedsGenerator() && g == nil {
		return fmt.Errorf("critic: refine %s: needs a model", o.Mode)
	}
	switch o.Mode {
	case RefineRank:
		return rankChunk(ctx, g, live, o)
	case RefineSummarize:
		return summarizeChunk(ctx, g, live, o)
	}
	for _, r := range live {
		switch o.Mode {
		case RefineNone:
			for _, side := range r.Sides() {
				list := *r.SideCritiques(side)
				choose(r, side, keptIndexes(list), "")
			}
		case RefineRandomAll:
			c := shuffled(keptIndexes(r.ChosenCritiques), KeyOf("random-all", r.ID, record.Chosen, 0)^splitmix.Mix(o.Sampling.Seed))
			j := shuffled(keptIndexes(r.RejectedCritiques), KeyOf("random-all", r.ID, record.Rejected, 0)^splitmix.Mix(o.Sampling.Seed))
			n := min(o.TopK, len(c), len(j))
			choose(r, record.Chosen, c[:n], DropRank)
			choose(r, record.Rejected, j[:n], DropRank)
		default:
			choosePairs(r, o)
		}
	}
	return nil
}

func keptIndexes(list []record.Critique) []int {
	var out []int
	for i := range list {
		if list[i].IsKept() {
			out = append(out, i)
		}
	}
	return out
}

func shuffled(x []int, key uint64) []int {
	out := make([]int, len(x))
	for i, p := range splitmix.Permutation(key, len(x)) {
		out[i] = x[p]
	}
	return out
}

// choose keeps the critiques of one side at the given indexes, in that rank order; the other kept ones are dropped.
func choose(r *record.Record, s record.Side, indexes []int, reason string) {
	list := *r.SideCritiques(s)
	for i := range list {
		if list[i].IsKept() && !slices.Contains(indexes, i) {
			list[i].Decide(reason)
		}
	}
	for k, i := range indexes {
		list[i].Decide("")
		list[i].Rank = k + 1
	}
}

// candidate is a consistent pair of critiques: chosen index i, rejected index j, s⁺ > s⁻.
type candidate struct {
	i, j    int
	margin  float64 // s⁺ - s⁻ > 0
	logprob float64 // sum of the two log-likelihoods per token
}

// consistentPairs lists all pairs (z⁺, z⁻) of kept, parsed critiques with s⁺ > s⁻.
func consistentPairs(r *record.Record) []candidate {
	var out []candidate
	for _, i := range keptIndexes(r.ChosenCritiques) {
		for _, j := range keptIndexes(r.RejectedCritiques) {
			c, d := &r.ChosenCritiques[i], &r.RejectedCritiques[j]
			if c.Score != nil && d.Score != nil && *c.Score > *d.Score {
				out = append(out, candidate{i, j, *c.Score - *d.Score, c.MeanLogProb() + d.MeanLogProb()})
			}
		}
	}
	return out
}

// choosePairs is margin and random: an order of the consistent pairs, then greedily TopK without reuse.
func choosePairs(r *record.Record, o *RefineOptions) {
	pairs := consistentPairs(r)
	if len(pairs) == 0 {
		drop(r, DropNoPair)
		return
	}
	if o.Mode == RefineMargin {
		slices.SortStableFunc(pairs, func(a, b candidate) int { // ties left over stay in (i, j) order
			return cmp.Or(cmp.Compare(b.margin, a.margin), cmp.Compare(b.logprob, a.logprob))
		})
	} else {
		order := splitmix.Permutation(KeyOf("random", r.ID, record.Chosen, 0)^splitmix.Mix(o.Sampling.Seed), len(pairs))
		mixed := make([]candidate, len(pairs))
		for k, p := range order {
			mixed[k] = pairs[p]
		}
		pairs = mixed
	}
	var chosen, rejected []int
	for _, p := range pairs {
		if len(chosen) < o.TopK && !slices.Contains(chosen, p.i) && !slices.Contains(rejected, p.j) {
			chosen, rejected = append(chosen, p.i), append(rejected, p.j)
		}
	}
	choose(r, record.Chosen, chosen, DropRank)
	choose(r, record.Rejected, rejected, DropRank)
}

// rankChunk scores every kept critique with the meta-judge and keeps the best of each side.
func rankChunk(ctx context.Context, g Generator, records []*record.Record, o *RefineOptions) error {
	var reqs []Request
	var places []*record.Critique
	var of []*record.Record
	ask := o.Prompts.Meta.ask(o.AskScore, o.Scale)
	for _, r := range records {
		short := r.AsRead() // a critique is judged by what its critic has read
		for _, side := range r.Sides() {
			list := *r.SideCritiques(side)
			for _, i := range keptIndexes(list) {
				reqs = append(reqs, Request{
					Messages: o.Prompts.Meta.Messages(Values{Prompt: short.Prompt, Response: short.Text(side), Critique: list[i].Text, Scale: o.Scale, Row: r}),
					N:        o.MetaSamples,
					Key:      KeyOf("meta", r.ID, side, i),
					Ask:      ask,
				})
				places, of = append(places, &list[i]), append(of, r)
			}
		}
	}
	if len(reqs) == 0 {
		return nil
	}
	out, err := o.answer(ctx, g, reqs, of, o.Sampling)
	if err != nil {
		return fmt.Errorf("critic: refine from record %.40q: %w", records[0].ID, err)
	}
	for k, samples := range out {
		c := places[k]
		c.Meta, c.MetaAsked = nil, 0
		if len(samples) > 0 && samples[0].FinishReason == unasked {
			c.Decide(DropUnasked)
			continue
		}
		for _, s := range samples {
			if score, how := s.score(o.Scale, o.Prompts.Meta); score != nil {
				c.Meta = append(c.Meta, *score)
				if how != record.VerdictWritten {
					c.MetaAsked++
				}
			}
		}
		if len(c.Meta) == 0 {
			c.Decide(DropNoMeta)
		}
	}
	for _, r := range records {
		for _, side := range r.Sides() {
			choose(r, side, bestByMeta(*r.SideCritiques(side), o.TopK), DropRank)
		}
		dropIfEmpty(r, DropNoMeta)
	}
	return nil
}

// bestByMeta orders kept critiques by mean meta score, then by log-likelihood per token, then by index.
func bestByMeta(list []record.Critique, k int) []int {
	order := keptIndexes(list)
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := &list[a], &list[b]
		return cmp.Or(cmp.Compare(stat.Mean(y.Meta, nil), stat.Mean(x.Meta, nil)), cmp.Compare(y.MeanLogProb(), x.MeanLogProb()))
	})
	return order[:min(k, len(order))]
}

// summarizeChunk merges the kept critiques of each side, or the first SummaryOf of them, into one. A side with one critique
// to merge keeps it as it is. The two summaries must agree with the label by the filter's own rule, s⁺ > s⁻, or the pair is dropped.
func summarizeChunk(ctx context.Context, g Generator, records []*record.Record, o *RefineOptions) error {
	var reqs []Request
	var of []*record.Record
	ask := o.Prompts.Summarize.ask(o.AskScore, o.Scale)
	for _, r := range records {
		short := r.AsRead()
		for _, side := range r.Sides() {
			spare(*r.SideCritiques(side), o.SummaryOf)
			if texts := keptTexts(*r.SideCritiques(side)); len(texts) > 1 {
				reqs = append(reqs, Request{
					Messages: o.Prompts.Summarize.Messages(Values{Prompt: short.Prompt, Response: short.Text(side), Critiques: texts, Scale: o.Scale, Row: r}),
					N:        1,
					Key:      KeyOf("summary", r.ID, side, 0),
					Ask:      ask,
				})
				of = append(of, r)
			}
		}
	}
	var out [][]Sample
	if len(reqs) > 0 {
		var err error
		if out, err = o.answer(ctx, g, reqs, of, o.Sampling); err != nil {
			return fmt.Errorf("critic: refine from record %.40q: %w", records[0].ID, err)
		}
	}
	k := 0
	for _, r := range records {
		reason := ""
		for _, side := range r.Sides() {
			list := r.SideCritiques(side)
			kept := keptIndexes(*list)
			if len(kept) > 1 {
				merged := critiquesOf(out[k], o.Scale, o.Prompts.Summarize)[0]
				merged.Origin = record.OriginSummary
				k++
				*list = append(*list, merged)
				kept = []int{len(*list) - 1}
			}
			choose(r, side, kept, DropMerged)
			c := &(*list)[kept[0]]
			switch {
			case c.FinishReason == unasked:
				*list = slices.Delete(*list, kept[0], kept[0]+1)
				reason = DropUnasked
			case reason == "" && (c.Score == nil || c.FinishReason == record.FinishLength):
				reason = DropSummary
			}
		}
		switch {
		case reason != "":
			drop(r, reason)
		case !(*r.Kept(record.Chosen)[0].Score > *r.Kept(record.Rejected)[0].Score):
			drop(r, DropDisagree)
		}
	}
	return nil
}

// spare drops the kept critiques after the first n; 0 keeps all.
func spare(list []record.Critique, n int) {
	kept := keptIndexes(list)
	if n == 0 || n >= len(kept) {
		return
	}
	for _, i := range kept[n:] {
		list[i].Decide(DropSpare)
	}
}

func keptTexts(list []record.Critique) []string {
	var out []string
	for _, i := range keptIndexes(list) {
		out = append(out, list[i].Text)
	}
	return out
}
