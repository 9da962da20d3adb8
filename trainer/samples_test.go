package trainer

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"criticrm/device/devicetest"
)

// The first rows alone are used, which is said, and what stands behind them is not looked at.
func TestMaxSamples(t *testing.T) {
	c := fileConfig(t)
	few := c
	write(t, few.TrainFile, records(6))
	few.EvalFile = ""
	want, err := Run(context.Background(), devicetest.Open(t, 1), few, Report{})
	if err != nil {
		t.Fatal(err)
	}
	c.OutputDir += "-more"
	c.MaxSamples, c.MaxEvalSamples = 6, 2
	write(t, c.TrainFile, records(6)+"no JSON\n")
	var log bytes.Buffer
	got, err := Run(context.Background(), devicetest.Open(t, 1), c, Report{Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if got.Last.Loss != want.Last.Loss || got.Steps != want.Steps || got.Evals[0].Examples != 2 {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, want := range []string{"train.jsonl: 6 rows, 6 examples, no more than these 6 rows are read (max_samples)", "eval.jsonl: 2 rows, 2 examples, no more than these 2 rows"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
	if first := metricLines(t, c.OutputDir, "train"); first[0]["train"].(map[string]any)["max_samples"] != 6.0 {
		t.Errorf("%v", first)
	}
	c.Resume, c.MaxSamples = "latest", 7
	write(t, c.TrainFile, records(7))
	if _, err := Run(context.Background(), devicetest.Open(t, 1), c, Report{}); err == nil || !strings.Contains(err.Error(), "max_samples was 6, now 7") {
		t.Error(err)
	}
}
