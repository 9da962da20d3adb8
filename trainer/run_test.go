package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels/kerneltest"
	"criticrm/model"
	"criticrm/record"
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
	m, err := model.New(kerneltest.Open(t, 1), model.Config{VocabSize: 288, HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 1,
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
	dev, c := kerneltest.Open(t, 2), fileConfig(t)
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
	if err != nil || r.Steps != 6 || r.Eval == nil || r.Eval.Pairs != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	saved, err := LoadRecipe(filepath.Join(c.OutputDir, "recipe.yaml"))
	if err != nil || saved != c {
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
	dev := kerneltest.Open(t, 1)
	for _, x := range []struct {
		change func(t *testing.T, c *Config)
		want   string
	}{
		{func(t *testing.T, c *Config) { c.TrainFile = "" }, "train_file is missing"},
		{func(t *testing.T, c *Config) { c.TrainFile = t.TempDir() }, "not a regular file"},
		{func(t *testing.T, c *Config) { c.Model = t.TempDir() }, "config.json"},
		{func(t *testing.T, c *Config) { write(t, c.TrainFile, "{\"chosen\": \"a\"}\n") }, "train.jsonl:1"},
		{func(t *testing.T, c *Config) {
			write(t, c.TrainFile, `{"id": "x", "prompt": "a", "chosen": "b", "rejected": "c"}`+"\n")
		}, "nothing to train on: " /* … 1 dropped (no critiques) */},
		{func(t *testing.T, c *Config) { c.MaxLength = 40 }, `record "r0" (line 1): `},
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

func TestRunOnDocuments(t *testing.T) {
	dev := kerneltest.Open(t, 1)
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

// words is an encoder of conversations for tests: a role is a token below 10, a word is its number, the end token is 4.
type words struct{}

func (words) Encode(messages []tokenizer.Message, generation bool) (ids []int32, err error) {
	for _, m := range messages {
		ids = append(append(ids, map[string]int32{"system": 1, "user": 2, "assistant": 3}[m.Role]), wordIDs(m.Content)...)
		ids = append(ids, 4)
	}
	if generation {
		ids = append(ids, 3)
	}
	return ids, nil
}

// endless is words without end tokens.
type endless struct{ words }

func (e endless) Encode(messages []tokenizer.Message, generation bool) ([]int32, error) {
	ids, err := e.words.Encode(messages, generation)
	return slices.DeleteFunc(ids, func(id int32) bool { return id == 4 }), err
}

func wordIDs(text string) (ids []int32) {
	for _, w := range strings.Fields(text) {
		ids = append(ids, int32(w[0]-'a')+10)
	}
	return ids
}

func testRenderer() *Renderer {
	return &Renderer{Chat: words{}, Text: wordIDs, End: 4,
		Decode: func(ids []int32) string {
			var w []string
			for _, id := range ids {
				w = append(w, string(rune('a'+id-10)))
			}
			return strings.Join(w, " ")
		},
		Request: func(r *record.Record, s record.Side) ([]tokenizer.Message, error) {
			return append(r.Messages(s), tokenizer.Message{Role: "user", Content: "z"}), nil
		}}
}

func TestRenderPair(t *testing.T) {
	no := false
	rec := &record.Record{ID: "r", Prompt: record.Prompt{Text: "a b c d"}, Chosen: "e f g", Rejected: "e h",
		ChosenCritiques:   []record.Critique{{Text: "i j"}, {Text: "k", Kept: &no}, {Text: "x", Tokens: []int32{30, 31}, FinishReason: record.FinishLength}},
		RejectedCritiques: []record.Critique{{Text: "l", FinishReason: record.FinishLength}}}
	d, c := testRenderer(), Default()
	c.HeadPosition = "content"
	want := Example{ID: "r", Prompt: []int32{2, 10, 11, 12, 13, 4, 3, 14}, // both responses begin with e
		Chosen:   Side{Response: Branch{IDs: []int32{15, 16, 4, 2, 35, 4, 3}, Read: 6}, Critiques: []Branch{{IDs: []int32{18, 19, 4}, Read: 1}, {IDs: []int32{30, 31}, Read: 1}}},
		Rejected: Side{Response: Branch{IDs: []int32{17, 4, 2, 35, 4, 3}, Read: 5}, Critiques: []Branch{{IDs: []int32{21}, Read: 0}}}}
	e, o, err := d.Pair(rec, c, 100)
	if err != nil || !reflect.DeepEqual(e, want) || o != (Outcome{Length: 2}) {
		t.Errorf("critic: %+v, %+v, %v", e, o, err)
	}
	c.Method = Cloud // takes what the filter dropped
	if e, _, err := d.Pair(rec, c, 100); err != nil || len(e.Chosen.Critiques) != 3 {
		t.Errorf("cloud: %+v, %v", e, err)
	}
	c.Method = BT
	e, _, err = d.Pair(rec, c, 100)
	if err != nil || !slices.Equal(e.Chosen.Response.IDs, []int32{15, 16, 4}) || e.Chosen.Response.Read != 2 || e.Chosen.Critiques != nil {
		t.Errorf("bt: %+v, %v", e, err)
	}
	// One response begins as the other, and the template ends no turn: each side keeps a token of its own.
	rec.Chosen, rec.Rejected = "e", "e e"
	d.Chat = endless{}
	e, _, err = d.Pair(rec, c, 100)
	if err != nil || !slices.Equal(e.Chosen.Response.IDs, []int32{14}) || !slices.Equal(e.Rejected.Response.IDs, []int32{14, 14}) {
		t.Errorf("prefix: %+v, %v", e, err)
	}
	d.Chat = words{}
	rec.Rejected = "e"
	if _, o, _ := d.Pair(rec, c, 100); o.Dropped != dropEqual {
		t.Errorf("equal responses: %+v", o)
	}
	c.Method = Critic
	rec.Rejected, rec.ChosenCritiques, rec.RejectedCritiques = "f", []record.Critique{{Text: ""}, {Text: "i"}}, nil
	if e, o, err := d.Pair(rec, c, 100); err != nil || o.Empty != 1 || len(e.Chosen.Critiques) != 1 {
		t.Errorf("empty critique: %+v, %+v, %v", e, o, err)
	}
	// A sampled critique ends with any of the model's end tokens, not only with the template's.
	d.Ends = []int32{5, 4}
	rec.ChosenCritiques = []record.Critique{{Tokens: []int32{30, 31, 5}}, {Tokens: []int32{30, 31, 4}}, {Tokens: []int32{30, 31}}, {Tokens: []int32{5}}}
	e, o, err = d.Pair(rec, c, 100)
	if err != nil || o.Empty != 1 || len(e.Chosen.Critiques) != 3 {
		t.Fatalf("ends: %+v, %+v, %v", e, o, err)
	}
	for i, z := range e.Chosen.Critiques {
		if z.Read != 1 {
			t.Errorf("critique %d is read at %d, want the last token of its content", i, z.Read)
		}
	}
}

func TestRenderOverlong(t *testing.T) {
	rec := &record.Record{ID: "r", Prompt: record.Prompt{Messages: []tokenizer.Message{{Role: "system", Content: "s"}, {Role: "user", Content: "a b c d"}}}, Chosen: "e f g h", Rejected: "i j",
		ChosenCritiques: []record.Critique{{Text: "k l m"}}, RejectedCritiques: []record.Critique{{Text: "n"}}}
	d, c := testRenderer(), Default()
	full, _, err := d.Pair(rec, c, 100)
	if err != nil {
		t.Fatal(err)
	}
	longest := full.size(&c).longest
	for _, x := range []struct {
		policy           string
		limit            int
		dropped          bool
		prompt, response []int32 // of the chosen side, what is left of the words
	}{
		{"truncate-left", longest - 3, false, []int32{13}, []int32{14, 15, 16, 17}},
		{"truncate-left", longest - 4, true, nil, nil},
		{"truncate-right", longest - 3, false, []int32{10, 11, 12, 13}, []int32{14}},
		{"truncate-right", longest - 4, true, nil, nil},
		{"drop", longest - 1, true, nil, nil},
		{"drop", longest, false, []int32{10, 11, 12, 13}, []int32{14, 15, 16, 17}},
	} {
		c.Overlong = x.policy
		e, o, err := d.Pair(rec, c, x.limit)
		if err != nil || (o.Dropped == dropOverlong) != x.dropped {
			t.Errorf("%s %d: %+v, %v", x.policy, x.limit, o, err)
			continue
		}
		if x.dropped {
			continue
		}
		want := slices.Concat([]int32{1, 28, 4, 2}, x.prompt, []int32{4, 3}, x.response, []int32{4, 2, 35, 4, 3})
		if got := slices.Concat(e.Prompt, e.Chosen.Response.IDs); !slices.Equal(got, want) || o.Cut != (x.limit < longest) {
			t.Errorf("%s %d: %v (%+v), want %v", x.policy, x.limit, got, o, want)
		}
		if !slices.Equal(e.Chosen.Critiques[0].IDs, []int32{20, 21, 22, 4}) || e.size(&c).longest > x.limit {
			t.Errorf("%s %d: the critique is %v, the longest branch %d", x.policy, x.limit, e.Chosen.Critiques[0].IDs, e.size(&c).longest)
		}
	}
	if rec.Chosen != "e f g h" || rec.Prompt.Messages[1].Content != "a b c d" {
		t.Error("the record was changed")
	}
	c.Overlong = "error"
	if _, _, err := d.Pair(rec, c, longest-1); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d tokens, the limit is %d", longest, longest-1)) {
		t.Errorf("error: %v", err)
	}
}

func TestDocuments(t *testing.T) {
	d := testRenderer()
	d.BOS = []int32{1}
	a, b := "a", "b"
	for _, x := range []struct {
		row  documentRow
		want Branch
		err  string
	}{
		{documentRow{Text: &a}, Branch{IDs: []int32{1, 10, 4}}, ""},
		{documentRow{InputIDs: []int32{5, 6}}, Branch{IDs: []int32{5, 6}}, ""},
		{documentRow{InputIDs: []int32{5, 6}, Weights: []float32{1}}, Branch{}, "weights has 1 numbers, input_ids 2"},
		{documentRow{InputIDs: []int32{5}, Weights: []float32{-1}}, Branch{}, "weights[0] is -1"},
		{documentRow{Prompt: []byte(`"a"`), Completion: &b}, Branch{IDs: []int32{2, 10, 4, 3, 11, 4}, Weight: []float32{.5, .5, .5, .5, 1, 1}}, ""},
		{documentRow{Messages: []tokenizer.Message{{Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}, {Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}}},
			Branch{IDs: []int32{2, 10, 4, 3, 11, 4, 2, 10, 4, 3, 11, 4}, Weight: []float32{.5, .5, .5, .5, 1, 1, .5, .5, .5, .5, 1, 1}}, ""},
		{documentRow{Messages: []tokenizer.Message{{Role: "user", Content: "a"}}}, Branch{}, "no message has the role assistant"},
		{documentRow{Text: &a, InputIDs: []int32{5}}, Branch{}, "found 2 of them"},
		{documentRow{}, Branch{}, "found 0 of them"},
		{documentRow{Prompt: []byte("3"), Completion: &b}, Branch{}, "prompt: want a text or a list of messages"},
	} {
		got, err := d.document(&x.row, .5)
		if x.err == "" && (err != nil || !reflect.DeepEqual(got, x.want)) || x.err != "" && (err == nil || !strings.Contains(err.Error(), x.err)) {
			t.Errorf("%+v: %+v, %v", x.row, got, err)
		}
	}
}

func TestReadDocumentsErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.jsonl")
	for text, want := range map[string]string{
		"":                                          "d.jsonl: no examples",
		"\n \n":                                     "d.jsonl: no examples",
		"{\"text\": \"a\"}\n{\"text\": 3}\n":        "d.jsonl:2: \"text\": got number, want string",
		"{\"text\": \"a\"}\n\n{\"text\"":            "d.jsonl:3: ",
		"{\"text\": \"a\"} {}":                      "d.jsonl:1: ",
		"{\"text\": \"\xff\"}":                      "d.jsonl:1: not valid UTF-8",
		"{}\n" + strings.Repeat("x", maxRow+1):      "d.jsonl:2: the line is longer than",
		"{\"input_ids\": [1, 99999999999]}":         "d.jsonl:1: \"input_ids\": got number 99999999999, want int32",
		"{\"messages\": [{\"role\": \"user\"}, 7]}": "d.jsonl:1: ",
	} {
		write(t, path, text)
		err := readDocuments(path, func(int, *documentRow) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}
