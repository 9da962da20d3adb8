package convert

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/internal/golden"
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
