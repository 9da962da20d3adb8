package hub

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"criticrm/hub/hubtest"
)

// quick is a hub that waits for nothing.
func quick(t *testing.T, s *hubtest.Hub) *Hub {
	t.Helper()
	h := &Hub{Cache: filepath.Join(t.TempDir(), "hub"), Endpoint: s.URL, HeaderTimeout: 5 * time.Second, Stall: 5 * time.Second,
		wait: func(time.Duration) <-chan time.Time { c := make(chan time.Time); close(c); return c }}
	h.Say = func(line string) { t.Log(line) }
	return h
}

var parts = Parts{Config: "config.json", Adapter: "adapter_config.json", Whole: "model.safetensors", Index: "model.safetensors.index.json",
	Others: []string{"tokenizer.json", "chat_template.jinja", "adapter_config.json", "adapter_model.safetensors"}}

const weights = ".safetensors"

// small is a model; its weights are longer than a buffer of the network.
func small() map[string]string {
	return map[string]string{"config.json": "{}", "tokenizer.json": "{\"t\":1}", "model.safetensors": strings.Repeat("weights ", 1<<17), "pytorch_model.bin": "pickle",
		"onnx/model.onnx": "onnx", "README.md": "# card", ".gitattributes": "", "consolidated.safetensors": "twice"}
}

func name(t *testing.T, text string, kind Kind) Name {
	t.Helper()
	n, ok := Parse(text, kind)
	if !ok {
		t.Fatalf("%s: is no name", text)
	}
	return n
}

// names lists the files of a folder.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A model's own files come, and no others; the second time nobody is asked; the cache is as huggingface_hub lays it out.
func TestModel(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Page = 3
	files := small()
	repo := s.Add("models/org/tiny", files, weights)
	h := quick(t, s)
	n := name(t, "org/tiny", Model)
	dir, err := h.Model(t.Context(), n, parts)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(h.Cache, "models--org--tiny")
	if dir != filepath.Join(root, "snapshots", repo.Commit) {
		t.Error(dir)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"config.json", "model.safetensors", "tokenizer.json"}) {
		t.Error(got)
	}
	for _, file := range []string{"config.json", "model.safetensors"} {
		if read(t, dir, file) != files[file] {
			t.Errorf("%s differs", file)
		}
	}
	for file, want := range map[string]string{"config.json": repo.BlobID("config.json"), "model.safetensors": repo.SHA256("model.safetensors")} {
		if link, err := os.Readlink(filepath.Join(dir, file)); link != filepath.Join("..", "..", "blobs", want) {
			t.Error(link, err)
		}
	}
	if got := read(t, root, "refs", "main"); got != repo.Commit {
		t.Error(got)
	}
	if got := names(t, filepath.Join(root, "blobs")); len(got) != 3 {
		t.Error(got)
	}
	if s.Seen(); true {
		if again, err := h.Model(t.Context(), n, parts); again != dir || err != nil {
			t.Error(again, err)
		}
		if seen := s.Seen(); len(seen) > 0 {
			t.Errorf("it was there, and still asked for: %v", seen)
		}
	}
	if got := (Title(dir)); got != "tiny" {
		t.Error(got)
	}
	if of, ok := Of(filepath.Join(dir, "config.json")); !ok || of.Repo != "org/tiny" || of.Revision != repo.Commit || of.Path != "config.json" {
		t.Error(of, ok)
	}
}

// What the cache has at a revision is used until somebody wants the newest.
func TestRefresh(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	h := quick(t, s)
	n := name(t, "org/tiny", Model)
	first, err := h.Model(t.Context(), n, parts)
	if err != nil {
		t.Fatal(err)
	}
	changed := small()
	changed["config.json"] = `{"new":1}`
	s.Add("models/org/tiny", changed, weights)
	s.Seen()
	if dir, err := h.Model(t.Context(), n, parts); dir != first || err != nil {
		t.Error(dir, err)
	}
	second, err := h.Refresh(t.Context(), n, parts)
	if err != nil || second == first || read(t, second, "config.json") != `{"new":1}` {
		t.Error(second, err)
	}
	for _, r := range s.Seen() {
		if strings.HasSuffix(r.Path, weights) {
			t.Errorf("weights that have not changed were asked for: %v", r)
		}
	}
	if dir, err := h.Model(t.Context(), n, parts); dir != second || err != nil {
		t.Error(dir, err)
	}
	if dir, err := h.Model(t.Context(), name(t, "org/tiny@"+filepath.Base(first), Model), parts); dir != first || err != nil {
		t.Error(dir, err)
	}
}

