package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"criticrm/kernels"
	"criticrm/splitmix"
)

// RewardAt says where the reward of a sample is read.
type RewardAt int

// NoReward reads none. AtContent reads at the last token before the stop token, AtEnd at the stop token. A sample that was
// cut at MaxTokens has no stop token: both read at its last token.
const (
	NoReward RewardAt = iota
	AtContent
	AtEnd
)

// ParseRewardAt reads the name of a place: end or content.
func ParseRewardAt(name string) (RewardAt, error) {
	switch name {
	case "end":
		return AtEnd, nil
	case "content":
		return AtContent, nil
	}
	return NoReward, fmt.Errorf("model: head position: got %.40q, want end or content", name)
}

// Index is where the reward of a sample is read: an index in ids, which end with one of the stop tokens or with none. It
// is -1, the token before the sample, for AtContent and a sample that is a stop token only.
func (at RewardAt) Index(ids, stop []int32) int {
	n := len(ids) - 1
	if at == AtContent && n >= 0 && slices.Contains(stop, ids[n]) {
		n--
	}
	return n
}

// GenRequest asks for N samples that continue Prefix. Sample i draws its numbers from the stream SampleKey(Key, i).
type GenRequest struct {
	Prefix []int32
	N      int
	Key    uint64
}

// GenOptions hold for all requests of a call.
type GenOptions struct {
	Temperature  float32 // 0: greedy
	TopP         float32 // nucleus; 0 and 1: off
	TopK         int     // 0: off
	MaxTokens    int     // per sample, with the stop token
	Seed         uint64
	Stop         []int32 // a sample ends with the first of these
	Reward       RewardAt
	Endings      *Endings // what a sample that lacks something gets behind it; nil: nothing
	MaxSequences int      // decoded at once; 0: 256
	KeepTokens   int      // of prefixes that no request needs any more, which stay in the cache for later ones

	Progress func(tokens, ended int) // called between forward passes with the tokens drawn and the samples ended so far; nil: not
}

// GenSample is one sampled continuation.
type GenSample struct {
	IDs     []int32 // with the stop token, if one came
	LogProb float64 // sum over IDs of the natural log-probabilities at temperature 1, among all tokens
	Stopped bool    // by a stop token, not by MaxTokens
	Reward  float32 // as GenOptions.Reward says

	// Of a sample that went on along a path of GenOptions.Endings; Stopped says how it had ended itself.
	Added   int       // tokens at the end of IDs that the path has; in place of the stop token if there was one. 0: it got none
	Path    int       // which of the paths
	Chance  float64   // the path's probability among the paths, at temperature 1
	Chances []float64 // with Endings.All: that of every path
}

// SampleKey is the key of the random stream of sample i of a request: mix(mix(key) + i·0x9e3779b97f4a7c15), where mix is the finaliser
// of SplitMix64. Samples of one request never share a stream.
func SampleKey(key uint64, i int) uint64 {
	return splitmix.Mix(splitmix.Mix(key) + uint64(i)*splitmix.Golden)
}

const (
	defaultSequences = 256
	prefillTokens    = 8192 // of new prefixes in one forward pass
)

// Generate samples continuations and calls done, on this goroutine, with all samples of a request as soon as the last of them ends;
// requests end in any order. Tokens, log-probabilities and rewards depend on the weights, Seed, Key, sample index and prefix only: on the
// CPU, and a device that is fixed (kernels.Device.Fix), to the bit; on another GPU the last bits of a sequence's logits may differ with its company. Leading tokens that requests have in common
// are computed once while one of them runs, and a request's prefix is kept once for all its samples. Finished
// sequences leave the batch at once and waiting requests take their place.
func (m *Model) Generate(ctx context.Context, reqs []GenRequest, o GenOptions, done func(req int, samples []GenSample)) (err error) {
	defer kernels.Recover(&err)
	d, total, longest := &Decoder{}, 0, 0
	if err = m.checkShared(&o); err == nil {
		d = newDecoder(m, o)
		for i, r := range reqs {
			if err = m.checkRequest(r, &o); err != nil {
				err = fmt.Errorf("request %d: %w", i, err)
				break
			}
			total, longest = total+r.N, max(longest, len(r.Prefix)+o.room())
		}
	}
	if err == nil {
		err = checkSlots(min(o.MaxSequences, total), longest)
	}
	if err != nil {
		return fmt.Errorf("model: generate: %w", err)
	}
	d.seats = min(o.MaxSequences, total)
	d.free = d.seats
	for i, r := range reqs {
		q := d.request(r, o)
		q.done = func(samples []GenSample) { done(i, samples) }
		if o.Endings != nil {
			q.lacks = func(ids []int32, stopped bool) bool { return o.Endings.Lacks(i, ids, stopped) }
		}
		d.add(q)
	}
	for !d.Idle() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("model: generate: %w", err)
		}
		if d.step(false); d.err != nil {
			return fmt.Errorf("model: generate: %w", d.err)
		}
		if o.Progress != nil {
			o.Progress(d.drawn, d.ended)
		}
	}
	return nil
}

