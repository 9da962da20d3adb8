package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"criticrm/hub/hubtest"
)

// list answers a question for a commit's files with what a test wants.
func list(items ...map[string]any) func(w http.ResponseWriter, r *http.Request, storage bool) bool {
	return func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		if !strings.Contains(r.URL.Path, "/tree/") {
			return false
		}
		json.NewEncoder(w).Encode(items)
		return true
	}
}

func item(path, oid string, size int) map[string]any {
	return map[string]any{"type": "file", "path": path, "oid": oid, "size": size}
}

// A hub is a stranger: what it says of names, hashes, sizes and places to go to is looked at first, and nothing is written elsewhere.
func TestStrangeHub(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	repo := s.Add("models/org/tiny", small(), weights)
	oid := strings.Repeat("a", 40)
	header := func(name, value string) func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		return func(w http.ResponseWriter, r *http.Request, storage bool) bool {
			if strings.Contains(r.URL.Path, "/resolve/") {
				w.Header().Set(name, value)
				fmt.Fprint(w, "{}")
			}
			return strings.Contains(r.URL.Path, "/resolve/")
		}
	}
	redirect := func(to string) func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		return func(w http.ResponseWriter, r *http.Request, storage bool) bool {
			if strings.Contains(r.URL.Path, "/resolve/") {
				w.Header().Set("Location", to)
				w.WriteHeader(http.StatusFound)
			}
			return strings.Contains(r.URL.Path, "/resolve/")
		}
	}
	for want, answer := range map[string]func(w http.ResponseWriter, r *http.Request, storage bool) bool{
		`its list of files has "../config.json"`:               list(item("../config.json", oid, 2)),
		`its list of files has "a/../../b"`:                    list(item("a/../../b", oid, 2)),
		`its list of files has "/etc/passwd"`:                  list(item("/etc/passwd", oid, 2)),
		`its list of files has "config.json", which no`:        list(item("config.json", "../../x", 2)),
		`which no file of a hub is like: size -1`:              list(item("config.json", oid, -1)),
		"it has no config.json, so it is no model":             list(),
		"are to be downloaded, and the disk of":                list(item("config.json", oid, 1<<60), item("model.safetensors", oid, 1)),
		fmt.Sprintf("asked for commit %.12s", repo.Commit):     header("X-Repo-Commit", oid),
		"more than 5 redirects":                                redirect(s.URL + "/org/tiny/resolve/main/config.json"),
		`redirects from http to "file", which is not followed`: redirect("file:///etc/passwd"),
		"302 Found without a place to go to":                   redirect(""),
		`goes on at "http://elsewhere/`: func(w http.ResponseWriter, r *http.Request, storage bool) bool {
			if strings.Contains(r.URL.Path, "/tree/") {
				w.Header().Set("Link", `<http://elsewhere/x>; rel="next"`)
				fmt.Fprint(w, "[]")
			}
			return strings.Contains(r.URL.Path, "/tree/")
		},
		`the commit of org/tiny is "main"`: func(w http.ResponseWriter, r *http.Request, storage bool) bool {
			if strings.Contains(r.URL.Path, "/revision/") {
				fmt.Fprint(w, `{"sha":"main"}`)
			}
			return strings.Contains(r.URL.Path, "/revision/")
		},
	} {
		h := quick(t, s)
		s.Answer = answer
		_, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := os.Stat(filepath.Join(h.Cache, "models--org--tiny", "refs")); err == nil {
			t.Errorf("%s: there is a ref", want)
		}
	}
}

// A file whose name could not be one here is left out, and said; it is none that a model needs.
func TestOddNames(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	files := small()
	files["odd\\name\n.txt"] = "x"
	s.Add("models/org/tiny", files, weights)
	h := quick(t, s)
	var said []string
	h.Say = func(line string) { said = append(said, line) }
	if _, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts); err != nil || !strings.Contains(strings.Join(said, "|"), `left out for their names: "odd\\name\n.txt"|`) {
		t.Error(err, said)
	}
	if _, err := os.Stat(filepath.Join(h.Cache, "models--org--tiny", "trees")); err == nil {
		t.Error("a list that is not whole is kept")
	}
}

