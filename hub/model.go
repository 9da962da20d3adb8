package hub

// Models: which of a repository's files are one, and whether the cache has them.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"criticrm/gguf"
	"criticrm/safefile"
)

// Parts are the names of a model's files.
type Parts struct {
	Config  string   // what every model has,
	Adapter string   // or what an adapter of one has
	Whole   string   // the weights in one file,
	Index   string   // or what lists the files that they are in
	Others  []string // taken where they are there

	Light  bool   // without the weights, for who reads none
	Sealed string // unless this one is there, which names the hashes of all
}

// Model gives the folder of a model in the cache, or the GGUF file that the name has. What the cache lacks of it is downloaded, unless the network
// is forbidden; what it has is used as it is, and nobody is asked whether there is something newer.
func (h *Hub) Model(ctx context.Context, n Name, p Parts) (string, error) {
	s, err := h.resolve(ctx, n, p.of, false)
	if err != nil {
		return "", err
	}
	if n.Path != "" {
		return s.path(n.Path), nil
	}
	return s.dir, nil
}

// Refresh is Model for people who want the newest: the hub is asked which commit the revision is now.
func (h *Hub) Refresh(ctx context.Context, n Name, p Parts) (string, error) {
	s, err := h.resolve(ctx, n, p.of, true)
	if err != nil {
		return "", err
	}
	return s.path(n.Path), nil
}

// choose gives the files that are wanted of a commit, as far as they can be told: it is asked again when these are there. sure says that it
// knows all that the commit has of them.
type choose func(s *snapshot) (files []string, sure bool, err error)

// resolve makes the wanted files of a commit be there.
func (h *Hub) resolve(ctx context.Context, n Name, want choose, newest bool) (*snapshot, error) {
	r := h.repo(n)
	known, err := r.commit()
	if err != nil {
		return nil, err
	}
	var lacks []string
	if known != "" && !(newest && h.Offline == "") {
		s, err := r.snapshot(known)
		if err != nil {
			return nil, err
		}
		files, sure, err := want(s)
		if err == nil {
			lacks, err = s.missing(files)
		}
		switch {
		case err != nil && s.tree != nil:
			return nil, fmt.Errorf("%w (at commit %.12s, which the cache has; 'criticrm fetch' asks for the newest)", err, known)
		case err != nil && h.Offline != "":
			return nil, err
		case err == nil && len(lacks) == 0 && sure:
			return s, nil
		case err == nil && len(lacks) == 0:
			return h.unsure(ctx, s, want)
		case h.Offline == "" && s.begun(): // two splits, or tokenizer and weights, are of one commit
			if s, err = h.online(ctx, s.atCommit(), want); err != nil {
				err = fmt.Errorf("%w (the cache has a part of commit %.12s; 'criticrm fetch' asks for the newest)", err, known)
			}
			return s, err
		}
	}
	if h.Offline != "" {
		return nil, r.offline(known, lacks)
	}
	return h.online(ctx, r, want)
}

// begun says whether the cache has something of the commit.
func (s *snapshot) begun() bool {
	entries, err := os.ReadDir(s.dir)
	return err == nil && len(entries) > 0
}

// unsure is for a snapshot that has all that is needed, but not written down what else the commit has, as huggingface_hub leaves it: the hub is
// asked for that commit, and where it does not answer what is there is used.
func (h *Hub) unsure(ctx context.Context, s *snapshot, want choose) (*snapshot, error) {
	if h.Offline == "" {
		found, err := h.online(ctx, s.atCommit(), want)
		var f *failure
		if err == nil || !errors.As(err, &f) {
			return found, err
		}
		if t, terr := readTree(s.treePath()); t != nil || terr != nil { // it lacks something, as is known now
			return nil, err
		}
		h.say("%s: %v", s.name, f)
	}
	h.say("%s: from the cache, commit %.12s; whether the commit has more files than those that are there is not written down", s.name, s.commit)
	return s, nil
}

// atCommit is the repository with the snapshot's commit as the revision.
func (s *snapshot) atCommit() *repo {
	r := *s.repo
	r.name.Revision = s.commit
	return &r
}

// online asks the hub for a revision, and gets what is missing.
func (h *Hub) online(ctx context.Context, r *repo, want choose) (*snapshot, error) {
	c, err := h.connect()
	if err != nil {
		return nil, err
	}
	defer c.http.CloseIdleConnections()
	commit, err := c.head(ctx, r.name)
	if err != nil {
		return nil, r.failed(err)
	}
	release, err := h.hold(ctx, r.lock("criticrm"), r.name.String())
	if err != nil {
		return nil, err
	}
	defer release()
	s, err := r.snapshot(commit)
	if err != nil {
		return nil, err
	}
	if err := c.list(ctx, s); err != nil {
		return nil, r.failed(err)
	}
	for {
		files, sure, err := want(s)
		if err != nil {
			return nil, err
		}
		if err := c.fetch(ctx, s, files); err != nil {
			return nil, err
		}
		if sure {
			return s, s.keepRef()
		}
	}
}

