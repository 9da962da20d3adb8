package jinja

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever the template: an error or a text, within its bounds, and never a fault of ours.
func FuzzRender(f *testing.F) {
	file, err := os.Open("testdata/differential.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	s.Buffer(nil, 1<<20)
	var vars Vars
	for s.Scan() {
		var c diffCase
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			f.Fatal(err)
		}
		if c.Variables != nil {
			vars = varsOf(f, c.Variables[0])
		}
		f.Add(c.T)
	}
	vars["s"], vars["t"] = NewSourced("Message <b> é 1", 0), NewSourced(" two\nlines ", 1)
	f.Fuzz(func(t *testing.T, source string) {
		if !utf8.ValidString(source) || len(source) > 64<<10 {
			return
		}
		tmpl, err := Parse(source)
		var out *Text
		if err == nil {
			out, err = tmpl.Render(vars, Options{Strftime: testStrftime})
		}
		if err != nil {
			if strings.Contains(err.Error(), "internal error") {
				t.Fatal(err)
			}
			return
		}
		at := 0
		for _, s := range out.Spans {
			if s.From < at || s.To <= s.From || s.To > len(out.S) || s.Source < 0 || s.Source > 1 {
				t.Fatalf("spans %v of %d bytes", out.Spans, len(out.S))
			}
			at = s.To
		}
		if len(out.S) > MaxText || !utf8.ValidString(out.S) {
			t.Fatalf("%d bytes, valid: %v", len(out.S), utf8.ValidString(out.S))
		}
	})
}
