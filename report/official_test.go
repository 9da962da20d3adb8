package report

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// benchRows are 60 rows of a subset of RewardBench's Chat and 20 of its Reasoning, all right in the first and all wrong in the second: 75 % of
// the rows, 50 % by the rule.
func benchRows() string {
	var b strings.Builder
	for i := range 80 {
		subset, chosen := "alpacaeval-easy", 1
		if i >= 60 {
			subset, chosen = "hep-go", -3
		}
		fmt.Fprintf(&b, `{"id":"%d","prompt":"p%d","chosen":"c","rejected":"r","chosen_model":"a","rejected_model":"b","subset":"%s","chosen_reward":%d,"rejected_reward":0}`+"\n", i, i, subset, chosen)
	}
	return b.String()
}

// A report of rows of a benchmark has the score of the benchmark's rule, and no average that is another one.
func TestOfficial(t *testing.T) {
	in, other := filepath.Join(t.TempDir(), "rb.jsonl"), filepath.Join(t.TempDir(), "rb.jsonl")
	write(t, in, benchRows())
	write(t, other, benchRows())
	r := make1(t, in)
	c, err := Compare([]string{in, other}, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	for name, made := range map[string]*Report{"one": r, "two": c} {
		if lead := strings.Join(made.Lead, "\n"); !strings.Contains(lead, "By the rule of RewardBench: score 50.00 [") {
			t.Errorf("%s: %q", name, lead)
		}
		contains(t, made.HTML, "RewardBench by its own rule", "math-prm by 984", "NOT COMPARABLE")
		for _, wrong := range []string{"<td>75.0", ">75.0 ", " 75.0 %"} {
			if bytes.Contains(made.HTML, []byte(wrong)) {
				t.Errorf("%s: the report has %q, an average that is not the score", name, wrong)
			}
		}
	}
}
