package hub

// What a data set's card says of its files.

import (
	"bytes"
	"fmt"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"

	"criticrm/safefile"
)

// maxCard bounds a card, in bytes.
const maxCard = 8 << 20

// readCard gives the configurations that a card declares; none: it declares no files.
func readCard(file string, l *layout) (configs []config, err error) {
	b, err := safefile.Read(file, maxCard)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	head, ok := FrontMatter(b)
	if !ok {
		return nil, nil
	}
	var c struct {
		Configs []struct {
			Name    string    `yaml:"config_name"`
			Default bool      `yaml:"default"`
			Dir     string    `yaml:"data_dir"`
			Files   yaml.Node `yaml:"data_files"`
		} `yaml:"configs"`
	}
	if err := yaml.Unmarshal(head, &c); err != nil {
		return nil, l.wrong("its card (%s): %v: name its files, as '%s/data/train*.parquet'", card, err, l.n.Repo)
	}
	for _, x := range c.Configs {
		if x.Name == "" {
			x.Name = "default"
		}
		made := config{name: x.Name, usual: x.Default}
		patterns, err := dataFiles(&x.Files)
		if err != nil {
			return nil, l.wrong("its card (%s): configuration %s: %v", card, x.Name, err)
		}
		if x.Dir != "" && !isInside(path.Clean(x.Dir)) && path.Clean(x.Dir) != "." {
			return nil, l.wrong("its card (%s): configuration %s: data_dir %.80q", card, x.Name, x.Dir)
		}
		if patterns == nil {
			made.splits = l.splits(slices.DeleteFunc(l.data(), func(file string) bool { return x.Dir != "" && !below(file, x.Dir) }))
		}
		for _, p := range patterns {
			s := split{name: p.split}
			for _, pattern := range p.patterns {
				re, err := glob(path.Clean(path.Join(x.Dir, pattern)))
				if err != nil {
					return nil, l.wrong("its card (%s): configuration %s: %v", card, x.Name, err)
				}
				for _, file := range l.matching(re) {
					if l.rows.IsData(file) && !slices.Contains(s.files, file) {
						s.files = append(s.files, file)
					}
				}
			}
			made.splits = append(made.splits, s)
		}
		configs = append(configs, made)
	}
	return configs, nil
}

func below(file, dir string) bool {
	dir = path.Clean(dir)
	return dir == "." || len(file) > len(dir) && file[:len(dir)] == dir && file[len(dir)] == '/'
}

// FrontMatter is the YAML that the card of a model or data set begins with.
func FrontMatter(b []byte) ([]byte, bool) {
	b = bytes.ReplaceAll(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), []byte("\r\n"), []byte("\n"))
	rest, ok := bytes.CutPrefix(b, []byte("---\n"))
	if !ok {
		return nil, false
	}
	head, _, ok := bytes.Cut(append([]byte("\n"), rest...), []byte("\n---"))
	return head, ok
}

// declared are the patterns of one split.
type declared struct {
	split    string
	patterns []string
}

// dataFiles reads data_files in all of its forms: a pattern, a list of them, splits with patterns. Without a split they are to train on.
func dataFiles(node *yaml.Node) (list []declared, err error) {
	switch node.Kind {
	case 0:
		return nil, nil
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			patterns, err := texts(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			list = append(list, declared{node.Content[i].Value, patterns})
		}
		return list, nil
	case yaml.SequenceNode:
		if len(node.Content) == 0 || node.Content[0].Kind != yaml.MappingNode {
			break
		}
		for _, item := range node.Content {
			var x struct {
				Split string    `yaml:"split"`
				Path  yaml.Node `yaml:"path"`
			}
			if err := item.Decode(&x); err != nil {
				return nil, err
			}
			patterns, err := texts(&x.Path)
			if err != nil {
				return nil, err
			}
			list = append(list, declared{x.Split, patterns})
		}
		return list, nil
	}
	patterns, err := texts(node)
	return []declared{{"train", patterns}}, err
}

// texts are a text, or a list of them.
func texts(node *yaml.Node) (list []string, err error) {
	if node.Kind == yaml.ScalarNode {
		return []string{node.Value}, nil
	}
	if err := node.Decode(&list); err != nil || len(list) == 0 {
		return nil, fmt.Errorf("line %d: data_files are patterns, or splits with patterns", node.Line)
	}
	return list, nil
}
