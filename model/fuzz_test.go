package model

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzConfig: a config that is accepted passes its own check, and sizes stay within what shapes can hold.
func FuzzConfig(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("..", "demo", "base", ConfigFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, b := range goldenConfigs(f) {
		f.Add(b)
	}
	for _, s := range []string{`{}`, `{"architectures":["LlamaForCausalLM"],"hidden_size":1e9}`, `{"architectures":["MistralForCausalLM"],"sliding_window":-1}`, `{"rope_scaling":{"type":"llama3"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig(b)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("accepted, and then %v: %s", err, b)
		}
	})
}
