package record

// RM-Bench (THU-KEG/RM-Bench): three right and three wrong answers of rising style. Its files of one domain name no domain, but a subset.

import "strings"

var rmBench = Schema{
	Name:  "RM-Bench",
	Has:   "`chosen` and `rejected` as lists of three texts, `domain` or `subset`",
	For:   ForBenchmark,
	From:  "RM-Bench",
	Reads: []string{"domain"},
	Keeps: []string{"error_key", "error", "task_id"},
	is:    func(r *row) bool { return r.textLists() && (r.has("domain") || r.has("subset")) },
	decode: func(r *row) ([]*Record, error) {
		b, prompt, chosen, rejected, err := r.sets(RMBench)
		var subset string
		err = first(func() error { return err }, func() error { return r.optText("domain", &b.Part) }, func() error { return r.optText("subset", &subset) })
		if err != nil {
			return nil, err
		}
		if len(chosen) != 3 || len(rejected) != 3 {
			return nil, badField("chosen and rejected have %d and %d answers, want 3 and 3: concise, detailed, detailed in markdown", len(chosen), len(rejected))
		}
		if b.Part == "" {
			if b.Part = rmBenchDomain(subset); b.Part == "" {
				return nil, badField("%q: %.40q does not say which domain: want a column domain with chat, code, math, safety-refuse or safety-response", "subset", subset)
			}
		}
		return b.each(prompt, append(chosen, rejected...), func(i int) bool { return i < 3 }), nil
	},
}

// rmBenchDomain is the domain of a subset, as the files of one domain name it; "": nobody knows.
func rmBenchDomain(subset string) string {
	for _, d := range [...]struct{ start, domain string }{{"alpacaeval", "chat"}, {"bigcode/humanevalpack", "code"}, {"math", "math"},
		{"refusals-", "safety-refuse"}, {"xstest-should-refuse", "safety-refuse"}, {"xstest-should-respond", "safety-response"}} {
		if strings.HasPrefix(strings.ToLower(subset), d.start) {
			return d.domain
		}
	}
	return ""
}
