package record

// Rows with an instruction and, beside it, an input: Alpaca's, and what others made of it.

import (
	"fmt"
	"strings"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// AlpacaRanking is LLaMA-Factory's alpaca form with chosen and rejected.
var AlpacaRanking = Schema{
	Name: "alpaca ranking", For: ForPairs,
	Has:   "`instruction`, perhaps `input`, `history` and `system`, and `chosen` and `rejected` as texts; the prompt is instruction, line end, input",
	From:  "LLaMA-Factory",
	Keys:  []string{"instruction", "chosen", "rejected"},
	Reads: []string{"instruction", "input", "history"},
	is: func(r *row) bool {
		return r.has("instruction") && r.kind("chosen") == "string" && r.kind("rejected") == "string" && !r.has("prompt")
	},
	decode: one(func(rec *Record, r *row) (err error) {
		if rec.Prompt, err = r.instruction(); err != nil {
			return err
		}
		if rec.Chosen, err = r.text("chosen"); err != nil {
			return err
		}
		if rec.Rejected, err = r.text("rejected"); err != nil {
			return err
		}
		return first(rec.differs, func() error { return rec.decodePairFields(r) })
	}),
}

// Alpaca is an instruction with one output.
var Alpaca = Schema{
	Name: "alpaca", Group: single, For: ForResponses,
	Has:   "`instruction`, perhaps `input`, `history` and `system`, and `output` as a text; `kto_tag`, true or false, is its label",
	From:  "Alpaca, LLaMA-Factory",
	Keys:  []string{"instruction", "output"},
	Reads: []string{"instruction", "input", "history", "output", "kto_tag"},
	decode: one(func(rec *Record, r *row) (err error) {
		if rec.Prompt, err = r.instruction(); err != nil {
			return err
		}
		output := r.text
		if r.has("kto_tag") {
			output = r.anyText // what is labelled may be empty
		}
		text, err := output("output")
		if err != nil {
			return err
		}
		rec.Response = &text
		return first(func() error { return r.optBool("kto_tag", &rec.Correct) }, func() error { return rec.decodeResponseFields(r) })
	}),
}

// AlpacaFarm is an instruction with two outputs, of which preference names the better one.
var AlpacaFarm = Schema{
	Name: "AlpacaFarm", For: ForPairs,
	Has:   "`instruction`, perhaps `input`, `output_1`, `output_2` and `preference`: below 1.5 the first is better, above the second; 0 and 1.5 are ties",
	From:  "AlpacaFarm, AlpacaEval's annotations",
	Keys:  []string{"instruction", "output_1", "output_2", "preference"},
	Reads: []string{"instruction", "input", "history", "output_1", "output_2", "preference"},
	decode: func(r *row) ([]*Record, error) {
		p, err := r.instruction()
		if err != nil {
			return nil, err
		}
		v, err := r.needNumber("preference")
		switch {
		case err != nil:
			return nil, err
		case v == 0:
			v = 1.5
		case v < 1 || v > 2:
			return nil, badField("%q: got %v, want 1 to 2, or 0", "preference", v)
		}
		return r.twoOf(p, "output_1", "output_2", v-1.5)
	},
}

// ArgillaBinarized is an instruction with the responses that Argilla chose from UltraFeedback.
var ArgillaBinarized = Schema{
	Name: "instruction/chosen_response", For: ForPairs,
	Has:   "`instruction`, `chosen_response`, `rejected_response`",
	From:  "UltraFeedback binarized by Argilla, by the mean of its ratings",
	Keys:  []string{"instruction", "chosen_response", "rejected_response"},
	Reads: []string{"instruction", "input", "history", "chosen_response", "rejected_response"},
	decode: func(r *row) ([]*Record, error) {
		p, err := r.instruction()
		if err != nil {
			return nil, err
		}
		list, err := r.twoOf(p, "chosen_response", "rejected_response", -1)
		for _, rec := range list {
			rec.ShownFirst = nil // the columns are sorted
		}
		return list, err
	},
}

// Axolotl is axolotl's bradley_terry form: input is what the user says.
var Axolotl = Schema{
	Name: "axolotl bradley_terry", For: ForPairs,
	Has:   "`input`, perhaps `system`, and `chosen` and `rejected` as texts",
	From:  "axolotl",
	Keys:  []string{"input", "chosen", "rejected"},
	Reads: []string{"input"},
	is: func(r *row) bool {
		return r.has("input") && r.kind("chosen") == "string" && r.kind("rejected") == "string" && !r.has("prompt") && !r.has("instruction")
	},
	decode: one(func(rec *Record, r *row) (err error) {
		if rec.Prompt, err = r.promptAt("input"); err != nil {
			return err
		}
		if rec.Chosen, err = r.text("chosen"); err != nil {
			return err
		}
		if rec.Rejected, err = r.text("rejected"); err != nil {
			return err
		}
		return first(rec.differs, func() error { return rec.decodePairFields(r) })
	}),
}

// instruction is the prompt of an instruction with its input, behind what was said before.
func (r *row) instruction() (p Prompt, err error) {
	var lines []string
	for _, key := range [...]string{"instruction", "input"} {
		if !r.has(key) && key == "input" {
			continue
		}
		text, err := r.anyText(key)
		if err != nil {
			return p, err
		}
		if strings.TrimSpace(text) != "" {
			lines = append(lines, text)
		}
	}
	if lines == nil {
		return p, badField("%q is empty", "instruction")
	}
	p.Text = strings.Join(lines, "\n")
	history, err := r.list("history", "pairs of texts")
	if err != nil || len(history) == 0 {
		return p, err
	}
	for i, item := range history {
		var texts []string
		if strictjson.KindOf(item) == "array" {
			for _, text := range items(item) {
				texts = append(texts, str(text))
			}
		}
		if len(texts) != 2 || strings.TrimSpace(texts[0]) == "" || strings.TrimSpace(texts[1]) == "" {
			return p, badField("%q: want a list of the user's text and the assistant's", fmt.Sprintf("history[%d]", i))
		}
		p.Messages = append(p.Messages, tokenizer.Message{Role: "user", Content: texts[0]}, tokenizer.Message{Role: "assistant", Content: texts[1]})
	}
	p.Messages, p.Text = append(p.Messages, tokenizer.Message{Role: "user", Content: p.Text}), ""
	return p, nil
}
