package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"criticrm/kernels"
)

// A run whose critiques and judgements servers write: with the base model's prompts, judged by the same server unless the recipe says
// otherwise.
func TestRunElsewhere(t *testing.T) {
	dir := t.TempDir()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			fmt.Fprint(w, `{"data":[{"id":"big"}]}`)
			return
		}
		var body struct{ Seed int64 }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		asked.Add(1)
		fmt.Fprintf(w, `{"choices":[{"index":0,"message":{"content":"Score: %d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`, 1+body.Seed%10)
	}))
	t.Cleanup(s.Close)
	c := small(t, dir, "out")
	c.Generate.Engine, c.Generate.BaseURL = OpenAIEngine, s.URL
	c.Filter.MinSurvivors, c.Refine.MinSurvivors = 0, 0
	_, log, err := finish(t, c, nil, Options{Stage: "refine"})
	if err != nil {
		t.Fatal(err, log)
	}
	text, err := os.ReadFile(filepath.Join(dir, "out", "round-1", "3-refined.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), `"model":"openai:big"`); n != 40 || !strings.Contains(string(text), `"meta":[`) || strings.Contains(string(text), "127.0.0.1") {
		t.Errorf("%d of 40 rows are the server's: %.400s", n, text)
	}
	if n := asked.Load(); n < 320 || strings.Count(log, "openai:big: ") != 2 {
		t.Errorf("%d requests\n%s", n, log)
	}

	c.Refine.Engine = LocalEngine
	if err := c.Resolve(Set{"refine.engine": 1}); err != nil || c.Refine.BaseURL != "" || c.Refine.Elsewhere() {
		t.Errorf("%v %+v", err, c.Refine.Remote)
	}
	c.Rounds, c.ValidShare = 2, 0.5
	if err := c.Resolve(nil); err == nil || !strings.Contains(err.Error(), "rounds: from the second on") {
		t.Errorf("%v", err)
	}
	c = small(t, dir, "dry")
	c.Generate.Engine, c.Generate.BaseURL = OpenAIEngine, s.URL
	if err := c.Resolve(nil); err != nil {
		t.Fatal(err)
	}
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if _, err := DryRun(t.Context(), dev, c, Options{Log: &bytes.Buffer{}}); err == nil || !strings.Contains(err.Error(), "engine openai writes elsewhere") {
		t.Errorf("%v", err)
	}
}
