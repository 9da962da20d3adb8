package corpus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"criticrm/record"
)

func form(t *testing.T, name string) *Form {
	t.Helper()
	f, err := FormOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What each form makes of a row, and what of it is lost.
func TestForms(t *testing.T) {
	const pair = `{"id":"7","system":"Be short.","prompt":"Two and two?","chosen":"4","rejected":"5","margin":0.5,"category":"sums","chosen_critiques":["Right."],"rejected_critiques":["Wrong.",{"text":"Bad","kept":false,"reason":"r"}],"source":"s"}`
	const plain = `{"prompt":"Two & two?","chosen":"4","rejected":"<5>"}`
	const single = `{"prompt":"Two and two?","response":"4","correct":true}`
	const talk = `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}`
	for _, c := range []struct{ form, row, want, lost string }{
		{"criticrm", plain, plain[:len(plain)-1] + `,"id":"row-1"}`, ""},
		{"TRL", pair, `{"prompt":[{"role":"system","content":"Be short."},{"role":"user","content":"Two and two?"}],"chosen":[{"role":"assistant","content":"4"}],"rejected":[{"role":"assistant","content":"5"}],"margin":0.5}`, "id category critiques other columns"},
		{"trl", plain, `{"prompt":[{"role":"user","content":"Two & two?"}],"chosen":[{"role":"assistant","content":"4"}],"rejected":[{"role":"assistant","content":"<5>"}]}`, ""},
		{"trl", single, `{"prompt":[{"role":"user","content":"Two and two?"}],"completion":[{"role":"assistant","content":"4"}],"label":true}`, ""},
		{"trl", talk, talk, ""},
		{"trl", `{"text":"t"}`, `{"text":"t"}`, ""},
		{"trl", `{"input_ids":[1,2]}`, "token ids are those of one tokenizer", ""},
		{"openrlhf", pair, `{"chosen":[{"role":"system","content":"Be short."},{"role":"user","content":"Two and two?"},{"role":"assistant","content":"4"}],"rejected":[{"role":"system","content":"Be short."},{"role":"user","content":"Two and two?"},{"role":"assistant","content":"5"}],"margin":0.5}`, "id category critiques other columns"},
		{"openrlhf", single, "a single response is no pair", ""},
		{"openrlhf", talk, "a document is no preference", ""},
		{"llama-factory", pair, `{"conversations":[{"from":"human","value":"Two and two?"}],"chosen":{"from":"gpt","value":"4"},"rejected":{"from":"gpt","value":"5"},"system":"Be short."}`, "id category margin critiques other columns"},
		{"llama-factory", single, `{"conversations":[{"from":"human","value":"Two and two?"},{"from":"gpt","value":"4"}],"kto_tag":true}`, ""},
		{"llama-factory", `{"prompt":"p","response":"r"}`, "a single response without a label", ""},
		{"llama-factory", talk, `{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello"}]}`, ""},
		{"llama-factory", `{"text":"t"}`, "a text without turns", ""},
		{"llama-factory", `{"prompt":[{"role":"user","content":"a"},{"role":"user","content":"b"}],"chosen":"c","rejected":"d"}`, `turn 2 is of "user"`, ""},
		{"llama-factory", `{"prompt":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"chosen":"c","rejected":"d"}`, "a last turn of the user", ""},
		{"cloud", plain, `{"prompt":"Two & two?","id":"row-1","chosen":"4","rejected":"<5>"}`, ""},
		{"cloud", pair, "CLoud's prompt is one text of the user", ""},
		{"cloud", strings.Replace(pair, `"system":"Be short.",`, "", 1), `{"prompt":"Two and two?","id":"7","chosen":"4","rejected":"5","chosen_feedback":["Right."],"rejected_feedback":["Wrong."]}`, "category margin other columns"},
		{"cloud", strings.Replace(plain, `{`, `{"chosen_critiques":["x"],`, 1), "feedback on both responses", ""},
	} {
		rec, err := record.ParseRecord([]byte(c.row))
		if err != nil {
			t.Fatal(c.row, err)
		}
		line, lost, err := form(t, c.form).Append([]byte("> "), rec)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) || string(line) != "> " {
				t.Errorf("%s of %s: %v, want %s", c.form, c.row, err, c.want)
			}
			continue
		}
		got := strings.TrimPrefix(string(line), "> ")
		if got != c.want || strings.Join(lost, " ") != c.lost {
			t.Errorf("%s of %s:\n%s (lost %q), want\n%s (%q)", c.form, c.row, got, lost, c.want, c.lost)
		}
	}
	if _, err := FormOf("opnrlhf"); err == nil || !strings.Contains(err.Error(), `did you mean "openrlhf"?`) {
		t.Error(err)
	}
}

const few = `{"prompt":"p1","chosen":"a","rejected":"b","margin":1}
{"prompt":"p2","chosen":"a"}
{"prompt":[{"role":"user","content":"x"},{"role":"user","content":"y"}],"chosen":"a","rejected":"b"}
{"prompt":"p3","chosen":"a","rejected":"a"}
{"prompt":"p4","chosen":"a","rejected":"b"}
`

