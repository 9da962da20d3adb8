package report

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/corpus"
	"criticrm/record"
	"criticrm/report/reporttest"
)

// corpusPage is the page of a file with something of everything.
func corpusPage(t *testing.T) []byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	for i := range 400 {
		text := func(words int) string { return strings.TrimSpace(strings.Repeat("word ", 1+rng.IntN(words))) }
		fmt.Fprintf(&b, `{"id":"%d","prompt":"%s %d <b>","chosen":"%s!","rejected":"%s?","category":"category %d with a name <script>"}`+"\n", i%399, text(40), i%350, text(120), text(60), i%12)
	}
	b.WriteString(`{"prompt":"p","chosen":"a"}` + "\n" + `{"prompt":"p","chosen":"a","rejected":"a"}` + "\n")
	dir := t.TempDir()
	in, other := filepath.Join(dir, "pairs.jsonl"), filepath.Join(dir, "other.jsonl")
	for path, text := range map[string]string{in: b.String(), other: strings.Join(strings.SplitAfter(b.String(), "\n")[:50], "")} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	count := corpus.Counter{Text: func(s string) int { return len(strings.Fields(s)) }, Whole: func(r *record.Record) (int, error) {
		return len(strings.Fields(r.Prompt.Text + r.Chosen)), nil
	}}
	r, err := corpus.Check(t.Context(), []string{in}, []string{other}, corpus.Options{Tokens: count, MaxLength: 120, Draws: 100, Level: .95, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	r.Benchmarks = append(r.Benchmarks, corpus.Match{Name: "rmbench", Of: 796, Prompts: 3, Rows: 4, First: []string{"pairs.jsonl:1"}})
	made, err := Corpus(r)
	if err != nil {
		t.Fatal(err)
	}
	return made.HTML
}

func TestCorpusPage(t *testing.T) {
	page := string(corpusPage(t))
	for _, want := range []string{
		"<h2>What is wrong</h2>", "1 rows are bad", "Lengths in characters", "Lengths in tokens", "tokens of whole", "<td>category 3 with a name &lt;script&gt;</td>",
		"the longer one is chosen, %", "key &#34;rejected&#34; is missing", "with two equal responses", "<td>duplicate id</td><td>1</td>", "<td>rmbench</td><td>4</td><td>3</td><td>796</td>",
		"RewardBench 2", "prompts in both",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, never := range []string{"<script>", "http://", "https://", "NaN"} {
		if strings.Contains(page, never) {
			t.Errorf("there is %q", never)
		}
	}
}

// Columns do not leave the page, on a desk and on a phone.
func TestCorpusLayout(t *testing.T) { reporttest.Layout(t, corpusPage(t)) }
