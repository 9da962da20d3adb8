package serve

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// narrow accepts connections whose socket takes little that nobody reads.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

// slowly sends a request and gives its connection, of which nothing is read.
func slowly(t *testing.T, addr, path, body string, headers ...string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", path, len(body))
	for i := 0; i < len(headers); i += 2 {
		head += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	return c
}

// A client that does not read its answer, or reads it by bytes, takes nobody's place in the queue, and its connection ends in bounded time.
func TestSlowReaders(t *testing.T) {
	const queue, slow = 2, 12
	s, f := newServer(t, func(o *Options, f *fake) {
		o.Set.MaxQueue = queue
		f.text = func(uint64) string { return strings.Repeat("all of it is fine, ", 80) }
	})
	s.patience = 3 * time.Second
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, narrow{l}) }()
	v := &live{Server: s, f: f, url: strings.TrimSuffix(s.URL(l), "/")}
	addr := l.Addr().String()
	before := runtime.NumGoroutine()
	began := time.Now()
	const long = `,"max_tokens":400,"temperature":1,"`
	for i := range slow {
		was := f.Load().WrittenTokens
		c := []struct{ path, body string }{
			{"/v1/reward", `{"prompt":"a","response":"b","stream":true` + long + `samples":64}`},
			{"/v1/reward", `{"prompt":"a","responses":["b","c","d","e","f","g","h","i"]` + long + `samples":64}`},
			{"/v1/chat/completions", `{"messages":[{"role":"user","content":"Hi"}],"stream":true` + long + `n":64}`},
		}[i%3]
		slowly(t, addr, c.path, c.body)
		waitFor(t, "the model's work for a client that does not read", func() bool { return f.Load().WrittenTokens > was && s.gate.inside() == 0 })
	}
	if n := s.gate.written(); n <= queue {
		t.Fatalf("%d of %d answers are still being written: want more than the queue has places", n, slow)
	}
	// Others are served meanwhile.
	for range 2 * queue {
		if code, _, text, err := v.post("/v1/reward", good); code != 200 || err != nil {
			t.Fatalf("beside clients that do not read: %d %v %.200s", code, err, text)
		}
	}
	waitFor(t, "the end of answers that nobody reads", func() bool { return s.gate.written() == 0 })

	// A little at a time is no way to stay longer than the request may.
	s.patience = 1500 * time.Millisecond
	c := slowly(t, addr, "/v1/reward", `{"prompt":"a","response":"b","stream":true`+long+`samples":64}`, timeoutHeader, "700")
	began = time.Now()
	var b [1 << 10]byte
	busy := func() bool { return s.gate.inside()+s.gate.written() > 0 }
	for got := 0; (got == 0 || busy()) && time.Since(began) < 10*time.Second; time.Sleep(20 * time.Millisecond) {
		n, err := c.Read(b[:])
		if got += n; err != nil {
			break
		}
	}
	if took := time.Since(began); busy() {
		t.Errorf("a client that reads a little at a time was written to for %v", took)
	}
	waitFor(t, "the goroutines' end", func() bool { http.DefaultClient.CloseIdleConnections(); return runtime.NumGoroutine() <= before+2 })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The queue counts work alone; what is written has a bound of its own, and a gate that is shut waits for both.
func TestGateWriting(t *testing.T) {
	g := gate{most: 1, mostWrite: 2}
	for range 2 {
		if err := g.enter(); err != nil {
			t.Fatal(err)
		}
		if g.enter() == nil {
			t.Error("two at work, want one")
		}
		g.done()
	}
	if g.enter() == nil {
		t.Error("a request was let in behind two answers that nobody reads")
	}
	idle := g.close()
	g.leave()
	select {
	case <-idle:
		t.Error("idle, with an answer to write")
	default:
	}
	g.leave()
	<-idle
}
