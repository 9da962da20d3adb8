package render_test

import (
	"fmt"
	"slices"

	"criticrm/model"
	"criticrm/record"
	"criticrm/render"
	"criticrm/tokenizer"
)

// A pair with a critique of each side becomes one tree: the shared prompt once, then each response with its critique below it. With a model
// directory, render.Of takes the place of New.
func Example() {
	tok, err := tokenizer.Train(slices.Values([]string{"Is it right?"}), tokenizer.TrainConfig{VocabSize: 262, Special: []string{"<|user|>", "<|assistant|>", "<|end|>"}, Pattern: "llama3"})
	check(err)
	chat, err := tokenizer.NewChat(tok, "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}", nil)
	check(err)
	end, _ := tok.ID("<|end|>")
	r, err := render.New(tok, chat, []int32{end})
	check(err)

	pair := &record.Record{Prompt: record.Prompt{Text: "2+2?"}, Chosen: "4", Rejected: "5",
		ChosenCritiques: []record.Critique{{Text: "Yes."}}, RejectedCritiques: []record.Critique{{Text: "No."}}}
	o := render.Options{Parts: render.Parts{Critiques: true, Rewards: true}}
	e, _, err := r.Pair(pair, o)
	check(err)
	fmt.Printf("shared %q…, then %q and %q\n", tok.Decode(e.Prompt)[:12], tok.Decode(e.Chosen.Response.IDs[:1]), tok.Decode(e.Rejected.Response.IDs[:1]))
	fmt.Printf("critiques %q and %q\n", tok.Decode(e.Chosen.Critiques[0].IDs), tok.Decode(e.Rejected.Critiques[0].IDs))

	var b model.Batch
	e.AppendTo(&b, o.Parts)
	s := e.Size(o.Parts)
	fmt.Println(b.Len() == s.Tokens, s.Flat > s.Tokens, len(b.Row), "loss rows,", len(b.Leaf), "rewards")

	o.Limit, o.Overlong = s.Longest-1, record.OverlongError
	_, _, err = r.Pair(pair, o)
	fmt.Println(err != nil)
	// Output:
	// shared "<|user|>2+2?"…, then "4" and "5"
	// critiques "Yes.<|end|>" and "No.<|end|>"
	// true true 9 loss rows, 2 rewards
	// true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
