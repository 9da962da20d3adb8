package tokenizer

import (
	"slices"
	"strings"
	"testing"

	"criticrm/internal/golden"
)

// A turn that the assistant has begun is left open behind its words: the ids are those of the closed turn up to them, and none of a control token
// that the words spell. Templates without such a place say so.
func TestContinue(t *testing.T) {
	const head = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
	ask := []Message{{Role: "user", Content: "Judge it."}, {Role: "assistant", Content: "Review of\nit:"}}
	chat := mustChat(t, head+"{% if add_generation_prompt %}<|assistant|>{% endif %}", nil)
	tok := chat.tok
	got, err := chat.Continue(ask)
	if err != nil {
		t.Fatal(err)
	}
	open, err := chat.Encode(ask[:1], true)
	if err != nil {
		t.Fatal(err)
	}
	if want := append(open, tok.Encode(ask[1].Content)...); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	user := []Message{ask[0], {Role: "assistant", Content: "Here."}, {Role: "user", Content: "Its review:"}}
	closed, err := chat.Encode(user, false)
	if got, e := chat.Continue(user); err != nil || e != nil || !slices.Equal(got, closed[:len(closed)-1]) { // without <|end|>
		t.Errorf("a turn of the user's: %v, %v, %v; want the beginning of %v", got, err, e, closed)
	}
	if _, err := chat.Continue(user[:1]); err == nil || !strings.Contains(err.Error(), "behind 0 messages") {
		t.Errorf("got %v", err)
	}
	for name, bad := range map[string]string{
		"no place to write":    head,
		"another place":        head + "{% if add_generation_prompt %}<|assistant|><think>{% endif %}",
		"the words are shorn":  "{% for m in messages %}<|{{ m.role }}|>{{ m.content[:5] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
		"the words are louder": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | upper }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
	} {
		ids, err := mustChat(t, bad, nil).Continue(ask)
		if name == "no place to write" { // then the turn is opened by the message alone
			if err == nil && !strings.HasSuffix(tok.Decode(ids), "Review of\nit:") {
				t.Errorf("%s: %q", name, tok.Decode(ids))
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "cannot let the assistant go on") {
			t.Errorf("%s: ids %v, error %v", name, ids, err)
		}
	}
}

// The templates of published models leave a turn open: its ids begin with those of the prompt that lets the model write, and end with the words.
func TestContinueGolden(t *testing.T) {
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range set.Chats {
			tok := mustLoad(t, set.Dir(name))
			chat, err := LoadChat(set.Dir(name), tok, ChatOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ask := []Message{{Role: "user", Content: "Judge it."}, {Role: "assistant", Content: "Review of it:"}}
			open, err := chat.Encode(ask[:1], true)
			if err != nil {
				t.Fatal(err)
			}
			got, err := chat.Continue(ask)
			if err != nil || len(got) <= len(open) || !slices.Equal(got[:len(open)], open) || !strings.HasSuffix(tok.Decode(got), ask[1].Content) {
				t.Errorf("%s: %q, %v", name, tok.Decode(got), err)
			}
		}
	})
}
