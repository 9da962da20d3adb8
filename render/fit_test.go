package render

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"criticrm/record"
	"criticrm/record/recordtest"
	"criticrm/tokenizer"
)

// byteRenderer has one token per byte, so that cuts fall into characters.
func byteRenderer() *Renderer {
	return &Renderer{
		Text: func(text string) (ids []int32) {
			for i := range len(text) {
				ids = append(ids, int32(text[i]))
			}
			return ids
		},
		Decode: func(ids []int32) string {
			b := make([]byte, len(ids))
			for i, id := range ids {
				b[i] = byte(id)
			}
			return string(b)
		},
	}
}

// overBytes is a limit on the bytes of prompt and response.
func overBytes(limit int) func(*record.Record) ([]int, error) {
	return func(r *record.Record) (by []int, err error) {
		n := 0
		for _, m := range r.Prompt.Conversation() {
			n += len(m.Content)
		}
		for _, s := range r.Sides() {
			by = append(by, n+len(r.Text(s))-limit)
		}
		return by, nil
	}
}

var errScripted = errors.New("scripted failure")

func TestShorten(t *testing.T) {
	chat := record.Prompt{Messages: []tokenizer.Message{{Role: "system", Content: "ss"}, {Role: "user", Content: "äbc"}, {Role: "assistant", Content: "de"}, {Role: "user", Content: "f語g"}}} // 2+4+2+5 bytes
	for _, c := range []struct {
		name, policy string
		prompt       record.Prompt
		limit, left  int
		cut          *record.Cut
	}{
		{"it fits", record.TruncateLeft, chat, 17, 0, nil},
		{"error", record.OverlongError, chat, 16, 1, nil},
		{"drop", record.OverlongDrop, chat, 14, 3, nil},
		{"half a character goes whole", record.TruncateLeft, chat, 16, 0, &record.Cut{Policy: record.TruncateLeft, Prompt: 1}},
		{"over several messages, not the system's", record.TruncateLeft, chat, 10, 0, &record.Cut{Policy: record.TruncateLeft, Prompt: 6}},
		{"half of three bytes", record.TruncateLeft, chat, 9, 0, &record.Cut{Policy: record.TruncateLeft, Prompt: 7}},
		{"the last character of the question stays", record.TruncateLeft, chat, 7, 0, &record.Cut{Policy: record.TruncateLeft, Prompt: 7}},
		{"nothing of the question would stay", record.TruncateLeft, chat, 6, 1, nil},
		{"the end of one response", record.TruncateRight, chat, 16, 0, &record.Cut{Policy: record.TruncateRight, Chosen: 1}},
		{"the ends of both", record.TruncateRight, record.Prompt{Text: "ppp"}, 5, 0, &record.Cut{Policy: record.TruncateRight, Chosen: 2, Rejected: 1}},
		{"nothing of a response would stay", record.TruncateRight, record.Prompt{Text: "pppp"}, 4, 4, nil},
	} {
		r := &record.Record{ID: "r", Prompt: c.prompt, Chosen: "yé!", Rejected: "yes"}
		before := recordtest.JSON(t, r)
		cut, left, err := byteRenderer().shorten(r, c.policy, overBytes(c.limit))
		if err != nil || (cut == nil) != (c.cut == nil) || cut != nil && *cut != *c.cut || (left > 0) != (c.left > 0) {
			t.Errorf("%s: %+v, %d over, %v", c.name, cut, left, err)
			continue
		}
		if recordtest.JSON(t, r) != before {
			t.Errorf("%s: the record was changed", c.name)
		}
		if cut == nil {
			continue
		}
		short := r.Shortened(cut)
		for _, text := range []string{short.Prompt.String(), short.Chosen, short.Rejected} {
			if !utf8.ValidString(text) {
				t.Errorf("%s: %q", c.name, text)
			}
		}
		if by, _ := overBytes(c.limit)(short); max(by[0], by[1]) > 0 {
			t.Errorf("%s: still over by %v, %+v", c.name, by, cut)
		}
		again := *r // a cut that is one of the record can be read again
		again.Cut = cut
		if _, err := record.ParseRecord([]byte(recordtest.JSON(t, &again))); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		r.Cut = cut // from its own cut on, nothing more is taken
		if again, left, err := byteRenderer().shorten(r, record.OverlongError, overBytes(c.limit)); err != nil || left != 0 || again != cut {
			t.Errorf("%s: again: %+v %d %v", c.name, again, left, err)
		}
	}
	if _, _, err := byteRenderer().shorten(recordtest.Pair("a", nil, nil), record.TruncateLeft, func(*record.Record) ([]int, error) { return nil, errScripted }); !errors.Is(err, errScripted) {
		t.Error(err)
	}
	rounds := 0
	_, left, err := byteRenderer().shorten(&record.Record{Prompt: record.Prompt{Text: strings.Repeat("x", 99)}, Response: new("y")}, record.TruncateLeft, func(*record.Record) ([]int, error) { rounds++; return []int{1}, nil })
	if left != 1 || err != nil || rounds != tries {
		t.Errorf("a prompt that does not count: %d tries, %d over, %v", rounds, left, err)
	}
}
