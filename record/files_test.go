package record_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/hub"
	"criticrm/record"
	"criticrm/record/recordtest"
)

// folderOf makes files in a folder and enters it.
func folderOf(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}

// rowsNamed is n pairs whose prompts have a name.
func rowsNamed(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"prompt":"%s%d","chosen":"c","rejected":"r"}`+"\n", name, i+1)
	}
	return b.String()
}

func TestFiles(t *testing.T) {
	folderOf(t, map[string]string{"a.jsonl": "", "b.csv": "", "c,d.jsonl": "", "e:0.5": "", "f[1].jsonl": "", "f1.jsonl": "",
		"data/z.parquet": "", "data/a.jsonl.gz": "", "data/deep/m.tsv": "", "data/README.md": "", "data/.hidden.jsonl": "", "data/a.jsonl.gz.stage.json": "", "data/x.bad.jsonl": "",
		"splits/train-0.jsonl": "", "splits/test-0.jsonl": "", "empty/x.txt": ""})
	list := func(files []record.File) string {
		var s []string
		for _, f := range files {
			text := f.Path
			if f.Weight > 0 {
				text += fmt.Sprintf(":%v", f.Weight)
			}
			if f.Stream {
				text += " (once)"
			}
			s = append(s, text)
		}
		return strings.Join(s, " | ")
	}
	for input, want := range map[string]string{
		"a.jsonl":                 "a.jsonl",
		"a.jsonl,b.csv":           "a.jsonl | b.csv",
		"b.csv:3,a.jsonl:0.5":     "b.csv:3 | a.jsonl:0.5",
		"c,d.jsonl":               "c,d.jsonl",
		"a.jsonl,c,d.jsonl,b.csv": "a.jsonl | c,d.jsonl | b.csv",
		"a.jsonl:1,c,d.jsonl:2":   "a.jsonl:1 | c,d.jsonl:2",
		"e:0.5":                   "e:0.5",
		"e:0.5,a.jsonl":           "e:0.5 | a.jsonl",
		"f[1].jsonl":              "f[1].jsonl",
		"f?.jsonl":                "f1.jsonl",
		"*.jsonl":                 "a.jsonl | c,d.jsonl | f1.jsonl | f[1].jsonl",
		"data":                    "data/a.jsonl.gz | data/deep/m.tsv | data/z.parquet",
		"data:0.2,a.jsonl:0.8":    "data/a.jsonl.gz:0.2 | data/deep/m.tsv:0.2 | data/z.parquet:0.2 | a.jsonl:0.8",
		"splits/train*":           "splits/train-0.jsonl",
		"-":                       "- (once)",
		"-,a.jsonl":               "- (once) | a.jsonl",
		"a.jsonl,a.jsonl":         "error: a.jsonl: is named twice in",
		"data,data/z.parquet":     "error: data/z.parquet: is named twice in",
		"a.jsonl:0.5,b.csv":       "error: a.jsonl:0.5,b.csv: 1 of 2 have a weight",
		"a.jsonl:0,b.csv:1":       "error: a.jsonl:0: want a weight above 0",
		"a.jsonl:-1,b.csv:1":      "error: a.jsonl:-1: want a weight above 0",
		"a.jsonl:inf,b.csv:1":     "error: a.jsonl:inf: want a weight above 0",
		"a.jsonl:nan,b.csv:1":     "error: a.jsonl:nan: want a weight above 0",
		"a.jsonl,,b.csv":          `error: "a.jsonl,,b.csv": a name in the list is empty`,
		"a.jsonl,none.jsonl":      "error: stat none.jsonl: no such file",
		"none*":                   "error: none*: no file has such a name",
		"**/*.jsonl":              "error: **/*.jsonl: ** is not known in patterns: name the folder",
		"splits":                  "error: splits: is a folder with files of several splits, test (test-0.jsonl), train (train-0.jsonl): name the files of one, as 'splits/train*'",
		"empty":                   "error: empty: is a folder without data files",
	} {
		files, err := record.Files(input)
		got := list(files)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want && (err == nil || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: %s, want %s", input, got, want)
		}
	}
	if got := record.Title("data:0.2,a.jsonl:0.8"); got != "a.jsonl.gz:0.2,m.tsv:0.2,z.parquet:0.2,a.jsonl:0.8" {
		t.Error(got)
	}
}

// Several files are read in order, of whatever kind and layout each is; default ids differ, and places name their file.
func TestSeveralFiles(t *testing.T) {
	folderOf(t, map[string]string{"a.jsonl": rowsNamed("a", 2), "b.csv": "prompt,chosen,rejected\nb1,c,r\n", "c.json": `[{"prompt":"c1","response":"x"}]`,
		"d.jsonl": rowsNamed("d", 1) + `{"prompt":"d2","chosen":"c"}` + "\n", "e.jsonl": "\n"})
	r, err := record.Open("a.jsonl,b.csv,c.json", record.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	check := record.NewChecker()
	for rec, err := range r.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if err := check.Add(rec); err != nil {
			t.Fatal(err)
		}
		rec.Chosen = strings.Join(rec.Texts(), "")
		got = append(got, rec.ID+" "+rec.Where("-")+" "+rec.Prompt.String())
	}
	if want := []string{"row-1-1 a.jsonl:1 a1", "row-1-2 a.jsonl:2 a2", "row-2-2 b.csv:2 b1", "row-3-1 c.json:1 c1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if want := []string{"3 files: a.jsonl (2 records), b.csv (1 records), c.json (1 records)"}; !slices.Equal(r.Lines(), want) || r.Layouts() != "prompt/chosen/rejected, prompt/response" {
		t.Errorf("%q, %s", r.Lines(), r.Layouts())
	}
	sha, n, err := r.Sum()
	again, m, errs := record.Sum("a.jsonl,b.csv,c.json")
	if other, _, _ := record.Sum("b.csv,a.jsonl,c.json"); err != nil || errs != nil || sha != again || n != m || sha == other {
		t.Errorf("sums %s %d %v, %s %d %v, %s in another order", sha, n, err, again, m, errs, other)
	}
	_, err = record.ReadFile("a.jsonl,d.jsonl", record.ReadOptions{})
	recordtest.WantError(t, err, `d.jsonl:2: key "rejected" is missing`)
	if list, err := record.ReadFile("e.jsonl,a.jsonl", record.ReadOptions{}); err != nil || len(list) != 2 {
		t.Errorf("a file without rows among others: %d, %v", len(list), err)
	}
	// What is wrong with a pair of records names the files of both.
	list, err := record.ReadFile("a.jsonl,d.jsonl", record.ReadOptions{MaxBad: 1})
	if err != nil {
		t.Fatal(err)
	}
	list[2].ID = "row-1-2"
	check = record.NewChecker()
	for _, rec := range list {
		if err := check.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := check.Finish(); err != nil {
		t.Fatal(err)
	}
	if want := `d.jsonl:1 (id "row-1-2"): duplicate id, see a.jsonl:2`; len(check.Issues) != 1 || check.Issues[0].String() != want {
		t.Errorf("%v, want %s", check.Issues, want)
	}
	if err := list[2].Fault("no"); err.Error() != `d.jsonl:1: record "row-1-2": no` {
		t.Error(err)
	}
}

// Weights mix files in their ratio, the same way each time, until one has no more; what is left of the others is counted.
func TestWeights(t *testing.T) {
	folderOf(t, map[string]string{"a.jsonl": rowsNamed("a", 70), "b.jsonl": rowsNamed("b", 60), "x/c1.jsonl": rowsNamed("c", 3), "x/c2.jsonl": rowsNamed("d", 60), "e.jsonl": ""})
	read := func(input string) (order, notes string) {
		r, err := record.Open(input, record.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for rec, err := range r.Records() {
			if err != nil {
				t.Fatal(err)
			}
			order += rec.Prompt.Text[:1]
		}
		return order, strings.Join(r.Lines(), "; ")
	}
	order, notes := read("a.jsonl:0.7,b.jsonl:0.3")
	if again, _ := read("a.jsonl:7,b.jsonl:3"); again != order {
		t.Error("the ratio alone does not decide")
	}
	if order[:10] != "aabaabaaab" || strings.Count(order, "a") != 70 || strings.Count(order, "b") != 30 {
		t.Errorf("%s", order)
	}
	if want := "b.jsonl: 30 rows are not reached, because a.jsonl has no more (weights 0.3 and 0.7); 2 files: a.jsonl (70 records), b.jsonl (30 records)"; notes != want {
		t.Errorf("%s, want %s", notes, want)
	}
	for n := 10; n <= 100; n += 10 {
		if k := strings.Count(order[:n], "b"); k < n*3/10-1 || k > n*3/10+1 {
			t.Errorf("%d of the first %d", k, n)
		}
	}
	if order, _ := read("x:1,a.jsonl:1"); order[:8] != "cacacada" { // files of a folder share its weight
		t.Error(order)
	}
	plain, _, _ := record.Sum("a.jsonl,b.jsonl")
	mixed, _, _ := record.Sum("a.jsonl:0.7,b.jsonl:0.3")
	other, _, err := record.Sum("a.jsonl:0.6,b.jsonl:0.4")
	if err != nil || plain == mixed || mixed == other {
		t.Error("weights do not count in the sum", err)
	}
	_, err = record.ReadFile("a.jsonl:0.5", record.ReadOptions{}) // half of it, somebody might think
	recordtest.WantError(t, err, "a.jsonl:0.5: a weight says how much of a mixture an input is, and there is no other one")
	_, err = record.ReadFile("a.jsonl:1,e.jsonl:1", record.ReadOptions{})
	recordtest.WantError(t, err, "e.jsonl: no examples, so that nothing can be mixed with it")
}

// Standard input and pipes are read, once.
func TestPipes(t *testing.T) {
	list, err := record.ReadFile("-", record.ReadOptions{Stdin: strings.NewReader(rowsNamed("a", 3))})
	if err != nil || len(list) != 3 || list[0].Where("-") != "-:1" {
		t.Errorf("%d, %v", len(list), err)
	}
	_, err = record.ReadFile("-", record.ReadOptions{Stdin: strings.NewReader("{")})
	recordtest.WantError(t, err, "standard input:1: ")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() { io.WriteString(w, rowsNamed("a", 5000)); w.Close() }()
	path := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(path); err != nil {
		t.Skip("no /dev/fd here")
	}
	if err := record.Rereadable(path); err == nil || !strings.Contains(err.Error(), "can be read once only") {
		t.Error(err)
	}
	if _, _, err := record.Sum(path); err == nil {
		t.Error("a pipe was read for its sum")
	}
	if list, err = record.ReadFile(path, record.ReadOptions{}); err != nil || len(list) != 5000 {
		t.Errorf("%d, %v", len(list), err)
	}
}

// A file of a data set in the cache has the data set's name.
func TestTitleOnHub(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "datasets--org--d", "snapshots", strings.Repeat("0", 40), "data")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "train.jsonl")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "b.jsonl")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := record.Title(path + ":0.5," + other + ":0.5"); got != "org/d/data/train.jsonl:0.5,b.jsonl:0.5" {
		t.Error(got)
	}
}

// Names on the hub become files, each with its own weight; what is here, or could be, is left as it is.
func TestNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"here", "data"} {
		if err := os.Mkdir(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("a,b:2", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	find := func(n hub.Name) ([]string, error) {
		switch n.Repo {
		case "org/two":
			return []string{"/c/1", "/c/2"}, nil
		case "org/none":
			return nil, errors.New("none")
		}
		return []string{"/c/" + n.Repo + "/" + n.Path}, nil
	}
	for input, want := range map[string]string{
		"org/d":                           "/c/org/d/",
		"org/d/train,here/x.jsonl":        "/c/org/d/train,here/x.jsonl",
		"org/d/train:0.7,hf://org/e:0.3":  "/c/org/d/train:0.7,/c/org/e/:0.3",
		"org/two":                         "/c/1,/c/2",
		"easy=org/d/a,hard=org/two,x.csv": "easy=/c/org/d/a,hard=/c/1,/c/2,x.csv",
		"a.jsonl:0.5,b.csv:0.5":           "a.jsonl:0.5,b.csv:0.5",
		"data/pairs":                      "data/pairs",
		"data/*.jsonl,org/d/data/*.jsonl": "data/*.jsonl,/c/org/d/data/*.jsonl",
		"a,b:2":                           "a,b:2",
		"-":                               "-",
		"org/two:0.5,x.jsonl:1":           "!org/two:0.5: its files have no common pattern",
		"x.jsonl,org/none":                "!none",
	} {
		got, err := record.Named(input, find)
		if err != nil {
			got = "!" + err.Error()
		}
		if !strings.HasPrefix(got, want) || want[0] != '!' && got != want {
			t.Errorf("%s: %s, want %s", input, got, want)
		}
	}
}

// A folder is what is behind its links too, each folder once; patterns find hidden files no more than a shell's; what cannot be read is named.
func TestLinksAndHidden(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"d/a.jsonl", "d/.e.jsonl", "d/.hid/f.jsonl", "d/notes.txt", "far/g.jsonl", "far/low/h.jsonl", ".top.jsonl", "x.jsonl"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("{}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	link("../far", "d/link")
	link("..", "far/low/up") // a loop
	link("nowhere", "d/readme")
	link("self", "d/self")
	link("../x.jsonl", "d/z.jsonl")
	paths := func(input string) (list []string) {
		files, err := record.Files(input)
		if err != nil {
			return []string{err.Error()}
		}
		for _, f := range files {
			list = append(list, f.Path)
		}
		return list
	}
	for input, want := range map[string][]string{
		"d":         {"d/a.jsonl", "d/link/g.jsonl", "d/link/low/h.jsonl", "d/z.jsonl"},
		"*.jsonl":   {"x.jsonl"},
		".*.jsonl":  {".top.jsonl"},
		"d/*":       {"d/a.jsonl", "d/link/g.jsonl", "d/link/low/h.jsonl", "d/notes.txt", "d/z.jsonl"},
		"*/*.jsonl": {"d/a.jsonl", "d/z.jsonl", "far/g.jsonl"},
	} {
		if input == "d/*" { // two links of nothing that a pattern finds
			for _, name := range []string{"d/readme", "d/self"} {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if d := cmp.Diff(want, paths(input)); d != "" {
			t.Errorf("%s: %s", input, d)
		}
	}
	link("nowhere", "d/b.jsonl")
	if got := paths("d"); len(got) != 1 || !strings.Contains(got[0], "d/b.jsonl: no such file") {
		t.Error(got)
	}
}
