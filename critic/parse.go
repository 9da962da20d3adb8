package critic

// The verdict of a critique: the last "Score: N" of its text.
//
// Only the critique is parsed, so a score planted in the answer counts only if the critic itself repeats it as its
// verdict. What cannot be parsed has no score: never the minimum, never a tie.

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"criticrm/record"
)

// Scale is the range of scores, both ends included.
type Scale struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// DefaultScale is 1 to 10.
func DefaultScale() Scale { return Scale{1, 10} }

// Validate refuses an empty or absurd scale.
func (s Scale) Validate() error {
	if s.Min < 0 || s.Max > 1000 || s.Min >= s.Max {
		return fmt.Errorf("critic: score scale: got %d to %d, want 0 ≤ min < max ≤ 1000", s.Min, s.Max)
	}
	return nil
}

// Middle splits the scale: scores above it call a response right.
func (s Scale) Middle() float64 { return float64(s.Min+s.Max) / 2 }

// Causes why a text has no score.
const (
	NoScore    = "no score"     // the text has no "Score:" with a number
	OutOfRange = "out of range" // a number, but not on the scale
	NotInteger = "not a whole number on this scale"
	CutScore   = "cut by the token limit" // the text ends in the number, which may have had more digits
)

// Verdict is a parsed score, or the cause why there is none.
type Verdict struct {
	Score float64
	OK    bool
	Cause string // empty if OK; else of the last "Score:"
	End   int    // byte just past the number
}

// Parse finds the verdict of a text: the last "Score:" with a number or a word in its place. If that one is not a whole number on the scale, the
// text has no score; an earlier number is another aspect's, an example's or one that was taken back. Accepted around the number are any case,
// Markdown emphasis, quotes, "=" for ":", the scale's maximum as denominator ("7/10", "7 out of 10", "7 of ten points") and any text behind. Not
// accepted are fractions, ranges ("6-7", "6 or 7"), percentages, other denominators in whatever words, and words before the number or in its place. The time is linear in the text.
func (s Scale) Parse(text string) Verdict {
	last := Verdict{Cause: NoScore}
	for i := 0; i+5 <= len(text); i++ {
		if !isScoreWord(text, i) {
			continue
		}
		if v, ok := s.verdictAt(text, i+5); ok {
			last = v
		}
	}
	return last
}

// isScoreWord reports whether the word "score" stands at i.
func isScoreWord(text string, i int) bool {
	for k := range 5 {
		if text[i+k]|0x20 != "score"[k] {
			return false
		}
	}
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	return i == 0 || !unicode.IsLetter(before) && !unicode.IsDigit(before)
}

// skip passes over blanks and Markdown or JSON decoration, not over line ends: a list number on the next line is
// no verdict.
func skip(text string, i int) int {
	for i < len(text) {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == '\n' || r == '\r' || !unicode.Is(unicode.Zs, r) && !unicode.Is(unicode.Cf, r) && !strings.ContainsRune("\t*_`\"'", r) {
			return i
		}
		i += n
	}
	return i
}

// verdictAt reads ": N" at i; ok is false if there is no number at all.
func (s Scale) verdictAt(text string, i int) (v Verdict, ok bool) {
	i = skip(text, i)
	if i < len(text) && text[i] == '(' { // "Score (1-10): 7"
		for k := i; k < len(text) && k < i+24 && text[k] != '\n'; k++ {
			if text[k] == ')' {
				i = skip(text, k+1)
				break
			}
		}
	}
	switch {
	case i < len(text) && (text[i] == ':' || text[i] == '='):
		i++
	case strings.HasPrefix(text[i:], "："): // full-width colon
		i += len("：")
	default:
		return v, false
	}
	i = skip(text, i)
	for i < len(text) && (text[i] == '[' || text[i] == '(') {
		i = skip(text, i+1)
	}
	negative := strings.HasPrefix(text[i:], "-") || strings.HasPrefix(text[i:], "−")
	if negative {
		_, n := utf8.DecodeRuneInString(text[i:])
		i += n
	}
	n, end := digits(text, i)
	if end == i {
		rest := line(text, i)
		v.Cause = NotInteger // of a number behind words or signs: "about 8", "between 6 and 7", "½"
		if hasNumber(rest) {
			return v, true
		}
		v.Cause = NoScore // "n/a", "seven": a verdict all the same, where nothing else is on the line
		rest = strings.TrimSpace(rest)
		return v, rest != "" && len(rest) <= longestWord
	}
	v.End = end
	switch {
	case !s.cleanEnd(text, end):
		v.Cause = NotInteger
	case negative || n < float64(s.Min) || n > float64(s.Max):
		v.Cause = OutOfRange
	default:
		v.Score, v.OK = n, true
	}
	return v, true
}

