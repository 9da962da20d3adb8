package trainer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The page is made behind evaluations while the training runs, from the lines that are there by then, and at its end; a stopped training has one, and one
// that had nothing to do keeps the one that it has.
func TestPage(t *testing.T) {
	c := testConfig(t.TempDir())
	c.EvalSteps = 5
	held := WithEval(pairs(33)[27:])
	var mu sync.Mutex
	var calls []bool
	var evals []int
	page := func(dir string, running bool) error {
		b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
		mu.Lock()
		defer mu.Unlock()
		calls, evals = append(calls, running), append(evals, bytes.Count(b, []byte("eval_loss")))
		return err
	}
	for _, stop := range []int{7, 0, 0} {
		calls, evals = nil, nil
		ctx, cancel := context.WithCancel(context.Background())
		step := func(m Metrics) {
			if m.Step == stop {
				cancel()
			}
		}
		_, err := Train(ctx, tiny(t, c, 1), pairs(27), c, held, WithReport(Report{OnStep: step, Page: page}))
		if stop == 0 && err != nil || stop > 0 && !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		again := c.Resume != "" && stop == 0 && len(calls) == 0
		if n := len(calls); !again && (n < 2 || calls[n-1] || !calls[0] || evals[0] < 1) {
			t.Errorf("stopped at %d: %v, evaluations %v", stop, calls, evals)
		} else if n > 0 && evals[n-1] != map[int]int{7: 1, 0: 4}[stop] {
			t.Errorf("the last page has %d evaluations", evals[n-1])
		}
		c.Resume = "latest"
	}
	if len(calls) != 0 {
		t.Errorf("a finished training has a new page: %v", calls)
	}
}

// A page that cannot be made ends no training, and is told once.
func TestPageFails(t *testing.T) {
	c := testConfig(t.TempDir())
	c.EvalSteps = 2
	var log bytes.Buffer
	_, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c, WithEval(pairs(33)[27:]), WithReport(Report{Log: &log, Page: func(string, bool) error { return errors.New("no ink") }}))
	if err != nil || strings.Count(log.String(), "the report of the training is not written: no ink") != 1 {
		t.Errorf("%v\n%s", err, &log)
	}
}
