package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenize: texts come back, special tokens count only where asked for.
func TestTokenize(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), `{"text":"What is 12 + 30?\n<|eot|>"}`+"\n"+"plain <|eot|> text\n"+"\n"+`{"text":""}`+"\n")
	ids, _ := must(t, "tokenize", "--model", tinyModel(t), "--in", in)
	lines := strings.Split(strings.TrimSpace(ids), "\n")
	if len(lines) != 4 || lines[2] != `{"ids":[]}` || lines[3] != `{"ids":[]}` || strings.Contains(lines[1], ",1,") {
		t.Errorf("%q", ids)
	}
	back, _ := must(t, "tokenize", "--model", tinyModel(t), "--decode", "--in", writeFile(t, filepath.Join(dir, "ids.jsonl"), ids))
	if want := `{"text":"What is 12 + 30?\n<|eot|>"}` + "\n" + `{"text":"plain <|eot|> text"}` + "\n" + `{"text":""}` + "\n" + `{"text":""}` + "\n"; back != want {
		t.Errorf("%q", back)
	}
	special, _ := must(t, "tokenize", "--model", filepath.Join(tinyModel(t), "tokenizer.json"), "--special", "--in", in)
	if !strings.HasSuffix(strings.Split(special, "\n")[0], ",1]}") {
		t.Errorf("%q", special)
	}
	file := writeFile(t, filepath.Join(dir, "special.jsonl"), "[1, 0]\n")
	if out, _ := must(t, "tokenize", "--model", tinyModel(t), "--decode", "--in", file); out != `{"text":""}`+"\n" {
		t.Errorf("%q", out)
	}
	if out, _ := must(t, "tokenize", "--model", tinyModel(t), "--decode", "--special", "--in", file); out != `{"text":"<|eot|><|bos|>"}`+"\n" {
		t.Errorf("%q", out)
	}
	if out, _ := must(t, "tokenize", "--model", tinyModel(t), "--raw", "--in", in); strings.Contains(strings.Split(out, "\n")[0], "[]") {
		t.Errorf("%q", out)
	}
	for _, c := range []struct{ line, want, decode string }{
		{`{"txt":"a"}`, `key "text" is missing`, ""},
		{`[1, 3200]`, `ids[1]: 3200 is not in the vocabulary of 316 tokens`, "--decode"},
		{`{"id":[1]}`, `key "ids" is missing`, "--decode"},
	} {
		bad := writeFile(t, filepath.Join(dir, "bad.jsonl"), c.line+"\n")
		args := append([]string{"tokenize", "--model", tinyModel(t), "--in", bad}, strings.Fields(c.decode)...)
		if code, _, errs := command(t, args...); code != exitData || errs != "criticrm: "+bad+":1: "+c.want+"\n" {
			t.Errorf("%d %q, want %q", code, errs, c.want)
		}
	}
}
