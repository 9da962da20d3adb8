package critic

// Records that are longer than a model can read: what is refused, left out or shortened, and how many. Where text is taken away
// is the Limits' to say.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"criticrm/record"
	"criticrm/tokenizer"
)

// DropOverlong is why a record over the limit is left out; it has no critiques and no rewards.
const DropOverlong = "over the model's context"

// Question is what a model is asked about each side of a record, and how long it may be.
type Question struct {
	Messages func(*record.Record, record.Side) []tokenizer.Message
	Write    int  // tokens that the model writes behind the messages; 0: none, a reward is read at their end
	Ask      *Ask // what may be put behind those; nil: nothing

	lacks    func(*record.Record) error // what a record lacks that Messages wants; nil: nothing
	Longest  int                        // tokens of messages and what is written; 0: the model's context
	Overlong string                     // record.OverlongError, OverlongDrop, TruncateLeft or TruncateRight
}

// Limits knows how many tokens a question has, and what must go where it has too many.
type Limits interface {
	// Fit says how the record's whole text must be cut so that the question fits for each of its sides; nil: not at all. fault
	// says what does not fit, in one line; "": everything does.
	Fit(r *record.Record, q Question) (cut *record.Cut, fault string, err error)
	// Over is by how many tokens a request with write tokens behind it, and the score that it asks for, is over the limit (0: the model's
	// context); 0 or less: it fits.
	Over(r Request, write, limit int) (int, error)
}

// Reading says how records are made to fit.
type Reading struct {
	Limits    Limits // nil: everything fits
	MaxLength int    // tokens of a whole sequence; 0: the model's context
	Overlong  string // what is done with a record over it: one of record.OverlongPolicies; "": error
}

func (o *Reading) validate() error {
	if o.Overlong == "" {
		o.Overlong = record.OverlongError
	}
	if policies := record.OverlongPolicies(); !slices.Contains(policies, o.Overlong) {
		return fmt.Errorf("critic: overlong: got %.40q, want one of %s", o.Overlong, strings.Join(policies, ", "))
	}
	if o.MaxLength < 0 {
		return fmt.Errorf("critic: max_length: got %d, want 0 or more", o.MaxLength)
	}
	return nil
}

// check is work's judgement of one row, for readers that may leave bad ones out.
func (o Reading) check(q Question, plain bool) func(*record.Record) error {
	return func(r *record.Record) error {
		_, _, err := o.fit(r, q, plain)
		return err
	}
}

// fit says how a record must be cut for a question, and whether it is over the limit all the same. What the policy does not allow is an
// error.
func (o *Reading) fit(r *record.Record, q Question, plain bool) (cut *record.Cut, over bool, err error) {
	if len(r.Sides()) == 0 {
		return nil, false, r.Fault("it is a document and has no response")
	}
	if q.lacks != nil {
		if err := q.lacks(r); err != nil {
			return nil, false, err
		}
	}
	if o.Limits == nil {
		return nil, false, nil
	}
	q.Longest, q.Overlong = o.MaxLength, o.Overlong
	cut, fault, err := o.Limits.Fit(r, q)
	switch {
	case err != nil:
		return nil, false, r.Fault("%v", err)
	case fault != "" && o.Overlong == record.OverlongError:
		hint := "use overlong drop, truncate-left or truncate-right"
		if !plain {
			hint += ", or a smaller max_tokens"
		}
		return nil, false, r.Fault("%s (%s)", fault, hint)
	}
	return cut, fault != "", nil
}

// work lets f have the records that fit, each with its cut set; plain is for rewards without critiques. Records that do not fit are an
// error, or dropped with what an earlier model wrote about them.
func (o *Reading) work(records []*record.Record, q Question, plain bool, f func([]*record.Record) error) error {
	var fit, over []*record.Record
	for _, r := range records {
		cut, long, err := o.fit(r, q, plain)
		switch {
		case err != nil:
			return err
		case long:
			over = append(over, r)
			continue
		case o.Limits == nil: // the record's cut is somebody else's
		case plain:
			r.PlainCut = cut
		default:
			r.Cut, r.PlainCut = cut, nil
		}
		if o.Limits != nil && r.Dropped == DropOverlong { // of an earlier model
			r.Dropped = ""
		}
		fit = append(fit, r)
	}
	if len(fit) > 0 {
		if err := f(fit); err != nil {
			return err
		}
	}
	for _, r := range over {
		leaveOut(r)
	}
	return nil
}

