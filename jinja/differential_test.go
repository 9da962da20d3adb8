package jinja

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

type diffCase struct {
	T         string
	V         int
	Out       *string
	Error     string
	Variables []json.RawMessage
}

// orderedValue reads JSON with the order of its keys.
func orderedValue(t testing.TB, d *json.Decoder) Value {
	k, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch k := k.(type) {
	case json.Delim:
		if k == '[' {
			l := NewList()
			for d.More() {
				l.Items = append(l.Items, orderedValue(t, d))
			}
			d.Token()
			return l
		}
		o := NewDict()
		for d.More() {
			key, _ := d.Token()
			o.set(NewText(key.(string)), orderedValue(t, d))
		}
		d.Token()
		return o
	case json.Number:
		if i, err := k.Int64(); err == nil {
			return i
		}
		f, _ := k.Float64()
		return f
	case string:
		return NewText(k)
	case bool:
		return k
	}
	return None
}

func varsOf(t testing.TB, raw json.RawMessage) Vars {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	v := orderedValue(t, d).(*Dict)
	vars := Vars{}
	for i, k := range v.keys {
		vars[k.(*Text).S] = v.values[i]
	}
	return vars
}

var testDay = time.Date(2024, 7, 26, 0, 0, 0, 0, time.UTC)

func testStrftime(format string) (string, error) { return Strftime(testDay, format) }

func renderCase(source string, vars Vars) (string, error) {
	tmpl, err := Parse(source)
	if err != nil {
		return "", err
	}
	out, err := tmpl.Render(vars, Options{Strftime: testStrftime})
	if err != nil {
		return "", err
	}
	return out.S, nil
}

// refusals are the errors of what this package does not do and Jinja2 does.
var refusals = regexp.MustCompile(`not supported|cannot be written|can only be written|more than 4096 bits|is not allowed`)

// compareCases renders the cases of differential.py and counts where we agree, and by what text we refuse.
func compareCases(t *testing.T, r io.Reader, shown int) (n int) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 16<<20)
	var vars []Vars
	same, errors := 0, 0
	refused := map[string]int{}
	for s.Scan() {
		var c diffCase
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if c.Variables != nil {
			vars = nil
			for _, raw := range c.Variables {
				vars = append(vars, varsOf(t, raw))
			}
			continue
		}
		n++
		got, err := renderCase(c.T, vars[c.V])
		switch {
		case c.Out == nil && err != nil:
			errors++
			if e, ok := err.(*Error); !ok || e.Line < 1 || e.Line > 2+strings.Count(c.T, "\n")+strings.Count(c.T, "\r") {
				t.Errorf("%q: the line of %v", c.T, err)
			}
		case c.Out != nil && err == nil && got == *c.Out:
			same++
		case c.Out != nil && err != nil && refusals.MatchString(err.Error()):
			refused[err.(*Error).Text]++
		default:
			if shown--; shown >= 0 {
				want := "an error: " + c.Error
				if c.Out != nil {
					want = *c.Out
				}
				t.Errorf("%s\n-- variables %d\n got %q, %v\nwant %q", c.T, c.V, got, err, want)
			} else {
				t.Fail()
			}
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	left := 0
	for text, k := range refused {
		left += k
		t.Logf("refused %d times: %s", k, text)
	}
	t.Logf("%d templates: %d the same text, %d errors in both, %d refused, %d differ", n, same, errors, left, n-same-errors-left)
	return n
}

// What Jinja2 made of random templates, stored.
func TestDifferentialStored(t *testing.T) {
	f, err := os.Open("testdata/differential.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := compareCases(t, f, 10); n < 2000 {
		t.Errorf("only %d cases", n)
	}
}

// The same with as many new templates as CRITICRM_JINJA says, 300 by default, where Python has Jinja2.
func TestDifferentialLive(t *testing.T) {
	if out, err := exec.Command("python3", "-c", "import jinja2; print(jinja2.__version__)").Output(); err != nil || !strings.HasPrefix(string(out), "3.1.") {
		t.Skipf("python3 has no jinja2 3.1: %s %v", out, err)
	}
	count := os.Getenv("CRITICRM_JINJA")
	if count == "" {
		count = "300"
	}
	cmd := exec.Command("python3", "-W", "ignore", "differential.py", count, time.Now().Format("150405"))
	cmd.Dir = "testdata"
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Logf("differential.py %s %s", count, cmd.Args[len(cmd.Args)-1])
	compareCases(t, r, 10)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
