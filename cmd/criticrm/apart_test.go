package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// No file of results takes the place of the rows that it is made from, however these are named.
func TestResultsApart(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	text := labelledRows(12, nothingMore)
	in, other := writeFile(t, at("in.jsonl"), text), writeFile(t, at("other.jsonl"), text)
	html := writeFile(t, at("rows.html"), text)
	for _, args := range [][]string{
		{"eval", "--in", in, "--json", in},
		{"eval", "--in", in + "," + other, "--json", other},
		{"eval", "--in", dir, "--json", at("new.json")},
		{"critique-eval", "--in", in, "--json", in},
		{"critique-eval", "--in", in, "--items", in},
		{"critique-eval", "--in", in, "--valid", other, "--items", other},
		{"data", "stats", "--in", in + "," + html, "--html", html},
		{"data", "stats", "--in", in, "--against", html, "--html", html},
		{"data", "convert", "--in", in + "," + other, "--out", other},
		{"data", "split", "--in", in + ":0.5," + other + ":0.5", "--train_out", at("t.jsonl"), "--eval_out", in},
		{"run", "--model", "m", "--train", dir, "--eval", in, "--output_dir", at("run")},
		{"synth", "--model", "m", "--in", dir, "--out", at("pairs.jsonl")},
	} {
		code, out, errs := command(t, args...)
		if code != exitUsage || !strings.Contains(errs, "is what is read") && !strings.Contains(errs, "would be read as a part of") {
			t.Errorf("%v: %d, %s%s", args, code, out, errs)
		}
		for _, path := range []string{in, other, html} {
			if b, err := os.ReadFile(path); err != nil || string(b) != text {
				t.Fatalf("%v: %s is another file now (%v)", args, path, err)
			}
		}
	}
}
