package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// prompt shows what a critic reads, with no loss on it, and a critique with a loss on all of it and the place of the reward; it tries rows and
// tells how many critiques were asked for a score.
func TestPrompt(t *testing.T) {
	docsFolder(t)
	out, _ := must(t, "prompt", "--model", "my-model", "--in", "pairs.jsonl", "--row", "2", "--side", "rejected")
	if !strings.Contains(out, ", rejected: ") || !strings.Contains(out, "<|critique|>") || strings.Contains(out, "tried") {
		t.Errorf("%s", out)
	}
	for _, line := range tokenLines(out) {
		if line[1] != "0" {
			t.Errorf("the question has a loss: %v", line)
		}
	}
	must(t, "generate", "--model", "my-model", "--in", "pairs.jsonl", "--out", "1.jsonl", "--critiques", "2", "--max_tokens", "60")
	out, _ = must(t, "prompt", "--model", "my-model", "--in", "1.jsonl")
	_, critique, _ := strings.Cut(out, "its first critique, ")
	learnt := 0
	for _, line := range tokenLines(out) {
		if line[1] == "1" {
			learnt++
		}
	}
	if n := regexp.MustCompile(`^\d+`).FindString(critique); learnt == 0 || n != fmt.Sprint(learnt) || strings.Count(out, "the reward is read here") != 1 {
		t.Errorf("%d tokens have a loss, the critique has %s:\n%s", learnt, n, out)
	}
	for how, want := range map[string]string{"off": "0.0 % asked for, 100.0 % missing", "sample": "0.0 % written, 100.0 % asked for", "expect": "100.0 % asked for, 0.0 % missing"} {
		out, errs := must(t, "prompt", "--model", "my-model", "--in", "pairs.jsonl", "--tokens=false", "--try", "3", "--max_tokens", "3", "--ask_score", how)
		if !strings.Contains(out, "tried on 3 records, 12 critiques: ") || !strings.Contains(out, want) || len(tokenLines(out)) > 0 {
			t.Errorf("%s: %s\n%s", how, out, errs)
		}
	}
	out, _ = must(t, "prompt", "--model", "my-model", "--in", "answers.jsonl", "--tokens=false", "--try", "2", "--max_tokens", "60")
	if !strings.Contains(out, "tried on 2 records, 4 critiques: ") || strings.Contains(out, "agreement") {
		t.Errorf("single responses: %s", out)
	}
	rubric := filepath.Join(t.TempDir(), "p")
	if err := os.Mkdir(rubric, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(rubric, "critique.txt"), "[user]\n{prompt} {response} {rubric}\n")
	writeFile(t, "rubric.jsonl", `{"prompt":"p","chosen":"a","rejected":"b","rubric":"be brief"}`+"\n")
	for prompts, told := range map[string]bool{rubric: false, "demo/prompts": true} { // a column is told as unread unless the prompt names it
		out, errs := must(t, "prompt", "--model", "my-model", "--in", "rubric.jsonl", "--tokens=false", "--override", "--prompts", prompts)
		if strings.Contains(errs, `column "rubric" of 1 rows is not read`) != told || strings.Contains(out, "be brief") == told {
			t.Errorf("%s: %s\n%s", prompts, out, errs)
		}
	}
	for args, want := range map[string]string{
		"--in pairs.jsonl --row 99":                                  "--row: got 99, pairs.jsonl has 16 rows",
		"--in pairs.jsonl --row 0":                                   "--row and --try: got 0 and 0",
		"--in pairs.jsonl --side response":                           `it has no side "response" to show`,
		"--in pairs.jsonl --override --prompts " + rubric:            `it has no "rubric", which the prompt ` + rubric,
		"--in pairs.jsonl --prompts small":                           "was trained with the prompts",
		"--in pairs.jsonl --try 1 --ask_score always --tokens=false": "ask_score: got \"always\", want one of off, sample, expect",
	} {
		code, _, errs := command(t, append([]string{"prompt", "--model", "my-model"}, strings.Fields(args)...)...)
		if code == exitOK || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %q, want %q", args, code, errs, want)
		}
	}
}

// tokenLines are the tokens of a table, each its id and its loss.
func tokenLines(out string) (list [][2]string) {
	for _, m := range regexp.MustCompile(`(?m)^\d+ +(\d+) +".*" +([0-9.]+) `).FindAllStringSubmatch(out, -1) {
		list = append(list, [2]string{m[1], m[2]})
	}
	return list
}
