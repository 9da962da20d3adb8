package strictjson

import "unicode/utf8"

// AppendString appends a text as a string of JSON. Only what JSON demands is escaped, so that texts stay readable. It is false, and dst as it
// was, for what is not valid UTF-8.
func AppendString[T string | []byte](dst []byte, s T) ([]byte, bool) {
	valid := false
	switch s := any(s).(type) {
	case string:
		valid = utf8.ValidString(s)
	case []byte:
		valid = utf8.Valid(s)
	}
	if !valid {
		return dst, false
	}
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"'), true
}
