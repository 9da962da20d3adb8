package tokenizer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Decoders make text of tokens as a tokenizer.json spells them. What is not listed here is refused by name. ByteLevel is no
// list of texts: there ids stand for bytes, and Decode joins them.

// decoder changes a list of texts, in place where it can.
type decoder func(texts []string) []string

// decoders are the kinds by "type", except Sequence and ByteLevel. A nil decoder changes nothing.
func decoders() map[string]func(m map[string]any) (decoder, error) {
	return map[string]func(m map[string]any) (decoder, error){
		"ByteFallback": func(map[string]any) (decoder, error) { return joinBytes, nil },
		"Fuse":         func(map[string]any) (decoder, error) { return fuse, nil },
		"Metaspace":    metaspaceDecoder,
		"Replace":      replaceDecoder,
		"Strip":        stripDecoder,
	}
}

// setDecoder makes the decoders that v, a member of tokenizer.json, asks for.
func (t *Tokenizer) setDecoder(v any) error {
	m, typ := typeOf(v)
	switch {
	case v == nil:
		return nil
	case typ == "Sequence":
		list, err := listOf(m, "decoders")
		for i := 0; err == nil && i < len(list); i++ {
			err = t.setDecoder(list[i])
		}
		return err
	case t.byteLevel && typ == "Fuse":
		return nil // bytes are joined in any case
	case t.byteLevel && typ != "ByteLevel":
		return fmt.Errorf("decoder %q beside pre_tokenizer ByteLevel is not supported, want ByteLevel", clip(typ))
	case typ == "ByteLevel" && !t.byteLevel:
		return errors.New("decoder ByteLevel without pre_tokenizer ByteLevel is not supported")
	case t.byteLevel:
		return nil
	}
	read := decoders()[typ]
	if read == nil {
		return fmt.Errorf("decoder %q is not supported, want ByteLevel, %s", clip(typ), oneOf(decoders()))
	}
	d, err := read(m)
	if err != nil {
		return fmt.Errorf("decoder %q: %w", typ, err)
	}
	t.decoders = append(t.decoders, d)
	return nil
}

// joinBytes makes text of tokens as <0x61>. Where their bytes are no UTF-8, each becomes a U+FFFD.
func joinBytes(texts []string) []string {
	out := texts[:0]
	var bytes []byte
	flush := func() {
		if utf8.Valid(bytes) && len(bytes) > 0 {
			out = append(out, string(bytes))
		} else {
			for range bytes {
				out = append(out, "\uFFFD")
			}
		}
		bytes = bytes[:0]
	}
	for _, s := range texts {
		if b, ok := byteToken(s); ok {
			bytes = append(bytes, b)
			continue
		}
		flush() // never more texts than were read
		out = append(out, s)
	}
	flush()
	return out
}

// byteToken is the byte that a token as <0x61> stands for.
func byteToken(s string) (byte, bool) {
	if len(s) != 6 || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(s[3:5], 16, 8)
	return byte(b), err == nil
}

func fuse(texts []string) []string {
	if len(texts) == 0 {
		return texts
	}
	return append(texts[:0], strings.Join(texts, ""))
}

// metaspaceDecoder makes spaces of a visible character; those of the first token were put in front.
func metaspaceDecoder(m map[string]any) (decoder, error) {
	mark, scheme, err := metaspaceOf(m)
	if err != nil {
		return nil, err
	}
	return func(texts []string) []string {
		for i, s := range texts {
			to := " "
			if i == 0 && scheme != "never" {
				to = ""
			}
			texts[i] = strings.ReplaceAll(s, mark, to)
		}
		return texts
	}, nil
}

func replaceDecoder(m map[string]any) (decoder, error) {
	n, err := readReplace(m)
	if err != nil {
		return nil, err
	}
	return func(texts []string) []string {
		for i, s := range texts {
			texts[i] = n.apply(s)
		}
		return texts
	}, nil
}

// stripDecoder takes at most so many of a character off the start and the end of each text.
func stripDecoder(m map[string]any) (decoder, error) {
	content, _ := m["content"].(string)
	start, err := count(m["start"])
	stop, err2 := count(m["stop"])
	if utf8.RuneCountInString(content) != 1 || err != nil || err2 != nil {
		return nil, errors.New("want one character as content, start and stop as whole numbers")
	}
	return func(texts []string) []string {
		for i, s := range texts {
			for k := 0; k < start && strings.HasPrefix(s, content); k++ {
				s = s[len(content):]
			}
			for k := 0; k < stop && strings.HasSuffix(s, content); k++ {
				s = s[:len(s)-len(content)]
			}
			texts[i] = s
		}
		return texts
	}, nil
}
