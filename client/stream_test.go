package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const streamed = `data: {"object":"critique.delta","index":0,"sample":0,"text":"Fine.\n"}

: a comment
event: later
data: {"object":"unknown"}

data: {"object":"critique.delta","index":1,"sample":0,"text":"No."}

data: {"object":"critique.delta","index":0,
data: "sample":0,"text":"Score: 8"}

data: {"object":"reward","index":0,"score":1.7,"own_score":8,"plain":false,"critiques":[{"text":"Fine.\nScore: 8","score":1.7,"finish_reason":"stop","tokens":7}]}

`

// events answers with a stream.
func events(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, text)
}

func last() string { return "data: " + strings.ReplaceAll(good, "\n", "") + "\n\n" }

// tale writes events down.
type tale struct{ strings.Builder }

func (l *tale) add(e Event) error {
	if e.Reward != nil {
		fmt.Fprintf(l, "[%d: %v of %d]", e.Index, *e.Reward.Score, len(e.Reward.Critiques))
		return nil
	}
	fmt.Fprintf(l, "[%d.%d %q]", e.Index, e.Sample, e.Text)
	return nil
}

// Parts come as they are written: the first is here before the server writes the next.
func TestStream(t *testing.T) {
	const want = `[0.0 "Fine.\n"][1.0 "No."][0.0 "Score: 8"][0: 1.7 of 1]`
	seen := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if text := string(b); text != `{"prompt":"2+2?","responses":["4","5"],"samples":1,"stream":true}` {
			t.Error(text)
		}
		head, rest, _ := strings.Cut(streamed, ": a comment")
		events(w, head)
		w.(http.Flusher).Flush()
		select {
		case <-seen:
		case <-time.After(10 * time.Second):
			t.Error("the first part did not come while the answer was written")
		}
		fmt.Fprint(w, strings.ReplaceAll(rest, "\n", "\r\n")+last()+"data: [DONE]\n\n")
	})
	var got tale
	r, err := c.Stream(t.Context(), two, func(e Event) error {
		if got.Len() == 0 {
			close(seen)
		}
		return got.add(e)
	})
	if err != nil || got.String() != want || len(r.Data) != 2 || *r.Data[0].Score != 1.7 || r.Usage.CompletionTokens != 7 {
		t.Errorf("%v %s %+v", err, &got, r)
	}
}

// What fails before the first part is tried again; behind it nothing is said twice.
func TestStreamFaults(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, call int32)
		tries  int32
		want   string // in the error; "": none
	}{
		"busy at first": {func(w http.ResponseWriter, call int32) {
			if call == 1 {
				w.WriteHeader(503)
				return
			}
			events(w, streamed+last())
		}, 2, ""},
		"cut before anything": {func(w http.ResponseWriter, call int32) { events(w, "data: {\"obj") }, 6, "the answer is cut: unexpected EOF, after 6 tries"},
		"cut":                 {func(w http.ResponseWriter, call int32) { events(w, streamed) }, 1, "the answer is cut"},
		"error in the stream": {func(w http.ResponseWriter, call int32) {
			events(w, streamed+`data: {"error":{"code":"deadline","message":"the time is over: secret-key","param":null,"request_id":"r7"}}`+"\n\n")
		}, 1, "client: the time is over: [key] (request r7)"},
		"no stream":   {func(w http.ResponseWriter, call int32) { fmt.Fprint(w, good) }, 1, "no stream of events"},
		"no server's": {func(w http.ResponseWriter, call int32) { events(w, "data: hello\n\n") }, 6, "not a server's"},
		"other rewards": {func(w http.ResponseWriter, call int32) {
			events(w, "data: {\"object\":\"reward.list\",\"data\":[]}\n\n")
		}, 1, "has 0 rewards, want 2"},
		"end, no answer": {func(w http.ResponseWriter, call int32) { events(w, "data: [DONE]\n\n") }, 6, "not a server's"},
	} {
		var calls atomic.Int32
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) { c.answer(w, calls.Add(1)) })
		var got tale
		_, err := client.Stream(t.Context(), two, got.add)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || calls.Load() != c.tries || strings.Count(got.String(), "Fine") > 1 {
			t.Errorf("%s: %v after %d tries, want %q after %d; %s", name, err, calls.Load(), c.want, c.tries, &got)
		}
	}
	// The caller may have enough, of one part or of the time.
	gone := make(chan struct{}, 2)
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		events(w, streamed)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})
	enough := errors.New("enough")
	if _, err := client.Stream(t.Context(), two, func(Event) error { return enough }); err != enough {
		t.Error(err)
	}
	<-gone
	client.Timeout = 50 * time.Millisecond
	if _, err := client.Stream(t.Context(), two, func(Event) error { return nil }); err == nil || !strings.Contains(err.Error(), "no whole answer within 50ms") {
		t.Error(err)
	}
	<-gone
}

func ExampleClient_Stream() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // in place of criticrm serve
		events(w, streamed+last()+"data: [DONE]\n\n")
	}))
	defer server.Close()
	c := Client{BaseURL: server.URL}
	r, err := c.Stream(context.Background(), Request{Prompt: "2+2?", Responses: []string{"4", "5"}}, func(e Event) error {
		if e.Index == 0 && e.Reward == nil {
			fmt.Print(e.Text)
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("\nreward %.1f\n", *r.Data[0].Score)
	// Output:
	// Fine.
	// Score: 8
	// reward 1.7
}