// longestWord is how long what stands for a number may be, in bytes; longer ones are prose.
const longestWord = 20

// line is the rest of the line at i, as far as a verdict may reach.
func line(text string, i int) string {
	text = text[i:min(len(text), i+80)]
	if k := strings.IndexByte(text, '\n'); k >= 0 {
		text = text[:k]
	}
	return text
}

// hasNumber reports whether a text has a figure, of any script, or a fraction.
func hasNumber(text string) bool { return strings.ContainsFunc(text, unicode.IsNumber) }

// digits reads up to nine digits; more are not a score and give +Inf.
func digits(text string, i int) (float64, int) {
	end := i
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	if end == i || end-i > 9 {
		return math.Inf(1), end
	}
	n, err := strconv.Atoi(text[i:end])
	if err != nil {
		return math.Inf(1), end
	}
	return float64(n), end
}

// cleanEnd reports whether the digits before end are a whole number of their own: no fraction, range, percentage,
// unit or foreign denominator follows.
func (s Scale) cleanEnd(text string, end int) bool {
	rest := text[end:]
	if r, _ := utf8.DecodeRuneInString(rest); rest != "" && (unicode.IsLetter(r) || unicode.IsNumber(r)) {
		return false // 8th, 7½
	}
	rest = gap(rest)
	switch r, n := utf8.DecodeRuneInString(rest); {
	case rest == "" || r == '\n':
		return true
	case unicode.IsNumber(r) || r == '%' || r == '‰' || r == '％':
		return false // 1 000, 7 ½, 8 %
	case r == '(':
		return s.parenthesis(rest[1:])
	case r == '/' || r == '⁄' || r == '∕' || r == '／' || strings.HasPrefix(rest, `\/`):
		rest = gap(strings.TrimPrefix(rest[n:], "/"))
		return !startsNumber(rest) || s.denominator(rest)
	case unicode.IsLetter(r):
		return s.wordEnd(rest)
	case unicode.IsPunct(r) || unicode.IsSymbol(r): // a full stop, a dash, an arrow: what stands behind must not be a number
		rest = gap(strings.TrimLeftFunc(rest, func(r rune) bool {
			return r != '(' && r != '\n' && (unicode.IsPunct(r) || unicode.IsSymbol(r))
		}))
		if word, _ := nextWord(rest); word == "out" {
			return s.wordEnd(rest)
		}
		return !startsNumber(rest)
	}
	return true
}

// parenthesis is cleanEnd for what follows an opening one: "(out of 5)", "(5 max)", "(max. 5)".
func (s Scale) parenthesis(rest string) bool {
	if word, _ := nextWord(rest); word == "out" || word == "of" {
		return s.wordEnd(rest)
	}
	inside, _, _ := strings.Cut(line(rest, 0), ")")
	return !strings.Contains(strings.ToLower(inside), "max") || s.lastIsMax(inside)
}

// lastIsMax reports whether the last number of a text in figures is the scale's maximum; without a number it has nothing against it.
func (s Scale) lastIsMax(text string) bool {
	end := strings.LastIndexFunc(text, unicode.IsNumber)
	if end < 0 {
		return true
	}
	first := end
	for first > 0 && text[first-1] >= '0' && text[first-1] <= '9' {
		first--
	}
	n, _ := digits(text, first)
	return n == float64(s.Max)
}

