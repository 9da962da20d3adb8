package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"criticrm/client"
)

// A streamed answer says the same as one that is not: its parts make the critiques, and its last event is the whole.
func TestStreamReward(t *testing.T) {
	s, _ := newServer(t, nil)
	body := `{"prompt":"What is 2 + 2?","responses":["4","5"],"samples":3`
	want := ask(t, s, "/v1/reward", body+"}")
	w := send(s, http.MethodPost, "/v1/reward", body+`,"stream":true}`)
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" {
		t.Fatal(w.Code, w.Header(), w.Body)
	}
	list := events(t, w.Body)
	texts := map[[2]int]string{}
	var done []string
	for _, e := range list[:len(list)-2] {
		var x struct {
			Object        string
			Index, Sample int
			Text          string
		}
		if err := json.Unmarshal([]byte(e), &x); err != nil {
			t.Fatal(err)
		}
		switch x.Object {
		case "critique.delta":
			texts[[2]int{x.Index, x.Sample}] += x.Text
		case "reward":
			done = append(done, e)
		default:
			t.Errorf("event %s", e)
		}
	}
	last := value(t, list[len(list)-2])
	if len(list) < 30 || len(done) != 2 || list[len(list)-1] != "[DONE]" || fmt.Sprint(dig(last, "data")) != fmt.Sprint(dig(want, "data")) || fmt.Sprint(dig(last, "usage")) != fmt.Sprint(dig(want, "usage")) {
		t.Errorf("%d events, %d of them answers; the last %s", len(list), len(done), list[len(list)-2])
	}
	for i := range 2 {
		for k := range 3 {
			if got, want := texts[[2]int{i, k}], dig(want, "data", i, "critiques", k, "text"); got != want {
				t.Errorf("critique %d of %d: %q, want %q", k, i, got, want)
			}
		}
	}
	// What fails before anything is sent is answered as elsewhere; what fails later ends the stream with the error.
	if code, text := post(t, s, "/v1/reward", `{"prompt":"","response":"b","stream":true}`); code != 422 {
		t.Errorf("%d %s", code, text)
	}
	late, _ := newServer(t, func(o *Options, f *fake) {
		f.before = func(context.Context) error {
			if f.calls.Load() > 1 {
				return ErrBusy
			}
			return nil
		}
	})
	w = send(late, http.MethodPost, "/v1/reward", `{"prompt":"a","responses":["b","c"],"stream":true}`)
	if w.Code == 200 {
		list = events(t, w.Body)
		if last := list[len(list)-1]; !strings.Contains(last, `"code":"busy"`) {
			t.Errorf("the last event: %s", last)
		}
	} else if w.Code != 503 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// OpenAI's streams: parts, an end for each choice, usage if it is asked for, [DONE]; with stop strings cut as the whole text is, and never further.
