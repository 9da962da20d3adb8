package tokenizer_test

import (
	"fmt"
	"slices"

	"criticrm/tokenizer"
)

func Example() {
	texts := []string{"What is 12 + 30?", "It is 42.", "What is it?"}
	tok, err := tokenizer.Train(slices.Values(texts), tokenizer.TrainConfig{
		VocabSize: 265, Special: []string{"<|user|>", "<|assistant|>", "<|end|>"}, Pattern: "llama3",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	template := "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}" +
		"{% if add_generation_prompt %}<|assistant|>{% endif %}"
	chat, err := tokenizer.NewChat(tok, template, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ids, err := chat.Encode([]tokenizer.Message{{Role: "user", Content: "What is <|end|>?"}}, true)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, id := range ids {
		if tok.IsSpecial(id) {
			fmt.Println(id, tok.Token(id))
		}
	}
	fmt.Println(tok.Decode(ids))
	// Output:
	// 0 <|user|>
	// 2 <|end|>
	// 1 <|assistant|>
	// <|user|>What is <|end|>?<|end|><|assistant|>
}
