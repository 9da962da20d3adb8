package text

import (
	"math"
	"os"
	"testing"

	"criticrm/critic"
	"criticrm/record"
)

func TestCritique(t *testing.T) {
	for _, c := range []struct{ answer, want string }{
		{"She sold 48/2 = 24 clips in May.\nShe sold 48+24 = 72 clips.\nA: 72", "48/2=24 ok. 48+24=72 ok. Score: 9"},
		{"She sold 48/2 = 24 clips.\nThat is 48+24 = 74.\nSo 74-4 = 70.", "48/2=24 ok. 48+24=74 wrong. Score: 2"},
		{"It is $1,200 x 2 = $2,400.", "$1,200x2=2,400 ok. Score: 9"},
		{"It is (3 + 4) * 2=14 and 20% * 50 = 10.", "(3+4)*2=14 ok. 20%*50=10 ok. Score: 9"},
		{"It is 10/3 = 3.33, or 10/3=3, not 10/3 = 3.5.", "10/3=3.33 ok. 10/3=3 ok. 10/3=3.5 wrong. Score: 2"},
		{"It gets .10*500 = $50.00 off. 100% - 10% = 90%, as said. 3 + 4=7", ".10*500=50.00 ok. 100%-10%=90% ok. 3+4=7 ok. Score: 9"},
		{"It is 24.", ""},
		{"5/0 = 3", "5/0=3 wrong. Score: 2"},
		{"1+1=2 1+1=2 1+1=2 1+1=2 1+1=2 1+1=3", "1+1=2 ok. 1+1=2 ok. 1+1=2 ok. 1+1=3 wrong. Score: 2"},
	} {
		got, ok := Critique(c.answer)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%q: %q %v, want %q", c.answer, got, ok, c.want)
		}
		if v := critic.DefaultScale().Parse(got); ok && !v.OK {
			t.Errorf("%q has no score: %+v", got, v)
		}
	}
}

func TestCalculate(t *testing.T) {
	for s, want := range map[string]float64{"1+2*3": 7, "-(2-5)/2": 1.5, "8/4/2": 1, "50%*10": 5, "7-2-1": 4} {
		if v, err := calculate(s); err != nil || math.Abs(v-want) > 1e-12 {
			t.Errorf("%s: %v %v, want %v", s, v, err, want)
		}
	}
	for _, s := range []string{"", "1+", "(1+2", "1..2", "1)"} {
		if v, err := calculate(s); err == nil {
			t.Errorf("%q is %v", s, v)
		}
	}
}

func TestPreference(t *testing.T) {
	for _, c := range []struct {
		chosen, rejected string
		want             float64
	}{{"1+1 = 2", "1+1 = 3", 1}, {"1+1 = 3", "1+1 = 2", 0}, {"1+1 = 2", "2-1 = 1", .5}, {"two", "1+1 = 3", 1}} {
		if got := Preference(&record.Record{Chosen: c.chosen, Rejected: c.rejected}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestRead(t *testing.T) {
	path := t.TempDir() + "/pairs.jsonl"
	rows := `{"prompt":"a","chosen":"1","rejected":"2","subset":"s"}
{"prompt":"a","chosen":"3","rejected":"2","subset":"s"}
{"prompt":"b","chosen":"3","rejected":"2","subset":"other"}
{"prompt":"c","chosen":"3","rejected":"2","subset":"s"}
`
	if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Read(path, "s", 0)
	if err != nil || len(p.Records) != 2 || p.Again != 1 || p.Other != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	p.Without([]*record.Record{{Prompt: record.Prompt{Text: "c"}}})
	if got := p.Take(5); len(got) != 1 || got[0].Prompt.Text != "a" || len(p.Records) != 0 {
		t.Errorf("%v", got)
	}
}
