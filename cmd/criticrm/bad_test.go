package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/model"
)

// badCase is a command line that has to fail with one line. In args and want, {dir} is the case's directory and {tiny} the model.
type badCase struct {
	name string
	make func(t *testing.T, dir string) // puts files into dir
	args string
	code int
	want string
}

const generateArgs = "generate --model {dir}/m --in {dir}/p.jsonl --out {dir}/o.jsonl --max_tokens 4 --critiques 1 "

func checkBad(t *testing.T, cases []badCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.make(t, dir)
			fill := strings.NewReplacer("{dir}", dir, "{tiny}", tinyModel(t)).Replace
			code, out, errs := command(t, strings.Fields(fill(c.args))...)
			errs = lastLine(errs)
			if want := "criticrm: " + fill(c.want); code != c.code || errs != want || out != "" {
				t.Errorf("exit code %d, want %d; stdout %q\n got %s\nwant %s", code, c.code, out, errs, want)
			}
		})
	}
}

// damaged is a copy of the tiny model as {dir}/m with a file changed, and good pairs.
func damaged(name string, change func(t *testing.T, content string) string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		m := filepath.Join(dir, "m")
		if err := os.CopyFS(m, os.DirFS(tinyModel(t))); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(m, name)
		if new := change(t, readFile(t, path)); new == "" {
			os.Remove(path)
		} else {
			writeFile(t, path, new)
		}
		writeFile(t, filepath.Join(dir, "p.jsonl"), sumPairs(1))
	}
}

