package serve

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
)

// FuzzRequests: whatever the body, each route answers once, with JSON: what was asked for, or an error of the request with a code, a message and the
// request's id, in its family's form.
func FuzzRequests(f *testing.F) {
	s, _ := newServer(f, func(o *Options, _ *fake) { o.Set.MaxItems = 4; o.Set.MaxSamples = 4; o.Score.Sampling.MaxTokens = 20 })
	var paths []string
	for path, methods := range s.routes {
		if methods[http.MethodPost] != nil {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	for _, body := range []string{
		``, `{}`, `null`, good, `{"prompt":[{"role":"user","content":"a"}],"responses":["b","c"],"samples":2,"seed":18446744073709551615,"stream":true}`,
		`{"input":[[1,2],[3]],"use_activation":true,"truncate_prompt_tokens":-1,"truncation_side":"right","encoding_format":"base64"}`,
		`{"query":["` + rendered + `"],"prompts":[null]}`, `{"text":"` + rendered + `"}`, `{"messages":["` + rendered + `"],"max_length":3}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":"b"}],"continue_final_message":true,"add_generation_prompt":false,"n":2,"stop":["a","b"],"stream":true,"stream_options":{"include_usage":true}}`,
		`{"prompt":["a",""],"response":"b","temperature":1e-40,"top_p":1e-60,"max_tokens":1}`, `{"prompt":"\u0000<|end|>","response":"\ud83d\ude42","logit_bias":{},"rubric":["a"],"id":"x"}`,
	} {
		for i := range paths {
			f.Add(uint8(i), body)
		}
	}
	f.Fuzz(func(t *testing.T, route uint8, body string) {
		path := paths[int(route)%len(paths)]
		w := send(s, http.MethodPost, path, body)
		text := w.Body.Bytes()
		if w.Code == http.StatusOK {
			if w.Header().Get("Content-Type") == "text/event-stream" {
				events(t, w.Body)
			} else if !json.Valid(text) {
				t.Fatalf("%s: %s", path, text)
			}
			return
		}
		var e struct {
			Error struct {
				Code, Message, Type string
				ID                  string `json:"request_id"`
			}
		}
		if err := json.Unmarshal(text, &e); err != nil || e.Error.Code == "" || e.Error.Message == "" || e.Error.ID != w.Header().Get("X-Request-Id") {
			t.Fatalf("%s: %d %s (%v)", path, w.Code, text, err)
		}
		own := path == "/v1/reward"
		if ok := w.Code == 400 || w.Code == 404 || w.Code == 422 && own; !ok || own == (e.Error.Type != "") {
			t.Fatalf("%s: %d %s", path, w.Code, text)
		}
	})
}
