package record

// Problems with a known result: what answers are sampled for and checked against (package synth). As records they are a right response each,
// so they may also be learnt with method sft.

import (
	"strconv"
	"strings"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// GSM8K: question and answer, a solution that ends in "#### result".
var GSM8K = Schema{
	Name: "GSM8K problems", Group: single,
	Has: "`question`, and `answer`, a solution with its result behind `####`", For: ForProblems, From: "GSM8K",
	Keys: []string{"question", "answer"}, Reads: []string{"question", "answer"},
	is: func(r *row) bool {
		if r.kind("question") != "string" || r.kind("answer") != "string" {
			return false
		}
		return strings.Contains(r.peek("answer"), "####")
	},
	decode: one(func(rec *Record, r *row) error { return rec.decodeProblem(r, "question", "answer", "") }),
}

// gsm8kModels are the models whose solutions GSM8K's authors published, as the keys of a row.
var gsm8kModels = []string{"6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"}

// GSM8KSolutions: a question, what four models wrote, and whether they came to the right result.
var GSM8KSolutions = Schema{
	Name: "GSM8K model solutions", Group: single, For: ForResponses,
	Has: "`question`, `ground_truth` (it is left out), and `6b_finetuning`, `6b_verification`, `175b_finetuning`, `175b_verification`, each with " +
		"`solution` and `is_correct`: a response each",
	From:  "GSM8K, `example_model_solutions.jsonl`",
	Keys:  append([]string{"question", "ground_truth"}, gsm8kModels...),
	Reads: append([]string{"question", "ground_truth"}, gsm8kModels...),
	decode: func(r *row) (list []*Record, err error) {
		p, err := r.promptAt("question")
		if err != nil {
			return nil, err
		}
		if _, err := r.anyText("ground_truth"); err != nil { // written by a person: beside the models' it would be known by its style
			return nil, err
		}
		for _, model := range gsm8kModels {
			raw, ok := r.get(model)
			if !ok {
				return nil, r.missing(model)
			}
			if kind := strictjson.KindOf(raw); kind != "object" {
				return nil, badField("%q: got %s, want object", model, kind)
			}
			o := r.nested(raw)
			text, err := o.anyText("solution") // what is labelled may be empty
			if err != nil {
				return nil, badField("%s: %w", model, err)
			}
			rec := &Record{Prompt: p, Response: &text}
			if err := o.optBool("is_correct", &rec.Correct); err != nil {
				return nil, badField("%s: %w", model, err)
			}
			if rec.Correct == nil {
				return nil, badField("%s: %w", model, o.missing("is_correct"))
			}
			rec.SetExtra("model", strconv.AppendQuote(nil, model))
			list = append(list, rec)
		}
		return list, nil
	},
}

// MATH: problem and solution, which has its result in \boxed{}; type or subject is the category.
var MATH = Schema{
	Name: "MATH problems", Group: single,
	Has: "`problem` and `solution`, with its result in `\\boxed{}`; `type` or `subject` is the category", For: ForProblems, From: "MATH",
	Keys: []string{"problem", "solution"}, Reads: []string{"problem", "solution", "type", "subject", "unique_id"},
	is: func(r *row) bool { return r.kind("problem") == "string" && r.kind("solution") == "string" },
	decode: one(func(rec *Record, r *row) error {
		if err := r.optText("unique_id", &rec.ID); err != nil {
			return err
		}
		category := "type"
		if !r.has(category) {
			category = "subject"
		}
		return rec.decodeProblem(r, "problem", "solution", category)
	}),
}

// Results: prompt and result, a text or a number, without a solution.
var Results = Schema{
	Name: "prompt/result", Group: single,
	Has: "`prompt` and `result`, a text or a number", For: ForProblems, From: "this program",
	Keys: []string{"prompt", "result"}, Reads: []string{"result"},
	is: func(r *row) bool {
		return r.has("prompt") && r.has("result") && r.kind("chosen") == "" && r.kind("response") == "" && r.kind("completion") == ""
	},
	decode: one(func(rec *Record, r *row) (err error) {
		if rec.Prompt, err = r.prompt(); err != nil {
			return err
		}
		raw, _ := r.get("result")
		result := string(raw)
		if rec.Response = &result; r.kind("result") == "string" {
			result, err = r.text("result")
		} else if r.kind("result") != "number" {
			err = badField("%q: got %s, want a text or a number", "result", r.kind("result"))
		}
		rec.Correct = new(true)
		return err
	}),
}

// PromptOnly: a prompt without any response. Only for commands that ask for it: elsewhere it would be a row that lacks something.
var PromptOnly = Schema{
	Name: "prompts", Group: single,
	Has: "`prompt` alone, where `--schema prompts` says so", For: ForProblems, From: "TRL (prompt-only)",
	Keys: []string{"prompt"},
	is:   func(*row) bool { return false },
	decode: one(func(rec *Record, r *row) error {
		p, err := r.prompt()
		rec.Document = &Document{Messages: append([]tokenizer.Message{}, p.Conversation()...)}
		return err
	}),
}

// decodeProblem reads a problem with a solution, and its category, if it has one.
func (rec *Record) decodeProblem(r *row, problem, solution, category string) (err error) {
	if rec.Prompt.Text, err = r.text(problem); err != nil {
		return err
	}
	text, err := r.text(solution)
	if err != nil {
		return err
	}
	rec.Response = &text
	rec.Correct = new(true)
	if category != "" {
		return r.optText(category, &rec.Category)
	}
	return nil
}

// peek is the text of a key that is looked at to tell layouts apart; it does not count as read.
func (r *row) peek(key string) string {
	for _, m := range r.members {
		if m.Key == key {
			return str(m.Raw)
		}
	}
	return ""
}
