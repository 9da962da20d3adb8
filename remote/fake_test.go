package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/splitmix"
	"criticrm/tokenizer"
)

// fake is a server whose texts are a function of conversation and seed alone, as a good engine's are.
type fake struct {
	mu       sync.Mutex
	calls    int
	bodies   []map[string]any
	headers  []http.Header
	under    int                                                                  // requests under way
	most     int                                                                  // of them at a time
	spoil    func(w http.ResponseWriter, r *http.Request, call int) (spoilt bool) // before an answer; nil: never
	change   func(answer map[string]any, asked map[string]any)                    // of a good answer; nil: not
	fewer    bool                                                                 // ignores "n"
	slow     time.Duration
	contexts int // characters of the longest conversation; 0: any
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	f.calls++
	call := f.calls
	f.headers = append(f.headers, r.Header.Clone())
	f.under++
	f.most = max(f.most, f.under)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.under--
		f.mu.Unlock()
	}()
	if f.spoil != nil && f.spoil(w, r, call) {
		return
	}
	if strings.HasSuffix(r.URL.Path, "/models") {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"base-7b","object":"model"}]}`)
		return
	}
	time.Sleep(f.slow)
	var asked map[string]any
	if json.Unmarshal(b, &asked) != nil || r.Method != http.MethodPost {
		http.Error(w, `{"error":{"message":"bad body"}}`, http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	f.bodies = append(f.bodies, asked)
	f.mu.Unlock()
	prompt := fmt.Sprint(asked["messages"], asked["prompt"])
	if f.contexts > 0 && len(prompt) > f.contexts {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"object":"error","message":"This model's maximum context length is 64 tokens. However, you requested more.","code":400}`)
		return
	}
	n := 1
	if v, ok := asked["n"].(float64); ok && !f.fewer {
		n = int(v)
	}
	answer := map[string]any{"id": "x", "object": "chat.completion", "usage": map[string]any{"prompt_tokens": 10, "completion_tokens": 7 * n}}
	var choices []any
	for i := range n {
		text := textOf(prompt, int64(asked["seed"].(float64))+int64(i))
		c := map[string]any{"index": i, "finish_reason": "stop"}
		if strings.HasSuffix(r.URL.Path, "/chat/completions") {
			c["message"] = map[string]any{"role": "assistant", "content": text}
		} else {
			c["text"] = text
		}
		choices = append([]any{c}, choices...) // their order says nothing
	}
	answer["choices"] = choices
	if f.change != nil {
		f.change(answer, asked)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that went away is part of some tests
}

func textOf(prompt string, seed int64) string {
	h := fnv.New64a()
	fmt.Fprint(h, prompt, seed)
	x := splitmix.Mix(h.Sum64())
	return fmt.Sprintf("It is %x.\nScore: %d", x&0xFFFFFF, 1+splitmix.Below(x, 10))
}

// serve starts a fake.
func serve(t testing.TB, f *fake) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// quick are options that wait for little.
func quick(urls ...string) Options {
	return Options{BaseURLs: urls, Model: "base-7b", Concurrent: 4, Retries: 12, Timeout: 10 * time.Second, pause: func(int) time.Duration { return time.Millisecond }}
}

func open(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func requests(count, n int) (list []critic.Request) {
	for i := range count {
		list = append(list, critic.Request{Messages: []tokenizer.Message{{Role: "user", Content: fmt.Sprintf("question %d", i)}}, N: n, Key: splitmix.Mix(uint64(i))})
	}
	return list
}

var sampling = record.Sampling{Temperature: 0.7, TopP: 0.9, MaxTokens: 64, Seed: 3}

// want is what an undisturbed server gives.
func want(reqs []critic.Request) string {
	var b strings.Builder
	for _, r := range reqs {
		prompt := fmt.Sprint([]any{map[string]any{"role": r.Messages[0].Role, "content": r.Messages[0].Content}}, nil)
		for j := range r.N {
			fmt.Fprintf(&b, "%q stop\n", textOf(prompt, Seed(sampling.Seed, r.Key, j)))
		}
	}
	return b.String()
}

func show(out [][]critic.Sample) string {
	var b strings.Builder
	for _, list := range out {
		for _, s := range list {
			fmt.Fprintf(&b, "%q %s\n", s.Text, s.FinishReason)
		}
	}
	return b.String()
}

// generate asks through critic.Samples, which holds the engine to the contract.
func generate(ctx context.Context, e *Engine, reqs []critic.Request) (string, error) {
	out, err := critic.Samples(ctx, e, reqs, sampling)
	return show(out), err
}

// leaves is an error if goroutines are left that were not there at first.
func leaves(t testing.TB, before int) {
	t.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}
