package hub

// Data sets: which files a name with or without a configuration, a split, a folder or a pattern means. What the data set's card says comes
// first, then the names of its files, as package datasets reads them.

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Rows says what files of rows are called.
type Rows struct {
	IsData func(name string) bool   // by its end
	Split  func(name string) string // the split that words of a path name; "": none
}

// Data gives the files of a data set in the cache that a name means, as paths and patterns of them. What the cache lacks is downloaded, as for Model.
func (h *Hub) Data(ctx context.Context, n Name, rows Rows) ([]string, error) {
	return h.data(ctx, n, rows, false)
}

// RefreshData is Data for people who want the newest.
func (h *Hub) RefreshData(ctx context.Context, n Name, rows Rows) ([]string, error) {
	return h.data(ctx, n, rows, true)
}

func (h *Hub) data(ctx context.Context, n Name, rows Rows, newest bool) ([]string, error) {
	var chosen []string
	var notes []string
	want := func(s *snapshot) (files []string, sure bool, err error) {
		all, err := s.files()
		if err != nil {
			return nil, false, err
		}
		if slices.Contains(all, card) {
			if has, err := s.has(card); err != nil || !has {
				return []string{card}, false, err
			}
		}
		l := &layout{n: n, rows: rows, all: all}
		if chosen, err = l.choose(s); err == nil && s.tree == nil {
			err = shardsThere(chosen)
		}
		notes = l.notes
		return chosen, s.tree != nil, err
	}
	s, err := h.resolve(ctx, n, want, newest)
	if err != nil {
		return nil, err
	}
	for _, note := range notes {
		h.say("%s: %s", n, note)
	}
	h.say("%s: %s of commit %.12s: %s", n, count(len(chosen), "file"), s.commit, few(chosen))
	all, err := s.files()
	if err != nil {
		return nil, err
	}
	if pattern, ok := patternOf(chosen, all); ok {
		if len(chosen) == 1 {
			return []string{s.path(pattern)}, nil
		}
		return []string{filepath.Join(literal(s.dir), filepath.FromSlash(pattern))}, nil
	}
	for i := range chosen {
		chosen[i] = s.path(chosen[i])
	}
	return chosen, nil
}

// card is the file that describes a data set.
const card = "README.md"

// config is one of a data set's parts that are told apart by name.
type config struct {
	name   string
	usual  bool // the one that is meant where none is named
	splits []split
}

type split struct {
	name  string
	files []string
}

// layout finds out what the files of a data set are.
type layout struct {
	n     Name
	rows  Rows
	all   []string
	notes []string
}

// choose gives the files that the name means.
func (l *layout) choose(s *snapshot) ([]string, error) {
	if inside := l.n.Path; inside != "" {
		if slices.Contains(l.all, inside) {
			return []string{inside}, nil
		}
		if strings.ContainsAny(inside, "*?[") {
			re, err := glob(inside)
			if err != nil {
				return nil, l.wrong("%v", err)
			}
			if files := l.matching(re); len(files) > 0 {
				return files, nil
			}
			return nil, l.wrong("no file has such a name (it has %s)", few(l.data()))
		}
	}
	configs, err := l.configs(s)
	if err != nil {
		return nil, err
	}
	files, err := l.named(configs)
	if err != nil {
		return nil, err
	}
	return l.oneKind(files)
}

func (l *layout) wrong(format string, a ...any) error {
	return fmt.Errorf("hub: %s: %s", l.n, fmt.Sprintf(format, a...))
}

// configs are those of the card, or what the files' names tell.
func (l *layout) configs(s *snapshot) ([]config, error) {
	if slices.Contains(l.all, card) {
		configs, err := readCard(s.path(card), l)
		if err != nil || len(configs) > 0 {
			return configs, err
		}
	}
	if l.n.Revision == converted {
		return l.converted(), nil
	}
	splits := l.splits(l.data())
	if len(splits) == 0 {
		script := path.Base(l.n.Repo) + ".py"
		if slices.Contains(l.all, script) {
			return nil, l.wrong("a program (%s) makes its rows, which is not run: the hub may have them as Parquet: %s@%s/CONFIG/SPLIT", script, l.n.Repo, converted)
		}
		return nil, l.wrong("it has no files of rows that are read here (it has %s)", few(l.all))
	}
	return []config{{name: "default", usual: true, splits: splits}}, nil
}

// converted is the revision in which the hub keeps data sets as Parquet: a folder for each configuration, in it one for each split.
const converted = "refs/convert/parquet"

func (l *layout) converted() (configs []config) {
	for _, file := range l.data() {
		segments := strings.Split(file, "/")
		if len(segments) != 3 {
			continue
		}
		if len(configs) == 0 || configs[len(configs)-1].name != segments[0] { // the files are sorted
			configs = append(configs, config{name: segments[0], usual: segments[0] == "default"})
		}
		c := &configs[len(configs)-1]
		if len(c.splits) == 0 || c.splits[len(c.splits)-1].name != segments[1] {
			c.splits = append(c.splits, split{name: segments[1]})
		}
		last := &c.splits[len(c.splits)-1]
		last.files = append(last.files, file)
	}
	return configs
}

