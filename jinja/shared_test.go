package jinja

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/internal/golden"
)

func readJSON[T any](t testing.TB, path string) T {
	t.Helper()
	var v T
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type message struct{ Role, Content string }

func messageList(list []message) *List {
	l := NewList()
	for i, m := range list {
		l.Items = append(l.Items, NewDict("role", NewText(m.Role), "content", NewSourced(m.Content, i)))
	}
	return l
}

// Small templates, one for each construct, with what transformers makes of them.
func TestSharedCases(t *testing.T) {
	dir := golden.Shared(t, "cases/template-constructs", "cases/template-whitespace")
	n := 0
	for _, set := range []string{"template-constructs", "template-whitespace"} {
		dir := filepath.Join(dir, "cases", set)
		templates := readJSON[map[string]string](t, filepath.Join(dir, "templates.json"))
		want := readJSON[map[string]string](t, filepath.Join(dir, "ref.json"))
		vars := Vars{"messages": messageList(readJSON[[]message](t, filepath.Join(dir, "messages.json"))), "add_generation_prompt": true,
			"tools": None, "documents": None, "bos_token": NewText("<|user|>"), "eos_token": NewText("<|end|>")}
		for name, source := range templates {
			got := ""
			tmpl, err := Parse(source)
			if err == nil {
				var out *Text
				if out, err = tmpl.Render(vars, Options{}); err == nil {
					got = out.S
				}
			}
			n++
			switch {
			case strings.HasPrefix(want[name], "ERR "):
				if err == nil {
					t.Errorf("%s: %q gives %q, want an error: %s", name, source, got, want[name])
				}
			case err != nil || got != want[name]:
				t.Errorf("%s: %q\n got %q, %v\nwant %q", name, source, got, err, want[name])
			}
		}
	}
	t.Logf("%d templates", n)
}
