package record_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"

	"criticrm/record"
	"criticrm/record/recordtest"
	"criticrm/tokenizer"
)

func TestFormats(t *testing.T) {
	user := func(s string) []tokenizer.Message { return []tokenizer.Message{{Role: "user", Content: s}} }
	for _, c := range []struct {
		name, row string
		format    *record.Schema
		want      record.Record
		out       string // empty: equal to row
	}{
		{"ours", `{"id":"a","prompt":"p","chosen":"c","rejected":"r","margin":0.5}`, &record.Pairs,
			record.Record{ID: "a", Prompt: record.Prompt{Text: "p"}, Chosen: "c", Rejected: "r", Margin: new(0.5)}, ""},
		{"prompt messages", `{"id":7,"prompt":[{"role":"system","content":"s"},{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`, &record.Pairs,
			record.Record{ID: "7", Prompt: record.Prompt{Messages: []tokenizer.Message{{Role: "system", Content: "s"}, {Role: "user", Content: "p"}}}, Chosen: "c", Rejected: "r"}, ""},
		{"unknown fields keep their place", `{"z":[1,{"y":null}],"prompt":"p","x":1e2,"chosen":"c","rejected":"r","subset":"s","id":"i","last":"\u00e9"}`, &record.Pairs,
			record.Record{ID: "i", Prompt: record.Prompt{Text: "p"}, Chosen: "c", Rejected: "r", Subset: "s"}, ""},
		{"conversations", `{"id":"a","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`, &record.Conversations,
			record.Record{ID: "a", Prompt: record.Prompt{Messages: user("p")}, Chosen: "c", Rejected: "r"},
			`{"id":"a","chosen":"c","rejected":"r","prompt":[{"role":"user","content":"p"}]}`},
		{"conversations with prompt text repeated", `{"id":"a","prompt":"p","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`, &record.Conversations,
			record.Record{ID: "a", Prompt: record.Prompt{Messages: user("p")}, Chosen: "c", Rejected: "r"},
			`{"id":"a","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`},
		{"explicit prompt messages", `{"id":"a","prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}`, &record.Conversations,
			record.Record{ID: "a", Prompt: record.Prompt{Messages: user("p")}, Chosen: "c", Rejected: "r"},
			`{"id":"a","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`},
		{"CLoud keeps every item", `{"id":"a","prompt":"p","chosen":"c","rejected":"r","chosen_feedback":["good","fine"],"rejected_feedback":"bad"}`, &record.CLoud,
			record.Record{ID: "a", Prompt: record.Prompt{Text: "p"}, Chosen: "c", Rejected: "r",
				ChosenCritiques:   []record.Critique{{Text: "good", Origin: record.OriginGiven}, {Text: "fine", Origin: record.OriginGiven}},
				RejectedCritiques: []record.Critique{{Text: "bad", Origin: record.OriginGiven}}},
			`{"id":"a","prompt":"p","chosen":"c","rejected":"r","chosen_critiques":[{"text":"good","origin":"given"},{"text":"fine","origin":"given"}],"rejected_critiques":[{"text":"bad","origin":"given"}]}`},
		{"dialogues", `{"id":"a","chosen":"\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: p\n\nAssistant: c","rejected":"\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: p\n\nAssistant: r"}`, &record.Dialogues,
			record.Record{ID: "a", Prompt: record.Prompt{Messages: append(user("hi"), tokenizer.Message{Role: "assistant", Content: "yes?"}, tokenizer.Message{Role: "user", Content: "p"})}, Chosen: "c", Rejected: "r"},
			`{"id":"a","chosen":"c","rejected":"r","prompt":[{"role":"user","content":"hi"},{"role":"assistant","content":"yes?"},{"role":"user","content":"p"}]}`},
		{"labelled response", `{"prompt":"p","response":"x","correct":false,"critique":"bad","critique_correct":true,"id":"a","reference":"q"}`, &record.Responses,
			record.Record{ID: "a", Prompt: record.Prompt{Text: "p"}, Response: new("x"), Correct: new(false), Critiques: []record.Critique{{Text: "bad", Origin: record.OriginGiven, Correct: new(true)}}},
			`{"prompt":"p","response":"x","correct":false,"id":"a","reference":"q","critiques":[{"text":"bad","origin":"given","correct":true}]}`},
		{"unpaired TRL", `{"id":"a","prompt":"p","completion":"x","label":true}`, &record.Responses,
			record.Record{ID: "a", Prompt: record.Prompt{Text: "p"}, Response: new("x"), Correct: new(true)},
			`{"id":"a","prompt":"p","response":"x","correct":true}`},
		{"system text", `{"system":"s","prompt":"p","chosen":"c","rejected":"r","id":"a","tools":null,"input":""}`, &record.Pairs,
			record.Record{ID: "a", Prompt: record.Prompt{Messages: append([]tokenizer.Message{{Role: "system", Content: "s"}}, user("p")...)}, Chosen: "c", Rejected: "r"},
			`{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"p"}],"chosen":"c","rejected":"r","id":"a","tools":null,"input":""}`},
		{"text", `{"id":"a","text":"","x":1}`, &record.Text, record.Record{ID: "a", Document: &record.Document{}}, ""},
		{"text with a number", `{"text":"t","id":4}`, &record.Text, record.Record{ID: "4", Document: &record.Document{Text: "t"}}, ""},
		{"input_ids", `{"id":"a","input_ids":[1,2],"weights":[0,1.5]}`, &record.Tokens,
			record.Record{ID: "a", Document: &record.Document{IDs: []int32{1, 2}, Weights: []float32{0, 1.5}}}, ""},
		{"messages", `{"id":"a","messages":[{"role":"user","content":"p"}]}`, &record.Messages, record.Record{ID: "a", Document: &record.Document{Messages: user("p")}}, ""},
		{"all our fields", `{"id":"a","prompt":"p","chosen":"c","rejected":"r","chosen_critiques":[{"text":"t","score":7,"finish_reason":"stop","kept":true,"rank":1,"meta":[8,9.5],"reward":-0.1,"logprob":-3.25,"tokens":[5,4],"mine":{"a":1}}],"rejected_critiques":[{"text":"","kept":false,"reason":"score not parsed"}],"critic":{"model":"m","prompts":"h","sampling":{"temperature":0.7,"top_p":0.9,"top_k":0,"max_tokens":5,"seed":18446744073709551615,"reward":false}},"dropped":"x","chosen_reward":0.3333333333333333,"rejected_reward":-1e-09}`, &record.Pairs,
			record.Record{ID: "a", Prompt: record.Prompt{Text: "p"}, Chosen: "c", Rejected: "r",
				ChosenCritiques:   []record.Critique{{Text: "t", Score: new(7.0), FinishReason: "stop", Kept: new(true), Rank: 1, Meta: []float64{8, 9.5}, Reward: new(float32(-0.1)), LogProb: -3.25, Tokens: []int32{5, 4}}},
				RejectedCritiques: []record.Critique{{Kept: new(false), Reason: "score not parsed"}},
				ChosenReward:      new(1.0 / 3), RejectedReward: new(-1e-9), Dropped: "x",
				Critic: &record.CriticInfo{Model: "m", Prompts: "h", Sampling: record.Sampling{Temperature: 0.7, TopP: 0.9, MaxTokens: 5, Seed: math.MaxUint64}}},
			""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := record.NewReader(strings.NewReader(c.row), "f", record.ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if r.Schema != c.format {
				t.Errorf("format %v, want %v", r.Schema, c.format)
			}
			want := c.want
			want.File, want.Line = "f", 1
			if d := cmp.Diff(want, *got, cmpopts.IgnoreUnexported(record.Record{}, record.Critique{})); d != "" {
				t.Errorf("record (-want +got):\n%s", d)
			}
			again, err := record.ParseRecord([]byte(c.row))
			if err != nil {
				t.Fatal(err)
			}
			out := recordtest.JSON(t, again)
			if c.out == "" {
				c.out = c.row
			}
			if out != c.out {
				t.Errorf("written\n%s\nwant\n%s", out, c.out)
			}
			third, err := record.ParseRecord([]byte(out))
			if err != nil {
				t.Fatalf("reading it back: %v", err)
			}
			if twice := recordtest.JSON(t, third); twice != out {
				t.Errorf("second round trip\n%s\nwant\n%s", twice, out)
			}
		})
	}
}

