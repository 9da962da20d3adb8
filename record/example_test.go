package record_test

import (
	"fmt"
	"os"
	"strings"

	"criticrm/record"
)

// Rows of three public forms become records with the same fields; what is wrong with a row is told with its line and byte.
func Example() {
	for _, rows := range []string{
		`{"prompt": "2+2?", "chosen": "4", "rejected": "5", "source": "mine"}`,
		`{"chosen": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}], "rejected": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "5"}]}`,
		`{"prompt": "2+2?", "completion": "4", "label": true}`,
		`{"prompt": "2+2?", "chosen": "4", "chosen": "5"}`,
	} {
		in, err := record.NewReader(strings.NewReader(rows), "rows.jsonl", record.ReadOptions{})
		if err != nil {
			panic(err)
		}
		for r, err := range in.Records() {
			if err != nil {
				fmt.Println(err)
				continue
			}
			fmt.Printf("%v: %s", in.Schema, r.Prompt)
			for _, side := range r.Sides() {
				fmt.Printf(" %v=%s", side, r.Text(side))
			}
			fmt.Println()
		}
	}
	// Output:
	// prompt/chosen/rejected: 2+2? chosen=4 rejected=5
	// chosen/rejected message lists: 2+2? chosen=4 rejected=5
	// prompt/response: 2+2? response=4
	// rows.jsonl:1@34: key "chosen" appears twice
}

// Steps add fields; what was in the row keeps its place.
func ExampleWriteRecords() {
	r, err := record.ParseRecord([]byte(`{"source": {"row": 7}, "prompt": "2+2?", "chosen": "4", "rejected": "5", "id": "a"}`))
	if err != nil {
		panic(err)
	}
	score := 9.0
	r.ChosenCritiques = []record.Critique{{Text: "Right. Score: 9", Score: &score, Origin: record.OriginGiven}}
	if err := record.WriteRecords(os.Stdout, []*record.Record{r}); err != nil {
		panic(err)
	}
	// Output:
	// {"source":{"row": 7},"prompt":"2+2?","chosen":"4","rejected":"5","id":"a","chosen_critiques":[{"text":"Right. Score: 9","score":9,"origin":"given"}]}
}
