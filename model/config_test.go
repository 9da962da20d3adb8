package model_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

func baseConfig() map[string]any {
	return map[string]any{"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
		"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256, "max_position_embeddings": 512,
		"rms_norm_eps": 1e-5, "rope_theta": 500000.0, "eos_token_id": 2, "hidden_act": "silu"}
}

// family is a change of baseConfig to another architecture, with further changes.
func family(class, name string, more map[string]any) map[string]any {
	m := map[string]any{"architectures": []string{class}, "model_type": name}
	maps.Copy(m, more)
	return m
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestConfigErrors(t *testing.T) {
	type change map[string]any
	for _, c := range []struct {
		set  change
		want string
	}{
		{change{"architectures": []string{"FooForCausalLM"}}, `architectures ["FooForCausalLM"] is not supported (supported: LlamaForCausalLM`},
		{change{"architectures": nil}, "architectures [] is not supported"},
		{change{"model_type": "mistral"}, `model_type: got "mistral"`},
		{change{"hidden_size": 0}, "hidden_size: got 0, want 1.."},
		{change{"hidden_size": nil}, "hidden_size: missing"},
		{change{"hidden_size": "64"}, "hidden_size: got string"},
		{change{"hidden_size": 64.5}, "hidden_size: got 64.5"},
		{change{"hidden_size": 66}, "hidden_size 66 is not a multiple"},
		{change{"num_attention_heads": 0}, "num_attention_heads: got 0, want 1..1024"},
		{change{"num_key_value_heads": 3}, "num_key_value_heads: got 3, want a divisor"},
		{change{"num_hidden_layers": 1000000000}, "num_hidden_layers: got 1000000000, want 1..1024"},
		{change{"head_dim": 15}, "head_dim: got 15, want an even number"},
		{change{"rope_theta": "NaN"}, "rope_theta: got string"},
		{change{"rope_theta": -1}, "rope_theta: got -1"},
		{change{"rope_theta": json.Number("1e999")}, "number 1e999 is out of range"},
		{change{"rms_norm_eps": 0}, "rms_norm_eps: got 0"},
		{change{"rope_scaling": map[string]any{"rope_type": "proportional", "factor": 4}}, `rope_type: got "proportional", supported: "default", "linear"`},
		{change{"rope_scaling": map[string]any{"type": "linear"}}, "rope_scaling.factor: missing"},
		{change{"rope_scaling": map[string]any{"type": "linear", "factor": 0}}, "rope_scaling.factor: got 0"},
		{change{"rope_scaling": map[string]any{"type": "dynamic", "factor": 2, "beta_fast": 1}}, `rope_scaling.beta_fast: is not known with rope_type "dynamic"`},
		{change{"rope_scaling": map[string]any{"type": "yarn", "factor": 2, "truncate": 1}}, "rope_scaling.truncate: got number, want true or false"},
		{change{"rope_scaling": map[string]any{"type": "yarn", "factor": 2, "mscale": "x"}}, "rope_scaling.mscale: got string"},
		{change{"rope_scaling": map[string]any{"type": "yarn", "factor": 2, "beta_slow": -1}}, "rope_scaling.beta_slow: got -1"},
		{change{"rope_scaling": map[string]any{"type": "yarn", "factor": 2, "original_max_position_embeddings": 64}, "original_max_position_embeddings": 65}, "original_max_position_embeddings: got 65, but rope_scaling.original_max_position_embeddings is 64"},
		{change{"rope_scaling": map[string]any{"type": "longrope", "short_factor": []int{1, 1, 1, 1, 1, 1, 1, 1}}}, "rope_scaling.long_factor: got null, want an array"},
		{change{"rope_scaling": map[string]any{"type": "longrope", "short_factor": []int{1}, "long_factor": []any{1, "x"}}}, "rope_scaling.long_factor: number 1: got x"},
		{change{"rope_scaling": map[string]any{"type": "longrope", "short_factor": []int{1}, "long_factor": []int{1}}}, "short_factor and long_factor have 1 and 1 numbers, want one for each of 8 planes"},
		{change{"rope_scaling": map[string]any{"rope_type": "llama3"}}, "rope_scaling.factor: missing"},
		{change{"rope_scaling": 4}, "rope_scaling: got number, want object"},
		{change{"rope_parameters": map[string]any{"rope_type": "default", "rope_theta": 1e4}}, "rope_theta: got 500000, but rope_parameters.rope_theta is 10000"},
		{change{"auto_map": map[string]any{"AutoConfig": "x.Y"}}, "auto_map asks for Python code; this program never runs model code"},
		{change{"trust_remote_code": true}, "trust_remote_code asks for Python code"},
		{family("Phi3ForCausalLM", "phi3", change{"attention_bias": true}), "attention_bias: got true, but transformers has no such biases"},
		{family("Qwen3ForCausalLM", "qwen3", change{"mlp_bias": true}), "mlp_bias: got true, but transformers has no such biases"},
		{change{"hidden_act": "gelu"}, `hidden_act: got "gelu"`},
		{change{"sliding_window": 256}, "sliding_window: got 256, want null or at least max_position_embeddings (512)"},
		{change{"model_type": "mistral", "architectures": []string{"MistralForCausalLM"}, "num_key_value_heads": nil, "sliding_window": 512}, "num_key_value_heads: got 8, want a divisor"},
		{change{"layer_types": []string{"full_attention"}}, "layer_types: 1 of them for 2 layers"},
		{change{"rope_scaling": map[string]any{"factor": 4}}, "rope_scaling.factor: given without a rope_type"},
		{change{"rope_scaling": map[string]any{"rope_type": "default", "factor": 4}}, `rope_scaling.factor: is not known with rope_type "default"`},
		{change{"rope_scaling": map[string]any{"rope_type": "default", "type": "llama3"}}, `rope_scaling.type: got "llama3", but rope_type is "default"`},
		{change{"rope_scaling": map[string]any{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "attention_factor": 2}}, "rope_scaling.attention_factor: is not known"},
		{family("MistralForCausalLM", "mistral", change{"sliding_window": 8, "layer_types": []string{"sliding_attention", "full_attention"}}), "layer_types: got full_attention for layer 1: transformers does not read it"},
		{family("MistralForCausalLM", "mistral", change{"sliding_window": 0}), "sliding_window: got 0"},
		{family("MinistralForCausalLM", "ministral", change{"sliding_window": nil, "layer_types": []string{"full_attention", "windowed"}}), "layer_types: got windowed"},
		{family("Qwen3ForCausalLM", "qwen3", change{"layer_types": []string{"full_attention", "sliding_attention"}, "sliding_window": 8}), "layer_types: got sliding_attention for layer 1, but there is no window"},
		{family("SmolLM3ForCausalLM", "smollm3", change{"no_rope_layers": []int{1}}), "no_rope_layers: want an array of 2 numbers"},
		{family("SmolLM3ForCausalLM", "smollm3", change{"no_rope_layers": []int{1, 2}}), "no_rope_layers: got 2 for layer 1"},
		{family("Phi3ForCausalLM", "phi3", change{"rope_scaling": map[string]any{"type": "llama3", "factor": 2}}), `rope_type: got "llama3", supported: ["default" "longrope" "su" "yarn"]`},
		{family("Phi3ForCausalLM", "phi3", change{"auto_map": map[string]any{"AutoModelForCausalLM": "modeling_phi3.OtherForCausalLM"}}), "auto_map asks for Python code"},
		{family("Phi3ForCausalLM", "phi3", change{"partial_rotary_factor": 1.5}), "partial_rotary_factor: got 1.5, want at most 1"},
		{family("Phi3ForCausalLM", "phi3", change{"partial_rotary_factor": 0.2}), "partial_rotary_factor: got 0.2, want an even number"},
		{family("Phi3ForCausalLM", "phi3", change{"rope_scaling": map[string]any{"type": "su", "short_factor": []int{1}, "long_factor": []int{1}, "original_max_position_embeddings": 64}}),
			"original_max_position_embeddings: got 4096, but rope_scaling.original_max_position_embeddings is 64"},
		{family("Ministral3ForCausalLM", "ministral3", change{"rope_scaling": map[string]any{"type": "yarn", "factor": 2}}), "rope_scaling.llama_4_scaling_beta: missing"},
		{family("Ministral3ForCausalLM", "ministral3", change{"rope_scaling": nil, "rope_theta": nil}), "rope_parameters.llama_4_scaling_beta: missing"},
		{family("Ministral3ForCausalLM", "ministral3", change{"rope_scaling": map[string]any{"rope_type": "linear", "factor": 2, "llama_4_scaling_beta": 0.1}}), `rope_type: got "linear", supported: ["yarn"]`},
		{change{"rope_scaling": map[string]any{"type": "yarn", "factor": 2, "llama_4_scaling_beta": 0.1}}, "rope_scaling.llama_4_scaling_beta: is not known"},
		{family("Olmo3ForCausalLM", "olmo3", change{"rope_theta": 10000}), "rope_theta: got 10000, which transformers takes for some layers only"},
		{family("Olmo3ForCausalLM", "olmo3", change{"rope_theta": nil, "rope_parameters": map[string]any{"rope_type": "default"}}), "rope_parameters: want full_attention and sliding_attention in it"},
		{family("Gemma3ForCausalLM", "gemma3_text", change{"rope_theta": nil, "rope_parameters": map[string]any{"full_attention": map[string]any{"rope_type": "default"}}}), "rope_parameters: want full_attention and sliding_attention in it"},
		{family("Gemma2ForCausalLM", "gemma2", change{"sliding_window": json.RawMessage("null")}), "sliding_window: got null, but layer 0 has a window"},
		{family("GraniteForCausalLM", "granite", change{"logits_scaling": 0}), "logits_scaling: got 0"},
		{family("GraniteForCausalLM", "granite", change{"residual_multiplier": 1e-60}), "residual_multiplier: got 1e-60, want a number above 0 that float32 can hold"},
		{change{"architectures": []string{"Gemma3ForConditionalGeneration"}, "model_type": "gemma3"}, "Gemma3ForConditionalGeneration"},
		{change{"rope_interleaved": true}, "rope_interleaved: got true"},
		{change{"is_encoder_decoder": true}, "is_encoder_decoder: got true"},
		{change{"compression_config": map[string]any{"bits": 4}}, "quantised weights are not supported"},
		{change{"layer_types": []string{"sliding_attention", "full_attention"}}, "layer_types: got sliding_attention"},
		{change{"quantization_config": map[string]any{"bits": 4}}, "quantised weights are not supported"},
		{change{"partial_rotary_factor": 0.5}, "partial_rotary_factor: got 0.5"},
		{change{"eos_token_id": 256}, "eos_token_id: got 256, want token ids in 0..255"},
		{change{"eos_token_id": []any{1, "x"}}, "eos_token_id: got x"},
		{change{"tie_word_embeddings": 1}, "tie_word_embeddings: got number, want true or false"},
		{change{"architectures": []string{"LlamaForSequenceClassification"}, "id2label": map[string]string{"0": "a", "1": "b"}}, "num_labels: got 2, a reward model has 1"},
	} {
		m := baseConfig()
		maps.Copy(m, c.set)
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		wantConfigError(t, string(text), c.want)
	}
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	for text, want := range map[string]string{
		`[1]`: "got array, want object", `{"hidden_size": 1, "hidden_size": 2}`: `key "hidden_size" appears twice`, "": "cut off",
		`{"a": `: "cut off", `{"a": 1} x`: "after the JSON object", deep: "nested deeper than 32",
		`{"a": "` + strings.Repeat("x", 1<<20) + `"}`: "limit 1048576",
	} {
		wantConfigError(t, text, want)
	}
}

func wantConfigError(t *testing.T, text, want string) {
	t.Helper()
	_, err := model.LoadConfig(writeConfig(t, text))
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("config %.80s: error %v, want config.json and %q", text, err, want)
	}
}

