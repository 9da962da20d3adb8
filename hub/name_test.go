package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("here", 0o777); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		text string
		kind Kind
		want string // kind repo revision path; "": a path
	}{
		{"meta-llama/Llama-3.2-1B", Model, "models meta-llama/Llama-3.2-1B main "},
		{"org/name@v1.0", Model, "models org/name v1.0 "},
		{"org/name@refs/pr/1", Model, "models org/name refs/pr/1 "},
		{"org/name@refs%2Fpr%2F1", Model, "models org/name refs/pr/1 "},
		{"org/name/q/model.GGUF", Model, "models org/name main q/model.GGUF"},
		{"org/name@dev/model.gguf", Model, "models org/name dev model.gguf"},
		{"hf://here/model", Model, "models here/model main "},
		{"hf://models/org/name", Dataset, "models org/name main "},
		{"Anthropic/hh-rlhf", Dataset, "datasets Anthropic/hh-rlhf main "},
		{"org/name/train", Dataset, "datasets org/name main train"},
		{"org/name/data/train-*.parquet", Dataset, "datasets org/name main data/train-*.parquet"},
		{"org/name@refs/convert/parquet/default/train", Dataset, "datasets org/name refs/convert/parquet default/train"},
		{"hf://datasets/org/name@v1/a.jsonl", Model, "datasets org/name v1 a.jsonl"},
		{"here/model", Model, ""}, {"./a/b", Model, ""}, {"/a/b", Model, ""}, {"../b", Model, ""}, {"a/b/c", Model, ""}, {"model", Model, ""}, {"~/model", Model, ""},
		{"data/pairs.jsonl", Dataset, ""}, {"data/pairs.jsonl.zst", Dataset, ""}, {"a/b/", Model, ""}, {"models/a.gguf", Model, ""}, {"", Model, ""}, {"-", Dataset, ""},
		{"a--b/c", Model, ""}, {"a/b@", Model, ""}, {"a/b@../../x", Model, ""}, {"a/b@x..y", Model, ""}, {"a/b/../../x.gguf", Model, ""}, {"a/b/x\n.gguf", Model, ""}, {"a/b/c//d", Dataset, ""},
		{`a/b\c`, Dataset, ""}, {"a/" + strings.Repeat("b", 96), Model, ""}, {"hf://name", Model, ""}, {"a b/c", Model, ""},
	} {
		n, ok := Parse(x.text, x.kind)
		if got := fmt.Sprintf("%s %s %s %s", n.Kind, n.Repo, n.Revision, n.Path); ok != (x.want != "") || ok && got != x.want {
			t.Errorf("%q: %q %v, want %q", x.text, got, ok, x.want)
		}
		if again, ok2 := Parse("hf://"+string(n.Kind)+"/"+n.String(), x.kind); ok && (!ok2 || again.String() != n.String()) {
			t.Errorf("%q is not %q", again, n)
		}
	}
}

func TestHint(t *testing.T) {
	t.Chdir(t.TempDir())
	missing := fmt.Errorf("stat: %w", fs.ErrNotExist)
	if err := Hint(missing, "Anthropic/hh-rlhf", Dataset); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "if it is a data set on Hugging Face's hub, 'criticrm fetch Anthropic/hh-rlhf'") {
		t.Error(err)
	}
	if err := Hint(missing, "data/pairs.jsonl", Dataset); err != missing {
		t.Error(err)
	}
	if other := errors.New("other"); Hint(other, "a/b", Model) != other || Hint(nil, "a/b", Model) != nil {
		t.Error("a hint for another error")
	}
}

