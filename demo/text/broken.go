package text

// A worked answer with one step broken by program, of answers as GSM8K has them: with annotations of their calculations and a marked result.

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/splitmix"
)

// How a step is broken: the subset of the pair.
const (
	WrongResult   = "wrong result"   // its calculation does not add up
	WrongOperator = "wrong operator" // it calculates well what is not asked
)

var (
	annotation = regexp.MustCompile(`<<[^<>]*>>`)
	calculated = regexp.MustCompile(`^<<([^<>=]*)=([^<>=]*)>>$`)
	number     = regexp.MustCompile(`[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+`)
	atOnce     = regexp.MustCompile(`^\s*\$?([0-9]|\.[0-9])`) // a number comes at once
	written    = regexp.MustCompile(`([-+*/x×÷().,$%0-9 ]*)=\s*\$?$`)
)

// resultMark is before the result of an answer; resultWords stand there in its place in what a model reads.
const resultMark, resultWords = "\n#### ", "\nA: "

// step is a calculation of an answer.
type step struct {
	expression string  // in its annotation
	from, to   int     // of its result, in the text
	value      float64 // of its result
	read       bool    // the result is what the annotation comes to: the step can be done again
	equals     bool    // an equals sign is before the result
	at, end    int     // of the expression in the text, if it stands there as a calculation; 0, 0: it does not
}

// worked is an answer without its annotations.
type worked struct {
	text   string // without the result behind the mark
	result string
	steps  []step
	asked  []float64   // numbers of the question
	values []float64   // of tokens
	whole  bool        // all numbers of question and text are whole
	commas bool        // thousands are set apart
	tokens [][]int     // of the numbers in text
	stepOf map[int]int // the step whose result begins there
	wrong  int         // equations that the checker finds wrong as it is
	times  string      // how it writes a product
	seed   uint64
}

// Plain is an answer as a model reads it: without annotations, and with "A: " before the result.
func Plain(answer string) string {
	answer = annotation.ReplaceAllString(answer, "")
	if at := strings.LastIndex(answer, resultMark); at >= 0 {
		answer = answer[:at] + resultWords + strings.TrimSpace(answer[at+len(resultMark):])
	}
	return answer
}

// Broken is a worked answer with one step broken, the steps behind it done again with what comes of it, and another result; kind says how. The
// same question and answer always give the same. ok is false where no step can be broken so that the result becomes another one: where it is
// not said which numbers are that of the step, or what comes of it is no number that somebody would write.
func Broken(question, answer string) (text, kind string, ok bool) {
	w, ok := parseWorked(question, answer)
	if !ok {
		return "", "", false
	}
	kinds := []string{WrongResult, WrongOperator}
	if splitmix.Below(splitmix.Draw(w.seed, 0), operatorsOf) == 0 {
		slices.Reverse(kinds)
	}
	for _, whole := range []bool{true, false} { // no half clips where none are needed
		for _, kind := range kinds {
			for _, i := range splitmix.Permutation(splitmix.Draw(w.seed, 1), len(w.steps)) {
				for _, v := range w.variants(i, kind) {
					if text, ok := w.with(i, v, whole && w.whole); ok {
						return text, kind, true
					}
				}
			}
		}
	}
	return "", "", false
}

// operatorsOf: one answer of so many has a wrong operator, if that can be.
const operatorsOf = 4

