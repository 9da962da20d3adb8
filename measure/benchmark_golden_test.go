package measure

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"criticrm/record"
	"criticrm/record/recordtest"
)

// TestBenchmarkGolden: random numbers, and what the benchmarks' own programs make of them (bench/peers/benchmarks.py).
func TestBenchmarkGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/benchmarks.json")
	if err != nil {
		t.Fatal(err)
	}
	var files []struct {
		Name string
		Rows []struct {
			Part, Group, Row string
			Second           bool
			Right            int
			Values           []*float64
			Ratings          []float64
		}
		Want map[string]float64
	}
	if err := json.Unmarshal(b, &files); err != nil || len(files) < 6 {
		t.Fatalf("%v: %d files", err, len(files))
	}
	for _, f := range files {
		var records []*record.Record
		for i, r := range f.Rows {
			if f.Name == record.RewardBench || f.Name == record.JudgeBench {
				pair := pairOf(f.Name, r.Part, fmt.Sprint(i), *r.Values[0], *r.Values[1])
				pair.Benchmark.Second = r.Second
				records = append(records, pair)
				continue
			}
			for k, rec := range rowOf(f.Name, r.Part, r.Row, r.Right, make([]float64, len(r.Values))...) {
				if rec.Benchmark.Group = r.Group; r.Ratings != nil {
					rec.Benchmark.Rating, rec.Correct = &r.Ratings[k], nil
				}
				if rec.Reward = r.Values[k]; f.Name == record.CriticBench { // its numbers are a judge's
					rec.Reward, rec.Critiques = nil, recordtest.Scores(0)
					rec.Critiques[0].Score = r.Values[k]
				}
				records = append(records, rec)
			}
		}
		method := "reward"
		if f.Name == record.CriticBench {
			method = "judge"
		}
		want(t, evaluated(t, records), method, f.Want)
	}
}
