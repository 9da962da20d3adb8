package record

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables into docs/data.md")

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
	for name, want := range map[string][]string{"columns": rows, "refused": code(refusedColumns()), "harmless": code(harmlessColumns()), "layouts": layoutLists(t), "kinds": kindRows()} {
		_, rest, _ := strings.Cut(page, "<!-- "+name+" -->\n")
		got, _, found := strings.Cut(rest, "<!-- end -->\n")
		text := "\n" + strings.Join(want, "\n") + "\n\n"
		if found && got != text && *update {
			page = strings.Replace(page, "<!-- "+name+" -->\n"+got, "<!-- "+name+" -->\n"+text, 1)
			if err := os.WriteFile("../docs/data.md", []byte(page), 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !found || got != text {
			t.Errorf("docs/data.md: behind <!-- %s --> must stand:\n%s<!-- end -->\nand there stands\n%s", name, text, got)
		}
	}
	for _, p := range OverlongPolicies() {
		if !strings.Contains(page, "| `"+p+"` |") {
			t.Errorf("docs/data.md does not explain %s", p)
		}
	}
}

// kindRows is the table of kinds of files.
func kindRows() []string {
	rows := []string{"| kind | names end in | its rows |", "|---|---|---|"}
	for _, k := range kinds() {
		rows = append(rows, fmt.Sprintf("| %s | `%s` | %s |", k.name, strings.Join(k.endings, "`, `"), k.rows))
	}
	return rows
}

// layoutLists are the layouts by use and name, as lists, because cells of this length cannot be read on a phone.
func layoutLists(t *testing.T) (lines []string) {
	uses := []string{ForPairs, ForResponses, ForDocuments}
	groups := map[string][]*Schema{}
	const refused = "nothing: they are known, and refused"
	for _, s := range schemas() {
		use := s.For
		if s.decode == nil {
			use = refused
		}
		if use == "" || s.From == "" || s.decode != nil && s.Has == "" || s.decode == nil && s.instead == "" {
			t.Errorf("%s: the table does not say what a row has, what for, or from where", s)
		}
		if !slices.Contains(uses, use) && s.decode != nil {
			uses = append(uses, use)
		}
		groups[use] = append(groups[use], s)
	}
	for _, use := range append(uses, refused) {
		list := groups[use]
		slices.SortFunc(list, func(a, b *Schema) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
		if len(list) == 0 {
			continue
		}
		lines = append(lines, "", "For "+use+":", "")
		for _, s := range list {
			text := s.Has
			if s.decode == nil {
				text = s.instead
			}
			line := "-"
			for _, word := range strings.Fields("**" + s.Name + "** (" + s.From + "): " + text + ".") {
				if len([]rune(line))+1+len([]rune(word)) > 120 {
					lines, line = append(lines, line), " "
				}
				line += " " + word
			}
			lines = append(lines, line)
		}
	}
	return lines[1:]
}