// setKey changes a value of a JSON file; nil removes it.
func setKey(key string, value any) func(*testing.T, string) string {
	return func(t *testing.T, content string) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(content), &m); err != nil {
			t.Fatal(err)
		}
		if m[key] = value; value == nil {
			delete(m, key)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

func text(s string) func(*testing.T, string) string {
	return func(*testing.T, string) string { return s }
}

func TestBadModel(t *testing.T) {
	nan := func(t *testing.T, content string) string {
		b := []byte(content)
		copy(b[len(b)-4:], "\x00\x00\xc0\x7f")
		return string(b)
	}
	noModel := func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "p.jsonl"), sumPairs(1)) }
	cases := []badCase{
		{"no directory", noModel, generateArgs, exitUsage, `modeldir: stat {dir}/m: no such file or directory (want the directory of a Hugging Face model)`},
		{"no config", damaged("config.json", text("")), generateArgs, exitUsage, `model: stat {dir}/m/config.json: no such file or directory (want the directory of a Hugging Face model)`},
		{"cut config", damaged("config.json", text(`{"vocab_size": 3`)), generateArgs, exitUsage, `model: {dir}/m/config.json: JSON is cut off`},
		{"config is an array", damaged("config.json", text(`[]`)), generateArgs, exitUsage, `model: {dir}/m/config.json: got array, want object`},
		{"unknown architecture", damaged("config.json", setKey("architectures", []string{"FooForCausalLM"})), generateArgs, exitUsage, `model: {dir}/m/config.json: architectures ["FooForCausalLM"] is not supported (supported: ` + strings.Join(model.Architectures(), ", ") + `)`},
		{"unknown type", damaged("config.json", setKey("model_type", "foo")), generateArgs, exitUsage, `model: {dir}/m/config.json: model_type: got "foo", architectures ["LlamaForCausalLM"] needs "llama"`},
		{"no heads", damaged("config.json", setKey("num_attention_heads", 0)), generateArgs, exitUsage, `model: {dir}/m/config.json: num_attention_heads: got 0, want 1..1024`},
		{"another shape", damaged("config.json", setKey("intermediate_size", 96)), generateArgs, exitUsage, `model: {dir}/m/model.safetensors: tensor "model.layers.0.mlp.gate_proj.weight": shape [64,32], config.json implies [96,32]`},
		{"tokens beyond the model", damaged("config.json", setKey("vocab_size", 300)), generateArgs, exitUsage, `modeldir: {dir}/m: tokenizer.json has ids up to 315, but vocab_size in config.json is 300: the model has no embedding for the rest; take the tokenizer of this model`},
		{"code", damaged("config.json", setKey("auto_map", map[string]string{"AutoModel": "x.py"})), generateArgs, exitUsage, `model: {dir}/m/config.json: auto_map asks for Python code; this program never runs model code`},
		{"empty weights", damaged("model.safetensors", text(" ")), generateArgs, exitUsage, `model: {dir}/m/model.safetensors: not a safetensors file: 1 bytes, need at least 8`},
		{"cut weights", damaged("model.safetensors", func(_ *testing.T, s string) string { return s[:len(s)/2] }), generateArgs, exitUsage, `model: {dir}/m/model.safetensors: tensor "model.embed_tokens.weight": data_offsets end 81920 is past the data (77076 bytes)`},
		{"pickle", damaged("model.safetensors", text("PK\x03\x04"+strings.Repeat("x", 60))), generateArgs, exitUsage, `model: {dir}/m/model.safetensors: this is a PyTorch pickle file, which can run code when loaded; convert it to safetensors (load it where its origin is trusted, and save it with safetensors.torch.save_file)`},
		{"LFS pointer", damaged("model.safetensors", text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")), generateArgs, exitUsage, `model: {dir}/m/model.safetensors: this is a Git LFS pointer (63 bytes), not the weights; run 'git lfs pull'`},
		{"NaN", damaged("model.safetensors", nan), generateArgs, exitUsage, `model: {dir}/m/model.safetensors: tensor "model.norm.weight" has 1 non-finite values, first at index 31 (repair or re-export the model)`},
		{"NaN in training", damaged("model.safetensors", nan), "train --model {dir}/m --train_file {dir}/p.jsonl --method bt --output_dir {dir}/run", exitUsage, `model: {dir}/m/model.safetensors: tensor "model.norm.weight" has 1 non-finite values, first at index 31 (repair or re-export the model)`},
		{"no tokenizer", damaged("tokenizer.json", text("")), generateArgs, exitUsage, `tokenizer: {dir}/m: tokenizer.json is missing, and so is tokenizer.model`},
		{"cut tokenizer", damaged("tokenizer.json", func(_ *testing.T, s string) string { return s[:len(s)/2] }), generateArgs, exitUsage, `tokenizer: {dir}/m/tokenizer.json: token "Ą": got nothing, want number at byte 4680`},
		{"no chat template", damaged("tokenizer_config.json", setKey("chat_template", nil)), generateArgs, exitUsage, `tokenizer: {dir}/m: no chat template (chat_template.jinja, or "chat_template" in tokenizer_config.json)`},
		{"template that includes", damaged("tokenizer_config.json", setKey("chat_template", "{% include 'x' %}")), generateArgs, exitUsage, `tokenizer: {dir}/m/tokenizer_config.json:1: {% include %} is not allowed: a chat template cannot load files`},
	}
	checkBad(t, cases)
}

func TestBadRecords(t *testing.T) {
	rows := func(content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "p.jsonl"), content) }
	}
	const args = "generate --model {tiny} --in {dir}/p.jsonl --out {dir}/o.jsonl --max_tokens 4 --critiques 1"
	const row = `{"prompt":"p","chosen":"a","rejected":"b"}` + "\n"
	cases := []badCase{
		{"no file", func(*testing.T, string) {}, args, exitUsage, `record: stat {dir}/p.jsonl: no such file or directory`},
		{"directory", func(t *testing.T, dir string) { os.Mkdir(filepath.Join(dir, "p.jsonl"), 0o755) }, args, exitUsage, `generate: input {dir}/p.jsonl: is a folder without data files (want .jsonl, .ndjson, .json, .csv, .tsv, .parquet)`},
		{"empty", rows(""), args, exitData, `{dir}/p.jsonl: no examples`},
		{"not JSON", rows(row + row + "{x}\n"), args, exitData, `{dir}/p.jsonl:3@1: invalid character 'x'`},
		{"cut", rows(row + `{"prompt":"p","chos`), args, exitData, `{dir}/p.jsonl:2: line is cut off (unexpected end)`},
		{"missing key", rows(row + `{"prompt":"p","chosen":"a","Rejected":"b"}`), args, exitData, `{dir}/p.jsonl:2: key "rejected" is missing (found "Rejected": keys are case-sensitive)`},
		{"wrong type", rows(row + `{"prompt":"p","chosen":"a","rejected":7}`), args, exitData, `{dir}/p.jsonl:2: "rejected": got number, want string`},
		{"equal responses", rows(`{"prompt":"p","chosen":"a","rejected":"a"}`), args, exitData, `{dir}/p.jsonl: no examples (set aside: 1 with two equal responses)`},
		{"empty response", rows(row + `{"prompt":"p","chosen":"a","rejected":"  "}`), args, exitData, `{dir}/p.jsonl:2: "rejected" is empty`},
		{"empty prompt", rows(`{"prompt":"","chosen":"a","rejected":"b"}`), args, exitData, `{dir}/p.jsonl:1: "prompt" is empty`},
		{"another format", rows(row + `{"prompt":"p","response":"a"}`), args, exitData, `{dir}/p.jsonl:2: row is prompt/response, the file began with prompt/chosen/rejected: one file holds one format`},
		{"array", rows("[" + row + `,{"prompt":"p","chosen":"a"}]`), args, exitData, `{dir}/p.jsonl:2: row 2: key "rejected" is missing, the nearest layout is prompt/chosen/rejected`},
		{"UTF-16", rows("\xff\xfe{\x00"), args, exitData, `{dir}/p.jsonl: looks like UTF-16; convert to UTF-8`},
		{"bad UTF-8", rows("{\"prompt\":\"\xff\",\"chosen\":\"a\",\"rejected\":\"b\"}"), args, exitData, `{dir}/p.jsonl:1@11: not valid UTF-8`},
		{"in training", rows(row + "{x}\n"), "train --model {tiny} --train_file {dir}/p.jsonl --method bt --output_dir {dir}/run", exitData, `trainer: {dir}/p.jsonl:2@1: invalid character 'x'`},
		{"no critiques to train on", rows(row), "train --model {tiny} --train_file {dir}/p.jsonl --output_dir {dir}/run", exitUsage, `trainer: nothing to train on: {dir}/p.jsonl: 1 rows, 0 examples, 1 dropped (no critiques)`},
		{"no critiques to filter", rows(row), "filter --in {dir}/p.jsonl --out {dir}/o.jsonl", exitData, `{dir}/p.jsonl:1: record "row-1": chosen has no critiques: run generate first`},
		{"one response to filter", rows(`{"prompt":"p","response":"a"}`), "filter --in {dir}/p.jsonl --out {dir}/o.jsonl", exitData, `{dir}/p.jsonl:1: record "row-1": it is no pair, and filtering needs pairs`},
		{"critiques without a score", rows(`{"prompt":"p","chosen":"a","rejected":"b","chosen_critiques":[{"text":"Good."}],"rejected_critiques":[{"text":"Bad. Score: 2/5"}]}`), "filter --in {dir}/p.jsonl --out {dir}/o.jsonl", exitFailed, `critic: only 0 of 1 records survive, want at least 10 % (1 × a side has no parsed score): no critique has a score that can be read: want one that ends in "Score: N", N a whole number on the scale, or a field "score"; look at some, at the prompt and at the scale`},
		{"one file for both", rows(row), "filter --in {dir}/p.jsonl --out {dir}/p.jsonl", exitUsage, `filter: output {dir}/p.jsonl is what is read`},
		{"compressed output", rows(row), "filter --in {dir}/p.jsonl --out {dir}/p.jsonl.zst", exitUsage, `filter: output {dir}/p.jsonl.zst: rows are appended, which a compressed file does not allow: write .jsonl and compress it later`},
		{"too long to train on", rows(`{"prompt":"p","chosen":"` + strings.Repeat("x1", 400) + `","rejected":"b"}`), "train --model {tiny} --train_file {dir}/p.jsonl --method bt --output_dir {dir}/run", exitData, `trainer: {dir}/p.jsonl:1: record "row-1": 812 tokens, the limit is 512 (set overlong to drop, truncate-left or truncate-right)`},
		{"all rows dropped", rows(`{"prompt":"p","chosen":"` + strings.Repeat("x1", 400) + `","rejected":"b"}`), "train --model {tiny} --train_file {dir}/p.jsonl --method bt --overlong drop --output_dir {dir}/run", exitUsage, `trainer: nothing to train on: {dir}/p.jsonl: 1 rows, 0 examples, 1 dropped (too long)`},
		{"a side without rewards", rows(`{"prompt":"p","chosen":"a","rejected":"b","chosen_reward":1}`), "eval --in {dir}/p.jsonl", exitData, `{dir}/p.jsonl:1: record "row-1": the reward of rejected is missing, and other pairs have theirs: score all records first`},
	}
	checkBad(t, cases)
}

