package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// tinyFile is a valid tokenizer.json that a test can change.
func tinyFile(t testing.TB) map[string]any {
	t.Helper()
	b, err := tinyTokenizer(t).encodeJSON()
	if err != nil {
		t.Fatal(err)
	}
	var f map[string]any
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBadTokenizerFiles(t *testing.T) {
	split := func(regex string) object {
		return object{"type": "Sequence", "pretokenizers": []any{
			object{"type": "Split", "pattern": object{"Regex": regex}, "behavior": "Isolated", "invert": false},
			object{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
		}}
	}
	model := func(f object) object { return f["model"].(object) }
	vocab := func(f object) object { return model(f)["vocab"].(object) }
	added := func(f object) object { return f["added_tokens"].([]any)[0].(object) }
	for want, change := range map[string]func(f object){
		`model type Unigram has the vocabulary of another`:                                           func(f object) { model(f)["type"] = "Unigram" },
		`model type "WordPiece" is not supported`:                                                    func(f object) { model(f)["type"] = "WordPiece" },
		`pre_tokenizer "Split": behavior Isolated, pattern "(a+)+" is not one of the known patterns`: func(f object) { f["pre_tokenizer"] = split("(a+)+") },
		`merges[17]: "zqzq" is not in the vocabulary`:                                                func(f object) { model(f)["merges"].([]any)[17] = []any{"zqzq", "a"} },
		`merges[3]: "qz" is not in the vocabulary`:                                                   func(f object) { model(f)["merges"].([]any)[3] = "q z" },
		`merges[3]: "qz" is not two tokens`:                                                          func(f object) { model(f)["merges"].([]any)[3] = "qz" },
		`merges[3]: "" is not in the vocabulary`:                                                     func(f object) { model(f)["merges"].([]any)[3] = []any{"", "a"} },
		`merges[3]: 1 tokens, want two`:                                                              func(f object) { model(f)["merges"].([]any)[3] = []any{"q"} },
		`merges[3]: more than two tokens`:                                                            func(f object) { model(f)["merges"].([]any)[3] = []any{"q", "r", "s"} },
		`id 5 is used by "\"" and "new"`:                                                             func(f object) { vocab(f)["new"] = 5 },
		`token "new": id 900, want less than the number of tokens, `:                                 func(f object) { vocab(f)["new"] = 900 },
		`token "new": id -1, want 0 to 1048575`:                                                      func(f object) { vocab(f)["new"] = -1 },
		`token "new": id 1048576, want 0 to 1048575`:                                                 func(f object) { vocab(f)["new"] = 1 << 20 },
		`got 1.5, want an integer`:                                                                   func(f object) { vocab(f)["new"] = 1.5 },
		`token "a b" (id `:                                                                           func(f object) { vocab(f)["a b"] = len(vocab(f)) },
		`is not byte-level text`:                                                                     func(f object) { vocab(f)["日本"] = len(vocab(f)) },
		`a token is empty`:                                                                           func(f object) { vocab(f)[""] = 7 },
		`has 4097 bytes, limit 4096`:                                                                 func(f object) { vocab(f)[strings.Repeat("a", 4097)] = len(vocab(f)) },
		`byte 0x61 has no token ("a")`:                                                               func(f object) { delete(vocab(f), "a"); vocab(f)["zz"] = 68; model(f)["merges"] = []any{} },
		`token "<|pad|>" has id 0 in the vocabulary and 9 in added_tokens`:                           func(f object) { added(f)["id"] = 9 },
		`token "<|x|>": id -7, want 0 to`:                                                            func(f object) { added(f)["id"] = -7; added(f)["content"] = "<|x|>" },
		`token "<|user|>" appears twice`:                                                             func(f object) { added(f)["content"], added(f)["id"] = "<|user|>", 1 },
		`added_tokens[0]: want an id and a content`:                                                  func(f object) { delete(added(f), "id") },
		`added token "<|pad|>": lstrip: want true or false`:                                          func(f object) { added(f)["lstrip"] = "yes" },
		`normalizer "BertNormalizer" is not supported, want Lowercase, NFC,`:                         func(f object) { f["normalizer"] = object{"type": "BertNormalizer"} },
		`normalizer "Replace": pattern "a*" is not one of the known patterns`: func(f object) {
			f["normalizer"] = object{"type": "Replace", "pattern": object{"Regex": "a*"}, "content": ""}
		},
		`normalizer "Replace": want a pattern of kind`: func(f object) {
			f["normalizer"] = object{"type": "Replace", "pattern": object{"String": ""}, "content": ""}
		},
		`normalizer "Precompiled": precompiled_charsmap: cut short`:      func(f object) { f["normalizer"] = object{"type": "Precompiled", "precompiled_charsmap": "AAEAAA=="} },
		`normalizer "Precompiled": precompiled_charsmap: illegal base64`: func(f object) { f["normalizer"] = object{"type": "Precompiled", "precompiled_charsmap": "?"} },
		`normalizer "Strip": want strip_left and strip_right`:            func(f object) { f["normalizer"] = object{"type": "Strip"} },
		`Sequence: normalizers: want an array`:                           func(f object) { f["normalizer"] = object{"type": "Sequence"} },
		`are the same when they are normalized`: func(f object) {
			f["normalizer"] = object{"type": "Lowercase"}
			for i, content := range []string{"X", "x"} {
				f["added_tokens"] = append(f["added_tokens"].([]any), object{"id": len(vocab(f)) + i, "content": content + "yz", "normalized": true})
			}
		},
		`nothing is left when it is normalized`: func(f object) {
			f["normalizer"] = object{"type": "StripAccents"}
			f["added_tokens"] = append(f["added_tokens"].([]any), object{"id": len(vocab(f)), "content": "\u0301", "normalized": true})
		},
		`pre_tokenizer "Whitespace" is not supported, want ByteLevel, Digits,`: func(f object) { f["pre_tokenizer"] = object{"type": "Whitespace"} },
		`decoder ByteLevel without pre_tokenizer ByteLevel is not supported`:   func(f object) { f["pre_tokenizer"] = nil },
		`decoder "WordPiece" beside pre_tokenizer ByteLevel is not supported`:  func(f object) { f["decoder"] = object{"type": "WordPiece"} },
		`model: byte_fallback beside pre_tokenizer ByteLevel is not supported`: func(f object) { model(f)["byte_fallback"] = true },
		`model: dropout is not supported`:                                      func(f object) { model(f)["dropout"] = 0.1 },
		`model: continuing_subword_prefix is not supported`:                    func(f object) { model(f)["continuing_subword_prefix"] = "##" },
		`"model" is missing`: func(f object) { delete(f, "model") },
		`pre_tokenizer "Digits": individual_digits: want true or false`: func(f object) { f["pre_tokenizer"] = object{"type": "Digits", "individual_digits": 1} },
		`pre_tokenizer "Digits" behind ByteLevel is not supported`: func(f object) {
			f["pre_tokenizer"] = object{"type": "Sequence", "pretokenizers": []any{f["pre_tokenizer"], object{"type": "Digits", "individual_digits": false}}}
		},
		`pre_tokenizer "Metaspace": prepend_scheme often: want "always"`: func(f object) {
			f["pre_tokenizer"] = object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "often"}
		},
		`pre_tokenizer "Metaspace": replacement: want one character`: func(f object) { f["pre_tokenizer"] = object{"type": "Metaspace", "replacement": ""} },
		`prepend_scheme "first" and add_prefix_space false contradict`: func(f object) {
			f["pre_tokenizer"] = object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "add_prefix_space": false}
		},
		`pre_tokenizer "Split": invert is not supported`: func(f object) {
			f["pre_tokenizer"] = object{"type": "Split", "pattern": object{"String": " "}, "behavior": "Isolated", "invert": true}
		},
		`pre_tokenizer "Split": behavior "Removed": want "Isolated"`: func(f object) {
			f["pre_tokenizer"] = object{"type": "Split", "pattern": object{"String": " "}, "behavior": "Removed", "invert": false}
		},
		`pre_tokenizer "Punctuation": behavior Removed: want`: func(f object) { f["pre_tokenizer"] = object{"type": "Punctuation", "behavior": "Removed"} },
		`post_processor "Other" is not supported`:             func(f object) { f["post_processor"] = object{"type": "Other"} },
		`post_processor: token "<s>" is not in the vocabulary`: func(f object) {
			f["post_processor"] = object{"type": "BertProcessing", "cls": []any{"<s>", 1}, "sep": []any{"</s>", 2}}
		},
		`post_processor "RobertaProcessing": cls: want a token and its id`: func(f object) { f["post_processor"] = object{"type": "RobertaProcessing"} },
		`unk_token "<none>" is not in the vocabulary`:                      func(f object) { withoutBytes(f); model(f)["unk_token"] = "<none>" },
		`Sequence: pretokenizers: want an array`:                           func(f object) { f["pre_tokenizer"] = object{"type": "Sequence"} },
		`behavior Removed, pattern "(?i:'s|'t|'re|'ve|'m|'ll|'d)|`: func(f object) {
			f["pre_tokenizer"] = split(patternQwen2)
			f["pre_tokenizer"].(object)["pretokenizers"].([]any)[0].(object)["behavior"] = "Removed"
		},
		`is a special token`: func(f object) { // "ab" would come out of plain text
			m := model(f)["merges"].([]any)
			first := m[0].([]any)
			added(f)["content"] = first[0].(string) + first[1].(string)
			added(f)["id"] = vocab(f)[added(f)["content"].(string)]
		},
	} {
		f := tinyFile(t)
		change(f)
		_, err := Parse(marshal(t, f))
		if err == nil || !strings.HasPrefix(err.Error(), "tokenizer.json: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant tokenizer.json: %s", err, want)
		}
	}
}

