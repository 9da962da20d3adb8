package pipeline

import (
	"strings"
	"testing"
)

// What a run prints of a benchmark's rows, and writes into the model's card, says that it is not the benchmark's score.
func TestNotOfficial(t *testing.T) {
	for _, bench := range []string{"", "rewardbench"} {
		res := &Results{Benchmark: bench, Rows: []Row{{Method: MethodLength}}}
		for _, text := range []string{res.String(), res.markdown()} {
			if strings.Contains(text, "not its score") != (bench != "") {
				t.Errorf("%q: %s", bench, text)
			}
		}
	}
}
