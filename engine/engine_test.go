package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/device/devicetest"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/tokenizer"
)

const template = `{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`

// Two tokens end a text, as in Llama 3: the second is the one that the template writes.
const stopID, endID = 0, 4

// tinyDir writes a model of one layer with a random reward head, a byte tokenizer and a chat template.
func tinyDir(t testing.TB, head bool) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	dev := devicetest.Open(t, 1)
	m, err := model.New(dev, model.Config{VocabSize: 272, HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		MaxPositionEmbeddings: 128, InitializerRange: 0.5, TieWordEmbeddings: true, EOSTokenIDs: []int32{stopID, endID}}, model.Options{Head: head}, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, p := range m.Params() {
		if p.Kind == model.Head {
			x := make([]float32, p.W.Len())
			for i := range x {
				x[i] = float32(math.Sin(float64(3 * i)))
			}
			dev.Upload(p.W, x)
		}
	}
	if err := m.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Train(slices.Values([]string{"a right answer", "a wrong answer"}), tokenizer.TrainConfig{VocabSize: 270, Pattern: "qwen2",
		Special: []string{"<|stop|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Save(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "chat_template.jinja"), template)
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string, o Options) *Engine {
	t.Helper()
	e, err := Open(devicetest.Open(t, 1), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func conversations(n int) (all [][]tokenizer.Message) {
	for i := range n {
		all = append(all, []tokenizer.Message{{Role: "user", Content: strings.Repeat("a right answer ", 1+i%2)}, {Role: "assistant", Content: fmt.Sprintf("is %d", i)},
			{Role: "user", Content: "Judge it."}})
	}
	return all
}

func sampleAll(t testing.TB, e *Engine, n, maxTokens int) ([]critic.Request, [][]critic.Sample) {
	t.Helper()
	var reqs []critic.Request
	for i, m := range conversations(6) {
		reqs = append(reqs, critic.Request{Messages: m, N: n, Key: uint64(i)})
	}
	out, err := e.Generate(context.Background(), reqs, record.Sampling{Temperature: 1.5, TopP: 1, MaxTokens: maxTokens, Seed: 1, Reward: true})
	if err != nil {
		t.Fatal(err)
	}
	return reqs, out
}

func rewardRequests(reqs []critic.Request, samples [][]critic.Sample) []critic.RewardRequest {
	out := make([]critic.RewardRequest, len(reqs))
	for i, r := range reqs {
		out[i].Messages = r.Messages
		for _, s := range samples[i] {
			out[i].Critiques = append(out[i].Critiques, s.Tokens)
		}
	}
	return out
}

// A reward that is read while sampling is the one that is read of the same tokens afterwards, wherever the head reads and
// however the critique ends: at a stop token, cut, or at once.
func TestSampledRewardsAreRead(t *testing.T) {
	dir, n := tinyDir(t, true), devicetest.Fewer(40, 16)
	for _, position := range []string{"end", "content"} {
		e := open(t, dir, Options{Given: modeldir.Given{HeadPosition: position}})
		reqs, samples := sampleAll(t, e, n, 24)
		rewards, err := e.Rewards(context.Background(), rewardRequests(reqs, samples))
		if err != nil {
			t.Fatal(err)
		}
		ends := map[string]int{}
		for i := range reqs {
			if len(samples[i]) != n || len(rewards[i]) != n {
				t.Fatalf("%d samples and %d rewards, want %d", len(samples[i]), len(rewards[i]), n)
			}
			for k, s := range samples[i] {
				last := s.Tokens[len(s.Tokens)-1]
				stopped := last == stopID || last == endID
				if stopped != (s.FinishReason == record.FinishStop) || !stopped && len(s.Tokens) != 24 {
					t.Fatalf("finish reason %s of %v", s.FinishReason, s.Tokens)
				}
				if text := e.Decode(s.Tokens); s.Text != text {
					t.Errorf("text %q, want %q", s.Text, text)
				}
				ends[s.FinishReason]++
				if len(s.Tokens) == 1 {
					ends["at once"]++
				}
				if d := math.Abs(float64(*s.Reward - rewards[i][k])); !(d < 1e-4) {
					t.Errorf("%s, %v: %v while sampling, %v read afterwards", position, s.Tokens, *s.Reward, rewards[i][k])
				}
			}
		}
		if ends["stop"] == 0 || ends["length"] == 0 || ends["at once"] == 0 {
			t.Errorf("%s: endings %v, want all three kinds", position, ends)
		}
	}
}

// The head's position decides which token is read: with another token in that place the reward changes, behind it nothing does.
func TestHeadPosition(t *testing.T) {
	dir := tinyDir(t, true)
	read := func(e *Engine, critique ...int32) float32 {
		out, err := e.Rewards(context.Background(), []critic.RewardRequest{{Messages: conversations(1)[0], Critiques: [][]int32{critique}}})
		if err != nil {
			t.Fatal(err)
		}
		return out[0][0]
	}
	end, content := open(t, dir, Options{}), open(t, dir, Options{Given: modeldir.Given{HeadPosition: "content"}})
	if read(end, 100, 101, endID) == read(end, 100, 101, stopID) {
		t.Error("end: the reward does not depend on the end token")
	}
	if read(content, 100, 101, endID) != read(content, 100, 101, stopID) {
		t.Error("content: the reward depends on the end token")
	}
	if read(content, 100, 101, endID) != read(end, 100, 101) || read(content, 100, 101) != read(end, 100, 101) {
		t.Error("a critique without an end token is read at its last token")
	}
	// What the directory says holds where the caller says nothing.
	write(t, filepath.Join(dir, modeldir.FactsFile), `{"method": "critic", "head_position": "content"}`)
	if read(open(t, dir, Options{}), 100, 101, endID) != read(content, 100, 101, endID) {
		t.Error("the head position of critic_rm.json is not used")
	}
}

// Results do not depend on how requests are split into forward passes.
func TestBatchSplit(t *testing.T) {
	dir := tinyDir(t, true)
	whole := open(t, dir, Options{})
	reqs, samples := sampleAll(t, whole, 3, 12)
	asked := rewardRequests(reqs, samples)
	for i := range asked[:2] { // plain rewards between the others
		asked = append(asked, critic.RewardRequest{Messages: asked[i].Messages[:2]})
	}
	want, err := whole.Rewards(context.Background(), asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 60, 200} {
		got, err := open(t, dir, Options{MaxTokens: n}).Rewards(context.Background(), asked)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if len(got[i]) != max(1, len(asked[i].Critiques)) || len(got[i]) != len(want[i]) {
				t.Fatalf("request %d: %d rewards, want %d", i, len(got[i]), len(want[i]))
			}
			for k := range want[i] {
				if d := math.Abs(float64(got[i][k] - want[i][k])); !(d < 1e-5) {
					t.Errorf("%d tokens a pass: reward %d of request %d is %v, want %v", n, k, i, got[i][k], want[i][k])
				}
			}
		}
	}
	few := open(t, dir, Options{MaxSequences: 2})
	_, again := sampleAll(t, few, 3, 12)
	for i := range samples {
		for k := range samples[i] {
			if !slices.Equal(samples[i][k].Tokens, again[i][k].Tokens) {
				t.Errorf("with two sequences at once sample %d of request %d differs", k, i)
			}
		}
	}
}

// A plain reward is that of the last token of the rendered conversation.
func TestPlainReward(t *testing.T) {
	e := open(t, tinyDir(t, true), Options{})
	messages := conversations(1)[0][:2]
	got, err := e.Rewards(context.Background(), []critic.RewardRequest{{Messages: messages}})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := e.Encode(messages, false)
	if err != nil {
		t.Fatal(err)
	}
	var b model.Batch
	b.Open(ids)
	b.Close()
	b.Leaf = []int32{int32(len(ids) - 1)}
	_, want, err := e.Model.Evaluate(&b)
	if err != nil || ids[len(ids)-1] != endID || got[0][0] != want[0] {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if e.End != endID {
		t.Errorf("End is %d, want %d, which the template writes", e.End, endID)
	}
}

func TestRefusals(t *testing.T) {
	with, without := tinyDir(t, true), tinyDir(t, false)
	bare := open(t, without, Options{})
	e := open(t, with, Options{})
	ctx, one := context.Background(), conversations(1)[0]
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for name, x := range map[string]struct {
		f    func() error
		want string
	}{
		"open without head": {func() error { _, err := Open(devicetest.Open(t, 1), without, Options{RequireReward: true}); return err }, "has no reward head: train one"},
		"rewards without head": {func() error {
			_, err := bare.Rewards(ctx, []critic.RewardRequest{{Messages: one}})
			return err
		}, "no reward head"},
		"sampling without head": {func() error {
			_, err := bare.Generate(ctx, []critic.Request{{Messages: one, N: 1}}, record.Sampling{MaxTokens: 4, Reward: true})
			return err
		}, "no reward head"},
		"too long": {func() error {
			_, err := e.Generate(ctx, []critic.Request{{Messages: one, N: 1}}, record.Sampling{MaxTokens: 120})
			return err
		}, "over the model's 128 positions: lower --max_tokens"},
		"empty critique": {func() error {
			_, err := e.Rewards(ctx, []critic.RewardRequest{{Messages: one, Critiques: [][]int32{{}}}})
			return err
		}, "an empty critique"},
		"token of another model": {func() error {
			_, err := e.Rewards(ctx, []critic.RewardRequest{{Messages: one, Critiques: [][]int32{{5000}}}})
			return err
		}, "id 5000"},
		"unknown position": {func() error {
			_, err := Open(devicetest.Open(t, 1), with, Options{Given: modeldir.Given{HeadPosition: "middle"}})
			return err
		}, `head position: got "middle", want end or content`},
		"cancelled rewards": {func() error {
			_, err := e.Rewards(cancelled, []critic.RewardRequest{{Messages: one}})
			return err
		}, context.Canceled.Error()},
		"cancelled sampling": {func() error {
			_, err := e.Generate(cancelled, []critic.Request{{Messages: one, N: 1}}, record.Sampling{MaxTokens: 4})
			return err
		}, context.Canceled.Error()},
		"no template": {func() error {
			_, err := Open(devicetest.Open(t, 1), with, Options{Given: modeldir.Given{ChatTemplate: "none.jinja"}})
			return err
		}, "none.jinja"},
	} {
		if err := x.f(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %s", name, err, x.want)
		}
	}
}

// Each file that a model directory needs is missed, or found damaged, by name.
func TestOpenErrors(t *testing.T) {
	for name, text := range map[string]string{"config.json": "{", "model.safetensors": "short", "tokenizer.json": "[]", "reward_head.safetensors": "short",
		"critic_rm.json": "{", "chat_template.jinja": "{% if %}"} {
		for _, missing := range []bool{true, false} {
			if missing && (name == "reward_head.safetensors" || name == "critic_rm.json") {
				continue // they may be missing
			}
			dir := tinyDir(t, true)
			path := filepath.Join(dir, name)
			if missing {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else {
				write(t, path, text)
			}
			_, err := Open(devicetest.Open(t, 1), dir, Options{})
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, missing %v: %v", name, missing, err)
			}
			if missing && name == "config.json" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%v is no os.ErrNotExist", err)
			}
		}
	}
}

// What is told on the way adds up to what was done, of sampling and of reading, and comes before the end.
func TestProgress(t *testing.T) {
	e := open(t, tinyDir(t, true), Options{MaxSequences: 3})
	var tokens, finished, calls int
	e.Progress = func(t, f int) { tokens, finished, calls = tokens+t, finished+f, calls+1 }
	reqs, samples := sampleAll(t, e, 4, 12)
	wantTokens, wantSamples := 0, 0
	for _, list := range samples {
		for _, s := range list {
			wantTokens, wantSamples = wantTokens+len(s.Tokens), wantSamples+1
		}
	}
	if tokens != wantTokens || finished != wantSamples || calls < 12 {
		t.Errorf("%d tokens and %d samples in %d calls, want %d and %d", tokens, finished, calls, wantTokens, wantSamples)
	}
	tokens, finished = 0, 0
	if _, err := e.Rewards(context.Background(), rewardRequests(reqs, samples)); err != nil {
		t.Fatal(err)
	}
	if finished != wantSamples || tokens < wantTokens {
		t.Errorf("%d rewards of %d tokens, want %d of at least %d", finished, tokens, wantSamples, wantTokens)
	}
}

// A chunk is as small as keeps the device busy, and a record at least.
func TestChunk(t *testing.T) {
	dir := tinyDir(t, false)
	few := open(t, dir, Options{MaxSequences: 8})
	if a, b := few.Chunk(2), few.Chunk(100); a != 4 || b != 1 {
		t.Errorf("%d and %d records", a, b)
	}
	many := open(t, dir, Options{})
	if got := many.Chunk(10); got != 3 && got != 25 { // a CPU's 32 sequences, or a GPU's 256
		t.Errorf("%d records", got)
	}
}
