package jinja

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

type reference struct{ Out, Error *string }

func check(t *testing.T, name, source string, vars Vars, want reference) {
	t.Helper()
	got, err := renderCase(source, vars)
	switch {
	case want.Out == nil && err == nil:
		t.Errorf("%s: got %q, want an error: %s", name, got, *want.Error)
	case want.Out != nil && (err != nil || got != *want.Out):
		t.Errorf("%s:\n got %q, %v\nwant %q", name, got, err, *want.Out)
	}
}

// One template for each construct, with what Jinja2 makes of it.
func TestConstructs(t *testing.T) {
	all := readJSON[struct {
		Variables json.RawMessage
		Cases     []struct {
			Template string
			reference
		}
	}](t, "testdata/constructs.json")
	for _, c := range all.Cases {
		check(t, c.Template, c.Template, varsOf(t, all.Variables), c.reference)
	}
	if len(all.Cases) < 120 {
		t.Errorf("only %d cases", len(all.Cases))
	}
}

// Templates in the manner of published models.
func TestFamilies(t *testing.T) {
	want := readJSON[map[string][]reference](t, "testdata/families/reference.json")
	conversations := readJSON[[]json.RawMessage](t, "testdata/families/conversations.json")
	n := 0
	for name, list := range want {
		source, err := os.ReadFile("testdata/families/" + name + ".jinja")
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != len(conversations) {
			t.Fatalf("%s: %d results, want %d", name, len(list), len(conversations))
		}
		for i, c := range conversations {
			check(t, name, string(source), varsOf(t, c), list[i])
			n++
		}
	}
	t.Logf("%d templates, %d renderings", len(want), n)
}

// Text keeps its source through whatever a template does with it.
func TestSources(t *testing.T) {
	for source, want := range map[string]string{
		"<{{ m }}>":                                 "<[a<b c]>",
		"{{ m[1:3] ~ 'x' }}":                        "[<b]x",
		"{{ m | upper | replace('B', 'zz') }}":      "[A<]zz[ C]",
		"{{ m.split('<') | join('<') }}":            "[a]<[b c]",
		"{{ ('<' ~ m ~ '>') | trim | reverse }}":    ">[c b<a]<",
		"{{ '%s|%5s' % (m, m[0]) }}":                "[a<b c]|    [a]",
		"{{ '{}-{:>3}'.format(m, m[2]) }}":          "[a<b c]-  [b]",
		"{{ [m] }}{{ {m: 1} | tojson }}":            "['[a<b c]']{\"[a<b c]\": 1}",
		"{{ m | e }}":                               "[a&lt;b c]",
		"{{ m.title() }}{{ m | title }}":            "[A<B CA<B C]",
		"{{ m * 2 }}{{ m | length }}":               "[a<b ca<b c]5",
		"{% set x %}<{{ m }}{% endset %}{{ x[1] }}": "[a]",
		"{{ m | list | last }}{{ m.center(7) }}":    "[c] [a<b c] ",
		"{{ m | wordwrap(3) | indent(1) }}":         "[a<b]\n [c]",
		"{% filter upper %}m{{ m }}{% endfilter %}": "M[A<B C]",
		"{% for c in m %}{{ c }}.{% endfor %}":      "[a].[<].[b].[ ].[c].",
		"{{ m | urlencode }}":                       "[a%3Cb%20c]",
		"{{ d.m | string | default('x') }}":         "[a<b c]",
	} {
		tmpl, err := Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		m := NewSourced("a<b c", 0)
		out, err := tmpl.Render(Vars{"m": m, "d": NewDict("m", m)}, Options{})
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		var b strings.Builder
		at := 0
		for _, s := range out.Spans {
			b.WriteString(out.S[at:s.From] + "[" + out.S[s.From:s.To] + "]")
			at = s.To
		}
		b.WriteString(out.S[at:])
		if b.String() != want {
			t.Errorf("%s: got %s, want %s", source, b.String(), want)
		}
	}
}
