package modeldir

// The tokens that end a text. Three files name them, and all three count.

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/model"
	"criticrm/tokenizer"
)

// End is a token that ends what the model writes, with the files that say so.
type End struct {
	ID   int32
	From []string
}

// Ends finds the end tokens of a directory as transformers does: generate() stops at those of generation_config.json, or where it names
// none at those of config.json. The tokenizer's eos_token ends a text, too: it is what chat templates write, and what users add.
func Ends(dir string, c model.Config, t *tokenizer.Tokenizer, s tokenizer.Special) ([]End, error) {
	var ends []End
	add := func(id int32, from string) {
		for i := range ends {
			if ends[i].ID == id {
				ends[i].From = append(ends[i].From, from)
				return
			}
		}
		ends = append(ends, End{ID: id, From: []string{from}})
	}
	ids, err := model.GenerationEnds(dir, c.VocabSize)
	if err != nil {
		return nil, err
	}
	from := model.GenerationFile
	if ids == nil {
		ids, from = c.EOSTokenIDs, model.ConfigFile
	}
	for _, id := range ids {
		add(id, from)
	}
	if id, ok := s.ID(t, eosToken); ok {
		add(id, s.From[eosToken])
	}
	return ends, nil
}

const (
	eosToken = "eos_token"
	padToken = "pad_token"
)

func endIDs(ends []End) []int32 {
	ids := make([]int32, len(ends))
	for i, e := range ends {
		ids[i] = e.ID
	}
	return ids
}

// ends are those of the directory; of an adapter that says nothing, its base's.
func (d *Dir) ends() ([]End, error) {
	dir := d.Path
	if !exists(filepath.Join(dir, model.GenerationFile)) {
		dir = d.Base
	}
	return Ends(dir, d.Config, d.Tok, d.Special)
}

// chooseEnds takes the end tokens of the files, and wants them to be those of training.
func (d *Dir) chooseEnds() error {
	ends, err := d.ends()
	if err != nil {
		return err
	}
	d.EndTokens = endIDs(ends)
	was := d.Facts.EndTokens
	if was == nil || slices.Equal(was, d.EndTokens) {
		return nil
	}
	if !d.overridden && slices.Equal(was, d.Config.EOSTokenIDs) { // a criticrm that read config.json alone trained it, with these
		d.note("end tokens: %v, which it was trained with; its files also name %v", was, d.EndTokens)
		d.EndTokens = was
		return nil
	}
	var files []string
	for _, e := range ends {
		files = append(files, e.From...)
	}
	slices.Sort(files)
	return d.conflict("end tokens", fmt.Sprint(was), fmt.Sprint(d.EndTokens), strings.Join(slices.Compact(files), ", "))
}
