package hub

// One request: who is told the token, where redirects may lead, and what comes of an answer that is none.

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"criticrm/version"
)

// failure is why a request gave nothing.
type failure struct {
	err    error
	again  bool          // it may go better when it is tried again
	wait   time.Duration // that the server asks for
	nobody bool          // there is no server, or no way to it
	status int
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(format string, a ...any) *failure { return &failure{err: fmt.Errorf(format, a...)} }

// NotFoundError says that the hub has no such thing, or does not show it to this user: it does not say which.
type NotFoundError struct{ text string }

func (e *NotFoundError) Error() string { return e.text }

// maxRedirects bounds how often one request is sent elsewhere.
const maxRedirects = 5

// client sends requests; redirects are followed by hand.
func (h *Hub) client() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // sizes and ranges are those of the files
	t.ResponseHeaderTimeout = h.HeaderTimeout
	t.DialContext = (&net.Dialer{Timeout: h.HeaderTimeout, KeepAlive: 30 * time.Second}).DialContext
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is a response with what the hub itself said of the file on the way to it.
type answer struct {
	*http.Response
	commit string // x-repo-commit
	etag   string // of the file: x-linked-etag, else etag where the hub itself has answered
}

// get asks for a URL of the endpoint, from a byte on. The token goes to the endpoint alone: not to another host, port or scheme that a
// redirect leads to. The caller closes the body.
func (c *conn) get(ctx context.Context, address string, from int64) (*answer, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, fail("%v", err)
	}
	var a answer
	for hops := 0; ; hops++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err != nil {
			return nil, fail("%v", err)
		}
		req.Header.Set("User-Agent", "criticrm/"+version.String())
		req.Header.Set("Accept-Encoding", "identity")
		if from > 0 {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		}
		atHome := at.Scheme == c.home.Scheme && at.Host == c.home.Host
		if c.hub.Token != "" && atHome {
			req.Header.Set("Authorization", "Bearer "+c.hub.Token)
		}
		res, err := c.http.Do(req)
		if err != nil {
			return nil, broken(ctx, at.Host, err)
		}
		if atHome {
			a.commit = cmp.Or(a.commit, res.Header.Get("X-Repo-Commit"))
			a.etag = cmp.Or(a.etag, etag(res.Header.Get("X-Linked-Etag")))
		}
		if res.StatusCode < 300 || res.StatusCode >= 400 {
			if a.Response = res; a.etag == "" && atHome && res.StatusCode < 300 {
				a.etag = etag(res.Header.Get("Etag"))
			}
			return &a, nil
		}
		res.Body.Close()
		next, err := res.Location()
		switch {
		case err != nil:
			return nil, fail("%s: %s without a place to go to", at.Host, res.Status)
		case hops == maxRedirects:
			return nil, fail("%s: more than %d redirects", c.host, maxRedirects)
		case next.Scheme != "https" && !(next.Scheme == "http" && at.Scheme == "http"):
			return nil, fail("%s: redirects from %s to %.20q, which is not followed", at.Host, at.Scheme, next.Scheme)
		}
		at = next
	}
}

// etag takes a header's value out of its quotes.
func etag(value string) string { return strings.Trim(strings.TrimPrefix(value, "W/"), `"`) }

// broken is a request without an answer.
func broken(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) { // its text has the whole address, which may be signed
		err = u.Err
	}
	f := &failure{err: fmt.Errorf("%s: %w", host, err), again: true}
	var trust *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.As(err, &trust):
		f.again = false
	case errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect"):
		f.nobody = true
	}
	return f
}

// maxSaid bounds what is read of an answer that is an error, in bytes.
const maxSaid = 64 << 10