// Both spellings of the rope fields say the same; optional fields have transformers' defaults.
func TestConfigSpellings(t *testing.T) {
	rope := map[string]any{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
	old := baseConfig()
	old["rope_scaling"] = rope
	fresh := baseConfig()
	delete(fresh, "rope_theta")
	fresh["rope_parameters"] = maps.Clone(rope)
	fresh["rope_parameters"].(map[string]any)["rope_theta"] = 500000.0
	want := model.Rope{Type: "llama3", Theta: 500000, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalPosition: 64}
	for _, m := range []map[string]any{old, fresh} {
		text, _ := json.Marshal(m)
		c, err := model.LoadConfig(writeConfig(t, string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.Rope, want) || c.HeadDim != 16 || !slices.Equal(c.EOSTokenIDs, []int32{2}) || c.PadTokenID != nil {
			t.Errorf("config %+v, want rope %+v, head_dim 16, eos [2], no pad", c, want)
		}
	}
	plain := baseConfig()
	maps.DeleteFunc(plain, func(k string, _ any) bool { return k == "rope_theta" || k == "num_key_value_heads" })
	plain["eos_token_id"], plain["sliding_window"], plain["pad_token_id"] = []int{7, 9}, 512, -1
	text, _ := json.Marshal(plain)
	c, err := model.LoadConfig(writeConfig(t, string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c.Rope, model.Rope{Type: "default", Theta: 10000}) || c.NumKeyValueHeads != 4 || !slices.Equal(c.EOSTokenIDs, []int32{7, 9}) {
		t.Errorf("config %+v, want the defaults", c)
	}
	if err := (model.Config{}).Validate(); err == nil {
		t.Error("an empty config is valid")
	}
}

func weights(m *model.Model) map[string][]float32 {
	out := map[string][]float32{}
	for _, p := range m.Params() {
		out[p.Name] = download(m, p.W)
	}
	return out
}

func TestSaveLoad(t *testing.T) {
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		for _, tied := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v/tied=%v", typ, tied), func(t *testing.T) {
				c := tinyConfig()
				c.TieWordEmbeddings = tied
				c.Rope = model.Rope{Type: "llama3", Theta: 5e5, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalPosition: 64}
				m := newModel(t, c, model.Options{DType: typ, Head: true}, 0)
				b := pairBatch(2, 2, true)
				lp, r, err := m.Evaluate(b)
				if err != nil {
					t.Fatal(err)
				}
				dir := filepath.Join(t.TempDir(), "causal")
				if err := m.SaveCausalLM(dir); err != nil {
					t.Fatal(err)
				}
				again := load(t, dir, model.Options{DType: typ})
				lp2, r2, err := again.Evaluate(b)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(lp, lp2) || !slices.Equal(r, r2) {
					t.Error("log-probabilities or rewards differ after save and load")
				}
				dir2 := filepath.Join(t.TempDir(), "classifier")
				if err := again.SaveSequenceClassification(dir2); err != nil {
					t.Fatal(err)
				}
				classifier := load(t, dir2, model.Options{DType: typ})
				if classifier.HasLM() != tied {
					t.Errorf("classifier has an LM head: %v", classifier.HasLM())
				}
				bare := *b
				bare.Row, bare.Target, bare.Weight = nil, nil, nil
				if _, r2, err = classifier.Evaluate(&bare); err != nil {
					t.Fatal(err)
				}
				near(t, "reward of the exported classifier", r2, r, 1e-5)
				want := weights(m)
				for name, w := range weights(classifier) {
					if !slices.Equal(w, want[name]) {
						t.Errorf("%s differs in the exported classifier", name)
					}
				}
				checkExport(t, dir2, c)
			})
		}
	}
}

