package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/stage"
)

// TestGenerateResume: a run that is stopped and started again, in process and by a signal to a process, ends with the bytes of
// an uninterrupted one: no record twice, none lost.
func TestGenerateResume(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "pairs.jsonl"), sumPairs(20))
	args := func(out string) []string {
		return []string{"generate", "--model", tinyModel(t), "--in", in, "--out", out, "--prompts", shortPrompts(t), "--critiques", "2",
			"--max_tokens", "12", "--chunk", "1", "--seed", "7", "--min_parsed", "0", "--ask_score", "expect"}
	}
	whole := filepath.Join(dir, "whole.jsonl")
	out, errs := must(t, args(whole)...)
	if !strings.HasPrefix(out, whole+": 20 records, 80 critiques: ") || !strings.Contains(errs, "generate: 20/20 records, ") {
		t.Errorf("%q %q", out, errs)
	}
	part := filepath.Join(dir, "part.jsonl")
	ctx, watch := stopAfter("generate: 8/20 records")
	code, _, errs := commandContext(t, ctx, watch, args(part)...)
	if code != 143 || !strings.Contains(errs, "criticrm: generate: stopped after 8 of 20 records, run it again to go on: stopped by terminated\n") {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if code, _, errs := command(t, "filter", "--in", part, "--out", filepath.Join(dir, "f.jsonl")); code != exitUsage ||
		errs != "criticrm: filter: input "+part+" is not complete: finish the stage that writes it first\n" {
		t.Errorf("a stage took an unfinished input: %d %q", code, errs)
	}
	if _, errs := must(t, args(part)...); !strings.Contains(errs, "generate: going on after 8 of 20 records\n") {
		t.Errorf("%q", errs)
	}
	killed := filepath.Join(dir, "killed.jsonl")
	if code := signalled(t, syscall.SIGINT, func() bool { return countLines(killed) >= 3 }, []string{killed, stage.SidecarPath(killed)}, args(killed)...); code != 130 {
		t.Errorf("exit code %d after SIGINT", code)
	}
	must(t, args(killed)...)
	for _, path := range []string{part, killed} {
		if readFile(t, path) != readFile(t, whole) {
			t.Errorf("%s differs from the uninterrupted run", filepath.Base(path))
		}
	}
	if code, _, errs := command(t, append(args(part), "--temperature", "0.5")...); code != exitUsage || !strings.Contains(errs,
		"cannot resume "+part+": options.sampling.temperature was 0.7, now 0.5: choose another output or restart") {
		t.Errorf("%d %q", code, errs)
	}
	if code, _, errs := command(t, append(args(part), "--ask_score", "off")...); code != exitUsage || !strings.Contains(errs, "options.ask_score was \"expect\", now null") {
		t.Errorf("%d %q", code, errs)
	}
	writeFile(t, in, sumPairs(21))
	if code, _, errs := command(t, args(part)...); code != exitUsage || !strings.Contains(errs, "cannot resume "+part+": the input changed (sha256 ") {
		t.Errorf("%d %q", code, errs)
	}
	must(t, append(args(part), "--restart")...)
	if n := countLines(part); n != 21 {
		t.Errorf("%d rows", n)
	}
	other := copyDir(t, tinyModel(t)) // other weights under the same name
	b := []byte(readFile(t, filepath.Join(other, "model.safetensors")))
	b[len(b)-4] ^= 1
	writeFile(t, filepath.Join(other, "model.safetensors"), string(b))
	if code, _, errs := command(t, append(args(part), "--model", other)...); code != exitUsage || !strings.Contains(errs, `options.model was "tiny@`) {
		t.Errorf("%d %q", code, errs)
	}
}

