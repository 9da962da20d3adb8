package hub

// The cache as huggingface_hub lays it out: of every repository blobs by their hash, snapshots of commits whose files link to them, refs from
// branches to commits, and trees, which say what files a commit has.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"criticrm/safefile"
)

var (
	commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sha256ID = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// repo is one model or data set in the cache.
type repo struct {
	hub  *Hub
	name Name
	dir  string
}

func (h *Hub) repo(n Name) *repo {
	return &repo{h, n, filepath.Join(h.Cache, folder(n))}
}

func folder(n Name) string { return string(n.Kind) + "--" + strings.ReplaceAll(n.Repo, "/", "--") }

// maxRef bounds a file that names a commit, in bytes.
const maxRef = 256

// commit is the one that the cache knows for the revision; "": it knows none.
func (r *repo) commit() (string, error) {
	if commitID.MatchString(r.name.Revision) {
		return r.name.Revision, nil
	}
	path := filepath.Join(r.dir, "refs", filepath.FromSlash(r.name.Revision))
	b, err := safefile.Read(path, maxRef)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("hub: %w", err)
	}
	commit := strings.TrimSpace(string(b))
	if !commitID.MatchString(commit) {
		return "", fmt.Errorf("hub: %s: %.60q is no commit: the cache is damaged, remove that file", path, commit)
	}
	return commit, nil
}

// snapshot is one commit of a repository in the cache.
type snapshot struct {
	*repo
	commit string
	dir    string
	tree   tree // nil: not known
}

func (r *repo) snapshot(commit string) (*snapshot, error) {
	s := &snapshot{repo: r, commit: commit, dir: filepath.Join(r.dir, "snapshots", commit)}
	var err error
	s.tree, err = readTree(s.treePath())
	return s, err
}

func (s *snapshot) path(file string) string { return filepath.Join(s.dir, filepath.FromSlash(file)) }
func (s *snapshot) blob(hash string) string { return filepath.Join(s.repo.dir, "blobs", hash) }
func (s *snapshot) treePath() string        { return filepath.Join(s.repo.dir, "trees", s.commit+".json") }
func (r *repo) lock(name string) string {
	return filepath.Join(r.hub.Cache, ".locks", folder(r.name), name+".lock")
}
func (r *repo) refPath(revision string) string {
	return filepath.Join(r.dir, "refs", filepath.FromSlash(revision))
}

// has says whether a file is there, whole. What is of another size than the commit says was damaged since.
func (s *snapshot) has(file string) (bool, error) {
	info, err := os.Stat(s.path(file))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil // a link to a blob that was removed, too
	}
	if err != nil {
		return false, fmt.Errorf("hub: %w", err)
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("hub: %s: is not a regular file: the cache is damaged, remove it", s.path(file))
	}
	if e, ok := s.tree[file]; ok && info.Size() != e.size() {
		return false, fmt.Errorf("hub: %s: has %d bytes, of %s at commit %.12s it has %d: the file was changed or cut: remove it, and what it links to",
			s.path(file), info.Size(), s.name.Repo, s.commit, e.size())
	}
	return true, nil
}

// missing lists those of files that are not there.
func (s *snapshot) missing(files []string) (list []string, err error) {
	for _, file := range files {
		has, err := s.has(file)
		if err != nil {
			return nil, err
		}
		if !has {
			list = append(list, file)
		}
	}
	return list, nil
}

// absent says whether the commit is known not to have a file.
func (s *snapshot) absent(file string) bool {
	if s.tree != nil {
		_, ok := s.tree[file]
		return !ok
	}
	_, err := os.Stat(filepath.Join(s.repo.dir, ".no_exist", s.commit, filepath.FromSlash(file)))
	return err == nil
}

