package critic

import (
	"encoding/json"
	"math"
	"testing"
)

// FuzzJSONLLine: what is accepted is valid JSON for encoding/json too, and writing and reading it again gives the
// same bytes; errors stay short.
func FuzzJSONLLine(f *testing.F) {
	for _, s := range []string{
		good,
		`{"id":7,"prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r","x":[1,-2.5e3,null,true,{"a":"\ud83d\ude00"}]}`,
		`{"chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`,
		`{"prompt":"p","chosen":"c","rejected":"r","chosen_feedback":["a"],"rejected_feedback":"b"}`,
		`{"chosen":"\n\nHuman: p\n\nAssistant: c","rejected":"\n\nHuman: p\n\nAssistant: r"}`,
		`{"prompt":"p","response":"x","correct":false,"critique":"c","critique_correct":true}`,
		`{"prompt":"p","chosen":"c","rejected":"r","chosen_critiques":[{"text":"t","score":7,"kept":true,"rank":1,"meta":[8],"reward":-0.1,"logprob":-3,"tokens":[5]}],"margin":1e-300}`,
		`{"prompt":"\ud800"}`, `{"a":1,"a":2}`, `[]`, "{\"prompt\":\r}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Fatalf("error of %d bytes: %v", len(err.Error()), err)
			}
			return
		}
		first, err := r.AppendJSON(nil)
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		if !json.Valid(first) {
			t.Fatalf("not JSON: %s", first)
		}
		again, err := ParseRecord(first)
		if err != nil {
			t.Fatalf("%v in what was written: %s", err, first)
		}
		second, err := again.AppendJSON(nil)
		if err != nil || string(first) != string(second) {
			t.Fatalf("round trip\n%s\n%s", first, second)
		}
	})
}

// FuzzScan: the scanner accepts nothing that encoding/json refuses.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":[1,2,{"b":"\u00e9\\"}],"c":-0.5E+2}`, `{"a":tru}`, `{"a":1.}`, `{"\ud83d\ude00":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		members, err := scanObject(b)
		if err != nil {
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(b, &m); err != nil || len(m) != len(members) {
			t.Fatalf("accepted %q: %v, %d of %d keys", b, err, len(members), len(m))
		}
		for _, x := range members {
			if string(m[x.key]) != string(x.raw) {
				t.Fatalf("key %q: %s, want %s", x.key, x.raw, m[x.key])
			}
		}
	})
}

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
	for _, s := range []string{"[user]\n{prompt}\n[assistant]\n{{response}}", "[system]\n{min}{{max}}\n[user]\n{{{prompt}}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		tpl, err := ParseTemplate("t", source, nil, []string{"prompt", "response", "min", "max"})
		if err != nil {
			return
		}
		if m := tpl.Messages(Values{Prompt: Prompt{Text: "p"}, Scale: DefaultScale()}); len(m) != len(tpl.sections) {
			t.Fatalf("%d messages of %d sections", len(m), len(tpl.sections))
		}
	})
}
