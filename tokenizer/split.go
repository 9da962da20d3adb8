package tokenizer

import "unicode/utf8"

// splitter cuts text as the three most common patterns do. It is what first would make of their alternatives, written out for speed.
type splitter struct {
	*classes
	most int // numbers in one piece
}

// next is the patterns of Llama 3 and Qwen 2.
func (p *splitter) next(s string, i int) int {
	k, n := p.classes[s[i]], 1 // as at does, which is not inlined
	if s[i] >= utf8.RuneSelf {
		k, n = p.wide(s, i)
	}
	switch {
	case k&letters != 0:
		return p.span(s, i+n, letters)
	case k == numbers:
		return p.classes.digits(s, i, p.most)
	case k == newlines:
		return p.white(s, i, true)
	case k&spaces != 0:
		if i+n < len(s) {
			k2, n2 := p.classes[s[i+n]], 1
			if s[i+n] >= utf8.RuneSelf {
				k2, n2 = p.wide(s, i+n)
			}
			if k2&letters != 0 { // [^\r\n\p{L}\p{N}]?\p{L}+
				return p.span(s, i+n+n2, letters)
			}
			if k2&others != 0 && k == blank { // " ?[^\s\p{L}\p{N}]+[\r\n]*"
				return p.lineEnds(s, p.span(s, i+n+n2, others))
			}
		}
		return p.white(s, i, true)
	}
	if s[i] == '\'' {
		if k := contraction(s[i:], true); k > 0 {
			return i + k
		}
	}
	i += n
	if i < len(s) {
		if k2, n2 := p.at(s, i); k2&letters != 0 {
			return p.span(s, i+n2, letters)
		}
	}
	return p.lineEnds(s, p.span(s, i, others))
}

// nextGPT2 is the pattern of GPT-2.
func (p *splitter) nextGPT2(s string, i int) int {
	if s[i] == '\'' {
		if k := contraction(s[i:], false); k > 0 {
			return i + k
		}
	}
	k, n := p.at(s, i)
	if k&spaces != 0 {
		if k != blank || i+1 == len(s) {
			return p.white(s, i, false)
		}
		var n2 int
		if k, n2 = p.at(s, i+1); k&spaces != 0 {
			return p.white(s, i, false)
		}
		n += n2
	}
	for _, in := range []set{letters, numbers, others} {
		if k&in != 0 {
			return p.span(s, i+n, in)
		}
	}
	return i + n
}

// lineEnds gives the end of [\r\n]* at i.
func (p *splitter) lineEnds(s string, i int) int {
	for i < len(s) && (s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}