func TestFromEnv(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("hf_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spaced := filepath.Join(dir, "spaced")
	if err := os.WriteFile(spaced, []byte("hf_a hf_b"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ env, cache, endpoint, token, offline, fault string }{
		{"HOME=/h", "/h/.cache/huggingface/hub", DefaultEndpoint, "", "", ""},
		{"HOME=/h XDG_CACHE_HOME=/x", "/x/huggingface/hub", DefaultEndpoint, "", "", ""},
		{"HF_HOME=" + dir, dir + "/hub", DefaultEndpoint, "hf_file", "", ""},
		{"HOME=/h HF_HOME=~/hf V=1 HF_HUB_CACHE=$HF_HOME/c$V", "~/hf/c1", DefaultEndpoint, "", "", ""},
		{"HOME=/h HF_HOME=~/hf HUGGINGFACE_HUB_CACHE=/old", "/old", DefaultEndpoint, "", "", ""},
		{"HOME=/h HF_HUB_CACHE=/new HUGGINGFACE_HUB_CACHE=/old", "/new", DefaultEndpoint, "", "", ""},
		{"HF_HOME=" + dir + " HF_TOKEN=hf_env", dir + "/hub", DefaultEndpoint, "hf_env", "", ""},
		{"HF_HOME=" + dir + " HUGGING_FACE_HUB_TOKEN=hf_old", dir + "/hub", DefaultEndpoint, "hf_old", "", ""},
		{"HF_HOME=" + dir + " HF_HUB_DISABLE_IMPLICIT_TOKEN=1", dir + "/hub", DefaultEndpoint, "", "", ""},
		{"HF_HOME=/none HF_TOKEN_PATH=" + dir + "/token", "/none/hub", DefaultEndpoint, "hf_file", "", ""},
		{"HOME=/h HF_ENDPOINT=http://mirror/hub/ HF_HUB_OFFLINE=yes", "/h/.cache/huggingface/hub", "http://mirror/hub", "", "HF_HUB_OFFLINE", ""},
		{"HOME=/h TRANSFORMERS_OFFLINE=1", "/h/.cache/huggingface/hub", DefaultEndpoint, "", "TRANSFORMERS_OFFLINE", ""},
		{"HOME=/h HF_HUB_OFFLINE=0 TRANSFORMERS_OFFLINE=1", "/h/.cache/huggingface/hub", DefaultEndpoint, "", "", ""},
		{"", "", "", "", "", "neither HF_HOME nor HOME is set"},
		{"HOME=/h HF_ENDPOINT=mirror", "", "", "", "", "HF_ENDPOINT: want a URL"},
		{"HOME=/h HF_ENDPOINT=https://u:secret@mirror", "", "", "", "", "HF_ENDPOINT: want a URL"},
		{"HOME=/h HF_TOKEN_PATH=" + spaced, "", "", "", "", "is no token"},
		{"HOME=/h HF_HUB_DOWNLOAD_TIMEOUT=soon", "", "", "", "", `HF_HUB_DOWNLOAD_TIMEOUT: got "soon", want seconds`},
	} {
		env := map[string]string{}
		for _, word := range strings.Fields(x.env) {
			name, value, _ := strings.Cut(word, "=")
			env[name] = value
		}
		h, err := FromEnv(func(name string) string { return env[name] })
		if x.fault != "" {
			if err == nil || !strings.Contains(err.Error(), x.fault) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hf_a") {
				t.Errorf("%s: %v, want %s", x.env, err, x.fault)
			}
			continue
		}
		if err != nil || h.Cache != x.cache || h.Endpoint != x.endpoint || h.Token != x.token || h.Offline != x.offline {
			t.Errorf("%s: %+v %v", x.env, h, err)
		}
	}
	h, err := FromEnv(func(name string) string {
		return map[string]string{"HOME": "/h", "HF_HUB_ETAG_TIMEOUT": "5", "HF_HUB_DOWNLOAD_TIMEOUT": "7"}[name]
	})
	if err != nil || h.HeaderTimeout != 5*time.Second || h.Stall != 7*time.Second {
		t.Error(h, err)
	}
}

// Whatever is taken for a name leads to one folder of the cache, and stays inside of it.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"a/b", "hf://datasets/a/b@refs/pr/1/x", "a/b@%2e%2e%2fx/y.gguf", "a/b/../c", "a/b@v/c*.jsonl"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []Kind{Model, Dataset} {
			n, ok := Parse(text, kind)
			if !ok {
				continue
			}
			if strings.ContainsAny(folder(n), "/\\\x00") || strings.Count(n.Repo, "/") != 1 || n.Path != "" && !isInside(n.Path) || !filepath.IsLocal(n.Revision) {
				t.Errorf("%q is %+v", text, n)
			}
		}
	})
}
