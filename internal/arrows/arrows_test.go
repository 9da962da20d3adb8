// Package arrows holds the packages to the table of DESIGN.md that says which may import which.
package arrows

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path in go.mod, in front of every package's own.
const module = "criticrm/"

// everything stands in the table for a package that may import all others.
const everything = "*"

// A package imports what the table says and nothing else, with any build tags; a line that is no longer true is an error too, so that the
// table can be read in place of the code. An arrow that is not there is a decision: change the design first.
func TestImportsAreThoseOfTheDesign(t *testing.T) {
	root := filepath.Join("..", "..")
	design, err := os.ReadFile(filepath.Join(root, "DESIGN.md"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := table(string(design))
	if len(allowed) < 20 {
		t.Fatalf("DESIGN.md's table of arrows has %d lines", len(allowed))
	}
	found := imports(t, root)
	for _, pkg := range slices.Sorted(maps.Keys(found)) {
		may, ok := allowed[pkg]
		if !ok {
			t.Errorf("%s is not in DESIGN.md's table of arrows", pkg)
			continue
		}
		if slices.Equal(may, []string{everything}) {
			continue
		}
		is := slices.Sorted(maps.Keys(found[pkg]))
		for _, to := range is {
			if !slices.Contains(may, to) {
				t.Errorf("%s imports %s (%s): DESIGN.md has no such arrow", pkg, to, found[pkg][to])
			}
		}
		for _, to := range may {
			if !slices.Contains(is, to) {
				t.Errorf("DESIGN.md lets %s import %s, which it does not", pkg, to)
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(allowed)) {
		if _, ok := found[pkg]; !ok {
			t.Errorf("DESIGN.md's table of arrows has %s, which is no package", pkg)
		}
	}
	if cycle := circle(allowed); cycle != nil {
		t.Errorf("DESIGN.md's arrows go in a circle: %v", cycle)
	}
}

var line = regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\| ([^|]*) \\|")

// table reads the lines "| `package` | `import`, `import` | … |" of the design.
func table(design string) map[string][]string {
	_, design, _ = strings.Cut(design, "\n## Layout and arrows")
	design, _, _ = strings.Cut(design, "\n## ")
	arrows := map[string][]string{}
	for _, m := range line.FindAllStringSubmatch(design, -1) {
		list := []string{}
		for _, to := range strings.Split(m[2], ",") {
			if to = strings.Trim(to, " `–"); to != "" {
				list = append(list, to)
			}
		}
		arrows[m[1]] = list
	}
	return arrows
}

// imports lists what the files of each package import of ours, tests left out, with a file that does.
func imports(t *testing.T, root string) map[string]map[string]string {
	t.Helper()
	found := map[string]map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "build" || name == "bin" || name == "runs") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		if found[pkg] == nil {
			found[pkg] = map[string]string{}
		}
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			to, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if to, ok := strings.CutPrefix(to, module); ok {
				found[pkg][to] = name
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// circle gives packages that import each other in a ring, if some do.
func circle(arrows map[string][]string) []string {
	state := map[string]int{} // 1: on the way, 2: done
	var path []string
	var walk func(string) []string
	walk = func(p string) []string {
		state[p] = 1
		path = append(path, p)
		for _, to := range arrows[p] {
			switch state[to] {
			case 1:
				return append(slices.Clone(path[slices.Index(path, to):]), to)
			case 0:
				if c := walk(to); c != nil {
					return c
				}
			}
		}
		state[p] = 2
		path = path[:len(path)-1]
		return nil
	}
	for _, p := range slices.Sorted(maps.Keys(arrows)) {
		if state[p] == 0 {
			if c := walk(p); c != nil {
				return c
			}
		}
	}
	return nil
}

func TestCircle(t *testing.T) {
	if c := circle(map[string][]string{"a": {"b", "c"}, "b": {"c"}, "c": {}}); c != nil {
		t.Errorf("found %v", c)
	}
	if c := circle(map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"b"}}); !slices.Equal(c, []string{"b", "c", "b"}) {
		t.Errorf("found %v", c)
	}
}
