// Package recordtest makes records and files for tests.
package recordtest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/record"
)

// Pair is a preference pair with the critiques of both sides; its texts are short.
func Pair(id string, chosen, rejected []record.Critique) *record.Record {
	return &record.Record{ID: id, Prompt: record.Prompt{Text: "p " + id}, Chosen: "yes", Rejected: "no!", ChosenCritiques: chosen, RejectedCritiques: rejected}
}

// Scores makes sampled critiques with the given scores; NaN stands for no score.
func Scores(values ...float64) []record.Critique {
	var out []record.Critique
	for i, v := range values {
		c := record.Critique{Text: fmt.Sprintf("critique %d", i), Tokens: []int32{1, 2}, LogProb: -2, FinishReason: record.FinishStop}
		if !math.IsNaN(v) {
			c.Score = &v
		}
		out = append(out, c)
	}
	return out
}

// Lines is a file of n pairs, with an unknown field.
func Lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"r%d","source":{"row":%d},"prompt":"What is %d?","chosen":"It is %d.","rejected":"It is not %d, sorry.","category":"c%d"}`+"\n", i, i, i, i, i, i%3)
	}
	return b.String()
}

// File writes a file in a folder of the test and gives its path.
func File(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// JSON is the record as it is written.
func JSON(t testing.TB, r *record.Record) string {
	t.Helper()
	b, err := r.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// WantError fails unless err's text holds want, and is one that a person can read.
func WantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Fatalf("error %q, want %q in it", err, want)
	}
	if n := len(err.Error()); n > 1000 {
		t.Fatalf("error of %d bytes", n)
	}
}
