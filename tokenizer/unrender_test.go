package tokenizer

import (
	"slices"
	"testing"

	"criticrm/internal/golden"
)

// What a template renders is given back as the conversation that it was, and nothing else is: texts that are no rendered conversation, or one of
// another template, are refused.
func TestConversationGolden(t *testing.T) {
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range set.Chats {
			tok := mustLoad(t, set.Dir(name))
			chat, err := LoadChat(set.Dir(name), tok, ChatOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range [][]Message{
				{{"user", "What is 2 + 2?"}, {"assistant", "It is 4."}},
				{{"system", "Be brief."}, {"user", "What is\n\n2 + 2?"}, {"assistant", "It is 4 < 5"}},
				{{"user", "What?"}, {"assistant", "This."}, {"user", "And now?"}, {"assistant", "That: assistant\nuser"}},
				{{"user", "One"}, {"assistant", "Two"}, {"user", "Three"}, {"assistant", "Four"}, {"user", "Five"}, {"assistant", "Six"}},
			} {
				text, err := chat.Text(want, false)
				if err != nil {
					continue // templates without a system message
				}
				got, ok := chat.Conversation(text)
				if !ok || !slices.Equal(got, want) {
					t.Errorf("%s: %q: got %q, %v", name, text, got, ok)
				}
				if bos := chat.bosText(); bos != "" && len(text) > len(bos) && text[:len(bos)] == bos {
					if got, ok := chat.Conversation(text[len(bos):]); !ok || !slices.Equal(got, want) {
						t.Errorf("%s: without %q: got %q, %v", name, bos, got, ok)
					}
				}
				for _, bad := range []string{"x" + text, text + "x", text[:len(text)/3]} {
					if got, ok := chat.Conversation(bad); ok {
						again, err := chat.Text(got, false)
						if err != nil || len(again) < len(bad) || again[:len(bad)] != bad {
							t.Errorf("%s: %q is taken for %q", name, bad, got)
						}
					}
				}
			}
			for _, bad := range []string{"", "What is 2 + 2?", "<|user|>"} {
				if got, ok := chat.Conversation(bad); ok {
					t.Errorf("%s: %q is taken for %q", name, bad, got)
				}
			}
		}
	})
}

// Where nothing but the begin-of-text token stands before a user's words, any words are not a rendered conversation for that.
func TestConversationWords(t *testing.T) {
	chat := mustChat(t, "{{ bos_token }}{% for m in messages %}{% if not loop.first %}<|{{ m.role }}|>{% endif %}{{ m.content }}{% endfor %}<|end|>", map[string]any{"bos_token": "<|pad|>"})
	if got, ok := chat.Conversation("words"); ok {
		t.Errorf("words are taken for %q", got)
	}
	if got, ok := chat.Conversation("words<|assistant|>more"); !ok || len(got) != 2 || got[1].Content != "more" {
		t.Errorf("%q, %v", got, ok)
	}
}

// A response that was cut has no end token, and one that ends in the beginning of a control token keeps it.
func TestConversationCut(t *testing.T) {
	chat := mustChat(t, "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}", nil)
	for text, want := range map[string]string{
		"<|user|>a<|end|>\n<|assistant|>b":              "b",
		"<|user|>a<|end|>\n<|assistant|>b<|end|>":       "b",
		"<|user|>a<|end|>\n<|assistant|>b<|end|>\n":     "b",
		"<|user|>a<|end|>\n<|assistant|>b <":            "b <",
		"<|user|>a<|end|>\n<|assistant|>b\n":            "b\n",
		"<|user|>a<|end|>\n<|assistant|>b<|end|>\n\n":   "",
		"<|user|>a<|assistant|>b<|end|>\n":              "",
		"<|user|>a<|end|>\n<|assistant|>b<|end|>\n<|us": "",
	} {
		got, ok := chat.Conversation(text)
		if want == "" && !ok {
			continue
		}
		if want == "" || !ok || len(got) != 2 || got[0] != (Message{"user", "a"}) || got[1].Content != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, ok, want)
		}
	}
}
