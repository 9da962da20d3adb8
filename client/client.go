// Package client asks a criticrm server for rewards. It needs nothing but the standard library.
//
//	c := client.Client{BaseURL: "http://127.0.0.1:5000"}
//	r, err := c.Reward(ctx, client.Request{Prompt: "What is 2+2?", Responses: []string{"4", "5"}, Samples: 4})
//	// *r.Data[0].Score, r.Data[0].Critiques[0].Text
//
// Requests that fail for a reason that may pass (no connection, a full queue, a server that stops, a deadline) are sent again; a request has
// no effects, and the same one gets the same answer. Others are an *Error at once.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Client asks one server. The zero values of all fields but BaseURL will do. It may be used by several goroutines at once.
type Client struct {
	BaseURL string        // as http://127.0.0.1:5000
	Key     string        // of the server, if it wants one
	Timeout time.Duration // of one try; 0: two minutes, in which a server finishes what it admits
	Retries int           // further tries; 0: 5, negative: none
	HTTP    *http.Client  // nil: one that follows no redirects

	pause func(tries int) time.Duration // nil: backOff
}

// Message is a turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Request asks for the rewards of one or several responses to a prompt, which is Prompt or Messages. Without responses the last of Messages is
// the response; Input are whole texts as the model's chat template spells them, prompt and response in one. What is left out is the
// server's.
type Request struct {
	Model       string    `json:"model,omitempty"`
	Prompt      string    `json:"prompt,omitempty"`
	Messages    []Message `json:"messages,omitempty"`
	Input       []string  `json:"input,omitempty"`
	Responses   []string  `json:"responses,omitempty"`
	ID          string    `json:"id,omitempty"`          // that randomness depends on; else it depends on the content
	Samples     int       `json:"samples,omitempty"`     // critiques of each response, whose rewards are averaged
	Temperature *float64  `json:"temperature,omitempty"` // of the critiques
	TopP        *float64  `json:"top_p,omitempty"`
	MaxTokens   int       `json:"max_tokens,omitempty"` // of a critique
	Seed        *uint64   `json:"seed,omitempty"`
	Plain       *bool     `json:"plain,omitempty"` // rewards without critiques
}

// Response has one reward for each response, in their order.
type Response struct {
	ID    string   `json:"id"`
	Model string   `json:"model"`
	Data  []Reward `json:"data"`
	Usage Usage    `json:"usage"`
	Notes []string `json:"notes"` // what a person should know of the rewards
}

// Reward is that of one response.
type Reward struct {
	Index     int        `json:"index"`
	Score     *float32   `json:"score"`     // mean over the critiques; nil: the server has none
	OwnScore  *float64   `json:"own_score"` // mean of the scores that the critiques end in; nil: none has one
	Plain     bool       `json:"plain"`     // read without critiques
	Critiques []Critique `json:"critiques"`
	Shortened *Cut       `json:"shortened"` // nil: prompt and response were read whole
}

// Cut is what a server that is started to do so (--overlong) has not read of a text over its limit.
type Cut struct {
	Policy   string `json:"policy"`   // truncate-left or truncate-right
	Prompt   int    `json:"prompt"`   // characters of the conversation, from its start
	Response int    `json:"response"` // characters from the end
}

// Critique is one of a response, with the reward that is read behind it.
type Critique struct {
	Text         string   `json:"text"`
	Score        *float32 `json:"score"`
	OwnScore     *float64 `json:"own_score"`     // that the text ends in
	FinishReason string   `json:"finish_reason"` // stop, or length: the limit of tokens cut it
	Tokens       int      `json:"tokens"`
}

// Usage are tokens that were read and written.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// Error is what a server says of a request that it does not serve.
type Error struct {
	Status    int    // of HTTP; 0: it came in a stream that had begun
	Code      string // a word for programs; "": the server gives none
	Param     string // the field that is wrong; "": none
	Message   string
	RequestID string

	retry time.Duration // that it asks for
	tries int
}

// Error is one line.
func (e *Error) Error() string {
	text := "client: " + e.Message
	if e.Status != 0 {
		text = fmt.Sprintf("client: %d %s: %s", e.Status, http.StatusText(e.Status), e.Message)
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	if e.tries > 1 {
		text += fmt.Sprintf(", after %d tries", e.tries)
	}
	return text
}

// Temporary reports whether the same request may be served later: 408, 425, 429 and 5xx but 501.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return e.Status >= 500 && e.Status != http.StatusNotImplemented
}

const (
	maxBody  = 64 << 20 // bytes of an answer
	maxWait  = 5 * time.Minute
	maxShown = 300
)

// Reward asks for rewards. Errors are an *Error of the server, the context's, or say what kept an answer from coming.
func (c *Client) Reward(ctx context.Context, q Request) (*Response, error) {
	to, err := c.url("/v1/reward")
	if err != nil {
		return nil, err
	}
	body, err := q.encode(q)
	if err != nil {
		return nil, err
	}
	return c.try(ctx, &q, func() (*Response, error) { return c.once(ctx, to, body, whole) })
}

