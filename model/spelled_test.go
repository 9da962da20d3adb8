package model

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"criticrm/internal/golden"
)

// goldenConfigs gives the config.json of every golden model.
func goldenConfigs(t testing.TB) map[string][]byte {
	set, all := golden.Repository(t), map[string][]byte{}
	for _, name := range append(slices.Clone(set.Causal), set.Reward...) {
		b, err := os.ReadFile(set.Dir(name) + "/" + ConfigFile)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	return all
}

// A Config that did not come from a file is spelled such that it is read again as what it was, in every family; and every family has a golden
// model.
func TestConfigIsSpelled(t *testing.T) {
	seen := map[string]bool{}
	for name, b := range goldenConfigs(t) {
		c, err := parseConfig(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		seen[c.ModelType] = true
		c.raw, c.keys = nil, nil
		m := &Model{Config: c}
		text, err := m.configFile(c.classifier, m.opt.DType)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseConfig(text)
		if err != nil {
			t.Errorf("%s: %v in %s", name, err, text)
			continue
		}
		again.raw, again.keys = nil, nil
		if again.classifier {
			again.PadTokenID = c.PadTokenID // an exported classifier has one
		}
		if !reflect.DeepEqual(again, c) {
			t.Errorf("%s: %+v became %+v", name, c, again)
		}
	}
	for _, m := range families {
		if !seen[m.name] {
			t.Errorf("no golden model of %s", m.name)
		}
	}
}

// quiet are keys of golden models that nothing here reads; modeldir says why.
var quiet = []string{"attention_dropout", "dtype", "initializer_range", "label2id", "pretraining_tp", "problem_type", "transformers_version", "use_cache", "max_window_layers",
	"embd_pdrop", "resid_pdrop", "num_labels", "id2label", "no_rope_layer_interval", "_sliding_window_pattern"}

// Every key that is read, in every family, is refused by its name where its value is of another kind.
func TestBrokenKeys(t *testing.T) {
	for name, b := range goldenConfigs(t) {
		good, err := parseObject(b)
		if err != nil {
			t.Fatal(err)
		}
		for key := range good {
			for _, bad := range []any{map[string]any{"a": []any{1}}, "x", -7.5, []any{map[string]any{}}} {
				m := map[string]any{}
				for k, v := range good {
					m[k] = v
				}
				m[key] = bad
				text, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				_, err = parseConfig(text)
				switch {
				case err != nil && (!strings.Contains(err.Error(), key) || len(err.Error()) > 2000):
					t.Errorf("%s: %s %v: error %v", name, key, bad, err)
				case err == nil && !slices.Contains(quiet, key) && !ofAnother(good, key):
					t.Errorf("%s: %s %v is accepted", name, key, bad)
				}
			}
		}
	}
}

// ofAnother says whether transformers does not read a key for the model's family.
func ofAnother(m map[string]any, key string) bool {
	unread := map[string][]string{
		"attn_logit_softcapping": {"gemma3_text"}, "original_max_position_embeddings": {"phi3"},
	}
	return slices.Contains(unread[key], fmt.Sprint(m["model_type"]))
}
