package engine_test

import (
	"context"
	"fmt"
	"slices"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/record"
	"criticrm/render"
	"criticrm/tokenizer"
)

// A model with random weights, made on the spot, writes two critiques of a response and gives the reward behind each. With a
// model directory, engine.Open takes the place of everything up to Wrap.
func Example() {
	dev, err := kernels.OpenCPU(0)
	check(err)
	defer dev.Close()
	tok, err := tokenizer.Train(slices.Values([]string{"Is it right?"}), tokenizer.TrainConfig{VocabSize: 262, Special: []string{"<|user|>", "<|assistant|>", "<|end|>"}, Pattern: "llama3"})
	check(err)
	chat, err := tokenizer.NewChat(tok, "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}", nil)
	check(err)
	m, err := model.New(dev, model.Config{VocabSize: 262, HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: 1, NumAttentionHeads: 2, TieWordEmbeddings: true,
		EOSTokenIDs: []int32{2}}, model.Options{Head: true}, 1)
	check(err)
	r, err := render.New(tok, chat, m.EOSTokenIDs)
	check(err)
	e := engine.Wrap(m, r, engine.Options{})
	defer e.Close()

	conversation := []tokenizer.Message{{Role: "user", Content: "2+2?"}, {Role: "assistant", Content: "4"}, {Role: "user", Content: "Is it right?"}}
	samples, err := e.Generate(context.Background(), []critic.Request{{Messages: conversation, N: 2, Key: 1}}, record.Sampling{Temperature: 1, MaxTokens: 8, Reward: true})
	check(err)
	for _, s := range samples[0] {
		fmt.Println(s.FinishReason, len(s.Tokens), *s.Reward) // a new reward head is zero
	}
	// Output:
	// length 8 0
	// length 8 0
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
