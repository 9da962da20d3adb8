package critic

import (
	"math"
	"testing"

	"criticrm/record"
)

// FuzzCritiqueParse: never NaN, never off the scale, and text in front of a last valid verdict does not matter.
func FuzzCritiqueParse(f *testing.F) {
	for _, s := range []string{"Score: 7", "**Score:** 7/10", "Score: 7-8 score=3", "Score(1-10):", "Score: 99999999999", "score：5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := DefaultScale()
		v := s.Parse(text)
		if math.IsNaN(v.Score) || v.OK && (v.Score < 1 || v.Score > 10 || v.Score != math.Trunc(v.Score) || v.End > len(text) || v.Cause != "") || !v.OK && v.Cause == "" {
			t.Fatalf("%q: %+v", text, v)
		}
		if again := s.Parse(text); again != v {
			t.Fatalf("%q: %+v, then %+v", text, v, again)
		}
		if last := s.Parse(text + "\nScore: 4"); !last.OK || last.Score != 4 {
			t.Fatalf("%q + verdict: %+v", text, last)
		}
	})
}

// FuzzTemplate: parsing ends without a panic, and a template that parses can be filled.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"[user]\n{prompt}\n[assistant]\n{{response}}", "[system]\n{min}{{max}}\n[user]\n{{{prompt}}}",
		"[user]\n{rubric}{principles}\n[assistant]\nReview: {middle}\n[verdict]\nFinal score:", "[assistant]\nx\n[verdict]\n**Score**:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		tpl, err := ParseTemplate("t", source, nil, []string{"prompt", "response", "min", "max"})
		if err != nil {
			return
		}
		if m := tpl.Messages(Values{Prompt: record.Prompt{Text: "p"}, Scale: DefaultScale()}); len(m) != len(tpl.sections) {
			t.Fatalf("%d messages of %d sections", len(m), len(tpl.sections))
		}
		ask := tpl.ask(AskSample, DefaultScale())
		for _, text := range []string{"", "fine", "Score: 7", "score", "Score: 3-", "```"} { // whatever stands before it, the number is read
			if v := ask.Scale.Parse(ask.Before + text + ask.Ending(10)); !v.OK || v.Score != 10 {
				t.Fatalf("%q is read as %+v", ask.Before+text+ask.Ending(10), v)
			}
		}
	})
}
