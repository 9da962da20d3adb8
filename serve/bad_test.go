package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refused is what a request is answered with: a status, and a part of the message.
type refused struct {
	path, body string
	status     int
	want       string
}

func (x refused) try(t *testing.T, s *Server) {
	t.Helper()
	code, body := post(t, s, x.path, x.body)
	var e struct {
		Error struct{ Code, Message, Param, Type string }
	}
	err := json.Unmarshal([]byte(body), &e)
	if code != x.status || err != nil || !strings.Contains(e.Error.Message, x.want) || e.Error.Code == "" {
		t.Errorf("%s %.100s: %d %.300s (%v); want %d with %q", x.path, x.body, code, body, err, x.status, x.want)
	}
}

// Bodies that are not what the route reads: 400, with the field, or the byte.
func TestMalformed(t *testing.T) {
	s, f := newServer(t, nil)
	deep := strings.Repeat("[", 32)
	for _, x := range []refused{
		{"/v1/reward", ``, 400, "there is no body: want a JSON object"},
		{"/v1/reward", `null`, 400, "the body is a null, want a JSON object"},
		{"/v1/reward", `[{"prompt":"a"}]`, 400, "the body is an array, want a JSON object"},
		{"/v1/reward", `{"prompt":"a","response":"b"`, 400, "unexpected end at byte 28"},
		{"/v1/reward", `{"prompt":"a","response":"b"} x`, 400, "unexpected 'x' at byte 30"},
		{"/v1/reward", `{"prompt":"a","prompt":"b","response":"c"}`, 400, `key "prompt" appears twice at byte 14`},
		{"/v1/reward", `{"prompt":"a","\u0070rompt":"b","response":"c"}`, 400, `appears twice`},
		{"/v1/reward", `{"promt":"a","response":"b"}`, 400, `unknown field "promt", did you mean "prompt"?`},
		{"/v1/reward", `{"prompt":7,"response":"b"}`, 400, "prompt: got number, want string at byte 10"},
		{"/v1/reward", `{"prompt":"a","response":["b"]}`, 400, "response: got array, want string"},
		{"/v1/reward", "{\"prompt\":\"\xff\",\"response\":\"b\"}", 400, "not valid UTF-8 at byte 11"},
		{"/v1/reward", `{"prompt":"\ud800","response":"b"}`, 400, "invalid Unicode escape at byte 11"},
		{"/v1/reward", `{"prompt":` + deep + strings.Repeat("]", 32) + `,"response":"b"}`, 400, "prompt[0]: got array, want object"},
		{"/classify", `{"x":` + deep + strings.Repeat("]", 32) + `,"input":"b"}`, 400, "nested deeper than 32"},
		{"/v1/reward", `{"prompt":"a","response":"b","temperature":1e999}`, 400, "temperature: number 1e999 is out of range"},
		{"/v1/reward", `{"prompt":"a","response":"b","temperature":NaN}`, 400, "NaN is no value in JSON"},
		{"/v1/reward", `{"prompt":"a","response":"b","samples":1.5}`, 400, "samples: got 1.5, want a whole number"},
		{"/v1/reward", `{"prompt":"a","response":"b","seed":-1.5}`, 400, "seed: got -1.5, want a whole number of 64 bits"},
		{"/v1/reward", `{"prompt":"a"}`, 400, "response: it is missing"},
		{"/v1/reward", `{"response":"a"}`, 400, "want one of prompt, messages and input: 0 are given"},
		{"/v1/reward", `{"prompt":"a","messages":[],"response":"b"}`, 400, "2 are given"},
		{"/v1/reward", `{"prompt":"a","response":"b","responses":["c"]}`, 400, "response is given, too"},
		{"/v1/reward", `{"input":"a","response":"b"}`, 400, "whole texts have their responses in them"},
		{"/v1/reward", `{"messages":[{"role":"user","content":"a","name":"b"}],"response":"c"}`, 400, `unknown field "name"`},
		{"/v1/reward", `{"messages":[{"role":"user"}],"response":"c"}`, 400, "messages[0].content: it is missing"},
		{"/v1/reward", `{"messages":[{"role":"user","content":[]}],"response":"c"}`, 400, "messages[0].content: got array, want string"},
		{"/v1/reward", `{"input":[1,"a"]}`, 400, "input[1]: got string, want number: texts and token ids do not mix"},
		{"/v1/reward", `{"input":[[1],2]}`, 400, "input[1]: got number, want string"},
		{"/v1/reward", `{"input":[-1]}`, 400, "token id -1"},
		{"/get_reward", `{"queries":["a"]}`, 400, "query: it is missing"},
		{"/classify", `{"input":"a","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, 400, "want one of both"},
		{"/classify", `{"text":"a","input":"b"}`, 400, "input: text is given, too: want one of both"},
		{"/classify", `{"text":"a","input_ids":[1]}`, 400, "input_ids: text is given, too"},
		{"/classify", `{"text":"a","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, 400, "messages: text is given, too"},
		{"/classify", `{"input":"a","truncation_side":"middle"}`, 400, `truncation_side: got "middle", want left or right`},
		{"/pooling", `{"input":"a","task":"token_classify"}`, 400, "rewards are read at the end of texts"},
		{"/classify", `{"input":"a","task":"embed"}`, 400, "task: got \"embed\", want classify"},
		{"/classify", `{"text":"a","encoding_format":"base64"}`, 400, "encoding_format: got \"base64\", want float"},
		{"/pooling", `{"input":"a","encoding_format":"int8"}`, 400, "want float or base64"},
		{"/v1/score/evaluation", `{"model":"base","messages":[]}`, 400, "the list is empty"},
		{"/v1/chat/completions", `{"messages":[]}`, 400, "messages: there are none"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x/"}}]}]}`, 400, "messages[0].content[0]: want parts of the type text"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"logprobs":true}`, 400, "logprobs: log-probabilities are not given"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}`, 400, "calls no tools"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"chat_template":"{{ x }}"}`, 400, "chat template is used and no other"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_object"}}`, 400, "texts have no schema"},
		{"/v1/completions", `{"prompt":"a","echo":true}`, 400, "echo: the prompt is not given back"},
	} {
		x.try(t, s)
	}
	if n := f.calls.Load(); n != 0 {
		t.Errorf("the backend was asked %d times", n)
	}
	// What changes nothing is taken.
	for _, body := range []string{
		`{"messages":[{"role":"user","content":"a","name":"x"}],"logprobs":false,"tools":[],"presence_penalty":0.0,"logit_bias":{},"response_format":{"type":"text"},"user":"x","store":false}`,
		`{"messages":[{"role":"user","content":"a"}],"logprobs":null,"tools":null,"n":null,"stop":null,"stream":null,"frequency_penalty":null}`,
	} {
		if code, text := post(t, s, "/v1/chat/completions", body); code != 200 {
			t.Errorf("%s: %d %s", body, code, text)
		}
	}
}

// Values that are well formed and cannot be served: 422 with the limit on the server's own route, 400 on those whose clients know no 422; unknown
// models 404.
func TestUnfit(t *testing.T) {
	s, f := newServer(t, nil)
	many := strings.TrimSuffix(strings.Repeat(`"a",`, 65), ",")
	long, _ := json.Marshal(strings.Repeat("number ", 600))
	for _, x := range []refused{
		{"/v1/reward", `{"prompt":"a","responses":[` + many + `]}`, 422, "responses[0]: got 65 items, at most 64 in one request"},
		{"/v1/reward", `{"prompt":"a","responses":[]}`, 422, "there is nothing to judge"},
		{"/v1/reward", `{"prompt":"a","response":"b","samples":1e18}`, 422, "samples: got 1000000000000000000, want 1 to 64"},
		{"/v1/reward", `{"prompt":"a","response":"b","samples":-1}`, 422, "samples: got -1, want 1 to 64"},
		{"/v1/reward", `{"prompt":"a","response":"b","samples":1e40}`, 422, "want 1 to 64"},
		{"/v1/reward", `{"prompt":"a","response":"b","max_tokens":0}`, 422, "max_tokens: got 0, want 1 to 1048576"},
		{"/v1/reward", `{"prompt":"a","response":"b","temperature":-1}`, 422, "temperature: got -1, want 0 to 100"},
		{"/v1/reward", `{"prompt":"a","response":"b","top_p":0}`, 422, "top_p: got 0"},
		{"/v1/reward", `{"prompt":"a","response":"b","temperature":0,"samples":2}`, 422, "makes all 2 critiques equal"},
		{"/v1/reward", `{"prompt":"","response":"b"}`, 422, "prompt: it is empty"},
		{"/v1/reward", `{"input":""}`, 422, "input: the text is empty"},
		{"/v1/reward", `{"input":[]}`, 422, "there is nothing to judge"},
		{"/v1/reward", `{"input":[[1000000]]}`, 422, "input[0]: token id 1000000, the model has"},
		{"/v1/reward", `{"messages":[{"role":"user","content":"a"}]}`, 422, "messages: got 1 messages"},
		{"/v1/reward", `{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}`, 422, `messages[1].role: got "user", want "assistant"`},
		{"/v1/reward", `{"messages":[{"role":"a b","content":"a"}],"response":"b"}`, 422, "want 1 to 64 letters"},
		{"/v1/reward", `{"prompt":"a","response":` + string(long) + `}`, 422, "context is 512"},
		{"/v1/reward", `{"prompt":"a","response":` + string(long) + `,"plain":true}`, 422, "context is 512"},
		{"/v1/reward", `{"prompt":"a","response":"b","max_tokens":600}`, 422, "600 to write, context is 512"},
		{"/v1/reward", `{"input":` + string(long) + `}`, 422, "the limit is 512"},
		{"/v1/reward", `{"prompt":"a","response":"b","model":"gpt"}`, 404, "there is no model gpt, this is base"},
		{"/v1/reward", `{"prompt":"a","response":"b","id":""}`, 422, "id: want 1 to 256 bytes"},
		{"/classify", `{"input":"a","model":"gpt"}`, 404, "there is no model gpt"},
		{"/classify", `{"input":["a",""]}`, 400, "input[1]: the text is empty"},
		{"/classify", `{"input":` + string(long) + `}`, 400, "the limit is 512"},
		{"/classify", `{"input":"a","truncate_prompt_tokens":0}`, 400, "truncate_prompt_tokens: got 0, want 1 to 512"},
		{"/classify", `{"text":"a","truncate_prompt_tokens":0}`, 400, "truncate_prompt_tokens: got 0, want 1 to 512"},
		{"/v1/score/evaluation", `{"messages":["a"],"max_length":-4}`, 400, "max_length: got -4, want 1 to 512"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"n":65}`, 400, "n: got 65, want 1 to 64"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"max_tokens":5,"max_completion_tokens":6}`, 400, "max_completion_tokens: got 6, and max_tokens 5"},
		{"/v1/completions", `{"prompt":"a","max_completion_tokens":1000}`, 400, "1000 to write, the model's context is 512"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"max_tokens":511}`, 400, "the model's context is 512"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":` + string(long) + `}]}`, 400, "the model's context is 512"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"stop":[""]}`, 400, "stop: want 1 to 256 bytes"},
		{"/v1/completions", `{"prompt":""}`, 400, "prompt: it is empty"},
	} {
		x.try(t, s)
	}
	if n := f.calls.Load(); n != 0 {
		t.Errorf("the backend was asked %d times", n)
	}
	// Too long becomes a cut where that is asked for, and is told.
	got := ask(t, s, "/classify", `{"input":`+string(long)+`,"truncate_prompt_tokens":-1}`)
	if n := fmt.Sprint(dig(got, "usage", "prompt_tokens")); n != "512" {
		t.Errorf("%s tokens are read", n)
	}
	cut, _ := newServer(t, func(o *Options, _ *fake) { o.Score.Overlong = "truncate-right" })
	got = ask(t, cut, "/v1/reward", `{"prompt":"a","response":`+string(long)+`}`)
	if dig(got, "data", 0, "shortened", "policy") != "truncate-right" {
		t.Errorf("%v", got)
	}
	drop, _ := newServer(t, func(o *Options, _ *fake) { o.Score.Overlong = "drop" })
	refused{"/v1/reward", `{"prompt":"a","response":` + string(long) + `}`, 422, "over the model's context of 512 tokens"}.try(t, drop)
}

