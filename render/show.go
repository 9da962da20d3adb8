package render

import (
	"criticrm/record"
	"criticrm/tokenizer"
)

// Shown is what a critic reads of one side of a record, and what it has written: as it is sampled, and as it is trained on.
type Shown struct {
	Messages []tokenizer.Message
	Prompt   []int32 // without a loss
	Critique Branch  // nothing if there is no critique
}

// Show spells the question about one side of a record, with a critique of it behind, or without if z is nil. The record is taken as it
// is cut.
func (d *Renderer) Show(r *record.Record, side record.Side, z *record.Critique) (s Shown, err error) {
	if err := d.Prompts.Lacks(r); err != nil {
		return s, err
	}
	s.Messages = d.Prompts.Ask(r.AsRead(), side, d.Scale)
	if s.Prompt, err = d.Encode(s.Messages, true); err == nil && z != nil {
		s.Critique = d.critique(*z)
	}
	return s, err
}

// LossOf is the loss weight of predicting token i of the critique.
func (s *Shown) LossOf(i int) float32 { return s.Critique.weight(i) }
