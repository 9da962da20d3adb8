package corpus

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDataPage holds docs/data.md to the tables of this package.
func TestDataPage(t *testing.T) {
	b, err := os.ReadFile("../docs/data.md")
	if err != nil {
		t.Fatal(err)
	}
	known, unknown, forms := []string{"| benchmark | prompts | from | |", "|---|---|---|---|"}, []string{}, []string{"| form | |", "|---|---|"}
	m := Benchmarks()
	for _, b := range m.Benchmarks {
		var notes []string
		if b.Lacks != "" {
			notes = append(notes, "without "+b.Lacks)
		}
		if b.Note != "" {
			notes = append(notes, b.Note)
		}
		known = append(known, strings.TrimRight(fmt.Sprintf("| `%s` | %d | %s, %s | %s", b.Name, b.Prompts, b.Repository, b.Date, strings.Join(notes, "; ")), " ")+" |")
	}
	for _, u := range m.Unknown {
		unknown = append(unknown, fmt.Sprintf("- %s: %s", u.Name, u.Why))
	}
	for _, f := range Forms() {
		forms = append(forms, fmt.Sprintf("| `%s` | %s |", f.Name, f.Help))
	}
	for name, want := range map[string][]string{"benchmarks": known, "unknown": unknown, "forms": forms} {
		_, rest, _ := strings.Cut(string(b), "<!-- "+name+" -->\n")
		got, _, found := strings.Cut(rest, "<!-- end -->\n")
		if text := "\n" + strings.Join(want, "\n") + "\n\n"; !found || got != text {
			t.Errorf("docs/data.md: behind <!-- %s --> must stand:\n%s<!-- end -->\nand there stands\n%s", name, text, got)
		}
	}
}
