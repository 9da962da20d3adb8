package serve

// One request from its first byte to its answer.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

// call is a request that is answered.
type call struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	ctx   context.Context // ends with the request's time, its client, or the server
	id    string
	route *route
	body  []byte
	held  int64 // of Server.bodies
	began time.Time
	done  func() // says that the work is done and the answer is left; may be said again

	status int // that was sent; 0: nothing was
	stream *stream
	used   usage
	items  int
	plain  int   // items of a critic that were read without critiques, for want of a conversation
	cause  error // as the model's side has it
	detail error // for the log alone
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r, ctx: r.Context(), id: requestID(r), began: time.Now(), done: func() {}}
	w.Header().Set("X-Request-Id", c.id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	defer func() { s.bodies.give(c.held) }()
	err := c.do()
	if err != nil {
		c.fail(err)
	}
	c.log()
}

// do finds the route and has it answer, or gives the error that is the answer.
func (c *call) do() (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.detail = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			err = &Error{Status: http.StatusInternalServerError, Code: "internal", Message: "the server has failed; its log has the request's id"}
		}
	}()
	if c.route, err = c.s.find(c.r); c.route == nil || !c.route.open {
		if denied := c.s.permit(c.r); denied != nil { // also of routes that are not there
			return denied
		}
	}
	if err != nil {
		return err
	}
	if !c.route.works {
		return c.route.answer(c.s, c)
	}
	if err := c.read(); err != nil {
		return err
	}
	if c.s, err = c.s.named(c.r, c.body); err != nil {
		return err
	}
	limit, err := c.limit()
	if err != nil {
		return err
	}
	if err := c.s.gate.enter(); err != nil {
		return err
	}
	c.done = sync.OnceFunc(c.s.gate.done)
	defer func() {
		c.done()
		c.s.gate.leave()
	}()
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	c.ctx = ctx
	if err := c.route.answer(c.s, c); err != nil {
		c.cause = err
		return told(ctx, err) // while its context tells why
	}
	return nil
}

// read reads the body.
func (c *call) read() error {
	h := c.r.Header
	if enc := h.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return &Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_encoding", Message: fmt.Sprintf("the body's encoding is %q: send it as it is", clip(enc))}
	}
	if kind, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || kind != "application/json" {
		return &Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_type", Message: "want a body of Content-Type: application/json"}
	}
	most := int64(c.s.Set.MaxBody)
	tooLarge := &Error{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: fmt.Sprintf("the body is larger than %d bytes", most)}
	if c.r.ContentLength > most {
		c.w.Header().Set("Connection", "close")
		return tooLarge
	}
	from := &bounded{r: http.MaxBytesReader(c.w, c.r.Body, most), of: &c.s.bodies}
	var err error
	c.body, err = io.ReadAll(from)
	c.held = from.held
	var large *http.MaxBytesError
	switch timeout := interface{ Timeout() bool }(nil); {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return tooLarge
	case errors.Is(err, errBodies):
		c.w.Header().Set("Connection", "close")
		return &Error{Status: http.StatusServiceUnavailable, Code: "busy", Message: "there is no room for more bodies of requests: try again", Retry: c.s.gate.wait()}
	case errors.As(err, &timeout) && timeout.Timeout():
		c.w.Header().Set("Connection", "close")
		return &Error{Status: http.StatusRequestTimeout, Code: "slow_body", Message: fmt.Sprintf("the body was not there within %v", bodyTime)}
	case c.r.Context().Err() != nil:
		return err
	}
	c.w.Header().Set("Connection", "close")
	return malformed("", "the body could not be read: it ends too early, or is not chunked as it should be")
}

// timeoutHeader may lower a request's time, in milliseconds.
const timeoutHeader = "X-Request-Timeout-Ms"