// notRows are files of JSON that describe data.
var notRows = []string{"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"}

// data lists the files of rows: not what is hidden, nor what describes others.
func (l *layout) data() (files []string) {
	for _, file := range l.all {
		hidden := slices.ContainsFunc(strings.Split(file, "/"), func(s string) bool { return strings.HasPrefix(s, ".") || strings.HasPrefix(s, "__") })
		if !hidden && l.rows.IsData(file) && !slices.Contains(notRows, path.Base(file)) {
			files = append(files, file)
		}
	}
	return files
}

// sharded is how data sets that are pushed by package datasets name their files.
var sharded = regexp.MustCompile(`^data/([\w.-]+?)-\d{5}-of-\d{5}[^/]*\.[^/]+$`)

// splits tells by their names which files are of which split. Where no name has a word for one, all are to train on.
func (l *layout) splits(files []string) []split {
	byName := func(file string) string {
		if m := sharded.FindStringSubmatch(file); m != nil {
			return m[1]
		}
		return ""
	}
	for _, of := range []func(string) string{byName, l.rows.Split, func(string) string { return "train" }} {
		var list []split
		var none []string
		for _, file := range files {
			name := of(file)
			if name == "" {
				none = append(none, file)
				continue
			}
			i := slices.IndexFunc(list, func(s split) bool { return s.name == name })
			if i < 0 {
				i, list = len(list), append(list, split{name: name})
			}
			list[i].files = append(list[i].files, file)
		}
		if len(list) > 0 {
			if len(none) > 0 {
				l.notes = append(l.notes, fmt.Sprintf("no split is named by %s: left out", few(none)))
			}
			return list
		}
	}
	return nil
}

// named gives the files of the configuration and split, or of the folder, that the name has.
func (l *layout) named(configs []config) ([]string, error) {
	words := strings.Split(l.n.Path, "/")
	if l.n.Path == "" {
		words = nil
	}
	if len(words) > 0 {
		if i := slices.IndexFunc(configs, func(c config) bool { return c.name == words[0] }); i >= 0 && len(words) <= 2 {
			return l.ofConfig(configs[i], configs, words[1:])
		}
		under := slices.DeleteFunc(l.data(), func(file string) bool { return !strings.HasPrefix(file, l.n.Path+"/") })
		usual, err := l.usual(configs)
		if len(words) == 1 && err == nil && slices.ContainsFunc(usual.splits, func(s split) bool { return s.name == words[0] }) {
			return l.ofConfig(usual, configs, words)
		}
		if len(under) > 0 {
			return l.ofConfig(config{name: l.n.Path, splits: l.splits(under)}, nil, nil)
		}
		return nil, l.wrong("there is neither a file, nor a folder with rows, nor a split or configuration %s: it has %s", l.n.Path, describe(configs))
	}
	usual, err := l.usual(configs)
	if err != nil {
		return nil, err
	}
	return l.ofConfig(usual, configs, nil)
}

// usual is the configuration that is meant where none is named.
func (l *layout) usual(configs []config) (config, error) {
	if len(configs) == 1 {
		return configs[0], nil
	}
	for _, is := range []func(c config) bool{func(c config) bool { return c.usual }, func(c config) bool { return c.name == "default" }} {
		if i := slices.IndexFunc(configs, is); i >= 0 {
			return configs[i], nil
		}
	}
	return config{}, l.wrong("it has several configurations: %s: name one, as %s/%s", describe(configs), l.n.Repo, configs[0].name)
}

// ofConfig gives the files of the split that is named, or of the only one.
func (l *layout) ofConfig(c config, configs []config, name []string) ([]string, error) {
	i := 0
	switch {
	case len(c.splits) == 0:
		return nil, l.wrong("%s has no files", c.name)
	case len(name) == 1:
		if i = slices.IndexFunc(c.splits, func(s split) bool { return s.name == name[0] }); i < 0 {
			return nil, l.wrong("%s has no split %s: it has %s", c.name, name[0], describe([]config{c}))
		}
	case len(c.splits) > 1: // to train on a test split is what nobody means
		at := l.n.Repo
		if configs == nil || len(configs) > 1 && l.n.Path != "" {
			at += "/" + c.name
		}
		return nil, l.wrong("it has several splits: %s: name one, as %s/%s", describe([]config{c}), at, c.splits[0].name)
	}
	if files := c.splits[i].files; len(files) > 0 {
		return files, nil
	}
	return nil, l.wrong("no file of split %s is there", c.splits[i].name)
}

// describe lists splits, by configuration where there are several.
func describe(configs []config) string {
	var list []string
	for _, c := range configs {
		var splits []string
		for _, s := range c.splits {
			splits = append(splits, fmt.Sprintf("%s (%s)", s.name, count(len(s.files), "file")))
		}
		text := few(splits)
		if len(configs) > 1 {
			text = c.name + ": " + text
		}
		list = append(list, text)
	}
	const most = 12
	if len(list) > most {
		list = append(list[:most], fmt.Sprintf("and %d more", len(list)-most))
	}
	return strings.Join(list, "; ")
}

