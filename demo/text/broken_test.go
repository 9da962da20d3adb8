package text

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// row is an answer in GSM8K's form about n hens, whose numbers do not meet.
func row(n int) (question, answer string) {
	eggs, sold, money := 11*n, 11*n-7, 3*(11*n-7)
	return fmt.Sprintf("%d hens lay 11 eggs each. Mia keeps 7 and sells the others at $3. What does she get?", n),
		fmt.Sprintf("The hens lay %[1]d*11 = <<%[1]d*11=%[2]d>>%[2]d eggs.\nOf the %[2]d eggs she sells %[2]d-7 = <<%[2]d-7=%[3]d>>%[3]d.\n"+
			"She gets 3 x %[3]d = $<<3*%[3]d=%[4]d>>%[4]d.\n#### %[4]d", n, eggs, sold, money)
}

// One step is another, those behind it come of it, and the result is another one.
func TestBroken(t *testing.T) {
	kinds := map[string]int{}
	at := map[int]int{}
	for n := 200; n < 300; n++ {
		question, answer := row(n)
		text, kind, ok := Broken(question, answer)
		again, _, _ := Broken(question, answer)
		if !ok || text != again {
			t.Fatalf("%q: %v, then %q", text, ok, again)
		}
		kinds[kind]++
		if strings.Contains(text, "<") || strings.Contains(text, "#") {
			t.Errorf("annotations are left: %q", text)
		}
		right, wrong := strings.Split(Plain(answer), "\n"), strings.Split(text, "\n")
		if len(right) != len(wrong) {
			t.Fatalf("%q", text)
		}
		first := 0
		for right[first] == wrong[first] {
			first++
		}
		at[first]++
		for i, line := range wrong {
			if i > first && line == right[i] {
				t.Errorf("line %d does not come of what was broken:\n%s", i, text)
			}
			says, _ := Critique(line)
			if seen := strings.Contains(says, "wrong."); seen != (i == first && kind == WrongResult) {
				t.Errorf("%s in line %d, and of line %d the program says %q:\n%s", kind, first, i, says, text)
			}
		}
		last := wrong[2][strings.LastIndex(wrong[2], "$")+1:]
		if wrong[3] != "A: "+strings.TrimSuffix(last, ".") {
			t.Errorf("the result is not the last step's:\n%s", text)
		}
		if first == 0 && kind == WrongResult { // in the words of the next step, too
			eggs := wrong[0][strings.LastIndex(wrong[0], "= ")+2 : strings.LastIndex(wrong[0], " eggs")]
			if !strings.HasPrefix(wrong[1], "Of the "+eggs+" eggs she sells "+eggs+"-7 = ") {
				t.Errorf("%q", text)
			}
		}
	}
	if kinds[WrongOperator] < 10 || kinds[WrongOperator] > 45 || at[0] < 10 || at[1] < 10 || at[2] < 10 {
		t.Errorf("of 100 answers: %v, broken in the lines %v", kinds, at)
	}
}

// What would not be one broken step, or leaves the result, is not made.
func TestNothingToBreak(t *testing.T) {
	for name, c := range map[string]struct{ question, answer string }{
		"no result":        {"How many?", "It is 3*7 = <<3*7=21>>21."},
		"no step":          {"How many?", "It is 21.\n#### 21"},
		"no number behind": {"How many?", "It is 3*7 = <<3*7=21>>twenty-one.\n#### 21"},
		"another result":   {"How many?", "It is 3*7 = <<3*7=21>>21.\n#### 22"},
		"asked":            {"21 hens: how many?", "It is 3*7 = <<3*7=21>>21.\n#### 21"},
		"twice":            {"How many?", "It is 3*7 = <<3*7=21>>21, and 20+1 = <<20+1=21>>21.\n#### 21"},
		"said before":      {"How many?", "21 it is: 3*7 = <<3*7=21>>21.\n#### 21"},
		"no annotation":    {"How many?", "It is 3*7 = <<3*7=21>>21.\n21+4 = 25 and 25+1 = <<25+1=26>>26\n#### 21"},
		"words":            {"How many?", "It is 3*7 = <<3*7=21>>21.\n#### twenty-one"},
		"in per cent":      {"How many?", "It is 3/4 = <<3/4=.75>>75%.\n#### 75"},
	} {
		if text, kind, ok := Broken(c.question, c.answer); ok {
			t.Errorf("%s: %s, %q", name, kind, text)
		}
	}
	if text, kind, ok := Broken("How many?", "It is 3*7 = <<3*7=21>>21.\n#### 21"); !ok || !strings.HasPrefix(text, "It is 3") || kind == "" {
		t.Errorf("%q %v", text, ok)
	}
}

// Numbers are written as those in whose place they are.
func TestNumbersAsWritten(t *testing.T) {
	w := &worked{commas: true}
	for _, c := range []struct {
		v    float64
		like string
		want string
	}{{12, "10.50", "12.00"}, {2.5, "3", "2.5"}, {1234567, "1,000", "1,234,567"}, {1200, "950", "1,200"}, {1200, "1100", "1200"}, {.75, ".5", ".75"}, {1234.5, "900.25", "1,234.50"}} {
		if got := w.number(c.v, c.like); got != c.want {
			t.Errorf("%v like %s: %s, want %s", c.v, c.like, got, c.want)
		}
	}
}

