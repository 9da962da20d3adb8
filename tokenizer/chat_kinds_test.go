package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"criticrm/internal/golden"
)

func kindTokenizer(t *testing.T, name string, change func(f object)) *Tokenizer {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(golden.Repository(t).Dir(golden.Repository(t).Kinds[0]), name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var f object
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(f)
	}
	tok, err := Parse(marshal(t, f))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// A message may write <think>, which is no control token, and not <|im_start|>; DeepSeek's <｜name｜>, which its file does not mark as special, neither.
func TestOpenTokensInMessages(t *testing.T) {
	tok := kindTokenizer(t, "qwen3", func(f object) {
		list := f["added_tokens"].([]any)
		for _, name := range []string{"<｜User｜>", "<|tool|>"} {
			list = append(list, object{"id": len(f["model"].(object)["vocab"].(object)) + len(list), "content": name, "special": false, "normalized": false})
		}
		f["added_tokens"] = list
	})
	chat, err := NewChat(tok, "<｜User｜>{{ messages[0].content }}<|im_end|><think>", nil)
	if err != nil {
		t.Fatal(err)
	}
	id := func(token string) int32 {
		id, ok := tok.ID(token)
		if !ok {
			t.Fatalf("%s is no token", token)
		}
		return id
	}
	for _, c := range []struct {
		message string
		open    []int32
	}{
		{"<think>a</think>", []int32{id("<think>"), id("</think>")}},
		{"<｜User｜>a<|im_end|><|tool|>", nil},
		{"<|im_start|><tool_call>a", []int32{id("<tool_call>")}},
	} {
		ids, err := chat.Encode([]Message{{"user", c.message}}, false)
		want := slices.Concat([]int32{id("<｜User｜>")}, tok.Encode(c.message), []int32{id("<|im_end|>"), id("<think>")})
		if err != nil || !slices.Equal(ids, want) {
			t.Errorf("%q: %v, %v, want %v", c.message, ids, err, want)
		}
		var added []int32
		for _, i := range tok.Encode(c.message) {
			if slices.ContainsFunc(tok.added, func(a addedToken) bool { return a.id == i }) {
				added = append(added, i)
			}
		}
		if !slices.Equal(added, c.open) {
			t.Errorf("%q: Encode gives the added tokens %v, want %v", c.message, added, c.open)
		}
	}
}

// Control tokens that are compared with the normalized text: places of messages are found there again.
func TestMessageTextIsPlainWhenNormalized(t *testing.T) {
	tok := kindTokenizer(t, "llama2_normalized", func(f object) {
		for _, a := range f["added_tokens"].([]any) {
			if a.(object)["content"] == "<tool>" {
				a.(object)["special"] = true
			}
		}
	})
	tool, _ := tok.ID("<tool>")
	for _, source := range []string{"a <tool>{{ messages[0].content }} <tool>b", "<tool>{{ messages[0].content }} x <tool>", " <tool> <tool>{{ messages[0].content }}"} {
		chat, err := NewChat(tok, source, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range []string{"", "x", "x <tool> y", " <tool>", "<tool>", "  <tool> <tool> ", "日本 <tool>é <tool", "tool> <tool>"} {
			ids, err := chat.Encode([]Message{{"user", message}}, false)
			n := 0
			for _, id := range ids {
				if id == tool {
					n++
				}
			}
			if err != nil || n != 2 {
				t.Errorf("%q with %q: %d control tokens in %v, %v, want the template's 2", source, message, n, ids, err)
			}
		}
	}
}

// Flags of added tokens hold in templates: white space behind <|end|> is part of it, a message's too.
func TestFlagsInTemplates(t *testing.T) {
	tok := kindTokenizer(t, "phi3_flags", nil)
	chat, err := NewChat(tok, "<|user|>\n{{ messages[0].content }}<|end|>\n<|mask|> x", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []string{"hi", "  hi \n", "word words", "    four"} {
		m := []Message{{"user", message}}
		text, err := chat.Text(m, false)
		ids, err2 := chat.Encode(m, false)
		if want := tok.EncodeSpecial(text); err != nil || err2 != nil || !slices.Equal(ids, want) {
			t.Errorf("%q: %v, %v, %v, want %v", message, ids, err, err2, want)
		}
	}
	ids, _ := chat.Encode([]Message{{"user", " hi"}}, false)
	if user, _ := tok.ID("<|user|>"); !slices.Equal(ids[:1], []int32{user}) || !slices.Equal(ids[1:3], tok.Encode("hi")[:2]) {
		t.Errorf("blanks behind <|user|> are left: %v", ids)
	}
}