// The hash of a large file that comes with it must be the one of the list.
func TestOtherHash(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	repo := s.Add("models/org/tiny", small(), weights)
	s.Answer = func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		if strings.HasSuffix(r.URL.Path, weights) && !storage {
			w.Header().Set("X-Linked-Etag", `"`+strings.Repeat("b", 64)+`"`)
			http.Redirect(w, r, s.Storage+"/models/org/tiny/"+repo.Commit+"/model.safetensors", http.StatusFound)
			return true
		}
		return false
	}
	h := quick(t, s)
	if _, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts); err == nil || !strings.Contains(err.Error(), "the file bbbbbbbbbbbbbbbb…") {
		t.Error(err)
	}
}

// What is wrong in the cache is said with the file that is.
func TestDamagedCache(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	repo := s.Add("models/org/tiny", small(), weights)
	h := quick(t, s)
	n := name(t, "org/tiny", Model)
	dir, err := h.Model(t.Context(), n, parts)
	if err != nil {
		t.Fatal(err)
	}
	ref := filepath.Join(h.Cache, "models--org--tiny", "refs", "main")
	blob := filepath.Join(h.Cache, "models--org--tiny", "blobs", repo.SHA256("model.safetensors"))
	for path, x := range map[string]struct{ text, want string }{
		ref:  {"main", "is no commit: the cache is damaged, remove that file"},
		blob: {"short", "has 5 bytes, of org/tiny at commit"},
	} {
		was := read(t, path)
		if err := os.WriteFile(path, []byte(x.text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Model(t.Context(), n, parts); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v, want %s", err, x.want)
		}
		if err := os.WriteFile(path, []byte(was), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// a list that is no list is asked for again
	if err := os.WriteFile(filepath.Join(h.Cache, "models--org--tiny", "trees", repo.Commit+".json"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if again, err := h.Model(t.Context(), n, parts); err != nil || again != dir {
		t.Error(again, err)
	}
}

// A cache that cannot be written is as good as another where all is there.
func TestReadOnlyCache(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	h := quick(t, s)
	n := name(t, "org/tiny", Model)
	if _, err := h.Model(t.Context(), n, parts); err != nil {
		t.Fatal(err)
	}
	before := names(t, h.Cache)
	if err := filepath.WalkDir(h.Cache, func(path string, d os.DirEntry, err error) error {
		if d.IsDir() {
			t.Cleanup(func() { os.Chmod(path, 0o755) })
			return os.Chmod(path, 0o555)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Model(t.Context(), n, parts); err != nil {
		t.Error(err)
	}
	if after := names(t, h.Cache); len(after) != len(before) {
		t.Errorf("%v became %v", before, after)
	}
}

// A disk that fills up under a download ends it with a word on where to go; what has come stays, and goes on when there is room.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, 0) })
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights) // of 1 MiB
	other := filepath.Join(disk, "other")
	tried := 0
	s.Answer = func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		if !storage {
			return false
		}
		tried++
		f, err := os.Create(other) // somebody else fills it
		if err == nil {
			_, err = f.Write(make([]byte, 2500<<10))
			f.Close()
		}
		return err != nil
	}
	h := quick(t, s)
	h.Cache = filepath.Join(disk, "hub")
	n := name(t, "org/tiny", Model)
	_, err := h.Model(t.Context(), n, parts)
	if want := "make room on the disk of " + h.Cache + ", or set HF_HOME"; !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), want) || tried != 1 {
		t.Errorf("%v, want %s; %d tries", err, want, tried)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	s.Answer = nil
	s.Seen()
	dir, err := h.Model(t.Context(), n, parts)
	whole(t, dir, err)
	for _, r := range s.Seen() {
		if r.Storage && !strings.HasPrefix(r.Range, "bytes=") {
			t.Errorf("it begins again: %v", r)
		}
	}
}