// limit is the time that the request has.
func (c *call) limit() (time.Duration, error) {
	most := time.Duration(c.s.Set.Deadline) * time.Second
	text := c.r.Header.Get(timeoutHeader)
	if text == "" {
		return most, nil
	}
	ms, err := strconv.ParseInt(text, 10, 32)
	if err != nil || ms < 1 {
		return 0, malformed(timeoutHeader, "got %q, want 1 to %d milliseconds; over %d the server's --deadline holds", clip(text), math.MaxInt32, most.Milliseconds())
	}
	return min(most, time.Duration(ms)*time.Millisecond), nil
}

// requestID is what the client calls the request, or a new name.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	ok := id != "" && len(id) <= 64
	for i := 0; i < len(id) && ok; i++ {
		b := id[i]
		ok = b == '-' || b == '_' || b == '.' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
	}
	if !ok {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails
		id = hex.EncodeToString(b[:])
	}
	return id
}

// json answers with a value.
func (c *call) json(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("serve: answer: %w", err)
	}
	return c.bytes(http.StatusOK, "application/json", b.Bytes())
}

// bytes answers with bytes. A client that is not there to read them is no error of the request.
func (c *call) bytes(status int, kind string, b []byte) error {
	if err := c.ctx.Err(); err != nil && status == http.StatusOK { // the answer would come too late
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	c.status = status
	c.done()
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(c.s.patience)) // recorders of tests have none
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(b)
	}
	return nil
}

// fail answers with an error.
func (c *call) fail(err error) {
	e := told(c.ctx, err)
	if c.cause == nil {
		c.cause = err
	}
	if e.Code == "internal" && c.detail == nil {
		c.detail = c.cause
	}
	if c.s.IsLost != nil && c.s.IsLost(c.cause) {
		select {
		case c.s.lost <- c.cause:
		default:
		}
	}
	form := ours
	if c.route != nil {
		form = c.route.errors
	}
	c.s.metrics.errors.WithLabelValues(e.Code).Inc()
	switch {
	case c.stream != nil:
		c.stream.fail(form.body(e, c.id))
		c.status = form.status(e) // for the log: what was sent first was 200
		return
	case e.Status == statusGone:
		c.status = statusGone
		return // there is nobody to tell
	}
	e.headers(c.w.Header())
	if e.Status == http.StatusUnauthorized {
		kind := "Bearer"
		if c.route != nil && c.route.path == "/" {
			kind = "Basic"
		}
		c.w.Header().Set("WWW-Authenticate", kind+` realm="criticrm"`)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(form.body(e, c.id)) // strings always have a form
	_ = c.bytes(form.status(e), "application/json", b.Bytes())
}

// log writes the request's line and counts it.
func (c *call) log() {
	path, took := "unknown", time.Since(c.began)
	if c.route != nil {
		path = c.route.path
	}
	m := c.s.metrics
	m.requests.WithLabelValues(path, strconv.Itoa(c.status)).Inc()
	m.seconds.WithLabelValues(path).Observe(took.Seconds())
	m.prompt.Add(float64(c.used.prompt))
	m.written.Add(float64(c.used.written))
	m.judged.Add(float64(c.items))
	m.plain.Add(float64(c.plain))
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("id", c.id), slog.String("method", clip(c.r.Method)), slog.String("route", path), slog.Int("status", c.status), slog.Float64("ms", float64(took.Microseconds())/1e3)}
	if c.items > 0 {
		attrs = append(attrs, slog.Int("items", c.items))
	}
	if c.used != (usage{}) {
		attrs = append(attrs, slog.Int("prompt_tokens", c.used.prompt), slog.Int("completion_tokens", c.used.written))
	}
	if c.plain > 0 {
		attrs = append(attrs, slog.Int("read_plain", c.plain))
	}
	if c.detail != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", c.detail.Error()))
	}
	if c.s.Set.LogTexts && len(c.body) > 0 {
		attrs = append(attrs, slog.String("body", string(c.body)))
	}
	c.s.Log.LogAttrs(context.WithoutCancel(c.ctx), level, "request", attrs...)
}
