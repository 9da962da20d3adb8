package main

// The pages that list what the program leaves and says, held to it.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDocsFiles: files.md explains every field of every JSON file that commands leave.
func TestDocsFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains models")
	}
	text := readFile(t, filepath.Join(repository, "docs", "files.md"))
	docsFolder(t)
	must(t, "run", "--model", "my-model", "--train", "pairs.jsonl", "--eval", "held-out.jsonl", "--output_dir", "run", "--train.save_steps", "1")
	must(t, "score", "--model", "run/model", "--in", "answers.jsonl", "--out", "scored.jsonl")
	must(t, "eval", "--in", "run/round-1/eval.jsonl", "--json", "eval.json")
	must(t, "revise", "--model", "my-model", "--in", "run/round-1/eval.jsonl", "--out", "revised.jsonl", "--check", "text", "--max_tokens", "8")
	must(t, "critique-eval", "--in", "revised.jsonl", "--pairs_labelled", "--json", "quality.json", "--items", "items.jsonl")
	must(t, "train", "--method", "bt", "--model", "my-model", "--train_file", "pairs.jsonl", "--eval_file", "held-out.jsonl", "--output_dir", "run-bt")
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || ext != ".json" && ext != ".jsonl" || strings.HasPrefix(path, "my-model") || strings.HasPrefix(d.Name(), "tokenizer") || d.Name() == "config.json" || d.Name() == "trainer_state.json" { // other programs' forms
			return err
		}
		dec := json.NewDecoder(strings.NewReader(readFile(t, path)))
		for {
			var v any
			if err := dec.Decode(&v); err == io.EOF {
				return nil
			} else if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			fields(v, func(key string) {
				if strings.HasPrefix(key, "eval_accuracy_") {
					key = "eval_accuracy_CATEGORY"
				}
				if name := d.Name() + " " + key; !seen[name] {
					seen[name] = true
					if !strings.Contains(text, "`"+key+"`") {
						t.Errorf("files.md does not name %s of %s", key, path)
					}
				}
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 100 {
		t.Errorf("only %d fields were found", len(seen))
	}
}

// namedByData are fields whose members are named by the data, or by settings.
var namedByData = []string{"settings", "recipe", "outputs", "files", "prompts", "categories", "duplicates", "left_out", "unread_columns", "category_ece", "dropped", "unparsed"}

func fields(v any, see func(key string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			see(key)
			if _, nested := member.(map[string]any); !nested || !slices.Contains(namedByData, key) {
				fields(member, see)
			}
		}
	case []any:
		for _, member := range v {
			fields(member, see)
		}
	}
}

// TestDocsErrors: every text that errors.md explains is one that the program, or a script, can say.
func TestDocsErrors(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && slices.Contains([]string{".git", "build", "bin", "runs", "docs"}, d.Name()) {
			return cmp.Or(err, fs.SkipDir)
		}
		if ext := filepath.Ext(path); ext == ".sh" || ext == ".go" && !strings.HasSuffix(path, "_test.go") {
			source.WriteString(readFile(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range strings.Split(readFile(t, filepath.Join(repository, "docs", "errors.md")), "\n") {
		text, ok := strings.CutPrefix(line, "| `")
		if !ok {
			continue
		}
		text, _, _ = strings.Cut(text, "` |")
		n++
		for _, part := range strings.Split(text, "…") {
			if part = strings.TrimSpace(part); !strings.Contains(source.String(), part) {
				t.Errorf("errors.md explains %q, which nothing says", part)
			}
		}
	}
	if n < 30 {
		t.Errorf("found %d errors", n)
	}
}
