package trainer

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestComingFromPage holds docs/coming-from.md to the table of settings of other trainers.
func TestComingFromPage(t *testing.T) {
	b, err := os.ReadFile("../docs/coming-from.md")
	if err != nil {
		t.Fatal(err)
	}
	want := "\n| setting | understood | otherwise |\n|---|---|---|\n"
	for _, f := range foreigns {
		names := append([]string{f.name}, f.aliases...)
		for i, n := range names {
			names[i] = "`" + n + "`"
		}
		var fine []string
		for _, v := range f.fine {
			if v != "" {
				fine = append(fine, v)
			}
		}
		is := strings.Join(fine, ", ")
		switch {
		case slices.Contains(f.fine, "*"):
			is = "always: it changes no result"
		case is == "":
			is = "–"
		}
		want += fmt.Sprintf("| %s | %s | %s |\n", strings.Join(names, ", "), is, f.instead)
	}
	want += "\n"
	_, rest, _ := strings.Cut(string(b), "<!-- foreign -->\n")
	if got, _, found := strings.Cut(rest, "<!-- end -->\n"); !found || got != want {
		t.Errorf("docs/coming-from.md: behind <!-- foreign --> must stand:\n%s<!-- end -->\nand there stands\n%s", want, got)
	}
}
