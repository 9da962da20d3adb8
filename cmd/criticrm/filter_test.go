package main

import (
	"path/filepath"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/record"
)

func TestFilter(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "1.jsonl"), judged("a", []int{9, 3}, []int{2, 8})+judged("b", []int{1}, []int{9})+judged("c", []int{6}, []int{5}))
	out := filepath.Join(dir, "2.jsonl")
	stdout, errs := must(t, "filter", "--in", in, "--out", out)
	if !strings.HasPrefix(stdout, out+": 2 of 3 records kept") || !strings.Contains(stdout, "1 × "+critic.DropMean) || !strings.Contains(stdout, "2 × "+critic.DropAgainst) {
		t.Errorf("%q", stdout)
	}
	if !strings.HasPrefix(errs, "filter: 3/3 records, ") {
		t.Errorf("%q", errs)
	}
	records, err := record.ReadFile(out, record.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if k := records[0].Kept(record.Chosen); len(k) != 1 || *k[0].Score != 9 || records[1].Dropped != critic.DropMean {
		t.Errorf("%+v", records[0].ChosenCritiques)
	}
	code, _, errs := command(t, "filter", "--in", in, "--out", out, "--min_survivors", "0.9", "--restart")
	want := "criticrm: critic: only 2 of 3 records survive, want at least 90 % (1 × mean score of chosen is not above mean score of rejected): the critiques do not agree with the labels; look at some, change the critique prompt or the model, or lower min_survivors"
	if code != exitFailed || lastLine(errs) != want {
		t.Errorf("%d %q", code, errs)
	}
}
