package demo

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"criticrm/record"
)

var update = flag.Bool("update", false, "write the files of examples that tests compare")

// The pairs of examples, with which docs/quick-start.md shows a whole run, are of the demo's task: go test ./demo -run Tryout -update
func TestTryout(t *testing.T) {
	for path, pairs := range map[string][]Pair{"../examples/pairs.jsonl": Pairs(1, 240, Train), "../examples/held-out.jsonl": Pairs(1, 100, Evaluation)} {
		var b bytes.Buffer
		if err := record.WriteRecords(&b, Records(pairs)); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, b.Bytes()) {
			t.Errorf("%s is not what the task makes (%v): run with -update", path, err)
		}
	}
}
