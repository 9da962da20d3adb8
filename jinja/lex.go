package jinja

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is why a template cannot be used.
type Error struct {
	Line      int // from 1
	Text      string
	Parse     bool // found before any rendering
	Forbidden bool // Jinja2 has it, and no chat template may use it
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// A token's kind is its operator, or one of these.
const (
	tData     = "data"
	tName     = "name"
	tString   = "string"
	tInt      = "integer"
	tFloat    = "float"
	tBlock    = "{%"
	tBlockEnd = "%}"
	tVar      = "{{"
	tVarEnd   = "}}"
	tEnd      = "end of template"
)

type token struct {
	kind string
	text string
	val  Value // of numbers
	line int
}

func (t token) String() string {
	switch t.kind {
	case tName:
		return t.text
	case tData:
		return "text"
	}
	return t.kind
}

// space is what Python calls white space: U+001C … U+001F too, unlike Go.
func space(r rune) bool { return Space(r) }

// Space is Python's isspace of one character.
func Space(r rune) bool { return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F }

func skipSpace(s string) int { return len(s) - len(strings.TrimLeftFunc(s, space)) }

// lexer cuts a template into tokens, with white space taken off as Jinja2 does.
type lexer struct {
	src       string
	pos, line int
	lineStart bool // the last match ended a line
	out       []token
}

func syntax(line int, format string, args ...any) *Error {
	return &Error{Line: line, Text: fmt.Sprintf(format, args...), Parse: true}
}

func forbidden(line int, format string, args ...any) *Error {
	e := syntax(line, format, args...)
	e.Forbidden = true
	return e
}

func lex(source string) []token {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	source = strings.TrimSuffix(source, "\n")
	l := &lexer{src: source, line: 1, lineStart: true}
	for l.pos < len(l.src) {
		l.root()
	}
	l.emit(token{kind: tEnd, line: l.line})
	return l.out
}

func (l *lexer) emit(t token) { l.out = append(l.out, t) }

// take moves on by n bytes.
func (l *lexer) take(n int) {
	part := l.src[l.pos : l.pos+n]
	l.line += strings.Count(part, "\n")
	l.lineStart = strings.HasSuffix(part, "\n")
	l.pos += n
}

// root reads text up to and with the next tag.
func (l *lexer) root() {
	rest := l.src[l.pos:]
	at := -1
	for i := 0; i+1 < len(rest); i++ {
		k := strings.IndexByte(rest[i:], '{')
		if k < 0 || i+k+1 >= len(rest) {
			break
		}
		if i += k; rest[i+1] == '%' || rest[i+1] == '{' || rest[i+1] == '#' {
			at = i
			break
		}
	}
	if at < 0 {
		l.emit(token{kind: tData, text: rest, line: l.line})
		l.take(len(rest))
		return
	}
	kind := rest[at : at+2]
	sign := byte(0)
	if at+2 < len(rest) && (rest[at+2] == '-' || rest[at+2] == '+') {
		sign = rest[at+2]
	}
	l.text(rest[:at], sign, kind == tVar)
	n := at + 2
	if sign != 0 {
		n++
	}
	if kind == tBlock {
		if k := rawBegin(rest[n:]); k > 0 {
			l.take(n + k)
			l.raw()
			return
		}
	}
	line := l.line + strings.Count(rest[:at], "\n")
	l.take(n)
	if kind == "{#" {
		l.comment()
		return
	}
	l.emit(token{kind: kind, line: line})
	l.tag(kind)
}

// text emits what stands in front of a tag.
func (l *lexer) text(text string, sign byte, variable bool) {
	switch {
	case sign == '-':
		text = strings.TrimRightFunc(text, space)
	case sign != '+' && !variable:
		from := strings.LastIndexByte(text, '\n') + 1
		if (from > 0 || l.lineStart) && skipSpace(text[from:]) == len(text)-from {
			text = text[:from]
		}
	}
	if text != "" {
		l.emit(token{kind: tData, text: text, line: l.line})
	}
}

// rawBegin gives the length of "raw %}" at the start of s, else 0.
func rawBegin(s string) int {
	n := skipSpace(s)
	if !strings.HasPrefix(s[n:], "raw") {
		return 0
	}
	n += 3
	n += skipSpace(s[n:])
	switch {
	case strings.HasPrefix(s[n:], "-%}"):
		return n + 3 + skipSpace(s[n+3:])
	case strings.HasPrefix(s[n:], "%}"):
		return n + 2
	}
	return 0
}

// raw reads up to {% endraw %}.
func (l *lexer) raw() {
	rest := l.src[l.pos:]
	for i := 0; ; i++ {
		k := strings.Index(rest[i:], "{%")
		if k < 0 {
			panic(syntax(l.line, "{%% raw %%} has no {%% endraw %%}"))
		}
		i += k
		n, sign := i+2, byte(0)
		if n < len(rest) && (rest[n] == '-' || rest[n] == '+') {
			sign = rest[n]
			n++
		}
		n += skipSpace(rest[n:])
		if !strings.HasPrefix(rest[n:], "endraw") {
			continue
		}
		n += 6
		n += skipSpace(rest[n:])
		if end := tagEnd(rest[n:], "%}"); end > 0 {
			l.text(rest[:i], sign, false)
			l.take(n + end)
			return
		}
	}
}

// tagEnd gives the length of the end of a block or a comment at the start of s with what it takes of the white space behind, else 0.
func tagEnd(s, end string) int {
	switch {
	case strings.HasPrefix(s, "+"+end):
		return 1 + len(end)
	case strings.HasPrefix(s, "-"+end):
		n := 1 + len(end)
		return n + skipSpace(s[n:])
	case strings.HasPrefix(s, end):
		if strings.HasPrefix(s[len(end):], "\n") {
			return len(end) + 1
		}
		return len(end)
	}
	return 0
}

func (l *lexer) comment() {
	rest := l.src[l.pos:]
	for i := range len(rest) {
		if rest[i] != '#' && rest[i] != '-' && rest[i] != '+' {
			continue
		}
		if n := tagEnd(rest[i:], "#}"); n > 0 {
			l.take(i + n)
			return
		}
	}
	panic(syntax(l.line, "a comment has no end"))
}

var operators = []string{
	"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";",
}

// tag reads the tokens of a block or of an expression.
func (l *lexer) tag(kind string) {
	var open []byte
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		if len(open) == 0 {
			n := 0
			if kind == tBlock {
				n = tagEnd(rest, tBlockEnd)
			} else if strings.HasPrefix(rest, "-}}") {
				n = 3 + skipSpace(rest[3:])
			} else if strings.HasPrefix(rest, tVarEnd) {
				n = 2
			}
			if n > 0 {
				end := tVarEnd
				if kind == tBlock {
					end = tBlockEnd
				}
				l.emit(token{kind: end, line: l.line})
				l.take(n)
				return
			}
		}
		if n := skipSpace(rest); n > 0 {
			l.take(n)
			continue
		}
		if l.number(rest) || l.word(rest) || l.str(rest) {
			continue
		}
		op := ""
		for _, o := range operators {
			if strings.HasPrefix(rest, o) {
				op = o
				break
			}
		}
		switch op {
		case "":
			r, _ := utf8.DecodeRuneInString(rest)
			panic(syntax(l.line, "unexpected character %q", r))
		case "(", "[", "{":
			if open = append(open, op[0]); len(open) > maxBrackets {
				panic(syntax(l.line, "brackets nest deeper than %d", maxBrackets))
			}
		case ")", "]", "}":
			if len(open) == 0 || strings.IndexByte("([{", open[len(open)-1]) != strings.IndexByte(")]}", op[0]) {
				panic(syntax(l.line, "unexpected %q", op))
			}
			open = open[:len(open)-1]
		}
		l.emit(token{kind: op, line: l.line})
		l.take(len(op))
	}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// digits gives the length of digits with single underscores between them.
func digits(s string) int {
	n := 0
	for n < len(s) && (digit(s[n]) || n > 0 && s[n] == '_' && n+1 < len(s) && digit(s[n+1])) {
		n++
	}
	return n
}

func (l *lexer) number(s string) bool {
	if !digit(s[0]) {
		return false
	}
	n := digits(s)
	if float := l.float(s, n); float > 0 && (l.pos == 0 || l.src[l.pos-1] != '.') {
		f, err := strconv.ParseFloat(strings.ReplaceAll(s[:float], "_", ""), 64)
		if err != nil && f == 0 {
			panic(syntax(l.line, "number %s cannot be read", s[:float]))
		}
		l.emit(token{kind: tFloat, val: f, line: l.line})
		l.take(float)
		return true
	}
	base := 10
	if len(s) > 2 && s[0] == '0' {
		set := ""
		switch s[1] {
		case 'b', 'B':
			base, set = 2, "01"
		case 'o', 'O':
			base, set = 8, "01234567"
		case 'x', 'X':
			base, set = 16, "0123456789abcdefABCDEF"
		}
		k := 2
		for set != "" && k < len(s) && (strings.IndexByte(set, s[k]) >= 0 || s[k] == '_' && k+1 < len(s) && strings.IndexByte(set, s[k+1]) >= 0) {
			k++
		}
		if k > 2 {
			n = k
		} else {
			base = 10
		}
	}
	if base == 10 && s[0] == '0' { // zeros only: 012 is 0 and then 12
		for n = 1; n < len(s) && (s[n] == '0' || s[n] == '_' && n+1 < len(s) && s[n+1] == '0'); {
			n++
		}
	}
	text := strings.ReplaceAll(s[:n], "_", "")
	if base != 10 {
		text = text[2:]
	}
	b, ok := new(big.Int).SetString(text, base)
	if !ok || b.BitLen() > maxBits {
		panic(syntax(l.line, "number %.40s cannot be read", s[:n]))
	}
	l.emit(token{kind: tInt, val: small(b), line: l.line})
	l.take(n)
	return true
}

// float gives the length of a floating-point number that starts with n digits, else 0.
func (l *lexer) float(s string, n int) int {
	end := n
	if end < len(s) && s[end] == '.' {
		if k := digits(s[end+1:]); k > 0 {
			end += 1 + k
		}
	}
	if end < len(s) && (s[end] == 'e' || s[end] == 'E') {
		k := end + 1
		if k < len(s) && (s[k] == '+' || s[k] == '-') {
			k++
		}
		if d := digits(s[k:]); d > 0 {
			return k + d
		}
	}
	if end > n {
		return end
	}
	return 0
}

func wordRune(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r)
}

