package text

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"criticrm/critic"
	"criticrm/record"
)

// Scores of critiques by program.
const (
	good = 9
	bad  = 2
)

// equation is an expression, and what the answer says it is.
var equation = regexp.MustCompile(`([-+*/x×÷().,$%0-9 ]*[0-9][-+*/x×÷().,$%0-9 ]*[-+*/x×÷][-+*/x×÷().,$%0-9 ]*[0-9)%])\s*=\s*\$?(-?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?%?)`)

// mostChecked is how many equations of an answer are named: the first ones, or up to the first that is wrong.
const mostChecked = 4

// Critique is what a program says of a worked answer from the answer alone: its equations, calculated again, and a score. ok is false where
// the answer has no equation that can be read. A step that is the wrong one, but well calculated, is not seen.
func Critique(answer string) (text string, ok bool) {
	var says []string
	score := good
	for _, m := range equation.FindAllStringSubmatch(answer, -1) {
		want, err := calculate(m[1])
		got, wrong := calculate(m[2])
		if err != nil || wrong != nil {
			continue
		}
		verdict := "ok"
		if !(math.Abs(want-got) <= tolerance(m[2])) {
			verdict, score = "wrong", bad
		}
		if len(says) < mostChecked || score == bad {
			says = append(says, fmt.Sprintf("%s=%s %s.", strings.ReplaceAll(trimmed(m[1]), " ", ""), m[2], verdict))
		}
		if score == bad {
			says = says[max(0, len(says)-mostChecked):]
			break
		}
	}
	if len(says) == 0 {
		return "", false
	}
	return fmt.Sprintf("%s Score: %d", strings.Join(says, " "), score), true
}

// Preference says which answer of a pair the program finds better: 1 the chosen one, 0 the other, ½ neither.
func Preference(r *record.Record) float64 {
	score := func(answer string) float64 {
		says, ok := Critique(answer)
		if !ok {
			return critic.DefaultScale().Middle()
		}
		return critic.DefaultScale().Parse(says).Score
	}
	switch a, b := score(r.Chosen), score(r.Rejected); {
	case a > b:
		return 1
	case a < b:
		return 0
	}
	return .5
}

// tolerance is half of a unit of the last digit that is written, and a little more for what was rounded on the way.
func tolerance(written string) float64 {
	digits, percent := strings.CutSuffix(written, "%")
	_, decimals, _ := strings.Cut(digits, ".")
	places := len(decimals)
	if percent {
		places += 2
	}
	return .51 * math.Pow10(-places)
}

// trimmed is an expression without the end of the sentence before it.
func trimmed(s string) string {
	s = strings.TrimRight(strings.TrimLeft(s, " ,"), " .,")
	for len(s) > 1 && s[0] == '.' && (s[1] < '0' || s[1] > '9') {
		s = strings.TrimLeft(s[1:], " ,")
	}
	return s
}

// parser reads an expression of + - * / and brackets; % is a hundredth, $ and commas between digits are nothing.
type parser struct{ s string }

func calculate(s string) (float64, error) {
	p := &parser{strings.NewReplacer(" ", "", "$", "", ",", "", "×", "*", "x", "*", "÷", "/").Replace(trimmed(s))}
	v, err := p.sum()
	if err == nil && p.s != "" {
		err = fmt.Errorf("%q is left", p.s)
	}
	return v, err
}

func (p *parser) next(of string) byte {
	if p.s == "" || strings.IndexByte(of, p.s[0]) < 0 {
		return 0
	}
	c := p.s[0]
	p.s = p.s[1:]
	return c
}

func (p *parser) sum() (float64, error) {
	v, err := p.product()
	for err == nil {
		op := p.next("+-")
		if op == 0 {
			break
		}
		var w float64
		if w, err = p.product(); op == '-' {
			w = -w
		}
		v += w
	}
	return v, err
}

func (p *parser) product() (float64, error) {
	v, err := p.factor()
	for err == nil {
		op := p.next("*/")
		if op == 0 {
			break
		}
		var w float64
		if w, err = p.factor(); op == '/' {
			v /= w
		} else {
			v *= w
		}
	}
	return v, err
}

func (p *parser) factor() (v float64, err error) {
	switch {
	case p.next("-") != 0:
		v, err = p.factor()
		return -v, err
	case p.next("(") != 0:
		if v, err = p.sum(); err == nil && p.next(")") == 0 {
			err = fmt.Errorf("a bracket is not closed before %q", p.s)
		}
	default:
		n := 0
		for n < len(p.s) && (p.s[n] >= '0' && p.s[n] <= '9' || p.s[n] == '.') {
			n++
		}
		v, err = strconv.ParseFloat(p.s[:n], 64)
		p.s = p.s[n:]
	}
	for err == nil && p.next("%") != 0 {
		v /= 100
	}
	return v, err
}
