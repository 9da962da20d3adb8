package demo

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/report/reporttest"
	"criticrm/tokenizer"
)

func openCPU(t *testing.T, threads int) *kernels.Device {
	t.Helper()
	d, err := kernels.OpenCPU(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// small runs the experiment on few pairs.
func small(t *testing.T, threads int) (*Results, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := Run(t.Context(), openCPU(t, threads), Options{Dir: dir, Seeds: []uint64{3}, Pairs: 60, Held: 80, Threads: threads, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

// knowsItself wants the accuracy of the table from the model's directory alone. Behind other prompts the same model is far from it:
// before models knew theirs, that was what one got who forgot a flag.
func knowsItself(t *testing.T, dir string, want float64) {
	t.Helper()
	accuracy := func(g modeldir.Given) float64 {
		e, err := engine.Open(openCPU(t, 2), dir, engine.Options{Given: g, MaxSequences: maxSequences})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		s := &session{seed: 3, prompts: e.Prompts, eval: Pairs(evalSeed, 80, Evaluation)}
		d, err := s.measure(t.Context(), e, 8, true, 8)
		if err != nil {
			t.Fatal(err)
		}
		return 100 * stat.Mean(d.reward(8), nil)
	}
	if got := accuracy(modeldir.Given{}); math.Abs(got-want) > 1e-9 {
		t.Errorf("the trained model's own directory gives %.1f, the demo %.1f", got, want)
	}
	builtIn := t.TempDir()
	for name, text := range critic.DefaultPrompts().Texts() {
		if err := os.WriteFile(filepath.Join(builtIn, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := accuracy(modeldir.Given{Prompts: builtIn, Override: true}); got > want-15 {
		t.Errorf("behind other prompts the model has %.1f, behind its own %.1f: this test shows nothing", got, want)
	}
}

func TestRun(t *testing.T) {
	r, dir := small(t, 2)
	value := func(method string, m, pairs int) float64 {
		for _, row := range r.Rows {
			if row.Method == method && row.M == m && row.Pairs == pairs {
				return row.Overall.Value
			}
		}
		t.Fatalf("the table has no row %q m=%d", method, m)
		return 0
	}
	ours, scalar, judge := value("Critic-RM", 8, 60), value("scalar RM", 0, 60), value("LLM judge (base)", 10, 0)
	if ours < scalar+10 || ours < judge+5 {
		t.Errorf("Critic-RM %.1f, scalar RM %.1f, judge %.1f: the method does not win", ours, scalar, judge)
	}
	html, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(html, []byte(`<figure class="plot">`)); n != 4 {
		t.Errorf("the report has %d plots, want 4", n)
	}
	t.Run("layout", func(t *testing.T) { reporttest.Layout(t, html) })
	if m := regexp.MustCompile(`(?:src|href)="[^"]*"`).Find(html); m != nil {
		t.Errorf("the report needs %s", m)
	}
	b, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Results
	if err := json.Unmarshal(b, &back); err != nil || len(back.Rows) != len(r.Rows) || back.Seconds["generate"] <= 0 {
		t.Errorf("results.json: %v, %d rows, want %d; seconds %v", err, len(back.Rows), len(r.Rows), back.Seconds)
	}

	knowsItself(t, filepath.Join(dir, runDir, "model"), ours)

	again, _ := small(t, 1)
	for i, row := range again.Rows {
		if row.Overall != r.Rows[i].Overall {
			t.Errorf("%s: %v with two threads, %v with one", row.Name(), r.Rows[i].Overall, row.Overall)
		}
	}
}

// The shipped tokenizer is what its recipe gives, and a base model does not depend on threads.
func TestMakeBase(t *testing.T) {
	o := DefaultBaseOptions()
	tok, err := trainTokenizer(o.Seed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := tok.Save(path); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := files.ReadFile("base/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, shipped) {
		t.Error("the shipped tokenizer is not what its recipe gives: run make base")
	}
	o.DrillSteps, o.LessonSteps, o.Documents = 3, 2, 8
	var models [2][]byte
	for i := range models {
		dir := filepath.Join(t.TempDir(), "base")
		if err := MakeBase(t.Context(), openCPU(t, i+1), dir, o); err != nil {
			t.Fatal(err)
		}
		if models[i], err = os.ReadFile(filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(models[0], models[1]) {
		t.Error("the base model depends on the number of threads")
	}
}

// Documents spell conversations as the chat template and the prompts do, so that the base model meets in use what it was trained on.
func TestDocumentsMatchPrompts(t *testing.T) {
	dir := t.TempDir()
	if err := extract("base", dir); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	chat, err := tokenizer.LoadChat(dir, tok, tokenizer.ChatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := extract("prompts", filepath.Join(dir, "prompts")); err != nil {
		t.Fatal(err)
	}
	prompts, err := critic.LoadPrompts(filepath.Join(dir, "prompts"))
	if err != nil {
		t.Fatal(err)
	}
	checkDocuments(t, tok, chat, prompts)
}

func checkDocuments(t *testing.T, tok *tokenizer.Tokenizer, chat *tokenizer.Chat, prompts *critic.Prompts) {
	id := func(s string) int32 { v, _ := tok.ID(s); return v }
	kinds := map[string]int{}
	for i := range 300 {
		d := lesson(tok, 1, i)
		if len(d.IDs) > baseContext || len(d.IDs) != len(d.Weights) {
			t.Fatalf("document %d has %d tokens and %d weights", i, len(d.IDs), len(d.Weights))
		}
		r := stream(1, "lesson", i)
		q, p := drawScene(r, taskMix.draw(r), -1)
		v := critic.Values{Prompt: record.Prompt{Text: q.Prompt}, Response: p.Text, Scale: critic.DefaultScale()}
		template, end, name := prompts.Critique, id("<|critique|>"), "critique"
		switch {
		case slices.Contains(d.IDs, id("<|meta|>")):
			template, end, name = prompts.Meta, id("<|meta|>"), "meta"
			from, to := slices.Index(d.IDs, id("<|critique|>")), slices.Index(d.IDs, id("<|meta|>"))
			v.Critique = tok.DecodeText(d.IDs[from+1 : to])
		case slices.Contains(d.IDs, id("<|summary|>")):
			template, end, name = prompts.Summarize, id("<|summary|>"), "summary"
			from, to := slices.Index(d.IDs, id("<|critiques|>")), slices.Index(d.IDs, id("<|summary|>"))
			for _, c := range strings.Split(tok.DecodeText(d.IDs[from+1:to]), "\n\n") {
				v.Critiques = append(v.Critiques, c[strings.Index(c, "\n")+1:])
			}
		}
		kinds[name]++
		want, err := chat.Encode(template.Messages(v), true)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.IDs[:slices.Index(d.IDs, end)+1]; !slices.Equal(got, want) {
			t.Fatalf("%s document %d begins\n%q, the prompt is\n%q", name, i, tok.Decode(got), tok.Decode(want))
		}
	}
	if len(kinds) != 3 {
		t.Errorf("only %v among 300 documents", kinds)
	}
}

// A run in the directory that no demo made is not touched.
func TestRunKeepsOthersFiles(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, runDir, "model.safetensors")
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), openCPU(t, 1), Options{Dir: dir, Seeds: []uint64{0}})
	if err == nil || !strings.Contains(err.Error(), "no demo made it") {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(own); err != nil || string(b) != "mine" {
		t.Errorf("the file is gone: %q, %v", b, err)
	}
}
