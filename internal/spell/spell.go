// Package spell finds the word that somebody meant.
package spell

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// Hint is `, did you mean "…"?` with the candidate that is nearest to name, or nothing where none is near: a guess that is far off sends
// people the wrong way.
func Hint(name string, candidates []string) string {
	if best := Nearest(name, candidates); best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	return ""
}

// Nearest is the candidate with the smallest edit distance (Levenshtein) to name, the first of equals, or the first that begins with name.
// It is empty where more than a third of the letters would have to change.
func Nearest(name string, candidates []string) string {
	best, least := "", (len(name)+2)/3+1
	for _, c := range candidates {
		if d := distance(name, c); d < least {
			best, least = c, d
		}
	}
	for _, c := range candidates {
		if best == "" && len(name) >= 3 && strings.HasPrefix(c, name) {
			best = c
		}
	}
	return best
}

// Hub adds to the error of a path that is not there, and that reads like owner/name on Hugging Face's hub, how a model or dataset of that
// name is had: nothing is downloaded here.
func Hub(err error, name, kind string) error {
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(name, "/") || strings.Trim(name, "/") != name || path.Clean(name) != name {
		return err
	}
	owner, last := path.Split(name)
	owner = strings.TrimSuffix(owner, "/")
	_, found := os.Stat(filepath.FromSlash(owner))
	if strings.ContainsAny(owner, "/.~") || fileName.MatchString(last) || found == nil {
		return err
	}
	if kind == Model {
		return fmt.Errorf("%w: models are not downloaded here: run 'hf download %s --local-dir %s' first, and give %s", err, name, last, last)
	}
	return fmt.Errorf("%w: datasets are not downloaded here: run 'hf download --repo-type dataset %s --local-dir %s' first, and give the files of the split, as '%s/data/train*.parquet'",
		err, name, last, last)
}

// fileName is what no name on the hub ends with.
var fileName = regexp.MustCompile(`(?i)\.(jsonl?|csv|tsv|parquet|txt|gz|zst|gguf|safetensors|yaml)$`)

// Kinds of things that Hugging Face's hub has.
const (
	Model   = "model"
	Dataset = "dataset"
)

// distance counts the letters that are put in, left out or exchanged.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
