package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stylish are rows of RM-Bench.
func stylish(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":%d,"prompt":"%d+%d=?","chosen":["%d","It is %d.","**%d**"],"rejected":["1","It is 1.","**1**"],"domain":"chat"}`+"\n", i, i, i, 2*i, 2*i, 2*i)
	}
	return b.String()
}

// TestBenchmark: rows of several answers are scored through a file and in memory, and scored again from the file, with the same figures; they
// are known without being named.
func TestBenchmark(t *testing.T) {
	dir := t.TempDir()
	in, out := writeFile(t, filepath.Join(dir, "in.jsonl"), stylish(5)), filepath.Join(dir, "scored.jsonl")
	args := []string{"eval", "--model", rewardModel(t, "critic"), "--in", in, "--samples", "2", "--max_tokens", "8", "--prompts", shortPrompts(t), "--draws", "50"}
	memory, _ := must(t, args...)
	file, _ := must(t, append(args, "--out", out, "--benchmark", "rmbench")...)
	again, errs := must(t, "eval", "--in", out, "--draws", "50", "--json", filepath.Join(dir, "eval.json"))
	table := func(s string) string { return strings.Split(s, "\ntexts: ")[0] }
	if memory != file || table(memory) != table(again) || strings.Contains(errs, "warning") {
		t.Errorf("in memory:\n%s\nthrough a file:\n%s\nof the file:\n%s%s", memory, file, errs, again)
	}
	for _, want := range []string{"RM-Bench (THU-KEG/RM-Bench): 5 rows", "NOT COMPARABLE with published scores: 5 of 1327 rows", "reward m=2", "judge m=2", "length", "hard", "critiques: 60, ",
		"longer than 512 tokens: error; 0 rows read in part"} {
		if !strings.Contains(memory, want) {
			t.Errorf("no %q in %s", want, memory)
		}
	}
	var got struct {
		File, Benchmark string
		Methods         []struct {
			Name   string
			Scores []struct {
				Name     string
				Value    *float64
				Interval *struct{ Low, High float64 }
			}
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(dir, "eval.json"))), &got); err != nil {
		t.Fatal(err)
	}
	if got.File != out || got.Benchmark != "rmbench" || len(got.Methods) != 3 || got.Methods[0].Scores[0].Name != "score" || got.Methods[0].Scores[0].Interval == nil {
		t.Errorf("%+v", got)
	}
	plain, _ := must(t, "eval", "--model", rewardModel(t, "bt"), "--in", in, "--draws", "50")
	if !strings.Contains(strings.Join(strings.Fields(plain), " "), "official reward length score ") || strings.Contains(plain, "judge") {
		t.Error(plain)
	}
}

