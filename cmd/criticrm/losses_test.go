package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"criticrm/record"
)

// refusing is a chat template that one row of the tests cannot be rendered with.
const refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system messages') }}{% endif %}" + tinyTemplate

// reading is a command that reads rows, and what it must say.
type reading struct {
	name string
	args []string
	in   string
	want []string
}

// TestLossesAreTold guards against silence: every command that reads rows says what it left out or did not read, why and how many. A row
// that the chat template refuses is a bad one, as one that cannot be read: it ended the run whatever max_bad said.
func TestLossesAreTold(t *testing.T) {
	dir := t.TempDir()
	file := func(name, rows string) string { return writeFile(t, filepath.Join(dir, name), rows) }
	long := `{"id":"long","prompt":"p","chosen":"` + strings.Repeat("x1", 400) + `","rejected":"b"}` + "\n"
	system := strings.Replace(sumPairs(1), `"id":"p0"`, `"id":"s","stars":1,"system":"Be brief."`, 1) // bad, so that its stars do not count
	pairs := file("pairs.jsonl", "\ufeff"+strings.Replace(sumPairs(2), `"id"`, `"stars":4,"source":"web","id"`, 1)+"\n\n{\"prompt\":\"p\"}\n"+system+long)
	template := file("t.jinja", refusing)
	read := []string{"left out: {in}:5: key \"chosen\" is missing", "left out: {in}:6: record \"s\": ", "no system messages", "{in}: 2 bad rows left out{listed}",
		"{in}: byte order mark at the start removed", "{in}: 2 blank lines between rows", "{in}: column \"stars\" of 1 rows is not read"}
	overlong := "1 records dropped: over the model's context"
	asked := []string{"--in", pairs, "--max_bad", "2", "--overlong", "drop", "--max_tokens", "4", "--prompts", shortPrompts(t), "--chat_template", template, "--override"}
	cases := []reading{
		{"generate", append([]string{"generate", "--model", tinyModel(t), "--out", filepath.Join(dir, "1.jsonl"), "--critiques", "2"}, asked...), pairs,
			append(read, overlong, "3 records, 8 critiques: 0 parsed, 8 not parsed (8 × ")},
		{"score", append([]string{"score", "--model", rewardModel(t, "critic")}, asked...), pairs, append(read, overlong, "{in}: 3 records, 4 critiques: 0 parsed, 4 not parsed (4 × ")},
		{"score to a file", append([]string{"score", "--model", rewardModel(t, "critic"), "--out", filepath.Join(dir, "s.jsonl")}, asked...), pairs, append(read, overlong, "3 records, 4 critiques")},
		{"score plain", append([]string{"score", "--plain", "--model", rewardModel(t, "bt")}, asked...), pairs, append(read, overlong)},
		{"eval", append([]string{"eval", "--model", rewardModel(t, "bt")}, asked...), pairs, append(read, overlong, "1 of 3 records are not measured: 1 × over the model's context")},
	}
	rows := judged("a", []int{9, 8}, []int{1}) + judged("b", []int{2}, []int{5}) + "\n" +
		`{"id":"c","prompt":"p","chosen":"x","rejected":"y","chosen_critiques":["Good. Score: 9","so so"],"rejected_critiques":["Bad. Score: 2"],"note":"n"}` + "\n" +
		`{"id":"d","prompt":"p","chosen":"x","rejected":"y"}` + "\n"
	judgedRows := file("judged.jsonl", rows)
	some := []string{"{in}: 1 blank lines between rows", "{in}: column \"note\" of 1 rows is not read", "{in}: 1 bad rows left out{listed}", "chosen has no critiques: run generate first"}
	cases = append(cases, []reading{
		{"filter", []string{"filter", "--in", judgedRows, "--out", filepath.Join(dir, "2.jsonl"), "--max_bad", "1"}, judgedRows,
			append(some, "2 of 3 records kept, 5 of 8 critiques kept; records dropped: 1 × mean score of chosen is not above mean score of rejected; critiques dropped: 2 × pair dropped, 1 × score not parsed")},
		{"refine", []string{"refine", "--mode", "random", "--top_k", "1", "--in", filepath.Join(dir, "2.jsonl"), "--out", filepath.Join(dir, "3.jsonl")}, filepath.Join(dir, "2.jsonl"),
			[]string{"{in}: column \"note\" of 1 rows is not read", "2 of 3 records kept, 4 of 8 critiques kept; records dropped: "}},
		{"inspect of bad rows", []string{"inspect", file("bad.jsonl", sumPairs(2)+strings.Repeat("{\"prompt\":\"p\"}\n", 30))}, filepath.Join(dir, "bad.jsonl"),
			[]string{"rows: 32, of which 30 are bad", "records: 2 of 2 records kept", "{in}:3: key", "{in}:7: key", "{in}: 30 bad rows left out, of which the first 5 stand above"}},
		{"inspect", []string{"inspect", judgedRows}, judgedRows, []string{"note: 1 blank lines between rows", "note: column \"note\" of 1 rows is not read"}},
		{"eval of a file", []string{"eval", "--in", filepath.Join(dir, "3.jsonl"), "--draws", "10"}, filepath.Join(dir, "3.jsonl"), []string{"{in}: column \"note\" of 1 rows is not read"}},
	}...)
	never := file("never.jsonl", judged("a", []int{9}, []int{1})+`{"id":"d","prompt":"p","chosen":"x","rejected":"y"}`+"\n")
	cases = append(cases, reading{"refine of a row that was not generated", []string{"refine", "--mode", "none", "--in", never, "--out", filepath.Join(dir, "4.jsonl"), "--max_bad", "1"}, never,
		[]string{`left out: {in}:2: record "d": it has no critiques: run generate and filter first`, "1 of 1 records kept"}})
	for _, c := range cases {
		out, errs := must(t, c.args...)
		for _, want := range c.want {
			listed := ""
			if i := slices.Index(c.args, "--out"); i > 0 {
				listed = ", listed in " + record.BadPath(c.args[i+1])
			}
			if want = strings.ReplaceAll(want, "{listed}", listed); strings.Contains(want, "listed in") {
				if _, err := os.Stat(strings.TrimPrefix(listed, ", listed in ")); err != nil {
					t.Error(err)
				}
			}
			if want = strings.ReplaceAll(want, "{in}", c.in); !strings.Contains(out+errs, want) {
				t.Errorf("%s does not say %q:\n%s%s", c.name, want, out, errs)
			}
		}
		if strings.Contains(errs, "source") || strings.Contains(out, "bad.jsonl:8:") || strings.Contains(out, `"id":"s"`) {
			t.Errorf("%s: %s%s", c.name, out, errs)
		}
	}
}

