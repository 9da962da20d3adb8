package client

// Critiques while they are written: server-sent events.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// Event is a part of an answer: a critique goes on, or all of a response's are there.
type Event struct {
	Index  int     // of the response
	Sample int     // of its critiques
	Text   string  // what the critique goes on with
	Reward *Reward // of the response, behind the last text of its critiques; else nil
}

// Stream asks for rewards as Reward does, and gives the answer's parts to each as the server writes them, in order and on the caller's goroutine.
// Parts of several critiques alternate; those of one make its text. An error of each ends the request and is returned. A server waits for a
// client that does not read, but not long: each should not wait for anything.
//
// Until the first part is there, a request is sent again as Reward does it; behind that, a failure is the error: what was given would come again.
func (c *Client) Stream(ctx context.Context, q Request, each func(Event) error) (*Response, error) {
	to, err := c.url("/v1/reward")
	if err != nil {
		return nil, err
	}
	body, err := q.encode(struct {
		Request
		Stream bool `json:"stream"`
	}{q, true})
	if err != nil {
		return nil, err
	}
	given := 0
	var refused error // of each
	give := func(e Event) error {
		given++
		refused = each(e)
		return refused
	}
	r, err := c.try(ctx, &q, func() (*Response, error) {
		r, err := c.once(ctx, to, body, func(res *http.Response, in io.Reader) (*Response, error) { return parts(res, in, c.Key, give) })
		if err != nil && given > 0 {
			err = &stays{err}
		}
		return r, err
	})
	var final *stays
	switch {
	case refused != nil:
		return nil, refused
	case given > 0 && errors.As(err, &final):
		return nil, final.error
	}
	return r, err
}

// parts reads an answer in events; the last of them but one is the whole.
func parts(res *http.Response, in io.Reader, key string, give func(Event) error) (r *Response, err error) {
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind != "text/event-stream" {
		return nil, &stays{fmt.Errorf("client: the answer is %.40q and no stream of events: the server is another one, or too old", kind)}
	}
	lines := bufio.NewReader(in)
	for {
		data, err := event(lines)
		switch {
		case errors.Is(err, errLong):
			return nil, err
		case err != nil && r != nil: // only the end mark is missing
			return r, nil
		case err != nil:
			return nil, fmt.Errorf("client: the answer is cut: %w", err)
		case string(data) == "[DONE]" && r != nil:
			return r, nil
		}
		if r, err = part(data, key, give); err != nil {
			return nil, err
		}
	}
}

// event reads the data of the next event; io.ErrUnexpectedEOF: none is whole any more.
func event(lines *bufio.Reader) (data []byte, err error) {
	some := false
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) == 0 && some {
			return data, nil
		}
		if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			if some {
				data = append(data, '\n')
			}
			data, some = append(data, bytes.TrimPrefix(rest, []byte(" "))...), true
		} // names, numbers and comments say nothing here
	}
}

// part gives an event; the last one is the whole answer.
func part(data []byte, key string, give func(Event) error) (*Response, error) {
	strange := func(err error) error { return fmt.Errorf("client: an event of the answer is not a server's: %w", err) }
	var e struct {
		Object string          `json:"object"`
		Index  int             `json:"index"`
		Sample int             `json:"sample"`
		Text   string          `json:"text"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, strange(err)
	}
	switch {
	case e.Error != nil:
		return nil, told(data, key)
	case e.Object == "critique.delta":
		return nil, give(Event{Index: e.Index, Sample: e.Sample, Text: e.Text})
	case e.Object == "reward":
		r := &Reward{}
		if err := json.Unmarshal(data, r); err != nil {
			return nil, strange(err)
		}
		return nil, give(Event{Index: e.Index, Reward: r})
	case e.Object == "reward.list":
		r := &Response{}
		if err := json.Unmarshal(data, r); err != nil {
			return nil, strange(err)
		}
		return r, nil
	}
	return nil, nil // of a later server
}
