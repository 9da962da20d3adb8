package critic

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/record"
	"criticrm/record/recordtest"
)

// every gives a Generator whose every n-th sample has a score; 0: none has.
func every(n int) generatorFunc {
	k := 0
	return func(_ context.Context, reqs []Request, _ record.Sampling) ([][]Sample, error) {
		out := make([][]Sample, len(reqs))
		for i, q := range reqs {
			for range q.N {
				s := Sample{Text: strings.Repeat("Nice work. ", 40), FinishReason: record.FinishLength, Tokens: []int32{1}}
				if k++; n > 0 && k%n == 0 {
					s.Text, s.FinishReason = "Score: 7", record.FinishStop
				}
				out[i] = append(out[i], s)
			}
		}
		return out, nil
	}
}

// A model that never writes a score is told of behind the first record and stops behind 64 critiques, with what it wrote kept; the same
// command stops again at once, and goes on without the guard.
func TestGuardStops(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	if err := os.WriteFile(in, []byte(recordtest.Lines(40)), 0o644); err != nil {
		t.Fatal(err)
	}
	o := DefaultGenerateOptions()
	var said []string
	rows := func() int { return bytes.Count(read(t, out), []byte("\n")) }
	warnedAt := -1
	o.Warn = func(s string) {
		if said = append(said, s); warnedAt < 0 {
			warnedAt = rows()
		}
	}
	run := func(g Generator) error {
		s, _, err := GenerateStage(in, out, g, o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Run(context.Background())
		return err
	}
	err := run(every(0))
	if !errors.Is(err, ErrUnparsed) || !strings.Contains(err.Error(), "0 of 80, want at least 5 %: raise max_tokens (80 critiques were cut at 512)") {
		t.Fatal(err)
	}
	if rows() != 4 || warnedAt != 1 {
		t.Errorf("%d rows, want the 4 that were finished; the warning came behind %d rows, want 1", rows(), warnedAt)
	}
	text := strings.Join(said, "\n")
	if strings.Count(text, "warning: 0 of the first 20 critiques end in a score") != 1 || strings.Count(text, " … ") != 2 || len(said) != 4 {
		t.Errorf("%d lines:\n%s", len(said), text)
	}
	asked := false
	if err := run(generatorFunc(func(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error) {
		asked = true
		return every(0)(ctx, reqs, s)
	})); !errors.Is(err, ErrUnparsed) || asked {
		t.Errorf("again: %v, asked the model: %v", err, asked)
	}
	if o.MinParsed = 0; run(every(0)) != nil || rows() != 40 {
		t.Errorf("without the guard: %d rows", rows())
	}
}

// The share is what counts, not the first critiques alone.
func TestGuardShare(t *testing.T) {
	for _, x := range []struct {
		every int
		share float64
		stops bool
	}{{10, 0.05, false}, {30, 0.05, true}, {2, 0.6, true}, {1, 1, false}, {0, 0, false}} {
		o := DefaultGenerateOptions()
		o.MinParsed = x.share
		var records []*record.Record
		for range 10 {
			records = append(records, recordtest.Pair("p", nil, nil))
		}
		if _, err := Generate(context.Background(), every(x.every), records, o); errors.Is(err, ErrUnparsed) != x.stops || !x.stops && err != nil {
			t.Errorf("%+v: %v", x, err)
		}
	}
	o := DefaultGenerateOptions()
	o.MinParsed = 1.5
	if err := o.Validate(); err == nil {
		t.Error("min_parsed 1.5 is accepted")
	}
}
