package record

// Layouts that are known and not read, and what to do instead.

// tokenPairs is TRL's pairs that are tokens, under the names that they have had.
var tokenPairs = Schema{
	Name: "tokenized pairs", From: "TRL", Keys: []string{"chosen_ids", "rejected_ids"},
	is: func(r *row) bool {
		return r.has("chosen_ids") && r.has("rejected_ids") || r.has("chosen_input_ids") && r.has("rejected_input_ids") || r.has("input_ids_chosen") && r.has("input_ids_rejected")
	},
	instead: "tokens of some model (`chosen_ids`, `chosen_input_ids` or `input_ids_chosen`) cannot be put into a chat template: write the texts, as prompt, chosen and rejected",
}

// stepwise is rows for process reward models: labels of steps.
var stepwise = Schema{
	Name: "stepwise", From: "TRL, for process reward models", Keys: []string{"prompt", "completions", "labels"},
	instead: "`labels` are of single steps, and rewards of steps are not trained: for the whole response write prompt, response (the steps, joined) and correct",
}
