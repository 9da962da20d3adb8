package record

// Rows of a prompt with a pair of responses, or with one.

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// single is the group of rows with one text to learn or to score.
const single = "single"

// Pairs is prompt, chosen, rejected: TRL's standard form, RewardBench's, and this program's own.
var Pairs = Schema{
	Name: "prompt/chosen/rejected", For: ForPairs,
	Has:  "`prompt` (a text or a list of messages), and `chosen` and `rejected` as texts",
	From: "this program, TRL's standard form, OpenRLHF, NeMo RL",
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
	Has:  "`prompt` with `response` or `completion` (a text, or a list of one message), and perhaps `correct` or `label`",
	From: "this program, TRL's unpaired form, KTO",
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
		r.blank = true // a response may be empty
		text, err := r.reply(key)
		if err != nil {
			return err
		}
		rec.Response = &text
		return rec.decodeResponseFields(r)
	}),
}

// Texts is two whole texts that begin with the same words: the prompt.
var Texts = Schema{
	Name: "chosen/rejected texts", For: ForPairs,
	Has: "`chosen` and `rejected` as texts, no `prompt` and nothing that could be one: it is what both begin with, up to the first word that differs. Prompt " +
		"and response, joined, are the text that there was: with a chat template that only joins messages, training reads what TRL reads",
	From: "TRL's standard form without prompt",
	Keys: []string{"chosen", "rejected"},
	is: func(r *row) bool {
		return r.kind("chosen") == "string" && r.kind("rejected") == "string" && r.kind("prompt") == "" && len(r.free()) == 0
	},
	decode: one(func(rec *Record, r *row) (err error) {
		if rec.Chosen, err = r.text("chosen"); err != nil {
			return err
		}
		if rec.Rejected, err = r.text("rejected"); err != nil {
			return err
		}
		r.began = true
		return first(rec.differs, rec.split, func() error { return rec.decodePairFields(r) })
	}),
}

// split finds the prompt of two whole texts: the turns that two transcripts share, or the words that both begin with. Prompt and response,
// joined, are the text.
func (rec *Record) split() error {
	if marks := marksOf(rec.Chosen); marks != nil {
		c, err := marks.turns("chosen", rec.Chosen, false)
		if err != nil {
			return err
		}
		j, err := marks.turns("rejected", rec.Rejected, false)
		if err != nil {
			return err
		}
		if err = rec.sides(c, j); err == nil && len(rec.Prompt.Messages) == 0 {
			err = badField("key %q is missing: the two transcripts share no turn", "prompt")
		}
		return err
	}
	n := sharedWords(rec.Chosen, rec.Rejected)
	if n == 0 {
		return badField("key %q is missing, and chosen and rejected share no beginning that it could be", "prompt")
	}
	rec.Prompt.Text, rec.Chosen, rec.Rejected = rec.Chosen[:n], rec.Chosen[n:], rec.Rejected[n:]
	return nil
}

// firstIdeograph is the first character of the scripts of East Asia, which do not part words.
const firstIdeograph = '\u2e80'

// sharedWords is how many bytes two texts share at their beginning, up to the white space before the first word that differs, or, where there
// is none, up to a punctuation mark or an ideograph; 0 if that leaves one of the three parts blank.
func sharedWords(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	least := len(a) - len(strings.TrimLeftFunc(a, unicode.IsSpace)) + 1 // of a prompt that is not blank
	for _, s := range [...]string{a, b} {                               // nor may a response be
		n = min(n, len(strings.TrimRightFunc(s, unicode.IsSpace))-1)
	}
	space := func(c byte) bool { return strings.IndexByte(" \n\t\r", c) >= 0 }
	for i := n; i >= least; i-- {
		if space(a[i]) && space(b[i]) && !space(a[i-1]) {
			return i
		}
	}
	for ; n >= least; n-- {
		if c, _ := utf8.DecodeLastRuneInString(a[:n]); utf8.RuneStart(a[n]) && utf8.RuneStart(b[n]) && (c >= firstIdeograph || unicode.IsPunct(c)) {
			return n
		}
	}
	return 0
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
