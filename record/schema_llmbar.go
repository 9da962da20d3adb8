package record

// LLMBar (princeton-nlp/LLMBar). Its files are one set each and do not name it: a column subset may.

var llmBar = Schema{
	Name:  "LLMBar",
	Has:   "`input`, `output_1`, `output_2`, `label` 1 or 2",
	For:   ForBenchmark,
	From:  "LLMBar",
	Keys:  []string{"input", "output_1", "output_2", "label"},
	Reads: []string{"input", "output_1", "output_2"},
	is: func(r *row) bool {
		return r.kind("input") == "string" && r.kind("output_1") == "string" && r.kind("output_2") == "string" && r.has("label") && !r.has("instruction")
	},
	decode: func(r *row) ([]*Record, error) {
		b := Benchmark{Name: LLMBar}
		var one, two, label string
		prompt, err := r.ask("input")
		err = first(func() error { return err }, func() error { return r.optText("subset", &b.Part) }, func() (err error) { label, err = r.word("label"); return err },
			func() error { return r.answer("output_1", &one) }, func() error { return r.answer("output_2", &two) })
		if err != nil {
			return nil, err
		}
		if label != "1" && label != "2" {
			return nil, badField("%q: got %.40q, want 1 or 2", "label", label)
		}
		b.Second = label == "2"
		return shown(b.pair("", prompt, one, two), b.Second), nil
	},
}
