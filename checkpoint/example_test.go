package checkpoint_test

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"criticrm/checkpoint"
)

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	run := filepath.Join(dir, "checkpoints")

	weights := []float32{0.5, -0.25, 1, 2}
	state := &checkpoint.State{
		Step: 100,
		Tensors: []checkpoint.TensorData{{
			TensorInfo: checkpoint.TensorInfo{Name: "score.weight", DType: "F32", Shape: []int64{1, 4}},
			Data:       checkpoint.F32Bytes(weights),
		}},
		Meta: json.RawMessage(`{"epoch": 1, "row": 3200}`),
	}
	if _, err := checkpoint.Save(run, state, 2); err != nil {
		log.Fatal(err)
	}

	path, step, err := checkpoint.Latest(run)
	if err != nil {
		log.Fatal(err)
	}
	back, err := checkpoint.Load(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(filepath.Base(path), step, back.Tensors[0].Name, back.Tensors[0].Shape, string(back.Meta))

	// A model for other programs.
	model := filepath.Join(dir, "model")
	if err := checkpoint.WriteModelDir(model, back.Tensors, 0); err != nil {
		log.Fatal(err)
	}
	m, err := checkpoint.OpenModelDir(model)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	x, err := m.ReadF32("score.weight")
	fmt.Println(m.Names(), x, err)
	// Output:
	// step-00000100 100 score.weight [1 4] {"epoch":1,"row":3200}
	// [score.weight] [0.5 -0.25 1 2] <nil>
}