func TestBadRecipe(t *testing.T) {
	recipe := func(content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "r.yaml"), content) }
	}
	const args = "train --recipe {dir}/r.yaml"
	checkBad(t, []badCase{
		{"unknown key", recipe("method: bt\nlearning_rat: 1e-5\n"), args, exitUsage, `trainer: recipe: {dir}/r.yaml:2: unknown key "learning_rat", did you mean "learning_rate"?`},
		{"twice", recipe("lr: 1\nmethod: bt\nlearning_rate: 2\n"), args, exitUsage, `trainer: recipe: {dir}/r.yaml:3: learning_rate was already set on line 1`},
		{"wrong type", recipe("max_steps: many\n"), args, exitUsage, `trainer: recipe: {dir}/r.yaml:1: max_steps: "many" is not a whole number`},
		{"not a mapping", recipe("- a\n"), args, exitUsage, `trainer: recipe: {dir}/r.yaml:1: want a mapping of names to values`},
		{"no file", func(*testing.T, string) {}, args, exitUsage, `trainer: recipe: stat {dir}/r.yaml: no such file or directory`},
		{"unknown prompt file", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "critiqe.txt"), "x")
		}, "generate --model {tiny} --in x --out y --prompts {dir}", exitUsage, `critic: prompt {dir}/critiqe.txt: unknown name: want critique.txt, meta.txt, summarize.txt`},
	})
}

