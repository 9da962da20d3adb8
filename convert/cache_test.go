package convert

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"criticrm/checkpoint/vfs"
	"criticrm/safefile"
)

// A GGUF file is converted once, by whoever comes first; what lies in the cache is verified, and made again if it was changed.
func TestCached(t *testing.T) {
	path, cache := toGGUF(t, directory(t, "qwen3"), GGUFBF16), t.TempDir()
	var mu sync.Mutex
	var lines []string
	say := func(line string) { mu.Lock(); defer mu.Unlock(); lines = append(lines, line) }
	count := func(text string) (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, line := range lines {
			if strings.Contains(line, text) {
				n++
			}
		}
		return n
	}
	var wg sync.WaitGroup
	dirs := make([]string, 3)
	for i := range dirs {
		wg.Go(func() {
			var err error
			if dirs[i], err = cached(t.Context(), path, cache, say); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sum, err := safefile.SHA256(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := dirs[0]
	if dirs[1] != dir || dirs[2] != dir || filepath.Base(dir) != "model.gguf-"+sum[:12] {
		t.Errorf("directories %v", dirs)
	}
	if made, found := count("converted as BF16"), count("converted before, verified"); made != 1 || found != 2 {
		t.Errorf("made %d times, found %d times: %q", made, found, lines)
	}
	if name := readJSON(t, filepath.Join(dir, "config.json"))["_name_or_path"]; name != "model.gguf (sha256 "+sum+")" {
		t.Errorf("config.json names %v", name)
	}
	write(t, filepath.Join(dir, "tokenizer_config.json"), "{}")
	if _, err := cached(t.Context(), path, cache, say); err != nil {
		t.Fatal(err)
	}
	if count("made again: tokenizer_config.json was changed") != 1 || count("converted as BF16") != 2 {
		t.Errorf("a changed file was not noticed: %q", lines)
	}
	if err := os.Remove(filepath.Join(dir, "generation_config.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := cached(t.Context(), path, cache, say); err != nil {
		t.Fatal(err)
	}
	if count("files of the model") != 1 {
		t.Errorf("a missing file was not noticed: %q", lines)
	}
}

// Who waits for another process can be stopped, and a conversion that is stopped leaves nothing.
func TestCachedStops(t *testing.T) {
	path, cache := toGGUF(t, directory(t, "qwen3"), GGUFBF16), t.TempDir()
	sum, err := safefile.SHA256(path)
	if err != nil {
		t.Fatal(err)
	}
	root, err := vfs.OpenRoot(cache)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	lock, err := root.Lock("model.gguf-" + sum[:12] + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	said := 0
	if _, err := cached(ctx, path, cache, func(string) { said++ }); !errors.Is(err, context.DeadlineExceeded) || said != 1 {
		t.Errorf("got %v, and %d lines", err, said)
	}
	to := filepath.Join(cache, "out")
	if _, err := Convert(ctx, path, to, Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(to + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Only files that are GGUF, or want to be, are taken for one.
func TestDirOfOthers(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x.json"), "{}")
	write(t, filepath.Join(dir, "broken.GGUF"), "GG")
	for _, path := range []string{dir, filepath.Join(dir, "x.json"), filepath.Join(dir, "missing.gguf")} {
		if got, err := Dir(t.Context(), path, func(string) {}); got != path || err != nil {
			t.Errorf("%s became %s, %v", path, got, err)
		}
	}
	if !IsGGUF(filepath.Join(dir, "broken.GGUF")) {
		t.Error("a file with the name of one is not tried")
	}
}
