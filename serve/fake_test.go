package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"criticrm/critic"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
)

// fake is a backend that writes fixed critiques: what it says is a function of the prompt, the sampling, the key and the sample's number alone.
type fake struct {
	tok    interface{ Encode(string) []int32 }
	end    int32
	text   func(h uint64) string       // nil: a critique with a score
	before func(context.Context) error // called first; nil: not
	pause  time.Duration               // between tokens
	calls  atomic.Int64
	ended  atomic.Int64 // calls that ended by their context
	mu     sync.Mutex
	load   Load
}

func hash(parts ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, parts...)
	return h.Sum64()
}

func (f *fake) enter(ctx context.Context) error {
	f.calls.Add(1)
	if f.before != nil {
		if err := f.before(ctx); err != nil {
			f.ended.Add(1)
			return err
		}
	}
	return ctx.Err()
}

func (f *fake) Generate(ctx context.Context, w Work) ([]critic.Sample, error) {
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	out := make([]critic.Sample, w.N)
	for i := range out {
		h := hash(w.Prompt, w.Key, i, w.Sampling)
		text := fmt.Sprintf("It is “%x”, naïve. Score: %d", h>>40, 1+h%10)
		if f.text != nil {
			text = f.text(h)
		}
		ids := append(f.tok.Encode(text), f.end)
		s := critic.Sample{Text: text, LogProb: -1, FinishReason: record.FinishStop}
		if len(ids) > w.Sampling.MaxTokens {
			ids = ids[:w.Sampling.MaxTokens]
			s.FinishReason = record.FinishLength
			s.Text = decode(ids)
		}
		s.Tokens = ids
		if w.Sampling.Reward {
			r := float32(h%1000)/100 - 5
			s.Reward = &r
		}
		if w.Token != nil {
			for _, id := range ids {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				time.Sleep(f.pause)
				w.Token(i, []int32{id})
			}
		}
		out[i] = s
	}
	f.mu.Lock()
	f.load.WrittenTokens += len(out)
	f.mu.Unlock()
	return out, nil
}

func (f *fake) Rewards(ctx context.Context, texts [][]int32) ([]float32, error) {
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	out := make([]float32, len(texts))
	for i, ids := range texts {
		out[i] = float32(hash(ids)%1000)/100 - 5
	}
	return out, nil
}

func (f *fake) Load() Load { f.mu.Lock(); defer f.mu.Unlock(); return f.load }

// The demo's base model without its weights: a tokenizer, a chat template, prompts and a scale.
var (
	once    sync.Once
	testDir *modeldir.Dir
	decode  func([]int32) string
)

func openDir(t testing.TB) *modeldir.Dir {
	t.Helper()
	once.Do(func() {
		d, err := modeldir.Open("../demo/base", modeldir.Given{Prompts: "../demo/prompts"})
		if err != nil {
			t.Fatal(err)
		}
		testDir, decode = d, d.Tok.DecodeText
	})
	return testDir
}

// newServer is a server of the fake, with a critic's head unless change says otherwise.
func newServer(t testing.TB, change func(o *Options, f *fake)) (*Server, *fake) {
	t.Helper()
	d := openDir(t)
	r, err := render.Of(d)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{tok: d.Tok, end: r.End}
	score := critic.DefaultScoreOptions()
	score.Prompts, score.Scale, score.Sampling.MaxTokens, score.Model = r.Prompts, r.Scale, 60, "base@test"
	score.Limits = r
	o := Options{Set: DefaultSettings(), Score: score, Head: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	o.Set.Port = 0
	if change != nil {
		change(&o, f)
	}
	s, err := New(d, r, f, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

// post asks a server without a network.
func post(t testing.TB, s *Server, path, body string, headers ...string) (int, string) {
	t.Helper()
	w := send(s, http.MethodPost, path, body, headers...)
	return w.Code, w.Body.String()
}

func send(s *Server, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:5000/", strings.NewReader(body))
	if u, err := url.Parse("http://127.0.0.1:5000" + path); err == nil { // as it is written
		r.URL = u
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// value is a JSON text as any.
func value(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %.300s", err, text)
	}
	return v
}

// shapeOf writes a value with its members' names and the kinds of its values, lists by their first element.
func shapeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, k := range sorted(v) {
			parts = append(parts, k+":"+shapeOf(v[k]))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return "[" + shapeOf(v[0]) + "]"
	case nil:
		return "null"
	case json.Number:
		return "number"
	}
	return fmt.Sprintf("%T", v)
}

// sendTo asks for the models by a host's name.
func sendTo(s *Server, host string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:5000/v1/models", nil)
	r.Host = host
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
