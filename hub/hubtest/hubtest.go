// Package hubtest is a hub in memory, for tests: two servers on this machine, the hub and the storage that it sends large files to.
package hubtest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Repo is a model or data set.
type Repo struct {
	Commit string            // its only one, which main is
	Files  map[string]string // by name
	Large  []string          // ends of names that are kept in the storage
}

// Hub serves repositories, by "models/owner/name" and "datasets/owner/name".
type Hub struct {
	URL     string
	Storage string // its URL
	Repos   map[string]*Repo
	Page    int // files on a page of a list; 0: all

	// Answer may answer in place of the hub, or of its storage; false: it has not.
	Answer func(w http.ResponseWriter, r *http.Request, storage bool) bool

	mu   sync.Mutex
	seen []Request
	all  map[string]*Repo // every commit that was added, by name@commit
}

// Request is one that was asked.
type Request struct {
	Storage                    bool
	Method, Path, Range, Token string
}

// New begins to serve, until the test ends.
func New(t testing.TB) *Hub {
	h := &Hub{Repos: map[string]*Repo{}, all: map[string]*Repo{}}
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, true) }))
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, false) }))
	t.Cleanup(func() { hub.Close(); storage.Close() })
	h.URL, h.Storage = hub.URL, storage.URL
	return h
}

// Add makes a repository of files; its commit comes from them. Commits that were added before are still there, but main is the last one.
func (h *Hub) Add(name string, files map[string]string, large ...string) *Repo {
	sum := sha1.New()
	for _, file := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%s %s\n", file, files[file])
	}
	r := &Repo{Commit: hex.EncodeToString(sum.Sum(nil)), Files: files, Large: large}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Repos[name], h.all[name+"@"+r.Commit] = r, r
	return r
}

// Seen gives the requests since it was asked last.
func (h *Hub) Seen() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.seen
	h.seen = nil
	return list
}

func (r *Repo) large(file string) bool {
	return slices.ContainsFunc(r.Large, func(end string) bool { return strings.HasSuffix(file, end) })
}

// SHA256 is the hash of a large file.
func (r *Repo) SHA256(file string) string {
	sum := sha256.Sum256([]byte(r.Files[file]))
	return hex.EncodeToString(sum[:])
}

// BlobID is git's hash of a file.
func (r *Repo) BlobID(file string) string {
	sum := sha1.Sum([]byte(fmt.Sprintf("blob %d\x00%s", len(r.Files[file]), r.Files[file])))
	return hex.EncodeToString(sum[:])
}

func (h *Hub) serve(w http.ResponseWriter, r *http.Request, storage bool) {
	h.mu.Lock()
	h.seen = append(h.seen, Request{storage, r.Method, r.URL.Path, r.Header.Get("Range"), r.Header.Get("Authorization")})
	h.mu.Unlock()
	if h.Answer != nil && h.Answer(w, r, storage) {
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if storage {
		h.file(w, r, path)
		return
	}
	if rest, ok := strings.CutPrefix(path, "api/"); ok {
		h.api(w, r, rest)
		return
	}
	if !strings.HasPrefix(path, "datasets/") {
		path = "models/" + path
	}
	s := strings.SplitN(path, "/", 6) // kind, owner, name, resolve, revision, file
	if len(s) != 6 || s[3] != "resolve" {
		refuse(w, http.StatusNotFound, "RepoNotFound")
		return
	}
	repo, file := h.at(w, strings.Join(s[:3], "/"), s[4]), s[5]
	if repo == nil {
		return
	}
	w.Header().Set("X-Repo-Commit", repo.Commit)
	if _, ok := repo.Files[file]; !ok {
		refuse(w, http.StatusNotFound, "EntryNotFound")
		return
	}
	if repo.large(file) {
		w.Header().Set("X-Linked-Etag", strconv.Quote(repo.SHA256(file)))
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(repo.Files[file])))
		http.Redirect(w, r, h.Storage+"/"+stored(s[:3], repo, file), http.StatusFound)
		return
	}
	w.Header().Set("Etag", strconv.Quote(repo.BlobID(file)))
	h.file(w, r, stored(s[:3], repo, file))
}

// stored is where the storage has a file.
func stored(name []string, r *Repo, file string) string {
	return strings.Join(name, "/") + "/" + r.Commit + "/" + file
}

func (h *Hub) at(w http.ResponseWriter, name, revision string) *Repo {
	h.mu.Lock()
	defer h.mu.Unlock()
	repo := h.Repos[name]
	switch {
	case repo == nil:
		refuse(w, http.StatusNotFound, "RepoNotFound")
	case revision == "main":
		return repo
	case h.all[name+"@"+revision] != nil:
		return h.all[name+"@"+revision]
	default:
		refuse(w, http.StatusNotFound, "RevisionNotFound")
	}
	return nil
}

// file sends a file, or what is asked of it.
func (h *Hub) file(w http.ResponseWriter, r *http.Request, path string) {
	s := strings.SplitN(path, "/", 5)
	var repo *Repo
	if len(s) == 5 {
		h.mu.Lock()
		repo = h.all[strings.Join(s[:3], "/")+"@"+s[3]]
		h.mu.Unlock()
	}
	if repo == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader([]byte(repo.Files[s[4]])))
}

func (h *Hub) api(w http.ResponseWriter, r *http.Request, path string) {
	s := strings.Split(path, "/") // kind, owner, name, what, revision
	if len(s) != 5 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	repo := h.at(w, strings.Join(s[:3], "/"), s[4])
	if repo == nil {
		return
	}
	names := slices.Sorted(maps.Keys(repo.Files))
	if s[3] == "revision" {
		siblings := []map[string]string{}
		for _, name := range names {
			siblings = append(siblings, map[string]string{"rfilename": name})
		}
		send(w, map[string]any{"id": s[1] + "/" + s[2], "sha": repo.Commit, "siblings": siblings, "private": false, "tags": []string{}, "downloads": 0, "likes": 0})
		return
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	names = names[from:]
	if h.Page > 0 && len(names) > h.Page {
		names = names[:h.Page]
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?recursive=true&cursor=%d>; rel="next"`, h.URL, r.URL.Path, from+h.Page))
	}
	items := []map[string]any{}
	for _, name := range names {
		it := map[string]any{"type": "file", "path": name, "size": len(repo.Files[name]), "oid": repo.BlobID(name)}
		if repo.large(name) {
			it["lfs"] = map[string]any{"oid": repo.SHA256(name), "size": len(repo.Files[name]), "pointerSize": 130}
		}
		if dir, _, ok := strings.Cut(name, "/"); ok {
			items = append(items, map[string]any{"type": "directory", "path": dir, "size": 0, "oid": repo.Commit})
		}
		items = append(items, it)
	}
	send(w, items)
}

func send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is a test's wish
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Error-Code", code)
	w.WriteHeader(status)
}
