package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/splitmix"
)

// runOptions say what writeRun writes.
type runOptions struct {
	pairs, categories, rounds, steps int
	baselines                        bool
	seed                             uint64
}

// evil would run if it were not escaped.
const evil = `<script>alert("1")</script><img src=x onerror=alert(2)>'"&</title></style>`

// writeRun writes the directory of a run whose rewards and critiques are drawn at random, with evil in every text.
func writeRun(t *testing.T, dir string, o runOptions) string {
	t.Helper()
	key := o.seed
	draw := func() float64 { key++; return float64(splitmix.Draw(77, key)>>11) / (1 << 53) }
	critiques := func(n int, up bool, rewards bool) (list []record.Critique) {
		for i := range n {
			score := float64(1 + int(5*draw()))
			if up {
				score += 2
			}
			c := record.Critique{Text: fmt.Sprintf("critique %d %s\n\nScore: %v", i, evil, score), Tokens: []int32{1, 2}, FinishReason: record.FinishStop, Score: &score}
			if i == 3 && draw() < 0.2 {
				c.Score, c.Text, c.FinishReason = nil, "no verdict", record.FinishLength
			}
			if rewards {
				c.Reward = new(float32(6*draw() - 3))
				if up {
					c.Reward = new(float32(6*draw() - 2))
				}
			}
			list = append(list, c)
		}
		return list
	}
	pairs := func(n int, name string, rewards bool) (out []*record.Record) {
		for i := range n {
			r := &record.Record{ID: fmt.Sprintf("%s-%d %s", name, i, evil), Prompt: record.Prompt{Text: fmt.Sprintf("%s question %d?\n%s", name, i, evil)},
				Chosen: "good " + strings.Repeat("word ", i*7%40) + evil, Rejected: "bad " + strings.Repeat("word ", i*11%40) + evil,
				Category: fmt.Sprintf("category %d %s", i%o.categories, evil[:8]), ChosenCritiques: critiques(8, true, rewards), RejectedCritiques: critiques(8, false, rewards)}
			if rewards {
				r.ChosenReward, r.RejectedReward = new(critic.MeanReward(r.ChosenCritiques)), new(critic.MeanReward(r.RejectedCritiques))
			}
			out = append(out, r)
		}
		return out
	}
	train := func(part string) {
		var b strings.Builder
		fmt.Fprintf(&b, `{"step":0,"train":{"file":%q,"rows":9,"dropped":{%q:3}}}`+"\n", "train.jsonl", evil)
		for s := 1; s <= o.steps; s++ {
			fmt.Fprintf(&b, `{"step": %d, "loss": 1, "critique_loss": %v, "reward_loss": %v, "lambda": %v, "accuracy": %v, "grad_norm": null}`+"\n", s, 1+draw(), 0.7*draw(), 1-float64(s)/float64(o.steps), draw())
			if s%50 == 0 {
				fmt.Fprintf(&b, `{"step": %d, "eval_critique_loss": 1.5, "eval_reward_loss": 0.5, "eval_accuracy": 0.75}`+"\n", s)
			}
		}
		write(t, filepath.Join(dir, part, trainDir, metricsFile), b.String())
		write(t, filepath.Join(dir, part, trainDir, recipeFile), "# help\nmethod: critic\nlearning_rate: 0.001\n")
	}
	for round := 1; round <= o.rounds; round++ {
		part := fmt.Sprint(roundPrefix, round)
		rows := pairs(o.pairs, "train", false)
		writeRecords(t, filepath.Join(dir, part, critiquesFile), rows)
		if _, err := critic.Filter(rows, critic.FilterOptions{Rule: critic.FilterMeanEach}); err != nil {
			t.Fatal(err)
		}
		writeRecords(t, filepath.Join(dir, part, filteredFile), rows)
		writeRecords(t, filepath.Join(dir, part, refinedFile), rows)
		train(part)
		writeRecords(t, filepath.Join(dir, part, evalFile), pairs(o.pairs, "held", true))
		if o.rounds > 1 {
			writeRecords(t, filepath.Join(dir, part, validFile), pairs(o.pairs, "valid", true))
		}
	}
	if o.rounds > 1 { // the first round is the best
		if err := os.Symlink("round-1/train/model", filepath.Join(dir, modelLink)); err != nil {
			t.Fatal(err)
		}
	}
	writeRecords(t, filepath.Join(dir, "base", evalFile), pairs(o.pairs, "held", false))
	if o.baselines {
		writeRecords(t, filepath.Join(dir, "cloud", evalFile), pairs(o.pairs, "held", true))
		plain := pairs(o.pairs, "held", true)
		for _, r := range plain {
			r.ChosenCritiques, r.RejectedCritiques = nil, nil
		}
		writeRecords(t, filepath.Join(dir, "bt", evalFile), plain)
		train("cloud")
		train("bt")
	}
	write(t, filepath.Join(dir, recipeFile), fmt.Sprintf("generate:\n  critiques: 8\n  note: %q\nfilter:\n  rule: mean+each\neval:\n  curve: [1, 2, 4, 8]\n  draws: 200\n  seed: %d\n", evil, o.seed))
	facts, err := json.Marshal(map[string]any{"train": map[string]any{"file": evil, "pairs": o.pairs}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, dataFile), string(facts))
	return dir
}

func writeRecords(t *testing.T, path string, list []*record.Record) {
	t.Helper()
	var b []byte
	for _, r := range list {
		var err error
		if b, err = r.AppendJSON(b); err != nil {
			t.Fatal(err)
		}
		b = append(b, '\n')
	}
	write(t, path, string(b))
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func make1(t *testing.T, path string) *Report {
	t.Helper()
	r, err := Make(path, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	return r
}