// gap passes over blanks, emphasis, quotes and characters without a width.
func gap(text string) string {
	return strings.TrimLeftFunc(text, func(r rune) bool {
		return r != '\n' && (unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune("*_`\"'", r))
	})
}

// startsNumber reports whether a text begins with a number in figures or words.
func startsNumber(text string) bool {
	if r, _ := utf8.DecodeRuneInString(text); unicode.IsNumber(r) {
		return true
	}
	word, _ := nextWord(text)
	_, ok := numberWords[word]
	return ok
}

// numberWords are the numbers that a scale ends with, and those that a range is made of.
var numberWords = map[string]int{"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "hundred": 100, "half": -1, "quarter": -1}

// nextWord gives the first word in lower case and what follows it.
func nextWord(text string) (word, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
	if end < 0 {
		end = len(text)
	}
	return strings.ToLower(text[:min(end, 12)]), text[end:]
}

// wordEnd is cleanEnd for a number with words behind it.
func (s Scale) wordEnd(text string) bool {
	word, rest := nextWord(text)
	rest = gap(rest)
	switch word {
	case "to", "or", "and", "through", "till", "until", "vs", "versus", "plus", "up", "upto":
		if word == "up" {
			_, rest = nextWord(rest)
			rest = gap(rest)
		}
		if article, behind := nextWord(rest); article == "a" || article == "an" { // and a half
			rest = gap(behind)
		}
		return !startsNumber(rest)
	case "percent", "per", "pct", "half":
		return false
	case "point", "points", "star", "stars", "mark", "marks":
		if strings.HasPrefix(rest, "/") {
			return s.denominator(gap(rest[1:]))
		}
		if strings.HasPrefix(rest, "(") {
			return s.parenthesis(rest[1:])
		}
		if next, _ := nextWord(rest); next == "out" || next == "of" {
			return s.wordEnd(rest)
		}
		return !startsNumber(rest)
	case "on": // a scale from 1 to 5, a 1-5 scale
		sentence, _, _ := strings.Cut(line(rest, 0), ".")
		return !strings.Contains(strings.ToLower(sentence), "scale") || s.lastIsMax(sentence)
	case "divided":
		if by, behind := nextWord(rest); by == "by" {
			rest = gap(behind)
		}
		return s.denominator(rest)
	case "out":
		next, behind := nextWord(rest)
		if next != "of" {
			return true
		}
		rest = gap(behind)
		fallthrough
	case "of":
		for {
			next, behind := nextWord(rest)
			if next != "a" && next != "the" && next != "possible" && next != "maximum" && next != "max" {
				return s.denominator(rest)
			}
			rest = gap(behind)
		}
	}
	if _, number := numberWords[word]; number {
		return false
	}
	// Over 5, in 5, von 5, sur 5, на 5: what stands behind a short word is a denominator.
	return utf8.RuneCountInString(word) > longestPreposition || !startsNumber(rest) || s.denominator(rest)
}

// longestPreposition is how long, in letters, a word between a score and its denominator may be.
const longestPreposition = 4

// denominator accepts the scale's maximum, in figures or as a word.
func (s Scale) denominator(text string) bool {
	if word, _ := nextWord(text); word != "" {
		n, ok := numberWords[word]
		return ok && n == s.Max
	}
	n, end := digits(text, 0)
	if end == 0 || n != float64(s.Max) {
		return false
	}
	rest := text[end:]
	r, k := utf8.DecodeRuneInString(rest)
	if (r == '.' || r == ',') && k < len(rest) {
		r, _ = utf8.DecodeRuneInString(rest[k:])
		return !unicode.IsNumber(r)
	}
	return rest == "" || !unicode.IsNumber(r) && !unicode.IsLetter(r)
}

// scoreOf parses a sample. A text that the token limit cut right after the number has no score: "Score: 1" may
// have been "Score: 10".
func (s Scale) scoreOf(text, finish string) Verdict {
	v := s.Parse(text)
	if v.OK && finish == record.FinishLength && v.End == len(text) {
		return Verdict{Cause: CutScore}
	}
	return v
}
