package text

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/record"
	"criticrm/splitmix"
	"criticrm/tokenizer"
)

//go:embed prompts/*.txt
var prompts embed.FS

// Extract writes the prompts that critiques are asked for with into a directory.
func Extract(dir string) error {
	entries, err := prompts.ReadDir("prompts")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	for _, e := range entries {
		b, err := prompts.ReadFile("prompts/" + e.Name())
		if err == nil {
			err = checkpoint.WriteFileAtomic(filepath.Join(dir, e.Name()), b)
		}
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

// Conversation is a row of a cold start.
type Conversation struct {
	Messages []tokenizer.Message `json:"messages"`
}

// ColdStart are up to n conversations in which an answer of the pairs is criticised by program: one answer of a pair, as many that are found
// right as are found wrong, in an order of the seed. unread is how many answers have no equation that can be read.
func ColdStart(pairs []*record.Record, ask *critic.Prompts, n int, seed uint64) (rows []Conversation, unread int) {
	var verdicts [2][]Conversation
	for i, r := range pairs {
		answer := &record.Record{Prompt: r.Prompt, Response: new(r.Text(record.Side(i % 2)))}
		says, ok := Critique(*answer.Response)
		if !ok {
			unread++
			continue
		}
		k := 0
		if critic.DefaultScale().Parse(says).Score == good {
			k = 1
		}
		m := append(ask.Ask(answer, record.Single, critic.DefaultScale()), tokenizer.Message{Role: "assistant", Content: says})
		verdicts[k] = append(verdicts[k], Conversation{m})
	}
	for _, i := range splitmix.Permutation(seed, min(len(verdicts[0]), len(verdicts[1]), n/2)) {
		rows = append(rows, verdicts[0][i], verdicts[1][i])
	}
	return rows, unread
}
