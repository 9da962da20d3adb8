package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// live is a server on a port.
type live struct {
	*Server
	f    *fake
	url  string
	addr string
	stop context.CancelFunc
	done chan error
}

func start(t testing.TB, change func(o *Options, f *fake)) *live {
	t.Helper()
	s, f := newServer(t, change)
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	v := &live{Server: s, f: f, url: strings.TrimSuffix(s.URL(l), "/"), addr: l.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { v.done <- s.Serve(ctx, l) }()
	t.Cleanup(func() { stop(); <-v.done })
	return v
}

const good = `{"prompt":"What is 2 + 2?","response":"It is 4."}`

func (v *live) post(path, body string, headers ...string) (int, http.Header, string, error) {
	r, err := http.NewRequest(http.MethodPost, v.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(b), err
}

// waitFor waits until something holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// held is a backend whose calls wait for release, or their end.
func held(f *fake) (release func()) {
	ch := make(chan struct{})
	f.before = func(ctx context.Context) error {
		select {
		case <-ch:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return sync.OnceFunc(func() { close(ch) })
}

// A full queue answers 503 with Retry-After, a request over its time 504 and its work ends, a client that goes away ends its work, and a server
// that stops finishes what runs and refuses what comes.
func TestAdmission(t *testing.T) {
	var release func()
	v := start(t, func(o *Options, f *fake) { o.Set.MaxQueue = 2; release = held(f) })
	type answer struct {
		code int
		body string
	}
	got := make(chan answer, 2)
	for range 2 {
		go func() {
			code, _, body, _ := v.post("/v1/reward", good)
			got <- answer{code, body}
		}()
	}
	waitFor(t, "two requests inside", func() bool { return v.f.calls.Load() == 2 })
	code, h, body, err := v.post("/classify", `{"input":"x"}`)
	if err != nil || code != 503 || h.Get("Retry-After") == "" || !strings.Contains(body, `"code":"busy"`) {
		t.Errorf("full: %d %v %s %v", code, h, body, err)
	}
	if res, err := http.Get(v.url + "/ready"); err != nil || res.StatusCode != 503 {
		t.Errorf("ready: %v %v", res, err)
	}
	if res, err := http.Get(v.url + "/health"); err != nil || res.StatusCode != 200 {
		t.Errorf("health: %v %v", res, err)
	}
	v.stop()
	waitFor(t, "draining", v.Draining)
	if code, h, body, err := v.post("/v1/reward", good); err != nil || code != 503 || h.Get("Retry-After") == "" || !strings.Contains(body, `"code":"draining"`) {
		t.Errorf("draining: %d %v %s %v", code, h, body, err)
	}
	release()
	for range 2 {
		if a := <-got; a.code != 200 {
			t.Errorf("a request that ran: %d %s", a.code, a.body)
		}
	}
	if err := <-v.done; err != nil {
		t.Errorf("serve: %v", err)
	}
	v.done <- nil
	if _, err := net.Dial("tcp", v.addr); err == nil {
		t.Error("the port is still open")
	}
}

func TestDeadline(t *testing.T) {
	v := start(t, func(o *Options, f *fake) { held(f) })
	began := time.Now()
	code, _, body, err := v.post("/v1/reward", good, timeoutHeader, "50")
	if err != nil || code != 504 || !strings.Contains(body, `"code":"deadline"`) || time.Since(began) > 10*time.Second {
		t.Errorf("%d %s %v", code, body, err)
	}
	waitFor(t, "the work's end", func() bool { return v.f.ended.Load() == 1 && v.gate.inside() == 0 })
	// A client that goes away.
	ctx, cancel := context.WithCancel(context.Background())
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, v.url+"/v1/reward", strings.NewReader(good))
	r.Header.Set("Content-Type", "application/json")
	done := make(chan error, 1)
	go func() { _, err := http.DefaultClient.Do(r); done <- err }()
	waitFor(t, "the second request", func() bool { return v.f.calls.Load() == 2 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("client: %v", err)
	}
	waitFor(t, "the work's end", func() bool { return v.f.ended.Load() == 2 && v.gate.inside() == 0 })
	if text := v.metric(t); !strings.Contains(text, `criticrm_requests_total{route="/v1/reward",status="499"} 1`) || !strings.Contains(text, `criticrm_requests_total{route="/v1/reward",status="504"} 1`) {
		t.Errorf("metrics: %s", text)
	}
}

func (v *live) metric(t testing.TB) string {
	t.Helper()
	res, err := http.Get(v.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What is not done when the time to drain is over gets 503, and the server ends.
func TestDrainEnds(t *testing.T) {
	v := start(t, func(o *Options, f *fake) { o.Set.Drain = 0; held(f) })
	got := make(chan int, 1)
	go func() { code, _, _, _ := v.post("/v1/reward", good); got <- code }()
	waitFor(t, "the request", func() bool { return v.f.calls.Load() == 1 })
	began := time.Now()
	v.stop()
	if code := <-got; code != 503 {
		t.Errorf("got %d", code)
	}
	if err := <-v.done; err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	v.done <- nil
}

// A backend that is full, that fails, that panics or that breaks its contract: the client is told no more than it needs, the log all of it; one that
// is lost ends the server.
func TestBackendFails(t *testing.T) {
	var log lockedBuffer
	fail := atomic.Pointer[error]{}
	lost := errors.New("the device has gone")
	v := start(t, func(o *Options, f *fake) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.IsLost = func(err error) bool { return errors.Is(err, lost) }
		f.before = func(context.Context) error {
			if err := fail.Load(); err != nil {
				if (*err).Error() == "panic" {
					panic("secret place")
				}
				return *err
			}
			return nil
		}
	})
	for _, x := range []struct {
		err    error
		status int
		code   string
	}{{ErrBusy, 503, "busy"}, {fmt.Errorf("engine: %w", ErrNoText), 400, "writes no text"}, {errors.New("secret place"), 500, "internal"}, {errors.New("panic"), 500, "internal"}, {fmt.Errorf("it fails: %w", lost), 500, "internal"}} {
		fail.Store(&x.err)
		for _, path := range []string{"/v1/reward", "/v1/chat/completions"} {
			body := good
			if path != "/v1/reward" {
				body = `{"messages":[{"role":"user","content":"a"}]}`
			}
			code, h, text, err := v.post(path, body)
			if errors.Is(x.err, lost) && err != nil {
				continue // the server is gone
			}
			if err != nil || code != x.status || !strings.Contains(text, x.code) || strings.Contains(text, "secret") {
				t.Errorf("%v: %d %s %v", x.err, code, text, err)
			}
			if code == 500 && !strings.Contains(log.String(), h.Get("X-Request-Id")) {
				t.Errorf("%v: the log has no %s", x.err, h.Get("X-Request-Id"))
			}
		}
	}
	if n := strings.Count(log.String(), "secret place"); n < 2 {
		t.Errorf("the log tells %d times why", n)
	}
	if strings.Contains(log.String(), "What is 2") {
		t.Error("the log has texts")
	}
	if err := <-v.done; !errors.Is(err, lost) {
		t.Errorf("serve: %v", err)
	}
	v.done <- nil
}

// lockedBuffer is a buffer that goroutines share.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// raw sends bytes and reads what comes back until the connection closes, or for a second.
func (v *live) raw(t *testing.T, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", v.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.WriteString(c, text)
	b, _ := io.ReadAll(c)
	return string(b)
}

// What HTTP itself allows and forbids.
func TestRaw(t *testing.T) {
	v := start(t, nil)
	post := "POST /v1/reward HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for name, x := range map[string]struct{ send, want string }{
		"two lengths":         {post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n{}\n", "HTTP/1.1 400"},
		"length of too much":  {post + "Content-Length: 99999999999\r\n\r\n{}", "HTTP/1.1 413"},
		"a large header":      {post + "X: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", "HTTP/1.1 431"},
		"10,000 headers":      {post + strings.Repeat("X: aaaaaaaaaa\r\n", 10000) + "\r\n", "HTTP/1.1 431"},
		"an old client":       {fmt.Sprintf("POST /v1/reward HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(good), good), "HTTP/1.0 200"},
		"chunks that are not": {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400"},
		"an odd expectation":  {post + "Expect: more\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 417"},
		"options of all":      {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 404"},
		"no HTTP":             {"hello\r\n\r\n", "HTTP/1.1 400"},
		"one behind another":  {strings.Repeat(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", post, len(good), good), 3), "HTTP/1.1 200"},
	} {
		got := v.raw(t, x.send)
		if !strings.HasPrefix(got, x.want) {
			t.Errorf("%s: %.200q, want %s", name, got, x.want)
		}
		if name == "one behind another" && strings.Count(got, "HTTP/1.1 200") != 3 {
			t.Errorf("%s: %d answers", name, strings.Count(got, "HTTP/1.1 200"))
		}
	}
	// Chunks of one byte, as many as the body may have, and more.
	for size, want := range map[int]string{1000: "HTTP/1.1 200", 3 << 20: "HTTP/1.1 413"} {
		body := `{"prompt":"a","response":"` + strings.Repeat("a", min(size, 20)) + `"` + strings.Repeat(" ", size) + "}"
		var b strings.Builder
		for i := 0; i < len(body); i += 1000 {
			part := body[i:min(i+1000, len(body))]
			if size < 10000 {
				for _, c := range part {
					fmt.Fprintf(&b, "1\r\n%c\r\n", c)
				}
			} else {
				fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
			}
		}
		if got := v.raw(t, post+"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"+b.String()+"0\r\n\r\n"); !strings.HasPrefix(got, want) {
			t.Errorf("%d bytes in chunks: %.200q", size, got)
		}
	}
	waitFor(t, "all requests out", func() bool { return v.gate.inside() == 0 })
}

// Clients that send a header byte by byte, or nothing, are cut off; others are served meanwhile.
func TestSlow(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a time-out")
	}
	v := start(t, nil)
	began := time.Now()
	const slow = 100
	ends := make(chan time.Duration, slow)
	for i := range slow {
		c, err := net.Dial("tcp", v.addr)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer c.Close()
			_, _ = io.WriteString(c, "POST /v1/reward HTTP/1.1\r\nHost: localhost\r\n"[:i%40])
			go func() {
				for range 200 {
					if _, err := io.WriteString(c, "X"); err != nil {
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			}()
			_, _ = io.Copy(io.Discard, c)
			ends <- time.Since(began)
		}()
	}
	if code, _, body, err := v.post("/v1/reward", good); err != nil || code != 200 {
		t.Errorf("meanwhile: %d %s %v", code, body, err)
	}
	for range slow {
		select {
		case d := <-ends:
			if d > 3*headerTime {
				t.Errorf("cut off after %v", d)
			}
		case <-time.After(4 * headerTime):
			t.Fatal("a slow client is not cut off")
		}
	}
}

// 4,000 requests of many clients, of which 1 in 20 is cut off and 1 in 20 malformed: each is answered once, with what it is answered alone, the counts
// of both sides agree, and no goroutine is left.
func TestStorm(t *testing.T) {
	before := runtime.NumGoroutine()
	requests := 4000
	if testing.Short() {
		requests = 400
	}
	v := start(t, func(o *Options, f *fake) {
		o.Set.MaxQueue = 1000
		f.before = func(ctx context.Context) error {
			select {
			case <-time.After(time.Duration(hash(f.calls.Load())%3000) * time.Microsecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	body := func(i int) string {
		return fmt.Sprintf(`{"prompt":"What is %d + 2?","responses":["It is %d.","It is %d."],"samples":2}`, i%50, i%50+2, i%7)
	}
	alone := map[int]string{}
	for i := range 350 {
		code, _, text, err := v.post("/v1/reward", body(i))
		if err != nil || code != 200 {
			t.Fatal(code, text, err)
		}
		alone[i] = rewardsOf(t, text)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var ok, bad, cut, wrong atomic.Int64
	work := make(chan int)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range work {
				ctx, cancel := context.WithCancel(context.Background())
				text := body(i % 350)
				switch i % 20 {
				case 3:
					text = text[:len(text)-2]
				case 7:
					time.AfterFunc(time.Duration(hash(i)%2500)*time.Microsecond, cancel)
				}
				r, _ := http.NewRequestWithContext(ctx, http.MethodPost, v.url+"/v1/reward", strings.NewReader(text))
				r.Header.Set("Content-Type", "application/json")
				res, err := client.Do(r)
				var b []byte
				if err == nil {
					b, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				cancel()
				switch {
				case err != nil && i%20 == 7:
					cut.Add(1)
				case err == nil && res.StatusCode == 400 && i%20 == 3:
					bad.Add(1)
				case err == nil && res.StatusCode == 200 && i%20 != 3 && rewardsOf(t, string(b)) == alone[i%350]:
					ok.Add(1)
				default:
					wrong.Add(1)
					t.Errorf("request %d: %v %.300s", i, err, b)
				}
			}
		})
	}
	for i := range requests {
		work <- i
	}
	close(work)
	wg.Wait()
	client.CloseIdleConnections()
	if sum := ok.Load() + bad.Load() + cut.Load(); sum != int64(requests) || bad.Load() != int64(requests/20) || cut.Load() > int64(requests/20) || cut.Load() == 0 {
		t.Errorf("%d answered, %d malformed, %d cut, %d wrong of %d", ok.Load(), bad.Load(), cut.Load(), wrong.Load(), requests)
	}
	waitFor(t, "all requests out", func() bool { return v.gate.inside() == 0 })
	text := v.metric(t)
	count := func(status int) (n int64) {
		_, rest, _ := strings.Cut(text, fmt.Sprintf("criticrm_requests_total{route=\"/v1/reward\",status=\"%d\"} ", status))
		_, _ = fmt.Sscan(rest, &n)
		return n
	}
	served, gone := count(200), count(499)
	if count(400) < bad.Load() || count(400) > bad.Load()+cut.Load() || served < ok.Load()+350 || served+gone+count(400)-bad.Load() > int64(requests)-bad.Load()+350 || served+gone+count(400) < int64(requests)+350-cut.Load() {
		t.Errorf("the server counts %d served, %d gone, %d malformed; the clients %d, %d, %d", served-350, gone, count(400), ok.Load(), cut.Load(), bad.Load())
	}
	t.Logf("%d answered, %d malformed, %d cut off (the server saw %d of them)", ok.Load(), bad.Load(), cut.Load(), gone)
	v.stop()
	if err := <-v.done; err != nil {
		t.Error(err)
	}
	v.done <- nil
	http.DefaultClient.CloseIdleConnections()
	waitFor(t, "the goroutines' end", func() bool { return runtime.NumGoroutine() <= before+1 })
}

// rewardsOf are an answer's data.
func rewardsOf(t testing.TB, text string) string {
	var v struct{ Data json.RawMessage }
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%v: %.200s", err, text)
	}
	return string(v.Data)
}

// events reads the data of server-sent events.
func events(t testing.TB, body io.Reader) (list []string) {
	t.Helper()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			list = append(list, data)
		} else if lines.Text() != "" {
			t.Errorf("a line %q", lines.Text())
		}
	}
	return list
}