// TestBadResume: a checkpoint with a flipped byte and changed data are refused before the first step.
func TestBadResume(t *testing.T) {
	row := `{"prompt":"p","chosen":"a","rejected":"b"}` + "\n"
	const args = "train --model {tiny} --train_file {dir}/p.jsonl --method bt --output_dir {dir}/run --max_steps 2 --batch_size 1 --accumulation 1"
	start := func(t *testing.T, dir string) {
		writeFile(t, filepath.Join(dir, "p.jsonl"), row)
		must(t, strings.Fields(strings.NewReplacer("{dir}", dir, "{tiny}", tinyModel(t)).Replace(args))...)
	}
	step := filepath.Join("run", "checkpoints", "step-00000002")
	flip := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			start(t, dir)
			path := filepath.Join(dir, step, name)
			b := []byte(readFile(t, path))
			b[len(b)/2] ^= 1
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, string(b))
		}
	}
	checkBad(t, []badCase{
		{"flipped byte", flip("tensors-00000.zst"), args + " --resume latest", exitUsage, `trainer: resume: step-00000002/tensors-00000.zst: checksum mismatch (stored bytes): damaged file`},
		{"flipped byte, inspected", flip("tensors-00000.zst"), "inspect {dir}/" + step, exitUsage, `step-00000002/tensors-00000.zst: checksum mismatch (stored bytes): damaged file`},
		{"flipped byte in the manifest", flip("manifest.json"), args + " --resume {dir}/" + step, exitUsage, `trainer: resume: step-00000002/manifest.json: its own checksum does not match`},
		{"changed settings", start, args + " --resume latest --lr 0.5", exitUsage, `trainer: cannot resume: learning_rate was 1e-06, now 0.5 (use the old values, or start a new run)`},
		{"nothing to resume", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "p.jsonl"), row) }, args + " --resume latest", exitUsage, `trainer: resume: {dir}/run/checkpoints: no complete checkpoint in {dir}/run/checkpoints`},
		{"forgotten resume", start, args, exitUsage, `trainer: output_dir {dir}/run has a checkpoint of step 2: set resume to latest to go on, or take another directory`},
	})
	dir := t.TempDir() // changed data: the message has hashes
	start(t, dir)
	writeFile(t, filepath.Join(dir, "p.jsonl"), strings.Replace(row, `"b"`, `"c"`, 1))
	code, _, errs := command(t, strings.Fields(strings.NewReplacer("{dir}", dir, "{tiny}", tinyModel(t)).Replace(args+" --resume latest"))...)
	if code != exitUsage || !strings.HasPrefix(lastLine(errs), "criticrm: trainer: cannot resume: the training data changed since the run began (sha256 ") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestBadOutput: an output that cannot be written is refused before the work; a full disk ends it, and nothing that was
