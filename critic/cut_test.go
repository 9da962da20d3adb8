package critic

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"criticrm/tokenizer"
)

// byteShortener has one token per byte, so that cuts fall into characters.
func byteShortener() Shortener {
	return Shortener{
		Encode: func(text string) (ids []int32) {
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
func overBytes(limit int) func(*Record) ([]int, error) {
	return func(r *Record) (by []int, err error) {
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

func TestFit(t *testing.T) {
	chat := Prompt{Messages: []tokenizer.Message{{Role: "system", Content: "ss"}, {Role: "user", Content: "äbc"}, {Role: "assistant", Content: "de"}, {Role: "user", Content: "f語g"}}} // 2+4+2+5 bytes
	for _, c := range []struct {
		name, policy string
		prompt       Prompt
		limit, left  int
		cut          *Cut
	}{
		{"it fits", TruncateLeft, chat, 17, 0, nil},
		{"error", OverlongError, chat, 16, 1, nil},
		{"drop", OverlongDrop, chat, 14, 3, nil},
		{"half a character goes whole", TruncateLeft, chat, 16, 0, &Cut{Policy: TruncateLeft, Prompt: 1}},
		{"over several messages, not the system's", TruncateLeft, chat, 10, 0, &Cut{Policy: TruncateLeft, Prompt: 6}},
		{"half of three bytes", TruncateLeft, chat, 9, 0, &Cut{Policy: TruncateLeft, Prompt: 7}},
		{"the last character of the question stays", TruncateLeft, chat, 7, 0, &Cut{Policy: TruncateLeft, Prompt: 7}},
		{"nothing of the question would stay", TruncateLeft, chat, 6, 1, nil},
		{"the end of one response", TruncateRight, chat, 16, 0, &Cut{Policy: TruncateRight, Chosen: 1}},
		{"the ends of both", TruncateRight, Prompt{Text: "ppp"}, 5, 0, &Cut{Policy: TruncateRight, Chosen: 2, Rejected: 1}},
		{"nothing of a response would stay", TruncateRight, Prompt{Text: "pppp"}, 4, 4, nil},
	} {
		r := &Record{ID: "r", Prompt: c.prompt, Chosen: "yé!", Rejected: "yes"}
		before := mustJSON(t, r)
		cut, left, err := byteShortener().Fit(r, c.policy, overBytes(c.limit))
		if err != nil || (cut == nil) != (c.cut == nil) || cut != nil && *cut != *c.cut || (left > 0) != (c.left > 0) {
			t.Errorf("%s: %+v, %d over, %v", c.name, cut, left, err)
			continue
		}
		if mustJSON(t, r) != before {
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
		if by, _ := overBytes(c.limit)(short); max(by[0], by[1]) > 0 || !cut.check(r) {
			t.Errorf("%s: still over by %v, or not readable again: %+v", c.name, by, cut)
		}
		r.Cut = cut // from its own cut on, nothing more is taken
		if again, left, err := byteShortener().Fit(r, OverlongError, overBytes(c.limit)); err != nil || left != 0 || again != cut {
			t.Errorf("%s: again: %+v %d %v", c.name, again, left, err)
		}
	}
	if _, _, err := byteShortener().Fit(pair("a", nil, nil), TruncateLeft, func(*Record) ([]int, error) { return nil, errScripted }); !errors.Is(err, errScripted) {
		t.Error(err)
	}
	tries := 0
	_, left, err := byteShortener().Fit(&Record{Prompt: Prompt{Text: strings.Repeat("x", 99)}, Response: "y"}, TruncateLeft, func(*Record) ([]int, error) { tries++; return []int{1}, nil })
	if left != 1 || err != nil || tries != shortenTries {
		t.Errorf("a prompt that does not count: %d tries, %d over, %v", tries, left, err)
	}
}

// TestCutRows: marks are written and read back; one that is not of its row is refused.
func TestCutRows(t *testing.T) {
	const row = `{"id":"a","prompt":"äöü","chosen":"語語","rejected":"b"`
	read := func(s string) (*Record, error) {
		in, err := NewReader(strings.NewReader(s), "f", ReadOptions{})
		if err != nil {
			return nil, err
		}
		return in.Next()
	}
	good := row + `,"shortened":{"policy":"truncate-left","prompt":2,"chosen":1},"plain_shortened":{"policy":"truncate-right","chosen":1}}`
	r, err := read(good)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustJSON(t, r); got != good {
		t.Errorf("%s", got)
	}
	if s := r.AsRead(); s.Prompt.Text != "ü" || s.Chosen != "語" || s.Rejected != "b" || s.Cut != nil || r.Cut.Characters() != 3 {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{`{"policy":"x"}`, `{"policy":"truncate-left","prompt":4}`, `{"policy":"truncate-left","prompt":-1}`, `{"policy":"truncate-right","chosen":2}`,
		`{"policy":"truncate-right","response":1}`, `{"policy":"truncate-right","chosen":"1"}`} {
		_, err := read(row + `,"shortened":` + bad + `}`)
		wantError(t, err, `"shortened": not a cut of this row's texts`)
	}
	_, err = read(row + `,"plain_shortened":true}`)
	wantError(t, err, `"plain_shortened": got boolean, want object`)
}
