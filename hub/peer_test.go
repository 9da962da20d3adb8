package hub

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/hub/hubtest"
)

// Package datasets finds the same configurations and splits, with the same rows, in the layouts that a data set may have.
func TestSplitsOfDatasets(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	row := func(n int) string { return strings.Repeat("{\"a\":1}\n", n) }
	sets := map[string]map[string]string{
		"sharded": {"data/train-00000-of-00002.jsonl": row(1), "data/train-00001-of-00002.jsonl": row(2), "data/test-00000-of-00001.jsonl": row(4), "data/notes.jsonl": row(8)},
		"custom":  {"data/train_prefs-00000-of-00001.jsonl": row(1), "data/test_prefs-00000-of-00001.jsonl": row(2)},
		"words":   {"train.jsonl": row(1), "test.jsonl": row(2), "dev.jsonl": row(4)},
		"folders": {"train/a.jsonl": row(1), "train/b.jsonl": row(2), "validation/c.jsonl": row(4)},
		"mixed":   {"helpful/train.jsonl": row(1), "harmless/train.jsonl": row(2), "helpful/test.jsonl": row(4), ".hidden/train.jsonl": row(8), "__x/train.jsonl": row(16)},
		"plain":   {"a.jsonl": row(1), "b.jsonl": row(2), "dataset_infos.json": "{}"},
		"kinds":   {"train-1.parquet": "", "train.jsonl": row(1), "train-2.jsonl": row(2)},
		"card": {card: "---\nconfigs:\n- config_name: x\n  default: true\n  data_files:\n  - split: train\n    path: \"x/*.jsonl\"\n  - split: gold\n    path: [y/1.jsonl, y/2.jsonl]\n- config_name: z\n  data_files: z/**\n- config_name: w\n  data_dir: w\n---\n",
			"x/1.jsonl": row(1), "x/2.jsonl": row(2), "y/1.jsonl": row(4), "y/2.jsonl": row(8), "z/q/r.jsonl": row(16), "w/test.jsonl": row(32), "w/train.jsonl": row(64)},
	}
	h := quick(t, s)
	for set, files := range sets {
		s.Add("datasets/org/"+set, files)
		for file, text := range files {
			if strings.HasSuffix(file, ".parquet") {
				continue // it would have to be a real one
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(set, file)), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(set, file), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("HF_DATASETS_CACHE", filepath.Join(t.TempDir(), "arrow"))
	got := python(t, h, true, fmt.Sprintf(`
try:
    from datasets import load_dataset, get_dataset_config_names, disable_progress_bars
except ImportError:
    raise SystemExit(print("none"))
disable_progress_bars()
for s in "%s".split():
    for c in get_dataset_config_names("./" + s):
        d = load_dataset("./" + s, c)
        for k in d:
            print("split", s, c, k, d[k].num_rows)`, strings.Join(slices.Sorted(maps.Keys(sets)), " ")))
	n := 0
	for line := range strings.Lines(got) {
		w := strings.Fields(line)
		if len(w) != 5 || w[0] != "split" {
			continue
		}
		n++
		files, err := h.Data(t.Context(), name(t, "org/"+w[1]+"/"+w[2]+"/"+w[3], Dataset), rows)
		if err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
			continue
		}
		count := 0
		for _, pattern := range files {
			found, err := filepath.Glob(pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range found {
				count += strings.Count(read(t, file), "\n")
			}
		}
		if fmt.Sprint(count) != w[4] {
			t.Errorf("%s: %d rows in %v", strings.TrimSpace(line), count, files)
		}
	}
	t.Logf("%d splits", n)
	if n < 15 {
		t.Errorf("%d splits in\n%s", n, got)
	}
}