// checkShared checks what holds for all requests, and fills defaults.
func (m *Model) checkShared(o *GenOptions) error {
	if o.TopP == 0 {
		o.TopP = 1
	}
	if o.MaxSequences == 0 {
		o.MaxSequences = defaultSequences
	}
	switch {
	case !m.HasLM():
		return errors.New("a sequence classifier has no LM head to sample from")
	case o.MaxSequences < 1 || o.MaxSequences > 1<<20:
		return fmt.Errorf("max sequences %d: want 1..%d", o.MaxSequences, 1<<20)
	case o.Reward < NoReward || o.Reward > AtEnd:
		return fmt.Errorf("reward position %d is not known", o.Reward)
	case o.Reward != NoReward && !m.hasReward:
		return errors.New("rewards are asked for, but the model has no reward head")
	}
	for _, id := range o.Stop {
		if id < 0 || int(id) >= m.VocabSize {
			return fmt.Errorf("stop token %d: want 0..%d", id, m.VocabSize-1)
		}
	}
	if o.Endings != nil {
		if err := o.Endings.check(m.VocabSize, o.Stop); err != nil {
			return err
		}
	}
	return m.checkDrawing(o)
}

// checkDrawing checks how tokens are drawn.
func (m *Model) checkDrawing(o *GenOptions) error {
	switch {
	case !(o.Temperature >= 0) || !finite(o.Temperature):
		return fmt.Errorf("temperature %v: want a finite number of at least 0", o.Temperature)
	case !(o.TopP > 0 && o.TopP <= 1):
		return fmt.Errorf("top_p %v: want 0 to 1", o.TopP)
	case o.TopK < 0 || o.TopK > 1<<30:
		return fmt.Errorf("top_k %d: want 0 (off) or more", o.TopK)
	case o.MaxTokens < 1 || o.MaxTokens > m.MaxPositionEmbeddings:
		return fmt.Errorf("max tokens %d: want 1..%d", o.MaxTokens, m.MaxPositionEmbeddings)
	}
	return nil
}

// checkRequest checks one request.
func (m *Model) checkRequest(r GenRequest, o *GenOptions) error {
	n, room := len(r.Prefix), o.room()
	switch {
	case r.N < 0:
		return fmt.Errorf("%d samples", r.N)
	case n == 0:
		return errors.New("the prefix is empty")
	case n+room > m.MaxPositionEmbeddings:
		return fmt.Errorf("a prefix of %d tokens and %d new ones are over max_position_embeddings (%d)", n, room, m.MaxPositionEmbeddings)
	}
	for j, id := range r.Prefix {
		if id < 0 || int(id) >= m.VocabSize {
			return fmt.Errorf("token %d: id %d, want 0..%d", j, id, m.VocabSize-1)
		}
	}
	return nil
}

// checkSlots refuses what the cache may have no room for: its slots are numbered by int32, and it grows by a quarter more than is asked for.
func checkSlots(seats, longest int) error {
	if seats > maxSlots/max(longest, 1) {
		return fmt.Errorf("%d sequences of up to %d tokens at once: want at most %d tokens in all: lower max sequences or max tokens", seats, longest, maxSlots)
	}
	return nil
}

// room is how many tokens a sample may have.
func (o *GenOptions) room() int { return o.MaxTokens + o.Endings.longest() }

// maxSlots is how many tokens the cache may hold.
const maxSlots = math.MaxInt32 / 5 * 4
