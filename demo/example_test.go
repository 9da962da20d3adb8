package demo_test

import (
	"fmt"

	"criticrm/demo"
)

// The task's pairs are drawn, not stored: pair i of a split is a function of the seed and i.
func ExamplePairs() {
	pairs := demo.Pairs(1, 3, demo.Evaluation)
	again := demo.Pairs(1, 2, demo.Evaluation)
	for i, p := range again {
		fmt.Println(p.Question.Prompt == pairs[i].Question.Prompt, p.Chosen.Right, p.Rejected.Right)
	}
	// Output:
	// true true false
	// true true false
}
