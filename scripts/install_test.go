package scripts

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	program, prefix := filepath.Join(dir, "program"), filepath.Join(dir, "a prefix")
	stub := "#!/bin/sh\ncase $1 in man) echo page >\"$2/criticrm.1\" ;; completion) echo for $2 ;; version) echo criticrm 1.2.3 ;; esac\n"
	if err := os.WriteFile(program, []byte(stub), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		out, err := exec.Command("sh", append([]string{"install.sh"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	stale, other := filepath.Join(prefix, "share/man/man1/criticrm-gone.1"), filepath.Join(prefix, "share/man/man1/other.1")
	for _, name := range []string{stale, other} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if out := run(program, prefix); !strings.Contains(out, "criticrm 1.2.3") {
			t.Errorf("install says %q", out)
		}
		want := []string{"bin/criticrm", "share/bash-completion/completions/criticrm", "share/fish/vendor_completions.d/criticrm.fish",
			"share/man/man1/criticrm.1", "share/man/man1/other.1", "share/zsh/site-functions/_criticrm"}
		if got := files(t, prefix); !slices.Equal(got, want) {
			t.Errorf("there are %v, want %v", got, want)
		}
	}
	if info, err := os.Stat(filepath.Join(prefix, "bin/criticrm")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the program: %v, %v", info, err)
	}
	if text, err := os.ReadFile(filepath.Join(prefix, "share/zsh/site-functions/_criticrm")); err != nil || string(text) != "for zsh\n" {
		t.Errorf("zsh's completion is %q, %v", text, err)
	}
	run("--remove", prefix)
	if got := files(t, prefix); !slices.Equal(got, []string{"share/man/man1/other.1"}) {
		t.Errorf("%v is left", got)
	}
}

func files(t *testing.T, root string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(root, path)
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// `make help` is the list of targets.
func TestHelpHasEveryTarget(t *testing.T) {
	text, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	phony := regexp.MustCompile(`(?m)^\.PHONY: (.*)$`).FindSubmatch(text)
	if phony == nil {
		t.Fatal("the Makefile has no list of targets")
	}
	out, err := exec.Command("make", "-s", "-C", "..", "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range strings.Fields(string(phony[1])) {
		if !regexp.MustCompile(`(?m)^` + target + ` +\S`).Match(out) {
			t.Errorf("make help does not know %s", target)
		}
	}
	targets := regexp.MustCompile(`(?m)^[a-z-]+:.*`).FindAllString(string(text), -1)
	targets = slices.DeleteFunc(targets, func(line string) bool { return strings.Contains(line, ": export ") }) // a variable of a target
	if len(targets) != len(strings.Fields(string(phony[1]))) {
		t.Errorf("the Makefile's targets are %v, its list is %s", targets, phony[1])
	}
}
