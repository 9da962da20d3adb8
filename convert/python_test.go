package convert

import (
	"encoding/json"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/internal/golden"
	"criticrm/model"
	"criticrm/modeldir"
)

// theirNames asks ggml's Python package what it calls transformers' tensors.
const theirNames = `
import json, sys
from gguf import MODEL_ARCH_NAMES, get_tensor_name_map
archs = {v: k for k, v in MODEL_ARCH_NAMES.items()}
out = {}
for a, names in json.load(sys.stdin).items():
    known = get_tensor_name_map(archs[a], 2)
    out[a] = {n: known.get_name(n) for n in names}
json.dump(out, sys.stdout)
`

// Every tensor of every family has the name that ggml's Python package, and with it llama.cpp's converter, gives it.
func TestNamesAgainstPython(t *testing.T) {
	python := golden.Python(t, "numpy", "gguf")
	ask, want := map[string][]string{}, map[string]map[string]string{}
	for _, f := range families {
		want[f.arch] = map[string]string{}
		for _, x := range f.tensors(&shape{vocab: 8, hidden: 4, layers: 2, heads: 2, keyHeads: 1, head: 2, inner: 8}) {
			if x.bias || f.modelType == "gemma2" && x.hf == lmHead { // which is the embedding
				continue
			}
			hf := strings.TrimSuffix(x.hf, ".weight")
			ask[f.arch] = append(ask[f.arch], hf)
			want[f.arch][hf] = strings.TrimSuffix(x.gguf, ".weight")
		}
	}
	in, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", theirNames)
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]map[string]string
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// theirCloud saves a small model as CLoud's code does, with transformers, and prints its rewards.
const theirCloud = `
import json, sys, torch
from transformers import LlamaConfig, LlamaForCausalLM, PretrainedConfig, PreTrainedModel
class CLoudRewardModel(PreTrainedModel):
    config_class = PretrainedConfig
    def __init__(self, config, base):
        super().__init__(config)
        n = base.config.hidden_size
        self.reward_base_model, self.reward_head = base, torch.nn.Module()
        self.reward_head.dense, self.reward_head.out_proj = torch.nn.Linear(n, n), torch.nn.Linear(n, 1)
torch.manual_seed(5)
dir, base, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
c = LlamaConfig(vocab_size=512, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False, initializer_range=0.3, bos_token_id=0, eos_token_id=3)
m = LlamaForCausalLM(c).eval()
r = CLoudRewardModel(PretrainedConfig(feedback_method="teacher", base_model_name_or_path="a/base"), m).eval()
m.save_pretrained(base)
r.save_pretrained(dir)
with torch.no_grad():
    x = m(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0, -1]
    print(r.reward_head.out_proj(torch.tanh(r.reward_head.dense(x))).item())
`

// A model that transformers has saved in CLoud's form gives the reward that PyTorch computes.
func TestCloudAgainstPython(t *testing.T) {
	python := golden.Python(t, "torch", "transformers")
	dir, base, to := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "to")
	out, err := exec.Command(python, "-c", theirCloud, dir, base, "[1,2,3,400,7]").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := modeldir.Copy(golden.Repository(t).Dir("tokenizer_llama3"), dir, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(t.Context(), dir, to, Options{BaseConfig: filepath.Join(base, model.ConfigFile)}); err != nil {
		t.Fatal(err)
	}
	m, err := openCPU(t, to)
	if err != nil {
		t.Fatal(err)
	}
	var b model.Batch
	b.Open([]int32{1, 2, 3, 400, 7})
	b.Close()
	b.Leaf = []int32{4}
	_, got, err := m.Evaluate(&b)
	if err != nil || math.Abs(float64(got[0])-want) > 1e-5*max(1, math.Abs(want)) {
		t.Errorf("reward %v, %v; PyTorch has %v", got, err, want)
	}
}
