package trainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"testing"

	"criticrm/internal/tfevents/tfeventstest"
)

// Every pair is counted once, in the part of the range where its margin lies.
func TestHistogram(t *testing.T) {
	h, err := margins(nil, []float64{-1, 2, 0.5, 2, 1.95, -0.95})
	if err != nil || h.Min != -1 || h.Max != 2 || len(h.Counts) != 30 || h.Counts[0] != 2 || h.Counts[15] != 1 || h.Counts[29] != 3 || h.sum != 4.5 {
		t.Errorf("%+v, %v", h, err)
	}
	if h, _ = margins(nil, []float64{3, 3}); h.Min != 3 || h.Max != 3 || len(h.Counts) != 1 || h.Counts[0] != 2 {
		t.Errorf("%+v", h)
	}
	for _, list := range [][]float64{nil, {1, math.NaN()}, {1, math.Inf(1)}, {-1e308, 1e308}} {
		if h, err := margins(nil, list); h != nil || err != nil {
			t.Errorf("%v: %+v, %v", list, h, err)
		}
	}
}

// Lines of evaluations, TensorBoard's files and the library have the same histogram; its mean is the margin.
func TestMarginsOfEvaluations(t *testing.T) {
	c := testConfig(t.TempDir())
	c.ReportTo, c.EvalOnStart, c.Method = TensorBoard, true, BT
	held := pairs(33)[27:]
	var log bytes.Buffer
	m := tiny(t, c, 1)
	r, err := Train(context.Background(), m, pairs(27), c, WithEval(held), WithReport(Report{Log: &log}))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Evaluate(context.Background(), m, held, c, 0)
	if err != nil || e.Margins == nil || math.Abs(e.Margins.sum/float64(len(held))-e.Margin) > 1e-12 {
		t.Fatalf("%+v, a margin of %v (%v)", e.Margins, e.Margin, err)
	}
	n := 0
	for _, x := range e.Margins.Counts {
		n += x
	}
	if n != len(held) {
		t.Errorf("%d pairs of %d", n, len(held))
	}
	lines := metricLines(t, c.OutputDir, "eval_margin_histogram")
	b, err := json.Marshal(lines[len(lines)-1]["eval_margin_histogram"])
	var written Histogram
	if err = errors.Join(err, json.Unmarshal(b, &written)); err != nil || written.Min != e.Margins.Min || written.Max != e.Margins.Max || len(written.Counts) != len(e.Margins.Counts) {
		t.Errorf("%s, %v", b, err)
	}
	if bytes.Contains(log.Bytes(), []byte("histogram")) || r.Evals[0].Margins == nil {
		t.Errorf("%s", &log)
	}
	got := tfeventstest.ReadHistograms(t, filepath.Join(c.OutputDir, EventsDir))["eval/margin_histogram"]
	if last := got[len(got)-1]; len(got) != len(lines) || last.Step != 20 || last.Num != float64(len(held)) || last.Min != e.Margins.Min || last.Sum != e.Margins.sum {
		t.Errorf("%+v", got)
	}
}