// good is a valid row for files whose other rows are bad.
const good = `{"id":"g","prompt":"p","chosen":"c","rejected":"r"}`

func TestBadRows(t *testing.T) {
	deep := strings.Repeat("[", 32) + strings.Repeat("]", 32)
	for _, c := range []struct{ name, file, want string }{
		{"56 empty", "", "f: no examples"},
		{"56 only blank lines", "\n\n", "f: no examples"},
		{"57 not JSON", good + "\n" + good + "\n{\"id\": x}", "f:3@7: invalid character 'x'"},
		{"57 not an object", "7", "f:1@0: got number, want object"},
		{"array file", "[{}]", "f:1: row 1: no known layout"},
		{"array of others", "[\n 7]", "f:2@1: row 1: got number, want object"},
		{"59 UTF-16 with mark", "\xff\xfe{\x00", "looks like UTF-16"},
		{"59 UTF-16 bare", "{\x00\"\x00", "looks like UTF-16"},
		{"59 mark inside", good + "\n\ufeff" + good, "f:2@0: invalid character '\\ufeff'"},
		{"59 bad UTF-8", `{"prompt":"` + "\xff" + `"}`, "f:1@11: not valid UTF-8"},
		{"55 lone surrogate", `{"prompt":"\ud800x"}`, "f:1@11: invalid Unicode escape"},
		{"55 low surrogate first", `{"prompt":"\udc00"}`, "invalid Unicode escape"},
		{"55 high twice", `{"prompt":"\ud800\ud800"}`, "invalid Unicode escape"},
		{"60 lone CR", "{\"prompt\":\r\"p\"}", "f:1@10: lone carriage return"},
		{"61 cut", good + "\n" + good[:20], "f:2: line is cut off (unexpected end)"},
		{"61 cut in the middle of the file", good[:20] + "\n" + good, "f:1@20: unexpected end"},
		{"62 key missing", `{"prompt":"p","chosen":"c"}`, `f:1: key "rejected" is missing`},
		{"62 wrong case", `{"prompt":"p","chosen":"c","Rejected":"r"}`, `key "rejected" is missing (found "Rejected": keys are case-sensitive)`},
		{"a critic's unknown setting", `{"prompt":"p","chosen":"c","rejected":"r","critic":{"prompts":"h","sampling":{},"mode":1}}`, `"critic": not the settings of a critic (unknown field "mode")`},
		{"over several lines", "{\n  \"prompt\": \"p\"\n}", "f:1: row 1: "},
		{"wrong case of a document", `{"Text":"words"}`, `key "text" is missing (found "Text": keys are case-sensitive)`},
		{"null before a completion", `{"prompt":null,"completion":"c"}`, `"prompt": got null, want a value`},
		{"62 equal", `{"prompt":"p","chosen":"c","rejected":"c"}`, `f: no examples (set aside: 1 with two equal responses)`},
		{"62 label", `{"prompt":"p","completion":"c","label":"yes"}`, `"label": got string, want true or false`},
		{"62 huge number", `{"prompt":"p","chosen":"c","rejected":"r","margin":1e999}`, "f:1@51: number 1e999 is out of range"},
		{"62 NaN", `{"prompt":"p","margin":NaN}`, "f:1@23: NaN is no value in JSON"},
		{"62 margin text", `{"prompt":"p","chosen":"c","rejected":"r","margin":"1"}`, `"margin": got string, want a finite number`},
		{"63 empty", `{"prompt":" \n","chosen":"c","rejected":"r"}`, `"prompt" is empty`},
		{"63 empty response", `{"prompt":"p","chosen":"c","rejected":"\t"}`, `"rejected" is empty`},
		{"null", `{"prompt":null,"chosen":"c","rejected":"r"}`, `"prompt": got null, want a value`},
		{"type", `{"prompt":"p","chosen":1,"rejected":"r"}`, `"chosen": got number, want string`},
		{"duplicate key", `{"prompt":"p","a":1,"a":2}`, `f:1@20: key "a" appears twice`},
		{"duplicate key by escape", `{"prompt":"p","a":1,"\u0061":2}`, `key "a" appears twice`},
		{"duplicate key below", `{"prompt":"p","x":[{"a":1,"a":2}]}`, `key "a" appears twice`},
		{"trailing bytes", good + good, "f:1@51: unexpected '{'"},
		{"depth", `{"prompt":"p","x":` + deep + `}`, "nested deeper than 32"},
		{"control character", "{\"prompt\":\"a\x01\"}", "control character in a string"},
		{"leading zero", `{"prompt":01}`, `invalid number "01"`},
		{"bad escape", `{"prompt":"\x"}`, "f:1@11: invalid escape"},
		{"mixed formats", good + "\n" + `{"prompt":"p","response":"x"}`, "f:2: row is prompt/response, the file began with prompt/chosen/rejected"},
		{"role", `{"prompt":[{"role":"tool","content":"p"}],"chosen":"c","rejected":"r"}`, `"prompt[0]": role "tool"`},
		{"message key", `{"prompt":[{"role":"user","content":"p","tool_calls":[]}],"chosen":"c","rejected":"r"}`, `key "tool_calls" is not supported`},
		{"two answers", `{"chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"},{"role":"user","content":"x"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`, "got 2 messages after 1 shared"},
		{"prompt differs", `{"prompt":"q","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`, `"prompt" differs`},
		{"a list of texts", `{"prompt":"p","chosen":["a"],"rejected":["b"]}`, `"chosen" is a list of texts: want one text, or messages`},
		{"token id", `{"prompt":"p","chosen":"c","rejected":"r","chosen_critiques":[{"text":"t","tokens":[1,2.5]}]}`, `item 1 is 2.5, want a token id`},
		{"critique text", `{"prompt":"p","chosen":"c","rejected":"r","chosen_critiques":[{"score":1}]}`, `chosen_critiques[0]: key "text" is missing`},
		{"tools", `{"prompt":"p","chosen":"c","rejected":"r","tools":[{"name":"x"}]}`, `"tools" is part of what the model is asked in other programs and is not read here`},
		{"history", `{"prompt":"p","response":"c","history":[["a","b"]]}`, `"history" is part of what`},
		{"another system text", `{"system":"a","prompt":[{"role":"system","content":"b"},{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`, `"system" differs`},
		{"system number", `{"system":1,"prompt":"p","chosen":"c","rejected":"r"}`, `"system": got number, want string`},
		{"document twice", `{"text":"a","text":"b"}`, `f:1@12: key "text" appears twice`},
		{"document in two ways", `{"text":"a","messages":[{"role":"user","content":"p"}]}`, "found 2 of them"},
		{"document role", `{"messages":[{"role":"tool","content":"p"}]}`, `"messages[0]": role "tool"`},
		{"document ids", `{"input_ids":[1,-2]}`, "item 1 is -2, want a token id"},
		{"document without ids", `{"input_ids":[]}`, `"input_ids" is empty`},
		{"document weights", `{"input_ids":[1,2],"weights":[1]}`, "weights has 1 numbers, input_ids 2"},
		{"document weight", `{"input_ids":[1,2],"weights":[1,-1]}`, "weights[1] is -1, want a number from 0"},
		{"id", `{"id":1.5,"prompt":"p","chosen":"c","rejected":"r"}`, `"id": got number, want string or integer`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := record.NewReader(strings.NewReader(c.file), "f", record.ReadOptions{})
			for err == nil {
				_, err = r.Next()
			}
			recordtest.WantError(t, err, c.want)
		})
	}
}

