package real

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/engine"
	"criticrm/record"
	"criticrm/splitmix"
	"criticrm/tokenizer"
)

// A split has its own topics, so that no request is in two of them.
type split struct {
	name    string
	topics  []topic
	each    int // wishes of a topic: word by word, with it and without it
	answers int // that the model gives to each prompt
}

// wishes are the first of each of a topic.
func (s split) wishes() (list []Wish) {
	for _, t := range s.topics {
		for i := range s.each {
			list = append(list, Wish{t.request, t.words[i/2%len(t.words)], i%2 == 1})
		}
	}
	return list
}

// answered is a wish with what the model answered.
type answered struct {
	Wish
	answers []string
}

// answerTokens is the longest answer, with its end token.
const answerTokens = 48

// answer samples answers to every wish of a split, and says how many were empty or did not come to an end: they are left out.
func answer(ctx context.Context, e *engine.Engine, s split, seed uint64) (out []answered, unfinished int, err error) {
	wishes := s.wishes()
	reqs := make([]critic.Request, len(wishes))
	for i, w := range wishes {
		reqs[i] = critic.Request{Messages: []tokenizer.Message{{Role: "user", Content: w.Prompt()}}, N: s.answers, Key: splitmix.Mix(uint64(i))}
	}
	samples, err := e.Generate(ctx, reqs, record.Sampling{Temperature: 1, TopP: .9, MaxTokens: answerTokens, Seed: splitmix.Mix(seed ^ uint64(len(s.name)))})
	if err != nil {
		return nil, 0, err
	}
	out = make([]answered, len(wishes))
	for i, w := range wishes {
		out[i].Wish = w
		for _, x := range samples[i] {
			if text := strings.TrimSpace(x.Text); text != "" && x.FinishReason == record.FinishStop {
				out[i].answers = append(out[i].answers, text)
			} else {
				unfinished++
			}
		}
	}
	return out, unfinished, nil
}

// pairs are the wishes to which one answer does what was asked and another does not.
func pairs(list []answered, name string) (rows []any, with int) {
	for i, a := range list {
		var held, failed []string
		for _, text := range a.answers {
			if ok, _ := a.Holds(text); ok {
				held = append(held, text)
			} else {
				failed = append(failed, text)
			}
		}
		if len(held) == 0 || len(failed) == 0 {
			continue
		}
		rows = append(rows, map[string]any{"id": fmt.Sprintf("%s-%d", name, i), "prompt": a.Prompt(), "chosen": held[0], "rejected": failed[0],
			"category": a.Category()})
		if !a.Without {
			with++
		}
	}
	return rows, with
}

// coldStart are conversations in which the critique of an answer is what a program says of it, as many of answers that do what was asked as of
// others. ask gives the words with which a critique is asked for.
func coldStart(list []answered, ask func(prompt, answer string) []tokenizer.Message, seed uint64) (rows []any) {
	var byVerdict [2][]any
	for _, a := range list {
		for _, text := range a.answers {
			ok, _ := a.Holds(text)
			k := 0
			if ok {
				k = 1
			}
			byVerdict[k] = append(byVerdict[k], map[string]any{"messages": append(ask(a.Prompt(), text), tokenizer.Message{Role: "assistant", Content: a.Critique(text)})})
		}
	}
	r := rand.New(rand.NewPCG(seed, 0))
	for _, v := range byVerdict {
		r.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
	}
	for i := range min(len(byVerdict[0]), len(byVerdict[1])) {
		rows = append(rows, byVerdict[0][i], byVerdict[1][i])
	}
	return rows
}

func writeRows(dir, name string, rows []any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, row := range rows {
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	return checkpoint.WriteFileAtomic(filepath.Join(dir, name), b.Bytes())
}
