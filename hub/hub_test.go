package hub

import (
	"context"
	"errors"
	"fmt"
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

func TestGGUF(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny-GGUF", map[string]string{"tiny-Q4_0.gguf": "GGUF4", "tiny-Q8_0.gguf": "GGUF8", "README.md": ""}, ".gguf")
	h := quick(t, s)
	path, err := h.Model(t.Context(), name(t, "org/tiny-GGUF/tiny-Q8_0.gguf", Model), parts)
	if err != nil || read(t, path) != "GGUF8" || len(names(t, filepath.Dir(path))) != 1 {
		t.Error(path, err)
	}
	for text, want := range map[string]string{
		"org/tiny-GGUF":             "but GGUF files: name one of them: org/tiny-GGUF/tiny-Q4_0.gguf, org/tiny-GGUF/tiny-Q8_0.gguf",
		"org/tiny-GGUF/other.gguf":  "it has no other.gguf, but GGUF files",
		"org/tiny-GGUF@v2":          "there is no revision v2",
		"org/none":                  "there is no such file or directory, and as a name on Hugging Face's hub: there is no model of this name",
		"hf://org/none":             "hub: org/none: there is no model of this name",
		"hf://models/org/none@main": "there is no model of this name",
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

// misbehave runs a download of weights from a server that is as the test wants it.
func misbehave(t *testing.T, answer func(try int, w http.ResponseWriter, r *http.Request) bool) (h *Hub, s *hubtest.Hub, dir string, err error) {
	t.Helper()
	t.Chdir(t.TempDir())
	s = hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	try := 0
	s.Answer = func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		if !storage {
			return false
		}
		try++
		return answer(try, w, r)
	}
	h = quick(t, s)
	h.Token = "hf_secret"
	dir, err = h.Model(t.Context(), name(t, "org/tiny", Model), parts)
	if err != nil && strings.Contains(err.Error(), "hf_secret") {
		t.Error("the token is in the error")
	}
	return h, s, dir, err
}

func whole(t *testing.T, dir string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "model.safetensors") != small()["model.safetensors"] {
		t.Error("the weights differ")
	}
	left := names(t, filepath.Join(dir, "..", "..", "blobs"))
	if slices.ContainsFunc(left, func(name string) bool { return strings.Contains(name, "incomplete") }) {
		t.Errorf("something is left: %v", left)
	}
}

// cut sends a part of the weights and drops the connection.
func cut(w http.ResponseWriter, from, to int) {
	text := small()["model.safetensors"]
	w.Header().Set("Content-Length", fmt.Sprint(len(text)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(text)-1, len(text)))
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write([]byte(text[from:to]))
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// A connection that is cut goes on where it was.
func TestCut(t *testing.T) {
	_, s, dir, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		if try == 1 {
			cut(w, 0, 1000)
		}
		return false
	})
	whole(t, dir, err)
	ranges := []string{}
	for _, r := range s.Seen() {
		if r.Storage {
			ranges = append(ranges, r.Range)
		}
	}
	if !slices.Equal(ranges, []string{"", "bytes=1000-"}) {
		t.Error(ranges)
	}
}

// A process that was killed leaves a part, which the next one goes on with; where that is of something else, it begins again.
func TestResume(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		t.Run(fmt.Sprint(damaged), func(t *testing.T) {
			h, s, _, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool { cut(w, 0, 0); return true })
			if err == nil || !strings.Contains(err.Error(), "after 5 tries") {
				t.Fatal(err)
			}
			text := small()["model.safetensors"][:5000]
			if damaged {
				text = strings.Repeat("x", 5000)
			}
			blob := filepath.Join(h.Cache, "models--org--tiny", "blobs", s.Repos["models/org/tiny"].SHA256("model.safetensors"))
			if err := os.WriteFile(partial(blob), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(h.Cache, "models--org--tiny", "refs", "main")); err == nil {
				t.Error("the ref is there before the files")
			}
			s.Answer = nil
			s.Seen()
			dir, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts)
			whole(t, dir, err)
			var ranges []string
			for _, r := range s.Seen() {
				if r.Storage {
					ranges = append(ranges, r.Range)
				}
			}
			if want := map[bool][]string{false: {"bytes=5000-"}, true: {"bytes=5000-", ""}}[damaged]; !slices.Equal(ranges, want) {
				t.Error(ranges, want)
			}
		})
	}
}

