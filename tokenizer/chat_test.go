package tokenizer

import (
	"path/filepath"
	"slices"
	"testing"

	"criticrm/internal/golden"
)

type goldenChat struct {
	Messages            []Message
	AddGenerationPrompt bool `json:"add_generation_prompt"`
	Text                string
	IDs                 []int32
}

// What transformers renders and encodes, exactly.
func TestGoldenChats(t *testing.T) {
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range set.Chats {
			t.Run(name, func(t *testing.T) { testChats(t, set.Dir(name)) })
		}
	})
}

func testChats(t *testing.T, dir string) {
	chat, err := LoadChat(dir, mustLoad(t, dir), ChatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lines := readLines[goldenChat](t, filepath.Join(dir, "chats.jsonl"))
	if len(lines) < 10 {
		t.Errorf("only %d chats", len(lines))
	}
	for i, l := range lines {
		text, err := chat.Text(l.Messages, l.AddGenerationPrompt)
		if err != nil || text != l.Text {
			t.Errorf("%d: Text gives %q, %v\nwant %q", i, text, err, l.Text)
		}
		ids, err := chat.Encode(l.Messages, l.AddGenerationPrompt)
		if err != nil || !slices.Equal(ids, l.IDs) {
			t.Errorf("%d: Encode gives %v, %v\nwant %v", i, ids, err, l.IDs)
		}
	}
}