func TestLineEndsAndNotes(t *testing.T) {
	for _, c := range []struct {
		name, file  string
		rows, blank int
	}{
		{"CRLF", good + "\r\n" + good + "\r\n", 2, 0},
		{"no newline at the end", good + "\n" + good, 2, 0},
		{"blank lines at the end", good + "\n\n \r\n", 1, 0},
		{"blank line inside", good + "\n\n" + good + "\n\n", 2, 1},
		{"mark at the start", "\ufeff" + good, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := record.NewReader(strings.NewReader(c.file), "f", record.ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err := range r.Records() {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != c.rows || r.Blank != c.blank || (len(r.Lines()) > 0) != (strings.HasPrefix(c.file, "\ufeff") || c.blank > 0) {
				t.Errorf("%d rows, %d blank, notes %v; want %d, %d", n, r.Blank, r.Lines(), c.rows, c.blank)
			}
		})
	}
}

func TestMaxBad(t *testing.T) {
	file := good + "\n{]\n" + good + "\n" + `{"prompt":"p","chosen":"c","rejected":" "}` + "\n" + good + "\n"
	r, _ := record.NewReader(strings.NewReader(file), "f", record.ReadOptions{MaxBad: 2})
	n := 0
	for _, err := range r.Records() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3 || len(r.Bad) != 2 {
		t.Errorf("%d rows and %d bad ones, want 3 and 2", n, len(r.Bad))
	}
	r, _ = record.NewReader(strings.NewReader(file), "f", record.ReadOptions{MaxBad: 1})
	var err error
	for err == nil {
		_, err = r.Next()
	}
	recordtest.WantError(t, err, "f:4: \"rejected\" is empty")
}

func TestLimits(t *testing.T) {
	row := func(n int) string { // a row of exactly n bytes
		const frame = `{"prompt":"p","chosen":"c","rejected":""}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("r", n-len(frame))+`"`, 1)
	}
	read := func(s string, o record.ReadOptions) error {
		r, err := record.NewReader(strings.NewReader(s), "f", o)
		for err == nil {
			_, err = r.Next()
		}
		return err
	}
	for _, end := range []string{"", "\n", "\r\n"} {
		if err := read(row(100)+end, record.ReadOptions{MaxLine: 100}); err != io.EOF {
			t.Errorf("line at the limit, end %q: %v", end, err)
		}
		recordtest.WantError(t, read(row(101)+end, record.ReadOptions{MaxLine: 100}), "f:1: line is longer than 100 bytes")
	}
	for _, n := range []int{101, 102, 5000, 60_000} { // a line that is too long is one bad row, and the next one is read
		for _, end := range []string{"\n", "\r\n"} {
			r, err := record.NewReader(strings.NewReader(row(90)+end+row(n)+end+row(91)), "f", record.ReadOptions{MaxLine: 100, MaxBad: 1})
			var ids []string
			for err == nil {
				var rec *record.Record
				if rec, err = r.Next(); err == nil {
					ids = append(ids, rec.ID)
				}
			}
			if err != io.EOF || strings.Join(ids, " ") != "row-1 row-3" || len(r.Bad) != 1 || !strings.Contains(r.Bad[0].Error(), "f:2: line is longer than 100 bytes") {
				t.Errorf("%d bytes: %v, %v, %v", n, ids, r.Bad, err)
			}
		}
	}
	if err := read(row(90)+"\n"+row(1<<20), record.ReadOptions{MaxLine: 100, MaxBad: 1}); err == io.EOF {
		t.Error("a line without bound is read to its end")
	}
	if err := read(row(16<<20), record.ReadOptions{MaxText: 16 << 20}); err != io.EOF {
		t.Errorf("16 MiB line: %v", err)
	}
	recordtest.WantError(t, read(row(17<<20), record.ReadOptions{}), "line is longer than 16777216 bytes")
	text := strings.Repeat("r", 8<<20)
	frame := `{"prompt":"p","chosen":"c","rejected":"R"}`
	if err := read(strings.Replace(frame, "R", text, 1), record.ReadOptions{}); err != io.EOF {
		t.Errorf("8 MiB text: %v", err)
	}
	recordtest.WantError(t, read(strings.Replace(frame, "R", text+"r", 1), record.ReadOptions{}), `"rejected": text is 8388609 bytes, limit 8388608`)
	if err := read(good+"\n", record.ReadOptions{MaxBytes: int64(len(good) + 1)}); err != io.EOF {
		t.Error(err)
	}
	recordtest.WantError(t, read(good+"\n", record.ReadOptions{MaxBytes: int64(len(good))}), "decompresses to more than")
	inner := strings.Repeat("[", 31) + strings.Repeat("]", 31)
	if err := read(`{"prompt":"p","chosen":"c","rejected":"r","x":`+inner+`}`, record.ReadOptions{}); err != io.EOF {
		t.Errorf("depth 32: %v", err)
	}
	start := time.Now() // linear time on hostile text
	if err := read(strings.Replace(frame, "R", strings.Repeat("^", 1<<20)+strings.Repeat("e\u0301", 1<<20)+`\u0000`, 1), record.ReadOptions{}); err != io.EOF {
		t.Error(err)
	}
	if d := time.Since(start); d > 5*time.Minute {
		t.Errorf("hostile text took %v", d)
	}
}

func TestCompressed(t *testing.T) {
	var z, g, plain bytes.Buffer
	content := recordtest.Lines(200)
	zw, _ := zstd.NewWriter(&z)
	io.WriteString(zw, content)
	zw.Close()
	gw := gzip.NewWriter(&g)
	io.WriteString(gw, content)
	gw.Close()
	zw, _ = zstd.NewWriter(&plain, zstd.WithEncoderCRC(false))
	io.WriteString(zw, content)
	zw.Close()
	for name, b := range map[string][]byte{"zst": z.Bytes(), "gz": g.Bytes()} {
		records, err := record.ReadFile(recordtest.File(t, "a.jsonl."+name, string(b)), record.ReadOptions{})
		if err != nil || len(records) != 200 || records[199].ID != "r199" {
			t.Errorf("%s: %d records, %v", name, len(records), err)
		}
		_, err = record.ReadFile(recordtest.File(t, "cut", string(b[:len(b)-9])), record.ReadOptions{})
		recordtest.WantError(t, err, "cannot be read: unexpected EOF")
		bad := bytes.Clone(b)
		bad[len(bad)/2] ^= 1
		if _, err = record.ReadFile(recordtest.File(t, "bad", string(bad)), record.ReadOptions{}); err == nil {
			t.Errorf("%s: a flipped bit was not noticed", name)
		}
	}
	// A frame may follow another one: what the second lacks was not seen.
	skippable := "\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
	for _, c := range []struct {
		name, file string
		rows       int
		want       string
	}{
		{"with a checksum", z.String(), 200, ""},
		{"without", plain.String(), 200, "zstd without a checksum"},
		{"behind one that has it", z.String() + plain.String(), 400, "zstd without a checksum"},
		{"two that have it", z.String() + z.String(), 400, ""},
		{"skippable", z.String() + skippable + z.String() + skippable, 400, "zstd: 2 skippable frames are not read"},
	} {
		in, err := record.Open(recordtest.File(t, "a", c.file), record.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range in.Records() {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		if notes := strings.Join(in.Notes, "|"); n != c.rows || !strings.HasPrefix(notes, c.want) || (notes == "") != (c.want == "") {
			t.Errorf("%s: %d records, %q", c.name, n, notes)
		}
		in.Close()
	}
	// A frame header that asks for a 512 MiB window, from RFC 8878: descriptor 0x04 (checksum), window byte 0x98.
	_, err := record.ReadFile(recordtest.File(t, "w", "\x28\xb5\x2f\xfd\x04\x98\x01\x00\x00"), record.ReadOptions{})
	recordtest.WantError(t, err, "needs a 512 MiB window, limit 8 MiB")
	var bomb bytes.Buffer
	zw, _ = zstd.NewWriter(&bomb)
	zw.Write(make([]byte, 64<<20))
	zw.Close()
	start := time.Now()
	_, err = record.ReadFile(recordtest.File(t, "b", bomb.String()), record.ReadOptions{})
	if err == nil || time.Since(start) > 5*time.Minute {
		t.Errorf("bomb: %v after %v", err, time.Since(start))
	}
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	_, err := record.Open(dir, record.ReadOptions{})
	recordtest.WantError(t, err, "is a folder without data files")
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Skip("no FIFO here: ", err)
	}
	_, err = record.Open(fifo, record.ReadOptions{})
	recordtest.WantError(t, err, "is not a regular file")
	_, err = record.Open("/dev/zero", record.ReadOptions{})
	recordtest.WantError(t, err, "is not a regular file")
	link := filepath.Join(dir, "link")
	os.Symlink(filepath.Join(dir, "nothing"), link)
	_, err = record.Open(link, record.ReadOptions{})
	recordtest.WantError(t, err, "no such file")
	if os.Geteuid() != 0 {
		secret := recordtest.File(t, "secret", good)
		os.Chmod(secret, 0)
		_, err = record.Open(secret, record.ReadOptions{})
		recordtest.WantError(t, err, "permission denied")
	}
}

func TestWriteRefuses(t *testing.T) {
	r := recordtest.Pair("a", nil, nil)
	r.ChosenReward = new(math.NaN())
	_, err := r.AppendJSON(nil)
	recordtest.WantError(t, err, `record: write record "a": number NaN is not finite`)
	r = recordtest.Pair("a", nil, nil)
	r.Chosen = "\xff"
	_, err = r.AppendJSON(nil)
	recordtest.WantError(t, err, "not valid UTF-8")
}

func TestEncodingJSON(t *testing.T) {
	var got struct{ Records []*record.Record }
	if err := json.Unmarshal([]byte(`{"records":[ {"prompt": "p",
		"chosen":"c","rejected":"r", "u": [1, 2]} ]}`), &got); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got.Records)
	if want := `[{"prompt":"p","u":[1,2],"chosen":"c","rejected":"r","id":"row-1"}]`; err != nil || len(b) != len(want) {
		t.Errorf("got %s, %v", b, err)
	}
	got.Records[0].SetExtra("u", json.RawMessage(`3`))
	if raw, ok := got.Records[0].Extra("u"); !ok || string(raw) != "3" {
		t.Errorf("extra field: %s", raw)
	}
	if err := json.Unmarshal([]byte(`{"records":[{"prompt":"p"}]}`), &got); err == nil {
		t.Error("a bad record was read")
	}
}

func TestKeptOrder(t *testing.T) {
	r := recordtest.Pair("a", recordtest.Scores(1, 2, 3), recordtest.Scores(1))
	if got := r.Kept(record.Chosen); len(got) != 3 {
		t.Errorf("undecided critiques: %d kept, want 3", len(got))
	}
	for i, rank := range []int{2, 0, 1} {
		r.ChosenCritiques[i].Decide("")
		if r.ChosenCritiques[i].Rank = rank; rank == 0 {
			r.ChosenCritiques[i].Decide("not among the best")
		}
	}
	got := r.Kept(record.Chosen)
	if len(got) != 2 || *got[0].Score != 3 || *got[1].Score != 1 {
		t.Errorf("kept %+v", got)
	}
	r.Dropped = "why"
	if r.Kept(record.Chosen) != nil {
		t.Error("a dropped record has critiques")
	}
}