// leaveOut drops a record that the model cannot read, with what an earlier model has written.
func leaveOut(r *record.Record) {
	for _, side := range r.Sides() {
		*r.SideCritiques(side), *r.SideReward(side) = givenCritiques(*r.SideCritiques(side)), nil
	}
	r.Critic, r.Cut, r.PlainCut, r.Dropped = nil, nil, nil, DropOverlong
}

// OverContext is the error of a Generator that alone knows its context, and finds some requests over it.
type OverContext struct {
	Why map[int]string // what is over what, in one line, by the index of the request
}

// Error names the first of them.
func (e *OverContext) Error() string {
	first := slices.Min(slices.Collect(maps.Keys(e.Why)))
	return fmt.Sprintf("request %d of %d that are over the context: %s", first, len(e.Why), e.Why[first])
}

// of is why one of n requests is over the context; "": none is.
func (e *OverContext) of(first, n int) string {
	if e == nil {
		return ""
	}
	for i := range n {
		if why, ok := e.Why[first+i]; ok {
			return cmp.Or(why, DropOverlong)
		}
	}
	return ""
}

// overContext tells a Generator's error about some requests from one about all of them.
func overContext(err error) (*OverContext, error) {
	var over *OverContext
	if errors.As(err, &over) && len(over.Why) > 0 {
		return over, nil
	}
	return nil, err
}

// answer asks g what fits; of are the records that the requests are about. With the policy drop a question that does not fit is answered by
// samples that say so: they have the finish reason unasked.
func (o *Reading) answer(ctx context.Context, g Generator, reqs []Request, of []*record.Record, s record.Sampling) ([][]Sample, error) {
	out := make([][]Sample, len(reqs))
	var fit []Request
	var place []int
	for i, r := range reqs {
		over := 0
		if o.Limits != nil && o.Overlong == record.OverlongDrop {
			var err error
			if over, err = o.Limits.Over(r, s.MaxTokens, o.MaxLength); err != nil {
				return nil, err
			}
		}
		if over <= 0 {
			fit, place = append(fit, r), append(place, i)
			continue
		}
		out[i] = unaskedSamples(r.N)
	}
	if len(fit) == 0 {
		return out, nil
	}
	answers, err := Samples(ctx, g, fit, s)
	over, err := overContext(err)
	if err != nil {
		return nil, err
	}
	for k, i := range place {
		out[i] = answers[k]
		if why := over.of(k, 1); why != "" && o.Overlong != record.OverlongDrop {
			return nil, of[i].Fault("%s (use overlong drop, or a smaller max_tokens)", why)
		} else if why != "" {
			out[i] = unaskedSamples(reqs[i].N)
		}
	}
	return out, nil
}

func unaskedSamples(n int) []Sample { return slices.Repeat([]Sample{{FinishReason: unasked}}, n) }

// unasked is the finish reason of the answer to a question that was over the limit; no record has it.
const unasked = "unasked"

// ReadStats counts the records that a model has not read whole. It is a function of the finished records only.
type ReadStats struct {
	Overlong  int `json:"overlong,omitempty"`  // left out
	Shortened int `json:"shortened,omitempty"` // read in part
	Unread    int `json:"unread,omitempty"`    // characters that were not read of those
}

// observe adds a record with the cut that holds for what was done with it.
func (s *ReadStats) observe(r *record.Record, cut *record.Cut) {
	switch {
	case r.Dropped == DropOverlong:
		s.Overlong++
	case cut != nil:
		s.Shortened++
		s.Unread += cut.Characters()
	}
}

// Add adds the counts of other records.
func (s *ReadStats) Add(o ReadStats) {
	s.Overlong, s.Shortened, s.Unread = s.Overlong+o.Overlong, s.Shortened+o.Shortened, s.Unread+o.Unread
}

// Lines says it for people; none if all records were read whole.
func (s ReadStats) Lines() (lines []string) {
	if s.Overlong > 0 {
		lines = append(lines, fmt.Sprintf("%d records dropped: %s", s.Overlong, DropOverlong))
	}
	if s.Shortened > 0 {
		lines = append(lines, fmt.Sprintf("%d records shortened: %d characters are not read", s.Shortened, s.Unread))
	}
	return lines
}

// Fits says what of a record does not fit a critic that is asked as o says, in one line, and whether it fits because it is shortened; "":
// it fits. Neither the record is changed nor the critic asked.
func (o GenerateOptions) Fits(r *record.Record) (fault string, shortened bool, err error) {
	if err := o.Validate(); err != nil || o.Limits == nil {
		return "", false, err
	}
	q := o.question()
	q.Longest, q.Overlong = o.MaxLength, o.Overlong
	cut, fault, err := o.Limits.Fit(r, q)
	return fault, cut != nil, err
}
