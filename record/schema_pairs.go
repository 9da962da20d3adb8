package record

// Rows of a prompt with a pair of responses, or with one.

// single is the group of rows with one text to learn or to score.
const single = "single"

// Pairs is prompt, chosen, rejected: TRL's standard form, RewardBench's, and this program's own.
var Pairs = Schema{
	Name: "prompt/chosen/rejected", For: ForPairs,
	Has:  "`prompt` (a text or a list of messages), and `chosen` and `rejected` as texts",
	From: "this program, TRL (standard, explicit), OpenRLHF, NeMo RL",
	Keys: []string{"prompt", "chosen", "rejected"},
	is:   func(r *row) bool { return r.kind("chosen") != "" && r.kind("rejected") != "" && r.has("prompt") },
	decode: one(func(rec *Record, r *row) error {
		return first(func() error { return rec.decodePair(r) }, func() error { return rec.decodePairFields(r) })
	}),
}

// CLoud is pairs with chosen_feedback and rejected_feedback, each a string or a list.
var CLoud = Schema{
	Name: "CLoud feedback", For: ForPairs,
	Has:  "a pair with `chosen_feedback` and `rejected_feedback`, each a text or a list of them: critiques for `filter`, `refine` and `train`",
	From: "CLoud",
	Keys: []string{"chosen_feedback", "rejected_feedback"},
	decode: one(func(rec *Record, r *row) error {
		return first(func() error { return rec.decodePair(r) }, func() error { return rec.decodePairFields(r) },
			func() error { return r.optCritiques("chosen_feedback", &rec.ChosenCritiques) },
			func() error { return r.optCritiques("rejected_feedback", &rec.RejectedCritiques) })
	}),
}

// Responses is a prompt with one response (or completion) and an optional label.
var Responses = Schema{
	Name: "prompt/response", Group: single, For: ForResponses,
	Has:  "`prompt` with `response` or `completion`, and perhaps `correct` or `label`",
	From: "this program, TRL and KTO (unpaired)",
	Keys: []string{"prompt", "response"},
	is:   func(r *row) bool { return r.has("prompt") && (r.has("response") || r.has("completion")) },
	decode: one(func(rec *Record, r *row) (err error) {
		key := "response"
		if !r.has(key) && r.has("completion") {
			key = "completion"
		}
		if rec.Prompt, err = r.prompt(); err != nil {
			return err
		}
		if rec.Response, err = r.text(key); err != nil {
			return err
		}
		return rec.decodeResponseFields(r)
	}),
}

// decodePair reads the texts of a pair.
func (rec *Record) decodePair(r *row) (err error) {
	if rec.Prompt, err = r.prompt(); err != nil {
		return err
	}
	if rec.Chosen, err = r.text("chosen"); err != nil {
		return err
	}
	if rec.Rejected, err = r.text("rejected"); err != nil {
		return err
	}
	return rec.differs()
}

// differs sets a pair of equal responses aside.
func (rec *Record) differs() error {
	if rec.Chosen == rec.Rejected {
		return AsideEqual
	}
	return nil
}