// TestBenchmarkWrongFile: a benchmark that the rows are not of is an error before anything is scored, and so is a row without a reward.
func TestBenchmarkWrongFile(t *testing.T) {
	dir := t.TempDir()
	pairs := writeFile(t, filepath.Join(dir, "pairs.jsonl"), sumPairs(2))
	rows := writeFile(t, filepath.Join(dir, "rows.jsonl"), stylish(2))
	reward := func(i, n int) string {
		return fmt.Sprintf(`{"prompt":"p","response":"x","reward":1,"benchmark":{"name":"rmbench","part":"chat","row":"4","answer":%d,"answers":%d}}`, i, n) + "\n"
	}
	short := writeFile(t, filepath.Join(dir, "short.jsonl"), reward(0, 6)+reward(1, 6))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--in", pairs, "--benchmark", "judgebench"}, exitData, `this is no row of JudgeBench, but one of the layout "prompt/chosen/rejected"`},
		{[]string{"--in", rows, "--benchmark", "rewardbench2"}, exitData, "this is a row of rmbench, not of rewardbench2"},
		{[]string{"--in", rows, "--benchmark", "rmbnch"}, exitUsage, `benchmark: "rmbnch" is not known, did you mean "rmbench"?`},
		{[]string{"--in", short}, exitData, `row "4" of RM-Bench has 2 of its 6 answers, number 3 is missing`},
		{[]string{"--in", rows, "--rewardbench_out", dir}, exitUsage, "--rewardbench_out is for rows of RewardBench"},
	} {
		code, _, errs := command(t, append([]string{"eval"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %d %s", c.args, code, errs)
		}
	}
	if out, _ := must(t, "eval", "--in", pairs, "--benchmark", "qa-feedback", "--draws", "9"); !strings.Contains(out, "QA Feedback (") {
		t.Error(out)
	}
}

// TestRewardBenchOut: both files have the columns of RewardBench's own.
func TestRewardBenchOut(t *testing.T) {
	dir := t.TempDir()
	one := writeFile(t, filepath.Join(dir, "one.jsonl"), `{"id":7,"prompt":"p","chosen":"a","rejected":"b","chosen_model":"m","rejected_model":"n","subset":"hep-go","chosen_reward":1,"rejected_reward":1}`+"\n")
	row := func(i int, right bool, reward float64) string {
		return fmt.Sprintf(`{"prompt":"p","response":"x%d","correct":%v,"reward":%v,"benchmark":{"name":"rewardbench2","part":"Math","row":"3","answer":%d,"answers":3}}`, i, right, reward, i) + "\n"
	}
	two := writeFile(t, filepath.Join(dir, "two.jsonl"), row(0, true, 2)+row(1, false, 2)+row(2, false, 0))
	must(t, "eval", "--in", one, "--rewardbench_out", filepath.Join(dir, "v1"), "--draws", "9")
	must(t, "eval", "--in", two, "--rewardbench_out", filepath.Join(dir, "v2"), "--draws", "9")
	for path, want := range map[string]string{
		"v1/eval-set/model.json":        `{"chat_template":"tokenizer","hep-go":0,"model":"model","model_type":"Seq. Classifier"}`,
		"v2/eval-set/model.json":        `{"Math":0.5,"chat_template":"tokenizer","model":"model","model_type":"Seq. Classifier"}`,
		"v1/eval-set-scores/model.json": `{"chat_template":"tokenizer","id":[7],"model":"model","model_type":"Seq. Classifier","results":[0],"scores_chosen":[1],"scores_rejected":[1],"subset":["hep-go"],"text_chosen":[[{"content":"p","role":"user"},{"content":"a","role":"assistant"}]],"text_rejected":[[{"content":"p","role":"user"},{"content":"b","role":"assistant"}]]}`,
		"v2/eval-set-scores/model.json": `{"chat_template":"tokenizer","id":["3"],"model":"model","model_type":"Seq. Classifier","num_correct":[1],"results":[0.5],"scores":[[2,2,0]],"subset":["Math"],"text":[[[{"content":"p","role":"user"},{"content":"x0","role":"assistant"}],[{"content":"p","role":"user"},{"content":"x1","role":"assistant"}],[{"content":"p","role":"user"},{"content":"x2","role":"assistant"}]]]}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(readFile(t, filepath.Join(dir, path))), &v); err != nil {
			t.Fatal(err)
		}
		if b, _ := json.Marshal(v); string(b) != want {
			t.Errorf("%s: %s, want %s", path, b, want)
		}
	}
}

// TestBenchmarkTraining: whoever trains on a benchmark's rows is told so, also when they went through a file.
func TestBenchmarkTraining(t *testing.T) {
	dir := t.TempDir()
	raw := writeFile(t, filepath.Join(dir, "raw.jsonl"), `{"input":"Say a.","output_1":"a","output_2":"b","label":1}`+"\n"+`{"input":"Say b.","output_1":"a","output_2":"b","label":2}`+"\n")
	scored := filepath.Join(dir, "scored.jsonl")
	must(t, "score", "--model", rewardModel(t, "bt"), "--in", raw, "--out", scored)
	for _, in := range []string{raw, scored} {
		out, errs := must(t, "train", "--method", "bt", "--model", tinyModel(t), "--train_file", in, "--output_dir", filepath.Join(dir, "run"), "--dry_run")
		if want := "WARNING: 2 rows are of the public benchmark llmbar: a model that was trained on them cannot be measured by it"; !strings.Contains(out+errs, want) {
			t.Errorf("no %q in\n%s%s", want, out, errs)
		}
	}
}

// TestBenchmarkPipe: rows that can be read once only are scored by the benchmark that is named, all of them, and refused where they are others.
func TestBenchmarkPipe(t *testing.T) {
	var text strings.Builder
	for i := range 3000 { // more than is read ahead
		fmt.Fprintf(&text, `{"prompt":"p%d","chosen":"c","rejected":"r","subset":"hep-go","chosen_reward":%d,"rejected_reward":0}`+"\n", i, i%2)
	}
	through := func(name string) (int, string, string) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		go func() { io.WriteString(w, text.String()); w.Close() }()
		path := fmt.Sprintf("/dev/fd/%d", r.Fd())
		if _, err := os.Stat(path); err != nil {
			t.Skip("no /dev/fd here")
		}
		return command(t, "eval", "--in", path, "--benchmark", name, "--draws", "2")
	}
	if code, out, errs := through("rewardbench"); code != 0 || !strings.Contains(out, "): 3000 rows, not those") || !strings.Contains(out, "50.00") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	if code, _, errs := through("judgebench"); code != exitData || !strings.Contains(errs, "this is no row of JudgeBench, but another") {
		t.Errorf("%d: %s", code, errs)
	}
}