// acknowledged is lost.
func TestBadOutput(t *testing.T) {
	under := func(t *testing.T, dir string) {
		writeFile(t, filepath.Join(dir, "p.jsonl"), sumPairs(4))
		writeFile(t, filepath.Join(dir, "file"), "")
	}
	checkBad(t, []badCase{
		{"generate", under, "generate --model {tiny} --in {dir}/p.jsonl --out {dir}/file/o.jsonl --max_tokens 4 --critiques 1", exitUsage, `generate: output: open {dir}/file/o.jsonl: not a directory`},
		{"train", under, "train --model {tiny} --train_file {dir}/p.jsonl --method bt --output_dir {dir}/file/run", exitUsage, `trainer: output_dir: mkdir {dir}/file: not a directory`},
		{"logits", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "ids"), "[1]\n") }, "logits --model {tiny} --ids {dir}/ids --out {dir}/none/l.safetensors", exitFailed, `{dir}/none/l.safetensors: open {dir}/none: no such file or directory`},
	})
}

func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	}()
	in := writeFile(t, filepath.Join(t.TempDir(), "p.jsonl"), sumPairs(200))
	out := filepath.Join(disk, "o.jsonl")
	args := []string{"generate", "--model", tinyModel(t), "--in", in, "--out", out, "--prompts", shortPrompts(t), "--max_tokens", "16", "--critiques", "1", "--chunk", "16", "--min_parsed", "0"}
	code, _, errs := command(t, args...)
	if want := "criticrm: generate: write " + out + ": write " + out + ": no space left on device"; code != exitFailed || lastLine(errs) != want {
		t.Fatalf("%d %q, want %q", code, lastLine(errs), want)
	}
	rows := countLines(out)
	code, _, errs = command(t, args...)
	if code != exitFailed || !strings.Contains(errs, "generate: going on after ") || countLines(out) < rows-16 {
		t.Errorf("%d %q", code, errs)
	}
	if err := os.Truncate(out, 0); err != nil { // room again, but the output is gone
		t.Fatal(err)
	}
	if code, _, errs := command(t, args...); code != exitUsage || !strings.Contains(errs, "output "+out+" is damaged: 0 bytes, want at least ") {
		t.Errorf("%d %q", code, errs)
	}
	run := filepath.Join(disk, "run")
	train := []string{"train", "--model", tinyModel(t), "--train_file", in, "--method", "bt", "--output_dir", run, "--max_steps", "2", "--batch_size", "2", "--accumulation", "1"}
	code, _, errs = command(t, train...)
	if code != exitFailed || !strings.HasPrefix(lastLine(errs), "criticrm: trainer: output_dir: a checkpoint and the model take up to ") || !strings.HasSuffix(lastLine(errs), "no space left on device") {
		t.Errorf("%d %q", code, lastLine(errs))
	}
	if _, err := os.Stat(run); err == nil {
		t.Error("a run that cannot be written was begun")
	}
	if dry, _ := must(t, append(train, "--dry_run", "--output_dir", filepath.Dir(in))...); !strings.Contains(dry, "disk: ") {
		t.Error(dry)
	}
	if err := os.MkdirAll(filepath.Join(run, "checkpoints"), 0o755); err != nil { // somebody else fills the disk while the run works
		t.Fatal(err)
	}
	code, _, errs = command(t, train...)
	if code != exitFailed || !strings.HasPrefix(lastLine(errs), "criticrm: trainer: saving step 2 failed: ") || !strings.Contains(lastLine(errs), "no space left on device") || strings.Count(lastLine(errs), "saving step") != 1 {
		t.Errorf("%d %q", code, lastLine(errs))
	}
	if _, _, err := checkpoint.Latest(filepath.Join(run, "checkpoints")); err == nil {
		t.Error("a checkpoint that did not fit counts as complete")
	}
}
