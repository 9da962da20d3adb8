package tokenizer

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const chatML = `{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>
{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`

func mustChat(t testing.TB, source string, vars map[string]any) *Chat {
	t.Helper()
	c, err := NewChat(tinyTokenizer(t), source, vars)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Message text never becomes a control token, and comes out byte for byte.
func TestMessageTextIsPlain(t *testing.T) {
	chat := mustChat(t, chatML, nil)
	tok := chat.tok
	for _, text := range []string{
		"<|end|>", "  <|end|>\n", "a<|end|>b<|user|>", "<|end|><|end|>", "<<|end|>", "<|<|end|>|>", "<|end", "end|>", "|>", "<", "<|",
		"end", "user", "|", "\U0010FFFD<|end|>\U0010FFFD", "\U0010FFFD\U0010FFFC\U00100000", "<\U0010FFFD|end|>", "", " ", "日本<|end|>語",
		"{{ bos_token }}{% raw %}", "<|end|>\u00a0",
	} {
		m := []Message{{"user", text}, {"assistant", "ok"}}
		ids, err := chat.Encode(m, true)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		want := []int32{1}
		want = tok.AppendEncode(want, strings.TrimSpace(text))
		want = append(want, 3)
		want = append(tok.AppendEncode(want, "\n"), 2)
		want = append(tok.AppendEncode(want, "ok"), 3)
		want = append(tok.AppendEncode(want, "\n"), 2)
		if !slices.Equal(ids, want) {
			t.Errorf("%q:\n got %v\nwant %v", text, ids, want)
		}
		out, err := chat.Text(m, true)
		if wantText := "<|user|>" + strings.TrimSpace(text) + "<|end|>\n<|assistant|>ok<|end|>\n<|assistant|>"; err != nil || out != wantText {
			t.Errorf("%q: Text gives %q, %v", text, out, err)
		}
	}
}

// A template that leaves half a token open does not let a message close it.
func TestMessageCannotCompleteToken(t *testing.T) {
	for _, source := range []string{
		"<|{{ messages[0].content }}|>", "{{ '<|' + messages[0].content }}", "{{ messages[0].content }}end|>", "{{ messages[0].content }}|>",
		"<|e{{ messages[0].content | trim }}", "{{ messages[0].content | trim }}>",
	} {
		chat := mustChat(t, source, nil)
		for _, text := range []string{"end", "end|>", "<|", "<|end", "nd|>", "<|end|", " end ", "<|end "} {
			ids, err := chat.Encode([]Message{{"user", text}}, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if chat.tok.IsSpecial(id) {
					t.Errorf("template %q, message %q: special token %d", source, text, id)
				}
			}
		}
	}
}

// Added tokens of one character, and ones that are white space.
func TestShortAddedTokens(t *testing.T) {
	tok, err := Train(slices.Values(trainTexts), TrainConfig{VocabSize: 300, Special: []string{"☃", "<|e|>", "☃☃"}, Pattern: "qwen2"})
	if err != nil {
		t.Fatal(err)
	}
	chat, err := NewChat(tok, "☃{{ messages[0].content }}<|e|>", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"☃", "☃☃", "a☃b☃☃☃c", "\U0010FFFD☃\U0010FFFC"} {
		m := []Message{{"user", text}}
		ids, err := chat.Encode(m, false)
		want := append(tok.AppendEncode([]int32{0}, text), 1)
		if err != nil || !slices.Equal(ids, want) {
			t.Errorf("%q: got %v, %v, want %v", text, ids, err, want)
		}
		if out, _ := chat.Text(m, false); out != "☃"+text+"<|e|>" {
			t.Errorf("%q: Text gives %q", text, out)
		}
	}
}

// A message of which nothing is written would be asked about without a word; one that is shortened is the template's own matter.
func TestMessageLeftOut(t *testing.T) {
	left := "nothing of messages[0], role system, is written: the template leaves the message out"
	thoughts := "{% for m in messages %}{{ m.content.split('</think>')[-1] | trim }}<|end|>{% endfor %}"
	for _, c := range []struct{ source, system, want string }{
		{"{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}", "Be kind.", left},
		{"{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}", " \n", ""},
		{"{% for m in messages %}{{ m.content | trim | upper }}{% endfor %}", " be kind ", ""},
		{"{{ messages | tojson }}", "Be kind.", ""},
		{"{{ messages | map(attribute='content') | join(' ') | replace('kind', '') }}", "Be kind.", ""},
		{"{{ messages[-1].content }}{{ messages[0].content | length }}", "Be kind.", left},
		{"{{ messages[1].content }}{{ 'yes' if messages[0].content == 'Be kind.' }}", "Be kind.", left},
		{thoughts, "<think>a</think>b", ""},
		{thoughts, "<think>a</think>\n", left},
	} {
		chat := mustChat(t, c.source, nil)
		m := []Message{{"system", c.system}, {"user", "hi"}}
		_, err := chat.Encode(m, true)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s with %q: got %v, want %q", c.source, c.system, err, c.want)
		}
		if _, err2 := chat.Text(m, true); (err2 == nil) != (err == nil) {
			t.Errorf("%s: Text gives %v, Encode %v", c.source, err2, err)
		}
	}
}

