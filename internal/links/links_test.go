// Package links holds the documents to their links: files and headings that they name are there. It needs no network, so addresses of
// the web are not followed.
package links

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestDocuments(t *testing.T) {
	root := filepath.Join("..", "..")
	broken, links := check(t, root)
	for _, b := range broken {
		t.Error(b)
	}
	if links < 1 {
		t.Errorf("found %d links in the documents: is this the repository?", links)
	}
}

func TestBrokenLinks(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"README.md": "# The Front, `door`!\n[a](docs/a.md) [b](docs/b.md) [c](docs/a.md#two-words-1) [d](docs/a.md#none) [e](#the-front-door) [f](#gone)\n" +
			"<img src=\"docs/none.png\">\n```\n# no heading\n[not](a.link)\n```\n`[nor](this)` [web](https://example.org/x#y)\n[out](../x)\n\n[ref]: docs/c.md\n",
		"docs/a.md":       "## Two words\n[up](../README.md) <a id=\"mark\"></a>[here](#mark)\n## Two words\n",
		"build/ignore.md": "[x](y)\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, links := check(t, root)
	want := []string{
		"README.md:2: docs/b.md is not there",
		"README.md:2: docs/a.md#none: docs/a.md has no such heading",
		"README.md:2: #gone: README.md has no such heading",
		"README.md:3: docs/none.png is not there",
		"README.md:9: ../x is outside of the repository",
		"README.md:11: docs/c.md is not there",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if links != 12 {
		t.Errorf("found %d links, want 12", links)
	}
}

var (
	link   = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)|(?:src|href)="([^"]+)"|^\s*\[[^\]]+\]:\s+(\S+)`)
	code   = regexp.MustCompile("`[^`]*`")
	marked = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	web    = regexp.MustCompile(`^([a-z]+:|//)`)
)

// check gives a line for each broken link in the documents under root, and how many links there are.
func check(t *testing.T, root string) (broken []string, links int) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == ".git" || name == "build" || name == "bin" || name == "runs") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".md" {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for n, line := range prose(t, path) {
			for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
				target := m[1] + m[2] + m[3]
				links++
				if fault := follow(t, root, rel, target); fault != "" {
					broken = append(broken, fmt.Sprintf("%s:%d: %s", rel, n+1, fault))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return broken, links
}

// follow says what is wrong with a link of the document rel, if anything is.
func follow(t *testing.T, root, rel, target string) string {
	t.Helper()
	if web.MatchString(target) {
		return ""
	}
	file, heading, _ := strings.Cut(target, "#")
	to := rel
	if file != "" {
		to = filepath.Join(filepath.Dir(rel), filepath.FromSlash(file))
	}
	if !filepath.IsLocal(to) {
		return target + " is outside of the repository"
	}
	if _, err := os.Stat(filepath.Join(root, to)); err != nil {
		return target + " is not there"
	}
	if heading != "" && filepath.Ext(to) == ".md" && !slices.Contains(anchors(t, filepath.Join(root, to)), heading) {
		return fmt.Sprintf("%s: %s has no such heading", target, filepath.ToSlash(to))
	}
	return ""
}

// prose is the lines of a document, those of code blocks empty.
func prose(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	fenced := false
	for i, l := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(l), "```")
		if fenced || fence || strings.HasPrefix(l, "    ") {
			lines[i] = ""
		}
		fenced = fenced != fence
	}
	return lines
}

// anchors are the names that links to parts of a document have, as GitHub makes them of its headings.
func anchors(t *testing.T, path string) []string {
	t.Helper()
	var list []string
	seen := map[string]int{}
	for _, l := range prose(t, path) {
		for _, m := range marked.FindAllStringSubmatch(l, -1) {
			list = append(list, m[1])
		}
		level := len(l) - len(strings.TrimLeft(l, "#"))
		if level == 0 || level > 6 || !strings.HasPrefix(l[level:], " ") {
			continue
		}
		name := slug(l[level:])
		if n := seen[name]; n > 0 {
			list = append(list, fmt.Sprintf("%s-%d", name, n))
		} else {
			list = append(list, name)
		}
		seen[name]++
	}
	return list
}

func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}
