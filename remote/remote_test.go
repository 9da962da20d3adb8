package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/tokenizer"
)

// What is sent: the model, the conversation, the sampling to the last default, and a seed for each sample.
func TestBody(t *testing.T) {
	f := &fake{}
	o := quick(serve(t, f))
	o.KeyEnv, o.getenv = "SOME_KEY", func(string) (string, bool) { return "secret-1", true }
	e := open(t, o)
	if _, err := generate(t.Context(), e, requests(1, 3)); err != nil {
		t.Fatal(err)
	}
	seeds := map[any]bool{}
	for i, b := range f.bodies {
		seeds[b["seed"]] = true
		delete(b, "seed")
		got := fmt.Sprint(b)
		if want := "map[max_tokens:64 messages:[map[content:question 0 role:user]] min_p:0 model:base-7b repeat_penalty:1 repetition_penalty:1 stream:false temperature:0.7 top_k:-1 top_p:0.9]"; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		if a := f.headers[i].Get("Authorization"); a != "Bearer secret-1" {
			t.Errorf("authorization %q", a)
		}
	}
	if len(seeds) != 3 || len(f.bodies) != 3 {
		t.Errorf("%d requests with seeds %v", len(f.bodies), seeds)
	}
	f = &fake{}
	o = quick(serve(t, f))
	o.Standard = true
	if _, err := generate(t.Context(), open(t, o), requests(1, 1)); err != nil {
		t.Fatal(err)
	}
	delete(f.bodies[0], "seed")
	if got, want := fmt.Sprint(f.bodies[0]), "map[max_tokens:64 messages:[map[content:question 0 role:user]] model:base-7b stream:false temperature:0.7 top_p:0.9]"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// Seeds are in range, differ within a request and between requests, and follow each other as vLLM counts its n samples.
func TestSeed(t *testing.T) {
	seen := map[int64]bool{}
	for key := range uint64(2000) {
		for j := range 5 {
			s := Seed(7, key<<50|key, j)
			if s < 0 || s >= 1<<31 || s != Seed(7, key<<50|key, 0)+int64(j) {
				t.Fatalf("%d", s)
			}
			seen[s] = true
		}
	}
	if len(seen) < 9950 { // 2000 draws among 2³¹, 5 wide: a collision is rare
		t.Errorf("%d of 10000 seeds", len(seen))
	}
	if Seed(7, 1, 0) == Seed(8, 1, 0) {
		t.Error("the seed of sampling changes nothing")
	}
}

// The texts are those of an undisturbed server, each once and in its place, whatever goes wrong on the way.
func TestTroubles(t *testing.T) {
	hijack := func(w http.ResponseWriter, before string) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(c, before)
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset
		}
		c.Close()
	}
	status := func(code int, header ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			fmt.Fprint(w, `{"error":{"message":"not now"}}`)
		}
	}
	body := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { fmt.Fprint(w, text) }
	}
	good := func(c string) string { return `{"choices":[` + c + `],"usage":{}}` }
	for name, spoil := range map[string]func(http.ResponseWriter){
		"429":         status(429),
		"429 seconds": status(429, "Retry-After", "0.01"),
		"429 date":    status(429, "Retry-After", time.Now().UTC().Format(http.TimeFormat)),
		"503":         status(503, "Retry-After", "0"),
		"500":         status(500),
		"502":         status(502, "Content-Type", "text/html"),
		"504":         status(504),
		"408":         status(408),
		"reset":       func(w http.ResponseWriter) { hijack(w, "") },
		"cut in the body": func(w http.ResponseWriter) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"choices\":[")
		},
		"cut chunk": func(w http.ResponseWriter) {
			hijack(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"choi")
		},
		"not HTTP":       func(w http.ResponseWriter) { hijack(w, "hello\r\n\r\n") },
		"not JSON":       body("<html>"),
		"half JSON":      body(`{"choices":[{"index":0,`),
		"twice":          body(`{"choices":[],"choices":[]}`),
		"nothing":        body(""),
		"null":           body("null"),
		"no choices":     body(good("")),
		"two choices":    body(good(`{"message":{"content":"a"},"finish_reason":"stop"},{"message":{"content":"b"},"finish_reason":"stop"}`)),
		"wrong index":    body(good(`{"index":7,"message":{"content":"a"},"finish_reason":"stop"}`)),
		"no message":     body(good(`{"index":0,"finish_reason":"stop"}`)),
		"no content":     body(good(`{"index":0,"message":{},"finish_reason":"stop"}`)),
		"no finish":      body(good(`{"index":0,"message":{"content":"a"}}`)),
		"null finish":    body(good(`{"index":0,"message":{"content":"a"},"finish_reason":null}`)),
		"abort":          body(good(`{"index":0,"message":{"content":"a"},"finish_reason":"abort"}`)),
		"error in 200":   body(`{"error":{"message":"overloaded"}}`),
		"negative count": body(`{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":-1}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			f.spoil = func(w http.ResponseWriter, _ *http.Request, call int) bool {
				if call%3 == 0 {
					return false
				}
				spoil(w)
				return true
			}
			o := quick(serve(t, f))
			o.Retries = 100 // a third of the tries succeeds
			e := open(t, o)
			reqs := requests(6, 3)
			got, err := generate(t.Context(), e, reqs)
			if err != nil || got != want(reqs) {
				t.Fatalf("%v\n%s", err, got)
			}
			s := e.Stats()
			if s.Samples != 18 || s.Requests != f.calls || s.Retries != s.Requests-18 || s.Retries == 0 || s.Prompt != 180 || s.Completion != 7*18 {
				t.Errorf("%+v in %d calls", s, f.calls)
			}
		})
	}
}

// Servers are left alone for as long as they ask, by all that would ask them.
func TestRetryAfter(t *testing.T) {
	var begun, second atomic.Int64
	var others atomic.Int32
	f := &fake{spoil: func(w http.ResponseWriter, _ *http.Request, call int) bool {
		now := time.Now().UnixNano()
		switch {
		case call == 1:
			begun.Store(now)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		case now-begun.Load() < int64(950*time.Millisecond):
			others.Add(1)
		case second.Load() == 0:
			second.Store(now)
		}
		return false
	}}
	o := quick(serve(t, f))
	o.Concurrent = 2
	reqs := requests(10, 1)
	got, err := generate(t.Context(), open(t, o), reqs)
	if err != nil || got != want(reqs) {
		t.Fatal(err, got)
	}
	if n := others.Load(); n > 2 || second.Load() == 0 { // what was under way by then
		t.Errorf("%d requests while the server was to be left alone", n)
	}
	for value, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "-1": 0, "x": 0, "1e99": 1e9 * time.Second, "NaN": 0,
		"Thu, 01 Jan 1970 00:00:10 GMT": 10 * time.Second, "Wed, 31 Dec 1969 00:00:00 GMT": 0} {
		if got := retryAfter(value, time.Unix(0, 0)); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	f = &fake{spoil: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.Header().Set("Retry-After", "86400")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}}
	if _, err := generate(t.Context(), open(t, quick(serve(t, f))), reqs); err == nil || !strings.Contains(err.Error(), "asked again in 24h0m0s only") {
		t.Errorf("%v", err)
	}
}

// A server that takes less than it is asked for is asked for less: few requests are refused once that is known.
func TestTooMuch(t *testing.T) {
	const room = 8
	var under, refused atomic.Int32
	f := &fake{slow: 2 * time.Millisecond}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer under.Add(-1)
		if under.Add(1) > room {
			refused.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	o := quick(s.URL)
	o.Concurrent = 64
	reqs := requests(1000, 1)
	got, err := generate(t.Context(), open(t, o), reqs)
	if err != nil || got != want(reqs) {
		t.Fatal(err)
	}
	if n := refused.Load(); n < 1 || n > 64+1000/10 { // the first burst, then the one that is too many now and then
		t.Errorf("%d of %d requests were refused", n, f.calls+int(n))
	}
}

// Failures that stay are told at once, with what the server says and never with the key; the tries of others have an end.
func TestFailures(t *testing.T) {
	const key = "sk-very-secret-key"
	for name, c := range map[string]struct {
		spoil func(w http.ResponseWriter)
		want  string
		calls int // at most: 4 under way, or 80 requests tried 3 times
	}{
		"401": {func(w http.ResponseWriter) {
			w.WriteHeader(401)
			fmt.Fprintf(w, `{"error":{"message":"Incorrect API key: %s"}}`, key)
		}, "401 Unauthorized: Incorrect API key: [key] (the key comes", 4},
		"404": {func(w http.ResponseWriter) { w.WriteHeader(404); fmt.Fprint(w, `{"detail":"Not Found"}`) }, "404 Not Found: Not Found (want a base URL", 4},
		"400": {func(w http.ResponseWriter) { w.WriteHeader(400); fmt.Fprint(w, "temperature\n\x1b[31mtoo hot") }, "400 Bad Request: temperature [31mtoo hot", 4},
		"unknown": {func(w http.ResponseWriter) {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"error":{"message":"Unrecognized argument: min_p"}}`)
		}, "(standard_fields leaves out", 4},
		"no quota": {func(w http.ResponseWriter) {
			w.WriteHeader(429)
			fmt.Fprint(w, `{"error":{"message":"You exceeded your quota","code":"insufficient_quota"}}`)
		}, "You exceeded your quota", 4},
		"redirect": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://127.0.0.1:1/?secret=1")
			w.WriteHeader(307)
		}, "redirects are not followed", 4},
		"huge": {func(w http.ResponseWriter) { fmt.Fprintf(w, `{"choices":"%s"}`, strings.Repeat("x", 1<<17)) }, "longer than 65536 bytes", 4},
		"filter": {func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"content_filter"}]}`)
		}, `finish_reason "content_filter", want stop or length`, 4},
		"always 500": {func(w http.ResponseWriter) { w.WriteHeader(500); fmt.Fprint(w, "boom") }, "3 tries failed, the last: ", 240},
		"always 503": {func(w http.ResponseWriter) { w.WriteHeader(503); fmt.Fprint(w, `{"error":"loading model"}`) }, "503 Service Unavailable: loading model", 240},
		"never JSON": {func(w http.ResponseWriter) { fmt.Fprint(w, `{"choices": [1`) }, "its answer is not JSON: unexpected end at byte 14", 240},
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			f := &fake{spoil: func(w http.ResponseWriter, _ *http.Request, _ int) bool { c.spoil(w); return true }}
			s := httptest.NewServer(f)
			o := quick(s.URL)
			o.Retries, o.largest = 2, 1<<16
			o.KeyEnv, o.getenv = "KEY", func(string) (string, bool) { return key, true }
			e := open(t, o)
			_, err := generate(t.Context(), e, requests(40, 2))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "secret=1") {
				t.Errorf("%v, want %q", err, c.want)
			}
			e.Close()
			s.Close()
			leaves(t, before)
			if f.calls > c.calls {
				t.Errorf("%d requests", f.calls)
			}
		})
	}
}

// A server that falls silent costs a deadline, not the run; one that is too slow for every try ends it.
func TestDeadline(t *testing.T) {
	f := &fake{}
	f.spoil = func(_ http.ResponseWriter, r *http.Request, call int) bool {
		if call <= 2 {
			<-r.Context().Done()
			return true
		}
		return false
	}
	o := quick(serve(t, f))
	o.Timeout = 300 * time.Millisecond
	reqs := requests(3, 2)
	if got, err := generate(t.Context(), open(t, o), reqs); err != nil || got != want(reqs) {
		t.Errorf("%v %s", err, got)
	}
	f = &fake{spoil: func(_ http.ResponseWriter, r *http.Request, _ int) bool { <-r.Context().Done(); return true }}
	o = quick(serve(t, f))
	o.Timeout, o.Retries = 50*time.Millisecond, 1
	if _, err := generate(t.Context(), open(t, o), reqs); err == nil || !strings.Contains(err.Error(), "2 tries failed, the last: ") || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("%v", err)
	}
}

// Cancelled, nothing runs on.
func TestCancel(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{spoil: func(_ http.ResponseWriter, r *http.Request, call int) bool {
		if call == 8 {
			cancel()
		}
		<-r.Context().Done()
		return true
	}}
	s := httptest.NewServer(f)
	o := quick(s.URL, s.URL+"/other/v1")
	e := open(t, o)
	start := time.Now()
	_, err := generate(ctx, e, requests(50, 4))
	if !errors.Is(err, context.Canceled) || time.Since(start) > 5*time.Second || f.most != 8 {
		t.Errorf("%v after %v, %d at a time", err, time.Since(start), f.most)
	}
	e.Close()
	s.Close()
	leaves(t, before)
}

// Several servers: bounded requests at each, the samples of one prompt at one server, and a dead one costs nothing.
func TestShards(t *testing.T) {
	var fakes []*fake
	var urls []string
	for range 3 {
		f := &fake{slow: 5 * time.Millisecond}
		fakes, urls = append(fakes, f), append(urls, serve(t, f))
	}
	reqs := requests(60, 2)
	o := quick(urls...)
	o.Concurrent = 2
	if got, err := generate(t.Context(), open(t, o), reqs); err != nil || got != want(reqs) {
		t.Fatal(err)
	}
	for i, f := range fakes {
		if f.most > 2 || f.calls < 20 {
			t.Errorf("server %d: %d requests, %d at a time", i, f.calls, f.most)
		}
	}
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	f := &fake{}
	o = quick(dead.URL, serve(t, f))
	if got, err := generate(t.Context(), open(t, o), reqs); err != nil || got != want(reqs) || f.calls != 120 {
		t.Errorf("%v, %d calls", err, f.calls)
	}
}

// n samples in one request are those of n requests, where the server counts seeds as vLLM does, and a server that ignores n is asked for
// the rest.
func TestPerRequest(t *testing.T) {
	for _, fewer := range []bool{false, true} {
		f := &fake{fewer: fewer}
		o := quick(serve(t, f))
		o.PerRequest = 4
		reqs := requests(5, 10)
		got, err := generate(t.Context(), open(t, o), reqs)
		if err != nil || got != want(reqs) {
			t.Errorf("%v\n%s", err, got)
		}
		if calls := map[bool]int{false: 15, true: 50}[fewer]; f.calls != calls {
			t.Errorf("%d requests, want %d", f.calls, calls)
		}
	}
}

// TLS with HTTP/2 to one server.
func TestHTTP2(t *testing.T) {
	var protos sync.Map
	f := &fake{spoil: func(_ http.ResponseWriter, r *http.Request, _ int) bool { protos.Store(r.Proto, true); return false }}
	s := httptest.NewUnstartedServer(f)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	o := quick(s.URL)
	o.Transport = s.Client().Transport
	reqs := requests(8, 3)
	if got, err := generate(t.Context(), open(t, o), reqs); err != nil || got != want(reqs) {
		t.Error(err)
	}
	if _, ok := protos.Load("HTTP/2.0"); !ok {
		t.Error("HTTP/2 was not spoken")
	}
	o.Transport = nil // which does not know the certificate
	if _, err := generate(t.Context(), open(t, o), reqs); err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "tries failed") {
		t.Errorf("%v", err)
	}
}

// Requests over the server's context are named, and the others answered.
func TestOverContext(t *testing.T) {
	f := &fake{contexts: 100}
	reqs := requests(4, 3)
	reqs[2].Messages[0].Content = strings.Repeat("long ", 100)
	out, err := critic.Samples(t.Context(), open(t, quick(serve(t, f))), reqs, sampling)
	var over *critic.OverContext
	if !errors.As(err, &over) || len(over.Why) != 1 || !strings.Contains(over.Why[2], "maximum context length is 64") {
		t.Fatalf("%v", err)
	}
	if show(out) != want(append(reqs[:2:2], reqs[3])) {
		t.Error(show(out))
	}
	for _, text := range []string{
		`{"error":{"code":400,"message":"the request exceeds the available context size. try increasing it","type":"exceed_context_size_error"}}`,
		`{"error":{"message":"This model's maximum context length is 8192 tokens.","code":"context_length_exceeded"}}`,
		`{"object":"error","message":"Requested token count exceeds the model's maximum context length of 4096 tokens."}`,
		`{"message":"The input (900 tokens) is longer than the model's context length (512 tokens)."}`,
		`{"error":{"message":"'max_tokens' is too large. This model's maximum context length is 4096"}}`,
	} {
		if !overContext(text) {
			t.Errorf("not understood: %s", text)
		}
	}
	if overContext(`{"error":{"message":"temperature must be non-negative"}}`) {
		t.Error("another mistake counts as a long prompt")
	}
}

// The name of the model is the server's where it is not given, if there is one.
func TestFind(t *testing.T) {
	list := func(names ...string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"data":[{"id":"%s"}]}`, strings.Join(names, `"},{"id":"`))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	a, b, two := list("a"), list("b"), list("a", "b")
	flaky := &fake{spoil: func(w http.ResponseWriter, _ *http.Request, call int) bool {
		if call == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return call == 1
	}}
	for _, c := range []struct {
		urls []string
		want string
	}{
		{[]string{a}, "openai:a"},
		{[]string{a, a + "/v1/"}, "openai:a"},
		{[]string{serve(t, flaky)}, "openai:base-7b"},
		{[]string{list("/srv/models/org/Qwen")}, "openai:Qwen"},
		{[]string{a, b}, "give servers of one model"},
		{[]string{two}, "several models: say which with engine_model: a, b"},
		{[]string{serve(t, &fake{spoil: func(w http.ResponseWriter, _ *http.Request, _ int) bool { fmt.Fprint(w, `{"data":[]}`); return true }})}, "names no model"},
	} {
		o := quick(c.urls...)
		o.Model = ""
		e, err := Open(t.Context(), o)
		got := fmt.Sprint(err)
		if err == nil {
			got = e.Label()
			e.Close()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%v: %s, want %s", c.urls, got, c.want)
		}
	}
}

