package convert

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/internal/golden"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
	"criticrm/tokenizer"
)

const cloudConfig = `{"architectures":["CLoudRewardModel"],"feedback_method":"teacher","base_model_name_or_path":"meta-llama/Meta-Llama-3-8B","torch_dtype":"bfloat16"}`

// cloudModel writes a model as CLoud does, and the config.json of its base elsewhere.
func cloudModel(t *testing.T, config string, rename func(string) string) (dir, base string) {
	t.Helper()
	from, dir := directory(t, "llama/5"), t.TempDir()
	d, err := checkpoint.OpenModelDir(from)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var tensors []checkpoint.TensorData
	for _, info := range d.Tensors() {
		raw, err := d.ReadRaw(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		info.Name = cloudBase + info.Name
		tensors = append(tensors, checkpoint.TensorData{TensorInfo: info, Data: raw})
	}
	for i, shape := range [][]int64{{32, 32}, {32}, {1, 32}, {1}} {
		n := int(shape[0])
		if len(shape) > 1 {
			n *= int(shape[1])
		}
		x := make([]float32, n)
		for k := range x {
			x[k] = float32((k*7919+i)%101-50) / 200
		}
		if name := rename(cloudHead + model.DeepHead[i]); name != "" {
			tensors = append(tensors, number(name, shape, x...))
		}
	}
	if err := checkpoint.WriteModelDir(dir, tensors, 0); err != nil {
		t.Fatal(err)
	}
	if err := modeldir.Copy(golden.Repository(t).Dir("tokenizer_llama3"), dir, ""); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, model.ConfigFile), config)
	write(t, filepath.Join(dir, model.GenerationFile), `{"eos_token_id": 3, "max_length": 64}`)
	return dir, filepath.Join(from, model.ConfigFile)
}

// A CLoud model opens with its own head, words and end token.
func TestCloud(t *testing.T) {
	dir, base := cloudModel(t, cloudConfig, plain)
	to := filepath.Join(t.TempDir(), "to")
	rep, err := Convert(t.Context(), dir, to, Options{BaseConfig: base})
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(rep.Notes, "; "); !strings.Contains(all, "read and not trained") || !strings.Contains(all, "<|eot_id|>") {
		t.Errorf("notes %q", all)
	}
	d, err := modeldir.Open(to, modeldir.Given{})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Notes) > 0 {
		t.Errorf("notes %q", d.Notes)
	}
	end, _ := d.Tok.ID(cloudEnd)
	if d.Facts.Method != modeldir.Cloud || d.HeadPosition != "end" || len(d.EndTokens) < 2 || d.EndTokens[0] != end || d.EndTokens[1] != 3 || d.AskScore() != critic.AskOff {
		t.Errorf("method %s, rewards at the %s, end tokens %v, scores asked for: %s", d.Facts.Method, d.HeadPosition, d.EndTokens, d.AskScore())
	}
	r, err := render.Of(d)
	if err != nil {
		t.Fatal(err)
	}
	if r.End != end {
		t.Errorf("a critique ends with %d, want %d", r.End, end)
	}
	four := "It is 4."
	row := &record.Record{Prompt: record.Prompt{Text: "What is 2+2?"}, Response: &four}
	ids, err := r.Encode(d.Prompts.Ask(row, record.Single, d.Scale), true)
	const turn = "<|start_header_id|>%s<|end_header_id|>\n\n%s"
	want := "<|begin_of_text|>" + fmt.Sprintf(turn, "user", "What is 2+2?<|eot_id|>") + fmt.Sprintf(turn, "assistant", "It is 4.<|eot_id|>") +
		fmt.Sprintf(turn, "user", "The following is a break down on the correctness and usefulness of the assistant's response to my question:")
	if got := d.Tok.Decode(ids); err != nil || got != want {
		t.Errorf("%v, asked with %q, want %q", err, got, want)
	}
	if got := rewards(t, to); len(got) != 2 || got[0] == got[1] {
		t.Errorf("rewards %v", got)
	}
	f, err := checkpoint.OpenSafetensors(filepath.Join(to, model.HeadFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := slices.Sorted(slices.Values(f.Names())); !slices.Equal(got, slices.Sorted(slices.Values(model.DeepHead[:]))) {
		t.Errorf("head of %v", got)
	}

	vanilla, base := cloudModel(t, strings.Replace(cloudConfig, "teacher", "vanilla", 1), plain)
	to = filepath.Join(t.TempDir(), "to")
	if _, err = Convert(t.Context(), vanilla, to, Options{BaseConfig: base}); err != nil {
		t.Fatal(err)
	}
	if facts, _, err := modeldir.ReadFacts(to); err != nil || facts.Method != modeldir.BT || facts.Prompts != nil {
		t.Errorf("%+v, %v", facts, err)
	}
	dir, base = cloudModel(t, cloudConfig, plain)
	to = filepath.Join(t.TempDir(), "to")
	if rep, err = Convert(t.Context(), dir, to, Options{BaseConfig: base, DropHead: true}); err != nil || !strings.Contains(strings.Join(rep.Notes, "; "), "is left out") {
		t.Fatal(rep, err)
	}
	m, err := openCPU(t, to)
	if err != nil || m.HasHead() {
		t.Errorf("without its head: %v", err)
	}
}

// A template that keeps the space behind CLoud's words, which is left out here, is told; Llama 3's does not.
func TestCloudSpace(t *testing.T) {
	for keeps, content := range map[bool]string{true: "m['content']", false: "m['content'] | trim"} {
		dir, base := cloudModel(t, cloudConfig, plain)
		write(t, filepath.Join(dir, tokenizer.TemplateFile), "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + "+content+" + '<|eot_id|>' }}{% endfor %}")
		rep, err := Convert(t.Context(), dir, filepath.Join(t.TempDir(), "to"), Options{BaseConfig: base})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(rep.Notes, "; "), "keeps the space"); got != keeps {
			t.Errorf("keeps it %v: notes %q", keeps, rep.Notes)
		}
	}
}

