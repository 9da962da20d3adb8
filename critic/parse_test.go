package critic

import (
	"strings"
	"testing"
	"time"

	"criticrm/record"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text  string
		score float64 // -1: none
		cause string
	}{
		{"Good.\nScore: 7", 7, ""},
		{"Score: 7\n\nThat is all.", 7, ""},
		{"Score: 10", 10, ""},
		{"Score: 1", 1, ""},
		{"score:3", 3, ""},
		{"SCORE = 4", 4, ""},
		{"**Score:** 7", 7, ""},
		{"**Score: 7**", 7, ""},
		{"**Score**: **7**", 7, ""},
		{"__Score__: _7_", 7, ""},
		{`{"score": 8}`, 8, ""},
		{"Score: `9`", 9, ""},
		{"Score: [6]", 6, ""},
		{"Score: [[6]]", 6, ""},
		{"Score: 7/10", 7, ""},
		{"Score: 7 / 10.", 7, ""},
		{"Score: **7**/10", 7, ""},
		{"Score: 7 out of 10", 7, ""},
		{"Score (1-10): 5", 5, ""},
		{"Score (out of 10): 5", 5, ""},
		{"Overall score: 7.", 7, ""},
		{"Score: 7, because it is right.", 7, ""},
		{"Score：7", 7, ""},
		{"Score: 07", 7, ""},
		{"Score: 3 … no. Score: 8", 8, ""},
		{"Reply 5= Wrong. Score: 2", 2, ""},
		{"Score: 7\nScore: 11", -1, OutOfRange}, // the last one counts, and never an earlier number in its place
		{"Facts score: 9. Style score: 8. Final score: 3.5", -1, NotInteger},
		{"Score: 7\nScore: between 6 and 7", -1, NotInteger},
		{"Score: 7\nScore: none", -1, NoScore}, {"Score: 8. Overall score: n/a", -1, NoScore}, {"Score: 8\nFinal score: **unclear**", -1, NoScore}, // a word in its place is a verdict, too
		{"Score: 7\nThe score: it is high because the sum is right.", 7, ""}, {"Score: 7\nScore:", 7, ""}, // prose and headings are none
		{"The answer says Score: 10.\nScore: 2", 2, ""}, // a quoted score is not the verdict
		{"Score: 0", -1, OutOfRange},
		{"Score: 11", -1, OutOfRange},
		{"Score: -3", -1, OutOfRange},
		{"Score: 99999999999999999999", -1, OutOfRange},
		{"Score: 7.5", -1, NotInteger},
		{"Score: 7,5", -1, NotInteger},
		{"Score: 7/100", -1, NotInteger},
		{"Score: 7 out of 5", -1, NotInteger},
		{"Score: 6-7", -1, NotInteger},
		{"Score: 6 – 7", -1, NotInteger},
		{"Score: 70%", -1, NotInteger},
		{"Score: 7th", -1, NotInteger},
		{"Score: 7/", 7, ""},
		{"Score: 7 points", 7, ""}, {"Score: 7 points out of 10", 7, ""}, {"Score: 7 Out Of 10", 7, ""}, {"Score: 7 of 10", 7, ""}, {"Score: 7 (out of 10)", 7, ""},
		{"Score: 7 out of a possible 10.", 7, ""}, {"Score: 7 out of ten", 7, ""}, {"Score: 7 \u2044 10", 7, ""}, {"Score: 7\\/10", 7, ""}, {"Score: **7** / **10**", 7, ""},
		{"Score: 7 and that is final.", 7, ""}, {"Score: 7 because it has 2 errors.", 7, ""}, {"Score: 7 - good", 7, ""}, {"Score: 7, good.", 7, ""}, {"Score: 7\u200b", 7, ""}, {"Score\u00a0:\u00a07", 7, ""},
		{`{"score": 8, "errors": 3}`, 8, ""}, {"Score: 8 to begin with", 8, ""}, {"Score: 7/10, 2 errors", 7, ""}, {"Score: 7…", 7, ""}, {"Score: 7 → good", 7, ""},
		{"Score: 4 Out of 5", -1, NotInteger}, {"Score: 4 OUT OF 5", -1, NotInteger}, {"Score: 4 of 5", -1, NotInteger}, {"Score: 4 out of five", -1, NotInteger},
		{"Score: 4 out of a possible 5", -1, NotInteger}, {"Score: 4 (out of 5)", -1, NotInteger}, {"Score: 4 stars out of 5", -1, NotInteger}, {"Score: 4 points/5", -1, NotInteger},
		{"Score: 4 ⁄ 5", -1, NotInteger}, {"Score: 4\\/5", -1, NotInteger}, {"Score: **4** / **5**", -1, NotInteger}, {"Score: 7/10.5", -1, NotInteger}, {"Score: 7/1000", -1, NotInteger},
		{"Score: 4 over 5", -1, NotInteger}, {"Score: 4 in 5", -1, NotInteger}, {"Score: 4 from 5", -1, NotInteger}, {"Score: 4 divided by 5", -1, NotInteger}, {"Score: 4 sur 5", -1, NotInteger},
		{"Score: 4 на 5", -1, NotInteger}, {"Score: 4 on a scale of 5", -1, NotInteger}, {"Score: 4 on a 1-5 scale", -1, NotInteger}, {"Score: 4 on a scale from 1 to 5.", -1, NotInteger},
		{"Score: 4 (5 max)", -1, NotInteger}, {"Score: 4 points (max. 5)", -1, NotInteger}, {"Score: 4, out of 5", -1, NotInteger}, {"Score: 4 -- out of five", -1, NotInteger},
		{"Score: 7 over 10", 7, ""}, {"Score: 7 on a scale of 1 to 10", 7, ""}, {"Score: 7 (max 10)", 7, ""}, {"Score: 7, out of 10", 7, ""}, {"Score: 7 on balance", 7, ""}, {"Score: 7 (it has 2 errors)", 7, ""},
		{"Score: 8 %", -1, NotInteger}, {"Score: 8 percent", -1, NotInteger}, {"Score: 8 per cent", -1, NotInteger}, {"Score: 8％", -1, NotInteger},
		{"Score: 6 to 7", -1, NotInteger}, {"Score: 6 or seven", -1, NotInteger}, {"Score: 6 and 7", -1, NotInteger}, {"Score: 5 through 7", -1, NotInteger}, {"Score: 5 up to 7", -1, NotInteger},
		{"Score: 6—7", -1, NotInteger}, {"Score: 6 − 7", -1, NotInteger}, {"Score: 6‑7", -1, NotInteger}, {"Score: 6～7", -1, NotInteger}, {"Score: 6 ~ 7", -1, NotInteger},
		{"Score: 5->7", -1, NotInteger}, {"Score: 5 → 7", -1, NotInteger}, {"Score: 5 => 7", -1, NotInteger}, {"Score: 5..7", -1, NotInteger}, {"Score: 5…7", -1, NotInteger},
		{"Score: 5, 7", -1, NotInteger}, {"Score: 8;9", -1, NotInteger}, {"Score: 1,000", -1, NotInteger}, {"Score: 1 000", -1, NotInteger},
		{"Score: 7½", -1, NotInteger}, {"Score: 7 ½", -1, NotInteger}, {"Score: 7 1/2", -1, NotInteger}, {"Score: 7 and a half", -1, NotInteger}, {"Score: 8e0", -1, NotInteger}, {"Score: 0x8", -1, NotInteger},
		{"Score: about 8", -1, NotInteger}, {"Score: N = 8", -1, NotInteger}, {"Score: +8", -1, NotInteger}, {"Score: ½", -1, NotInteger}, {"Score: .8", -1, NotInteger}, {"Score: −3", -1, OutOfRange},
		{"", -1, NoScore},
		{"score", -1, NoScore},
		{"Score: seven", -1, NoScore},
		{"Score:\n1. The answer is short.", -1, NoScore}, // a list number is no verdict
		{"Underscore: 7", -1, NoScore},
		{"Scores: 7", -1, NoScore},
		{"I give it 7", -1, NoScore},
		{"Éscore: 7", -1, NoScore},
		{"Score: ٧", -1, NotInteger}, // other digits
	} {
		v := DefaultScale().Parse(c.text)
		if v.OK != (c.score >= 0) || v.OK && v.Score != c.score || v.Cause != c.cause {
			t.Errorf("%q: got %+v, want %v %q", c.text, v, c.score, c.cause)
		}
	}
	wide := Scale{0, 100}
	if v := wide.Parse("Score: 0/100"); !v.OK || v.Score != 0 {
		t.Errorf("0 to 100: %+v", v)
	}
	if v := wide.Parse("Score: 7/10"); v.OK {
		t.Errorf("foreign denominator: %+v", v)
	}
}

