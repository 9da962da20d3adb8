package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"criticrm/strictjson"
)

func Example() {
	const config = `{"hidden_size": 64, "eos": "\u003c/s>", "extra": [1, {"x": null}]}`
	size, eos := int64(0), ""
	err := strictjson.Read([]byte(config), func(r *strictjson.Reader) error {
		return r.Object(func(key string) (err error) {
			switch key {
			case "hidden_size":
				var n json.Number
				if n, err = r.Number(); err == nil {
					size, err = n.Int64()
				}
			case "eos":
				eos, err = r.String()
			default:
				err = r.Skip()
			}
			return err
		})
	})
	fmt.Println(size, eos, err)
	fmt.Println(strictjson.Read([]byte(`{"a": 1, "\u0061": 2}`), (*strictjson.Reader).Skip))
	// Output:
	// 64 </s> <nil>
	// key "a" appears twice at byte 9
}

func read(text string) (v any, err error) {
	err = strictjson.Read([]byte(text), func(r *strictjson.Reader) (err error) { v, err = r.Value(); return err })
	return v, err
}

// nested is n arrays inside each other.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		code strictjson.Code
		want string
	}{
		{"", strictjson.Truncated, "unexpected end at byte 0"},
		{`{"a": `, strictjson.Truncated, "unexpected end at byte 6"},
		{`{"a"`, strictjson.Truncated, "unexpected end at byte 4"},
		{`{`, strictjson.Truncated, "got nothing, want string at byte 1"},
		{`[1`, strictjson.Truncated, "unexpected end at byte 2"},
		{`"ab`, strictjson.Truncated, "unexpected end at byte 3"},
		{`"ab\`, strictjson.Truncated, "unexpected end at byte 4"},
		{`{} é`, strictjson.Trailing, "unexpected 'é' at byte 3"},
		{"1 2", strictjson.Trailing, "unexpected '2' at byte 2"},
		{"[\"é\", \"\xc3\"]", strictjson.Encoding, "not valid UTF-8 at byte 8"},
		{`{"a":1,"b":{"c":1, "c":2}}`, strictjson.Duplicate, `key "c" appears twice at byte 19`},
		{`{"":1,"":2}`, strictjson.Duplicate, `key "" appears twice at byte 6`},
		{nested(33), strictjson.Invalid, "nested deeper than 32 at byte 32"},
		{`["\ud800"]`, strictjson.Invalid, "invalid Unicode escape at byte 2"},
		{`["\ud800\u0041"]`, strictjson.Invalid, "invalid Unicode escape at byte 2"},
		{`["\udc00\ud800"]`, strictjson.Invalid, "invalid Unicode escape at byte 2"},
		{`["\u00g0"]`, strictjson.Invalid, "invalid Unicode escape at byte 2"},
		{`["\u+123"]`, strictjson.Invalid, "invalid Unicode escape at byte 2"},
		{`["\x"]`, strictjson.Invalid, "invalid escape at byte 2"},
		{"[\"a\nb\"]", strictjson.Invalid, `control character in a string: '\n' at byte 3`},
		{`[1,]`, strictjson.Invalid, "invalid character ']' at byte 3"},
		{`{"a":1,}`, strictjson.Invalid, "invalid character '}' at byte 7"},
		{`{a:1}`, strictjson.Invalid, "invalid character 'a' at byte 1"},
		{`{1:1}`, strictjson.Invalid, "got number, want string at byte 1"},
		{`{"a" 1}`, strictjson.Invalid, "got '1', want ':' at byte 5"},
		{`[1é]`, strictjson.Invalid, "got 'é', want ']' at byte 2"},
		{`tru`, strictjson.Invalid, "invalid character 't' at byte 0"},
		{`NaN`, strictjson.Invalid, "NaN is no value in JSON: want a number, or null at byte 0"},
		{`{"a":Infinity}`, strictjson.Invalid, "Infinity is no value in JSON: want a number, or null at byte 5"},
		{`N`, strictjson.Invalid, "invalid character 'N' at byte 0"},
		{"\ufeff{}", strictjson.Invalid, `invalid character '\ufeff' at byte 0`},
		{`[01]`, strictjson.Invalid, `invalid number "01" at byte 1`},
		{`[-]`, strictjson.Invalid, `invalid number "-" at byte 1`},
		{`[1.e5]`, strictjson.Invalid, `invalid number "1.e5" at byte 1`},
		{`[-1e999]`, strictjson.Invalid, "number -1e999 is out of range at byte 1"},
		{strings.Repeat("1-", 100), strictjson.Invalid, `invalid number "` + strings.Repeat("1-", 40) + `…" at byte 0`},
	} {
		_, err := read(c.text)
		var e *strictjson.Error
		if !errors.As(err, &e) || e.Code != c.code || err.Error() != c.want {
			t.Errorf("%.40q:\ngot  %v\nwant %s", c.text, err, c.want)
		}
		if skipped := strictjson.Read([]byte(c.text), (*strictjson.Reader).Skip); skipped == nil || skipped.Error() != c.want {
			t.Errorf("%.40q: Skip gives %v, want %s", c.text, skipped, c.want)
		}
	}
}

func TestValue(t *testing.T) {
	got, err := read(` {"a\u0041\ud83d\ude42\n\/": [ -0, 1e-999, 12345678901234567890123, 1.50 ,true, false, null, "", {}, []],"b":"` + "\u007fé" + `"} `)
	want := map[string]any{"aA🙂\n/": []any{json.Number("-0"), json.Number("1e-999"), json.Number("12345678901234567890123"), json.Number("1.50"), true, false, nil, "", map[string]any{}, []any{}},
		"b": "\u007fé"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v, want %#v", got, err, want)
	}
	if _, err := read(nested(strictjson.MaxDepth)); err != nil {
		t.Errorf("at the limit of depth: %v", err)
	}
}

// A value of another type than wanted is an error with its place; what a callback says passes through.
func TestTyped(t *testing.T) {
	mine := errors.New("mine")
	err := strictjson.Read([]byte("true"), func(r *strictjson.Reader) error {
		b, err := r.Bool()
		if !b {
			t.Error("true is false")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for want, value := range map[string]func(r *strictjson.Reader) error{
		"got array, want object at byte 1":  func(r *strictjson.Reader) error { _, err := r.Map(); return err },
		"got array, want string at byte 1":  func(r *strictjson.Reader) error { _, err := r.String(); return err },
		"got array, want number at byte 1":  func(r *strictjson.Reader) error { _, err := r.Number(); return err },
		"got array, want boolean at byte 1": func(r *strictjson.Reader) error { _, err := r.Bool(); return err },
		"mine":                              func(r *strictjson.Reader) error { return r.Array(func(int) error { return mine }) },
	} {
		if err := strictjson.Read([]byte(` [true]`), value); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Entries leaves repeated keys to the caller; Raw gives the bytes as they are.
func TestEntriesRaw(t *testing.T) {
	var got []string
	err := strictjson.Read([]byte(`{"a": {"x" :1} , "a":[ 2 ]}`), func(r *strictjson.Reader) error {
		return r.Entries(func(key string) error {
			raw, err := r.Raw()
			got = append(got, key, string(raw))
			return err
		})
	})
	if want := []string{"a", `{"x" :1}`, "a", "[ 2 ]"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// Members are the keys, bytes and places of an object that is checked as a whole.
func TestMembers(t *testing.T) {
	members := func(text string) (list []strictjson.Member, err error) {
		err = strictjson.Read([]byte(text), func(r *strictjson.Reader) (err error) { list, err = r.Members(); return err })
		return list, err
	}
	got, err := members(`{"a": {"x" :1} , "\u0062":[ 2 ]}`)
	want := []strictjson.Member{{Key: "a", Raw: []byte(`{"x" :1}`), At: 6}, {Key: "b", Raw: []byte("[ 2 ]"), At: 26}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if kind := strictjson.KindOf(got[1].Raw); kind != "array" || strictjson.KindOf(nil) != "nothing" {
		t.Errorf("kind %s", kind)
	}
	for text, want := range map[string]string{`{"a":[{"b":1,"b":2}]}`: `key "b" appears twice at byte 13`, `7`: "got number, want object at byte 0"} {
		if _, err := members(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// FuzzRead: what is accepted, encoding/json reads as the same.
func FuzzRead(f *testing.F) {
	for _, s := range []string{`{"a":[1,-0.5e+3,"\ud83d\ude42\u0000",true,null]}`, `[[],{}]`, `{"a":1,"a":2}`, `"\ud800"`, "01", "{} x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := read(text)
		if skipped := strictjson.Read([]byte(text), (*strictjson.Reader).Skip); fmt.Sprint(skipped) != fmt.Sprint(err) {
			t.Fatalf("Value gives %v, Skip %v", err, skipped)
		}
		if err != nil {
			return
		}
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, encoding/json %#v, %v", got, want, err)
		}
	})
}

// Strings of all lengths with each kind of byte that ends a run of ordinary ones, at every place, are read as encoding/json reads them.
func TestStrings(t *testing.T) {
	for n := range 40 {
		for at := range n + 1 {
			for _, odd := range []string{"", `\n`, `\u0041`, `\ud83d\ude00`, `\"`, `\\`, "ü", "\x7f", "!", "\x1f", "\x00", `\x`, `\ud83d`, `\u00`, "\""} {
				text := `"` + strings.Repeat("a", at) + odd + strings.Repeat("b", n-at) + `"`
				var want string
				wrong := json.Unmarshal([]byte(text), &want)
				if strings.Contains(odd, `\ud83d`) && !strings.Contains(odd, `\ude00`) {
					wrong = errors.New("half a surrogate")
				}
				var got string
				err := strictjson.Read([]byte(text), func(r *strictjson.Reader) (err error) { got, err = r.String(); return err })
				if (err != nil) != (wrong != nil) || err == nil && got != want {
					t.Errorf("%s: %q, %v; want %q, %v", text, got, err, want, wrong)
				}
				skip := strictjson.Read([]byte(text), (*strictjson.Reader).Skip)
				if fmt.Sprint(skip) != fmt.Sprint(err) {
					t.Errorf("%s: Skip says %v, String %v", text, skip, err)
				}
			}
		}
	}
}

// A key that appears twice is found among few and among many.
func TestKeysTwice(t *testing.T) {
	for n := range 60 {
		for _, again := range []int{0, n / 2, n - 1} {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, `"k%d": 1, `, i)
			}
			if err := strictjson.Read([]byte("{"+b.String()+`"last": 1}`), (*strictjson.Reader).Skip); err != nil {
				t.Fatalf("%d keys: %v", n, err)
			}
			var e *strictjson.Error
			err := strictjson.Read(fmt.Appendf(nil, `{%s"k%d": 1}`, b.String(), again), (*strictjson.Reader).Skip)
			if n > 0 && (!errors.As(err, &e) || e.Code != strictjson.Duplicate || e.Key != fmt.Sprint("k", again)) {
				t.Errorf("%d keys, k%d twice: %v", n, again, err)
			}
		}
	}
}
