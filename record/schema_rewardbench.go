package record

// RewardBench, both versions (allenai/reward-bench, allenai/reward-bench-2).

import "strings"

// rewardBench: pairs with the models that wrote them and one of the benchmark's own subsets. Other pairs may have a subset, too.
var rewardBench = Schema{
	Name: "RewardBench",
	Has:  "`prompt`, `chosen`, `rejected`, `chosen_model`, `rejected_model`, and one of the benchmark's `subset`s",
	For:  ForBenchmark,
	From: "RewardBench",
	Keys: []string{"prompt", "chosen", "rejected", "chosen_model", "rejected_model", "subset"},
	is: func(r *row) bool {
		for _, key := range [...]string{"prompt", "chosen", "rejected", "chosen_model", "rejected_model", "subset"} {
			if r.kind(key) != "string" {
				return false
			}
		}
		subset := r.peek("subset")
		for _, start := range [...]string{"alpacaeval-", "mt-bench-", "llmbar-", "refusals-", "xstest-", "donotanswer", "math-prm", "hep-"} {
			if strings.HasPrefix(subset, start) {
				return true
			}
		}
		return false
	},
	decode: func(r *row) ([]*Record, error) {
		b := Benchmark{Name: RewardBench}
		prompt, err := r.prompt()
		var chosen, rejected string
		err = first(func() error { return err }, func() error { return r.optText("subset", &b.Part) },
			func() error { return r.answer("chosen", &chosen) }, func() error { return r.answer("rejected", &rejected) })
		if err != nil {
			return nil, err
		}
		list := b.pair("", prompt, chosen, rejected)
		return list, list[0].decodePairFields(r) // an older version of this program may have scored it
	},
}

// rewardBench2: several right answers, as a rule one, and several wrong ones.
var rewardBench2 = Schema{
	Name:  "RewardBench 2",
	Has:   "`chosen` and `rejected` as lists of texts, `num_correct`, `subset`",
	For:   ForBenchmark,
	From:  "RewardBench 2",
	Keys:  []string{"prompt", "chosen", "rejected", "num_correct", "subset"},
	Reads: []string{"num_correct", "total_completions"},
	Keeps: []string{"num_incorrect", "models", "additional_metadata"},
	is:    func(r *row) bool { return r.textLists() && r.has("num_correct") },
	decode: func(r *row) ([]*Record, error) {
		b, prompt, chosen, rejected, err := r.sets(RewardBench2)
		var right, all *float64
		err = first(func() error { return err }, func() error { return r.optText("subset", &b.Part) },
			func() error { return r.optNumber("num_correct", &right) }, func() error { return r.optNumber("total_completions", &all) })
		if err != nil {
			return nil, err
		}
		if b.Part == "" {
			return nil, r.missing("subset")
		}
		answers := append(chosen, rejected...)
		if all != nil && *all != float64(len(answers)) {
			return nil, badField("%q: %v, and chosen and rejected have %d answers", "total_completions", *all, len(answers))
		}
		if *right < 1 || *right >= float64(len(answers)) || *right != float64(int(*right)) {
			return nil, badField("%q: got %v, want 1 to %d: the answers that are right, which come first", "num_correct", *right, len(answers)-1)
		}
		return b.each(prompt, answers, func(i int) bool { return i < int(*right) }), nil
	},
}

// textLists reports whether chosen and rejected are lists of texts.
func (r *row) textLists() bool {
	for _, key := range [...]string{"chosen", "rejected"} {
		for _, m := range r.members {
			if m.Key == key && (r.kind(key) != "array" || len(m.Raw) < 2 || !strings.HasPrefix(strings.TrimLeft(string(m.Raw[1:min(len(m.Raw), 64)]), " \t"), `"`)) {
				return false
			}
		}
	}
	return r.has("prompt") && r.has("chosen") && r.has("rejected")
}

// sets reads a row with lists of right and wrong answers.
func (r *row) sets(name string) (b Benchmark, prompt Prompt, chosen, rejected []string, err error) {
	b.Name = name
	err = first(func() (err error) { b.Row, err = r.name("id"); return err }, func() (err error) { prompt, err = r.prompt(); return err },
		func() (err error) { chosen, err = r.answers("chosen"); return err }, func() (err error) { rejected, err = r.answers("rejected"); return err })
	return b, prompt, chosen, rejected, err
}