// encode writes a body for the request. A text that JSON has no form for would be another one at the server, and have another reward.
func (q *Request) encode(body any) ([]byte, error) {
	bad := func(name string, at int, text string) error {
		if utf8.ValidString(text) {
			return nil
		}
		if at >= 0 {
			name = fmt.Sprintf("%s[%d]", name, at)
		}
		return fmt.Errorf("client: %s is not valid UTF-8: mend it, as by strings.ToValidUTF8", name)
	}
	err := cmp.Or(bad("Prompt", -1, q.Prompt), bad("ID", -1, q.ID), bad("Model", -1, q.Model))
	for i, m := range q.Messages {
		err = cmp.Or(err, bad("Messages", i, m.Role), bad("Messages", i, m.Content))
	}
	for i := range q.Input {
		err = cmp.Or(err, bad("Input", i, q.Input[i]))
	}
	for i := range q.Responses {
		err = cmp.Or(err, bad("Responses", i, q.Responses[i]))
	}
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return b, nil
}

// try sends a request until it is served, or another try is of no use.
func (c *Client) try(ctx context.Context, q *Request, once func() (*Response, error)) (*Response, error) {
	tries := 1 + c.Retries
	if c.Retries == 0 {
		tries = 6
	}
	for try := 1; ; try++ {
		r, err := once()
		if err == nil {
			return r, r.check(q)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var told *Error
		wait := backOff(try - 1)
		if c.pause != nil {
			wait = c.pause(try - 1)
		}
		if errors.As(err, &told) {
			told.tries = try
			if !told.Temporary() || told.retry > maxWait {
				return nil, err
			}
			wait = max(wait, told.retry)
		}
		var final *stays
		switch {
		case errors.As(err, &final):
			return nil, err
		case try >= tries && told == nil:
			return nil, fmt.Errorf("%w, after %d tries", err, try)
		case try >= tries:
			return nil, err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
	}
}

// backOff is half a second, doubled for each try up to half a minute, and half of it by chance.
func backOff(tries int) time.Duration {
	d := min(30*time.Second, 500*time.Millisecond<<min(tries, 10))
	return d/2 + rand.N(d/2)
}

// stays is a failure that another try does not mend.
type stays struct{ error }

func (e *stays) Unwrap() error { return e.error }

// url is where a route is.
func (c *Client) url(route string) (string, error) {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", errors.New("client: BaseURL: want one as http://127.0.0.1:5000")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("client: BaseURL: want neither user, query nor fragment; a key goes into Key")
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1") + route
	return u.String(), nil
}

// follow refuses redirects: a body and a key go where they were sent.
var follow = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// once is one try; read reads what comes with 200.
func (c *Client) once(ctx context.Context, to string, body []byte, read func(*http.Response, io.Reader) (*Response, error)) (*Response, error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 2 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, &stays{errors.New("client: the request cannot be made")}
	}
	req.Header.Set("Content-Type", "application/json")
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	client := c.HTTP
	if client == nil {
		client = follow
	}
	res, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v", timeout)
		}
		return nil, fmt.Errorf("client: %w", err)
	}
	defer res.Body.Close()
	in := &limited{res.Body, maxBody}
	if res.StatusCode == http.StatusOK {
		r, err := read(res, in)
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("client: no whole answer within %v", timeout)
		}
		return r, err
	}
	b, err := io.ReadAll(in)
	if errors.Is(err, errLong) {
		return nil, err
	}
	e := told(b, c.Key)
	e.Status, e.retry = res.StatusCode, retryAfter(res.Header.Get("Retry-After"), time.Now())
	return nil, e
}

// errLong is an answer that no server gives.
var errLong = &stays{fmt.Errorf("client: the answer is longer than %d bytes", maxBody)}

// limited gives errLong behind so many bytes.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLong
	}
	n, err := l.r.Read(b[:min(int64(len(b)), l.left)])
	l.left -= int64(n)
	return n, err
}

// whole reads an answer that comes at once.
func whole(_ *http.Response, in io.Reader) (*Response, error) {
	b, err := io.ReadAll(in)
	if errors.Is(err, errLong) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("client: the answer is cut: %w", err)
	}
	r := &Response{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("client: the answer is not a server's: %w", err)
	}
	return r, nil
}

// check holds an answer to the request.
func (r *Response) check(q *Request) error {
	want := max(len(q.Responses), len(q.Input), 1)
	if len(r.Data) != want {
		return fmt.Errorf("client: the answer has %d rewards, want %d", len(r.Data), want)
	}
	for i := range r.Data {
		if r.Data[i].Index != i {
			return fmt.Errorf("client: the answer has the reward of response %d in place %d", r.Data[i].Index, i)
		}
	}
	return nil
}

// told reads an error's body.
func told(b []byte, key string) *Error {
	e := &Error{}
	var form struct {
		Error struct {
			Code      string  `json:"code"`
			Message   string  `json:"message"`
			Param     *string `json:"param"`
			RequestID string  `json:"request_id"`
		} `json:"error"`
	}
	if json.Unmarshal(b, &form) == nil && form.Error.Message != "" {
		e.Code, e.Message, e.RequestID = form.Error.Code, form.Error.Message, form.Error.RequestID
		if form.Error.Param != nil {
			e.Param = *form.Error.Param
		}
	} else {
		e.Message = strings.ToValidUTF8(string(b[:min(len(b), maxShown)]), "\uFFFD")
	}
	if e.Message = strings.Join(strings.Fields(e.Message), " "); e.Message == "" {
		e.Message = "(no text)"
	}
	if key != "" {
		e.Message = strings.ReplaceAll(e.Message, key, "[key]")
	}
	return e
}

// retryAfter is how long a server asks to wait, in seconds or up to a date.
func retryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
		if !(s > 0) {
			return 0
		}
		return time.Duration(min(s, 1e9) * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
