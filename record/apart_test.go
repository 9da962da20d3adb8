package record_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/record"
)

// An output is no file of the input, whatever way the input names it.
func TestApart(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"a.jsonl", "b.jsonl", "d/c.jsonl", "d/sub/e.jsonl"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("{}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a.jsonl", "link.jsonl"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("d", "ln"); err != nil {
		t.Fatal(err)
	}
	const is, would = "is what is read", "would be read as a part of"
	for _, c := range []struct{ in, out, want string }{
		{"a.jsonl", "a.jsonl", is},
		{"a.jsonl", "./a.jsonl", is},
		{"a.jsonl", "link.jsonl", is},
		{"a.jsonl", "b.jsonl", ""},
		{"a.jsonl", "-", ""},
		{"-", "a.jsonl", ""},
		{"a.jsonl,b.jsonl", "b.jsonl", is},
		{"a.jsonl:0.5,b.jsonl:0.5", "b.jsonl", is},
		{"a.jsonl,b.jsonl", "c.jsonl", ""},
		{"d", "d/c.jsonl", is},
		{"d", "d/sub/e.jsonl", is},
		{"d", "d/new.jsonl", would},
		{"d", "d/sub/new.jsonl.zst", would},
		{"d", filepath.Join(dir, "d/new.jsonl"), would},
		{"d", "ln/new.jsonl", would},
		{"ln", "d/new.jsonl", would},
		{"a.jsonl,d", "d/new.jsonl", would},
		{"d", "d/.new.jsonl", ""},
		{"d", "d/new.html", ""},
		{"d", "d/new.jsonl.bad.jsonl", ""},
		{"d", "new.jsonl", ""},
		{"d", "d2/new.jsonl", ""},
		{"[ab].jsonl", "b.jsonl", is},
		{"*.jsonl", "new.jsonl", would},
		{"*.jsonl", "./new.jsonl", would},
		{"*.jsonl", "d/new.jsonl", ""},
		{"*.jsonl", ".new.jsonl", ""},
		{"d/*.jsonl", "ln/new.jsonl", would},
		{"*/*.jsonl", "d/new.jsonl", would},
		{"*/*.jsonl", "new.jsonl", ""},
		{"nowhere.jsonl", "new.jsonl", ""},
	} {
		err := record.Apart(c.in, c.out)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s to %s: %v, want %q", c.in, c.out, err, c.want)
		}
	}
}
