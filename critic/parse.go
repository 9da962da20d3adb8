package critic

// The verdict of a critique: the last valid "Score: N" of its text.
//
// Only the critique is parsed, so a score planted in the answer counts only if the critic itself repeats it as its
// verdict. What cannot be parsed has no score: never the minimum, never a tie.

import (
	"fmt"
	"math"
	"strconv"
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
	Cause string // empty if OK; else of the last "Score:" that had a number, or NoScore
	End   int    // byte just past the number
}

// Parse finds the last valid verdict of a text. Accepted around it: any case, Markdown emphasis, quotes, "=" for
// ":", a denominator equal to the maximum ("7/10", "7 out of 10") and any text behind. Not accepted: fractions,
// ranges ("6-7"), percentages, other denominators. The time is linear in the text.
func (s Scale) Parse(text string) Verdict {
	best := Verdict{Cause: NoScore}
	for i := 0; i+5 <= len(text); i++ {
		if !isScoreWord(text, i) {
			continue
		}
		v, ok := s.verdictAt(text, i+5)
		if ok && (v.OK || !best.OK) {
			best = v
		}
	}
	return best
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
		switch text[i] {
		case ' ', '\t', '*', '_', '`', '"', '\'':
			i++
		default:
			return i
		}
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
	case len(text)-i >= 3 && text[i:i+3] == "：": // full-width colon
		i += 3
	default:
		return v, false
	}
	i = skip(text, i)
	for i < len(text) && (text[i] == '[' || text[i] == '(') {
		i = skip(text, i+1)
	}
	negative := i < len(text) && text[i] == '-'
	if negative {
		i++
	}
	n, end := digits(text, i)
	if end == i {
		return v, false
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
	next := func(i int) rune {
		r, _ := utf8.DecodeRuneInString(text[min(i, len(text)):])
		return r
	}
	isDigit := func(i int) bool { return i < len(text) && text[i] >= '0' && text[i] <= '9' }
	if end >= len(text) {
		return true
	}
	if r := next(end); unicode.IsLetter(r) || r == '%' {
		return false
	}
	if (text[end] == '.' || text[end] == ',') && isDigit(end+1) {
		return false
	}
	i := skip(text, end)
	if i >= len(text) {
		return true
	}
	switch r := next(i); {
	case r == '-' || r == '–' || r == '~':
		return !isDigit(skip(text, i+utf8.RuneLen(r)))
	case r == '/':
		return s.denominator(text, skip(text, i+1))
	case len(text)-i >= 6 && text[i:i+6] == "out of":
		return s.denominator(text, skip(text, i+6))
	}
	return true
}

// denominator accepts the scale's maximum, or no number at all.
func (s Scale) denominator(text string, i int) bool {
	n, end := digits(text, i)
	return end == i || n == float64(s.Max)
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
