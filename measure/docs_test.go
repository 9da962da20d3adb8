package measure

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestEvaluationPage holds the table of benchmarks in docs/evaluation.md to the program's.
func TestEvaluationPage(t *testing.T) {
	b, err := os.ReadFile("../docs/evaluation.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := []string{"| `--benchmark` | rows | official rule |", "|---|---|---|"}
	for _, x := range Benchmarks() {
		mark := ""
		if x.AnyPairs {
			mark = "¹"
		}
		rows = append(rows, fmt.Sprintf("| `%s`%s | %s: %s | %s |", x.Name, mark, x.Title, x.Data, x.Rule))
	}
	_, rest, _ := strings.Cut(string(b), "<!-- benchmarks -->\n")
	got, _, found := strings.Cut(rest, "<!-- end -->\n")
	if text := "\n" + strings.Join(rows, "\n") + "\n\n"; !found || got != text {
		t.Errorf("docs/evaluation.md: behind <!-- benchmarks --> must stand:\n%s<!-- end -->\nand there stands\n%s", text, got)
	}
}
