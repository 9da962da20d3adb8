package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// python runs one of testdata/clients.py's clients against a server, and gives what it found. It skips the test where there is no Python, or not the
// package that the client needs; CRITICRM_PYTHON names another Python.
func python(t *testing.T, v *live, client, needs string) map[string]any {
	t.Helper()
	name, err := exec.LookPath(cmp.Or(os.Getenv("CRITICRM_PYTHON"), "python3"))
	if err != nil {
		t.Skip("no Python: CRITICRM_PYTHON names one; what clients in Python make of the server is not tested")
	}
	if err := exec.Command(name, "-c", "import "+needs).Run(); err != nil {
		t.Skipf("%s has no package %s: what that client makes of the server is not tested", name, needs)
	}
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, "testdata/clients.py", client, v.url, "base", "What is 2 + 2?", "It is 4.", rendered)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+examples, "PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", client, err, stderr.String())
	}
	var found map[string]any
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%s: %v: %s", client, err, out)
	}
	return found
}

// Trainers find the reward where they look for it, also when the server is busy at first.
func TestTrainers(t *testing.T) {
	var busy atomic.Bool
	v := start(t, func(o *Options, f *fake) {
		f.before = func(context.Context) error {
			if n := f.calls.Load(); busy.Load() && n%4 == 1 {
				return ErrBusy
			}
			return nil
		}
	})
	var want float64
	if err := json.Unmarshal([]byte(fmt.Sprint(dig(ask(t, v.Server, "/v1/reward", good), "data", 0, "reward"))), &want); err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{false, true} {
		busy.Store(on)
		for client, places := range map[string][]string{
			"openrlhf": {"reward", "score"}, "verl": {"/classify", "/v1/embeddings"}, "slime": {"reward"}, "trl": {"texts", "talks", "openrlhf"},
		} {
			if client == "slime" && on {
				continue // the driver has no second try
			}
			got := python(t, v, client, "json")
			for _, place := range places {
				if got[place] != want {
					t.Errorf("%s: %s is %v, want %v", client, place, got[place], want)
				}
			}
			if client == "trl" && (got["other"] == want || got["metrics"].(map[string]any)["critique_tokens"].(float64) < 1) {
				t.Errorf("%s: %v", client, got)
			}
		}
	}
}

// The package openai finds texts, streams, usage, models, embeddings and errors as it knows them.
func TestOpenAIPackage(t *testing.T) {
	v := start(t, nil)
	got := python(t, v, "openai", "openai")
	same := func(a, b string) {
		t.Helper()
		if fmt.Sprint(got[a]) != fmt.Sprint(got[b]) {
			t.Errorf("%s is %v, %s %v", a, got[a], b, got[b])
		}
	}
	same("chat", "stream")
	same("usage", "stream_usage")
	same("completion", "completion_stream")
	for i, text := range got["chat"].([]any) {
		if s := text.(string); !strings.HasPrefix(s, "It is “") || strings.Contains(s, "Score") || got["finish"].([]any)[i] != "stop" {
			t.Errorf("choice %d: %q", i, s)
		}
	}
	if want := dig(ask(t, v.Server, "/v1/reward", good), "data", 0, "reward"); fmt.Sprint(float32(got["embedding"].(float64))) != fmt.Sprint(want) {
		t.Errorf("embedding %v, want %v", got["embedding"], want)
	}
	if text := fmt.Sprint(got["models"], got["errors"]); text != "[base] map[model:[NotFoundError 404 model_not_found model] tools:[BadRequestError 400 not_served tools] value:[BadRequestError 400 invalid_value n]]" {
		t.Error(text)
	}
}