// A server that knows no ranges sends all of it again; one that sends another range is not believed.
func TestRanges(t *testing.T) {
	_, _, dir, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		if try == 1 {
			cut(w, 0, 1000)
		}
		w.Write([]byte(small()["model.safetensors"]))
		return true
	})
	whole(t, dir, err)
	_, _, _, err = misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		if try == 1 {
			cut(w, 0, 1000)
		}
		cut(w, 2000, 3000)
		return true
	})
	if err == nil || !strings.Contains(err.Error(), `asked for bytes from 1000 on, it sends "bytes 2000-`) {
		t.Error(err)
	}
}

// What is not what the hub has said does not stay.
func TestWrongHash(t *testing.T) {
	h, _, _, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		w.Write([]byte(strings.Repeat("WEIGHTS ", 1<<17)))
		return true
	})
	if err == nil || !strings.Contains(err.Error(), "its hash is") || !strings.Contains(err.Error(), "nothing is kept of it") {
		t.Error(err)
	}
	for _, file := range names(t, h.Cache) {
		if strings.Contains(file, "incomplete") || strings.HasSuffix(file, "model.safetensors") {
			t.Errorf("%s is left", file)
		}
	}
	_, _, dir, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		w.Write([]byte(strings.Repeat("weights ", 1<<17+1))) // more than there should be, but what is wanted is there
		return true
	})
	whole(t, dir, err)
}

// Trouble that passes is waited for, as long as the server says; not for ever.
func TestTrouble(t *testing.T) {
	for status, want := range map[int]string{500: "", 503: "", 429: "", 408: "", 403: "403 Forbidden, where 127.0.0.1", 404: "404 Not Found, where"} {
		_, _, dir, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
			if try > 2 && status != 403 && status != 404 {
				return false
			}
			w.WriteHeader(status)
			return true
		})
		if want == "" {
			whole(t, dir, err)
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
	}
	tried := 0
	_, _, _, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		tried = try
		w.WriteHeader(502)
		return true
	})
	if err == nil || tried != tries || !strings.Contains(err.Error(), "502 Bad Gateway (after 5 tries)") {
		t.Error(tried, err)
	}
	_, _, _, err = misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(429)
		return true
	})
	if err == nil || !strings.Contains(err.Error(), "asked again in 1h0m0s") {
		t.Error(err)
	}
}

// A server that falls silent is left, and asked again.
func TestSilence(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	done := make(chan struct{})
	silent := 0
	s.Answer = func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		if silent++; !storage || silent > 100 {
			return false
		}
		silent = 100
		w.Write([]byte("weights "))
		w.(http.Flusher).Flush()
		select {
		case <-done:
		case <-r.Context().Done():
		}
		return true
	}
	defer close(done)
	h := quick(t, s)
	h.Stall = 100 * time.Millisecond
	dir, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts)
	whole(t, dir, err)
}

// What the hub itself refuses is said so that somebody can do something.
func TestRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	h := quick(t, s)
	for _, x := range []struct {
		status            int
		code, token, want string
	}{
		{401, "", "", "there is no model of this name at http://127.0.0.1"},
		{401, "", "", "set HF_TOKEN, or log in with 'hf auth login'"},
		{401, "GatedRepo", "", "it is gated: accept its terms at " + s.URL + "/org/tiny with your account, and then set HF_TOKEN"},
		{403, "GatedRepo", "hf_x", "may not read it"},
		{401, "", "hf_x", "the token is wrong or has ended"},
		{404, "RepoNotFound", "hf_x", "or the token that is sent (HF_TOKEN, or the file token in HF_HOME) may not read it"},
		{403, "", "hf_x", "403 Forbidden: the token that is sent"},
		{429, "", "", "429 Too Many Requests: too many requests from here"},
		{418, "", "", "418 I'm a teapot"},
		{200, "", "", "no answer of a hub"},
	} {
		s.Answer = func(w http.ResponseWriter, r *http.Request, _ bool) bool {
			w.Header().Set("X-Error-Code", x.code)
			w.Header().Set("X-Error-Message", "because\u009b31m so")
			w.WriteHeader(x.status)
			fmt.Fprint(w, "<html>")
			return true
		}
		h.Token = x.token
		_, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts)
		if err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "\u009b") {
			t.Errorf("%d %s: %v, want %s", x.status, x.code, err, x.want)
		}
		if x.status != 200 && !strings.Contains(err.Error(), "says: because") {
			t.Errorf("%v: the server's own words are missing", err)
		}
	}
	if left, err := os.ReadDir(h.Cache); err == nil && len(left) > 0 && left[0].Name() != ".locks" {
		t.Errorf("something is left: %v", left)
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