// refused is an answer that is no success, for a name and, if one was asked for, its file.
func (c *conn) refused(n Name, file string, a *answer) error {
	defer a.Body.Close()
	_, _ = io.CopyN(io.Discard, a.Body, maxSaid) // so that the connection can be used again
	host, status := a.Request.URL.Host, a.StatusCode
	said := clip(a.Header.Get("X-Error-Message"))
	code := a.Header.Get("X-Error-Code")
	f := &failure{status: status}
	text := func(format string, args ...any) {
		s := fmt.Sprintf(format, args...)
		if said != "" {
			s += fmt.Sprintf(" (%s says: %s)", host, said)
		}
		f.err = errors.New(s)
	}
	login := "set HF_TOKEN, or log in with 'hf auth login'"
	if c.hub.Token != "" {
		login = "the token that is sent (HF_TOKEN, or the file token in HF_HOME) may not read it"
	}
	switch {
	case a.Request.URL.Host != c.host && status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout:
		text("%s: %s, where %s has sent us for %s", host, a.Status, c.host, file)
	case code == "GatedRepo":
		text("it is gated: accept its terms at %s with your account, and then %s", c.page(n), login)
	case status == http.StatusUnauthorized && c.hub.Token != "" && code != "RepoNotFound":
		text("%s: %s: the token is wrong or has ended: renew HF_TOKEN, or the file token in HF_HOME", host, a.Status)
	case code == "EntryNotFound":
		text("revision %s has no file %s", n.Revision, file)
	case code == "RevisionNotFound":
		text("there is no revision %s", n.Revision)
	case status == http.StatusUnauthorized, status == http.StatusNotFound:
		text("there is no %s of this name at %s, or it is private: look at its spelling, or %s", n.Kind.what(), c.hub.Endpoint, login)
		f.err = &NotFoundError{f.err.Error()}
	case status == http.StatusForbidden:
		text("%s: %s: %s", host, a.Status, login)
	case status == http.StatusTooManyRequests:
		f.again, f.wait = true, retryAfter(a.Header)
		text("%s: %s: too many requests from here: wait, or %s", host, a.Status, login)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500 && status != http.StatusNotImplemented:
		f.again, f.wait = true, retryAfter(a.Header)
		text("%s: %s", host, a.Status)
	default:
		text("%s: %s", host, a.Status)
	}
	return f
}

// page is where people look at a model or data set.
func (c *conn) page(n Name) string {
	if n.Kind == Dataset {
		return c.hub.Endpoint + "/datasets/" + n.Repo
	}
	return c.hub.Endpoint + "/" + n.Repo
}

// retryAfter is how long a server wants to be left alone; 0: it does not say.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 24*3600)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// clip makes a stranger's words fit into a line.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return strings.TrimSpace(s)
}

// Limits of patience.
const (
	tries    = 5               // that bring nothing, one after the other
	longest  = 2 * time.Minute // that a server may ask us to wait
	progress = int64(8 << 20)  // bytes that count as something
)

// conn is the endpoint, while something is fetched from it.
type conn struct {
	hub  *Hub
	http *http.Client
	home *url.URL
	host string // its own
}

func (h *Hub) connect() (*conn, error) {
	u, err := url.Parse(h.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	return &conn{h, h.client(), u, u.Host}, nil
}

// repeat does something until it succeeds, fails for good, or has brought nothing for several tries. do says whether it got on.
func (c *conn) repeat(ctx context.Context, what string, do func() (gotOn bool, err error)) error {
	for failed := 0; ; {
		gotOn, err := do()
		var f *failure
		switch {
		case err == nil || !errors.As(err, &f) || !f.again:
			return err
		case gotOn:
			failed = 0
		}
		failed++
		switch {
		case failed == tries, f.nobody && failed == 2: // a name that is misspelled, on a machine without a network
			return &failure{err: fmt.Errorf("%w (after %d tries)", f.err, failed), nobody: f.nobody, status: f.status}
		case f.wait > longest:
			return &failure{err: fmt.Errorf("%w: it wants to be asked again in %v", f.err, f.wait.Round(time.Second)), status: f.status}
		}
		wait := max(f.wait, time.Second<<(failed-1))
		c.hub.say("%s: %v; again in %v", what, f.err, wait.Round(time.Second))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.hub.after(wait):
		}
	}
}
