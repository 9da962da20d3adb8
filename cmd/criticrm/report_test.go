package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/record/recordtest"
)

const scoredRows = `{"id":"1","prompt":"p","chosen":"a","rejected":"b","chosen_reward":1,"rejected_reward":0}
{"id":"2","prompt":"q","chosen":"a","rejected":"bb","chosen_reward":0,"rejected_reward":3}
`

// A report goes beside the file or into the run, says its size, and never over what it is made from.
func TestReport(t *testing.T) {
	in := recordtest.File(t, "scored.jsonl", scoredRows)
	code, stdout, stderr := command(t, "report", "--in", in)
	out := filepath.Join(filepath.Dir(in), "scored.report.html")
	page, err := os.ReadFile(out)
	if err != nil || code != exitOK {
		t.Fatalf("%d, %v: %s", code, err, stderr)
	}
	if !strings.Contains(stdout, "50.0 % [0.0, 100.0] of 2 held-out pairs") || !strings.Contains(stdout, out+": ") || !strings.Contains(stderr, "not a run") {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	if code, _, _ := command(t, "report", "--in", in); code != exitOK {
		t.Errorf("made again: %d", code)
	}
	if again, err := os.ReadFile(out); err != nil || !bytes.Equal(page, again) {
		t.Errorf("made again it is another page (%v)", err)
	}
	other := recordtest.File(t, "other.jsonl", strings.Replace(scoredRows, `"chosen_reward":0`, `"chosen_reward":9`, 1))
	to := filepath.Join(t.TempDir(), "c.html")
	if code, stdout, stderr := command(t, "report", "--compare", in, other, "--out", to); code != exitOK || !strings.Contains(stdout, "+50.0 points") {
		t.Errorf("compared: %d, %q, %q", code, stdout, stderr)
	}
	run := t.TempDir()
	metrics := filepath.Join(run, "metrics.jsonl")
	if err := os.WriteFile(metrics, []byte(`{"step": 1, "lambda": 1}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := command(t, "report", "--in", run); code != exitOK || !strings.Contains(stdout, filepath.Join(run, "report.html")) || !strings.Contains(stderr, "recipe.yaml is missing") {
		t.Errorf("training: %d, %q, %q", code, stdout, stderr)
	}
	for _, bad := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"report"}, exitUsage, "--in is missing"},
		{[]string{"report", "--in", t.TempDir()}, exitUsage, "is no run"},
		{[]string{"report", "--in", filepath.Join(run, "nothing")}, exitUsage, "no such file"},
		{[]string{"report", "--in", in, "--out", in}, exitUsage, "is what is read"},
		{[]string{"report", "--in", in, "--out", run}, exitUsage, "is a directory"},
		{[]string{"report", "--in", in, other}, exitUsage, "unexpected argument"},
		{[]string{"report", "--compare", in}, exitUsage, "want two or more"},
		{[]string{"report", "--in", in, "--wrong", "-1"}, exitUsage, "0 or more"},
		{[]string{"report", "--in", recordtest.File(t, "bad.jsonl", scoredRows+"{\n")}, exitData, "bad.jsonl:3"},
		{[]string{"report", "--in", in, "--category", "domain"}, exitData, `key "domain" is missing`},
	} {
		if code, _, stderr := command(t, bad.args...); code != bad.code || !strings.Contains(stderr, bad.want) {
			t.Errorf("%q: %d, %q, want %d and %q", bad.args, code, stderr, bad.code, bad.want)
		}
	}
}
