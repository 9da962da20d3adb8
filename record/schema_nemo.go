package record

// NVIDIA NeMo's layouts of preference data.

// NeMoRanked is completions in order, behind a conversation.
var NeMoRanked = Schema{
	Name: "NeMo RL ranked", For: ForPairs,
	Has:   "`context` (messages) and `completions`, each with `rank`, from 0, the best, and `completion`, a list of one message of the assistant; pairs by `--ranked`",
	From:  "NVIDIA",
	Keys:  []string{"context", "completions"},
	Reads: []string{"context", "completions"},
	decode: func(r *row) ([]*Record, error) {
		p, err := r.promptAt("context")
		if err != nil {
			return nil, err
		}
		objects, err := r.objects("completions", "completions")
		if err != nil {
			return nil, err
		}
		var list []answer
		for i, o := range objects {
			rank, err := o.needNumber("rank")
			if err != nil {
				return nil, inside("completions", i, err)
			}
			text, err := o.reply("completion")
			if err != nil {
				return nil, inside("completions", i, err)
			}
			list = append(list, answer{text, rank, o.raw("rank")})
		}
		return r.ranked(p, list, "rank")
	},
}

// reply is a response: a text, or a list of one message of the assistant.
func (r *row) reply(key string) (string, error) {
	if r.kind(key) != "array" {
		if r.blank {
			return r.anyText(key)
		}
		return r.text(key)
	}
	list, err := r.messages(key)
	if err != nil {
		return "", err
	}
	if len(list) != 1 || list[0].Role != "assistant" {
		return "", badField("%q: want one message, the assistant's", key)
	}
	return list[0].Content, nil
}

// NeMoAligner is rows of whole texts, the preferred one and behind it the other one. Nothing in such a row says so: it is taken for plain
// text unless it is named.
var NeMoAligner = Schema{
	Name: "NeMo-Aligner texts", For: ForPairs,
	Has: "`text`, prompt and response in one: row 1 is better than row 2, row 3 than row 4, and so on. Only by `--schema`, because nothing in a row tells it " +
		"from plain text; split like `chosen/rejected texts`, or at NeMo's and HH's marks of turns",
	From: "NVIDIA",
	Keys: []string{"text"},
	is:   func(*row) bool { return false },
	decode: one(func(rec *Record, r *row) (err error) {
		text, err := r.text("text")
		rec.Response = &text
		return err
	}),
	join: func(first, second *Record) (*Record, error) {
		if first.ordinal%2 == 0 || second.ordinal != first.ordinal+1 {
			return nil, AsideAlone
		}
		rec := *first
		rec.Chosen, rec.Rejected, rec.Response, rec.order = *first.Response, *second.Response, nil, nil
		rec.keepBoth(first, second, nil)
		return &rec, rec.split()
	},
}
