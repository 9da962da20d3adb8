package main

import (
	"cmp"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"criticrm/hub/hubtest"
)

// onHub serves the tiny model and some rows from a hub of this test, in an empty folder.
func onHub(t *testing.T) (s *hubtest.Hub, cache string) {
	t.Helper()
	dir := tinyModel(t)
	t.Chdir(t.TempDir())
	cache = filepath.Join(t.TempDir(), "hf")
	s = hubtest.New(t)
	for name, value := range map[string]string{"HF_HUB_OFFLINE": "", "HF_HOME": cache, "HF_ENDPOINT": s.URL, "HF_TOKEN": "hf_secret"} {
		t.Setenv(name, value)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"README.md": "---\nlicense: mit\n---\n", "pytorch_model.bin": "pickle"}
	for _, e := range entries {
		files[e.Name()] = readFile(t, filepath.Join(dir, e.Name()))
	}
	s.Add("models/org/tiny", files, ".safetensors")
	s.Add("datasets/org/pairs", map[string]string{"train.jsonl": dataRows, "test.jsonl": dataRows, "README.md": "card"}, ".jsonl")
	return s, cache
}

// huggingface_hub reads the card of a trained model, and safetensors say what transformers wants of them.
func TestReadyToPush(t *testing.T) {
	python, err := exec.LookPath(cmp.Or(os.Getenv("CRITICRM_PYTHON"), "python3"))
	if err != nil {
		t.Skip("there is no python3: huggingface_hub does not read the card")
	}
	onHub(t)
	must(t, "train", "--model", "org/tiny", "--train", "org/pairs/train", "--output_dir", "t", "--method", "bt", "--epochs", "1")
	for _, file := range []string{"model.safetensors", "reward_head.safetensors"} {
		if head := readFile(t, "t/model/"+file); !strings.Contains(head[:min(len(head), 1<<16)], `"__metadata__":{"format":"pt"}`) {
			t.Errorf("%s does not say that it is of PyTorch's format", file)
		}
	}
	cmd := exec.Command(python, "-c", `
try:
    from huggingface_hub import ModelCard
except ImportError:
    print("none")
else:
    d = ModelCard.load("t/model/README.md").data
    print(d.base_model, d.datasets, d.library_name, d.license, d.pipeline_tag, d.tags)`)
	out, err := cmd.CombinedOutput()
	if strings.TrimSpace(string(out)) == "none" {
		t.Skip("python3 has no huggingface_hub (pip install huggingface_hub; CRITICRM_PYTHON names another python3)")
	}
	if want := "org/tiny ['org/pairs'] transformers mit text-generation ['reward-model', 'criticrm']\n"; err != nil || string(out) != want {
		t.Errorf("%v %s, want %s", err, out, want)
	}
}

