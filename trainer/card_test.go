package trainer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The card of the best model showed what was measured of the last one.
func TestCardOfBest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	lines := `{"step": 0, "rows": 3}
{"step": 30, "loss": 1}
{"step": 30, "eval_accuracy": 0.75, "eval_runtime": 1}
{"step": 30, "eval_hard_accuracy": 0.5}
{"step": 60, "eval_accuracy": 0.25}
`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for last, want := range map[int]string{
		29: "",
		30: "after 30 updates:\n\n| figure | value |\n|---|---|\n| `eval_accuracy` | 0.75 |\n| `eval_hard_accuracy` | 0.5 |\n",
		45: "after 30 updates",
		60: "after 60 updates:\n\n| figure | value |\n|---|---|\n| `eval_accuracy` | 0.25 |\n",
	} {
		got, err := evaluated(path, last, "")
		if err != nil || !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%d: %q, %v, want %q", last, got, err, want)
		}
	}
}
