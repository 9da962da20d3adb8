package record_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	pq "github.com/parquet-go/parquet-go"

	"criticrm/record"
	"criticrm/record/recordtest"
)

// all gives the records of a text, what was found beside them, and the error that ended it.
func all(name, text string, o record.ReadOptions) (list []*record.Record, r *record.Reader, err error) {
	r, err = record.NewReader(strings.NewReader(text), name, o)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	for rec, err := range r.Records() {
		if err != nil {
			return list, r, err
		}
		list = append(list, rec)
	}
	return list, r, nil
}

// brief is a record in a line: id, place, texts.
func brief(r *record.Record) string {
	return fmt.Sprintf("%s %s %q %q %q", r.ID, r.Where(r.File), r.Prompt.String(), r.Chosen, r.Rejected)
}

func TestKindsOfText(t *testing.T) {
	const a, b = `{"prompt":"p","chosen":"c","rejected":"r"}`, `{"prompt":"q","chosen":"d","rejected":"s"}`
	for _, c := range []struct {
		name, text string
		want       []string // records, or an error
		notes      string
	}{
		{"array", "[" + a + ",\n " + b + "]\n", []string{`row-1 f:1 "p" "c" "r"`, `row-2 f:2 "q" "d" "s"`}, ""},
		{"array in an object", `{"version": "1, {\"x", "data": [` + a + "\n,\n" + b + `], "n": [1, {"data": 2}]}`, []string{`row-1 f:1 "p" "c" "r"`, `row-2 f:3 "q" "d" "s"`}, `beside "data", which has the rows, it holds what is not read: "version", "n"`},
		{"array in a line of its own", `{"rows":[` + a + `]}`, []string{`row-1 f:1 "p" "c" "r"`}, ""},
		{"lines that hold lists", `{"prompt":"p","chosen":"c","rejected":"r","items":[{"x":1}]}` + "\n" + b, []string{`row-1 f:1 "p" "c" "r"`, `row-2 f:2 "q" "d" "s"`}, `column "items" of 1 rows is not read`},
		{"objects over lines", "{\n \"prompt\": \"p\",\n \"chosen\": \"{\\\"\", \"rejected\": \"r\"}\n\n{\"prompt\": \"q\", \"chosen\": \"d\",\n\"rejected\": \"s\"\n}", []string{`row-1 f:1 "p" "{\"" "r"`, `row-2 f:5 "q" "d" "s"`}, ""},
		{"mark before an array", "\ufeff[" + a + "]", []string{`row-1 f:1 "p" "c" "r"`}, "byte order mark"},
		{"two lists", `{"train": [` + a + `], "test": [` + b + `]}`, []string{`row-1 f:1 "p" "c" "r"`, `f:1@64: has rows under "train" and under "test": write the ones`}, ""},
		{"by columns", `{"prompt":{"0":"p","1":"q"},` + "\n" + `"chosen":{"0":"c","1":"d"}}`, []string{"f: is a table by columns, want rows: with pandas"}, ""},
		{"no comma", "[" + a + "\n" + b + "]", []string{`row-1 f:1 "p" "c" "r"`, `f:2@0: got '{' behind row 1, want ',' or ']'`}, ""},
		{"comma at the end", "[" + a + ",]", []string{`row-1 f:1 "p" "c" "r"`, `f:1@44: got ']', want a row`}, ""},
		{"cut in an array", "[" + a + ",\n{\"prompt\":\"q", []string{`row-1 f:1 "p" "c" "r"`, `f:2@12: is cut off behind the beginning of row 2`}, ""},
		{"cut behind a row", "[" + a, []string{`row-1 f:1 "p" "c" "r"`, `is cut off behind the beginning of row 1`}, ""},
		{"cut in a wrapper", `{"data": [` + a + "]", []string{`row-1 f:1 "p" "c" "r"`, `is cut off behind the beginning of row 1`}, ""},
		{"more behind the end", "[" + a + "]\n7", []string{`row-1 f:1 "p" "c" "r"`, `f:2@0: got '7' behind the end`}, ""},
		{"a fault in a row", "[\n" + a + ",\n{\"prompt\": \"q\",\n \"chosen\": tru}]", []string{`row-1 f:2 "p" "c" "r"`, `f:4@11: row 2: invalid character 't'`}, ""},
		{"a key twice in a row", "[\n{\"prompt\": \"q\",\n \"prompt\": \"q\"}]", []string{`f:3@1: row 1: key "prompt" appears twice`}, ""},
		{"an empty array", "[]", []string{"f: no examples"}, ""},
		{"a damaged line is no document", "{\"prompt\":\"p\",\"chosen\":\"c\"\n" + a, []string{`f:1@26: unexpected end`}, ""},
		{"a cut text is no document", "{\"prompt\":\"p\n" + a, []string{`f:1@12: unexpected end`}, ""},

		{"csv", "prompt,chosen,rejected\np,c,r\n\"q, \"\"so\"\"\",\"d\r\ne\",s\n", []string{`row-2 f:2 "p" "c" "r"`, `row-3 f:3 "q, \"so\"" "d\r\ne" "s"`}, ""},
		{"csv of Excel and pandas", "\ufeff,prompt,chosen,rejected\r\n0,p,c,r\r\n\r\n1,q,d,s", []string{`row-2 f:2 "p" "c" "r"`, `row-4 f:4 "q" "d" "s"`}, "byte order mark"},
		{"semicolons", "prompt;chosen;rejected\np,p;c;r\n", []string{`row-2 f:2 "p,p" "c" "r"`}, ""},
		{"tsv", "prompt\tchosen\trejected\nan 8\" disk\t\"a\tb\"\tr\n", []string{`row-2 f:2 "an 8\" disk" "a\tb" "r"`}, ""},
		{"numbers and messages in cells", "id,prompt,chosen,rejected,margin\n7,\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"hi\"\"}]\",42,43, 1.50 \n8,p,c,r,\n", []string{`7 f:2 "hi" "42" "43"`, `8 f:3 "p" "c" "r"`}, ""},
		{"ragged", "prompt,chosen,rejected\np,c\n", []string{"f:2: cells: 2, and the header has 3 columns"}, ""},
		{"two columns of a name", "prompt,chosen,chosen\np,c,r\n", []string{`f:1: header: two columns are called "chosen"`}, ""},
		{"a column without a name", "prompt,chosen,\np,c,r\n", []string{`f:1: header: column 3 has no name`}, ""},
		{"text behind a mark", "prompt,chosen,rejected\np,\"c\"x,r\n", []string{"f:2: text behind a closing quotation mark"}, ""},
		{"a mark in a cell", "prompt,chosen,rejected\np,8\" disk,r\n", []string{"f:2: a quotation mark inside of an unquoted cell"}, ""},
		{"a mark that stays open", "prompt,chosen,rejected\np,\"c,r\np,c,r\n", []string{"f:2: a quotation mark is not closed"}, ""},
		{"Python's lists", "prompt,chosen,rejected\n\"[{'role': 'user', 'content': 'hi'}]\",c,r\n", []string{"f:2: a list in Python's writing"}, ""},
		{"another encoding", "prompt,chosen,rejected\np,caf\xe9,r\n", []string{`f:2: column "chosen": not valid UTF-8: save the file as UTF-8`}, ""},
		{"a header alone", "prompt,chosen,rejected\n", []string{"f: no examples"}, ""},
		{"empty cells", "prompt,chosen,rejected\np,,r\n", []string{`f:2: key "chosen" is missing`}, ""},
		{"old line ends", "prompt,chosen,rejected\rp,c,r\r", []string{"f:1@22: lone carriage return"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, r, err := all("f", c.text, record.ReadOptions{})
			var got []string
			for _, rec := range list {
				got = append(got, brief(rec))
			}
			if err != nil {
				got = append(got, err.Error())
			}
			same := len(got) == len(c.want)
			for i := range got {
				same = same && strings.HasPrefix(got[i], c.want[i]) || same && err != nil && i == len(got)-1 && strings.Contains(got[i], c.want[i])
			}
			if !same {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if err == nil && (c.notes == "") != (len(r.Lines()) == 0) && c.name != "csv of Excel and pandas" || err == nil && !strings.Contains(strings.Join(r.Lines(), "\n"), c.notes) {
				t.Errorf("notes %q, want %q", r.Lines(), c.notes)
			}
			// The same through each way of packing and in small pieces.
			if again, _, errs := all("f", packed(t, c.text), record.ReadOptions{}); len(again) != len(list) || fmt.Sprint(errs) != fmt.Sprint(err) {
				t.Errorf("packed: %d records, %v; unpacked %d, %v", len(again), errs, len(list), err)
			}
		})
	}
	list, _, err := all("f", "id,prompt,chosen,rejected,margin\n7,p,c,d,+1.50\n", record.ReadOptions{})
	if err != nil || list[0].Margin == nil || *list[0].Margin != 1.5 {
		t.Errorf("a margin in a cell: %v, %v", list, err)
	}
	if _, _, err := all("f", "prompt,chosen,rejected,margin\np,c,d,much\n", record.ReadOptions{}); err == nil || !strings.Contains(err.Error(), `f:2: "margin": got string, want a finite number`) {
		t.Error(err)
	}
	list, _, err = all("f", "asked;good;bad\np;c;d\n", record.ReadOptions{Layout: record.Layout{Columns: "prompt=asked,chosen=good,rejected=bad"}})
	if err != nil || len(list) != 1 || list[0].Chosen != "c" {
		t.Errorf("renamed columns: %v, %v", list, err)
	}
	if _, _, err := all("f.csv", "asked;good;bad\np;c;d\n", record.ReadOptions{}); err == nil || !strings.Contains(err.Error(), `no known column in the first line ("asked", "good", "bad")`) {
		t.Error(err)
	}
}

func packed(t testing.TB, text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Bad rows of each kind are passed over, and the next one is read.
func TestBadRowsOfKinds(t *testing.T) {
	for name, text := range map[string]string{
		"json": `[{"prompt":"p","chosen":"c","rejected":"r"}, 7, {"prompt":"p"}, {"prompt":"q","chosen":"c","rejected":"r"}]`,
		"csv":  "prompt,chosen,rejected\np,c,r\nx\n\"[{'a'\",b,c\nq,c,r\n",
	} {
		list, r, err := all(name, text, record.ReadOptions{MaxBad: 2})
		if err != nil || len(list) != 2 || list[1].Prompt.Text != "q" || len(r.Bad) != 2 {
			t.Errorf("%s: %d records, bad %v, %v", name, len(list), r, err)
		}
	}
	b, err := record.Bad([]error{&record.RowError{File: "f", Row: 12, At: -1, Msg: `"x": no`}})
	if want := `{"file":"f","row":12,"field":"x","reason":"\"x\": no"}` + "\n"; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

func TestRefusedKinds(t *testing.T) {
	for want, text := range map[string]string{
		"f: is a Git LFS pointer, which stands for a file that was not fetched: git lfs pull fetches it (123456 bytes, sha256 4cac19622fc3…)": "version https://git-lfs.github.com/spec/v1\noid sha256:4cac19622fc3ada9c0fdeadb33f88f367b541f38b89102a3f1261ac81fd5bcb5\nsize 123456\n",
		"f: is an Arrow or Feather file":                          "ARROW1\x00\x00",
		"f: is an Arrow stream":                                   "\xff\xff\xff\xff\x10\x00",
		"f: is a web page, no rows":                               "\n<!DOCTYPE html>\n",
		"f: is a zip file":                                        "PK\x03\x04",
		"f: is compressed with xz":                                "\xfd7zXZ\x00",
		"f: is a tar file":                                        strings.Repeat("x", 257) + "ustar" + strings.Repeat("\x00", 100),
		"f: is a Parquet file that cannot be read: it is cut off": "PAR1" + strings.Repeat("x", 100),
	} {
		if _, err := record.NewReader(strings.NewReader(text), "f", record.ReadOptions{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	var once, twice bytes.Buffer
	for _, step := range []struct{ to, from *bytes.Buffer }{{&once, bytes.NewBufferString("{}")}, {&twice, &once}} {
		z := gzip.NewWriter(step.to)
		z.Write(step.from.Bytes())
		z.Close()
	}
	for want, in := range map[string]struct{ name, text string }{
		"f.gz: is packed twice":           {"f.gz", twice.String()},
		"f.parquet: is no Parquet file, ": {"f.parquet", "xPAR1"},
	} {
		if _, err := record.NewReader(strings.NewReader(in.text), in.name, record.ReadOptions{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := record.NewReader(io.MultiReader(strings.NewReader("PAR1")), "f", record.ReadOptions{}); err == nil || !strings.Contains(err.Error(), "is not read from front to back") {
		t.Error(err)
	}
}

type message struct {
	Role    string `parquet:"role"`
	Content string `parquet:"content"`
}

type pair struct {
	Prompt   []message `parquet:"prompt,list"`
	Chosen   string    `parquet:"chosen,zstd"`
	Rejected []byte    `parquet:"rejected"`
	Margin   *float64  `parquet:"margin,optional"`
	ID       int64     `parquet:"id"`
}

func parquetFile(t testing.TB, rows []pair) string {
	var b bytes.Buffer
	w := pq.NewGenericWriter[pair](&b, pq.MaxRowsPerRowGroup(2))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestParquet(t *testing.T) {
	margin := 0.5
	hi := []message{{"user", "hi"}}
	file := parquetFile(t, []pair{{hi, "c", []byte("r"), &margin, 1<<53 + 1}, {hi, "c", []byte("\xff"), nil, 2}, {hi, "", []byte("r"), nil, 3}, {append(hi, message{"assistant", "a"}, message{"user", "b"}), "c", []byte("r"), nil, 4}})
	path := recordtest.File(t, "data", file)
	_, err := record.ReadFile(path, record.ReadOptions{})
	recordtest.WantError(t, err, `data: row 2: column "rejected": bytes that are no text in UTF-8`)
	r, err := record.Open(path, record.ReadOptions{MaxBad: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for rec, err := range r.Records() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, recordtest.JSON(t, rec)+" "+rec.Where("f")+" "+rec.PlaceID())
	}
	want := []string{`{"prompt":[{"role":"user","content":"hi"}],"chosen":"c","rejected":"r","margin":0.5,"id":9007199254740993} f: row 1 row-1`,
		`{"prompt":[{"role":"user","content":"hi"},{"role":"assistant","content":"a"},{"role":"user","content":"b"}],"chosen":"c","rejected":"r","margin":null,"id":4} f: row 4 row-4`}
	if !slices.Equal(got, want) || len(r.Bad) != 2 || !strings.HasSuffix(r.Bad[1].Error(), `data: row 3: "chosen" is empty`) {
		t.Errorf("got\n%s\nand %v, want\n%s", strings.Join(got, "\n"), r.Bad, strings.Join(want, "\n"))
	}
	sha, n, err := r.Sum()
	wantSum, wantN, errs := record.Sum(path)
	if err != nil || errs != nil || sha != wantSum || n != wantN || n != int64(len(file)) {
		t.Errorf("sum %s of %d bytes, %v, want %s of %d, %v", sha, n, err, wantSum, wantN, errs)
	}
	if read, total := r.Progress(); read != total || total != n {
		t.Errorf("progress %d of %d", read, total)
	}
	_, err = record.ReadFile(recordtest.File(t, "gz", packed(t, file)), record.ReadOptions{})
	recordtest.WantError(t, err, "unpack it, and name the file")
}

// endless is rows of a file that is never whole anywhere.
type endless struct {
	head, row, tail string
	rows            int
	rest            string
	begun           bool
}

func (e *endless) Read(b []byte) (int, error) {
	for e.rest == "" {
		switch {
		case !e.begun:
			e.begun, e.rest = true, e.head
		case e.rows > 0:
			e.rows, e.rest = e.rows-1, e.row
		case e.tail != "":
			e.rest, e.tail = e.tail, ""
		default:
			return 0, io.EOF
		}
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// A file takes no more memory than a row of it.
func TestMemoryOfKinds(t *testing.T) {
	word := strings.Repeat("word ", 1000)
	object := `{"prompt":"` + word + `","chosen":"c","rejected":"r"}`
	const rows = 20000 // 100 MB
	for name, e := range map[string]*endless{
		"array":   {head: "[" + object, row: "," + object, tail: "]"},
		"wrapped": {head: `{"a": "b", "data": [` + object, row: "\n,\n" + object, tail: "]}"},
		"objects": {head: "{\n" + object[1:], row: object + "\n"},
		"csv":     {head: "prompt,chosen,rejected\n", row: word + ",c,r\n"},
		"tsv":     {head: "prompt\tchosen\trejected\n", row: "\"" + word + "\"\tc\tr\n"},
	} {
		e.rows = rows
		in, out := io.Pipe()
		go func() { // packed, so that the decoders are bounded as well
			z, _ := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest))
			_, err := io.Copy(z, e)
			if err == nil {
				err = z.Close()
			}
			out.CloseWithError(err)
		}()
		r, err := record.NewReader(in, name, record.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var most uint64
		n := 0
		for _, err := range r.Records() {
			if err != nil {
				t.Fatal(name, err)
			}
			if n++; n%4000 == 0 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
		if n < rows || most > 64<<20 {
			t.Errorf("%s: %d records, %d MB in use", name, n, most>>20)
		}
		r.Close()
	}
}

// What has no end is an error at its limit.
func TestLimitsOfKinds(t *testing.T) {
	o := record.ReadOptions{MaxLine: 1000, MaxBytes: 1 << 20}
	for name, c := range map[string]struct {
		e    endless
		want string
	}{
		"a row of an array": {endless{head: `[{"prompt":"`, row: "x", rows: 1 << 30}, "f:1: row 1: row is longer than 1000 bytes"},
		"white space":       {endless{head: `[`, row: " \n", rows: 1 << 30}, "row is longer than 1000 bytes"},
		"an object":         {endless{head: "{\n\"prompt\":\"p\"", row: `,"a":[{}]`, rows: 1 << 30}, "row is longer than 1000 bytes"},
		"brackets":          {endless{head: `[`, row: "[", rows: 1 << 30}, "row is longer than 1000 bytes"},
		"a quoted cell":     {endless{head: "prompt,chosen\n\"", row: "x\n", rows: 1 << 30}, "line is longer than 1000 bytes"},
		"rows":              {endless{head: "prompt,chosen,rejected\n", row: "p,c,r\n", rows: 1 << 30}, "f: decompresses to more than 1048576 bytes"},
		"elements":          {endless{head: "[7", row: ",7", rows: 1 << 30}, "f:1@1: row 1: got number, want object"},
	} {
		r, err := record.NewReader(&c.e, "f", o)
		for err == nil {
			_, err = r.Next()
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	_, err := record.ReadFile(recordtest.File(t, "p", parquetFile(t, []pair{{nil, strings.Repeat("x", 2000), nil, nil, 1}})), o)
	recordtest.WantError(t, err, "row 1: it has more than 1000 bytes")
}

// FuzzJSONRows: an array is split as encoding/json splits it.
func FuzzJSONRows(f *testing.F) {
	for _, s := range []string{`[{"prompt":"p","chosen":"c","rejected":"r"},{"prompt":"q]\"","chosen":"\\","rejected":"r"}]`, `{"data":[{"prompt":"p","chosen":"c","rejected":"r"}],"x":[]}`,
		"{\n\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}\n{\"prompt\":\"p\"\n,\"chosen\":\"c\",\"rejected\":\"d\"}", "[[", `[{}}]`, `{"data":{}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, _, err := all("f", text, record.ReadOptions{})
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if strings.HasPrefix(strings.TrimLeft(text, " \t\r\n\ufeff"), "[") {
			var rows []json.RawMessage
			if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &rows); err != nil || len(rows) < 1 {
				t.Fatalf("%d records of what is no array: %v", len(list), err)
			}
		}
	})
}

// FuzzCSV: what is accepted, encoding/csv reads as the same cells, but for the line ends inside of them.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"p,c,r\n", "\"p,\"\"\",c,\"r\n\"\n", "p,c,r\r\nq,d,s", "\"\",c,r\n", "p,\"c\"x,r\n", "\n\np,c,r\n", "p,c,r\n\"q"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, _, err := all("f", "prompt,chosen,rejected\n"+text, record.ReadOptions{})
		if err != nil {
			return
		}
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatalf("accepted, and encoding/csv says %v", err)
		}
		lf := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
		i := 0
		for _, row := range rows {
			if row[1] == row[2] { // set aside
				continue
			}
			if i == len(list) || lf(list[i].Chosen) != row[1] || lf(list[i].Rejected) != row[2] {
				t.Fatalf("row %d of %q: %v, want %q", i, text, list, row)
			}
			i++
		}
	})
}

// Reading is not slower than it was: bytes and rows a second of each kind.
func BenchmarkKinds(b *testing.B) {
	var jsonl, array, table bytes.Buffer
	var rows []pair
	array.WriteString("[")
	table.WriteString("id,prompt,chosen,rejected\n")
	const n = 5000
	for i := range n {
		text := strings.Repeat(fmt.Sprintf("some words of row %d ", i), 20)
		fmt.Fprintf(&jsonl, `{"id":%d,"prompt":"%s","chosen":"%sc","rejected":"%sr"}`+"\n", i, text, text, text)
		fmt.Fprintf(&array, `{"id":%d,"prompt":"%s","chosen":"%sc","rejected":"%sr"},`+"\n", i, text, text, text)
		fmt.Fprintf(&table, "%d,%s,%sc,%sr\n", i, text, text, text)
		rows = append(rows, pair{[]message{{"user", text}}, text + "c", []byte(text + "r"), nil, int64(i)})
	}
	array.Truncate(array.Len() - 2)
	array.WriteString("]")
	for _, x := range []struct{ name, text string }{{"jsonl", jsonl.String()}, {"jsonl.gz", packed(b, jsonl.String())}, {"json", array.String()}, {"csv", table.String()}, {"parquet", parquetOf(b, rows)}} {
		b.Run(x.name, func(b *testing.B) {
			b.SetBytes(int64(jsonl.Len())) // of text, however it is stored
			for b.Loop() {
				list, _, err := all("f", x.text, record.ReadOptions{})
				if err != nil || len(list) != n {
					b.Fatal(len(list), err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func parquetOf(t testing.TB, rows []pair) string {
	var b bytes.Buffer
	w := pq.NewGenericWriter[pair](&b, pq.Compression(&pq.Snappy))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
