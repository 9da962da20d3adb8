package convert

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/gguf"
	"criticrm/model"
)

// edited writes the model of that name with other words in its config.json.
func edited(t *testing.T, name string, oldNew ...string) string {
	t.Helper()
	dir := directory(t, name)
	path := filepath.Join(dir, model.ConfigFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(text, oldNew[i]) {
			t.Fatalf("%s: no %s", name, oldNew[i])
		}
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	write(t, path, text)
	return dir
}

// What config.json leaves out is in the GGUF file where llama.cpp would take another number than transformers' class does, and what GGUF cannot
// hold is refused, also where no key of its own says it.
func TestExportSaysDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		dir, key string
		want     any
	}{
		"gemma3":         {edited(t, "gemma3_text", `"rope_theta":1000000.0,`, ``, `"rope_local_base_freq":5000.0,`, ``), "gemma3.rope.freq_base", float32(1e6)},
		"gemma3, local":  {edited(t, "gemma3_text", `"rope_local_base_freq":5000.0,`, ``), "gemma3.rope.freq_base_swa", float32(1e4)},
		"smollm3":        {directory(t, "smollm3"), "smollm3.rope.freq_base", float32(2e6)},
		"mistral":        {edited(t, "mistral", `"sliding_window":32,`, ``, `"max_position_embeddings":256`, `"max_position_embeddings":8192`), "llama.attention.sliding_window", uint32(4096)},
		"mistral's null": {edited(t, "mistral", `"sliding_window":32`, `"sliding_window":null`, `"max_position_embeddings":256`, `"max_position_embeddings":8192`), "llama.attention.sliding_window", nil},
		"yarn":           {directory(t, "llama/yarn"), "llama.rope.scaling.attn_factor", float32(1.25 / (1 + 0.1*math.Log(4)))}, // ggml multiplies by the rest
	} {
		f, err := gguf.Open(toGGUF(t, c.dir, GGUFF16))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Meta.Get(c.key); got != c.want {
			t.Errorf("%s: %s is %v, want %v", name, c.key, got, c.want)
		}
		f.Close()
	}
	for want, dir := range map[string]string{
		"the rope of layer 2":                    edited(t, "smollm3", `"no_rope_layers":[1,1,1,0,1,1,1],"no_rope_layer_interval":4`, `"no_rope_layer_interval":3`),
		"the window of layer 2":                  edited(t, "gemma3_text", `"sliding_window":16`, `"sliding_window":16,"sliding_window_pattern":3`),
		"rope_theta: got 500, but":               edited(t, "llama/5", `"hidden_act":"silu"`, `"rope_theta":500.0`),
		"rope_scaling: differs":                  edited(t, "llama/5", `"hidden_act":"silu"`, `"rope_scaling":{"rope_type":"linear","factor":3.0}`),
		"no windows for model_type":              edited(t, "llama/5", `"hidden_act":"silu"`, `"sliding_window":16`),
		"is not known with rope_type \"linear\"": edited(t, "llama/5", `"factor":2.0`, `"factor":2.0,"beta_fast":1`),
	} {
		path := filepath.Join(t.TempDir(), "out.gguf")
		if _, err := WriteGGUF(t.Context(), dir, path, GGUFF16); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a file was left", want)
		}
	}
}

// Settings of a GGUF file are taken as llama.cpp takes them, refused, or told.
func TestImportSaysSettings(t *testing.T) {
	qwen, gemma := toGGUF(t, directory(t, "qwen2"), GGUFF16), toGGUF(t, directory(t, "gemma3_text"), GGUFF16)
	phi := toGGUF(t, edited(t, "phi3", `"type":"longrope"`, `"type":"longrope","attention_factor":1.5`), GGUFF16)
	one := func(path, key string, v gguf.Value) string { return changed(t, path, gguf.Meta{{Key: key, Value: v}}) }
	config := func(path string) (model.Config, []string) {
		t.Helper()
		to := filepath.Join(t.TempDir(), "to")
		rep, err := Convert(t.Context(), path, to, Options{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := model.LoadConfig(to)
		if err != nil {
			t.Fatal(err)
		}
		return c, rep.Notes
	}
	for _, key := range []string{"qwen2.rope.scaling.factor", "qwen2.rope.scale_linear"} { // llama.cpp takes a factor without a type for linear
		if c, _ := config(one(qwen, key, float32(4))); c.Rope.Type != "linear" || c.Rope.Factor != 4 {
			t.Errorf("%s: %+v", key, c.Rope)
		}
	}
	if c, _ := config(one(gemma, "gemma3.final_logit_softcapping", float32(20))); c.FinalLogitSoftcap != 20 {
		t.Errorf("a cap of %v", c.FinalLogitSoftcap)
	}
	if c, _ := config(one(gemma, "gemma3.attention.sliding_window_pattern", uint32(3))); !c.Layers[1].Sliding || c.Layers[2].Sliding {
		t.Errorf("layers %+v", c.Layers)
	}
	if c, notes := config(phi); c.Rope.AttentionFactor != 1.5 || strings.Contains(strings.Join(notes, "; "), "nothing here reads") {
		t.Errorf("%+v, notes %q", c.Rope, notes)
	}
	yarn := changed(t, qwen, gguf.Meta{{Key: "qwen2.rope.scaling.type", Value: "yarn"}, {Key: "qwen2.rope.scaling.factor", Value: float32(4)}, {Key: "qwen2.rope.scaling.attn_factor", Value: float32(0.5)}})
	if c, _ := config(yarn); math.Abs(c.Rope.AttentionFactor-0.5*(1+0.1*math.Log(4))) > 1e-6 {
		t.Errorf("%+v", c.Rope)
	}
	if _, notes := config(one(qwen, "qwen2.attention.wobble", float32(4))); !strings.Contains(strings.Join(notes, "; "), `nothing here reads metadata "qwen2.attention.wobble" (4)`) {
		t.Errorf("notes %q", notes)
	}
	for want, path := range map[string]string{
		`"qwen2.rope.scaling.yarn_attn_factor" is not supported`:            one(yarn, "qwen2.rope.scaling.yarn_attn_factor", float32(1)),
		`"qwen2.rope.scaling.attn_factor": 2 is not supported with the sca`: one(qwen, "qwen2.rope.scaling.attn_factor", float32(2)),
		`"qwen2.rope.scaling.attn_factor": got -1, want`:                    one(yarn, "qwen2.rope.scaling.attn_factor", float32(-1)),
		`"gemma3.attention.sliding_window_pattern": got`:                    one(gemma, "gemma3.attention.sliding_window_pattern", []bool{true, false}),
	} {
		if _, err := Convert(t.Context(), path, filepath.Join(t.TempDir(), "to"), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
