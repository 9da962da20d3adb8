package spell

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func TestHub(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("here", 0o777); err != nil {
		t.Fatal(err)
	}
	missing := fmt.Errorf("stat: %w", fs.ErrNotExist)
	for _, x := range []struct{ name, kind, want string }{
		{"meta-llama/Llama-3.2-1B", Model, "'hf download meta-llama/Llama-3.2-1B --local-dir Llama-3.2-1B'"},
		{"Anthropic/hh-rlhf", Dataset, "'hf download --repo-type dataset Anthropic/hh-rlhf --local-dir hh-rlhf' first, and give the files of the split"},
		{"here/model", Model, ""}, {"./a/b", Model, ""}, {"/a/b", Model, ""}, {"../b", Model, ""}, {"a/b/c", Model, ""}, {"model", Model, ""}, {"~/model", Model, ""},
		{"data/pairs.jsonl", Dataset, ""}, {"data/pairs.jsonl.zst", Dataset, ""}, {"a/b/", Model, ""}, {"models/a.gguf", Model, ""},
	} {
		err := Hub(missing, x.name, x.kind)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), x.want) || x.want == "" && err != missing {
			t.Errorf("%s: %v, want %s", x.name, err, x.want)
		}
	}
	if other := errors.New("other"); Hub(other, "a/b", Model) != other || Hub(nil, "a/b", Model) != nil {
		t.Error("a hint for another error")
	}
}

func TestNearest(t *testing.T) {
	words := []string{"learning_rate", "train", "top_p", "stage", "model_name_or_path", "lr"}
	for name, want := range map[string]string{
		"learnig_rate": "learning_rate", "tran": "train", "top-p": "top_p", "stages": "stage", "model_name": "model_name_or_path",
		"lora_rank": "", "x": "", "deepspeed": "", "": "", "generate": "",
	} {
		if got := Nearest(name, words); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := Hint("tran", words); got != `, did you mean "train"?` {
		t.Error(got)
	}
	if got := Hint("deepspeed", words); got != "" {
		t.Error(got)
	}
}