func TestStreamOpenAI(t *testing.T) {
	s, f := newServer(t, nil)
	for _, x := range []struct{ path, ask string }{
		{"/v1/chat/completions", `"messages":[{"role":"user","content":"Hi"}]`},
		{"/v1/completions", `"prompt":["<|user|>Hi","<|user|>Ho"]`},
	} {
		for _, stop := range []string{``, `,"stop":"Score"`, `,"stop":["naïve. Sc","“"]`, `,"stop":["is","It is"]`, `,"stop":["not there"]`} {
			body := `{` + x.ask + `,"n":2,"seed":3,"max_tokens":60` + stop
			want := ask(t, s, x.path, body+"}")
			w := send(s, http.MethodPost, x.path, body+`,"stream":true,"stream_options":{"include_usage":true}}`)
			list := events(t, w.Body)
			texts, ends := map[int]string{}, map[int]string{}
			for _, e := range list[:len(list)-2] {
				var c struct {
					Choices []struct {
						Index int
						Text  string
						Delta struct{ Content string }
						End   *string `json:"finish_reason"`
					}
				}
				if err := json.Unmarshal([]byte(e), &c); err != nil || len(c.Choices) != 1 {
					t.Fatal(e, err)
				}
				texts[c.Choices[0].Index] += c.Choices[0].Text + c.Choices[0].Delta.Content
				if end := c.Choices[0].End; end != nil {
					ends[c.Choices[0].Index] += *end
				}
			}
			for i, c := range dig(want, "choices").([]any) {
				text := dig(c, "text")
				if text == nil {
					text = dig(c, "message", "content")
				}
				if texts[i] != text || ends[i] != dig(c, "finish_reason") {
					t.Errorf("%s%s: choice %d: %q (%s), want %q (%v)", x.path, stop, i, texts[i], ends[i], text, dig(c, "finish_reason"))
				}
				if strings.Contains(stop, "Score") && (strings.Contains(text.(string), "Score") || !strings.HasSuffix(text.(string), "naïve. ")) {
					t.Errorf("%s%s: %q", x.path, stop, text)
				}
			}
			if got := dig(value(t, list[len(list)-2]), "usage"); fmt.Sprint(got) != fmt.Sprint(dig(want, "usage")) || list[len(list)-1] != "[DONE]" {
				t.Errorf("%s%s: usage %v, want %v", x.path, stop, got, dig(want, "usage"))
			}
		}
	}
	if f.calls.Load() == 0 {
		t.Error("nobody was asked")
	}
	// The same request twice, and another seed.
	one := func(more string) string {
		return fmt.Sprint(dig(ask(t, s, "/v1/chat/completions", `{"messages":[{"role":"user","content":"Hi"}]`+more+`}`), "choices"))
	}
	if one("") != one("") || one(`,"seed":1`) == one(`,"seed":2`) || one(`,"seed":-1`) == one(`,"seed":1`) {
		t.Error("seeds do not decide")
	}
}

// Texts grow by whole characters, however their tokens cut them, up to the first stop string, wherever the tokens cut that.
func TestGrowing(t *testing.T) {
	openDir(t)
	for _, text := range []string{"plain words", "naïve “quotes” – 語言 🙂 end", strings.Repeat("ab", 50), "", "🙂"} {
		ids := testDir.Tok.Encode(text)
		for _, stops := range [][]string{nil, {"”"}, {"語言 🙂"}, {"bab", "zz"}, {"s", "d"}} {
			want := text
			at := -1
			for _, stop := range stops {
				if i := strings.Index(text, stop); i >= 0 && (at < 0 || i < at) {
					at = i
				}
			}
			if at >= 0 {
				want = text[:at]
			}
			for size := 1; size <= 3; size++ {
				g := growing{decode: decode, stops: stops}
				got := ""
				for i := 0; i < len(ids); i += size {
					g.add(ids[i:min(i+size, len(ids))])
					part := g.next(false)
					if strings.ContainsRune(part, '\uFFFD') {
						t.Errorf("%q: a part of a character: %q", text, part)
					}
					got += part
				}
				g.close(text)
				got += g.next(true)
				if got != want || g.ended != (at >= 0) {
					t.Errorf("%q with stops %q, %d tokens at a time: %q, want %q", text, stops, size, got, want)
				}
			}
		}
	}
}

// The client for Go reads what the server streams: its parts make the critiques of the whole answer, which is that of a request without a stream.
func TestStreamClient(t *testing.T) {
	v := start(t, nil)
	c := client.Client{BaseURL: v.url}
	q := client.Request{Prompt: "What is 2 + 2?", Responses: []string{"4", "5"}, Samples: 2}
	want, err := c.Reward(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	texts, parts := map[[2]int]string{}, 0
	r, err := c.Stream(t.Context(), q, func(e client.Event) error {
		if parts++; e.Reward == nil {
			texts[[2]int{e.Index, e.Sample}] += e.Text
			return nil
		}
		for k, z := range e.Reward.Critiques {
			if got := texts[[2]int{e.Index, k}]; got != z.Text || got == "" {
				t.Errorf("critique %d of %d: %q, want %q", k, e.Index, got, z.Text)
			}
		}
		return nil
	})
	if err != nil || parts < 20 || fmt.Sprint(*r.Data[1].Score, r.Usage) != fmt.Sprint(*want.Data[1].Score, want.Usage) {
		t.Errorf("%v, %d parts, %+v, want %+v", err, parts, r, want)
	}
	if _, err := c.Stream(t.Context(), client.Request{Prompt: "a", Responses: []string{"b"}, Samples: -1}, nil); err == nil || !strings.Contains(err.Error(), "samples") {
		t.Error(err)
	}
}