// A name is a model and a file of rows for every command, fetched once; a path that is there is a path.
func TestNamesOnHub(t *testing.T) {
	s, cache := onHub(t)
	out, errs := must(t, "inspect", "org/tiny")
	if !strings.Contains(out, "llama") || !strings.Contains(errs, "downloading") {
		t.Errorf("%s\n%s", out, errs)
	}
	s.Seen()
	if out, errs := must(t, "generate", "--model", "org/tiny", "--in", "org/pairs/train", "--out", "1.jsonl", "--critiques", "1", "--max_tokens", "4", "--min_parsed", "0"); out == "" {
		t.Error(errs)
	}
	for _, r := range s.Seen() {
		if strings.Contains(r.Path, "tiny") {
			t.Errorf("the model was there, and still asked for: %v", r)
		}
		if r.Storage != (r.Token == "") {
			t.Errorf("a token that is sent to another place, or not sent: %v", r)
		}
	}
	records := readFile(t, "1.jsonl")
	if !strings.Contains(records, `"tiny@`) {
		t.Errorf("the critic has not the model's name: %.400s", records)
	}
	must(t, "fetch", "--repo_type", "dataset", "org/pairs/test")
	s.Seen()
	t.Setenv("HF_HUB_OFFLINE", "1")
	writeFile(t, "more.jsonl", `{"prompt":"What is more?","chosen":"this","rejected":"that"}`+"\n")
	must(t, "train", "--model", "org/tiny", "--train", "org/pairs/train", "--eval", "org/pairs/test:1,more.jsonl:1", "--output_dir", "t", "--method", "bt", "--epochs", "1")
	recipe := readFile(t, "t/recipe.yaml")
	if want := filepath.Join(cache, "hub", "datasets--org--pairs", "snapshots"); !strings.Contains(recipe, "train_file: "+want) || !strings.Contains(recipe, "test.jsonl:1,more.jsonl:1") {
		t.Errorf("no %s in\n%s", want, recipe)
	}
	card := readFile(t, "t/model/README.md")
	for _, want := range []string{"base_model: org/tiny\n", "license: mit\n", "datasets:\n    - org/pairs\n", "| `eval_accuracy` | ", "method: bt"} {
		if !strings.Contains(card, want) {
			t.Errorf("no %q in\n%s", want, card)
		}
	}
	if strings.Contains(card, cache) {
		t.Errorf("a folder of this machine in\n%s", card)
	}
	must(t, "tokenize", "--model", "org/tiny", "--in", writeFile(t, "texts", "a\n"))
	must(t, "data", "check", "org/pairs/train", "--against", "org/pairs/test", "--model", "org/tiny")
	must(t, "train", "--model", "org/tiny", "--train", "org/pairs/train", "--method", "bt", "--dry_run")
	if err := os.MkdirAll("org", 0o777); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := command(t, "inspect", "org/tiny"); code != exitUsage || !strings.Contains(errs, "no such file") || strings.Contains(errs, "hub") {
		t.Errorf("%d %s", code, errs)
	}
	must(t, "inspect", "hf://org/tiny")
	if seen := s.Seen(); len(seen) > 0 {
		t.Errorf("the network was forbidden: %v", seen)
	}
}

// An adapter names its base as the hub does, and both are fetched where they are not in the cache.
func TestAdapterOnHub(t *testing.T) {
	s, _ := onHub(t)
	must(t, "train", "--model", "org/tiny", "--train", "org/pairs/train", "--output_dir", "t", "--method", "bt", "--epochs", "1", "--lora_r", "2")
	base := s.Repos["models/org/tiny"].Commit
	if text := readFile(t, "t/model/adapter_config.json"); !strings.Contains(text, `"base_model_name_or_path": "org/tiny"`) || !strings.Contains(text, `"revision": "`+base+`"`) {
		t.Errorf("the base is not named: %s", text)
	}
	if card := readFile(t, "t/model/README.md"); !strings.Contains(card, "library_name: peft\n") || !strings.Contains(card, "base_model: org/tiny\nbase_model_relation: adapter\n") {
		t.Error(card)
	}
	files := map[string]string{}
	entries, err := os.ReadDir("t/model")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files[e.Name()] = readFile(t, filepath.Join("t/model", e.Name()))
	}
	s.Add("models/org/adapter", files, ".safetensors")
	want, _ := must(t, "score", "--model", "t/model", "--plain", "--in", "org/pairs/test")
	t.Setenv("HF_HOME", t.TempDir())
	if code, _, errs := command(t, "score", "--model", "t/model", "--plain", "--in", writeFile(t, "rows.jsonl", dataRows), "--max_bad", "0"); code != exitOK || !strings.Contains(errs, "org/tiny") {
		t.Error(code, errs)
	}
	t.Setenv("HF_HOME", t.TempDir())
	if got, errs := must(t, "score", "--model", "org/adapter", "--plain", "--in", "org/pairs/test"); got != want {
		t.Errorf("%s, want %s\n%s", got, want, errs)
	}
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_HUB_OFFLINE", "1")
	if code, _, errs := command(t, "score", "--model", "t/model", "--plain", "--in", "rows.jsonl"); code != exitUsage || !strings.Contains(errs, "org/tiny@"+base) {
		t.Error(code, errs)
	}
}

