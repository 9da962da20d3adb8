package remote

// One try of a request, and what its outcome means: an answer, a failure that may pass, or one that stays.

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// verdict says what follows from a failure.
type verdict int

const (
	stays verdict = iota // the same would happen again: the work ends
	busy                 // the server as a whole is not to be asked for a while
	again                // this request failed, and others may do well
	long                 // the request is over the server's context
)

// failure is why a try gave no answer.
type failure struct {
	verdict
	wait time.Duration // that the server asks for
	text string
}

func (f *failure) Error() string { return f.text }

// longest is how long a server may ask to be left alone.
const longest = 10 * time.Minute

// backOff is how long to wait before the next try: half a second, doubled for each try up to half a minute, half of it by chance so that
// many that failed together do not come back together.
func backOff(tries int) time.Duration {
	d := 30 * time.Second
	if tries < 6 {
		d = 500 * time.Millisecond << max(tries, 0)
	}
	return d/2 + rand.N(d/2) // timing alone: no result depends on it
}

// call sends one request and gives the body of a good answer. The error is a *failure, or the context's.
func (e *Engine) call(ctx context.Context, method, to string, body []byte) ([]byte, error) {
	try, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(try, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, &failure{text: e.hide(err.Error())}
	}
	if req.Header.Set("Accept", "application/json"); body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if e.key != "" {
		req.Header.Set("Authorization", "Bearer "+e.key)
	}
	res, err := e.client.Do(req)
	if err != nil {
		return nil, e.broken(ctx, try, to, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, e.o.largest+1))
	switch {
	case int64(len(b)) > e.o.largest:
		return nil, &failure{text: fmt.Sprintf("%s: its answer is longer than %d bytes", to, e.o.largest)}
	case res.StatusCode != http.StatusOK: // what could be read of its text will do
		return nil, e.refused(res, to, b)
	case err != nil:
		return nil, e.broken(ctx, try, to, err)
	}
	return b, nil
}

// broken is a connection that gave no whole answer.
func (e *Engine) broken(ctx, try context.Context, to string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if try.Err() != nil {
		return &failure{verdict: again, text: fmt.Sprintf("%s: no answer within %v", to, e.o.Timeout)}
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	f := &failure{verdict: again, text: e.hide(fmt.Sprintf("%s: %v", to, err))}
	var dial *net.OpError
	var trust *tls.CertificateVerificationError
	switch {
	case errors.As(err, &trust):
		f.verdict = stays
	case errors.As(err, &dial) && dial.Op == "dial": // nobody is there
		f.verdict = busy
	}
	return f
}

// refused is an answer with another status than 200.
func (e *Engine) refused(res *http.Response, to string, b []byte) *failure {
	f := &failure{text: e.hide(fmt.Sprintf("%s: %s: %s", to, res.Status, clip(said(b))))}
	switch code := res.StatusCode; {
	case code == http.StatusTooManyRequests && strings.Contains(string(b), "insufficient_quota"):
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		f.verdict, f.wait = busy, retryAfter(res.Header.Get("Retry-After"), time.Now())
		if f.wait > longest {
			f.verdict, f.text = stays, f.text+fmt.Sprintf(" (it wants to be asked again in %v only)", f.wait.Round(time.Second))
		}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500 && code != http.StatusNotImplemented:
		f.verdict, f.wait = again, min(retryAfter(res.Header.Get("Retry-After"), time.Now()), longest)
	case code >= 300 && code < 400:
		f.text = fmt.Sprintf("%s: %s: redirects are not followed: give the URL that it names", to, res.Status)
	case code == http.StatusRequestEntityTooLarge, code == http.StatusBadRequest && overContext(string(b)):
		f.verdict = long
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		f.text += " (the key comes from the environment variable that api_key_env names)"
	case code == http.StatusNotFound:
		f.text += " (want a base URL as http://host:8000/v1, and the name of a model that is served there)"
	case !e.o.Standard && (code == http.StatusBadRequest || code == http.StatusUnprocessableEntity) && slices.ContainsFunc(extensions(), func(name string) bool { return strings.Contains(string(b), name) }):
		f.text += " (standard_fields leaves out what not all servers know)"
	}
	return f
}

// extensions are the names of the fields beside OpenAI's.
func extensions() []string {
	return []string{"top_k", "min_p", "repetition_penalty", "repeat_penalty", "stop_token_ids", "return_token_ids"}
}

// overContext says whether a server's words mean that prompt and answer are too long together.
func overContext(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc([]string{
		"context_length_exceeded",                        // OpenAI's code
		"maximum context length", "maximum model length", // OpenAI, vLLM
		"max_model_len",                                 // vLLM
		"exceed_context_size", "available context size", // llama.cpp
		"model's context length", "maximum allowed length", // SGLang
		"context window", "too many tokens",
	}, func(words string) bool { return strings.Contains(text, words) })
}

// retryAfter is how long a Retry-After asks to wait, in seconds or up to a date; 0: it does not.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds > 0) {
			return 0
		}
		return time.Duration(min(seconds, 1e9) * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// said is what an error's body says: the message of the usual forms, else the text.
func said(b []byte) string {
	var form struct {
		Error   json.RawMessage `json:"error"`
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(b, &form) == nil {
		for _, raw := range []json.RawMessage{form.Error, form.Message, form.Detail} {
			if len(raw) == 0 || string(raw) == "null" {
				continue
			}
			var text string
			var inner struct {
				Message string `json:"message"`
			}
			if json.Unmarshal(raw, &text) == nil {
				return text
			}
			if json.Unmarshal(raw, &inner) == nil && inner.Message != "" {
				return inner.Message
			}
			return string(raw)
		}
	}
	return string(b)
}

// clip makes what a stranger says one line of bounded length.
func clip(text string) string {
	const most = 300
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0x1b
	}), " ")
	if text == "" {
		return "(no text)"
	}
	if len(text) <= most {
		return text
	}
	cut := most
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// hide takes the key out of a text.
func (e *Engine) hide(text string) string {
	if e.key == "" {
		return text
	}
	return strings.ReplaceAll(text, e.key, "[key]")
}
