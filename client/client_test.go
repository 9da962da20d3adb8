package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const good = `{"id":"reward-1","object":"reward.list","created":1,"model":"tiny","data":[
 {"index":0,"score":1.7000000,"reward":1.7,"own_score":8,"plain":false,"critiques":[{"text":"Fine.\nScore: 8","score":1.7,"reward":1.7,"own_score":8,"finish_reason":"stop","tokens":7,"verdict":"written"}]},
 {"index":1,"score":null,"own_score":null,"plain":false,"critiques":[],"shortened":{"policy":"truncate-right","response":3}}],
 "usage":{"prompt_tokens":20,"total_tokens":27,"completion_tokens":7,"prompt_tokens_details":null},"later":{"unknown":1}}`

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &Client{BaseURL: s.URL + "/v1/", Key: "secret-key", pause: func(int) time.Duration { return time.Millisecond }}
}

var two = Request{Prompt: "2+2?", Responses: []string{"4", "5"}, Samples: 1}

// A request goes out as the server's route reads it, and the answer comes back whole.
func TestReward(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var got map[string]any
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		if text := fmt.Sprint(got); text != "map[max_tokens:64 prompt:2+2? responses:[4 5] samples:1 seed:7 temperature:0]" {
			t.Error(text)
		}
		if r.URL.Path != "/v1/reward" || r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer secret-key" {
			t.Errorf("%s %s %v", r.Method, r.URL.Path, r.Header)
		}
		fmt.Fprint(w, good)
	})
	cold, seed := 0.0, uint64(7)
	q := two
	q.Temperature, q.Seed, q.MaxTokens = &cold, &seed, 64
	r, err := c.Reward(t.Context(), q)
	if err != nil || *r.Data[0].Score != 1.7 || *r.Data[0].OwnScore != 8 || r.Data[0].Critiques[0].Tokens != 7 || r.Data[1].Score != nil || r.Data[0].Shortened != nil || *r.Data[1].Shortened != (Cut{Policy: "truncate-right", Response: 3}) || r.Usage.CompletionTokens != 7 {
		t.Errorf("%v %+v", err, r)
	}
}

// A text that JSON cannot carry is not sent as another one.
func TestBrokenText(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it is sent") })
	for want, q := range map[string]Request{
		"Responses[1]": {Prompt: "a", Responses: []string{"b", "\xc3"}}, "Prompt": {Prompt: "\xff", Responses: []string{"b"}}, "Messages[0]": {Messages: []Message{{"user", "\xff"}}}, "Input[0]": {Input: []string{"\xff"}},
	} {
		if _, err := c.Reward(t.Context(), q); err == nil || !strings.Contains(err.Error(), want+" is not valid UTF-8") {
			t.Errorf("%s: %v", want, err)
		}
		if _, err := c.Stream(t.Context(), q, func(Event) error { return nil }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s streamed: %v", want, err)
		}
	}
}

// What may pass is tried again, as the server asks; what stays is an Error at once.
func TestTries(t *testing.T) {
	ours := func(code string) string {
		return fmt.Sprintf(`{"error":{"code":%q,"message":"the queue is full: secret-key","param":"samples","request_id":"r1"}}`, code)
	}
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		tries  int32
		want   string
	}{
		"busy": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "0.01")
			w.WriteHeader(503)
			fmt.Fprint(w, ours("busy"))
		}, 6, "client: 503 Service Unavailable: the queue is full: [key] (request r1), after 6 tries"},
		"deadline":     {func(w http.ResponseWriter) { w.WriteHeader(504) }, 6, "client: 504 Gateway Timeout: (no text), after 6 tries"},
		"for an hour":  {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "3600"); w.WriteHeader(503) }, 1, "503"},
		"wrong":        {func(w http.ResponseWriter) { w.WriteHeader(400); fmt.Fprint(w, ours("invalid_request")) }, 1, "client: 400 Bad Request: the queue"},
		"out of range": {func(w http.ResponseWriter) { w.WriteHeader(422); fmt.Fprint(w, ours("invalid_value")) }, 1, "422"},
		"no key":       {func(w http.ResponseWriter) { w.WriteHeader(401); fmt.Fprint(w, "no") }, 1, "client: 401 Unauthorized: no"},
		"redirect":     {func(w http.ResponseWriter) { w.Header().Set("Location", "/v1/other"); w.WriteHeader(308) }, 1, "308"},
		"cut":          {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); fmt.Fprint(w, `{"data":`) }, 6, "the answer is cut: unexpected EOF, after 6 tries"},
		"not ours":     {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, 6, "not a server's"},
		"no rewards":   {func(w http.ResponseWriter) { fmt.Fprint(w, "{}") }, 1, "has 0 rewards, want 2"},
		"mixed up":     {func(w http.ResponseWriter) { fmt.Fprint(w, `{"data":[{"index":1},{"index":0}]}`) }, 1, "response 1 in place 0"},
	} {
		var calls atomic.Int32
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) { calls.Add(1); c.answer(w) })
		_, err := client.Reward(t.Context(), two)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret-key") || calls.Load() != c.tries {
			t.Errorf("%s: %v after %d tries, want %q after %d", name, err, calls.Load(), c.want, c.tries)
		}
		var told *Error
		if name == "wrong" && (!errors.As(err, &told) || told.Param != "samples" || told.Code != "invalid_request" || told.Temporary()) {
			t.Errorf("%+v", told)
		}
	}
	var calls atomic.Int32
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			panic(http.ErrAbortHandler)
		default:
			fmt.Fprint(w, good)
		}
	})
	if r, err := client.Reward(t.Context(), two); err != nil || len(r.Data) != 2 || calls.Load() != 3 {
		t.Errorf("%v", err)
	}
	client = serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server notices that a client is gone once it has read the body
		<-r.Context().Done()
	})
	client.Timeout, client.Retries = 50*time.Millisecond, -1
	if _, err := client.Reward(t.Context(), two); err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	client.Timeout = time.Minute
	if _, err := client.Reward(ctx, two); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	for _, u := range []string{"", "host:5000", "http://me:secret@host", "http://host?x=1", "ftp://host"} {
		if _, err := (&Client{BaseURL: u}).Reward(t.Context(), two); err == nil || !strings.Contains(err.Error(), "BaseURL") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// A trainer in Go imports the package without cgo, and nothing but the standard library comes with it.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "criticrm/client" {
		t.Errorf("%v: %s", err, out)
	}
}
