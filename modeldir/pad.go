package modeldir

// One pad token for all files of an exported model. transformers reads a classifier's reward at the last token of a row that is not the
// pad token of config.json, and fills rows with that of the tokenizer: were they two, or one that ends texts, a padded row would be read
// at another place than the same text alone.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/model"
	"criticrm/safefile"
	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// maySayLast are the ids that a text can end with beside ordinary words: end tokens, and what the template writes last.
func (d *Dir) maySayLast() ([]int32, error) {
	ends, err := d.ends()
	if err != nil {
		return nil, err
	}
	last := slices.Concat(endIDs(ends), d.EndTokens, d.Config.EOSTokenIDs)
	if d.Chat == nil {
		return last, nil
	}
	for _, messages := range [][]tokenizer.Message{{{Role: "user", Content: "a"}}, {{Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}}} {
		for _, generation := range []bool{false, true} {
			ids, err := d.Chat.Encode(messages, generation)
			if err != nil {
				return nil, err
			}
			if len(ids) > 0 {
				last = append(last, ids[len(ids)-1])
			}
		}
	}
	return last, nil
}

// pad chooses the pad token: a special token that no text ends with. The tokenizer's own comes first, then the model's, one that is called
// so, the one that begins texts, and any other.
func (d *Dir) pad() (id int32, found bool, err error) {
	last, err := d.maySayLast()
	if err != nil {
		return 0, false, err
	}
	var ids []int32
	named := func(name string) {
		if id, ok := d.Special.ID(d.Tok, name); ok {
			ids = append(ids, id)
		}
	}
	named(padToken)
	if p := d.Config.PadTokenID; p != nil {
		ids = append(ids, *p)
	}
	var others []int32
	for id := range int32(d.Tok.VocabSize()) {
		switch {
		case !d.Tok.IsSpecial(id):
		case strings.Contains(strings.ToLower(d.Tok.Token(id)), "pad"):
			ids = append(ids, id)
		default:
			others = append(others, id)
		}
	}
	named("bos_token")
	named("unk_token")
	for _, id := range append(ids, others...) {
		if d.Tok.IsSpecial(id) && !slices.Contains(last, id) {
			return id, true, nil
		}
	}
	return 0, false, nil
}

// writePad makes a token the pad token of the files beside config.json.
func writePad(dir string, id int32, text string) error {
	for _, f := range []struct {
		name, key string
		value     any
		must      bool
	}{
		{tokenizer.ConfigFile, padToken, text, true},
		{tokenizer.SpecialFile, padToken, text, false},
		{model.GenerationFile, "pad_token_id", id, false},
	} {
		path := filepath.Join(dir, f.name)
		m := map[string]any{}
		b, err := safefile.Read(path, maxSmall)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if !f.must {
				continue
			}
		case err != nil:
			return fmt.Errorf("modeldir: %w", err)
		default:
			if err := strictjson.Read(b, func(r *strictjson.Reader) (err error) { m, err = r.Map(); return err }); err != nil {
				return fmt.Errorf("modeldir: %s: %w", path, err)
			}
		}
		m[f.key] = f.value
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false) // tokens are full of < and >
		e.SetIndent("", "  ")
		if err := e.Encode(m); err != nil {
			return fmt.Errorf("modeldir: %s: %w", path, err)
		}
		if err := checkpoint.WriteFileAtomic(path, out.Bytes()); err != nil {
			return fmt.Errorf("modeldir: %w", err)
		}
	}
	return nil
}

// checkPadding reads the pad tokens of a written classifier and scores texts in padded rows as transformers does, on the model that it
// was written from: each must have the reward that it has alone.
func (d *Dir) checkPadding(m *model.Model, dir string) error {
	c, err := model.LoadConfig(dir)
	if err != nil {
		return err
	}
	s, err := tokenizer.LoadSpecial(dir, d.Tok)
	if err != nil {
		return err
	}
	filler, ok := s.ID(d.Tok, padToken)
	if !ok || c.PadTokenID == nil || *c.PadTokenID != filler {
		return fmt.Errorf("modeldir: %s: the pad tokens of %s and %s are not the same", dir, model.ConfigFile, s.From[padToken])
	}
	texts, err := d.paddingTexts(m.MaxPositionEmbeddings)
	if err != nil {
		return err
	}
	longest := 0
	for _, ids := range texts {
		longest = max(longest, len(ids)+1) // at least one pad in each row
	}
	for _, ids := range texts {
		pads := slices.Repeat([]int32{filler}, longest-len(ids))
		right := append(slices.Clone(ids), pads...)
		left := append(slices.Clone(pads), ids...)
		at, atLeft := lastThatIsNot(right, *c.PadTokenID), lastThatIsNot(left, *c.PadTokenID)-len(pads)
		if at < 0 || atLeft < 0 {
			return fmt.Errorf("modeldir: %s: a text of %v has no token but the pad token", dir, ids)
		}
		b := &model.Batch{}
		b.Open(ids) // padding on the left is masked: what remains is the text at other positions, which RoPE does not see
		b.Close()
		b.Open(right)
		b.Close()
		n := int32(len(ids))
		b.Leaf = []int32{n - 1, int32(atLeft), n + int32(at)}
		_, reward, err := m.Evaluate(b)
		if err != nil {
			return err
		}
		for i, side := range []string{"left", "right"} {
			if alone, r := float64(reward[0]), float64(reward[i+1]); !(math.Abs(alone-r) <= 1e-4*(1+math.Abs(alone))) {
				return fmt.Errorf("modeldir: %s: a text padded on the %s with %d has the reward %v, alone %v", dir, side, filler, r, alone)
			}
		}
	}
	return nil
}

// lastThatIsNot is where transformers reads a row's reward.
func lastThatIsNot(ids []int32, pad int32) int {
	for i := len(ids) - 1; i >= 0; i-- {
		if ids[i] != pad {
			return i
		}
	}
	return -1
}

// paddingTexts are texts of several lengths with each of the ways to end.
func (d *Dir) paddingTexts(longest int) ([][]int32, error) {
	var texts [][]int32
	if d.Chat != nil {
		for _, answer := range []string{"b", "a longer answer, of several words"} {
			ids, err := d.Chat.Encode([]tokenizer.Message{{Role: "user", Content: "a"}, {Role: "assistant", Content: answer}}, false)
			if err != nil {
				return nil, err
			}
			texts = append(texts, ids)
		}
	}
	words := d.Tok.Encode("a few words")
	texts = append(texts, words)
	for _, end := range d.EndTokens {
		texts = append(texts, append(slices.Clone(words), end))
	}
	return slices.DeleteFunc(texts, func(ids []int32) bool { return len(ids) == 0 || len(ids) >= longest }), nil
}
