package synth

// The result of a solution: where it stands in the text, and whether two results are the same.

import (
	"math/big"
	"regexp"
	"strings"
)

// How a result was found in a text.
const (
	InBox     = "boxed"       // \boxed{…}, the last one
	InMark    = "####"        // behind the last ####
	InWords   = "answer is"   // behind the last "answer is", "answer:" or "answer ="
	AllOfIt   = "whole text"  // the text is nothing else
	LastPlace = "last number" // it is the last number of the text
)

var (
	answerWords = regexp.MustCompile(`(?i)\b(?:answer|result)\b(?:\s+is)?\s*[:=]?\s*(?:is\s+)?`)
	numberText  = regexp.MustCompile(`[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s*/\s*\d+)?|[-+]?\.\d+`)
	// latexParts are commands that change how a result looks and not what it is.
	latexParts = strings.NewReplacer(`\left`, "", `\right`, "", `\!`, "", `\,`, "", `\;`, "", `\:`, "", `\ `, "", `\$`, "", "$", "", `\%`, "", "%", "",
		`^\circ`, "", `^{\circ}`, "", `\degree`, "", `\dfrac`, `\frac`, `\tfrac`, `\frac`, `\cfrac`, `\frac`, "−", "-", "’", "'")
	latexText = regexp.MustCompile(`\\(?:text|textbf|mbox|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}`)
	fracTwo   = regexp.MustCompile(`\\frac\s*(\d)\s*(\d)`) // \frac12
	frac      = regexp.MustCompile(`^([-+]?)\\frac\{([-+]?\d+)\}\{([-+]?\d+)\}$`)
	digitGap  = regexp.MustCompile(`(\d)\s+(\d)`)
	unitWords = regexp.MustCompile(`^(.*?\d)\s*[A-Za-z][A-Za-z.\s]*$`) // 12 dollars
)

// Reference is the result of a solution that is known to be right: in a box, behind ####, behind words, or all of a short text. "" and ""
// if there is none.
func Reference(solution string) (result, how string) {
	if result, how = marked(solution); result != "" {
		return result, how
	}
	return all(solution)
}

// all is a text that is nothing but a result, as far as one can tell.
func all(text string) (result, how string) {
	if text = strings.TrimSpace(text); text == "" || len(text) > 60 || strings.Contains(text, "\n") || strings.Contains(text, `\boxed`) {
		return "", ""
	}
	return text, AllOfIt
}

// Result is what an answer gives as its result: what Reference finds or, where the known result is a number, the last number of the text.
func Result(answer string, numeric bool) (result, how string) {
	if result, how = marked(answer); result != "" {
		return result, how
	}
	if !numeric {
		return all(answer)
	}
	if last := LastNumber(answer); last != "" {
		return last, LastPlace
	}
	return "", ""
}

// LastNumber is the last number of a text; "" if it has none.
func LastNumber(text string) string {
	list := numberText.FindAllString(text, -1)
	if list == nil {
		return ""
	}
	return list[len(list)-1]
}

// marked is a result that stands behind a mark.
func marked(text string) (result, how string) {
	if s := lastBox(text); s != "" {
		return s, InBox
	}
	if i := strings.LastIndex(text, "####"); i >= 0 {
		line, _, _ := strings.Cut(text[i+4:], "\n")
		if s := strings.TrimSpace(line); s != "" {
			return s, InMark
		}
	}
	if all := answerWords.FindAllStringIndex(text, -1); all != nil {
		line, _, _ := strings.Cut(text[all[len(all)-1][1]:], "\n")
		if s := strings.TrimSpace(sentence(line)); s != "" {
			return strings.Trim(s, "*_`\"“”' "), InWords
		}
	}
	return "", ""
}

// sentence is a text up to the point that ends its first sentence.
func sentence(s string) string {
	for i := range s {
		if s[i] == '.' && (i+1 == len(s) || s[i+1] == ' ') {
			return s[:i]
		}
	}
	return s
}

// lastBox is what the last \boxed{} holds, braces inside of it too; "" if none is closed.
func lastBox(text string) string {
	i := strings.LastIndex(text, `\boxed{`)
	if i < 0 {
		return ""
	}
	text, depth := text[i+len(`\boxed{`):], 1
	for j := range len(text) {
		switch text[j] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return strings.TrimSpace(text[:j])
			}
		}
	}
	return ""
}

// plain is a result without what changes only its looks: spaces, dollar signs, units in words, TeX that is for looks, and what stands before
// its last equals sign.
func plain(s string) string {
	s = latexText.ReplaceAllString(s, " $1 ")
	s = latexParts.Replace(s)
	s = fracTwo.ReplaceAllString(s, `\frac{$1}{$2}`)
	if i := strings.LastIndex(s, "="); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Trim(strings.TrimSpace(s), ".")
	if m := unitWords.FindStringSubmatch(s); m != nil {
		s = m[1]
	}
	s = digitGap.ReplaceAllString(s, "${1}_$2") // "3 1/2" and "1 000" are not 31/2 and, for certain, 1000
	return strings.Join(strings.Fields(s), "")
}

// number reads a plain result as a number, with the digits behind its point.
func number(s string) (v *big.Rat, digits int, ok bool) {
	if m := frac.FindStringSubmatch(s); m != nil {
		s = m[1] + m[2] + "/" + m[3]
		if m[1] == "-" && strings.HasPrefix(m[2], "-") {
			return nil, 0, false
		}
	}
	if numberText.FindString(s) != s || s == "" {
		return nil, 0, false
	}
	s = strings.TrimPrefix(strings.ReplaceAll(s, ",", ""), "+")
	if len(s) > 100 { // nobody's result, and slow
		return nil, 0, false
	}
	if v, ok = new(big.Rat).SetString(s); !ok { // also a division by zero
		return nil, 0, false
	}
	if _, behind, point := strings.Cut(s, "."); point {
		digits = len(behind)
	}
	return v, digits, true
}

// IsNumber says whether a result is a number.
func IsNumber(result string) bool {
	_, _, ok := number(plain(result))
	return ok
}

// Same says whether two results are the same: as numbers if both are, where one with two or more digits behind the point may be the other
// one rounded; else as texts without spaces, units and TeX that is for looks, in any case.
func Same(a, b string) bool {
	a, b = plain(a), plain(b)
	x, dx, okx := number(a)
	y, dy, oky := number(b)
	if !okx || !oky {
		return okx == oky && strings.EqualFold(a, b)
	}
	if x.Cmp(y) == 0 {
		return true
	}
	const least = 2 // digits that count as rounded on purpose
	return dx >= least && x.FloatString(dx) == y.FloatString(dx) || dy >= least && x.FloatString(dy) == y.FloatString(dy)
}
