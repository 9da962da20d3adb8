package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"criticrm/kernels"
	"criticrm/model"
	"criticrm/tokenizer"
)

// asProgram makes the test binary the program itself, so that signals reach a process of their own.
const asProgram = "CRITICRM_TEST_AS_PROGRAM"

// asHanging makes it hang.
const asHanging = "CRITICRM_TEST_AS_HANGING"

func TestMain(m *testing.M) {
	if os.Getenv(asHanging) != "" {
		hang()
	}
	if os.Getenv(asProgram) != "" {
		main()
	}
	for name, value := range map[string]string{"HF_HUB_OFFLINE": "1", "HF_HOME": filepath.Join(os.TempDir(), "no-hub"), "HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": ""} { // no test asks a hub but its own
		os.Setenv(name, value)
	}
	code := m.Run()
	if dir, err := tiny(); err == nil {
		os.RemoveAll(filepath.Dir(dir))
	}
	os.Exit(code)
}

// command runs a command line in process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return commandContext(t, context.Background(), nil, args...)
}

// commandContext also calls each with every write to stderr, if it is not nil.
func commandContext(t *testing.T, ctx context.Context, each func(string), args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out bytes.Buffer
	errs := &watched{each: each}
	code = run(ctx, args, &out, errs)
	return code, out.String(), errs.b.String()
}

type watched struct {
	b    bytes.Buffer
	each func(string)
}

func (w *watched) Write(p []byte) (int, error) {
	if w.each != nil {
		w.each(string(p))
	}
	return w.b.Write(p)
}

// must runs a command line that has to succeed and gives what it wrote.
func must(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := command(t, args...)
	if code != exitOK {
		t.Fatalf("criticrm %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout, stderr
}

// replaced gives a command line with words in place of others: old, new, old, new, …, each by what it was before.
func replaced(args []string, words ...string) []string {
	out := slices.Clone(args)
	for i, a := range args {
		for k := 0; k < len(words); k += 2 {
			if a == words[k] {
				out[i] = words[k+1]
			}
		}
	}
	return out
}

// stopAfter is a context that ends as by SIGTERM when stderr has a line that begins with prefix.
func stopAfter(prefix string) (context.Context, func(string)) {
	ctx, cancel := context.WithCancelCause(context.Background())
	return ctx, func(s string) {
		if strings.HasPrefix(s, prefix) {
			cancel(signalCause{syscall.SIGTERM})
		}
	}
}

// signalled runs a command line as a process, sends it a signal when ready says so, and gives its exit code. On a busy machine
// the process may end before the signal comes: then its outputs are removed, and it is tried again.
func signalled(t *testing.T, s syscall.Signal, ready func() bool, outputs []string, args ...string) int {
	t.Helper()
	for range 5 {
		if code := signalOnce(t, s, ready, args...); code != exitOK {
			return code
		}
		for _, path := range outputs {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("the process always ends before the signal")
	return exitOK
}

func signalOnce(t *testing.T, s syscall.Signal, ready func() bool, args ...string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for deadline := time.Now().Add(5 * time.Minute); !ready(); time.Sleep(2 * time.Millisecond) {
		select {
		case <-done:
			if code := cmd.ProcessState.ExitCode(); code != exitOK {
				t.Fatalf("exit code %d before the signal: %s", code, errs.String())
			}
			return exitOK
		default:
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatalf("never ready: %s", errs.String())
		}
	}
	_ = cmd.Process.Signal(s) // it fails if the process has just ended
	<-done
	last := lastLine(errs.String())
	if code := cmd.ProcessState.ExitCode(); code > 128 && (strings.Contains(last, "context canceled") || !strings.Contains(last, s.String())) {
		t.Errorf("exit code %d, but the last line does not name the signal: %s", code, last)
	}
	t.Logf("stderr ends: %s", last)
	return cmd.ProcessState.ExitCode()
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func countLines(path string) int {
	b, _ := os.ReadFile(path)
	return bytes.Count(b, []byte("\n"))
}

const tinyTemplate = "{{ bos_token }}{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|eot|>{% endfor %}" +
	"{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"

// tiny is a model directory made from nothing: a tokenizer learned on a few sentences, a chat template, random weights.
var tiny = sync.OnceValues(func() (string, error) {
	root, err := os.MkdirTemp("", "criticrm-cmd-test")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "tiny")
	texts := []string{"What is 12 + 30? It is 42. Review the answer. Score: 7", "the answer is right, the answer is wrong, user assistant system"}
	tok, err := tokenizer.Train(slices.Values(texts), tokenizer.TrainConfig{VocabSize: 320, Pattern: "llama3",
		Special: []string{"<|bos|>", "<|eot|>", "<|start|>"}, MinCount: 1})
	if err != nil {
		return "", err
	}
	dev, err := kernels.OpenCPU(0)
	if err != nil {
		return "", err
	}
	defer dev.Close()
	c := model.Config{VocabSize: 320, HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2,
		MaxPositionEmbeddings: 512, EOSTokenIDs: []int32{1}, InitializerRange: 0.1}
	m, err := model.New(dev, c, model.Options{}, 1)
	if err != nil {
		return "", err
	}
	defer m.Close()
	if err := m.SaveCausalLM(dir); err != nil {
		return "", err
	}
	config, err := json.Marshal(map[string]string{"bos_token": "<|bos|>", "eos_token": "<|eot|>", "chat_template": tinyTemplate})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), config, 0o644); err != nil {
		return "", err
	}
	return dir, tok.Save(filepath.Join(dir, "tokenizer.json"))
})

func tinyModel(t *testing.T) string {
	t.Helper()
	dir, err := tiny()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyDir copies the files of a directory, to be damaged.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(from))
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sumPairs is a file of n preference pairs, right and wrong sums.
func sumPairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"p%d","prompt":"What is %d + 30?","chosen":"It is %d.","rejected":"It is %d, I think.","subset":"%s"}`+"\n", i, i, i+30, i+41, []string{"even", "odd"}[i%2])
	}
	return b.String()
}

// shortPrompts is a prompt directory that keeps the tests' sequences short.
func shortPrompts(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "prompts")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "critique.txt"), "[user]\n{prompt}\n[assistant]\n{response}\n[user]\nReview. Score: {min} to {max}\n")
	writeFile(t, filepath.Join(dir, "meta.txt"), "[user]\n{prompt} {response} {critique} Score: {min} to {max}\n")
	writeFile(t, filepath.Join(dir, "summarize.txt"), "[user]\n{prompt} {response} {critiques} Score: {min} to {max}\n")
	return dir
}

// judged is a pair with critiques of given scores, as generate writes them.
func judged(id string, chosen, rejected []int) string {
	list := func(scores []int) string {
		var parts []string
		for _, s := range scores {
			parts = append(parts, fmt.Sprintf(`{"text":"Fine.\nScore: %d","tokens":[5,6,1],"score":%d,"logprob":-3,"finish_reason":"stop"}`, s, s))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return fmt.Sprintf(`{"id":%q,"prompt":"What is %s?","chosen":"yes %s","rejected":"no","chosen_critiques":%s,"rejected_critiques":%s}`+"\n", id, id, id, list(chosen), list(rejected))
}