// oneKind leaves the kind of file that most are of: a data set that has its rows as Parquet and as JSON has them once.
func (l *layout) oneKind(files []string) ([]string, error) {
	byEnd := map[string][]string{}
	var ends []string
	for _, file := range files {
		end := strings.ToLower(path.Ext(strings.TrimSuffix(strings.TrimSuffix(file, ".gz"), ".zst")))
		if byEnd[end] == nil {
			ends = append(ends, end)
		}
		byEnd[end] = append(byEnd[end], file)
	}
	if len(ends) == 1 {
		return files, nil
	}
	slices.SortStableFunc(ends, func(a, b string) int { return len(byEnd[b]) - len(byEnd[a]) })
	if len(byEnd[ends[0]]) == len(byEnd[ends[1]]) {
		return nil, l.wrong("it has files of several kinds, which may be the same rows: %s: name those that are meant, as '%s/*%s'", few(files), l.n.Repo, ends[0])
	}
	var others []string
	for _, end := range ends[1:] {
		others = append(others, byEnd[end]...)
	}
	l.notes = append(l.notes, fmt.Sprintf("files of another kind than %s are left out: %s", ends[0], few(others)))
	return byEnd[ends[0]], nil
}

// matching lists the files that a pattern names.
func (l *layout) matching(re *regexp.Regexp) (files []string) {
	for _, file := range l.all {
		if re.MatchString(file) {
			files = append(files, file)
		}
	}
	return files
}

// glob understands *, ?, [a-z] and, for any folders, **.
func glob(pattern string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString("^")
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			if strings.HasPrefix(pattern[i:], "**/") {
				b.WriteString("(?:.*/)?")
				i += 2
			} else if strings.HasPrefix(pattern[i:], "**") {
				b.WriteString(".*")
				i++
			} else {
				b.WriteString("[^/]*")
			}
		case '?':
			b.WriteString("[^/]")
		case '[':
			end := strings.IndexByte(pattern[i+1:], ']')
			if end < 1 {
				return nil, fmt.Errorf("%s: a [ has no ]", pattern)
			}
			class := pattern[i+1 : i+1+end]
			if class[0] == '!' {
				class = "^" + class[1:]
			}
			b.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
			i += end + 1
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString("$")
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, fmt.Errorf("%s: no pattern that is known", pattern)
	}
	return re, nil
}

// shardName is the name of a file that says how many there are.
var shardName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})([^/]*)$`)

// shardsThere wants all of the files that the names of some speak of.
func shardsThere(files []string) error {
	for _, file := range files {
		if m := shardName.FindStringSubmatch(file); m != nil {
			n := 0
			for _, other := range files {
				if o := shardName.FindStringSubmatch(other); o != nil && o[1] == m[1] && o[3] == m[3] {
					n++
				}
			}
			if fmt.Sprintf("%05d", n) != m[3] {
				return fmt.Errorf("hub: the cache has %d of the %s files of %s: the others were not downloaded", n, strings.TrimLeft(m[3], "0"), m[1])
			}
		}
	}
	if len(files) == 0 {
		return errors.New("hub: the cache has no files of it")
	}
	return nil
}

// patternOf finds a pattern for package record that means just these files among all of the data set's.
func patternOf(files, all []string) (string, bool) {
	if len(files) == 1 {
		return files[0], true
	}
	first := strings.Split(files[0], "/")
	pattern := make([]string, len(first))
	for i := range first {
		begin, end, shortest := first[i], first[i], len(first[i])
		for _, file := range files {
			segments := strings.Split(file, "/")
			if len(segments) != len(first) {
				return "", false
			}
			begin, end, shortest = common(begin, segments[i], false), common(end, segments[i], true), min(shortest, len(segments[i]))
		}
		if pattern[i] = literal(begin); begin != first[i] || begin != end {
			end = end[max(0, len(begin)+len(end)-shortest):] // they may overlap in the shortest name
			pattern[i] = literal(begin) + "*" + literal(end)
		}
	}
	text := strings.Join(pattern, "/")
	n := 0
	for _, file := range all {
		if ok, err := path.Match(text, file); err == nil && ok {
			n++
		}
	}
	for _, file := range files {
		if ok, err := path.Match(text, file); err != nil || !ok {
			return "", false
		}
	}
	return text, n == len(files)
}

// common is what two words begin with, or end with.
func common(a, b string, end bool) string {
	n := 0
	for n < min(len(a), len(b)) {
		i, j := n, n
		if end {
			i, j = len(a)-1-n, len(b)-1-n
		}
		if a[i] != b[j] {
			break
		}
		n++
	}
	if end {
		return a[len(a)-n:]
	}
	return a[:n]
}

// literal is a text as a pattern that means nothing else.
func literal(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}
