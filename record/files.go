package record

// Which files an input names: one, a list, a pattern, a folder, standard input.

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"criticrm/hub"
)

// File is one file of an input.
type File struct {
	Path   string  // "-": standard input
	Weight float64 // of it, or of the folder or pattern that it is from; 0: none is given
	Stream bool    // a pipe: it can be read once only

	item  string // what was given, without a weight
	group int    // number of that item
}

// Name is the file's, as errors give it.
func (f File) Name() string {
	if f.Path == "-" {
		return "standard input"
	}
	return f.Path
}

// Files lists the files of an input, in the order in which they are read:
//
//	pairs.jsonl              a file
//	data                     a folder: all data files in it and below, sorted
//	data/train-*.parquet     a pattern (* ? [), sorted
//	a.jsonl,b.csv            a list of these
//	a.jsonl:0.7,b.csv:0.3    mixed in this ratio, until one of them has no more rows
//	-                        standard input, and /dev/fd/N for another pipe
//
// What exists under a name with such characters is that file. All files are there, and none is named twice.
func Files(input string) ([]File, error) {
	items, err := split(input)
	if err != nil {
		return nil, err
	}
	var files []File
	seen := map[string]bool{}
	weights := 0
	for i, item := range items {
		paths, err := item.paths()
		if err != nil {
			return nil, err
		}
		if item.weight > 0 {
			weights++
		}
		for _, path := range paths {
			if seen[filepath.Clean(path)] {
				return nil, fmt.Errorf("%s: is named twice in %s", path, clipLong(input))
			}
			seen[filepath.Clean(path)] = true
			files = append(files, File{Path: path, Weight: item.weight, Stream: isStream(path), item: item.text, group: i})
		}
	}
	if weights > 0 && len(items) == 1 {
		return nil, fmt.Errorf("%s: a weight says how much of a mixture an input is, and there is no other one: leave it out", clipLong(input))
	}
	if weights > 0 && weights < len(items) {
		return nil, fmt.Errorf("%s: %d of %d have a weight: give all of them one, or none", clipLong(input), weights, len(items))
	}
	return files, nil
}

// Title names an input in one word or line, without folders of this machine.
func Title(input string) string {
	files, err := Files(input)
	if err != nil || len(files) == 0 {
		return filepath.Base(input)
	}
	const most = 5
	var names []string
	for _, f := range files[:min(len(files), most)] {
		name := filepath.Base(f.Name())
		if n, ok := hub.Of(f.Path); ok {
			name = n.Repo + "/" + n.Path
		}
		if f.Weight > 0 {
			name += ":" + strconv.FormatFloat(f.Weight, 'g', -1, 64)
		}
		names = append(names, name)
	}
	title := strings.Join(names, ",")
	if n := len(files) - most; n > 0 {
		title += fmt.Sprintf(" and %d more", n)
	}
	return title
}

// Rereadable is an error if the input can be read once only, for whoever reads it twice.
func Rereadable(input string) error {
	files, err := Files(input)
	for _, f := range files {
		if f.Stream {
			return once(f)
		}
	}
	return err
}

// Size is how many stored bytes an input has; 0 if nobody knows.
func Size(input string) (n int64) {
	files, err := Files(input)
	for _, f := range files {
		size := sizeOf(f.Path)
		if f.Stream || size == 0 {
			return 0
		}
		n += size
	}
	if err != nil {
		return 0
	}
	return n
}

