package trainer_test

import (
	"context"
	"fmt"

	"criticrm/kernels"
	"criticrm/model"
	"criticrm/render"
	"criticrm/trainer"
)

// Eight pairs in memory, each with a critique of both responses, teach a model of one layer which response is better. From
// files, trainer.Run does the same as a recipe says.
func ExampleTrain() {
	dev, err := kernels.OpenCPU(0)
	if err != nil {
		panic(err)
	}
	defer dev.Close()
	m, err := model.New(dev, model.Config{VocabSize: 20, HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 1, NumAttentionHeads: 2, InitializerRange: 0.1},
		model.Options{Train: true, Head: true}, 1)
	if err != nil {
		panic(err)
	}
	defer m.Close()
	const good, bad, end = 10, 11, 2
	side := func(response, verdict int32) render.Reply {
		return render.Reply{Response: render.Branch{IDs: []int32{response}}, Critiques: []render.Branch{{IDs: []int32{verdict, end}, Read: 1}}}
	}
	var data trainer.Slice
	for i := range int32(8) {
		data = append(data, render.Example{Prompt: []int32{1, 3 + i%4}, Chosen: side(15, good), Rejected: side(16, bad)})
	}
	c := trainer.Default()
	c.BatchSize, c.Accumulation, c.MaxSteps, c.LearningRate, c.LambdaSchedule = 4, 2, 30, 1e-2, "constant"
	result, err := trainer.Train(context.Background(), m, data, c)
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Steps, result.Last.Accuracy, result.Last.Loss < 0.5)
	// Output: 30 1 true
}
