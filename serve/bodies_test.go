package serve

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Bodies that are sent slowly hold no more memory than is said: the next one gets 503, and is answered when they are gone.
func TestBodies(t *testing.T) {
	v := start(t, func(o *Options, _ *fake) { o.Set.MaxBody = 1 << 10 })
	small := `{"prompt":"What is 2 + 2?","response":"It is 4.","plain":true}` + strings.Repeat(" ", 100)
	var slow []net.Conn
	for range largeBodies {
		c, err := net.Dial("tcp", strings.TrimPrefix(v.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /v1/reward HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n%s", strings.Repeat(" ", 1023))
		slow = append(slow, c)
	}
	held := func() int64 { v.bodies.mu.Lock(); defer v.bodies.mu.Unlock(); return v.bodies.held }
	for deadline := time.Now().Add(20 * time.Second); held() < largeBodies*1023; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of %d are read", held(), largeBodies*1023)
		}
	}
	code, h, text, err := v.post("/v1/reward", small)
	if err != nil || code != http.StatusServiceUnavailable || h.Get("Retry-After") == "" || !strings.Contains(text, "no room for more bodies") {
		t.Errorf("%d %v %s %v", code, h, text, err)
	}
	for _, c := range slow {
		_, _ = io.WriteString(c, " ") // the last byte: it is no request
		c.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); held() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are held by nobody", held())
		}
	}
	if code, _, text, err = v.post("/v1/reward", small); err != nil || code != http.StatusOK {
		t.Errorf("%d %s %v", code, text, err)
	}
}
