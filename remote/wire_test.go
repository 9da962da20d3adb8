package remote

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/tokenizer"
)

// spelling is a tokenizer of one id for each character; 2 ends a text.
func spelling(o Options) Options {
	o.Encode = func(messages []tokenizer.Message, _ bool) (ids []int32, err error) {
		for _, m := range messages {
			ids = append(ids, idsOf(m.Content)...)
		}
		return ids, nil
	}
	o.Decode = func(ids []int32) string {
		var b strings.Builder
		for _, id := range ids {
			b.WriteRune(id)
		}
		return b.String()
	}
	o.Ends = []int32{2}
	return o
}

func idsOf(text string) (ids []int32) {
	for _, r := range text {
		ids = append(ids, r)
	}
	return ids
}

// Answers in the words of several servers.
func TestDecode(t *testing.T) {
	chat := func(choice string) string {
		return `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[` + choice + `],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,"prompt_tokens_details":null}}`
	}
	for name, c := range map[string]struct {
		route, body string
		text, end   string
		tokens      int
		logProb     float64
		err         string
	}{
		"vLLM": {Chat, chat(`{"index":0,"message":{"role":"assistant","content":"ab","refusal":null,"tool_calls":[],"reasoning_content":null},"logprobs":null,"finish_reason":"stop","stop_reason":null,"token_ids":[97,98,2]}`),
			"ab", "stop", 3, 0, ""},
		"vLLM with log-probabilities": {Chat, chat(`{"index":0,"message":{"role":"assistant","content":"ab"},"logprobs":{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[]},{"token":"b","logprob":-0.25,"bytes":[98],"top_logprobs":[]},{"token":"","logprob":-1,"bytes":[],"top_logprobs":[]}]},"finish_reason":"stop","token_ids":[97,98,2]}`),
			"ab", "stop", 3, -1.75, ""},
		"vLLM, tokens as ids": {Completions, chat(`{"index":0,"text":"ab","logprobs":{"text_offset":[0,1],"token_logprobs":[-0.5,-0.25],"tokens":["token_id:97","token_id:98"],"top_logprobs":[null,null]},"finish_reason":"length","stop_reason":null,"prompt_logprobs":null}`),
			"ab", "length", 2, -0.75, ""},
		"llama.cpp": {Chat, chat(`{"finish_reason":"length","index":0,"message":{"role":"assistant","content":"ab"},"logprobs":{"content":[{"id":97,"token":"a","bytes":[97],"logprob":-0.5,"top_logprobs":[{"id":97,"token":"a","bytes":[97],"logprob":-0.5}]},{"id":98,"token":"b","bytes":[98],"logprob":-1.5,"top_logprobs":[]}]}}`),
			"ab", "length", 2, -2, ""},
		"a model that thinks": {Chat, chat(`{"index":0,"message":{"role":"assistant","content":"ab","reasoning_content":"hm"},"finish_reason":"stop","token_ids":[104,109,97,98,2]}`),
			"ab", "stop", 0, 0, ""},
		"thinking to the limit": {Chat, chat(`{"index":0,"message":{"role":"assistant","content":null,"reasoning":"hm"},"finish_reason":"length"}`), "", "length", 0, 0, ""},
		"empty":                 {Chat, chat(`{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop","token_ids":[2]}`), "", "stop", 1, 0, ""},
		"ids of another model":  {Chat, chat(`{"index":0,"message":{"content":"ab"},"finish_reason":"stop","token_ids":[5,6,2]}`), "ab", "stop", 0, 0, ""},
		"ids without an end":    {Chat, chat(`{"index":0,"message":{"content":"ab"},"finish_reason":"stop","token_ids":[97,98]}`), "ab", "stop", 0, 0, ""},
		"a negative id":         {Chat, chat(`{"index":0,"message":{"content":"a"},"finish_reason":"length","token_ids":[-97]}`), "a", "length", 0, 0, ""},
		"logs that are missing": {Chat, chat(`{"index":0,"message":{"content":"ab"},"finish_reason":"length","token_ids":[97,98],"logprobs":{"content":[{"token":"a","logprob":null},{"token":"b","logprob":-1}]}}`), "ab", "length", 2, 0, ""},
		"logs of another form":  {Chat, chat(`{"index":0,"message":{"content":"ab"},"finish_reason":"length","token_ids":[97,98],"logprobs":[1,2]}`), "ab", "length", 2, 0, ""},
		"TGI":                   {Completions, chat(`{"index":0,"text":"ab","logprobs":null,"finish_reason":"eos_token"}`), "ab", "stop", 0, 0, ""},
		"tools":                 {Chat, chat(`{"index":0,"message":{"content":"ab"},"finish_reason":"tool_calls"}`), "", "", 0, 0, "tool_calls"},
		"refusal":               {Chat, chat(`{"index":0,"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}`), "", "", 0, 0, "refusal"},
		"parts":                 {Chat, chat(`{"index":0,"message":{"content":[{"type":"text","text":"ab"}]},"finish_reason":"stop"}`), "", "", 0, 0, "content is no text"},
		"null text":             {Completions, chat(`{"index":0,"text":null,"finish_reason":"stop"}`), "", "", 0, 0, "without text"},
		"an id that is none":    {Chat, chat(`{"index":0,"message":{"content":"a"},"finish_reason":"stop","token_ids":[99999999999]}`), "", "", 0, 0, "not of the API's form"},
	} {
		o := spelling(quick("http://localhost"))
		o.Route = c.route
		e := open(t, o)
		list, u, err := e.decode([]byte(c.body), 1)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
			continue
		}
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s := list[0].sample
		if s.Text != c.text || s.FinishReason != c.end || len(s.Tokens) != c.tokens || s.LogProb != c.logProb || list[0].lacks != (c.tokens == 0) || *u.Prompt != 5 || *u.Completion != 3 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// Without the model's tokenizer ids are nobody's to check, and none are kept.
func TestNoTokensWithoutTokenizer(t *testing.T) {
	e := open(t, quick("http://localhost"))
	list, _, err := e.decode([]byte(`{"choices":[{"index":0,"message":{"content":"ab"},"finish_reason":"length","token_ids":[97,98],"logprobs":{"content":[{"logprob":-1},{"logprob":-1}]}}]}`), 1)
	if err != nil || list[0].sample.Tokens != nil || list[0].sample.LogProb != 0 || list[0].lacks {
		t.Errorf("%v %+v", err, list)
	}
}

// The completions route sends the prompt's ids, and a server that has not read all of them is an error.
func TestCompletions(t *testing.T) {
	f := &fake{change: func(answer, asked map[string]any) {
		text := "fine"
		for _, c := range answer["choices"].([]any) {
			c.(map[string]any)["text"], c.(map[string]any)["token_ids"] = text, append(idsOf(text), 2)
		}
	}}
	o := spelling(quick(serve(t, f)))
	o.Route, o.LogProbs = Completions, true
	reqs := requests(1, 1)
	out, err := critic.Samples(t.Context(), open(t, o), reqs, sampling)
	if err != nil || !reflect.DeepEqual(out[0][0], critic.Sample{Text: "fine", Tokens: append(idsOf("fine"), 2), FinishReason: record.FinishStop}) {
		t.Fatalf("%v %+v", err, out)
	}
	b := f.bodies[0]
	if got := fmt.Sprint(b["prompt"], b["stop_token_ids"], b["return_token_ids"], b["logprobs"], b["messages"]); got != "[113 117 101 115 116 105 111 110 32 48] [2] true 1 <nil>" {
		t.Error(got)
	}
	reqs[0].Messages[0].Content += " is longer"
	if _, err := critic.Samples(t.Context(), open(t, o), reqs, sampling); err == nil || !strings.Contains(err.Error(), "it has read 10 of the prompt's 20 tokens") {
		t.Errorf("%v", err)
	}
}

// Whatever a server sends, the decoder gives samples that keep the contract, or an error of one line.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"choices":[{"index":0,"message":{"content":"ab"},"finish_reason":"stop","token_ids":[97,98,2],"logprobs":{"content":[{"id":97,"logprob":-1}]}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`,
		`{"choices":[{"index":1,"text":"ab","finish_reason":"length","logprobs":{"tokens":["token_id:97"],"token_logprobs":[-1e308]}},{"text":"","finish_reason":"stop"}]}`,
		`{"error":{"message":"no"}}`, `{"object":"error","message":[1]}`, `[]`, "", "\xff", `{"choices":[{"message":{"content":"\ud800"}}]}`,
		`{"choices":[{"message":{"content":null,"reasoning":"x"},"finish_reason":"length"}]}`,
	} {
		f.Add([]byte(body), true, 2)
		f.Add([]byte(body), false, 1)
	}
	engines := map[bool]*Engine{}
	for _, chat := range []bool{true, false} {
		o := spelling(quick("http://localhost"))
		if o.Route = Completions; chat {
			o.Route = Chat
		}
		e, err := Open(f.Context(), o)
		if err != nil {
			f.Fatal(err)
		}
		engines[chat] = e
	}
	f.Fuzz(func(t *testing.T, b []byte, chat bool, n int) {
		e := engines[chat]
		n = 1 + (n&0x7fffffff)%8
		list, u, err := e.decode(b, n)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") || len(list) > 0 {
				t.Errorf("%d choices, %q", len(list), err)
			}
			if !utf8.ValidString(clip(said(b))) || len(clip(said(b))) > 310 {
				t.Errorf("%q", clip(said(b)))
			}
			return
		}
		if len(list) < 1 || len(list) > n || u.Prompt != nil && *u.Prompt < 0 {
			t.Fatalf("%d of %d", len(list), n)
		}
		seen := map[int]bool{}
		for _, x := range list {
			s := x.sample
			if seen[x.at] || x.at < 0 || x.at >= n || !utf8.ValidString(s.Text) || math.IsNaN(s.LogProb) || math.IsInf(s.LogProb, 0) || s.LogProb != 0 && s.Tokens == nil ||
				s.FinishReason != record.FinishStop && s.FinishReason != record.FinishLength {
				t.Errorf("%+v", x)
			}
			body := s.Tokens
			if s.Tokens != nil && s.FinishReason == record.FinishStop {
				body = body[:len(body)-1]
			}
			if s.Tokens != nil && e.o.Decode(body) != s.Text {
				t.Errorf("%+v", s)
			}
			seen[x.at] = true
		}
	})
}
