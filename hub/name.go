package hub

// Names: owner/name, a revision, and a place inside.

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Name is what somebody has named.
type Name struct {
	Kind     Kind
	Repo     string // owner/name, or the name alone of a few old ones
	Revision string // branch, tag or commit
	Path     string // inside: a file, a pattern, a folder, a split; "": all
	Sure     bool   // it began with hf://, so it is no path that is missing
}

// DefaultRevision is the one that is meant where none is named.
const DefaultRevision = "main"

// String is the name as it may be given again.
func (n Name) String() string {
	s := n.Repo
	if n.Revision != DefaultRevision {
		s += "@" + n.Revision
	}
	if n.Path != "" {
		s += "/" + n.Path
	}
	return s
}

var (
	part     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	revision = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+/-]*$`)
	// specialRevision is one of those with slashes, in a name.
	specialRevision = regexp.MustCompile(`^refs/(?:convert|pr)/[A-Za-z0-9._-]+`)
	// fileName is what no name on the hub ends with.
	fileName = regexp.MustCompile(`(?i)\.(jsonl?|csv|tsv|parquet|txt|gz|zst|gguf|safetensors|yaml|yml|bin|html|md)$`)
)

// maxName bounds a name, in bytes; the hub's limit of owner/name is 96.
const maxName = 1024

// Parse tells whether a text names something on the hub, in the form
//
//	owner/name                 a model, or the only split of a data set
//	owner/name@revision        at a branch, a tag or a commit
//	owner/name/file.gguf       a file of a model
//	owner/name/train           a data set's split, configuration, folder or file, or a pattern of files
//	hf://datasets/owner/name   the same, where a name could be taken for a path
//
// What exists under the text is a path, and so is what would lie in a folder that exists.
func Parse(text string, kind Kind) (Name, bool) {
	n := Name{Kind: kind, Revision: DefaultRevision}
	rest, sure := strings.CutPrefix(text, "hf://")
	if n.Sure = sure; sure {
		switch before, after, _ := strings.Cut(rest, "/"); before {
		case string(Model), string(Dataset):
			n.Kind, rest = Kind(before), after
		}
	}
	if len(text) > maxName || strings.ContainsAny(rest, "\\\x00\n") {
		return n, false
	}
	owner, rest, ok := strings.Cut(rest, "/")
	if !ok || !part.MatchString(owner) || !sure && isPath(text, owner) {
		return n, false
	}
	name, inside, _ := strings.Cut(rest, "/")
	name, at, revised := strings.Cut(name, "@")
	if revised {
		if special := specialRevision.FindString(at + "/" + inside); special != "" {
			at, inside = special, strings.TrimPrefix(strings.TrimPrefix(at+"/"+inside, special), "/")
		} else if plain, err := url.PathUnescape(at); err == nil { // refs%2Fpr%2F1
			at = plain
		}
		n.Revision = at
	}
	n.Repo, n.Path = owner+"/"+name, strings.Trim(inside, "/")
	switch {
	case !part.MatchString(name), len(n.Repo) > 96, strings.Contains(n.Repo, "--"), strings.Contains(n.Repo, ".."):
		return n, false
	case !revision.MatchString(n.Revision), strings.Contains(n.Revision, ".."), strings.HasSuffix(n.Revision, "/"), strings.Contains(n.Revision, "//"):
		return n, false
	case n.Path == "" && strings.HasSuffix(text, "/"), n.Path != "" && !isInside(n.Path):
		return n, false
	case !sure && n.Path == "" && fileName.MatchString(name): // a file that is missing
		return n, false
	case n.Kind == Model && n.Path != "" && !strings.HasSuffix(strings.ToLower(n.Path), ".gguf"):
		return n, false
	}
	return n, true
}

// isPath says whether a text is a path: it exists, or the folder does in which it would lie.
func isPath(text, owner string) bool {
	for _, path := range [...]string{text, owner} {
		if _, err := os.Stat(filepath.FromSlash(path)); err == nil {
			return true
		}
	}
	return false
}

// isInside says whether a name of a file, which a stranger may have given, stays inside the folder that it is relative to.
func isInside(name string) bool {
	if name == "" || len(name) > maxName || strings.ContainsAny(name, "\\") || !filepath.IsLocal(name) {
		return false
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	for _, segment := range strings.Split(name, "/") {
		if segment == "" || segment == "." || segment == ".." || len(segment) > 255 {
			return false
		}
	}
	return true
}

// Of tells which model or data set a path inside a cache is of, and of which commit: …/models--owner--name/snapshots/commit.
func Of(path string) (n Name, ok bool) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return n, false
	}
	segments := strings.Split(filepath.ToSlash(abs), "/")
	for i := len(segments) - 3; i > 0; i-- {
		kind, repo, found := strings.Cut(segments[i], "--")
		if found && segments[i+1] == "snapshots" && commitID.MatchString(segments[i+2]) && (kind == string(Model) || kind == string(Dataset)) {
			return Name{Kind: Kind(kind), Repo: strings.Replace(repo, "--", "/", 1), Revision: segments[i+2], Path: strings.Join(segments[i+3:], "/")}, true
		}
	}
	return n, false
}

// Title names a path in one word: the last part of it, and of a snapshot the last part of the model's or data set's name.
func Title(path string) string {
	if n, ok := Of(path); ok && n.Path == "" {
		return n.Repo[strings.LastIndexByte(n.Repo, '/')+1:]
	}
	return filepath.Base(path)
}

// missing says of a name that it is no path either.
func (n Name) missing(err error) error {
	if n.Sure {
		return fmt.Errorf("hub: %s: %w", n, err)
	}
	return fmt.Errorf("hub: %s: there is no such file or directory, and as a name on Hugging Face's hub: %w", n, err)
}
