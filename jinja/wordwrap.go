package jinja

import (
	"strings"
	"unicode"
)

// wordWrap is the filter of that name: Python's textwrap, line by line.
func wordWrap(in *run, v Value, a args) Value {
	p := a.bind(in, "wordwrap", 0, "width", "break_long_words", "wrapstring", "break_on_hyphens")
	width := in.intOr(p[0], 79, "wordwrap")
	with := NewText("\n")
	if p[2] != nil && p[2] != None {
		with = in.wantText(p[2], "wordwrap")
	}
	long, hyphens := p[1] == nil || in.truth(p[1]), p[3] == nil || in.truth(p[3])
	in.defined(v)
	t := in.wantText(v, "wordwrap")
	var out []Value
	for _, line := range in.lines(t, false) {
		wrapped := in.wrap(line, width, long, hyphens)
		if len(wrapped) == 0 {
			wrapped = []Value{empty}
		}
		if out = append(out, wrapped...); len(out) > maxItems {
			in.items(len(out))
		}
	}
	return in.joinTexts(with, walkItems(out), false)
}

// wrapSpace is what textwrap takes for white space.
func wrapSpace(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

// chunk gives the length of the next chunk of s from i: white space, a word, a part of a word with a hyphen behind it, or a dash.
func chunk(s []rune, i int, hyphens bool) int {
	j := i
	if wrapSpace(s[i]) {
		for j < len(s) && wrapSpace(s[j]) {
			j++
		}
		return j - i
	}
	if !hyphens {
		for j < len(s) && !wrapSpace(s[j]) {
			j++
		}
		return j - i
	}
	at := func(k int) rune {
		if k < 0 || k >= len(s) {
			return ' '
		}
		return s[k]
	}
	letter := func(k int) bool { r := at(k); return r == '_' || pyWord(r) && !unicode.Is(unicode.Nd, r) }
	punct := func(k int) bool { r := at(k); return pyWord(r) || strings.ContainsRune(`!"'&.,?`, r) }
	dashes := func(k int) int { // length of two or more hyphens with a word behind them
		n := 0
		for at(k+n) == '-' {
			n++
		}
		if n >= 2 && pyWord(at(k+n)) {
			return n
		}
		return 0
	}
	if n := dashes(i); n > 0 && punct(i-1) {
		return n
	}
	for j = i + 1; ; j++ {
		// s[i:j] is at least one character of a word.
		if at(j) == '-' && (letter(j-1) && letter(j-2) || letter(j-1) && at(j-2) == '-' && letter(j-3)) &&
			(letter(j+1) && (letter(j+2) || at(j+2) == '-' && letter(j+3))) {
			return j + 1 - i
		}
		if j == len(s) || wrapSpace(s[j]) {
			return j - i
		}
		if punct(j-1) && dashes(j) > 0 {
			return j - i
		}
	}
}

func (in *run) wrap(t *Text, width int, long, hyphens bool) []Value {
	s := []rune(t.S)
	in.charge(8 * len(s))
	type piece struct{ from, to int } // in code points
	var chunks []piece
	for i := 0; i < len(s); {
		n := chunk(s, i, hyphens)
		in.charge(16 + n)
		chunks = append(chunks, piece{i, i + n})
		i += n
	}
	if width <= 0 {
		in.fail("wordwrap: the width is %d, want more than 0", width)
	}
	blank := func(p piece) bool { return strings.TrimFunc(string(s[p.from:p.to]), space) == "" }
	var out []Value
	for at := 0; at < len(chunks); {
		in.step()
		var line []piece
		size := 0
		if len(out) > 0 && blank(chunks[at]) {
			at++
		}
		for at < len(chunks) {
			n := chunks[at].to - chunks[at].from
			if size+n > width {
				break
			}
			line = append(line, chunks[at])
			size += n
			at++
		}
		if at < len(chunks) && chunks[at].to-chunks[at].from > width {
			c := &chunks[at]
			if room := max(1, width-size); long {
				end := room
				if hyphens {
					end = hyphenEnd(s[c.from:c.to], room)
				}
				line = append(line, piece{c.from, c.from + end})
				c.from += end
			} else if len(line) == 0 {
				line = append(line, *c)
				at++
			}
		}
		if n := len(line); n > 0 && blank(line[n-1]) {
			line = line[:n-1]
		}
		if len(line) > 0 {
			in.charge(len(t.S)/16 + 64)
			out = append(out, t.points(line[0].from, line[len(line)-1].to))
		}
	}
	return out
}

// hyphenEnd says where to break a word that is longer than a line: behind the last hyphen that fits, if there is one.
func hyphenEnd(word []rune, room int) int {
	if len(word) > room {
		for k := room - 1; k > 0; k-- {
			if word[k] == '-' {
				for _, r := range word[:k] {
					if r != '-' {
						return k + 1
					}
				}
				break
			}
		}
	}
	return room
}