// TestOverlong: records over the context are named, or left out with their number; later stages pass them by and eval
// does not measure them.
func TestOverlong(t *testing.T) {
	dir := t.TempDir()
	long := fmt.Sprintf(`{"id":"long","prompt":"What is 1?","chosen":%q,"rejected":"no"}`+"\n", strings.Repeat("x1", 400))
	in := writeFile(t, filepath.Join(dir, "pairs.jsonl"), sumPairs(3)+long)
	out := filepath.Join(dir, "1.jsonl")
	args := []string{"generate", "--model", tinyModel(t), "--in", in, "--out", out, "--prompts", shortPrompts(t), "--critiques", "2", "--max_tokens", "8"}
	code, _, errs := command(t, args...)
	if want := `pairs.jsonl:4: record "long": "chosen": 838 tokens to read and 8 to write, context is 512 (use overlong drop, truncate-left or truncate-right, or a smaller max_tokens)`; code != exitData || !strings.HasSuffix(errs, want+"\n") {
		t.Fatalf("%d %q, want %q", code, errs, want)
	}
	if _, errs := must(t, append(args, "--overlong", "drop")...); !strings.Contains(errs, "1 records dropped: over the model's context\n") {
		t.Errorf("%q", errs)
	}
	records, err := record.ReadFile(out, record.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 4 || records[3].Dropped != critic.DropOverlong || len(records[3].ChosenCritiques) != 0 || len(records[2].ChosenCritiques) != 2 {
		t.Errorf("%+v", records[3])
	}
	two := filepath.Join(dir, "2.jsonl")
	if out, _ := must(t, "filter", "--in", out, "--out", two, "--rule", "none"); !strings.Contains(out, "3 of 4 records kept") || !strings.Contains(out, "1 × over the model's context") {
		t.Errorf("%q", out)
	}
	three := filepath.Join(dir, "3.jsonl")
	must(t, "refine", "--in", two, "--out", three, "--mode", "none")
	train := []string{"train", "--model", tinyModel(t), "--train_file", three, "--prompts", filepath.Dir(shortPrompts(t)) + "/prompts", "--max_steps", "1", "--batch_size", "2", "--accumulation", "1"}
	if _, errs := must(t, append(train, "--output_dir", filepath.Join(dir, "run"))...); !strings.Contains(errs, "4 rows, 3 examples, 1 dropped (by the filter: over the model's context)") {
		t.Errorf("%q", errs)
	}
	model := filepath.Join(dir, "run", "model")
	eval := []string{"eval", "--model", model, "--in", in, "--plain", "--override"}
	if code, _, errs := command(t, eval...); code != exitData || !strings.Contains(errs, `pairs.jsonl:4: record "long": "chosen": `) || !strings.Contains(errs, "0 to write, context is 512 (use overlong drop, truncate-left or truncate-right)") {
		t.Errorf("%d %q", code, errs)
	}
	result := filepath.Join(dir, "eval.json")
	if out, errs := must(t, append(eval, "--overlong", "drop", "--json", result)...); !strings.HasPrefix(out, "3 records, 3 pairs of 3 prompts") || !strings.Contains(errs, "1 of 4 records are not measured: 1 × over the model's context\n") {
		t.Errorf("%q %q", out, errs)
	}
	if !strings.Contains(readFile(t, result), `"over the model's context": 1`) {
		t.Error("eval.json does not count the records that were left out")
	}
}

// A model that never writes a score is stopped behind its first critiques, with samples to look at; what it wrote stays, and the same
// command goes on when it is told to.
func TestGenerateUnparsed(t *testing.T) {
	dir := t.TempDir()
	in, out := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(30)), filepath.Join(dir, "out.jsonl")
	args := []string{"generate", "--model", tinyModel(t), "--in", in, "--out", out, "--prompts", shortPrompts(t), "--critiques", "4", "--max_tokens", "8"}
	code, _, errs := command(t, args...)
	if code != exitFailed || countLines(out) != 8 || !strings.Contains(errs, "warning: 0 of the first 16 critiques end in a score") || !strings.Contains(errs, "\n  2: \"") ||
		!strings.Contains(lastLine(errs), "critic: almost no critique ends in a score: 0 of 64, want at least 5 %: raise max_tokens (") {
		t.Errorf("exit code %d, %d rows, %s", code, countLines(out), errs)
	}
	if _, errs := must(t, append(args, "--min_parsed", "0")...); countLines(out) != 30 || !strings.Contains(errs, "going on after 8 of 30") {
		t.Errorf("%d rows, %s", countLines(out), errs)
	}
}