// A GGUF file on the hub is fetched alone, and converted.
func TestGGUFOnHub(t *testing.T) {
	s, _ := onHub(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	must(t, "export", "--model", "org/tiny", "--format", "gguf", "--out", "x.gguf")
	s.Add("models/org/tiny-GGUF", map[string]string{"q/x.gguf": readFile(t, "x.gguf"), "q/y.gguf": "another"}, ".gguf")
	out, errs := must(t, "tokenize", "--model", "org/tiny-GGUF/q/x.gguf", "--in", writeFile(t, "texts", "What is 12?\n"))
	if want, _ := must(t, "tokenize", "--model", "org/tiny", "--in", "texts"); out != want || !strings.Contains(errs, "converted as") {
		t.Errorf("%s, want %s\n%s", out, want, errs)
	}
	if code, _, errs := command(t, "tokenize", "--model", "org/tiny-GGUF"); code != exitUsage || !strings.Contains(errs, "name one of them: org/tiny-GGUF/q/x.gguf, org/tiny-GGUF/q/y.gguf") {
		t.Error(code, errs)
	}
}

func TestFetch(t *testing.T) {
	s, cache := onHub(t)
	out, _ := must(t, "fetch", "org/tiny", "hf://datasets/org/pairs/test")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || filepath.Dir(lines[0]) != filepath.Join(cache, "hub", "models--org--tiny", "snapshots") || readFile(t, lines[1]) != dataRows {
		t.Error(out)
	}
	if files, err := os.ReadDir(lines[0]); err != nil || slices.ContainsFunc(files, func(e os.DirEntry) bool { return e.Name() == "pytorch_model.bin" }) {
		t.Error(files, err)
	}
	if err := os.Mkdir("org", 0o777); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"fetch":                       "want a NAME or several (see 'criticrm fetch --help')",
		"fetch tiny":                  `"tiny": want a name as owner/name`,
		"fetch org":                   "is a path here, and needs no fetching",
		"fetch a/b --repo_type space": `--repo_type: got "space", want model or dataset`,
		"fetch a/b":                   "there is no model of this name at " + s.URL,
		"fetch --repo_type dataset hf://org/pairs":                       "it has several splits: test (1 file), train (1 file): name one, as org/pairs/test",
		"train --model hf://datasets/org/pairs --train x --output_dir y": "is the name of a data set, want a model",
		"data check hf://models/org/tiny":                                "is the name of a model, want a data set",
	} {
		if code, _, errs := command(t, strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, want) || strings.Contains(errs, "hf_secret") {
			t.Errorf("%s: %d %q, want %q", args, code, errs, want)
		}
	}
	t.Setenv("HF_ENDPOINT", "ftp://x")
	if code, _, errs := command(t, "fetch", "a/b"); code != exitUsage || !strings.Contains(errs, "HF_ENDPOINT: want a URL") {
		t.Error(code, errs)
	}
}

// A download that a signal ends, gently or not, goes on at its last byte when the same command is given again.
func TestFetchIsStopped(t *testing.T) {
	for _, x := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGTERM, 143}, {syscall.SIGKILL, -1}} {
		s, cache := onHub(t)
		text := s.Repos["models/org/tiny"].Files["model.safetensors"]
		s.Answer = func(w http.ResponseWriter, r *http.Request, storage bool) bool {
			if storage {
				w.Header().Set("Content-Length", strconv.Itoa(len(text)))
				w.Write([]byte(text[:1000]))
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
			return storage
		}
		part := func() string {
			found, _ := filepath.Glob(filepath.Join(cache, "hub", "models--org--tiny", "blobs", "*.incomplete"))
			if len(found) != 1 || len(readFile(t, found[0])) != 1000 {
				return ""
			}
			return found[0]
		}
		if code := signalOnce(t, x.signal, func() bool { return part() != "" }, "fetch", "org/tiny"); code != x.code {
			t.Errorf("exit code %d, want %d", code, x.code)
		}
		if part() == "" {
			t.Error("what has come is not there")
		}
		s.Answer = nil
		s.Seen()
		out, _ := must(t, "fetch", "org/tiny")
		if readFile(t, filepath.Join(strings.TrimSpace(out), "model.safetensors")) != text {
			t.Error("the weights differ")
		}
		if !slices.ContainsFunc(s.Seen(), func(r hubtest.Request) bool { return r.Storage && r.Range == "bytes=1000-" }) {
			t.Error("it did not go on where it was")
		}
	}
}
