package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"criticrm/demo"
	"criticrm/internal/golden"
	"criticrm/measure"
	"criticrm/record"
	"criticrm/stage"
)

// stages runs generate, filter, refine, train and eval, stopping generate and train halfway, and gives what eval prints.
func stages(t *testing.T, model, pairs, held string, sampling, filter, refine, train []string) string {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	generate := slices.Concat([]string{"generate", "--model", model, "--in", pairs, "--out", file("1.jsonl"), "--critiques", "4", "--chunk", "2"}, sampling)
	if code := signalled(t, syscall.SIGTERM, func() bool { return countLines(file("1.jsonl")) >= 2 }, []string{file("1.jsonl"), stage.SidecarPath(file("1.jsonl"))}, generate...); code != 143 {
		t.Fatalf("generate: exit code %d after SIGTERM", code)
	}
	must(t, generate...)
	sameIDs(t, pairs, file("1.jsonl"))
	must(t, slices.Concat([]string{"filter", "--in", file("1.jsonl"), "--out", file("2.jsonl")}, filter)...)
	must(t, slices.Concat([]string{"refine", "--in", file("2.jsonl"), "--out", file("3.jsonl")}, refine)...)
	sameIDs(t, pairs, file("3.jsonl"))
	args := slices.Concat([]string{"train", "--model", model, "--train_file", file("3.jsonl"), "--output_dir", file("run"), "--accumulation", "1",
		"--lambda_schedule", "constant", "--logging_steps", "5"}, train)
	metrics := file("run/metrics.jsonl")
	if code := signalled(t, syscall.SIGTERM, func() bool { return countLines(metrics) >= 5 }, []string{file("run")}, args...); code != 143 {
		t.Fatalf("train: exit code %d after SIGTERM", code)
	}
	before := readFile(t, metrics)
	must(t, append(args, "--resume", "latest")...)
	if !strings.HasPrefix(readFile(t, metrics), before) {
		t.Error("the resumed run changed the steps before it")
	}
	losses := steps(t, file("run"))
	mean := func(x []float64) (sum float64) {
		for _, v := range x {
			sum += v / float64(len(x))
		}
		return sum
	}
	if k := len(losses) / 5; !(mean(losses[len(losses)-k:]) < 0.95*mean(losses[:k])) {
		t.Errorf("the loss does not fall: %v", losses)
	}
	out, _ := must(t, slices.Concat([]string{"eval", "--model", file("run/model"), "--in", held, "--out", file("scored.jsonl"), "--samples", "2", "--draws", "200", "--json", file("eval.json")}, sampling)...)
	sameIDs(t, held, file("scored.jsonl"))
	var report measure.Report
	if err := json.Unmarshal([]byte(readFile(t, file("eval.json"))), &report); err != nil {
		t.Fatal(err)
	}
	if m, ok := report.Method("reward"); !ok || report.Pairs != countLines(held) || m.N != report.Pairs || !(m.Interval.Low <= m.Mean && m.Mean <= m.Interval.High) {
		t.Errorf("%+v", report.Methods)
	}
	return out
}

// sameIDs wants the records of a file in another, each once and in order.
func sameIDs(t *testing.T, a, b string) {
	t.Helper()
	var ids [2][]string
	for i, path := range []string{a, b} {
		records, err := record.ReadFile(path, record.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			ids[i] = append(ids[i], r.ID)
		}
	}
	if !slices.Equal(ids[0], ids[1]) {
		t.Errorf("%s has the records %v, %s %v", filepath.Base(a), ids[0], filepath.Base(b), ids[1])
	}
}

// TestPipelineTiny: the whole path on a model made here. Its weights are random, so no critique ends in a score and
// nothing can be filtered.
func TestPipelineTiny(t *testing.T) {
	dir := t.TempDir()
	pairs, held := writeFile(t, filepath.Join(dir, "pairs.jsonl"), sumPairs(24)), writeFile(t, filepath.Join(dir, "held.jsonl"), sumPairs(30))
	prompts := shortPrompts(t)
	out := stages(t, tinyModel(t), pairs, held, []string{"--prompts", prompts, "--max_tokens", "12", "--min_parsed", "0"}, []string{"--rule", "none"}, []string{"--mode", "random-all", "--top_k", "2"},
		[]string{"--prompts", prompts, "--max_steps", "60", "--batch_size", "4", "--lr", "0.005"})
	if !strings.Contains(out, "even (15)") {
		t.Error(out)
	}
}

// TestPipelineCritic is the method proper: the demo's base model writes critiques with scores, the labels filter them, the
// model ranks what is left.
func TestPipelineCritic(t *testing.T) {
	dir := t.TempDir()
	rows := func(pairs []demo.Pair) string {
		var b strings.Builder
		for _, p := range pairs {
			line, err := json.Marshal(map[string]string{"id": p.ID, "prompt": p.Question.Prompt, "chosen": p.Chosen.Text, "rejected": p.Rejected.Text, "category": p.Question.Kind.Category()})
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		return b.String()
	}
	pairs := writeFile(t, filepath.Join(dir, "pairs.jsonl"), rows(demo.Pairs(5, 40, demo.Train)))
	held := writeFile(t, filepath.Join(dir, "held.jsonl"), rows(demo.Pairs(6, 24, demo.Validation)))
	base, prompts := filepath.Join("..", "..", "demo", "base"), filepath.Join("..", "..", "demo", "prompts")
	out := stages(t, base, pairs, held, []string{"--prompts", prompts, "--max_tokens", "60", "--temperature", "1", "--top_p", "1"},
		nil, []string{"--model", base, "--prompts", prompts, "--mode", "rank", "--top_k", "2", "--max_tokens", "60", "--temperature", "1", "--top_p", "1"},
		[]string{"--prompts", prompts, "--max_steps", "30", "--batch_size", "8", "--lr", "0.001", "--head_position", "content", "--overlong", "drop"})
	if !strings.Contains(out, "agreement of one critique pair with the label") {
		t.Error(out)
	}
	t.Log("\n" + out)
}

// TestPipelineGolden: the path on a Hugging Face directory and on pairs that people have judged.
func TestPipelineGolden(t *testing.T) {
	root := golden.Shared(t, "golden/llama_text", "data/gsm8k_pairs.jsonl", "data/human_pairs_pandalm.jsonl", "data/llmbar.jsonl")
	dir := t.TempDir()
	pairs := writeFile(t, filepath.Join(dir, "pairs.jsonl"), head(t, filepath.Join(root, "data/gsm8k_pairs.jsonl"), "model-vs-model", 8)+head(t, filepath.Join(root, "data/human_pairs_pandalm.jsonl"), "", 8))
	held := writeFile(t, filepath.Join(dir, "held.jsonl"), head(t, filepath.Join(root, "data/llmbar.jsonl"), "", 16))
	stages(t, filepath.Join(root, "golden/llama_text"), pairs, held, []string{"--max_tokens", "16", "--overlong", "drop", "--min_parsed", "0"}, []string{"--rule", "none"}, []string{"--mode", "random-all", "--top_k", "2"},
		[]string{"--max_steps", "30", "--batch_size", "4", "--lr", "0.005", "--overlong", "drop"})
}

// head gives the first n lines of a file that contain a text.
func head(t *testing.T, path, contains string, n int) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b strings.Builder
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, maxLine)
	for n > 0 && scan.Scan() {
		if strings.Contains(scan.Text(), contains) {
			b.WriteString(scan.Text() + "\n")
			n--
		}
	}
	if n > 0 {
		t.Fatalf("%s is too short", path)
	}
	return b.String()
}