// Routes, methods, keys, encodings and types.
func TestClosed(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	const key, next = "0123456789abcdef", "fedcba9876543210"
	write := func(text string) {
		if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\n" + key + "\n\n")
	s, f := newServer(t, func(o *Options, _ *fake) { o.Set.KeyFile = keys })
	good := `{"prompt":"a","response":"b"}`
	for _, x := range []struct {
		method, path, auth string
		want               int
	}{
		{"GET", "/health", "", 200}, {"HEAD", "/health", "", 200},
		{"GET", "/", "", 401}, {"GET", "/ready", "", 401}, {"GET", "/metrics", "", 401}, {"GET", "/v1/models", "", 401}, {"POST", "/v1/reward", "", 401},
		{"POST", "/v1/reward", "Bearer " + strings.ToUpper(key), 401}, {"POST", "/v1/reward", key, 401}, {"POST", "/v1/reward", "Bearer " + key[1:], 401},
		{"POST", "/v1/reward?api_key=" + key, "", 401}, {"GET", "/nothing", "", 401},
		{"POST", "/v1/reward", "Bearer " + key, 200}, {"POST", "/v1/reward", "bearer  " + key, 200},
		{"GET", "/", "Basic dTowMTIzNDU2Nzg5YWJjZGVm", 200},
		{"GET", "/nothing", "Bearer " + key, 404}, {"GET", "/v1/reward", "Bearer " + key, 405}, {"DELETE", "/health", "Bearer " + key, 405},
		{"GET", "//health", "Bearer " + key, 404}, {"GET", "/v1/../health", "Bearer " + key, 404}, {"GET", "/%2e%2e/health", "Bearer " + key, 404},
		{"POST", "/v1%2freward", "Bearer " + key, 404}, {"POST", "/v1/reward/", "Bearer " + key, 404},
	} {
		w := send(s, x.method, x.path, good, "Authorization", x.auth)
		if w.Code != x.want {
			t.Errorf("%s %s with %q: %d %s, want %d", x.method, x.path, x.auth, w.Code, w.Body, x.want)
		}
		if w.Code == 405 && w.Header().Get("Allow") == "" || w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" || w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s %s: headers %v", x.method, x.path, w.Header())
		}
	}
	if got := send(s, "GET", "/v1/reward", "", "Authorization", "Bearer "+key).Header().Get("Allow"); got != "POST" {
		t.Errorf("Allow: %q", got)
	}
	// New keys hold when they are read, bad files change nothing.
	try := func(k string) int { return send(s, "POST", "/v1/reward", good, "Authorization", "Bearer "+k).Code }
	write(next)
	if a, b := try(key), try(next); a != 200 || b != 401 {
		t.Errorf("before: %d and %d", a, b)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if a, b := try(key), try(next); a != 401 || b != 200 {
		t.Errorf("after: %d and %d", a, b)
	}
	for text, want := range map[string]string{"short": "a key of 5 characters, want at least 16", "": "has no key", key + " x": "a key with a space in it", key + "é": "visible", "\ufeff" + key: "byte order mark", key + "\x00": "visible"} {
		write(text)
		if err := s.Reload(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if a, b := try(key), try(next); a != 401 || b != 200 {
		t.Errorf("after bad files: %d and %d", a, b)
	}
	calls := f.calls.Load()
	for _, x := range []struct {
		header, value string
		want          int
	}{
		{"Content-Encoding", "gzip", 415}, {"Content-Type", "application/x-www-form-urlencoded", 415}, {"Content-Type", "", 415}, {"Content-Type", "application/json; charset=utf-8", 200},
		{timeoutHeader, "-1", 400}, {timeoutHeader, "1e9", 400}, {timeoutHeader, "99999999999", 400}, {timeoutHeader, "100000", 200},
	} {
		if code, body := post(t, s, "/v1/reward", good, "Authorization", "Bearer "+next, x.header, x.value); code != x.want {
			t.Errorf("%s: %s: %d %s", x.header, x.value, code, body)
		}
	}
	if n := f.calls.Load() - calls; n != 2 {
		t.Errorf("the backend was asked %d times, want 2", n)
	}
	if code, body := post(t, s, "/v1/reward", `{"prompt":"`+strings.Repeat("a", 2<<20)+`"}`, "Authorization", "Bearer "+next); code != http.StatusRequestEntityTooLarge || !strings.Contains(body, "larger than 2097152 bytes") {
		t.Errorf("%d %s", code, body)
	}
}

// Every route but /health wants the key: a new one cannot be forgotten.
func TestAllRoutesAreClosed(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	const key = "0123456789abcdef"
	if err := os.WriteFile(keys, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	s, f := newServer(t, func(o *Options, _ *fake) { o.Set.KeyFile = keys })
	for path, methods := range s.routes {
		for method := range methods {
			for _, auth := range []string{"", "Bearer " + strings.ToUpper(key), "Bearer " + key[:15], "Bearer " + key + "0", "Bearer", key, "Basic " + key} {
				want := 401
				if path == "/health" {
					want = 200
				}
				if w := send(s, method, path, `{"prompt":"a","response":"b"}`, "Authorization", auth); w.Code != want {
					t.Errorf("%s %s with %q: %d, want %d", method, path, auth, w.Code, want)
				}
			}
			if w := send(s, method, path, `{}`, "Authorization", "Bearer "+key); w.Code == 401 {
				t.Errorf("%s %s with the key: %s", method, path, w.Body)
			}
		}
	}
	if n := f.calls.Load(); n != 0 {
		t.Errorf("the backend was asked %d times", n)
	}
}

// Without a key, names of other sites that lead here are refused: a page of theirs would ask in the name of who looks at it.
func TestHosts(t *testing.T) {
	s, _ := newServer(t, nil)
	for host, want := range map[string]int{"127.0.0.1:5000": 200, "localhost:5000": 200, "[::1]:5000": 200, "localhost": 200, "evil.example": 421, "evil.example:5000": 421, "127.0.0.1.evil.example": 421} {
		w := sendTo(s, host)
		if w.Code != want {
			t.Errorf("%s: %d %s", host, w.Code, w.Body)
		}
	}
	for _, set := range []func(*Settings){
		func(o *Settings) { o.Host = "0.0.0.0" }, func(o *Settings) { o.Host = "::" }, func(o *Settings) { o.Host = "example.com" },
		func(o *Settings) { o.Port = 70000 }, func(o *Settings) { o.Deadline = 0 }, func(o *Settings) { o.TLSCert = "x" },
	} {
		o := DefaultSettings()
		set(&o)
		if err := o.Validate(); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