func sizeOf(path string) int64 {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

func once(f File) error {
	return fmt.Errorf("%s can be read once only, and here an input is read twice: write it to a file first (cat > pairs.jsonl)", f.Name())
}

// item is one of a list.
type item struct {
	text   string // without its weight
	weight float64
}

// split parts an input at the commas that part names.
func split(input string) (items []item, err error) {
	if exists(input) || input == "-" {
		return []item{{text: input}}, nil
	}
	words := strings.Split(input, ",")
	for i := 0; i < len(words); {
		n := 1
		it, found := weighted(words[i])
		for k := len(words) - i; !found && k > 1; k-- { // a name with commas
			if longer, ok := weighted(strings.Join(words[i:i+k], ",")); ok {
				it, found, n = longer, ok, k
			}
		}
		switch {
		case it.text == "":
			return nil, fmt.Errorf("%q: a name in the list is empty", clipLong(input))
		case it.weight < 0 || math.IsNaN(it.weight) || math.IsInf(it.weight, 0):
			return nil, fmt.Errorf("%s: want a weight above 0, as in a.jsonl:0.7,b.jsonl:0.3", words[i])
		}
		items, i = append(items, it), i+n
	}
	return items, nil
}

// weighted takes the weight off a name, and says whether there is such a file or pattern. A weight that is none of the kind wanted is -1.
func weighted(text string) (it item, found bool) {
	if text == "-" || exists(text) {
		return item{text: text}, true
	}
	if name, number, ok := cutLast(text, ":"); ok {
		if w, err := strconv.ParseFloat(number, 64); err == nil {
			if w <= 0 {
				w = -1
			}
			return item{text: name, weight: w}, name == "-" || exists(name) || isPattern(name)
		}
	}
	return item{text: text}, isPattern(text)
}

// Named puts what find gives in the place of names of data sets on Hugging Face's hub, in a list too, each with its weight and the name that it was given (hard=owner/name/test). What is a file, a
// pattern of files or a folder here is left as it is.
func Named(input string, find func(n hub.Name) ([]string, error)) (string, error) {
	if exists(input) || input == "-" {
		return input, nil
	}
	words := strings.Split(input, ",")
	found := false
	for i, word := range words {
		name := givenName.FindString(word)
		text, weight := strings.TrimPrefix(word, name), ""
		if before, number, cut := cutLast(text, ":"); cut {
			if _, err := strconv.ParseFloat(number, 64); err == nil {
				text, weight = before, ":"+number
			}
		}
		n, ok := hub.Parse(text, hub.Dataset)
		if !ok || exists(word) {
			continue
		}
		paths, err := find(n)
		if err != nil {
			return "", err
		}
		if weight != "" && len(paths) > 1 {
			return "", fmt.Errorf("%s: its files have no common pattern, so they cannot have a weight together: name them one by one", word)
		}
		words[i], found = name+strings.Join(paths, ",")+weight, true
	}
	if !found {
		return input, nil
	}
	return strings.Join(words, ","), nil
}

// givenName is what stands before a file that has a name: hard=b.jsonl.
var givenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*=`)

// HubRows says what package hub asks of the files of a data set.
func HubRows() hub.Rows { return hub.Rows{IsData: dataName, Split: splitOf} }

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func isPattern(text string) bool { return strings.ContainsAny(text, "*?[") }

// paths are the files of an item.
func (it item) paths() ([]string, error) {
	if it.text == "-" {
		return []string{"-"}, nil
	}
	info, err := os.Stat(it.text)
	switch {
	case err == nil && info.IsDir():
		return folder(it.text)
	case err == nil:
		return []string{it.text}, nil
	case !isPattern(it.text) || !errors.Is(err, fs.ErrNotExist):
		return nil, hub.Hint(err, it.text, hub.Dataset)
	case strings.Contains(it.text, "**"):
		return nil, fmt.Errorf("%s: ** is not known in patterns: name the folder, and all data files below it are read", it.text)
	}
	found, err := filepath.Glob(it.text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", it.text, err)
	}
	var paths []string
	for _, path := range found {
		if hiddenMatch(it.text, path) {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			below, err := folder(path)
			if err != nil {
				return nil, err
			}
			paths = append(paths, below...)
			continue
		}
		if ours(path) == "" {
			paths = append(paths, path)
		}
	}
	if paths == nil {
		return nil, fmt.Errorf("%s: no file has such a name", it.text)
	}
	return paths, nil
}

// hiddenMatch says whether a pattern has found a hidden file, or one in a hidden folder, without a dot of its own: like a shell's, it finds none.
func hiddenMatch(pattern, path string) bool {
	steps, names := strings.Split(filepath.Clean(pattern), "/"), strings.Split(filepath.Clean(path), "/")
	for i := range min(len(steps), len(names)) {
		if isHidden(names[i]) && !isHidden(steps[i]) {
			return true
		}
	}
	return false
}

// PartEnd is behind the name of an output while it is not whole. Behind that, .json is of the state of the command that writes it.
const PartEnd = ".part"

// ours says of a file that this program writes beside rows what it is; "": it is another one.
func ours(path string) string {
	for _, end := range [...]string{".stage.json", ".bad.jsonl", PartEnd + ".json"} {
		if strings.HasSuffix(path, end) {
			return end
		}
	}
	return ""
}

// folder lists the data files in a folder and below, by their names. Files of several splits are an error: to train on a test split is what
// nobody means.
func folder(dir string) (paths []string, err error) {
	splits := map[string]string{} // and a file of each
	err = walk(dir, map[string]bool{}, func(path string) {
		paths = append(paths, path)
		rel, _ := filepath.Rel(dir, path)
		if s := splitOf(rel); s != "" {
			splits[s] = rel
		}
	})
	switch {
	case err != nil:
		return nil, err
	case len(paths) == 0:
		return nil, fmt.Errorf("%s: is a folder without data files (want %s)", dir, strings.Join(endings(), ", "))
	case len(splits) > 1:
		var list []string
		for s, path := range splits {
			list = append(list, fmt.Sprintf("%s (%s)", s, path))
		}
		slices.Sort(list)
		return paths, fmt.Errorf("%s: is a folder with files of several splits, %s: name the files of one, as '%s'", dir, strings.Join(list, ", "), filepath.Join(dir, "train*"))
	}
	slices.Sort(paths)
	return paths, nil
}

// walk finds the data files in a folder and below, behind links too. A folder that is reached twice is read once: seen has those that were.
func walk(dir string, seen map[string]bool, found func(path string)) error {
	at := real(dir)
	if seen[at] {
		return nil
	}
	seen[at] = true
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, d := range list {
		path := filepath.Join(dir, d.Name())
		if isHidden(d.Name()) {
			continue
		}
		isData := dataName(d.Name()) && ours(d.Name()) == ""
		if !d.IsDir() && d.Type()&fs.ModeSymlink == 0 && !isData {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err == nil && info.IsDir():
			err = walk(path, seen, found)
		case !isData: // a link to something else, or to nothing
			continue
		case err == nil && !info.Mode().IsRegular():
			err = fmt.Errorf("%s: is not a regular file", path)
		case err == nil:
			found(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// HasData says whether a folder has data files, by their names.
func HasData(dir string) bool {
	paths, err := folder(dir)
	return len(paths) > 0 || err == nil
}

// splitWords are what people call the splits of data, and which one it is.
var splitWords = map[string]string{"train": "train", "training": "train", "test": "test", "testing": "test",
	"valid": "validation", "validation": "validation", "val": "validation", "dev": "validation", "eval": "validation", "evaluation": "validation"}

var notWord = regexp.MustCompile(`[^a-z0-9]+`)

// splitOf is the split that a path names; "": none.
func splitOf(path string) string {
	for _, word := range notWord.Split(strings.ToLower(path), -1) {
		if s, ok := splitWords[word]; ok {
			return s
		}
	}
	return ""
}

// isStream says whether a path is a pipe that was opened already: standard input, or one that the shell gives as /dev/fd/N. A pipe with a name
// of its own is none: to open it may take for ever.
func isStream(path string) bool {
	if path == "-" {
		return true
	}
	if !strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/proc/") {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir() && openPipe.MatchString(path)
}

var openPipe = regexp.MustCompile(`^/dev/(stdin|fd/\d+)$|^/proc/(self|\d+)/fd/\d+$`)

// clipLong keeps a list of files readable in an error.
func clipLong(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