func parseWorked(question, answer string) (*worked, bool) {
	cut := strings.LastIndex(answer, resultMark)
	if cut < 0 {
		return nil, false
	}
	w := &worked{result: strings.TrimSpace(answer[cut+len(resultMark):]), stepOf: map[int]int{}, whole: true, times: "*",
		seed: critic.KeyOf("broken", question+"\x00"+answer, record.Rejected, 0)}
	var b strings.Builder
	body, last := answer[:cut], 0
	for _, m := range annotation.FindAllStringIndex(body, -1) {
		b.WriteString(body[last:m[0]])
		last = m[1]
		parts, next := calculated.FindStringSubmatch(body[m[0]:m[1]]), atOnce.FindStringSubmatchIndex(body[last:])
		if parts == nil || next == nil {
			return nil, false // what it calculates would not be done again
		}
		w.steps = append(w.steps, step{expression: parts[1], from: b.Len() + next[2]})
	}
	w.text = b.String() + body[last:]
	w.tokens = number.FindAllStringIndex(w.text, -1)
	for i := range w.steps {
		s := &w.steps[i]
		t := slices.IndexFunc(w.tokens, func(t []int) bool { return t[0] == s.from })
		if _, twice := w.stepOf[s.from]; t < 0 || twice {
			return nil, false
		}
		w.stepOf[s.from], s.to = i, w.tokens[t][1]
		is := w.text[s.from:s.to]
		s.value = parseNumber(is)
		v, err := calculate(s.expression)
		s.read = err == nil && math.Abs(v-s.value) <= tolerance(is)
		m := written.FindStringSubmatchIndex(w.text[:s.from])
		if s.equals = m != nil; !s.equals {
			continue
		}
		e := trimmed(w.text[m[2]:m[3]])
		at := m[2] + strings.Index(w.text[m[2]:m[3]], e)
		if v, err := calculate(e); err == nil && len(operators(e)) > 0 && math.Abs(v-s.value) <= tolerance(is) {
			s.at, s.end = at, at+len(e)
		}
	}
	for _, t := range number.FindAllString(question, -1) {
		w.asked = append(w.asked, parseNumber(t))
	}
	for _, t := range w.tokens {
		is := w.text[t[0]:t[1]]
		w.values = append(w.values, parseNumber(is))
		w.commas = w.commas || strings.Contains(is, ",")
	}
	for _, v := range slices.Concat(w.asked, w.values) {
		w.whole = w.whole && v == math.Trunc(v)
	}
	for _, s := range w.steps {
		for _, sign := range []string{"x", "×"} {
			if strings.Contains(w.text[s.at:s.end], sign) {
				w.times = sign
			}
		}
	}
	w.wrong = wrongEquations(w.text, -1)
	return w, len(w.steps) > 0
}

// variant is another form of a step.
type variant struct {
	expression string // in the text; "": as it is
	value      float64
}

// variants are the ways in which a step can be broken, in an order of the row.
func (w *worked) variants(i int, kind string) (list []variant) {
	s := w.steps[i]
	if !s.read || !s.equals {
		return nil
	}
	is := w.text[s.from:s.to]
	switch kind {
	case WrongResult:
		// In units of the last digit that is not a nought behind the point, so that it is no matter of rounding.
		_, decimals, _ := strings.Cut(is, ".")
		unit := math.Pow10(-len(strings.TrimRight(decimals, "0")))
		for _, d := range []float64{1, 2, 4, 10} {
			list = append(list, variant{"", s.value + d*unit}, variant{"", s.value - d*unit})
		}
	default:
		e := w.text[s.at:s.end]
		for _, at := range operators(e) {
			sign, size := e[at:at+1], 1
			if rest := e[at:]; strings.HasPrefix(rest, "×") || strings.HasPrefix(rest, "÷") {
				size = len("×")
				sign = rest[:size]
			}
			sign = strings.NewReplacer("x", "*", "×", "*", "÷", "/").Replace(sign)
			for _, other := range []string{"+", "-", "*", "/"} {
				if other == sign {
					continue
				}
				if other == "*" {
					other = w.times
				}
				broken := e[:at] + other + e[at+size:]
				if v, err := calculate(broken); err == nil && math.Abs(v-s.value) > tolerance(is) {
					list = append(list, variant{broken, v})
				}
			}
		}
	}
	shuffled := make([]variant, len(list))
	for k, at := range splitmix.Permutation(splitmix.Draw(w.seed, uint64(2+i)), len(list)) {
		shuffled[k] = list[at]
	}
	return shuffled
}

