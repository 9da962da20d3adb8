package main

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestRanksSkip: two processes skip the updates that one skips, count the same margins, and leave the same mean of checkpoints, to the bit.
func TestRanksSkip(t *testing.T) {
	needsRanks(t)
	dir, args := ranked(t)
	var was []any
	for _, n := range []string{"alone", "both"} {
		_, errs := must(t, args(n, map[string]int{"alone": 1, "both": 2}[n], "--gradient_sum", "tree", "--lr", "0.05", "--skip_grad_norm_zscore", "0.5", "--skip_window", "8", "--average_checkpoints", "2")...)
		var list []any
		skipped, pictures := 0, 0
		for _, line := range strings.Split(strings.TrimSpace(readFile(t, filepath.Join(dir, n, "metrics.jsonl"))), "\n") {
			var x map[string]any
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				t.Fatal(err)
			}
			if x["averaged_checkpoints"] != nil { // several processes do not measure it
				continue
			}
			list = append(list, x["step"], x["skipped"], x["grad_norm"], x["grad_norm_limit"], x["eval_margin_histogram"])
			if x["skipped"] == true {
				skipped++
			}
			if x["eval_margin_histogram"] != nil {
				pictures++
			}
		}
		if skipped == 0 || skipped > 50 || pictures != 2 {
			t.Errorf("%s: %d updates skipped, %d histograms\n%s", n, skipped, pictures, errs)
		}
		if n == "alone" {
			was = list
		} else if !reflect.DeepEqual(list, was) {
			t.Errorf("one process has %v, two have %v", was, list)
		}
	}
	for _, file := range []string{"model.safetensors", "reward_head.safetensors"} {
		if readFile(t, filepath.Join(dir, "alone", "model", file)) != readFile(t, filepath.Join(dir, "both", "model", file)) {
			t.Errorf("%s differs", file)
		}
	}
}