func file(t *testing.T, rows ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadWorkedAnswers(t *testing.T) {
	question, answer := row(210)
	asRow := fmt.Sprintf(`{"question":%q,"answer":%q}`, question, answer)
	unbroken := `{"question":"How many?","answer":"It is 21.\n#### 21"}`
	p, err := Read(file(t, asRow, unbroken, asRow), "", 0)
	if err != nil || len(p.Records) != 1 || p.Whole != 1 || p.Again != 1 || p.Other != 0 {
		t.Fatalf("%+v %v", p, err)
	}
	broken, kind, _ := Broken(question, answer)
	if r := p.Records[0]; r.Prompt.String() != question || r.Chosen != Plain(answer) || !strings.HasSuffix(r.Chosen, ".\nA: 6909") || r.Rejected != broken || r.Subset != kind {
		t.Errorf("%+v", r)
	}
	path := file(t, asRow, `{"question":"How many?","answer":"It is 21."}`)
	if _, err := Read(path, "", 0); err == nil || !strings.Contains(err.Error(), path+":2: ") {
		t.Errorf("%v", err)
	}
	path = file(t, asRow, `{"question":" ","answer":"It is 21.\n#### 21"}`)
	if _, err := Read(path, "", 0); err == nil || !strings.Contains(err.Error(), path+`:2: "question" is empty`) {
		t.Errorf("%v", err)
	}
	if p, err := Read(path, "", 1); err != nil || len(p.Records) != 1 || len(p.Bad) != 2 || !strings.Contains(p.Bad[0], `:2: "question" is empty`) {
		t.Errorf("%+v %v", p, err)
	}
}

// A pair is of a right and a wrong solution of two models, never of the ground truth, and does not depend on which model wrote what.
func TestReadModelSolutions(t *testing.T) {
	models := []string{"6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"}
	solutions := func(question string, turn int, texts ...string) string {
		row := fmt.Sprintf(`{"question":%q,"ground_truth":"Truly <<1+1=2>>2\nA: 2"`, question)
		for i, m := range models {
			text := texts[(i+turn)%4]
			row += fmt.Sprintf(`,%q:{"is_correct":%v,"solution":%q}`, m, strings.Contains(text, "A: 2"), text)
		}
		return row + "}"
	}
	texts := []string{"1+1 = <<1+1=2>>2\nA: 2", "It is 2\nA: 2", "1+1 = <<1+1=3>>3\nA: 3", "It is 4\nA: 4"}
	chosen := map[string]int{}
	for n := range 40 {
		question := fmt.Sprintf("%d?", n)
		for turn := range 4 {
			p, err := Read(file(t, solutions(question, turn, texts...)), "", 0)
			if err != nil || len(p.Records) != 1 {
				t.Fatalf("%+v %v", p, err)
			}
			r := p.Records[0]
			chosen[r.Chosen]++
			chosen[r.Rejected]++
		}
	}
	if len(chosen) != 4 {
		t.Fatalf("%v", chosen)
	}
	for _, text := range texts {
		if n := chosen[Plain(text)]; n < 20 || n > 140 || n%4 != 0 {
			t.Errorf("of 160 %q is taken %d times: %v", text, n, chosen)
		}
	}
	p, err := Read(file(t, solutions("a", 0, texts[0], texts[0], texts[1], texts[1]), solutions("b", 0, texts[2], texts[2], texts[3], texts[3]), solutions("c", 0, texts...)), "", 0)
	if err != nil || len(p.Records) != 1 || p.Alone != 2 {
		t.Errorf("%+v %v", p, err)
	}
	path := file(t, strings.Replace(solutions("a", 0, texts...), `"is_correct":true,`, "", 1))
	if _, err := Read(path, "", 0); err == nil || !strings.Contains(err.Error(), path+`:1: 6b_finetuning: key "is_correct" is missing`) {
		t.Errorf("%v", err)
	}
}

// The files that `make text` has fetched, where it has: pairs enough for a night.
func TestFetched(t *testing.T) {
	for name, least := range map[string]int{"train.jsonl": 5900, "example_model_solutions.jsonl": 700, "harmless.jsonl.gz": 650} {
		path := filepath.Join("../../build/gsm8k", name)
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s was not fetched", name)
		}
		p, err := Read(path, "", 9)
		if err != nil || len(p.Records) < least {
			t.Fatalf("%s: %d pairs, want %d: %v", name, len(p.Records), least, err)
		}
		longer := 0.
		for _, r := range p.Records {
			switch {
			case len(r.Chosen) > len(r.Rejected):
				longer++
			case len(r.Chosen) == len(r.Rejected):
				longer += .5
			}
		}
		t.Logf("%s: %d pairs, the longer one is chosen in %.3f; %d could not be broken, %d had no pair", name, len(p.Records), longer/float64(len(p.Records)), p.Whole, p.Alone)
	}
}
