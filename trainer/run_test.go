package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/model"
	"criticrm/tokenizer"
)

const testTemplate = `{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`

// modelDir writes a tiny model with a byte tokenizer and a chat template, and prompts that fit into its 256 positions.
func modelDir(t *testing.T) (dir, prompts string) {
	t.Helper()
	dir, prompts = filepath.Join(t.TempDir(), "base"), t.TempDir()
	tok, err := tokenizer.Train(slices.Values([]string{"the answer is four", "the answer is five"}), tokenizer.TrainConfig{VocabSize: 280, Special: []string{"<|pad|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"}, Pattern: "qwen2"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(devicetest.Open(t, 1), model.Config{VocabSize: 288, HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		MaxPositionEmbeddings: 256, TieWordEmbeddings: true, EOSTokenIDs: []int32{4}}, model.Options{}, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	if err := tok.Save(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "chat_template.jinja"), testTemplate)
	write(t, filepath.Join(prompts, "critique.txt"), "[user]\n{prompt}\n[assistant]\n{response}\n[user]\nScore {min} to {max}.\n")
	return dir, prompts
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// records is a file of n pairs with critiques.
func records(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id": "r%d", "prompt": "What is %d plus 2?", "chosen": "It is %d.", "rejected": "It is %d.", "chosen_critiques": [{"text": "Right. Score: 9"}, {"text": "Score: 8"}], "rejected_critiques": [{"text": "Wrong. Score: 1"}]}`+"\n", i, i, i+2, i+3)
	}
	return b.String()
}

func fileConfig(t *testing.T) Config {
	t.Helper()
	c := Default()
	c.Model, c.PromptDir = modelDir(t)
	c.TrainFile, c.EvalFile, c.OutputDir = filepath.Join(t.TempDir(), "train.jsonl"), filepath.Join(t.TempDir(), "eval.jsonl"), filepath.Join(t.TempDir(), "run")
	write(t, c.TrainFile, records(10))
	write(t, c.EvalFile, strings.ReplaceAll(records(3), "What is", "How much is"))
	c.BatchSize, c.Accumulation, c.LearningRate, c.Epochs = 2, 2, 1e-3, 2
	return c
}

// A run from files: stopped, resumed, refused with other data, and read back from the directory it leaves.
func TestRunFromFiles(t *testing.T) {
	dev, c := devicetest.Open(t, 2), fileConfig(t)
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Run(ctx, dev, c, Report{Log: &log, OnStep: func(m Metrics) {
		if m.Step == 4 {
			cancel()
		}
	}})
	if !errors.Is(err, ErrInterrupted) || !errors.Is(err, context.Canceled) {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if !strings.Contains(log.String(), "10 rows, 10 examples") || !strings.Contains(log.String(), "'eval_accuracy'") {
		t.Errorf("log:\n%s", log.String())
	}
	c.Resume = "latest"
	text := records(10)
	write(t, c.TrainFile, strings.Replace(text, "r3", "r4", 1)) // one byte, in a field that training does not read
	if _, err := Run(context.Background(), dev, c, Report{}); err == nil || !strings.Contains(err.Error(), "the training data changed") {
		t.Errorf("changed data: %v", err)
	}
	write(t, c.TrainFile, text)
	prompts := c.PromptDir
	c.PromptDir = t.TempDir()
	write(t, filepath.Join(c.PromptDir, "critique.txt"), "[user]\n{prompt}\n[assistant]\n{response}\n[user]\nRate it.\n")
	if _, err := Run(context.Background(), dev, c, Report{}); err == nil || !strings.Contains(err.Error(), "the training data changed") {
		t.Errorf("changed prompt: %v", err)
	}
	c.PromptDir = prompts
	r, err := Run(context.Background(), dev, c, Report{Log: &log})
	if err != nil || r.Steps != 6 || len(r.Evals) != 1 || r.Evals[0].Pairs != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	saved, err := LoadRecipe(filepath.Join(c.OutputDir, "recipe.yaml"))
	resolved := c // what was left to the model's directory is filled in
	resolved.HeadPosition, resolved.ScoreMin, resolved.ScoreMax = "end", 1, 10
	if err != nil || saved != resolved {
		t.Errorf("recipe.yaml is %+v, %v", saved, err)
	}
	for _, name := range []string{"config.json", "model.safetensors", "reward_head.safetensors", "tokenizer.json", "chat_template.jinja", "critic_rm.json"} {
		if _, err := os.Stat(filepath.Join(r.ModelDir, name)); err != nil {
			t.Error(err)
		}
	}
	// The trained model can be trained again, as any other method.
	for _, method := range []string{BT, Cloud, SFT} {
		again := c
		again.Model, again.Method, again.OutputDir, again.Resume, again.MaxSteps = r.ModelDir, method, filepath.Join(t.TempDir(), method), "", 1
		if _, err := Run(context.Background(), dev, again, Report{}); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestRunErrors(t *testing.T) {
	dev := devicetest.Open(t, 1)
	for _, x := range []struct {
		change func(t *testing.T, c *Config)
		want   string
	}{
		{func(t *testing.T, c *Config) { c.TrainFile = "" }, "train_file is missing"},
		{func(t *testing.T, c *Config) { c.TrainFile = t.TempDir() }, "is a folder without data files"},
		{func(t *testing.T, c *Config) { c.Model = t.TempDir() }, "config.json"},
		{func(t *testing.T, c *Config) { write(t, c.TrainFile, "{\"chosen\": \"a\"}\n") }, "train.jsonl:1"},
		{func(t *testing.T, c *Config) {
			write(t, c.TrainFile, `{"id": "x", "prompt": "a", "chosen": "b", "rejected": "c"}`+"\n")
		}, "nothing to train on: " /* … 1 dropped (no critiques) */},
		{func(t *testing.T, c *Config) { c.MaxLength = 40 }, `train.jsonl:1: record "r0": `},
		{func(t *testing.T, c *Config) { c.MaxLength, c.Overlong = 40, "drop" }, "10 dropped (too long)"},
		{func(t *testing.T, c *Config) {
			write(t, c.TrainFile, strings.Replace(records(1), `{"id"`, `{"critic": {"prompts": "feedfeedfeedfeed", "sampling": {}}, "id"`, 1))
		}, "the critiques were written with the prompts feedfeedfeedfeed"},
		{func(t *testing.T, c *Config) { write(t, filepath.Join(c.OutputDir), "") }, "output_dir"},
	} {
		c := fileConfig(t)
		x.change(t, &c)
		if _, err := Run(context.Background(), dev, c, Report{}); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
}

// A token id that the model does not have ended the run in the step that met it, after checkpoints.
func TestForeignTokens(t *testing.T) {
	c := fileConfig(t)
	c.Method, c.EvalFile = LM, ""
	write(t, c.TrainFile, `{"input_ids": [5, 6, 7]}`+"\n"+`{"input_ids": [5, 288]}`+"\n")
	_, err := Run(context.Background(), devicetest.Open(t, 1), c, Report{})
	if err == nil || !strings.Contains(err.Error(), c.TrainFile+":2: ") || !strings.Contains(err.Error(), "token id 288, the model has 0 to 287") {
		t.Errorf("got %v", err)
	}
}

func TestRunOnDocuments(t *testing.T) {
	dev := devicetest.Open(t, 1)
	for _, x := range []struct{ method, rows string }{
		{LM, `{"text": "the answer is four"}` + "\n" + `{"input_ids": [5, 6, 7], "weights": [0, 1, 0.5]}` + "\n"},
		{SFT, `{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}` + "\n" + `{"prompt": "a", "completion": "c"}` + "\n"},
	} {
		c := fileConfig(t)
		c.Method, c.EvalFile, c.MaxSteps = x.method, "", 2
		write(t, c.TrainFile, x.rows)
		r, err := Run(context.Background(), dev, c, Report{})
		if err != nil || r.Steps != 2 || r.Last.CritiqueLoss <= 0 {
			t.Errorf("%s: %+v, %v", x.method, r, err)
		}
	}
}
