package critic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/splitmix"
)

// generatorFunc is a scripted Generator.
type generatorFunc func(ctx context.Context, reqs []Request, s Sampling) ([][]Sample, error)

func (f generatorFunc) Generate(ctx context.Context, reqs []Request, s Sampling) ([][]Sample, error) {
	return f(ctx, reqs, s)
}

// randomGenerator writes critiques that are a pure function of (seed, key, sample), as the contract wants. Some
// have no score and some are cut.
func randomGenerator() generatorFunc {
	return func(ctx context.Context, reqs []Request, s Sampling) ([][]Sample, error) {
		out := make([][]Sample, len(reqs))
		for i, q := range reqs {
			for j := range q.N {
				x := splitmix.Draw(q.Key^splitmix.Mix(s.Seed+1), uint64(j))
				score := 1 + splitmix.Below(x, 10)
				sample := Sample{Text: fmt.Sprintf("Looks fine, %x.\nScore: %d", x&0xFFFF, score), FinishReason: FinishStop,
					Tokens: []int32{int32(x & 0x7FFF), int32(score), 4}, LogProb: -float64(x>>40) / (1 << 22)}
				switch splitmix.Below(splitmix.Mix(x), 10) {
				case 0:
					sample.Text = "No verdict."
				case 1:
					sample.Text, sample.FinishReason = sample.Text[:len(sample.Text)-3], FinishLength
				}
				if s.Reward {
					v := float32(score) + float32(splitmix.Below(splitmix.Mix(x+1), 100))/64
					sample.Reward = &v
				}
				out[i] = append(out[i], sample)
			}
		}
		return out, ctx.Err()
	}
}

// scores makes critiques with the given scores; NaN stands for no score.
func scores(values ...float64) []Critique {
	var out []Critique
	for i, v := range values {
		c := Critique{Text: fmt.Sprintf("critique %d", i), Tokens: []int32{1, 2}, LogProb: -2, FinishReason: FinishStop}
		if !math.IsNaN(v) {
			c.Score = &v
		}
		out = append(out, c)
	}
	return out
}

func pair(id string, chosen, rejected []Critique) *Record {
	return &Record{ID: id, Prompt: Prompt{Text: "p " + id}, Chosen: "yes", Rejected: "no!", ChosenCritiques: chosen, RejectedCritiques: rejected}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantError fails unless err's text holds want.
func wantError(t *testing.T, err error, want string) {
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

// lines makes a JSONL file of n pairs, with an unknown field.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"r%d","source":{"row":%d},"prompt":"What is %d?","chosen":"It is %d.","rejected":"It is not %d, sorry.","category":"c%d"}`+"\n", i, i, i, i, i, i%3)
	}
	return b.String()
}

func mustJSON(t *testing.T, r *Record) string {
	t.Helper()
	b, err := r.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var errScripted = errors.New("scripted failure")