// What no server does, and settings out of range, are refused by name.
func TestRefused(t *testing.T) {
	f := &fake{}
	u := serve(t, f)
	e := open(t, quick(u))
	strict := quick(u)
	strict.Standard = true
	begun := requests(1, 1)
	begun[0].Messages = append(begun[0].Messages, tokenizer.Message{Role: critic.Begun, Content: "It"})
	asked := requests(1, 1)
	asked[0].Ask = &critic.Ask{}
	reward, topK := sampling, sampling
	reward.Reward, topK.TopK = true, 5
	for _, c := range []struct {
		e    *Engine
		reqs []critic.Request
		s    record.Sampling
		want string
	}{
		{e, begun, sampling, "take the completions route"},
		{e, asked, sampling, "ask_score"},
		{e, requests(1, 1), reward, "reads no rewards"},
		{open(t, strict), requests(1, 1), topK, "top_k"},
	} {
		if _, err := c.e.Generate(t.Context(), c.reqs, c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if f.calls > 0 {
		t.Errorf("%d requests", f.calls)
	}
	for text, want := range map[string]string{
		"http://user:pass@host/v1": "environment variable", "https://host/v1?key=pass": "query", "https://host/v1/chat/completions": "is a route",
		"ftp://host": "want one as", "host:8000": "want one as", "http://h/v1, http://h/v1/": "given twice", "http://": "want one as", "http://host/\x7f": "want one as",
	} {
		if _, err := SplitURLs(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pass") && want != "environment variable" || strings.Contains(err.Error(), "user:") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if got, err := SplitURLs("http://a:1/, https://b/x/v1/,"); err != nil || fmt.Sprint(got) != "[http://a:1/v1 https://b/x/v1]" {
		t.Errorf("%v %v", got, err)
	}
	for want, change := range map[string]func(*Options){
		"route: got":            func(o *Options) { o.Route = "responses" },
		"own tokenizer":         func(o *Options) { o.Route = Completions },
		"concurrency: got":      func(o *Options) { o.Concurrent = -1 },
		"samples of one":        func(o *Options) { o.PerRequest = 1 << 20 },
		"retries: got":          func(o *Options) { o.Retries = -1 },
		"timeout: got":          func(o *Options) { o.Timeout = -1 },
		"no base URL":           func(o *Options) { o.BaseURLs = nil },
		"NO_SUCH_KEY, which is": func(o *Options) { o.KeyEnv = "NO_SUCH_KEY" },
		"that no key has":       func(o *Options) { o.KeyEnv, o.getenv = "K", func(string) (string, bool) { return "a b\n", true } },
	} {
		o := quick(u)
		change(&o)
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
