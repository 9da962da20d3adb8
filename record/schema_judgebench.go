package record

// JudgeBench (ScalerLab/JudgeBench): two answers of one model, of which one is right.

var judgeBench = Schema{
	Name:  "JudgeBench",
	Has:   "`question`, `response_A`, `response_B`, `source`, and `label` A>B or B>A",
	For:   ForBenchmark,
	From:  "JudgeBench",
	Keys:  []string{"question", "response_A", "response_B", "source", "label"},
	Reads: []string{"pair_id", "question", "response_A", "response_B", "source"},
	Keeps: []string{"original_id", "response_model"},
	is: func(r *row) bool {
		label := r.peek("label")
		return (label == "A>B" || label == "B>A") && r.has("question") && r.has("response_A") && r.has("response_B")
	},
	decode: func(r *row) ([]*Record, error) {
		b := Benchmark{Name: JudgeBench}
		var id, one, two, label string
		prompt, err := r.ask("question")
		err = first(func() error { return err }, func() (err error) { b.Part, err = r.name("source"); return err }, func() (err error) { id, err = r.word("pair_id"); return err },
			func() error { return r.answer("response_A", &one) }, func() error { return r.answer("response_B", &two) },
			func() error { return r.optText("label", &label) })
		if err != nil {
			return nil, err
		}
		b.Second = label == "B>A"
		return shown(b.pair(id, prompt, one, two), b.Second), nil
	},
}