// Rows that are left out are counted and listed, and every compression is read back.
func TestConvert(t *testing.T) {
	in := file(t, "few.jsonl", strings.Split(strings.TrimSpace(few), "\n")...)
	dir := t.TempDir()
	for _, name := range []string{"o.jsonl", "o.jsonl.zst", "o.jsonl.gz"} {
		out := filepath.Join(dir, name)
		c, err := Convert(t.Context(), in, out, nil, form(t, "llama-factory"), Options{Read: record.ReadOptions{MaxBad: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if c.Rows != 2 || !reflect.DeepEqual(c.Lost, map[string]int{"margin": 1}) || len(c.Left) != 1 || len(c.Found.Bad) != 1 || c.Found.Aside["with two equal responses"] != 1 || c.List != out+".bad.jsonl" {
			t.Errorf("%+v", c)
		}
		list, err := os.ReadFile(c.List)
		if err != nil || strings.Count(string(list), "\n") != 2 || !strings.Contains(string(list), `"line":3,"reason":"record \"row-3\": sharegpt wants turns`) || !strings.Contains(string(list), `"line":2,"field":"rejected"`) {
			t.Errorf("%s %v", list, err)
		}
		stored, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if plain := bytes.HasPrefix(stored, []byte("{")); plain != (name == "o.jsonl") {
			t.Errorf("%s begins with %q", name, stored[:4])
		}
		if text := strings.Join(c.Lines(form(t, "llama-factory")), "\n"); !strings.Contains(text, "margin of 1 rows") || !strings.Contains(text, "left out: 1 rows: sharegpt") || !strings.Contains(text, "are listed in "+c.List) {
			t.Error(text)
		}
		own := filepath.Join(dir, "own-"+name)
		if _, err := Convert(t.Context(), in, own, nil, form(t, "criticrm"), Options{Read: record.ReadOptions{MaxBad: 1}}); err != nil {
			t.Fatal(err)
		}
		back, err := record.ReadFile(own, record.ReadOptions{})
		if err != nil || len(back) != 3 || back[2].Prompt.Text != "p4" || *back[0].Margin != 1 {
			t.Errorf("%v, %v", back, err)
		}
	}
	var stream bytes.Buffer
	c, err := Convert(t.Context(), "-", "-", &stream, form(t, "trl"), Options{Read: record.ReadOptions{Stdin: strings.NewReader(few), MaxBad: 1}})
	if err != nil || c.Rows != 3 || strings.Count(stream.String(), "\n") != 3 || c.List != "" {
		t.Errorf("%+v, %v, %s", c, err, &stream)
	}
}

// A conversion that fails, is stopped or cannot write leaves nothing, and keeps what was there.
func TestConvertLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "o.jsonl.zst")
	if err := os.WriteFile(out, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		entries, _ := os.ReadDir(dir)
		if text, _ := os.ReadFile(out); string(text) != "old" || len(entries) != 1 {
			t.Errorf("%s: %q, %v", what, text, entries)
		}
	}
	in := file(t, "few.jsonl", strings.Split(strings.TrimSpace(few), "\n")...)
	_, err := Convert(t.Context(), in, out, nil, form(t, "trl"), Options{})
	check("a bad row", err, `few.jsonl:2: key "rejected" is missing`)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Convert(ctx, "-", out, nil, form(t, "trl"), Options{Read: record.ReadOptions{Stdin: rows(3000, 5, 5)}, Progress: func(at Position) {
		if at.Rows > 1000 {
			cancel()
		}
	}})
	check("stopped", err, "canceled")
	_, err = Convert(t.Context(), "-", out, nil, form(t, "openrlhf"), Options{Read: record.ReadOptions{Stdin: strings.NewReader(`{"text":"t"}` + "\n")}})
	check("nothing to write", err, "the form openrlhf can hold none of its rows: 1 × a document is no preference")
	_, err = Convert(t.Context(), in, filepath.Join(dir, "o.json"), nil, form(t, "trl"), Options{})
	check("a name", err, "want a name that ends in .jsonl")
	_, err = Convert(t.Context(), in, in, nil, form(t, "trl"), Options{})
	check("itself", err, "is what is read")
	_, err = Convert(t.Context(), in, filepath.Join(dir, "no", "o.jsonl"), nil, form(t, "trl"), Options{})
	check("no directory", err, "no such file")
	failing := errors.New("the pipe is closed")
	_, err = Convert(t.Context(), in, "-", writer(func([]byte) (int, error) { return 0, failing }), form(t, "trl"), Options{Read: record.ReadOptions{MaxBad: 1}})
	check("a stream", err, failing.Error())
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

var _ io.Writer = writer(nil)

// Both parts have every row once, no prompt and no near duplicate is on both sides, and the order of the rows does not matter.
func TestSplit(t *testing.T) {
	var lines []string
	for i := range 300 {
		lines = append(lines, fmt.Sprintf(`{"id":"%d","prompt":"%s","chosen":"a%d","rejected":"b","category":"%c"}`, i, strings.Repeat(fmt.Sprintf("q%d ", i%150), 20), i, 'x'+i%2))
	}
	for i := range 30 { // groups of near duplicates
		lines = append(lines, fmt.Sprintf(`{"id":"n%d","prompt":"A long question of which only the last word is another one in each of its three rows, group%d: %d","chosen":"a","rejected":"b","category":"z"}`, i, 1000*(i/3)*(i/3), i))
	}
	dir := t.TempDir()
	train, eval := filepath.Join(dir, "t.jsonl.gz"), filepath.Join(dir, "e.jsonl")
	ids := func(path string) (list []string) {
		rows, err := record.ReadFile(path, record.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			list = append(list, r.ID)
		}
		return list
	}
	in := file(t, "all.jsonl", lines...)
	s := SplitOptions{Share: .2, Seed: 5, Near: true}
	out, err := Split(t.Context(), in, train, eval, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := ids(train), ids(eval)
	if len(a)+len(b) != 330 || out.Train.Rows != len(a) || out.Eval.Rows != len(b) || len(b) < 60 || len(b) > 66 {
		t.Errorf("%+v: %d and %d rows", out, len(a), len(b))
	}
	both, err := Check(t.Context(), []string{train}, []string{eval}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(both.Pairs) != 0 {
		t.Errorf("%+v", both.Pairs)
	}
	if both.Files[0].Repeated == 0 || out.Groups == out.Train.Prompts+out.Eval.Prompts {
		t.Error("the test has no near duplicates")
	}
	slices.Reverse(lines)
	if _, err := Split(t.Context(), file(t, "all.jsonl", lines...), train, eval, s, Options{}); err != nil {
		t.Fatal(err)
	}
	again := ids(eval)
	slices.Sort(b)
	slices.Sort(again)
	if !slices.Equal(b, again) {
		t.Errorf("another order of rows holds out others: %v, %v", b, again)
	}
	s.Seed = 6
	if _, err := Split(t.Context(), in, train, eval, s, Options{}); err != nil {
		t.Fatal(err)
	}
	if other := ids(eval); slices.Equal(b, other) {
		t.Error("another seed holds out the same")
	}
	s.ByCategory, s.Near = true, false
	out, err = Split(t.Context(), in, train, eval, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range out.Categories {
		if total := n[0] + n[1]; n[1] < total/5-1 || n[1] > total/5+1 {
			t.Errorf("category %s: %v", name, n)
		}
	}
	if out.Groups != out.Train.Prompts+out.Eval.Prompts || out.Groups != 180 {
		t.Errorf("%+v", out)
	}
	for share, want := range map[float64]string{0: "more than 0", 1: "less than 1", .0001: ""} {
		s.Share = share
		if _, err := Split(t.Context(), in, train, eval, s, Options{}); want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("share %v: %v", share, err)
		}
	}
	for _, c := range []struct{ in, train, eval, want string }{
		{"-", train, eval, "standard input can be read once"},
		{in, eval, eval, "is to be both outputs"},
		{in, in, eval, "is what is read"},
		{in + "," + file(t, "second.jsonl", `{"prompt":"p","chosen":"a","rejected":"b"}`), train, in, "is what is read"},
		{filepath.Dir(in), filepath.Join(filepath.Dir(in), "new.jsonl"), eval, "would be read as a part of"},
		{file(t, "one.jsonl", `{"prompt":"p","chosen":"a","rejected":"b"}`), train, eval, "nothing is left"},
		{file(t, "same.jsonl", `{"prompt":"p","chosen":"a","rejected":"b"}`, `{"prompt":"p","chosen":"c","rejected":"b"}`, `{"prompt":"P","chosen":"a","rejected":"d"}`), train, eval, "none is small enough"},
	} {
		if _, err := Split(t.Context(), c.in, c.train, c.eval, SplitOptions{Share: .3, Near: true}, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		}
	}
}

func TestHold(t *testing.T) {
	sizes := map[string]int{}
	for i := range 97 {
		sizes[fmt.Sprint(i)] = 1
	}
	a, b, c := Hold(sizes, .1, 1), Hold(sizes, .1, 1), Hold(sizes, .1, 2)
	if len(a) != 10 || !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) || len(c) != 10 {
		t.Errorf("%v\n%v\n%v", a, b, c)
	}
	if got := Hold(map[int]int{1: 50, 2: 50}, .3, 1); len(got) != 0 {
		t.Errorf("%v: a group is larger than the share", got)
	}
}

// A list of bad rows that an earlier input has left goes where the next one has none.
func TestConvertListOfAnother(t *testing.T) {
	good := `{"prompt":"p","chosen":"a","rejected":"b"}`
	out := filepath.Join(t.TempDir(), "o.jsonl")
	for i, in := range []string{file(t, "bad.jsonl", good, `{"prompt":"p"}`), file(t, "good.jsonl", good)} {
		if _, err := Convert(t.Context(), in, out, nil, form(t, "trl"), Options{Read: record.ReadOptions{MaxBad: 1}}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(record.BadPath(out)); (err == nil) != (i == 0) {
			t.Errorf("%s: the list of bad rows: %v", in, err)
		}
	}
}
