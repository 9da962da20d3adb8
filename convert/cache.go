package convert

// A GGUF file in place of a directory: it is converted once, into the user's cache, and found there by its hash.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"criticrm/checkpoint/vfs"
	"criticrm/gguf"
	"criticrm/modeldir"
	"criticrm/safefile"
	"criticrm/strictjson"
	"criticrm/version"
)

// ManifestFile says what a converted directory was made of; it lies beside the weights.
const ManifestFile = "converted.json"

// manifestFormat changes with what a conversion makes of a file: directories of another are made again.
const manifestFormat = 1

// manifest is what converted.json says.
type manifest struct {
	Format  int               `json:"format"`
	Program string            `json:"program"`
	From    string            `json:"from"`   // the file's name
	SHA256  string            `json:"sha256"` // of it; of a model in several files, of their hashes in hexadecimal, a line each
	DType   string            `json:"dtype"`
	Files   map[string]string `json:"files"` // sha256 of what was made, by name
}

// Dir gives the model directory of a path: a GGUF file's is made in the user's cache when it is first asked for, under a name that has the
// file's name and hash, and is verified, file by file, when it is used again. Every other path is given back. say gets lines for people.
func Dir(ctx context.Context, path string, say func(line string)) (string, error) {
	if !IsGGUF(path) {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("convert: %s: no place for what is made of it (%w): convert it yourself with 'criticrm convert'", path, err)
	}
	return cached(ctx, path, filepath.Join(cache, "criticrm", "gguf"), say)
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func cached(ctx context.Context, path, cache string, say func(string)) (string, error) {
	sum, err := hash(gguf.Parts(path))
	if err != nil {
		return "", fmt.Errorf("convert: %w", err)
	}
	name := notInNames.ReplaceAllString(filepath.Base(path), "-") + "-" + sum[:12]
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("convert: %w", err)
	}
	root, err := vfs.OpenRoot(cache)
	if err != nil {
		return "", fmt.Errorf("convert: %s: %w", cache, err)
	}
	defer root.Close()
	lock, err := wait(ctx, root, name+".lock", say)
	if err != nil {
		return "", fmt.Errorf("convert: %s: %w", filepath.Join(cache, name), err)
	}
	defer lock.Close()
	dir := filepath.Join(cache, name)
	switch err := verify(dir, sum); {
	case err == nil:
		say(fmt.Sprintf("%s: converted before, verified: %s", path, dir))
		return dir, nil
	case !errors.Is(err, os.ErrNotExist):
		say(fmt.Sprintf("%s: made again: %v", dir, err))
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("convert: %w", err)
	}
	rep, err := Convert(ctx, path, dir, Options{})
	if err != nil {
		return "", err
	}
	for _, note := range rep.Notes {
		say(path + ": " + note)
	}
	say(fmt.Sprintf("%s: %s, converted as %s: %s", path, rep.What, rep.DType, dir))
	return dir, nil
}

// hash is the sha256 of a file; of several, that of a text with theirs, a line each.
func hash(paths []string) (string, error) {
	all := sha256.New()
	for _, path := range paths {
		sum, err := safefile.SHA256(path)
		if err != nil || len(paths) == 1 {
			return sum, err
		}
		fmt.Fprintln(all, sum)
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// wait takes a lock that another process may hold while it converts the same file.
func wait(ctx context.Context, root *vfs.Root, name string, say func(string)) (io.Closer, error) {
	for said := false; ; said = true {
		lock, err := root.Lock(name)
		var held *vfs.LockedError
		if !errors.As(err, &held) {
			return lock, err
		}
		if !said {
			say(fmt.Sprintf("waiting for another process that converts the same file (%v)", held))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// writeManifest hashes all that was made.
func writeManifest(dir, from, sum, dtype string) error {
	m := manifest{Format: manifestFormat, Program: version.String(), From: filepath.Base(from), SHA256: sum, DType: dtype, Files: map[string]string{}}
	names, err := modeldir.Files(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if m.Files[name], err = safefile.SHA256(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeFiles(dir, []textFile{{ManifestFile, append(b, '\n')}})
}

// verify says whether a directory is what this program made of the file with that hash.
func verify(dir, sum string) error {
	path := filepath.Join(dir, ManifestFile)
	b, err := safefile.Read(path, maxJSON)
	if err != nil {
		return err
	}
	var m manifest
	if err = strictjson.Read(b, func(r *strictjson.Reader) error { return r.Skip() }); err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	names, err := modeldir.Files(dir)
	if err != nil {
		return err
	}
	switch {
	case m.Format != manifestFormat:
		return fmt.Errorf("%s is of another version of this program", path)
	case m.SHA256 != sum:
		return fmt.Errorf("%s names another file", path)
	case len(names) != len(m.Files):
		return fmt.Errorf("there are %d files of the model, %d were made", len(names), len(m.Files))
	}
	for _, name := range names {
		is, err := safefile.SHA256(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if is != m.Files[name] {
			return fmt.Errorf("%s was changed", name)
		}
	}
	return nil
}
