// Command fingerprint makes the hashes of benchmarks' prompts that package corpus embeds. A maintainer runs it where the benchmarks'
// repositories lie:
//
//	go run ./corpus/fingerprint --from DIR [--to corpus/benchmarks]
//
// DIR has a folder owner/name for each repository of manifest.json, checked out at the commit that it says. A new benchmark is an entry there
// without prompts and sha256, which this command fills in.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/corpus"
	"criticrm/record"
	"criticrm/tokenizer"
)

func main() {
	from := flag.String("from", "", "folder with the repositories, as owner/name")
	to := flag.String("to", "corpus/benchmarks", "folder of manifest.json and the hashes")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "fingerprint:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	if from == "" {
		return errors.New("--from is missing: the folder with the benchmarks' repositories")
	}
	name := filepath.Join(to, corpus.ManifestName)
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var m corpus.Manifest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for i := range m.Benchmarks {
		b := &m.Benchmarks[i]
		prints, err := prompts(filepath.Join(from, filepath.FromSlash(b.Repository)), b)
		if err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
		file := corpus.AppendFingerprints(nil, prints)
		list, err := corpus.ParseFingerprints(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(file)
		b.Prompts, b.SHA256 = len(list), hex.EncodeToString(sum[:])
		if err := checkpoint.WriteFileAtomic(filepath.Join(to, b.File()), file); err != nil {
			return err
		}
		fmt.Printf("%s: %d prompts, %d bytes\n", b.Name, b.Prompts, len(file))
	}
	out, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(name, append(out, '\n'))
}

// prompts hashes the prompts in a repository's files.
func prompts(dir string, b *corpus.Benchmark) (list []uint64, err error) {
	var paths []string
	for _, pattern := range b.Files {
		found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no file %s in %s", pattern, dir)
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	for _, path := range paths {
		before := len(list)
		err := rows(path, func(row map[string]any) error {
			for _, field := range b.Fields {
				texts, err := value(row[field])
				if err != nil {
					return fmt.Errorf("%s: %q: %w", path, field, err)
				}
				for _, t := range texts {
					list = append(list, corpus.Fingerprint(t))
				}
			}
			return nil
		})
		if err == nil && len(list) == before {
			err = fmt.Errorf("%s: no prompts", path)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// rows reads a file of rows: .csv with a head, a JSON array, or JSON Lines; .gz of them.
func rows(path string, row func(map[string]any) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if strings.HasSuffix(path, ".csv") {
		all, err := csv.NewReader(in).ReadAll()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, fields := range all[1:] {
			one := map[string]any{}
			for i, key := range all[0] {
				one[key] = fields[i]
			}
			if err := row(one); err != nil {
				return err
			}
		}
		return nil
	}
	for d := json.NewDecoder(in); ; {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, item := range list {
			one, ok := item.(map[string]any)
			if !ok {
				return fmt.Errorf("%s: a row is no object", path)
			}
			if err := row(one); err != nil {
				return err
			}
		}
	}
}

// value is the prompts in a field: a text is one, a list of texts is as many, a list of messages is one conversation.
func value(v any) (texts []string, err error) {
	switch v := v.(type) {
	case string:
		return []string{v}, nil
	case []any:
		var p record.Prompt
		for _, item := range v {
			switch item := item.(type) {
			case string:
				texts = append(texts, item)
			case map[string]any:
				role, _ := item["role"].(string)
				content, ok := item["content"].(string)
				if !ok {
					return nil, errors.New("a message without a content")
				}
				p.Messages = append(p.Messages, tokenizer.Message{Role: role, Content: content})
			default:
				return nil, errors.New("want texts or messages")
			}
		}
		if p.Messages != nil {
			texts = append(texts, corpus.PromptText(p))
		}
		return texts, nil
	}
	return nil, errors.New("want a text or a list")
}
