package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"criticrm/demo"
	"criticrm/kernels"
	"criticrm/pipeline"
)

// The whole method on the demo's model: two files of pairs in, a model and its figures out.
func Example() {
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	write := func(name string, pairs []demo.Pair) string {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			log.Fatal(err)
		}
		defer f.Close()
		for _, p := range pairs {
			row := map[string]string{"prompt": p.Question.Prompt, "chosen": p.Chosen.Text, "rejected": p.Rejected.Text}
			if err := json.NewEncoder(f).Encode(row); err != nil {
				log.Fatal(err)
			}
		}
		return f.Name()
	}
	c := pipeline.Default()
	c.Dir, c.Prompts = "../demo/base", "../demo/prompts"
	c.TrainFile, c.EvalFile = write("pairs.jsonl", demo.Pairs(1, 40, demo.Train)), write("held-out.jsonl", demo.Pairs(2, 20, demo.Evaluation))
	c.OutputDir = filepath.Join(dir, "run")
	c.Generate.Critiques, c.Generate.Temperature, c.Generate.TopP, c.Generate.MaxTokens = 4, 1, 1, 60
	c.Refine.Mode, c.Refine.TopK = "margin", 2
	c.Train.MaxSteps, c.Train.BatchSize, c.Train.Accumulation, c.Train.LearningRate = 4, 8, 1, 1e-3
	c.Eval.Samples = 2
	if err := c.Resolve(nil); err != nil {
		log.Fatal(err)
	}
	dev, err := kernels.OpenCPU(0)
	if err != nil {
		log.Fatal(err)
	}
	defer dev.Close()
	results, err := pipeline.Run(context.Background(), dev, c, pipeline.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range results.Rows { // row.Mean is the accuracy, row.Interval its interval
		fmt.Println(row.Method, row.M, row.N)
	}
	// Output:
	// Critic-RM 1 20
	// Critic-RM 2 20
	// Critic-RM as judge 2 20
	// LLM judge (base) 1 20
	// LLM judge (base) 2 20
	// length 0 20
}