// checkExport reads what transformers looks at.
func checkExport(t *testing.T, dir string, c model.Config) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var x struct {
		Architectures []string
		NumLabels     int               `json:"num_labels"`
		ID2Label      map[string]string `json:"id2label"`
		Pad           int32             `json:"pad_token_id"`
	}
	if err := json.Unmarshal(raw, &x); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.Architectures, []string{"LlamaForSequenceClassification"}) || x.NumLabels != 1 || x.ID2Label["0"] != "LABEL_0" {
		t.Errorf("config.json of the export: %s", raw)
	}
	if slices.Contains(c.EOSTokenIDs, x.Pad) {
		t.Errorf("pad_token_id %d is an end token: transformers would pool before it", x.Pad)
	}
}

// Weights on disk that do not fit the config are refused before they are used.
func TestLoadErrors(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	for want, spoil := range map[string]func(x []checkpoint.TensorData) []checkpoint.TensorData{
		`tensor "model.layers.1.mlp.up_proj.weight" is missing (config.json: 3 layers`: func(x []checkpoint.TensorData) []checkpoint.TensorData {
			return slices.DeleteFunc(x, func(d checkpoint.TensorData) bool { return d.Name == "model.layers.1.mlp.up_proj.weight" })
		},
		`shape [31], config.json implies [32]`: func(x []checkpoint.TensorData) []checkpoint.TensorData {
			for i := range x {
				if x[i].Name == "model.norm.weight" {
					x[i].Shape, x[i].Data = []int64{31}, x[i].Data[:31*4]
				}
			}
			return x
		},
		`"model.layers.2.self_attn.o_proj.weight"`: func(x []checkpoint.TensorData) []checkpoint.TensorData { // NaN weights, by name
			for i := range x {
				if x[i].Name == "model.layers.2.self_attn.o_proj.weight" {
					copy(x[i].Data[8:], []byte{0, 0, 0xc0, 0x7f})
				}
			}
			return x
		},
		`"model.layers.0.self_attn.q_proj.bias": config.json says that there is no such bias`: func(x []checkpoint.TensorData) []checkpoint.TensorData {
			info := checkpoint.TensorInfo{Name: "model.layers.0.self_attn.q_proj.bias", DType: "F32", Shape: []int64{1}}
			return append(x, checkpoint.TensorData{TensorInfo: info, Data: make([]byte, 4)})
		},
		// A config of fewer layers than the file has gave another model's rewards.
		`2 tensors have no place in the model that config.json describes (llama, 3 layers, tie_word_embeddings true): ["model.layers.3.a" "v_head.weight"]`: func(x []checkpoint.TensorData) []checkpoint.TensorData {
			for _, name := range []string{"model.layers.3.a", "v_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq", "lm_head.weight"} {
				d := x[0] // the embedding, which lm_head.weight may be again
				d.Name = name
				x = append(x, d)
			}
			return x
		},
		// transformers uses the head of the file, the program used the embedding.
		`tensor "lm_head.weight" is not "model.embed_tokens.weight", as tie_word_embeddings in config.json says`: func(x []checkpoint.TensorData) []checkpoint.TensorData {
			d := x[0]
			d.Name, d.Data = "lm_head.weight", slices.Clone(d.Data)
			d.Data[1] ^= 1
			return append(x, d)
		},
	} {
		dir := t.TempDir()
		if err := m.SaveCausalLM(dir); err != nil {
			t.Fatal(err)
		}
		var x []checkpoint.TensorData
		for _, p := range m.Params() {
			if p.Kind == model.Head {
				continue
			}
			info := checkpoint.TensorInfo{Name: p.Name, DType: "F32"}
			for _, n := range p.Shape {
				info.Shape = append(info.Shape, int64(n))
			}
			x = append(x, checkpoint.TensorData{TensorInfo: info, Data: checkpoint.F32Bytes(download(m, p.W))})
		}
		if err := checkpoint.WriteSafetensors(filepath.Join(dir, "model.safetensors"), spoil(x), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := model.Load(m.Dev, dir, model.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}

// A configuration that was read and checked is not read again, in which moment the file may be another one.
func TestLoadWithConfig(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	dir := t.TempDir()
	if err := m.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	c, err := model.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, model.ConfigFile), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	back, err := model.Load(m.Dev, dir, model.Options{Config: &c})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if back.Size() != m.Size() || back.HiddenSize != m.HiddenSize {
		t.Errorf("%d parameters, want %d", back.Size(), m.Size())
	}
	if _, err := model.Load(m.Dev, dir, model.Options{}); err == nil {
		t.Error("config.json was not read")
	}
}

// Memory followed what config.json claims: 2 GB for a directory of 180 KB. Shapes are compared before any is asked for.
func TestShapesBeforeMemory(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	dir := t.TempDir()
	if err := m.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), fmt.Sprintf(`"vocab_size": %d`, m.VocabSize), `"vocab_size": 16777216`, 1))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	// nil: a device that is asked for anything would panic
	if _, err := model.Load(nil, dir, model.Options{}); err == nil || !strings.Contains(err.Error(), "config.json implies [16777216,") {
		t.Errorf("got error %v", err)
	}
}