// Shards come as the index names them, and a missing one is known to be missing.
func TestShards(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	files := map[string]string{"config.json": "{}", "model-00001-of-00002.safetensors": "one", "model-00002-of-00002.safetensors": "two", "model-00001-of-00009.safetensors": "old",
		"model.safetensors.index.json": `{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`}
	s.Add("models/org/big", files, weights)
	h := quick(t, s)
	n := name(t, "org/big", Model)
	dir, err := h.Model(t.Context(), n, parts)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 4 || slices.Contains(got, "model-00001-of-00009.safetensors") {
		t.Error(got)
	}
	shard := filepath.Join(dir, "model-00002-of-00002.safetensors")
	blob, err := filepath.EvalSymlinks(shard)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	h.Offline = "HF_HUB_OFFLINE"
	if _, err := h.Model(t.Context(), n, parts); err == nil || !strings.Contains(err.Error(), "lack model-00002-of-00002.safetensors of commit") || !strings.Contains(err.Error(), "HF_HUB_OFFLINE forbids") {
		t.Error(err)
	}
	h.Offline = ""
	if _, err := h.Model(t.Context(), n, parts); err != nil || read(t, shard) != "two" {
		t.Error(err)
	}
	s.Add("models/org/evil", map[string]string{"config.json": "{}", "model.safetensors.index.json": `{"weight_map":{"a":"../../x.safetensors"}}`})
	if _, err := h.Model(t.Context(), name(t, "org/evil", Model), parts); err == nil || !strings.Contains(err.Error(), "want names as") {
		t.Error(err)
	}
}

// Who reads no weights gets none, until somebody does; a model that names the hashes of all its files is always whole.
func TestLight(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	sealed := small()
	sealed["sealed.json"] = "{}"
	s.Add("models/org/sealed", sealed, weights)
	h := quick(t, s)
	light := parts
	light.Light, light.Sealed = true, "sealed.json"
	n := name(t, "org/tiny", Model)
	for range 2 {
		dir, err := h.Model(t.Context(), n, light)
		if err != nil || slices.Contains(names(t, dir), "model.safetensors") {
			t.Error(dir, err)
		}
	}
	dir, err := h.Model(t.Context(), n, parts)
	whole(t, dir, err)
	if dir, err = h.Model(t.Context(), name(t, "org/sealed", Model), light); err != nil {
		t.Fatal(err)
	}
	whole(t, dir, err)
}

