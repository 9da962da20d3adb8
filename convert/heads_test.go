package convert

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/checkpoint"
	"criticrm/internal/golden"
	"criticrm/kernels"
	"criticrm/model"
)

// rewardModel copies the golden classifier with its head elsewhere: tensors are renamed by rename, which gives "" for those to leave out,
// and config.json is changed as a list of old and new texts says.
func rewardModel(t *testing.T, rename func(name string) string, extra []checkpoint.TensorData, texts ...string) string {
	t.Helper()
	from, dir := golden.Repository(t).Dir("llama_reward"), t.TempDir()
	d, err := checkpoint.OpenModelDir(from)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	tensors := slices.Clone(extra)
	for _, info := range d.Tensors() {
		raw, err := d.ReadRaw(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Name = rename(info.Name); info.Name != "" {
			tensors = append(tensors, checkpoint.TensorData{TensorInfo: info, Data: raw})
		}
	}
	if err := checkpoint.WriteModelDir(dir, tensors, 0); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(from, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(texts...).Replace(string(b))
	write(t, filepath.Join(dir, "config.json"), text)
	return dir
}

// rewards are what a directory gives for some ids, at the last of each.
func rewards(t *testing.T, dir string) []float32 {
	t.Helper()
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m, err := model.Load(dev, dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var b model.Batch
	for _, ids := range [][]int32{{1, 2, 3}, {7, 5}} {
		b.Open(ids)
		b.Close()
	}
	b.Leaf = []int32{2, 4}
	_, r, err := m.Evaluate(&b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func plain(name string) string { return name }

func renameTo(head string) func(string) string {
	return func(name string) string {
		if name == scoreName {
			return head
		}
		return name
	}
}

func number(name string, shape []int64, values ...float32) checkpoint.TensorData {
	return checkpoint.TensorData{TensorInfo: checkpoint.TensorInfo{Name: name, DType: F32, Shape: shape}, Data: checkpoint.F32Bytes(values)}
}

// A head that another trainer put elsewhere gives the rewards that it gave there.
func TestHeads(t *testing.T) {
	want := rewards(t, golden.Repository(t).Dir("llama_reward"))
	asBase := []string{"LlamaForSequenceClassification", "LlamaForCausalLM"}
	bias := number(summaryName+".bias", []int64{1}, 0.25)
	factory := func(t *testing.T) string {
		dir := rewardModel(t, renameTo(""), nil, asBase...)
		d, err := checkpoint.OpenModelDir(golden.Repository(t).Dir("llama_reward"))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		w, err := d.ReadF32(scoreName)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkpoint.WriteSafetensors(filepath.Join(dir, valueFile), []checkpoint.TensorData{number(summaryName+".weight", []int64{1, int64(len(w))}, w...), bias}, nil); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, c := range map[string]struct {
		dir  func(t *testing.T) string
		o    Options
		note string
	}{
		"OpenRLHF": {func(t *testing.T) string {
			return rewardModel(t, renameTo("value_head.weight"), nil, asBase[0], asBase[1], `"model_type"`, `"value_head_prefix": "value_head", "mean": 0.5, "std": 2.0, "model_type"`)
		}, Options{}, "mean 0.5 and std 2.0 of config.json are left out: rewards are not normalised"},
		"OpenRLHF score": {func(t *testing.T) string { return rewardModel(t, plain, nil, asBase...) }, Options{}, ""},
		"LLaMA-Factory":  {factory, Options{DropBias: true}, "the head's bias of 0.25 is left out: every reward is lower by it"},
		"TRL": {func(t *testing.T) string {
			return rewardModel(t, func(name string) string {
				if name == scoreName {
					return summaryName + ".weight"
				}
				return trlBase + name
			}, nil, asBase...)
		}, Options{}, ""},
		"a bias of nothing": {func(t *testing.T) string {
			return rewardModel(t, plain, []checkpoint.TensorData{number("score.bias", []int64{1}, 0)}, asBase...)
		}, Options{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "to")
			rep, err := Convert(t.Context(), c.dir(t), to, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, rewards(t, to)); d != "" {
				t.Errorf("other rewards: %s", d)
			}
			if all := strings.Join(rep.Notes, "; "); !strings.Contains(all, c.note) || c.note == "" && all != "" {
				t.Errorf("notes %q, want %q", all, c.note)
			}
		})
	}
	if _, err := Convert(t.Context(), factory(t), filepath.Join(t.TempDir(), "to"), Options{}); err == nil || !strings.Contains(err.Error(), "the head adds 0.25 to every reward (v_head.summary.bias)") {
		t.Errorf("got %v", err)
	}
}

// A head beside an LM head goes to its own file, so that the model still writes critiques.
func TestHeadBesideLM(t *testing.T) {
	dir := directory(t, "llama/5")
	h := number(summaryName+".weight", []int64{1, 32}, slices.Repeat([]float32{0.5}, 32)...)
	if err := checkpoint.WriteSafetensors(filepath.Join(dir, valueFile), []checkpoint.TensorData{h}, nil); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "to")
	if _, err := Convert(t.Context(), dir, to, Options{}); err != nil {
		t.Fatal(err)
	}
	sameWeights(t, dir, to)
	f, err := checkpoint.OpenSafetensors(filepath.Join(to, model.HeadFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if x, err := f.ReadF32(scoreName); err != nil || len(x) != 32 || x[31] != 0.5 {
		t.Errorf("%v, %v", x, err)
	}
	if _, err := os.Stat(filepath.Join(to, "tokenizer.json")); err != nil {
		t.Error(err)
	}
}

// What cannot become a reward head is refused by name.
func TestBadHeads(t *testing.T) {
	base := []string{"LlamaForSequenceClassification", "LlamaForCausalLM"}
	pickle := rewardModel(t, renameTo(""), nil, base...)
	write(t, filepath.Join(pickle, "value_head.bin"), "PK")
	short := directory(t, "llama/5")
	h := number(summaryName+".weight", []int64{1, 16}, make([]float32, 16)...)
	if err := checkpoint.WriteSafetensors(filepath.Join(short, valueFile), []checkpoint.TensorData{h}, nil); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct {
		dir string
		o   Options
	}{
		"it opens as it is":                        {rewardModel(t, plain, nil), Options{}},
		"a model directory opens as it is":         {rewardModel(t, renameTo(""), nil, base...), Options{}},
		"this is a PyTorch pickle file":            {pickle, Options{}},
		"several reward heads, score, v_head.summ": {rewardModel(t, plain, []checkpoint.TensorData{number(summaryName+".weight", []int64{1, 1}, 1)}, base...), Options{}},
		"drop_head is for models whose head has":   {rewardModel(t, plain, nil, base...), Options{DropHead: true}},
		"weights of a directory keep their types":  {rewardModel(t, plain, nil, base...), Options{DType: F32}},
		`"score.bias" has 2 elements, a reward`:    {rewardModel(t, plain, []checkpoint.TensorData{number("score.bias", []int64{2}, 1, 2)}, base...), Options{}},
		`got "BertPooler", want …ForCausalLM or`:   {rewardModel(t, plain, nil, base[0], "BertPooler"), Options{}},
		"config.json: no such file":                {t.TempDir(), Options{}},
		"does not open: reward_head.safetensors":   {short, Options{}},
		"leave out drop_head":                      {golden.Repository(t).Dir("seeing_gemma3"), Options{DropHead: true}},
		"has no reward head: leave out base_confi": {toGGUF(t, directory(t, "qwen2"), GGUFF16), Options{BaseConfig: "config.json"}},
	} {
		to := filepath.Join(t.TempDir(), "to")
		if _, err := Convert(t.Context(), c.dir, to, c.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if left, _ := filepath.Glob(to + "*"); len(left) > 0 {
			t.Errorf("%s: left behind: %v", want, left)
		}
	}
}