func (l *lexer) word(s string) bool {
	n := 0
	for i, r := range s {
		if !wordRune(r) {
			break
		}
		n = i + utf8.RuneLen(r)
	}
	if n == 0 {
		return false
	}
	if r, _ := utf8.DecodeRuneInString(s); r != '_' && !unicode.IsLetter(r) {
		panic(syntax(l.line, "invalid name %q", s[:n]))
	}
	l.emit(token{kind: tName, text: s[:n], line: l.line})
	l.take(n)
	return true
}

func (l *lexer) str(s string) bool {
	if s[0] != '\'' && s[0] != '"' {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			l.emit(token{kind: tString, text: l.unescape(s[1:i]), line: l.line})
			l.take(i + 1)
			return true
		}
	}
	return false
}

// unescape reads a string literal as Python does.
func (l *lexer) unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		c := s[i]
		if k := strings.IndexByte("\\'\"abfnrtv", c); k >= 0 {
			b.WriteByte("\\'\"\a\b\f\n\r\t\v"[k])
			continue
		}
		size, base := 0, 16
		switch {
		case c == '\n':
			continue
		case c == 'x':
			size = 2
		case c == 'u':
			size = 4
		case c == 'U':
			size = 8
		case c >= '0' && c <= '7':
			for base, i = 8, i-1; size < 3 && i+1+size < len(s) && s[i+1+size] >= '0' && s[i+1+size] <= '7'; {
				size++
			}
		case c == 'N':
			panic(syntax(l.line, `\N{…} in a string is not supported`))
		case c >= utf8.RuneSelf: // Jinja2 escapes it and then takes the backslash with it
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r < 0x100:
				fmt.Fprintf(&b, `\x%02x`, r)
			case r < 0x10000:
				fmt.Fprintf(&b, `\u%04x`, r)
			default:
				fmt.Fprintf(&b, `\U%08x`, r)
			}
			i += n - 1
			continue
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
			continue
		}
		if i+1+size > len(s) {
			panic(syntax(l.line, `\%c in a string wants %d digits`, c, size))
		}
		r, err := strconv.ParseUint(s[i+1:i+1+size], base, 32)
		if err != nil || !utf8.ValidRune(rune(r)) {
			panic(syntax(l.line, `\%c%s in a string is no character`, c, s[i+1:i+1+size]))
		}
		b.WriteRune(rune(r))
		i += size
	}
	return b.String()
}