func TestGGUF(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny-GGUF", map[string]string{"tiny-Q4_0.gguf": "GGUF4", "tiny-Q8_0.gguf": "GGUF8", "README.md": ""}, ".gguf")
	h := quick(t, s)
	path, err := h.Model(t.Context(), name(t, "org/tiny-GGUF/tiny-Q8_0.gguf", Model), parts)
	if err != nil || read(t, path) != "GGUF8" || len(names(t, filepath.Dir(path))) != 1 {
		t.Error(path, err)
	}
	s.Add("models/org/split", map[string]string{"q/m-00001-of-00002.gguf": "GGUF1", "q/m-00002-of-00002.gguf": "GGUF2", "q/n-00001-of-00002.gguf": "GGUF3"}, ".gguf")
	path, err = h.Model(t.Context(), name(t, "org/split/q/m-00001-of-00002.gguf", Model), parts)
	if err != nil || read(t, path) != "GGUF1" || read(t, filepath.Join(filepath.Dir(path), "m-00002-of-00002.gguf")) != "GGUF2" || len(names(t, filepath.Dir(path))) != 2 {
		t.Error(path, err)
	}
	for text, want := range map[string]string{
		"org/split/q/n-00001-of-00002.gguf": "it has no q/n-00002-of-00002.gguf, but GGUF files",
		"org/tiny-GGUF":                     "but GGUF files: name one of them: org/tiny-GGUF/tiny-Q4_0.gguf, org/tiny-GGUF/tiny-Q8_0.gguf",
		"org/tiny-GGUF/other.gguf":          "it has no other.gguf, but GGUF files",
		"org/tiny-GGUF@v2":                  "there is no revision v2",
		"org/none":                          "there is no such file or directory, and as a name on Hugging Face's hub: there is no model of this name",
		"hf://org/none":                     "hub: org/none: there is no model of this name",
		"hf://models/org/none@main":         "there is no model of this name",
	} {
		if _, err := h.Model(t.Context(), name(t, text, Model), parts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	s.Add("models/org/old", map[string]string{"config.json": "{}", "pytorch_model.bin": "x"})
	if _, err := h.Model(t.Context(), name(t, "org/old", Model), parts); err == nil || !strings.Contains(err.Error(), "pytorch_model.bin, which are not read (a pickle can run code)") {
		t.Error(err)
	}
}

// The token goes to the hub, and not with a redirect elsewhere: another port of this machine is elsewhere.
func TestToken(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	h := quick(t, s)
	h.Token = "hf_secret"
	if _, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for _, r := range s.Seen() {
		if r.Storage {
			stored++
		}
		if want := map[bool]string{true: "", false: "Bearer hf_secret"}[r.Storage]; r.Token != want {
			t.Errorf("%v: token %q, want %q", r, r.Token, want)
		}
	}
	if stored == 0 {
		t.Error("nothing was asked of the storage")
	}
}

// Nobody is there: that is said soon, and the cache is used where it will do.
func TestNobody(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	repo := s.Add("models/org/tiny", small(), weights)
	h := quick(t, s)
	n := name(t, "org/tiny", Model)
	dir, err := h.Model(t.Context(), n, parts)
	if err != nil {
		t.Fatal(err)
	}
	h.Endpoint = "http://127.0.0.1:1"
	_, err = h.Model(t.Context(), name(t, "org/other", Model), parts)
	if err == nil || !strings.Contains(err.Error(), "(after 2 tries)") || !strings.Contains(err.Error(), "without a network fetch it elsewhere") {
		t.Error(err)
	}
	// as huggingface_hub leaves it where files are fetched one by one: without a list
	if err := os.Remove(filepath.Join(h.Cache, "models--org--tiny", "trees", repo.Commit+".json")); err != nil {
		t.Fatal(err)
	}
	var said []string
	h.Say = func(line string) { said = append(said, line) }
	again, err := h.Model(t.Context(), n, parts)
	if err != nil || again != dir || !strings.Contains(strings.Join(said, "\n"), "is not written down") {
		t.Error(again, err, said)
	}
	h.Endpoint = s.URL // now the hub says what it has
	if again, err := h.Model(t.Context(), n, parts); err != nil || again != dir {
		t.Error(again, err)
	}
	h.Endpoint, said = "http://127.0.0.1:1", nil
	if _, err := h.Model(t.Context(), n, parts); err != nil || said != nil {
		t.Error(err, said)
	}
}

// Several processes that want the same wait for the one that fetches.
func TestTogether(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	h := quick(t, s)
	n := name(t, "org/tiny", Model)
	errs := make(chan error)
	for range 4 {
		go func() {
			mine := *h
			mine.Say = nil
			_, err := mine.Model(context.Background(), n, parts)
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	stored := 0
	for _, r := range s.Seen() {
		if r.Storage {
			stored++
		}
	}
	if stored != 1 {
		t.Errorf("the weights were fetched %d times", stored)
	}
}

// Who stops gets no error but that, and what has come stays.
func TestStopped(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("stopped by a signal")
	s.Answer = func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		if storage {
			w.Write([]byte("weights "))
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
			stop(why)
			<-r.Context().Done()
		}
		return storage
	}
	h := quick(t, s)
	if _, err := h.Model(ctx, name(t, "org/tiny", Model), parts); !errors.Is(err, why) {
		t.Error(err)
	}
	if left := names(t, filepath.Join(h.Cache, "models--org--tiny", "blobs")); !slices.ContainsFunc(left, func(name string) bool { return strings.HasSuffix(name, ".incomplete") }) {
		t.Error(left)
	}
}
