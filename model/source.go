package model

// The tensors of a model directory, held against its config before any memory is asked for.

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
)

// source gives the tensors of a directory and those of the reward head's file beside it.
type source struct {
	main *checkpoint.ModelDir
	head *checkpoint.SafetensorsFile // or nil
}

// HeadFile holds the reward head of a causal model, beside its weights.
const HeadFile = "reward_head.safetensors"

const (
	embedName = "model.embed_tokens.weight"
	lmName    = "lm_head.weight"
	headName  = "score.weight"
)

// openSource has the files of the weights, which are base's, and looks for a reward head: in dir or, for an adapter that brings none, beside
// the weights.
func openSource(dir, base string, files *checkpoint.ModelDir) (source, error) {
	s, path := source{main: files}, filepath.Join(dir, HeadFile)
	if !exists(path) && dir != base {
		path = filepath.Join(base, HeadFile)
	}
	if !exists(path) {
		return s, nil
	}
	if files.Has(headName) && dir == base {
		return s, fmt.Errorf("model: %s: the weights beside it have a %s, too: remove one of the two reward heads", path, headName)
	}
	head, err := checkpoint.OpenSafetensors(path)
	if err != nil {
		return s, fmt.Errorf("model: %w", err)
	}
	s.head = head
	return s, nil
}

func (s source) close() {
	if s.head != nil {
		s.head.Close()
	}
}

func (s source) inHead(name string) bool {
	return name == headName && s.head != nil && s.head.Has(name)
}

func (s source) has(name string) bool { return s.main.Has(name) || s.inHead(name) }

// check wants the tensors that the config implies, in their shapes, and no others: a tensor without a place is a sign that the config is
// of another model, with more layers or a part that is not computed here.
func (s source) check(c Config, dir string) error {
	var want []checkpoint.TensorInfo
	var stored error
	plan := &Model{Config: c, hasReward: s.main.Has(headName), blocks: make([]block, c.NumHiddenLayers)}
	plan.each(func(_ *weight, kind ParamKind, cols int, parts ...part) {
		for _, p := range parts {
			shape := []int64{int64(p.rows), int64(cols)}
			switch {
			case kind == Matrix && c.quantised:
				tensors, err := s.storedNF4(p.name, p.rows, cols)
				if stored == nil {
					stored = err
				}
				want = append(want, tensors...)
				continue
			case kind == Matrix && c.blockTypes != nil:
				tensor, err := c.storedBlocks(p.name, p.rows, cols)
				if stored == nil {
					stored = err
				}
				want = append(want, tensor)
				continue
			case kind == Head:
				shape = []int64{1, int64(p.rows)}
			case cols == 0:
				shape = shape[:1]
			}
			want = append(want, checkpoint.TensorInfo{Name: p.name, Shape: shape})
		}
	})
	if stored != nil {
		return fmt.Errorf("%s: %w", dir, stored)
	}
	extra, err := s.main.Expect(want, fmt.Sprintf("%s: %d layers, tie_word_embeddings %v", ConfigFile, c.NumHiddenLayers, c.TieWordEmbeddings))
	if err != nil {
		return err
	}
	extra = slices.DeleteFunc(extra, func(name string) bool { return c.harmless(name) })
	if s.deep() {
		if err := s.checkDeep(c.HiddenSize, dir); err != nil {
			return err
		}
	} else if s.head != nil {
		info, ok := s.head.Info(headName)
		if n := int64(c.HiddenSize); !ok || !slices.Equal(info.Shape, []int64{1, n}) {
			return fmt.Errorf("%s: want a tensor %q of shape [1, %d]", filepath.Join(dir, HeadFile), headName, n)
		}
		for _, name := range s.head.Names() {
			if name != headName {
				extra = append(extra, name)
			}
		}
	}
	for _, name := range extra {
		if strings.HasSuffix(name, ".bias") {
			return fmt.Errorf("%s: tensor %q: %s says that there is no such bias", dir, name, ConfigFile)
		}
	}
	if n := len(extra); n > 0 {
		shown := fmt.Sprintf("%q", extra[:min(n, 3)])
		if n > 3 {
			shown = strings.TrimSuffix(shown, "]") + " …]"
		}
		return fmt.Errorf("%s: %d tensors have no place in the model that %s describes (%s, %d layers, tie_word_embeddings %v): %s: mend the one or the other",
			dir, n, ConfigFile, c.ModelType, c.NumHiddenLayers, c.TieWordEmbeddings, shown)
	}
	return s.checkTied(c, dir)
}

// harmless says whether a tensor that has no place changes nothing: what older programs stored though it is computed, and an LM head where
// the embedding is it (see checkTied) or where nothing reads one.
func (c *Config) harmless(name string) bool {
	return name == lmName && (c.TieWordEmbeddings || c.classifier) ||
		strings.HasSuffix(name, "rotary_emb.inv_freq") || strings.HasSuffix(name, "position_ids") || strings.HasSuffix(name, ".masked_bias")
}

// checkTied refuses an LM head beside an embedding that config.json says it is: transformers uses both if they differ. In a classifier,
// too: its embedding becomes the LM head when it is saved as a causal model.
func (s source) checkTied(c Config, dir string) error {
	if !c.TieWordEmbeddings || !s.main.Has(lmName) {
		return nil
	}
	embed, err := s.main.ReadF32(embedName)
	if err != nil {
		return err
	}
	head, err := s.main.ReadF32(lmName)
	if err != nil {
		return err
	}
	if !slices.Equal(embed, head) {
		return fmt.Errorf("%s: tensor %q is not %q, as tie_word_embeddings in %s says: set it to false, or remove the tensor if the model is tied",
			dir, lmName, embedName, ConfigFile)
	}
	return nil
}

// read fills all parameters from the files, which are those that check has passed.
func (m *Model) read(s source, dir string) error {
	byName, names := map[string]*Param{}, []string{}
	for _, p := range m.params {
		switch {
		case m.borrows(p.Kind): // it is there
		case s.inHead(p.Name):
			x, err := s.head.ReadF32(p.Name)
			if err != nil {
				return fmt.Errorf("model: %w", err)
			}
			m.set(p, 0, x)
		case p.Kind == Adapter:
			m.initialiseAdapter(p)
		case p.Kind == Head && !s.has(p.Name): // zero, as it was made
		case p.Kind == Matrix && m.blockTypes != nil:
			if err := m.readBlocks(s, p); err != nil {
				return err
			}
		case p.NF4 != nil && m.quantised:
			if err := m.readStored(s, p); err != nil {
				return err
			}
		default:
			byName[p.Name], names = p, append(names, p.Name)
		}
	}
	if s.deep() {
		if err := m.readDeep(s.head); err != nil {
			return err
		}
	}
	err := s.main.EachF32(names, func(name string, at int, x []float32) error {
		m.set(byName[name], at, x)
		return nil
	})
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if err := m.Dev.Sync(); err != nil {
		return fmt.Errorf("model: load %s: %w", dir, err)
	}
	return nil
}
