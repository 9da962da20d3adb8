package hub

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/hub/hubtest"
)

// rows knows two kinds of files, and the words for splits that the tests use.
var rows = Rows{
	IsData: func(name string) bool {
		return strings.HasSuffix(name, ".parquet") || strings.HasSuffix(name, ".jsonl") || strings.HasSuffix(name, ".json")
	},
	Split: func(name string) string {
		for _, word := range strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("/-_.", r) }) {
			switch word {
			case "train", "test":
				return word
			case "dev", "validation":
				return "validation"
			}
		}
		return ""
	},
}

// card of a data set with two configurations.
const twoConfigs = `---
license: mit
configs:
- config_name: easy
  data_files:
  - split: train
    path: easy/*.jsonl
  - split: test
    path:
    - other/t?st.jsonl
- config_name: hard
  data_dir: h
  data_files: "**/rows-[0-9].jsonl"
- config_name: bare
  data_dir: b
---
# Text
`

// Which files a name means: as the card says, else as files are called.
func TestDataLayouts(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	add := func(name, card string, files ...string) {
		all := map[string]string{}
		if card != "" {
			all["README.md"] = card
		}
		for _, file := range files {
			all[file] = "rows of " + file
		}
		s.Add("datasets/org/"+name, all, ".parquet")
	}
	add("pushed", "---\nlicense: mit\n---\n", "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet", "dataset_infos.json", ".cache/x.jsonl", "notes.json")
	add("one", "no front matter", "rows.jsonl", "train.py")
	add("words", "", "dev.jsonl", "a/train/1.jsonl", "a/train/2.jsonl", "extra/more.jsonl")
	add("configs", twoConfigs, "easy/1.jsonl", "easy/2.jsonl", "other/test.jsonl", "h/x/rows-1.jsonl", "h/rows-2.jsonl", "h/rows-x.jsonl", "b/train-1.jsonl", "b/test.jsonl")
	add("usual", "---\nconfigs:\n- config_name: a\n  data_files: a.jsonl\n- config_name: b\n  default: true\n  data_files: b.jsonl\n---\n", "a.jsonl", "b.jsonl")
	add("mapped", "---\r\nconfigs:\r\n- config_name: default\r\n  data_files:\r\n    gold: g.jsonl\r\n---\r\n", "g.jsonl", "x.jsonl")
	add("twice", "", "train-1.parquet", "train-2.parquet", "train.jsonl")
	add("same", "", "train.parquet", "train.jsonl")
	add("script", "", "script.py", "LICENSE")
	add("none", "", "LICENSE", "image.png")
	add("gone", "---\nconfigs:\n- data_files: nothing/*.jsonl\n---\n", "a.jsonl")
	add("odd", "---\nconfigs:\n- data_files: {train: 3, test: {a: b}}\n---\n", "a.jsonl")
	add("broken", "---\nconfigs: [\n---\n", "a.jsonl")
	add("up", "---\nconfigs:\n- data_dir: ../..\n---\n", "a.jsonl")
	add("stars*", "", "x.jsonl") // cannot be named

	for text, want := range map[string]string{
		"org/pushed/train":        "data/train-0000*-of-00002.parquet",
		"org/pushed/test":         "data/test-00000-of-00001.parquet",
		"org/pushed/data/train-*": "data/train-0000*-of-00002.parquet",
		"org/pushed/**/*.parquet": "data/t*.parquet",
		"org/pushed/notes.json":   "notes.json",
		"org/pushed":              "it has several splits: test (1 file), train (2 files): name one, as org/pushed/test",
		"org/pushed/data":         "it has several splits: test (1 file), train (2 files): name one, as org/pushed/data/test",
		"org/pushed/valid":        "there is neither a file, nor a folder with rows, nor a split or configuration valid: it has test (1 file), train (2 files)",
		"org/pushed/*.csv":        "no file has such a name (it has data/test-00000-of-00001.parquet",
		"org/one":                 "rows.jsonl",
		"org/one/train":           "rows.jsonl",
		"org/words/train":         "a/train/*.jsonl",
		"org/words/validation":    "dev.jsonl",
		"org/words/extra":         "extra/more.jsonl",
		"org/configs":             "it has several configurations: easy: train (2 files), test (1 file); hard: train (2 files); bare: test (1 file), train (1 file): name one, as org/configs/easy",
		"org/configs/easy":        "several splits: train (2 files), test (1 file): name one, as org/configs/easy/train",
		"org/configs/easy/test":   "other/test.jsonl",
		"org/configs/easy/train":  "easy/*.jsonl",
		"org/configs/hard":        "h/rows-2.jsonl h/x/rows-1.jsonl",
		"org/configs/bare/train":  "b/train-1.jsonl",
		"org/configs/easy/dev":    "easy has no split dev: it has train (2 files), test (1 file)",
		"org/usual":               "b.jsonl",
		"org/usual/a":             "a.jsonl",
		"org/usual/train":         "b.jsonl",
		"org/mapped":              "g.jsonl",
		"org/twice":               "train-*.parquet",
		"org/same":                "files of several kinds, which may be the same rows: train.jsonl, train.parquet: name those that are meant, as 'org/same/*.jsonl'",
		"org/script":              "a program (script.py) makes its rows, which is not run: the hub may have them as Parquet: org/script@refs/convert/parquet/CONFIG/SPLIT",
		"org/none":                "it has no files of rows that are read here (it has LICENSE, image.png)",
		"org/gone":                "no file of split train is there",
		"org/odd":                 "its card (README.md): configuration default: ",
		"org/broken":              "its card (README.md): yaml:",
		"org/up":                  `data_dir "../.."`,
		"org/missing":             "there is no data set of this name",
		"org/one@v3":              "there is no revision v3",
	} {
		h := quick(t, s)
		files, err := h.Data(t.Context(), name(t, text, Dataset), rows)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", text, err, want)
			}
			continue
		}
		var short []string
		for _, file := range files {
			_, file, _ = strings.Cut(strings.TrimPrefix(file, h.Cache), "/snapshots/")
			short = append(short, file[41:])
			found, err := filepath.Glob(files[0])
			if err != nil || len(found) == 0 || read(t, found[0]) == "" {
				t.Errorf("%s: %s names no file: %v", text, files[0], err)
			}
		}
		if got := strings.Join(short, " "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Only the files that are meant come; the second time nobody is asked, and without the list what is there must be whole.
func TestDataInCache(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	repo := s.Add("datasets/org/d", map[string]string{"data/train-00000-of-00002.parquet": "1", "data/train-00001-of-00002.parquet": "2", "data/test-00000-of-00001.parquet": "3"}, ".parquet")
	h := quick(t, s)
	n := name(t, "org/d/train", Dataset)
	first, err := h.Data(t.Context(), n, rows)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(h.Cache, "datasets--org--d", "snapshots", repo.Commit)
	if got := names(t, dir); !slices.Equal(got, []string{"data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"}) {
		t.Error(got)
	}
	s.Seen()
	if again, err := h.Data(t.Context(), n, rows); err != nil || !slices.Equal(again, first) || len(s.Seen()) > 0 {
		t.Error(again, err)
	}
	if _, err := h.Data(t.Context(), name(t, "org/d", Dataset), rows); err == nil || len(s.Seen()) > 0 || !strings.Contains(err.Error(), "which the cache has; 'criticrm fetch' asks for the newest") {
		t.Error(err)
	}
	h.Offline = "HF_HUB_OFFLINE"
	if _, err := h.Data(t.Context(), name(t, "org/d/test", Dataset), rows); err == nil || !strings.Contains(err.Error(), "lack data/test-00000-of-00001.parquet of commit") {
		t.Error(err)
	}
	if err := os.RemoveAll(filepath.Join(h.Cache, "datasets--org--d", "trees")); err != nil {
		t.Fatal(err)
	}
	if again, err := h.Data(t.Context(), n, rows); err != nil || !slices.Equal(again, first) {
		t.Error(again, err)
	}
	if err := os.Remove(filepath.Join(dir, "data/train-00000-of-00002.parquet")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Data(t.Context(), n, rows); err == nil || !strings.Contains(err.Error(), "has 1 of the 2 files of data/train: the others were not downloaded") {
		t.Error(err)
	}
}

// The hub's own Parquet has a folder for each configuration and split.
func TestConverted(t *testing.T) {
	l := &layout{n: Name{Repo: "org/d", Revision: converted}, rows: rows, all: []string{"a/test/0000.parquet", "a/train/0000.parquet", "a/train/0001.parquet", "default/train/0000.parquet"}}
	for path, want := range map[string]string{"a/train": "a/train/0000.parquet a/train/0001.parquet", "": "default/train/0000.parquet", "a": "several splits"} {
		l.n.Path = path
		files, err := l.choose(&snapshot{})
		if got := strings.Join(files, " "); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s %v", path, got, err)
		}
	}
}

// A pattern names just the files that are meant, in a folder of any name.
func TestPatternOf(t *testing.T) {
	for _, x := range []struct{ files, all, want string }{
		{"a.jsonl", "a.jsonl b.jsonl", "a.jsonl"},
		{"d/a-1.jsonl d/a-2.jsonl", "d/a-1.jsonl d/a-2.jsonl d/b-1.jsonl", "d/a-*.jsonl"},
		{"d/a-1.jsonl d/a-2.jsonl", "d/a-1.jsonl d/a-2.jsonl d/a-3.jsonl", ""},
		{"a.jsonl d/b.jsonl", "a.jsonl d/b.jsonl", ""},
		{"x/t.jsonl y/t.jsonl", "x/t.jsonl y/t.jsonl", "*/t.jsonl"},
		{"aa.j a.j", "aa.j a.j", "a*.j"},
		{"[x]1.j [x]2.j", "[x]1.j [x]2.j", `\[x]*.j`},
	} {
		got, ok := patternOf(strings.Fields(x.files), strings.Fields(x.all))
		if ok != (x.want != "") || ok && got != x.want {
			t.Errorf("%s of %s: %q %v, want %q", x.files, x.all, got, ok, x.want)
		}
	}
}

// A card is a stranger's text: it is read or refused, in whatever form.
func FuzzCard(f *testing.F) {
	f.Add(twoConfigs)
	f.Add("---\nconfigs:\n- data_files: {a: [b, c], d: '['}\n---")
	f.Add("---\na: &a [*a]\nconfigs: *a\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		path := filepath.Join(dir, card)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		l := &layout{n: Name{Repo: "org/d", Revision: DefaultRevision}, rows: rows, all: []string{card, "a.jsonl", "easy/b.jsonl"}}
		files, err := l.choose(&snapshot{dir: dir})
		for _, file := range files {
			if !slices.Contains(l.all, file) {
				t.Errorf("%s is no file of it (%v)", file, err)
			}
		}
	})
}

// Two splits are of one commit, though there is a newer one by now; fetch asks for that.
func TestSplitsOfOneCommit(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("datasets/org/d", map[string]string{"train.jsonl": "old", "test.jsonl": "old"}, ".jsonl")
	h := quick(t, s)
	if _, err := h.Data(t.Context(), name(t, "org/d/train", Dataset), rows); err != nil {
		t.Fatal(err)
	}
	s.Add("datasets/org/d", map[string]string{"train.jsonl": "new", "test.jsonl": "new"}, ".jsonl")
	n := name(t, "org/d/test", Dataset)
	if files, err := h.Data(t.Context(), n, rows); err != nil || read(t, files[0]) != "old" {
		t.Error(files, err)
	}
	if files, err := h.RefreshData(t.Context(), n, rows); err != nil || read(t, files[0]) != "new" {
		t.Error(files, err)
	}
	if files, err := h.Data(t.Context(), name(t, "org/d/train", Dataset), rows); err != nil || read(t, files[0]) != "new" {
		t.Error(files, err)
	}
}