// with is the answer with a variant of a step, and all that comes of it.
func (w *worked) with(broken int, v variant, whole bool) (string, bool) {
	s := w.steps[broken]
	changed := map[float64]float64{}
	change := func(s step, to float64) bool {
		if w.ambiguous(s) || !writable(to) || whole && to != math.Trunc(to) {
			return false
		}
		changed[s.value] = to
		return true
	}
	if !change(s, v.value) {
		return "", false
	}
	var b strings.Builder
	if v.expression == "" {
		b.WriteString(w.text[:s.from])
	} else {
		b.WriteString(w.text[:s.at] + v.expression + w.text[s.end:s.from])
	}
	at := b.Len() // of the result that is broken
	b.WriteString(w.number(v.value, w.text[s.from:s.to]))
	last := s.to
	for _, t := range w.tokens {
		if t[0] < last {
			continue
		}
		is := w.text[t[0]:t[1]]
		b.WriteString(w.text[last:t[0]])
		last = t[1]
		if i, ok := w.stepOf[t[0]]; ok {
			later := w.steps[i]
			again := number.ReplaceAllStringFunc(later.expression, func(t string) string {
				if to, ok := changed[parseNumber(t)]; ok {
					return strconv.FormatFloat(to, 'f', -1, 64)
				}
				return t
			})
			if again != later.expression {
				to, err := calculate(again)
				if err != nil || !later.read || to == later.value || !change(later, to) {
					return "", false
				}
			}
		}
		if to, ok := changed[parseNumber(is)]; ok {
			is = w.number(to, is)
		}
		b.WriteString(is)
	}
	b.WriteString(w.text[last:])
	result := strings.TrimPrefix(w.result, "$")
	to, ok := changed[parseNumber(result)]
	if !ok || number.FindString(result) != result {
		return "", false // it does not come of what was broken
	}
	// What is written without an annotation was not done again.
	if text := b.String(); wrongEquations(text, at) <= w.wrong {
		return text + resultWords + w.number(to, result), true
	}
	return "", false
}

// ambiguous says whether a step's result may stand for something else too: a number like it was there before, another step has the same, or
// it is one of two that are in texts of their own accord (a hundred per cent, one of something). Behind the step, nobody could say which of
// the two a number is.
func (w *worked) ambiguous(s step) bool {
	if s.value == 1 || s.value == 100 || slices.Contains(w.asked, s.value) {
		return true
	}
	for i, t := range w.tokens {
		if t[0] < s.from && w.values[i] == s.value {
			return true
		}
	}
	return slices.ContainsFunc(w.steps, func(other step) bool { return other.from != s.from && other.value == s.value })
}

// wrongEquations is how many equations the checker finds wrong, but for the one whose result is at a place.
func wrongEquations(text string, but int) (n int) {
	for _, m := range equation.FindAllStringSubmatchIndex(text, -1) {
		want, err := calculate(text[m[2]:m[3]])
		got, wrong := calculate(text[m[4]:m[5]])
		if err == nil && wrong == nil && m[4] != but && !(math.Abs(want-got) <= tolerance(text[m[4]:m[5]])) {
			n++
		}
	}
	return n
}

// operators are the places of an expression's signs that stand between two values.
func operators(e string) (list []int) {
	value := false // before the sign
	for i, c := range e {
		switch {
		case c >= '0' && c <= '9', c == ')', c == '%':
			value = true
		case strings.ContainsRune("+-*/x×÷", c):
			if value {
				list = append(list, i)
			}
			value = false
		}
	}
	return list
}

// writable says whether somebody would write the number: above 0, not too large, and with no more than two digits behind the point.
func writable(v float64) bool {
	return v > 0 && v < 1e7 && math.Abs(v*100-math.Round(v*100)) < 1e-6
}

func parseNumber(s string) float64 {
	v, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	if err != nil {
		return math.NaN() // which equals no number
	}
	return v
}

// number writes a value in the manner of another one: cents, commas, and a point at the beginning.
func (w *worked) number(v float64, like string) string {
	s := strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
	_, cents, _ := strings.Cut(like, ".")
	if len(cents) == 2 {
		s = strconv.FormatFloat(v, 'f', 2, 64)
	}
	if strings.HasPrefix(like, ".") {
		s = strings.TrimPrefix(s, "0")
	}
	point := strings.IndexByte(s+".", '.')
	if strings.Contains(like, ",") || w.commas && parseNumber(like) < 1000 {
		for at := point - 3; at > 0; at -= 3 {
			s = s[:at] + "," + s[at:]
		}
	}
	return s
}