func openCPU(t *testing.T, dir string) (*model.Model, error) {
	t.Helper()
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	m, err := model.Load(dev, dir, model.Options{})
	if err == nil {
		t.Cleanup(m.Close)
	}
	return m, err
}

// What a CLoud model lacks is named, and nothing is left behind.
func TestBadCloud(t *testing.T) {
	good, base := cloudModel(t, cloudConfig, plain)
	other, _ := cloudModel(t, strings.Replace(cloudConfig, "teacher", "parent", 1), plain)
	replaced, _ := cloudModel(t, `{"architectures":["LlamaForCausalLM"]}`, plain)
	lacks, _ := cloudModel(t, cloudConfig, func(name string) string { return strings.ReplaceAll(name, cloudHead+"dense.bias", "") })
	b, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	classifier := filepath.Join(t.TempDir(), model.ConfigFile)
	write(t, classifier, strings.Replace(string(b), "ForCausalLM", "ForSequenceClassification", 1))
	wide := filepath.Join(t.TempDir(), model.ConfigFile)
	write(t, wide, strings.Replace(string(b), `"intermediate_size":48`, `"intermediate_size":64`, 1))
	endless, _ := cloudModel(t, cloudConfig, plain)
	for _, f := range tokenizer.Files() {
		os.Remove(filepath.Join(endless, f))
	}
	copyTokenizer(t, golden.Repository(t).Dir("tokenizer_chatml"), endless)
	cases := map[string]struct {
		dir string
		o   Options
	}{
		"model.layers.0.mlp.gate_proj.weight\": shape [48,32], config.json implies [64,32]": {good, Options{BaseConfig: wide}},
		"its tokenizer has no token <|eot_id|>":                                             {endless, Options{BaseConfig: base}},
		`config.json of its base model "meta-llama/Meta-Llama-3-8B" with base_config`:       {good, Options{}},
		`feedback_method: got "parent", want teacher or vanilla`:                            {other, Options{BaseConfig: base}},
		"which says where rewards are read (feedback_method)":                               {replaced, Options{}},
		"base_config is for models whose config.json is CLoud's":                            {replaced, Options{BaseConfig: base}},
		`want a tensor "reward_head.dense.bias"`:                                            {lacks, Options{BaseConfig: base}},
		"is that of a classifier, and CLoud's is a causal model":                            {good, Options{BaseConfig: classifier}},
		"no such file": {good, Options{BaseConfig: filepath.Join(t.TempDir(), "none.json")}},
	}
	for _, want := range slices.Sorted(maps.Keys(cases)) {
		to := filepath.Join(t.TempDir(), "to")
		if _, err := Convert(t.Context(), cases[want].dir, to, cases[want].o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if left, _ := filepath.Glob(to + "*"); len(left) > 0 {
			t.Errorf("%s: left behind: %v", want, left)
		}
	}
}
