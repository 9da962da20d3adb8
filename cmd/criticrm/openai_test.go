package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/splitmix"
)

// engineServer answers as an engine with OpenAI's routes does: a text is a function of the prompt and the seed. trouble, if it is set, comes
// first and says whether it has answered.
func engineServer(t *testing.T, write func(prompt string, seed int64) string, trouble func(w http.ResponseWriter, call int64) bool) (url string, calls *atomic.Int64) {
	t.Helper()
	calls = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := calls.Add(1)
		if trouble != nil && trouble(w, call) {
			return
		}
		if r.URL.Path == "/v1/models" {
			fmt.Fprint(w, `{"data":[{"id":"org/base-7b"}]}`)
			return
		}
		var asked struct {
			Messages []struct{ Content string }
			Prompt   []int32
			Seed     int64
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		prompt := fmt.Sprint(asked.Messages, asked.Prompt)
		if strings.Contains(prompt, "far too long") {
			http.Error(w, `{"error":{"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`, http.StatusBadRequest)
			return
		}
		text, _ := json.Marshal(write(prompt, asked.Seed))
		if r.URL.Path == "/v1/completions" {
			fmt.Fprintf(w, `{"choices":[{"index":0,"text":%s,"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":5}}`, text, len(asked.Prompt))
			return
		}
		fmt.Fprintf(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5}}`, text)
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

// scored is a critique by chance, of a right sum with a higher score.
func scored(prompt string, seed int64) string {
	h := fnv.New64a()
	fmt.Fprint(h, prompt, seed)
	score := 1 + splitmix.Below(splitmix.Mix(h.Sum64()), 5)
	if !strings.Contains(prompt, ", I think.") {
		score += 5
	}
	return fmt.Sprintf("Draw %d.\nScore: %d", seed, score)
}

// Critiques by servers, from pairs to a trained model, without and with a model directory beside them: the stages go on where a dead server
// left them, and end with the same bytes.
func TestEngineOpenAI(t *testing.T) {
	dir, prompts := t.TempDir(), shortPrompts(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	in := writeFile(t, at("pairs.jsonl"), sumPairs(12))
	generate := func(out string, urls string, more ...string) []string {
		return append([]string{"generate", "--engine", "openai", "--base_url", urls, "--in", in, "--out", at(out), "--critiques", "3", "--chunk", "2", "--concurrency", "3", "--prompts", prompts}, more...)
	}
	url, calls := engineServer(t, scored, nil)
	other, _ := engineServer(t, scored, nil)
	stdout, stderr := must(t, generate("whole.jsonl", url+","+other)...)
	if !strings.Contains(stdout, "12 records, 72 critiques: 72 parsed") || strings.Contains(stdout, " tokens") ||
		!strings.Contains(stderr, "openai:org/base-7b: 72 requests, 72 samples, 648 prompt tokens, 360 completion tokens, ") {
		t.Errorf("%s\n%s", stdout, stderr)
	}
	whole := readFile(t, at("whole.jsonl"))
	if !strings.Contains(whole, `"model":"openai:org/base-7b"`) || strings.Contains(whole, url) || strings.Contains(whole, "127.0.0.1") || strings.Contains(whole, `"tokens"`) || strings.Contains(whole, `"logprob"`) ||
		strings.Contains(readFile(t, at("whole.jsonl.stage.json")), "127.0.0.1") {
		t.Errorf("%s", whole[:600])
	}
	if calls.Load() < 20 {
		t.Errorf("the first server got %d of 73 requests", calls.Load())
	}

	var dead atomic.Bool
	dead.Store(true)
	bad, _ := engineServer(t, scored, func(w http.ResponseWriter, call int64) bool {
		switch {
		case call > 40 && dead.Load():
			http.Error(w, "out of memory", http.StatusInternalServerError)
		case call%5 == 0:
			panic(http.ErrAbortHandler) // the connection is cut
		default:
			return false
		}
		return true
	})
	code, _, stderr := command(t, generate("part.jsonl", bad, "--retries", "1")...)
	if code != exitFailed || !strings.Contains(stderr, "tries failed, the last: ") || countLines(at("part.jsonl")) == 0 || countLines(at("part.jsonl")) == 12 {
		t.Fatalf("exit code %d, %d rows: %s", code, countLines(at("part.jsonl")), stderr)
	}
	dead.Store(false)
	must(t, generate("part.jsonl", bad+","+url)...) // servers may change
	if readFile(t, at("part.jsonl")) != whole {
		t.Error("an interrupted run differs from an undisturbed one")
	}
	for _, more := range [][]string{{"--engine_model", "other"}, {"--per_request", "3"}, {"--standard_fields"}} {
		if code, _, errs := command(t, append(generate("part.jsonl", url), more...)...); code != exitUsage || !strings.Contains(errs, "cannot resume") {
			t.Errorf("%v: exit code %d, %s", more, code, errs)
		}
	}

	must(t, "filter", "--in", at("whole.jsonl"), "--out", at("2.jsonl"))
	if _, errs := must(t, "refine", "--engine", "openai", "--base_url", url, "--in", at("2.jsonl"), "--out", at("3.jsonl"), "--keep", "2", "--meta_samples", "2", "--prompts", prompts); !strings.Contains(errs, "openai:org/base-7b: ") {
		t.Error(errs)
	}
	must(t, "train", "--model", tinyModel(t), "--train_file", at("3.jsonl"), "--output_dir", at("run"), "--prompt_dir", prompts, "--max_steps", "1", "--gradient_accumulation_steps", "1", "--learning_rate", "1e-3")
	if stdout, _ := must(t, "eval", "--engine", "openai", "--base_url", url, "--judge", "--in", in, "--samples", "2", "--prompts", prompts, "--out", at("judged.jsonl")); !strings.Contains(stdout, "judge") || countLines(at("judged.jsonl")) != 12 {
		t.Errorf("%s", stdout)
	}
	score := []string{"score", "--engine", "openai", "--base_url", url, "--judge", "--in", in, "--samples", "2", "--prompts", prompts}
	must(t, append(score, "--out", at("scored.jsonl"))...)
	if stdout, _ := must(t, score...); stdout != readFile(t, at("judged.jsonl")) || readFile(t, at("scored.jsonl")) != stdout {
		t.Errorf("score --judge writes other rows than eval: %.300s", stdout)
	}
}

// With the model's directory prompts and scale are its own, prompts are sent as its ids, and ids that come back are kept if it spells them.
func TestEngineCompletions(t *testing.T) {
	d, err := modeldir.Open(tinyModel(t), modeldir.Given{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(2)+`{"id":"long","prompt":"p","chosen":"`+strings.Repeat("x1", 400)+`","rejected":"no"}`+"\n")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Prompt []int32
			Seed   int64
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.URL.Path != "/v1/completions" {
			http.Error(w, "want a completion", http.StatusBadRequest)
			return
		}
		text := "Fine.\nScore: 8"
		if !strings.Contains(d.Tok.DecodeText(asked.Prompt), "Review. Score: 1 to 10") {
			text = "another prompt"
		}
		b, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"text": text, "finish_reason": "stop", "token_ids": append(d.Tok.Encode(text), d.EndTokens[0]),
			"logprobs": map[string]any{"content": slices.Repeat([]any{map[string]any{"token": "t", "logprob": -0.5}}, len(d.Tok.Encode(text))+1)}}}})
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	out := filepath.Join(dir, "out.jsonl")
	_, stderr := must(t, "generate", "--engine", "openai", "--base_url", s.URL, "--engine_model", "m", "--model", tinyModel(t), "--prompts", shortPrompts(t), "--engine_route", "completions", "--engine_logprobs",
		"--in", in, "--out", out, "--critiques", "2", "--max_tokens", "8", "--overlong", "drop")
	records := readAll(t, out)
	if len(records) != 3 || records[2].Dropped == "" || !strings.Contains(stderr, "1 records dropped") || !strings.Contains(stderr, "8 answers without a count of tokens") || strings.Contains(stderr, "confirms") {
		t.Fatalf("%d records, %s", len(records), stderr)
	}
	for _, r := range records[:2] {
		for _, c := range slices.Concat(r.ChosenCritiques, r.RejectedCritiques) {
			if c.Score == nil || *c.Score != 8 || len(c.Tokens) != len(d.Tok.Encode(c.Text))+1 || c.LogProb != -0.5*float64(len(c.Tokens)) {
				t.Errorf("%+v", c)
			}
		}
		if r.Critic == nil || r.Critic.Model != "openai:m/completions/template "+d.TemplateHash()[:12] {
			t.Errorf("%+v", r.Critic)
		}
	}
}

func readAll(t *testing.T, path string) (list []*record.Record) {
	t.Helper()
	in, err := record.Open(path, record.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for r, err := range in.Records() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// What is over the server's context is a fault of its row, or left out; synth leaves it out as it does with a model.
func TestEngineContext(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(2)+`{"id":"long","prompt":"far too long","chosen":"a","rejected":"b"}`+"\n")
	url, _ := engineServer(t, scored, nil)
	args := func(out string, more ...string) []string {
		return append([]string{"generate", "--engine", "openai", "--base_url", url, "--in", in, "--out", filepath.Join(dir, out), "--critiques", "2"}, more...)
	}
	if code, _, errs := command(t, args("a.jsonl")...); code != exitData || !strings.Contains(errs, `in.jsonl:3: record "long": `) || !strings.Contains(errs, "exceeds the available context size (use overlong drop") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if _, errs := must(t, args("b.jsonl", "--overlong", "drop")...); !strings.Contains(errs, "1 records dropped") {
		t.Error(errs)
	}
	problems := writeFile(t, filepath.Join(dir, "problems.jsonl"), `{"question":"2+2?","answer":"#### 4"}`+"\n"+`{"question":"far too long","answer":"#### 5"}`+"\n")
	sums, _ := engineServer(t, func(_ string, seed int64) string { return fmt.Sprintf("#### %d", 3+seed%2) }, nil)
	out := filepath.Join(dir, "pairs.jsonl")
	stdout, errs := must(t, "synth", "--engine", "openai", "--base_url", sums, "--in", problems, "--out", out)
	if !strings.Contains(stdout, "1 pairs from 1 of 2 prompts") || !strings.Contains(errs, "not asked: 1 × over the model's context") || !strings.Contains(readFile(t, out), `"model":"openai:org/base-7b"`) {
		t.Errorf("%s %s", stdout, errs)
	}
}

// Settings that do not go together are told before anything is asked, and the key never.
func TestEngineSettings(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(1))
	url, calls := engineServer(t, scored, func(w http.ResponseWriter, _ int64) bool {
		http.Error(w, `{"error":{"message":"no key: sk-secret"}}`, http.StatusUnauthorized)
		return true
	})
	t.Setenv("TEST_KEY", "sk-secret")
	base := []string{"generate", "--in", in, "--out", filepath.Join(dir, "o.jsonl")}
	there := append(slices.Clone(base), "--engine", "openai", "--base_url", url)
	for _, c := range []struct {
		args []string
		want string
	}{
		{base, "--model is missing"},
		{append(slices.Clone(base), "--engine", "vllm"), `engine: got "vllm", want local or openai`},
		{append(slices.Clone(base), "--engine", "openai"), "needs base_url"},
		{append(slices.Clone(base), "--base_url", url), "base_url is for engine openai"},
		{append(slices.Clone(base), "--engine", "openai", "--base_url", "http://me:sk-secret@host/v1"), "environment variable"},
		{append(slices.Clone(there), "--ask_score", "expect"), "ask_score expect does not go with engine openai"},
		{append(slices.Clone(there), "--overlong", "truncate-left"), "overlong truncate-left does not go with engine openai"},
		{append(slices.Clone(there), "--max_length", "100"), "max_length does not go with engine openai"},
		{append(slices.Clone(there), "--bf16"), "bf16 does not go with engine openai"},
		{append(slices.Clone(there), "--chat_template", "x"), "chat_template does not go with engine openai"},
		{append(slices.Clone(there), "--engine_logprobs"), "engine_logprobs does not go"},
		{append(slices.Clone(there), "--engine_route", "completions"), "completions route needs"},
		{append(slices.Clone(there), "--engine_route", "responses"), "want one of chat, completions"},
		{append(slices.Clone(there), "--request_timeout", "0"), "request_timeout: got 0"},
		{append(slices.Clone(there), "--scale_min", "9", "--scale_max", "3"), "scale"},
		{append(slices.Clone(there), "--api_key_env", "NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE, which is to hold the key, is not set"},
		{append(slices.Clone(there), "--api_key_env", "TEST_KEY"), "no key: [key]"},
		{[]string{"eval", "--in", in, "--engine", "openai", "--base_url", url}, "reads no rewards: take --judge"},
		{[]string{"score", "--in", in, "--engine", "openai", "--base_url", url}, "reads no rewards: take --judge"},
		{[]string{"score", "--in", in, "--engine", "openai", "--base_url", url, "--judge", "--plain"}, "--judge reads scores in critiques, and --plain asks for none"},
	} {
		code, stdout, stderr := command(t, c.args...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || strings.Contains(stdout+stderr, "sk-secret") {
			t.Errorf("%v: exit code %d, %s; want %q", c.args[1:], code, stderr, c.want)
		}
	}
	if n := calls.Load(); n > 8 {
		t.Errorf("%d requests", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "o.jsonl")); err == nil {
		t.Error("an output was begun")
	}
}
