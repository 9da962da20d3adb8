package tokenizer

// Rendered texts as conversations again.

import (
	"slices"
	"strings"

	"criticrm/jinja"
)

// Conversation gives the messages that a rendered text is of: those that the template makes this text of, byte for byte. Rendered texts come from other
// programs, which may have taken away the begin-of-text token, or what the template writes behind the last message, in part or all of it; nothing
// else may differ; what the template writes otherwise than that token must be there, or any words would be a user's message; and no message may have a control token in it: as a message's text it would be no control token. Conversations are of users and
// assistants in turn, with or without a system message. ok is false for every other text: there is no guess in it. A system message that the
// template writes by itself is not given.
func (c *Chat) Conversation(text string) (messages []Message, ok bool) {
	for _, first := range []string{"user", "system"} {
		list, ok := c.parse(text, first)
		if !ok || slices.ContainsFunc(list, func(m Message) bool { return c.tok.spellsControl(m.Content) }) || !c.writes(list, text) {
			continue
		}
		if list[0].Role == "system" && len(list) > 1 && c.writes(list[1:], text) {
			list = list[1:]
		}
		return list, true
	}
	return nil, false
}

// writes says whether the template makes the text of the messages, but for its end and its begin-of-text token.
func (c *Chat) writes(messages []Message, text string) bool {
	out, err := c.render(messages, false)
	if err != nil || len(out.Spans) == 0 {
		return false
	}
	end := out.Spans[len(out.Spans)-1].To
	for _, text := range []string{text, c.bosText() + text} {
		if strings.HasPrefix(out.S, text) && len(text) >= end {
			return true
		}
	}
	return false
}

// spellsControl says whether there is a control token in a text.
func (t *Tokenizer) spellsControl(text string) (found bool) {
	see := func(n int) { found = found || t.added[n].control() }
	t.cutAdded(text, t.match, pickAny(t.match), func(from, to int) {
		normal, _ := t.normalize(text[from:to])
		t.cutAdded(normal, t.matchNormal, pickAny(t.matchNormal), func(int, int) {}, see)
	}, see)
	return found
}

// bosText is the begin-of-text token that the template may write, as text.
func (c *Chat) bosText() string {
	if bos, ok := c.vars["bos_token"].(*jinja.Text); ok {
		return bos.S
	}
	return ""
}

// seams are what the template writes in front of the messages of probe, and behind the last of them.
func (c *Chat) seams(probe []Message) (before []string, behind string, ok bool) {
	out, err := c.render(probe, false)
	if err != nil {
		return nil, "", false
	}
	at := 0
	for i, m := range probe {
		from, to := len(out.S), 0
		for _, s := range out.Spans {
			if s.Source == i {
				from, to = min(from, s.From), max(to, s.To)
			}
		}
		if to == 0 || from < at || out.S[from:to] != m.Content {
			return nil, "", false
		}
		before, at = append(before, out.S[at:from]), to
	}
	return before, out.S[at:], true
}

// parse cuts a text at what the template writes between messages. What it gives is a guess.
func (c *Chat) parse(text, first string) (messages []Message, ok bool) {
	probe := []Message{{"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "d"}}
	if first == "system" {
		probe = slices.Insert(probe, 0, Message{"system", "e"})
	}
	before, behind, ok := c.seams(probe)
	if !ok {
		return nil, false
	}
	head := before[0]
	if bos := c.bosText(); !strings.HasPrefix(text, head) {
		if head = strings.TrimPrefix(head, bos); head == "" && !strings.Contains(text, before[1]) {
			return nil, false
		}
	}
	if text, ok = strings.CutPrefix(text, head); !ok {
		return nil, false
	}
	n := len(probe)
	role := func(i int) int { // the message of probe that message i is like
		if i >= n {
			i = n - 2 + (i-n)%2
		}
		return i
	}
	for i := 0; ; i++ {
		next := before[(role(i + 1))]
		if next == "" || len(messages) > 1<<12 {
			return nil, false
		}
		at := strings.Index(text, next)
		if at < 0 {
			break
		}
		messages = append(messages, Message{probe[role(i)].Role, text[:at]})
		text = text[at+len(next):]
	}
	ids := c.tok.EncodeSpecial(behind)
	for len(ids) > 0 && !strings.HasSuffix(text, behind) { // the text may have a part of it, in whole tokens
		ids = ids[:len(ids)-1]
		behind = c.tok.Decode(ids)
	}
	if len(ids) == 0 {
		behind = ""
	}
	messages = append(messages, Message{probe[role(len(messages))].Role, strings.TrimSuffix(text, behind)})
	return messages, true
}
