package modeldir

// A model for other programs.

import (
	"errors"
	"fmt"

	"criticrm/model"
)

// Forms of a model directory. A Classifier is …ForSequenceClassification with one label, whose score.weight is the reward head; it has
// no LM head. Causal is …ForCausalLM, with a reward head in a file beside it.
const (
	Classifier = "sequence-classification"
	Causal     = "causal-lm"
)

// ErrNoHead says that a classifier was asked for of a model without a reward head.
var ErrNoHead = errors.New("the model has no reward head: train one, or use the format " + Causal)

// Export writes a model that was opened from a directory as another one in the given form, with the tokenizer's files and what the model
// was trained with, reads it back and wants the same values, bit for bit. The new directory is whole or not there.
func Export(m *model.Model, from, to, form string) error {
	if form == Classifier && !m.HasHead() {
		return fmt.Errorf("modeldir: %s: %w", from, ErrNoHead)
	}
	facts, trained, err := ReadFacts(from)
	if err != nil {
		return err
	}
	return Publish(to, func(dir string) error {
		save := m.SaveCausalLM
		if form == Classifier {
			save = m.SaveSequenceClassification
		}
		if err := save(dir); err != nil {
			return err
		}
		if err := Copy(from, dir, ""); err != nil {
			return err
		}
		if trained {
			if err := facts.Write(dir); err != nil {
				return err
			}
		}
		return Same(m, dir, probe(m, form == Causal && m.HasLM()))
	})
}

// probe is a batch of a few tokens from all over the vocabulary, with what both forms of a model can give: log-probabilities, and the
// reward at the end.
func probe(m *model.Model, logprobs bool) *model.Batch {
	ids := make([]int32, min(32, m.VocabSize, m.MaxPositionEmbeddings))
	for i := range ids {
		ids[i] = int32(i * (m.VocabSize / len(ids)))
	}
	b := &model.Batch{}
	b.Open(ids)
	b.Close()
	for i := 1; logprobs && i < len(ids); i++ {
		b.Row, b.Target, b.Weight = append(b.Row, int32(i-1)), append(b.Target, ids[i]), append(b.Weight, 1)
	}
	if m.HasHead() {
		b.Leaf = []int32{int32(len(ids) - 1)}
	}
	return b
}