// failed says of a name that the hub does not give it.
func (r *repo) failed(err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	if f.nobody {
		err = fmt.Errorf("%w: without a network fetch it elsewhere ('criticrm fetch'), and copy the cache, or name a folder", err)
	}
	return r.name.missing(err)
}

// offline says what the cache lacks.
func (r *repo) offline(commit string, lacks []string) error {
	what := "not have it"
	switch {
	case len(lacks) > 0:
		what = fmt.Sprintf("lack %s of commit %.12s", few(lacks), commit)
	case commit != "":
		what = fmt.Sprintf("not have commit %.12s", commit)
	}
	return r.name.missing(fmt.Errorf("the cache %s does %s, and %s forbids the network", r.hub.Cache, what, r.hub.Offline))
}

// few names the first of a list.
func few(list []string) string {
	const most = 4
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// of gives a model's files.
func (p Parts) of(s *snapshot) (files []string, sure bool, err error) {
	if s.name.Path != "" {
		return p.gguf(s)
	}
	all, err := s.files()
	if err != nil {
		return nil, false, err
	}
	here := func(name string) bool { return slices.Contains(all, name) }
	sure = s.tree != nil
	for _, name := range p.Others {
		switch {
		case here(name):
			files = append(files, name)
		case !s.absent(name):
			sure = false
		}
	}
	if !here(p.Config) && here(p.Adapter) {
		return files, sure, nil
	}
	if files = append(files, p.Config); p.Light && here(p.Config) && !here(p.Sealed) {
		return files, sure, nil
	}
	switch {
	case !here(p.Config) && s.tree != nil:
		return nil, false, noModel(s.name, p.Config, all)
	case here(p.Whole):
		return append(files, p.Whole), sure, nil
	case !here(p.Index) && s.tree != nil:
		return nil, false, noModel(s.name, p.Whole, all)
	case !here(p.Index):
		return append(files, p.Whole), sure, nil
	}
	files = append(files, p.Index)
	if has, err := s.has(p.Index); err != nil || !has {
		return files, false, err
	}
	shards, err := shards(s.path(p.Index))
	if err != nil {
		return nil, false, err
	}
	return append(files, shards...), sure, nil
}

// gguf gives the file that is named, with the others of a model in several.
func (p Parts) gguf(s *snapshot) ([]string, bool, error) {
	files := gguf.Parts(s.name.Path)
	for _, file := range files {
		if _, ok := s.tree[file]; s.tree != nil && !ok {
			all, err := s.files()
			if err != nil {
				return nil, false, err
			}
			return nil, false, noModel(s.name, file, all)
		}
	}
	return files, true, nil
}

// maxIndex bounds an index of shards, in bytes.
const maxIndex = 64 << 20

// shards reads which files an index names.
func shards(index string) (files []string, err error) {
	b, err := safefile.Read(index, maxIndex)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	var x struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &x); err != nil {
		return nil, fmt.Errorf("hub: %s: %w", index, err)
	}
	for _, file := range x.WeightMap {
		if !isInside(file) || strings.Contains(file, "/") || !strings.HasSuffix(file, ".safetensors") {
			return nil, fmt.Errorf("hub: %s: names a file %.80q, want names as model-00001-of-00002.safetensors", index, file)
		}
		files = append(files, file)
	}
	slices.Sort(files)
	if files = slices.Compact(files); len(files) == 0 {
		return nil, fmt.Errorf("hub: %s: names no files", index)
	}
	return files, nil
}

// noModel says what a repository has in place of a model.
func noModel(n Name, lacks string, all []string) error {
	var gguf, pickles []string
	for _, file := range all {
		switch strings.ToLower(path.Ext(file)) {
		case ".gguf":
			gguf = append(gguf, n.Repo+"/"+file)
		case ".bin", ".pt", ".pth", ".onnx":
			pickles = append(pickles, file)
		}
	}
	bare := n
	bare.Path = ""
	switch {
	case len(gguf) > 0:
		return fmt.Errorf("hub: %s: it has no %s, but GGUF files: name one of them: %s", bare, lacks, few(gguf))
	case len(pickles) > 0:
		return fmt.Errorf("hub: %s: it has no %s, but %s, which are not read (a pickle can run code): look for a revision with safetensors, as %s@refs/pr/1", bare, lacks, few(pickles), n.Repo)
	}
	return fmt.Errorf("hub: %s: it has no %s, so it is no model that is read here (it has %s)", bare, lacks, few(all))
}
