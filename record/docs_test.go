package record

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDataPage holds docs/data.md to the tables of this package.
func TestDataPage(t *testing.T) {
	b, err := os.ReadFile("../docs/data.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	rows := []string{"| column | read by |", "|---|---|"}
	for _, c := range columns() {
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", c.key, c.use))
	}
	code := func(names []string) (list []string) {
		line := ""
		for i, n := range names {
			if n = "`" + n + "`"; i < len(names)-1 {
				n += ","
			}
			if len(line)+len(n) >= 100 {
				list, line = append(list, line), ""
			}
			line = strings.TrimPrefix(line+" "+n, " ")
		}
		return append(list, line)
	}
	for name, want := range map[string][]string{"columns": rows, "refused": code(refusedColumns()), "harmless": code(harmlessColumns())} {
		_, rest, _ := strings.Cut(page, "<!-- "+name+" -->\n")
		got, _, found := strings.Cut(rest, "<!-- end -->\n")
		if text := "\n" + strings.Join(want, "\n") + "\n\n"; !found || got != text {
			t.Errorf("docs/data.md: behind <!-- %s --> must stand:\n%s<!-- end -->\nand there stands\n%s", name, text, got)
		}
	}
	var layouts []string
	_, rest, _ := strings.Cut(page, "| layout |")
	for _, line := range strings.Split(rest, "\n")[2:] {
		if !strings.HasPrefix(line, "| ") {
			break
		}
		layouts = append(layouts, strings.Trim(strings.Split(line, "|")[1], " "))
	}
	var want, refused []string
	for _, s := range schemas() {
		if s.decode != nil {
			want = append(want, s.Name)
		} else {
			refused = append(refused, s.Name)
		}
	}
	if !slices.Equal(layouts, want) {
		t.Errorf("docs/data.md lists the layouts\n%q, want\n%q", layouts, want)
	}
	if list := strings.Join(refused, ", "); !strings.Contains(strings.Join(strings.Fields(page), " "), list) {
		t.Errorf("docs/data.md does not say that these are refused: %s", list)
	}
	for _, p := range OverlongPolicies() {
		if !strings.Contains(page, "| `"+p+"` |") {
			t.Errorf("docs/data.md does not explain %s", p)
		}
	}
}