// TestTrainingLossesAreTold: train says what it left out, and metrics.jsonl has the same counts.
func TestTrainingLossesAreTold(t *testing.T) {
	dir := t.TempDir()
	long := `{"id":"long","prompt":"p","chosen":"` + strings.Repeat("x1", 400) + `","rejected":"b","chosen_critiques":["a"],"rejected_critiques":["b"]}` + "\n"
	pair := `{"prompt":"p","chosen":"c","rejected":"r",`
	rows := judged("a", []int{9, 8, 7}, []int{1}) + "\n" + `{"prompt":"p"}` + "\n" + long + sumPairs(1) +
		pair + `"stars":4,"margin":1,"chosen_critiques":["Good."]}` + "\n" +
		pair + `"chosen_critiques":[{"text":"Good.","kept":false},{"text":"Well","finish_reason":"length"}],"rejected_critiques":["Bad."]}` + "\n" +
		pair + `"dropped":"tie","chosen_critiques":["Good."],"rejected_critiques":["Bad."]}` + "\n" +
		pair + `"system":"s","chosen_critiques":["Good."],"rejected_critiques":["Bad."]}` + "\n"
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), rows)
	documents := writeFile(t, filepath.Join(dir, "d.jsonl"), `{"text":"What is 12 + 30?","stars":1}`+"\n\n"+`{"text":""}`+"\n"+`{"input_ids":[1,2],"weights":[0,0]}`+"\n"+
		`{"prompt":"p","completion":"c","critiques":["x"]}`+"\n"+`{"prompt":"p","completion":"c","label":false}`+"\n"+`{"messages":[{"role":"user","content":"p"}]}`+"\n"+`{"tex":"t"}`+"\n")
	template := writeFile(t, filepath.Join(dir, "t.jinja"), refusing)
	for _, c := range []struct {
		method, file string
		want         string // what metrics.jsonl holds
		say          []string
	}{
		{"critic", in, `{"rows":6,"examples":3,"dropped":{"by the filter: tie":1,"no critiques":1,"too long":1},"cut_critiques":1,"dropped_critiques":1,"critiques_over_max":1,"one_sided":1,
			"unused_margins":1,"bad_rows":2,"blank_lines":1,"unread_columns":{"stars":1}}`,
			[]string{"6 rows, 3 examples, 1 dropped (by the filter: tie), 1 dropped (no critiques), 1 dropped (too long)", "1 critiques left out (max_critiques)", "1 critiques dropped by filter or refine",
				"1 pairs with critiques of one side alone", "1 blank lines between rows", `column "stars" of 1 rows is not read`, "2 bad rows set aside", "1 rows have a margin"}},
		{"bt", in, `{"rows":6,"examples":5,"dropped":{"too long":1},"unused_critiques":4,"unused_margins":1,"bad_rows":2,"blank_lines":1,"unread_columns":{"stars":1}}`,
			[]string{"4 rows have critiques, which this method does not read"}},
		{"lm", documents, `{"rows":5,"examples":2,"dropped":{"fewer than two tokens":1,"labelled as wrong":1,"no token that is learned":1},"unused_critiques":1,"bad_rows":2,"blank_lines":1,"unread_columns":{"stars":1}}`,
			[]string{"5 rows, 2 examples", "2 bad rows set aside"}},
	} {
		run := filepath.Join(dir, c.method)
		out, errs := must(t, "train", "--method", c.method, "--model", tinyModel(t), "--train_file", c.file, "--output_dir", run, "--prompts", shortPrompts(t), "--chat_template", template,
			"--max_bad", "2", "--overlong", "drop", "--max_critiques", "2", "--max_steps", "1", "--batch_size", "1", "--accumulation", "1")
		for _, want := range c.say {
			if !strings.Contains(errs, want) {
				t.Errorf("%s does not say %q:\n%s", c.method, want, errs)
			}
		}
		if strings.Contains(out, "NaN") || strings.Contains(out, "accuracy") != (c.method != "lm") {
			t.Errorf("%s: %q", c.method, out)
		}
		line, _, _ := strings.Cut(readFile(t, filepath.Join(run, "metrics.jsonl")), "\n")
		var got struct{ Train map[string]any }
		var want map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		delete(got.Train, "file")
		if !reflect.DeepEqual(got.Train, want) {
			t.Errorf("%s: metrics.jsonl has %s", c.method, line)
		}
		if bad := countLines(filepath.Join(run, "train.bad.jsonl")); bad != 2 {
			t.Errorf("%s: %d bad rows are listed", c.method, bad)
		}
	}
	if code, _, errs := command(t, "train", "--method", "bt", "--model", tinyModel(t), "--train_file", in, "--output_dir", filepath.Join(dir, "few"), "--chat_template", template, "--max_bad", "1", "--overlong", "drop"); code != exitData ||
		!strings.Contains(lastLine(errs), in+`:9: record "row-9": `) {
		t.Errorf("one bad row too many: %d %q", code, errs)
	}
}

// TestRowsWithoutMargin: with use_margin, rows that have no margin are told.
func TestRowsWithoutMargin(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), `{"prompt":"p","chosen":"a","rejected":"b","margin":null}
{"prompt":"q","chosen":"a","rejected":"b","margin":0.5}
{"prompt":"r","chosen":"a","rejected":"b"}
`)
	for _, use := range []bool{true, false} {
		run := filepath.Join(dir, fmt.Sprint(use))
		_, errs := must(t, "train", "--method", "bt", "--model", tinyModel(t), "--train_file", in, "--output_dir", run, "--max_steps", "1", fmt.Sprintf("--use_margin=%t", use))
		if strings.Contains(errs, "2 rows have no margin, which counts as 0") != use || strings.Contains(errs, "1 rows have a margin, which is not used") == use {
			t.Errorf("%t: %s", use, errs)
		}
		if strings.Contains(readFile(t, filepath.Join(run, "metrics.jsonl")), `"without_margin":2`) != use {
			t.Errorf("%t: metrics.jsonl does not have it", use)
		}
	}
}
