package serve

import (
	"fmt"
	"strings"
	"testing"
)

// What other servers do with a member and this one does not is refused, on each route that is asked so, and taken where it changes nothing.
func TestRefusals(t *testing.T) {
	s, f := newServer(t, nil)
	routes := []struct {
		path, body string
		lists      [][]refusal
	}{
		{"/v1/chat/completions", `"messages":[{"role":"user","content":"a"}],"max_tokens":3`, [][]refusal{unwritten, unchatted}},
		{"/v1/completions", `"prompt":"a","max_tokens":3`, [][]refusal{unwritten, uncompleted}},
		{"/classify", `"input":"` + rendered + `"`, [][]refusal{unread}},
		{"/pooling", `"input":"` + rendered + `"`, [][]refusal{unread}},
		{"/v1/embeddings", `"input":"` + rendered + `"`, [][]refusal{unread}},
	}
	value := func(v any) string {
		switch v := v.(type) {
		case string:
			return fmt.Sprintf("%q", v)
		case []any:
			if len(v) > 0 {
				return `["text"]`
			}
			return "[]"
		case map[string]any:
			if len(v) > 0 {
				return `{"type":"text"}`
			}
			return "{}"
		}
		return fmt.Sprint(v)
	}
	for _, r := range routes {
		for _, list := range r.lists {
			for _, x := range list {
				n := f.calls.Load()
				for _, v := range []string{`{"a":[1]}`, `"x"`, "7"} {
					refused{r.path, `{` + r.body + `,"` + x.key + `":` + v + `}`, 400, x.key + ": " + x.why}.try(t, s)
				}
				if f.calls.Load() != n {
					t.Errorf("%s %s: the backend was asked", r.path, x.key)
				}
				for _, v := range append([]any{"null"}, x.harmless...) {
					text := value(v)
					if v == "null" {
						text = "null"
					}
					if code, answer := post(t, s, r.path, `{`+r.body+`,"`+x.key+`":`+text+`}`); code != 200 {
						t.Errorf("%s %s %s: %d %s", r.path, x.key, text, code, answer)
					}
				}
			}
		}
	}
	for _, x := range unsaid {
		said := func(v string) string {
			return `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","` + x.key + `":` + v + `},{"role":"user","content":"c"}]}`
		}
		refused{"/v1/chat/completions", said(`[{"id":"x"}]`), 400, "messages[1]." + x.key + ": " + x.why}.try(t, s)
		if code, text := post(t, s, "/v1/chat/completions", said("null")); code != 200 || strings.Contains(text, "error") {
			t.Errorf("%s: %d %s", x.key, code, text)
		}
	}
}