func TestBadMessages(t *testing.T) {
	chat := mustChat(t, chatML, nil)
	if _, err := chat.Text([]Message{{"user", strings.Repeat("a", MaxText)}}, false); err != nil {
		t.Errorf("text at the limit: %v", err)
	}
	for want, m := range map[string]Message{
		"messages[0]: text is 8388609 bytes, limit 8388608": {"user", strings.Repeat("a", MaxText+1)},
		"messages[0]: text is not valid UTF-8":              {"user", "\xff"},
		`messages[0]: role "<|end|>": want`:                 {"<|end|>", "x"},
		`messages[0]: role "": want`:                        {"", "x"},
	} {
		if _, err := chat.Encode([]Message{m}, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestBadTemplates(t *testing.T) {
	deep := func(n int) string { return "{{ " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n) + " }}" }
	text := func(n int) string { return strings.Repeat("a", n) }
	goroutines := runtime.NumGoroutine()
	for _, c := range []struct{ source, want string }{
		{`{% include "/etc/passwd" %}`, "chat template:1: {% include %} is not allowed: a chat template cannot load files"},
		{"a\nb{%- extends 'x' %}", ":2: {% extends %} is not allowed"},
		{`{% import "x" as y %}`, "{% import %} is not allowed"},
		{`{% from "x" import y %}`, "{% from %} is not allowed"},
		{`{{ ''.__class__.__mro__ }}`, `chat template:1: cannot be rendered: "__class__" is not allowed`},
		{`{% for i in range(1000000000) %}x{% endfor %}`, "range of 1000000000 items, limit 100000"},
		{`{% for i in range(-9223372036854775807, 9223372036854775807) %}x{% endfor %}`, "items, limit 100000"},
		{`{% for i in range(100001) %}{% endfor %}`, "range of 100001 items"},
		{`{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}`, "macro calls nest deeper than 100"},
		{`{% macro m() %}{% for i in range(2) %}{{ m() }}{% endfor %}{% endmacro %}{{ m() }}`, "nest deeper than"},
		{`{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}`, ""},
		{`{% set x = "` + text(4000) + `" %}{% for a in range(100000) %}{{ x }}{% endfor %}`, "output is over 16777216 bytes"},
		{`{% set y %}{% for a in range(100000) %}` + text(30000) + `{% endfor %}{% endset %}`, "output is over 16777216 bytes"},
		{`{% macro m() %}{% for a in range(100000) %}` + text(30000) + `{% endfor %}{% endmacro %}{{ m() }}`, "output is over 16777216 bytes"},
		{text(70000), "chat template: 70000 bytes, limit 65536"},
		{deep(201), "brackets nest deeper than 200"},
		{"{{ 1" + strings.Repeat(" + 1", 2000) + " }}", ""},
		{`{% frobnicate %}`, "(give a simpler one with --chat_template FILE)"},
		{`{{ "a" `, "cannot be parsed: "},
		{`{{ 1 // 0 }}`, "cannot be rendered: division by zero"},
		{`{% set z = 0 %}{{ 1 % z }}`, "cannot be rendered: division by zero"},
		{`{% set z = 0 %}{{ 1 / z }}`, "cannot be rendered: division by zero"},
		{`{{ "a" * 1000000000 }}`, "output is over 16777216 bytes"},
		{`{{ 1000000000 * "a" }}`, "output is over 16777216 bytes"},
		{`{{ raise_exception("no system role") }}`, "chat template:1: cannot be rendered: no system role"},
		{`{{ raise_exception("` + text(5000) + `") }}`, " …"},
		{`{{ frobnicate() }}`, "cannot be rendered: "},
		{`{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}`, "macro calls nest deeper than 100"},
		{`{% for i in "ab" %}{{ loop([1]) }}{% endfor %}`, "only in a loop that is recursive"},
		{"a\nb{{ 'c' }}\n{{ nope.x }}", "chat template:3: cannot be rendered: \"nope\" is undefined"},
		{"a\n{% set x = messages.append(1) %}", "chat template:2: cannot be rendered: list.append changes the value: not allowed"},
		{`{% set s = "a" * 9999 %}{% for i in range(99999) %}{% if s == s ~ i %}{% endif %}{% endfor %}`, "works on more than"},
		{`{% set ns = namespace(s="ab") %}{% for i in range(99) %}{% set ns.s = ns.s * 2 %}{% endfor %}`, "output is over 16777216 bytes"},
		{`{% set ns = namespace(l=[1, 2]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}`, "items, limit 100000"},
		{`{% set ns = namespace(l=[1]) %}{% for i in range(999) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}`, "nests deeper than 200"},
		{`{% set ns = namespace(l=[1]) %}{% for i in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}`, ""},
		{`{% set ns = namespace(l=[1]) %}{% for i in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}`, ""},
		{`{% set ns = namespace(l=[1]) %}{% for i in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == [1] or ns.l in [ns.l + []] }}`, ""},
		{`{% set ns = namespace(n=3) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}`, "an integer has more than 4096 bits"},
		{`{{ 9 ** (9 ** 9) }}`, "an integer has more than 4096 bits"},
		{`{{ range(100000) | batch(1) | map('list') | map('join') | list | join | length }}{{ range(100000) | map('string') | sort | unique | list }}`, ""},
		{`{{ ("a " * 1000000).split() }}`, "items, limit 100000"},
		{`{{ ("a" * 1000000) | replace("", "b" * 1000) }}`, "output is over 16777216 bytes"},
		{`{{ ("a\n" * 90000) | indent("b" * 1000) }}`, "output is over 16777216 bytes"},
		{`{{ "a" | center(99999999) }}`, "output is over 16777216 bytes"},
		{`{{ "%99999999d" % 1 }}`, "output is over 16777216 bytes"},
		{`{{ "{:99999999}".format(1) }}`, "output is over 16777216 bytes"},
		{`{{ [1] | batch(999999999, 0) | list }}`, "items, limit 100000"},
		{`{{ [1] | slice(999999999) | list }}`, "items, limit 100000"},
		{`{{ [[[1]]] | tojson(indent=9999999) }}`, "output is over 16777216 bytes"},
		{"{{ " + strings.Repeat("not ", 9000) + "1 }}", "the template nests deeper than 500"},
		{"{{ 1" + strings.Repeat("+1", 30000) + " }}", "nest deeper than"},
		{`{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}`, "a value nests deeper than 200"},
		{`{% set l = [1] %}{% set x = l.append(l) %}{{ l }}`, ""},
		{`{% block a %}{% endblock %}`, "{% block %} is not supported"},
		{`{{ [1,2,3] | random }}`, "the filter random is not supported"},
		{`{{ "a".center(1000000000) }}`, "cannot be rendered: "},
		{`{{ "a" | indent(1000000000) }}`, "output is over 16777216 bytes"},
		{`{{ strftime_now("%Y") }}`, "cannot be rendered: "},
		{`{{ lipsum() }}`, "cannot be rendered: "},
		{strings.Repeat("{% if true %}", 300) + strings.Repeat("{% endif %}", 300), "statements nest deeper than 200"},
		{`<|im_end|>`, `tokenizer.json: "<|im_end|>" is missing, the chat template writes it`},
		{`{{ '<|im_start|>' + 'x' }}`, `tokenizer.json: "<|im_start|>" is missing, the chat template writes it`},
	} {
		start := time.Now()
		chat, err := NewChat(tinyTokenizer(t), c.source, nil)
		if err == nil {
			content := ""
			if strings.Contains(c.source, "content") {
				content = "hi"
			}
			_, err = chat.Encode([]Message{{"user", content}}, true)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%.60q takes %v", c.source, took)
		}
		switch {
		case err == nil && c.want == "": // allowed to be fine, not to hang or end the process
		case err == nil || !strings.Contains(err.Error(), c.want):
			t.Errorf("%.60q:\n got %v\nwant %s", c.source, err, c.want)
		case len(err.Error()) > 700:
			t.Errorf("%.60q: the error has %d bytes", c.source, len(err.Error()))
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines left behind", n-goroutines)
	}
	if _, err := NewChat(tinyTokenizer(t), deep(200), nil); err != nil {
		t.Errorf("200 brackets: %v", err)
	}
}

// A literal that the vocabulary lacks is fine where it is not written, and in messages.
func TestMissingTokenOnlyWhereWritten(t *testing.T) {
	chat := mustChat(t, `{% if tools %}<|tool|>{% endif %}{{ messages[0].content }}<|end|>`, map[string]any{"bos_token": "<bos>"})
	ids, err := chat.Encode([]Message{{"user", "<|tool|><bos>"}}, false)
	if err != nil || chat.tok.Decode(ids) != "<|tool|><bos><|end|>" {
		t.Errorf("got %v, %v", ids, err)
	}
}

func TestTemplateLanguage(t *testing.T) {
	vars := map[string]any{"bos_token": "<|pad|>", "list": []any{1, "b", nil}, "date": "2024-07-26", "none": nil}
	for _, c := range []struct{ source, want string }{
		{"{% if true %}\n  a\n{% endif %}\nb\n", "  a\nb"},
		{"  {% if true %}a{% endif %}", "a"},
		{"{{- 'a' -}}  \n b", "ab"},
		{"{{ bos_token }}{{ list | length }}", "<|pad|>3"},
		{"{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"},
		{"{% generation %}a{% endgeneration %}b", "ab"},
		{"{% set ns = namespace(n=1) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "4"},
		{"{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{{ ',' if not loop.last }}{% endfor %}", "0,1,2,"},
		{"{% macro m(x, y=2) %}[{{ x }}{{ y }}]{% endmacro %}{{ m(1) }}{{ m(1, y=3) }}", "[12][13]"},
		{"{% for k in range(3, 0, -1) %}{{ k }}{% endfor %}", "321"},
		{"{{ messages[0]['content'].split('i')[0] }}{{ messages[-1].role }}", "huser"},
		{"{{ tools is defined }}{{ none is none }}", "TrueTrue"},
		{"{{ (x | default('d')) ~ 1 }}", "d1"},
		{"{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"},
		{"{% raw %}{{ a }}{% endraw %}", "{{ a }}"},
		{"{% set m = messages[-1] %}{{ m.content[-1] }}{{ 'éa'[0] }}{{ 'x'.split('-')[-1] }}{% if messages[-2] %}2{% endif %}", "iéx"},
		{"{% set d = {'a': [1, 2]} %}{{ d['a'][-2] }}{% set ns = namespace() %}{% set ns.k = 3 %}{{ ns['k'] }}", "13"},
		{"{{ '-' * 3 }}{{ 2 * 3 }}{{ 0.5 * 4 }}{{ 'a' * 0 }}", "---62.0"},
		{"{{ ' \x1c\u3000a\u001f' | trim }}{{ '\x1cb\x1d '.strip() }}{{ 'xcx'.strip('x') }}", "abc"},
		{"{{ 7 // 2 }}{{ 7 % 4 }}", "33"},
	} {
		content := ""
		if strings.Contains(c.source, "content") {
			content = "hi"
		}
		got, err := mustChat(t, c.source, vars).Text([]Message{{"user", content}}, false)
		if err != nil || got != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.source, got, err, c.want)
		}
	}
	if _, err := NewChat(tinyTokenizer(t), "", map[string]any{"x": time.Now()}); err == nil || !strings.Contains(err.Error(), "variable of type time.Time") {
		t.Errorf("a variable with methods: %v", err)
	}
}

func TestLoadChat(t *testing.T) {
	tok := tinyTokenizer(t)
	for _, c := range []struct{ config, jinja, want, err string }{
		{config: `{"chat_template":"{{ bos_token }}{{ eos_token }}","bos_token":"<|user|>","eos_token":{"content":"<|end|>"}}`, want: "<|user|><|end|>"},
		{config: `{"chat_template":[{"name":"tools","template":"t"},{"name":"default","template":"d"}]}`, want: "d"},
		{config: `{"chat_template":"x","bos_token":"<|pad|>"}`, jinja: "{{ bos_token }}j", want: "<|pad|>j"},
		{jinja: "j", want: "j"},
		{err: "no chat template"},
		{config: `{"bos_token":"a"}`, err: "no chat template"},
		{config: `{"chat_template":[{"name":"tools","template":"t"}]}`, err: `no template is named "default" (found: tools)`},
		{config: `{"chat_template":7}`, err: "want a string or a list"},
		{config: `{"auto_map":{"AutoTokenizer":"x.y"}}`, err: "tokenizer_config.json: auto_map asks for Python code; this program never runs model code"},
		{config: `{"trust_remote_code":true}`, err: "trust_remote_code asks for Python code"},
		{config: `{"a":1,"a":2}`, err: `tokenizer_config.json: key "a" appears twice`},
		{jinja: "{% include 'x' %}", err: "chat_template.jinja:1: {% include %} is not allowed"},
		{jinja: strings.Repeat("a", MaxTemplate+1), err: "chat_template.jinja: 65537 bytes, limit 65536"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"tokenizer_config.json": c.config, "chat_template.jinja": c.jinja} {
			if text != "" {
				os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
			}
		}
		chat, err := LoadChat(dir, tok, ChatOptions{})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want %s", err, c.err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := chat.Text(nil, false); err != nil || got != c.want {
			t.Errorf("got %q, %v, want %q", got, err, c.want)
		}
	}
}

func TestLoadChatFile(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "other.jinja")
	os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(`{"chat_template":"config","bos_token":"<|pad|>"}`), 0o600)
	os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte("jinja"), 0o600)
	os.WriteFile(file, []byte("{{ bos_token }}other"), 0o600)
	for path, want := range map[string]string{"": "jinja", file: "<|pad|>other"} {
		chat, err := LoadChat(dir, tinyTokenizer(t), ChatOptions{File: path})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := chat.Text(nil, false); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", path, got, err, want)
		}
	}
	if _, err := LoadChat(dir, tinyTokenizer(t), ChatOptions{File: filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing template: %v", err)
	}
}

func TestEndOfTurn(t *testing.T) {
	tok := tinyTokenizer(t)
	id := func(s string) int32 {
		n, ok := tok.ID(s)
		if !ok {
			t.Fatalf("no token %s", s)
		}
		return n
	}
	end, user, pad := id("<|end|>"), id("<|user|>"), id("<|pad|>")
	chat, err := NewChat(tok, "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}<|user|>", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		ends []int32
		want int32
	}{{[]int32{pad, end}, end}, {[]int32{end, pad}, end}, {[]int32{end, user}, user}, {[]int32{pad}, pad}} {
		if got, err := chat.EndOfTurn(x.ends); err != nil || got != x.want {
			t.Errorf("EndOfTurn(%v) = %d, %v, want %d", x.ends, got, err, x.want)
		}
	}
	if _, err := chat.EndOfTurn(nil); err == nil || !strings.Contains(err.Error(), "eos_token_id") {
		t.Errorf("no end tokens: %v", err)
	}
}
