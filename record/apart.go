package record

// Outputs that would be rows of what they are made from.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Apart is an error if an output is a file of an input, which it would replace, or would be one once it is there: in a folder that is read,
// or under a name of a pattern. "" and "-" are no files. What is wrong with the input is said where it is opened.
func Apart(input string, outs ...string) error {
	items, err := split(input)
	if err != nil {
		return nil
	}
	for _, out := range outs {
		if out == "" || out == "-" {
			continue
		}
		to, _ := os.Stat(out)
		for _, it := range items {
			paths, _ := it.paths() // of a folder with several splits, too
			for _, path := range paths {
				if from, err := os.Stat(path); err == nil && to != nil && os.SameFile(from, to) {
					return fmt.Errorf("%s is what is read", out)
				}
			}
			if it.takes(out) {
				return fmt.Errorf("%s would be read as a part of %s the next time: write it to another place", out, it.text)
			}
		}
	}
	return nil
}

// takes says whether a new file would be one of the item's.
func (it item) takes(out string) bool {
	name := filepath.Base(out)
	if ours(name) != "" {
		return false
	}
	info, err := os.Stat(it.text)
	if err == nil && info.IsDir() {
		below, err := filepath.Rel(real(it.text), filepath.Join(real(filepath.Dir(out)), name))
		if err != nil || !dataName(name) {
			return false
		}
		for _, step := range strings.Split(below, string(filepath.Separator)) {
			if strings.HasPrefix(step, ".") { // hidden, or outside
				return false
			}
		}
		return true
	}
	if err == nil || !isPattern(it.text) {
		return false
	}
	dir, pattern := filepath.Split(it.text)
	match, _ := filepath.Match(pattern, name)
	if !match || isHidden(name) && !isHidden(pattern) {
		return false
	}
	if isPattern(dir) {
		of, err := filepath.Abs(dir)
		at, fault := filepath.Abs(filepath.Dir(out))
		match, _ = filepath.Match(of, at)
		return match && err == nil && fault == nil
	}
	return real(filepath.Clean(dir)) == real(filepath.Dir(out))
}

func isHidden(name string) bool { return strings.HasPrefix(name, ".") }

// real is a path from the root without links, as far as it is there.
func real(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	if full, err := filepath.EvalSymlinks(path); err == nil {
		path = full
	}
	return path
}
