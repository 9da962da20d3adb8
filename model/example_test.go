package model_test

import (
	"context"
	"fmt"

	"criticrm/kernels"
	"criticrm/model"
)

// A model with random weights samples two critiques of a response and reads the reward behind each.
func Example() {
	dev, err := kernels.OpenCPU(0)
	if err != nil {
		panic(err)
	}
	defer dev.Close()
	m, err := model.New(dev, model.Config{VocabSize: 50, HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: 2, NumAttentionHeads: 2,
		TieWordEmbeddings: true}, model.Options{Head: true}, 1)
	if err != nil {
		panic(err)
	}
	defer m.Close()
	request := model.GenRequest{Prefix: []int32{1, 5, 9, 3}, N: 2, Key: 42}
	err = m.Generate(context.Background(), []model.GenRequest{request}, model.GenOptions{Temperature: 1, MaxTokens: 6, Reward: model.AtEnd},
		func(req int, samples []model.GenSample) {
			for _, s := range samples {
				fmt.Println(req, len(s.IDs), s.Reward) // a new reward head is zero
			}
		})
	if err != nil {
		panic(err)
	}
	// Output:
	// 0 6 0
	// 0 6 0
}
