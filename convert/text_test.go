package convert

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/internal/golden"
	"criticrm/kernels"
	"criticrm/model"
)

// The text part of a model that sees images computes what the whole does of texts.
func TestTextPart(t *testing.T) {
	for _, name := range golden.Repository(t).Seeing {
		t.Run(name, func(t *testing.T) {
			from, to := golden.Repository(t).Dir(name), filepath.Join(t.TempDir(), "to")
			if _, err := model.LoadConfig(from); err == nil || !strings.Contains(err.Error(), "'criticrm convert' takes the text part out") {
				t.Errorf("as it is: %v", err)
			}
			rep, err := Convert(t.Context(), from, to, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0], "tensors that see images are left out") {
				t.Errorf("notes %q", rep.Notes)
			}
			m, err := model.Load(devicetest.Open(t, 0), to, model.Options{DType: kernels.F32})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			f, err := checkpoint.OpenSafetensors(filepath.Join(from, "reference.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			ids, err := f.ReadInts("input_ids")
			if err != nil {
				t.Fatal(err)
			}
			want, err := f.ReadF32("logits")
			if err != nil {
				t.Fatal(err)
			}
			var forest model.Forest
			for half := range 2 {
				var one []int32
				for _, id := range ids[half*len(ids)/2 : (half+1)*len(ids)/2] {
					one = append(one, int32(id))
				}
				forest.Open(one)
				forest.Close()
			}
			_, logits, err := m.Logits(&forest)
			if err != nil {
				t.Fatal(err)
			}
			golden.Near(t, "logits", logits, want, 6e-6) // three times the error of float32 in such models, see testdata/golden/README.md
		})
	}
}

// What is not known of such a model is refused by name.
func TestBadTextPart(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(golden.Repository(t).Dir(golden.Repository(t).Seeing[0]), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	config, weights := read("config.json"), read("model.safetensors")
	for _, x := range []struct{ want, file, from, to string }{
		{`text_config.model_type: got "mamba", supported: ["gemma3_text" "ministral3" "mistral"]`, "config.json", `"ministral3"`, `"mamba"`},
		{"text_config: missing", "config.json", `"text_config"`, `"other_config"`},
		{"quantization_config: quantised weights", "config.json", `"text_config"`, `"quantization_config": {}, "text_config"`},
		{`is neither of the text part nor of what sees images`, "model.safetensors", "vision_tower.ln_pre.weight", "second_tower.ln_pre.weight"},
		{`there is no tensor "language_model.model.embed_tokens.weight"`, "model.safetensors", "language_model.model.embed_tokens.weight", "language_model.model.embed_tokenx.weight"},
	} {
		dir, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
		files := map[string]string{"config.json": config, "model.safetensors": weights}
		files[x.file] = strings.Replace(files[x.file], x.from, x.to, 1)
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Convert(t.Context(), dir, to, Options{}); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
		if _, err := os.Stat(to); err == nil {
			t.Errorf("%s: something is left", x.want)
		}
	}
}