// Rewards of a base model with an adapter beside it were those without it.
func TestAdapterBesideWeights(t *testing.T) {
	text, _ := json.Marshal(baseConfig())
	adapter := `{"peft_type": "LORA", "base_model_name_or_path": "x", "r": 4, "lora_alpha": 6, "target_modules": ["q_proj"]}`
	for _, x := range []struct {
		files []string
		want  string
	}{
		{[]string{"adapter_model.safetensors"}, "adapter_model.safetensors: an adapter lies beside the weights"},
		{[]string{"adapter_model.bin"}, "adapter_model.bin: an adapter lies beside the weights"},
		{[]string{"adapter_config.json", "adapter_model.safetensors", "model.safetensors"}, "adapter_config.json: there are whole weights beside it"},
		{[]string{"adapter_config.json"}, "adapter_model.safetensors is not there"},
		{[]string{"adapter_config.json", "adapter_model.safetensors"}, `base_model_name_or_path is "x", which is no directory here`},
	} {
		dir := writeConfig(t, string(text))
		for _, name := range x.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(adapter), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := model.LoadConfig(dir); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v: error %v", x.files, err)
		}
	}
}

// A key that is left out has the default of transformers' class; null is another thing.
func TestAbsentKeys(t *testing.T) {
	m := baseConfig()
	m["architectures"], m["model_type"], m["num_attention_heads"] = []string{"MistralForCausalLM"}, "mistral", 16
	for _, k := range []string{"eos_token_id", "num_key_value_heads"} {
		delete(m, k)
	}
	text, _ := json.Marshal(m)
	c, err := model.LoadConfig(writeConfig(t, string(text)))
	if err != nil || c.NumKeyValueHeads != 8 || c.EOSTokenIDs != nil {
		t.Errorf("%+v, %v", c, err)
	}
	m["num_key_value_heads"] = nil
	text, _ = json.Marshal(m)
	c, err = model.LoadConfig(writeConfig(t, string(text)))
	if err != nil || c.NumKeyValueHeads != 16 {
		t.Errorf("null: %+v, %v", c, err)
	}
}

