package record

// CriticBench (CriticBench/CriticBench): answers that are right or wrong, and a critique has to say which.

var criticBench = Schema{
	Name:  "CriticBench",
	Has:   "`question`, `question_source`, `response`, `response_label`",
	For:   ForBenchmark,
	From:  "CriticBench",
	Keys:  []string{"question", "question_source", "response", "response_label"},
	Reads: []string{"question", "question_source", "question_type", "response_label"},
	Keeps: []string{"answer"},
	is: func(r *row) bool {
		return r.kind("question") == "string" && r.has("question_source") && r.has("response") && r.kind("response_label") == "boolean"
	},
	decode: func(r *row) ([]*Record, error) {
		b := Benchmark{Name: CriticBench}
		var right *bool
		var answer string
		prompt, err := r.ask("question")
		err = first(func() error { return err }, func() (err error) { b.Row, err = r.name("id"); return err }, func() (err error) { b.Part, err = r.name("question_source"); return err },
			func() error { return r.optText("question_type", &b.Group) }, func() error { return r.answer("response", &answer) }, func() error { return r.optBool("response_label", &right) })
		if err != nil {
			return nil, err
		}
		return b.each(prompt, []string{answer}, func(int) bool { return *right }), nil
	},
}
