package measure

// RewardBench's own files of results: the subsets' accuracies, and the rows with their rewards.

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"criticrm/record"
)

// RewardBench gives the two files that RewardBench's programs write and read for a model: results by subset, and all rows with their rewards.
// Both versions have them, with other columns.
func (r *BenchmarkReport) RewardBench(model string) (results, scores []byte, err error) {
	m, ok := r.Method("reward")
	if !ok {
		return nil, nil, errors.New("benchmark: RewardBench's files are of rewards, and the rows have none")
	}
	head := func() map[string]any {
		return map[string]any{"model": model, "model_type": "Seq. Classifier", "chat_template": "tokenizer"}
	}
	file, rows := head(), head()
	for i, p := range m.Parts {
		file[p.Part] = p.Accuracy
		if p.Part == ties && r.Benchmark == record.RewardBench2 {
			file[p.Part] = m.Scores[1+i].Value // scores stand behind the first one, part by part
		}
	}
	columns := map[string][]any{}
	add := func(key string, v any) { columns[key] = append(columns[key], v) }
	for _, it := range r.rows {
		values, err := rewards(it, &Benchmark{Title: r.Title})
		if err != nil {
			return nil, nil, err
		}
		var texts [][]map[string]string
		for rec, side := range it.answers {
			var turns []map[string]string
			for _, m := range rec.Messages(side) {
				turns = append(turns, map[string]string{"role": m.Role, "content": m.Content})
			}
			texts = append(texts, turns)
		}
		if n, err := strconv.Atoi(it.row); err == nil && r.Benchmark == record.RewardBench {
			add("id", n)
		} else {
			add("id", it.row)
		}
		add("subset", it.partName)
		if r.Benchmark == record.RewardBench {
			add("text_chosen", texts[0])
			add("text_rejected", texts[1])
			add("scores_chosen", values[0])
			add("scores_rejected", values[1])
			add("results", int(compare(values[0], values[1]).hits))
			continue
		}
		right := 0
		for _, ok := range it.right {
			if ok {
				right++
			}
		}
		add("text", texts)
		add("scores", values)
		add("num_correct", right)
		if it.partName == ties {
			add("results", nil)
			continue
		}
		own := *it
		own.values = values
		add("results", rewardBench2.hits(&own, &sample{parts: make([]string, it.part+1), threshold: math.NaN()}).hits)
	}
	for key, list := range columns {
		rows[key] = list
	}
	if results, err = json.MarshalIndent(file, "", "    "); err == nil {
		scores, err = json.MarshalIndent(rows, "", "    ")
	}
	return append(results, '\n'), append(scores, '\n'), err
}