// Phi-3 and Phi-4 are published with code that transformers has had itself for long.
func TestCodeThatIsNotRun(t *testing.T) {
	m := baseConfig()
	maps.Copy(m, family("Phi3ForCausalLM", "phi3", map[string]any{"auto_map": map[string]any{"AutoConfig": "configuration_phi3.Phi3Config", "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}}))
	text, _ := json.Marshal(m)
	if _, err := model.LoadConfig(writeConfig(t, string(text))); err != nil {
		t.Error(err)
	}
}

func TestNewIsDeterministic(t *testing.T) {
	a, b := newModel(t, tinyConfig(), model.Options{}, 1), newModel(t, tinyConfig(), model.Options{}, 2)
	wb := weights(b)
	for name, w := range weights(a) {
		if !slices.Equal(w, wb[name]) {
			t.Errorf("%s differs between two models of one seed", name)
		}
	}
	other, err := model.New(devicetest.Open(t, 0), tinyConfig(), model.Options{}, 8)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if slices.Equal(weights(other)["model.embed_tokens.weight"], wb["model.embed_tokens.weight"]) {
		t.Error("two seeds give the same embedding")
	}
}

// A file for the reward head without one in it is an error: training took a new head and said nothing.
func TestHeadFileWithoutHead(t *testing.T) {
	dir := t.TempDir()
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	if err := m.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	head := filepath.Join(dir, "reward_head.safetensors")
	x := checkpoint.TensorData{TensorInfo: checkpoint.TensorInfo{Name: "head.weight", DType: "F32", Shape: []int64{1, int64(m.HiddenSize)}}, Data: make([]byte, 4*m.HiddenSize)}
	if err := checkpoint.WriteSafetensors(head, []checkpoint.TensorData{x}, nil); err != nil {
		t.Fatal(err)
	}
	for _, o := range []model.Options{{}, {Head: true}, {Train: true, Head: true}} {
		if saved, err := model.Load(m.Dev, dir, o); err == nil || !strings.Contains(err.Error(), head+`: want a tensor "score.weight"`) {
			t.Errorf("%+v: %v", o, err)
			if err == nil {
				saved.Close()
			}
		}
	}
}

// A save over another model that breaks off leaves a directory that does not load, not a mixture of both.
func TestBrokenSaveDoesNotLoad(t *testing.T) {
	dir := t.TempDir()
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	if err := m.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	head := filepath.Join(dir, "reward_head.safetensors")
	if err := os.Remove(head); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(head, "in the way"), 0o755); err != nil { // the head comes after the weights
		t.Fatal(err)
	}
	if err := m.SaveCausalLM(dir); err == nil {
		t.Fatal("the head was written over a directory")
	}
	if err := os.RemoveAll(head); err != nil {
		t.Fatal(err)
	}
	if _, err := model.Load(m.Dev, dir, model.Options{}); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("half a save loads: %v", err)
	}
}

// Ministral 3 as it is published ends where its queries begin to grow.
func TestMinistral3Ends(t *testing.T) {
	const file = `{"architectures": ["Ministral3ForCausalLM"], "model_type": "ministral3", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
		"num_attention_heads": 8, "vocab_size": 64, "max_position_embeddings": 262144, "rope_parameters": {"type": "yarn", "rope_type": "yarn", "rope_theta": 1000000.0, "factor": 16.0,
		"original_max_position_embeddings": 16384, "max_position_embeddings": 262144, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}}`
	c, err := model.LoadConfig(writeConfig(t, file))
	if err != nil {
		t.Fatal(err)
	}
	if c.MaxPositionEmbeddings != 16384 || c.HeadDim != 128 || c.Rope.AttentionFactor != 1 || c.Rope.QueryBeta != 0.1 || c.RMSNormEps != 1e-5 {
		t.Errorf("got %+v", c)
	}
}
