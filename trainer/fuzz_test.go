package trainer

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzRecipe: a recipe that is read and valid is written and read back as the same.
func FuzzRecipe(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("..", "examples", "*.yaml"))
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"lr: 1e-3\nlearning_rate: 2", "a: &a [*a]", "method: bt\n---\nmethod: lm", "seed: 18446744073709551616", "bf16: yes"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := Default()
		if ParseRecipe(b, &c) != nil || c.Validate() != nil {
			return
		}
		text, err := c.Recipe()
		if err != nil {
			t.Fatal(err)
		}
		again := Default()
		if err := ParseRecipe(text, &again); err != nil || again != c {
			t.Fatalf("%v\n%s\n%s", err, b, text)
		}
	})
}

// FuzzMetrics: what is cut back is a start of the file that ends with a line.
func FuzzMetrics(f *testing.F) {
	f.Add([]byte("{\"step\":0}\n{\"step\":1,\"loss\":2}\n{\"step\":2}\n{\"st"), 1)
	f.Add([]byte("\n\n{}"), 3)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		path := filepath.Join(t.TempDir(), "metrics.jsonl")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := truncateMetrics(path, step); err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(path)
		if err != nil || len(kept) > len(b) || string(kept) != string(b[:len(kept)]) || len(kept) > 0 && kept[len(kept)-1] != '\n' {
			t.Fatalf("%q of %q, %v", kept, b, err)
		}
	})
}