// files lists what the commit has, or, where that is not known, what is there of it.
func (s *snapshot) files() (list []string, err error) {
	if s.tree != nil {
		for file := range s.tree {
			list = append(list, file)
		}
		slices.Sort(list)
		return list, nil
	}
	err = filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if rel, err := filepath.Rel(s.dir, path); err == nil {
			list = append(list, filepath.ToSlash(rel))
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	slices.Sort(list)
	return list, nil
}

// tree is what files a commit has.
type tree map[string]entry

// entry is a file of a commit, in huggingface_hub's words.
type entry struct {
	Size      int64  `json:"size"`
	BlobID    string `json:"blob_id"`              // git's hash
	LFSSHA256 string `json:"lfs_sha256,omitempty"` // of a large file
	LFSSize   *int64 `json:"lfs_size,omitempty"`
	XetHash   string `json:"xet_hash,omitempty"` // passed on
}

// hash is what the file's blob is called.
func (e entry) hash() string {
	if e.LFSSHA256 != "" {
		return e.LFSSHA256
	}
	return e.BlobID
}

func (e entry) size() int64 {
	if e.LFSSize != nil {
		return *e.LFSSize
	}
	return e.Size
}

func (e entry) check() error {
	switch {
	case e.size() < 0:
		return fmt.Errorf("size %d", e.size())
	case e.LFSSHA256 != "" && !sha256ID.MatchString(e.LFSSHA256):
		return fmt.Errorf("sha256 %.80q", e.LFSSHA256)
	case e.LFSSHA256 == "" && !commitID.MatchString(e.BlobID):
		return fmt.Errorf("git's hash %.80q", e.BlobID)
	}
	return nil
}

// treeFile is trees/commit.json.
type treeFile struct {
	Format int  `json:"format_version"`
	Files  tree `json:"files"`
}

// treeFormat is the one that is read and written.
const treeFormat = 1

// maxTree bounds the list of a commit's files, in bytes of JSON.
const maxTree = 256 << 20

// readTree gives nil for a list that is not there, or that this program does not understand: it is asked for again.
func readTree(path string) (tree, error) {
	b, err := safefile.Read(path, maxTree)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	var t treeFile
	if json.Unmarshal(b, &t) != nil || t.Format != treeFormat || t.Files == nil {
		return nil, nil
	}
	for file, e := range t.Files {
		if !isInside(file) || e.check() != nil {
			return nil, nil
		}
	}
	return t.Files, nil
}

// keepTree writes the list down.
func (s *snapshot) keepTree() error {
	b, err := json.MarshalIndent(treeFile{treeFormat, s.tree}, "", " ")
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return write(s.treePath(), b)
}

// keepRef writes down which commit the revision is.
func (s *snapshot) keepRef() error {
	if s.name.Revision == s.commit {
		return nil
	}
	path := s.refPath(s.name.Revision)
	if was, err := s.repo.commit(); err == nil && was == s.commit {
		return nil // the cache may be one that cannot be written
	}
	return write(path, []byte(s.commit))
}

// write puts a small file into the cache in one step.
func write(path string, b []byte) error {
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	defer os.Remove(f.Name()) // nothing is there after it was renamed
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return nil
}

// link makes the snapshot's file one of a blob, by a link that still holds where the cache is moved. On a file system without links the blob
// itself becomes the file, or a copy by a second name.
func (s *snapshot) link(file, hash string) error {
	path, blob := s.path(file), s.blob(hash)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	rel, err := filepath.Rel(filepath.Dir(path), blob)
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	defer os.Remove(tmp)
	os.Remove(tmp) // of a process that was killed here
	if err = os.Symlink(rel, tmp); err != nil {
		err = os.Link(blob, tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	} else if _, there := os.Stat(path); there != nil {
		err = os.Rename(blob, path)
	}
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return nil
}

// hold takes a lock that another process may have, and waits for it. It is one that huggingface_hub takes, too.
func (h *Hub) hold(ctx context.Context, path, why string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o664)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	for said := false; ; said = true {
		err := flock(f)
		if err == nil {
			return func() { f.Close() }, nil // which is the end of the lock
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("hub: lock %s: %w", path, err)
		}
		if !said {
			h.say("%s: waiting for another process that does the same (%s)", why, path)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// flock locks an open file, for as long as it is open.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			return err
		}
	}
}