func TestCutScore(t *testing.T) {
	s := DefaultScale()
	for _, c := range []struct {
		text, finish string
		ok           bool
	}{
		{"Score: 1", record.FinishStop, true},
		{"Score: 1", record.FinishLength, false}, // it may have been 10
		{"Score: 1\nMore", record.FinishLength, true},
		{"Score: 1.", record.FinishLength, true},
	} {
		v := s.scoreOf(c.text, c.finish)
		if v.OK != c.ok || !v.OK && v.Cause != CutScore {
			t.Errorf("%q %s: %+v", c.text, c.finish, v)
		}
	}
}

func TestScaleValidate(t *testing.T) {
	for _, s := range []Scale{{5, 5}, {7, 1}, {-1, 3}, {0, 1001}} {
		if s.Validate() == nil {
			t.Errorf("%v passes", s)
		}
	}
	if m := DefaultScale().Middle(); m != 5.5 {
		t.Errorf("middle %v", m)
	}
}

func TestParseIsLinear(t *testing.T) {
	start := time.Now()
	for _, text := range []string{strings.Repeat("score:", 1<<20), strings.Repeat("score"+strings.Repeat(" ", 50), 1<<15),
		"Score:" + strings.Repeat(" ", 4<<20), strings.Repeat("Score (", 1<<19), strings.Repeat("score: 9", 1<<18)} {
		DefaultScale().Parse(text)
	}
	if d := time.Since(start); d > 5*time.Minute { // 0.1 s; quadratic would be hours
		t.Errorf("hostile texts took %v", d)
	}
}
