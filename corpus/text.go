package corpus

// Texts as they are compared.

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"criticrm/record"

	"golang.org/x/text/unicode/norm"
)

// Normal is a text as it is compared with others: Unicode's compatibility form (NFKC) in lower case, typographic quotes as plain ones, every
// run of white space as one space and none at the ends, without format characters such as a zero-width space.
func Normal(s string) string {
	if !isASCII(s) {
		s = norm.NFKC.String(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && 'A' <= r && r <= 'Z':
			r += 'a' - 'A'
		case r < utf8.RuneSelf && r > ' ':
		case unicode.IsSpace(r):
			space = true
			continue
		case r == '‘' || r == '’':
			r = '\''
		case r == '“' || r == '”':
			r = '"'
		case unicode.Is(unicode.Cf, r):
			continue
		default:
			r = unicode.ToLower(r)
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Fingerprint identifies a text up to what Normal takes away: the first eight bytes of the SHA-256 of its normal form, as a big-endian number.
func Fingerprint(text string) uint64 { return fingerprint(Normal(text)) }

func fingerprint(normal string) uint64 {
	sum := sha256.Sum256([]byte(normal))
	return binary.BigEndian.Uint64(sum[:8])
}

// PromptText is what of a prompt is compared: its messages without those of the system and without roles, joined by line ends.
func PromptText(p record.Prompt) string {
	if len(p.Messages) == 0 {
		return p.Text
	}
	var texts []string
	for _, m := range p.Messages {
		if m.Role != "system" {
			texts = append(texts, m.Content)
		}
	}
	return strings.Join(texts, "\n")
}

// lastTurn is the last message of a prompt of several, "" of another: a question of a benchmark may stand at the end of a conversation.
func lastTurn(p record.Prompt) string {
	turns := 0
	for _, m := range p.Messages {
		if m.Role != "system" {
			turns++
		}
	}
	if turns < 2 || p.Messages[len(p.Messages)-1].Role != "user" {
		return ""
	}
	return p.Messages[len(p.Messages)-1].Content
}

// asked is the text that a record is compared with others by: its prompt, or all of a document.
func asked(r *record.Record) string {
	switch d := r.Document; {
	case d == nil:
		return PromptText(r.Prompt)
	case d.IDs != nil:
		return fmt.Sprint(d.IDs)
	case d.Messages != nil:
		return PromptText(record.Prompt{Messages: d.Messages})
	default:
		return d.Text
	}
}