func TestBadTokenizerJSON(t *testing.T) {
	for want, text := range map[string]string{
		"got nothing, want object":                  "",
		"got array, want object":                    "[]",
		"not valid UTF-8":                           "{\"a\":\"\xff\"}",
		"unexpected end at byte":                    `{"model":{"vocab":{"a":1`,
		`key "model" appears twice`:                 `{"model":{},"model":{}}`,
		`token "a" appears twice`:                   `{"model":{"vocab":{"a":1,"a":2}}}`,
		"nested deeper than 32":                     `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}",
		"trailing bytes at byte 2":                  "{}x",
		"invalid Unicode escape at byte 6":          `{"x":"\ud800"}`,
		"control character in a string":             "{\"x\":\"a\nb\"}",
		"invalid number":                            `{"x":01}`,
		"invalid character 't'":                     `{"x":tru}`,
		"got 'x', want '}' at byte 6":               `{"a":1x}`,
		"got array, want object at byte":            `{"model":[]}`,
		`"vocab" is missing`:                        `{"model":{}}`,
		"model type Unigram without unk_id":         `{"model":{"vocab":[["a",-1.5]]}}`,
		"unk_id 1, but the vocabulary has 1 tokens": `{"model":{"unk_id":1,"vocab":[["a",-1.5]]}}`,
		"vocab[1]: token \"a\" appears twice":       `{"model":{"unk_id":0,"vocab":[["a",-1.5],["a",1]]}}`,
		"vocab[0]: want a token and a score":        `{"model":{"unk_id":0,"vocab":[["a"]]}}`,
		"vocab[0]: more than a token and a score":   `{"model":{"unk_id":0,"vocab":[["a",1,2]]}}`,
		"Unigram with merges":                       `{"model":{"unk_id":0,"vocab":[["a",1]],"merges":["a b"]}}`,
		"BPE with unk_id":                           `{"model":{"unk_id":0,"vocab":{"a":0}}}`,
		"decoder \"CTC\" is not supported":          `{"model":{"vocab":{"a":0}},"decoder":{"type":"CTC"}}`,
		"decoder \"Strip\": want one character":     `{"model":{"vocab":{"a":0}},"decoder":{"type":"Strip","content":" ","start":-1,"stop":0}}`,
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
}

// Two million entries are refused fast and without much memory.
func TestTokenizerLimits(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"model":{"type":"BPE","vocab":{`)
	for i := range 2_000_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"t%d":%d`, i, i)
	}
	b.WriteString(`},"merges":[]}}`)
	file := []byte(b.String())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	_, err := Parse(file)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "vocabulary has more than 1048576 tokens") {
		t.Errorf("got %v", err)
	}
	if alloc := after.TotalAlloc - before.TotalAlloc; alloc > 512<<20 || took > 5*time.Minute {
		t.Errorf("%d bytes allocated, %v", alloc, took)
	}
	if _, err := Parse(make([]byte, MaxTokenizerFile+1)); err == nil || !strings.Contains(err.Error(), "67108865 bytes, limit 67108864") {
		t.Errorf("got %v", err)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); err == nil || !strings.HasSuffix(err.Error(), "tokenizer.json is missing, and so is tokenizer.model") {
		t.Errorf("empty directory: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none")); err == nil {
		t.Error("no file: no error")
	}
	path := filepath.Join(dir, "tokenizer.json")
	os.WriteFile(path, []byte("[]"), 0o600)
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), path+": got array, want object") {
		t.Errorf("array: %v", err)
	}
	if _, err := Load("/dev/null"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("device: %v", err)
	}
	if err := tinyTokenizer(t).Save(filepath.Join(dir, "no", "such", "folder")); err == nil {
		t.Error("saved into nowhere")
	}
}

// Merges as strings, a Sequence of NFC, an added token in the vocabulary, ByteLevel with its own pattern.
func TestAcceptedForms(t *testing.T) {
	f := tinyFile(t)
	m := f["model"].(object)
	merges := m["merges"].([]any)
	for i, p := range merges {
		merges[i] = p.([]any)[0].(string) + " " + p.([]any)[1].(string)
	}
	delete(m, "type")
	f["normalizer"] = object{"type": "Sequence", "normalizers": []any{object{"type": "NFC"}}}
	tok, err := Parse(marshal(t, f))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Decode(tok.Encode("e\u0301")); got != "é" {
		t.Errorf("NFC gives %+q", got)
	}
	saveAndCompare(t, tok)
	f["pre_tokenizer"] = object{"type": "ByteLevel", "add_prefix_space": false}
	if tok, err = Parse(marshal(t, f)); err != nil || !slices.Equal(tok.Pieces("a 1234\n\nb"), []string{"a", " 1234", "\n", "\n", "b"}) {
		t.Errorf("ByteLevel: %v", err)
	}
}

// A special token in the vocabulary is not reached from plain text even where the whole piece spells it.
func TestIgnoreMergesSkipsSpecial(t *testing.T) {
	f := tinyFile(t)
	m := f["model"].(object)
	m["ignore_merges"] = true
	id := len(m["vocab"].(object))
	m["vocab"].(object)["==>>"] = id
	m["vocab"].(object)["==<<"] = id + 1
	f["added_tokens"] = append(f["added_tokens"].([]any), object{"id": id, "content": "==>>", "special": true})
	tok, err := Parse(marshal(t, f))
	if err != nil {
		t.Fatal(err)
	}
	if ids := tok.Encode("==>>"); len(ids) != 4 {
		t.Errorf("plain text becomes %v", ids)
	}
	if ids := tok.Encode("==<<"); len(ids) != 1 || int(ids[0]) != id+1 {
		t.Errorf("ignore_merges: %v", ids)
	}
	if ids := tok.EncodeSpecial("a==>>"); len(ids) != 2 || int(ids[1]) != id {
		t.Errorf("EncodeSpecial: %v", ids)
	}
}

// withoutBytes takes the two bytes of α out of a vocabulary.
func withoutBytes(f object) {
	m := f["model"].(object)
	vocab := m["vocab"].(object)
	for i, b := range []byte{0xCE, 0xB1} { // their ids go to new tokens, so that there is no gap
		spelled := string(byteRune(b))
		vocab[[]string{"<unk>", "Ġzz"}[i]] = vocab[spelled]
		delete(vocab, spelled)
	}
}

// SmolLM2's vocabulary lacks 21 bytes: no model of that family could be opened. The ids are those of tokenizers 0.23.
func TestMissingBytes(t *testing.T) {
	text := "the αcαat"
	for _, c := range []struct {
		unk  any
		fuse bool
		want string // <unk> is a token of its own between the others
	}{
		{nil, false, "the cat"},
		{nil, true, "the cat"},
		{"<unk>", false, "the <unk><unk>c<unk><unk>at"},
		{"<unk>", true, "the <unk>c<unk>at"},
	} {
		f := tinyFile(t)
		withoutBytes(f)
		m := f["model"].(object)
		m["unk_token"], m["fuse_unk"] = c.unk, c.fuse
		f["pre_tokenizer"] = object{"type": "ByteLevel", "add_prefix_space": false}
		tok, err := Parse(marshal(t, f))
		if err != nil {
			t.Fatal(err)
		}
		unk, _ := tok.ID("<unk>")
		var want []int32
		for i, part := range strings.Split(c.want, "<unk>") {
			if i > 0 {
				want = append(want, unk)
			}
			want = append(want, tok.Encode(part)...)
		}
		if got := tok.Encode(text); !slices.Equal(got, want) {
			t.Errorf("unk %v, fuse %v: got %v, want %v", c.unk, c.fuse, got, want)
		}
		saveAndCompare(t, tok)
	}
}

// A piece that is a token as a whole is looked up before its unknown bytes are left out: what is left is no whole.
func TestMissingBytesIgnoreMerges(t *testing.T) {
	f := tinyFile(t)
	withoutBytes(f)
	m := f["model"].(object)
	m["ignore_merges"] = true
	zz, _ := m["vocab"].(object)["Ġzz"].(float64)
	tok, err := Parse(marshal(t, f))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode(" zz"); len(got) != 1 || got[0] != int32(zz) {
		t.Errorf("a whole: %v", got)
	}
	if got := tok.Encode(" zαz"); len(got) != 3 {
		t.Errorf("a whole with a byte between: %v", got)
	}
}

// Digits in front of ByteLevel, as SmolLM has it: a number is a piece, and the pattern sees what lies between numbers.
func TestDigits(t *testing.T) {
	f := tinyFile(t)
	f["pre_tokenizer"] = object{"type": "Sequence", "pretokenizers": []any{object{"type": "Digits", "individual_digits": true}, object{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}}}
	tok, err := Parse(marshal(t, f))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"a 12  3":     {"a", " ", "1", "2", "  ", "3"},
		"x²½ Ⅷ it's9": {"x", "²", "½", " ", "Ⅷ", " it", "'s", "9"},
		"12":          {"1", "2"},
		"":            {},
	} {
		if got := tok.Pieces(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	saveAndCompare(t, tok)
}
