package modeldir

// A model for other programs.

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"criticrm/model"
	"criticrm/tokenizer"
)

// Forms of a model directory. A Classifier is …ForSequenceClassification with one label, whose score.weight is the reward head; it has
// no LM head. Causal is …ForCausalLM, with a reward head in a file beside it. PEFT is an adapter alone, of a classifier if there is a reward head.
const (
	Classifier = "sequence-classification"
	Causal     = "causal-lm"
	PEFT       = "peft"
)

// ErrNoHead says that a classifier was asked for of a model without a reward head.
var ErrNoHead = errors.New("the model has no reward head: train one, or use the format " + Causal)

// Export writes a model that was opened from a directory as another one in the given form, with the tokenizer's files and what the model
// was trained with, reads it back and wants the same values, bit for bit, from padded rows, too. All its files name one pad token, with
// which no text ends. The new directory is whole or not there. changes are made to what the model was trained with, for a model that was changed
// since it was opened. The notes are what a person should know of it.
func Export(m *model.Model, from, to, form string, changes ...func(*Facts)) (notes []string, err error) {
	if form == Classifier && !m.HasHead() {
		return nil, fmt.Errorf("modeldir: %s: %w", from, ErrNoHead)
	}
	if form == PEFT && !m.HasAdapter() {
		return nil, fmt.Errorf("modeldir: %s is no adapter: train one with lora_r", from)
	}
	facts, trained, err := ReadFacts(from)
	if err != nil {
		return nil, err
	}
	for _, change := range changes {
		change(&facts)
	}
	if m.HasAdapter() && form != PEFT {
		if err := m.Merge(); err != nil {
			return nil, err
		}
		notes = append(notes, "the adapter is merged into the weights")
		if facts.Quantised != "" {
			notes = append(notes, "the adapter was trained over weights of 4 bits, and is merged into those that they were made of: rewards differ a little from those of "+from)
		}
		facts.Quantised = ""
	}
	base, err := BaseOf(from)
	if err != nil {
		return nil, err
	}
	texts := TextsOf(from, base)
	asClassifier := form == Classifier || form == PEFT && m.HasHead()
	var d *Dir // nil: there is no tokenizer, and ids alone say nothing of padding
	if exists(filepath.Join(texts, tokenizer.File)) || exists(filepath.Join(texts, tokenizer.ModelFile)) {
		if d, err = Open(from, Given{}); err != nil {
			return nil, err
		}
	}
	was := m.PadTokenID
	defer func() { m.PadTokenID = was }()
	padded := false
	if d != nil {
		var id int32
		if id, padded, err = d.pad(); err != nil {
			return nil, err
		}
		if !padded && form == Classifier {
			return nil, fmt.Errorf("modeldir: %s: every special token of %s can end a text, so that none can pad: add one that is called <|pad|>", from, tokenizer.File)
		}
		if padded {
			m.PadTokenID = &id
		}
	}
	if facts.Warning = ""; asClassifier {
		facts.Warning = facts.classifierWarning()
	}
	if facts.Warning != "" {
		notes = append(notes, "warning: "+facts.Warning)
	}
	if form == Classifier && m.HasLM() {
		notes = append(notes, "the LM head is left out: a classifier writes no critiques")
	}
	other, err := otherFiles(from)
	if err != nil {
		return nil, err
	}
	if len(other) > 0 {
		notes = append(notes, fmt.Sprintf("not copied: %s", strings.Join(other, ", ")))
	}
	return notes, Publish(to, func(dir string) error {
		save := m.SaveCausalLM
		switch form {
		case Classifier:
			save = m.SaveSequenceClassification
		case PEFT:
			save = func(dir string) error { return m.SaveAdapter(dir, m.HasHead()) }
		}
		if err := save(dir); err != nil {
			return err
		}
		if err := errors.Join(Copy(texts, dir, ""), copyCard(from, dir, form, facts)); err != nil {
			return err
		}
		if padded && form != PEFT { // the base's config.json names its pad token
			if err := writePad(dir, *m.PadTokenID, d.Tok.Token(*m.PadTokenID)); err != nil {
				return err
			}
		}
		if trained {
			if err := facts.Write(dir); err != nil {
				return err
			}
		}
		if err := Same(m, dir, probe(m, form != Classifier && m.HasLM())); err != nil || !padded || form != Classifier {
			return err
		}
		return d.checkPadding(m, dir)
	})
}

// classifierWarning says where a classifier's reward is another one than the model was trained for: every program reads it at the end of
// the response.
func (f *Facts) classifierWarning() string {
	switch {
	case f.Method == Critic || f.Method == Cloud:
		return "the reward head was trained behind critiques (method " + f.Method + "); a classifier reads it at the end of the response, where its rewards are others: export a model of method " + BT + ", or use the format " + Causal
	case f.rewards() && f.HeadPosition != "end":
		return "the reward head was trained at the position " + f.HeadPosition + "; a classifier reads it at the last token, where its rewards are others"
	}
	return ""
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
