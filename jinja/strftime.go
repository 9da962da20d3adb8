package jinja

import (
	"fmt"
	"strings"
	"time"
)

// Strftime formats a day as Python does. Only what dates in chat templates use.
func Strftime(day time.Time, format string) (string, error) {
	layouts := map[byte]string{
		'd': "02", 'b': "Jan", 'B': "January", 'm': "01", 'Y': "2006", 'y': "06", 'a': "Mon", 'A': "Monday",
		'H': "15", 'M': "04", 'S': "05", 'e': "_2", 'j': "002",
	}
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		layout, ok := layouts[format[i]]
		switch {
		case format[i] == '%':
			out.WriteByte('%')
		case !ok:
			return "", fmt.Errorf("strftime_now: %%%c is not supported", format[i])
		default:
			out.WriteString(day.Format(layout))
		}
	}
	return out.String(), nil
}
