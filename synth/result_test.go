package synth

import "testing"

func TestResults(t *testing.T) {
	for _, c := range []struct{ text, result, how string }{
		{"She has 3 and buys 4.\n#### 7", "7", InMark},
		{"#### 1\nno, wait\n#### 1,080 ", "1,080", InMark},
		{`So it is \boxed{\frac{1}{2}} and not \boxed{3}`, "3", InBox},
		{`\boxed{\sqrt{2}+\frac{1}{x^{2}}}.`, `\sqrt{2}+\frac{1}{x^{2}}`, InBox},
		{`\boxed{3`, "", ""},
		{"First 5, then 6. The answer is 11. I am sure, 100 %.", "11", InWords},
		{"**Answer:** 12 dollars", "12 dollars", InWords},
		{"Final answer: $x = 4$", "$x = 4$", InWords},
		{"There are 5 apples, and 3 of them\nare red.", "", ""},
		{"", "", ""},
	} {
		if got, how := Result(c.text, false); got != c.result || how != c.how {
			t.Errorf("%q: got %q (%s), want %q (%s)", c.text, got, how, c.result, c.how)
		}
	}
	if got, how := Result("There are 5 apples, and 3 of them\nare red.", true); got != "3" || how != LastPlace {
		t.Errorf("the last number: %q, %s", got, how)
	}
	if got, how := Reference("42"); got != "42" || how != AllOfIt {
		t.Errorf("a short text: %q, %s", got, how)
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"7", "7.0", true}, {"1,080", "1080", true}, {"$12.50", "12.5 dollars", true}, {"x = 4", "4", true}, {"50\\%", "50", true},
		{`\frac{1}{2}`, "0.5", true}, {`\dfrac12`, "1/2", true}, {`-\frac{3}{4}`, "-0.75", true}, {"10/3", "3.33", true}, {"10/3", "3.3", false},
		{"3.33", "3.34", false}, {"7", "8", false}, {"7", "-7", false}, {"12 dollars", "12 cents", true}, // units are not looked at
		{"3 1/2", "31/2", false}, {"1 000", "1000", false}, {"2\\sqrt{3}", "2", false}, {`\left( 1, 2 \right)`, "(1,2)", true}, {`\text{East}`, "east", true},
		{"x+1", "x + 1", true}, {"x+1", "x-1", false}, {"1/0", "1/0", true}, {"", "", true}, {"90^\\circ", "90", true}, {"(A)", "(B)", false},
	} {
		if got := Same(c.a, c.b); got != c.same {
			t.Errorf("%q and %q: got %v (%q, %q)", c.a, c.b, got, plain(c.a), plain(c.b))
		}
		if Same(c.a, c.b) != Same(c.b, c.a) {
			t.Errorf("%q and %q: the order matters", c.a, c.b)
		}
	}
}

func FuzzResult(f *testing.F) {
	for _, s := range []string{`\boxed{\frac{1}{0}}`, "#### 1,000.50", "answer = 3/4", "3 1/2", "\\frac{--1}{2}", "1/00"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, _ := Result(a, true)
		y, _ := Reference(b)
		if Same(x, y) != Same(y, x) || !Same(x, x) {
			t.Fatalf("%q, %q", x, y)
		}
	})
}
