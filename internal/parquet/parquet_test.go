package parquet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"
)

// read gives all rows of a file in memory; faults of single rows stand in their place.
func read(file []byte) (rows []string, notFinite int64, err error) {
	f, err := Open(bytes.NewReader(file), int64(len(file)), 1<<20)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	for {
		row, err := f.Next()
		var bad *ValueError
		switch {
		case err == io.EOF:
			return rows, f.NotFinite(), nil
		case errors.As(err, &bad):
			rows = append(rows, fmt.Sprintf("row %d: %s", f.Row(), bad.Msg))
		case err != nil:
			return rows, 0, err
		default:
			rows = append(rows, string(row))
		}
	}
}

// value decodes JSON; numbers stay as they are written.
func value(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// same compares values: integers by their digits, other numbers as float64. A text that is wanted for a number is how that is written.
func same(got, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for k := range w {
			if !same(g[k], w[k]) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !same(g[i], w[i]) {
				return false
			}
		}
		return true
	case json.Number:
		g, ok := got.(json.Number)
		a, _ := g.Float64()
		b, _ := w.Float64()
		return ok && (g == w || strings.ContainsAny(string(w), ".e") && a == b)
	case string:
		if g, ok := got.(json.Number); ok {
			return string(g) == w
		}
	}
	return reflect.DeepEqual(got, want)
}

func fixtures(t testing.TB) []string {
	files, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(files) < 15 {
		t.Fatal(files, err)
	}
	return files
}

// TestGolden holds what is read of pyarrow's files, in each codec, page version and encoding, against what pyarrow was given.
func TestGolden(t *testing.T) {
	for _, path := range fixtures(t) {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(path, ".parquet")
		if strings.HasSuffix(name, "-v1") || strings.HasSuffix(name, "-v2") {
			name = "testdata/none-v1"
		}
		text, err := os.ReadFile(name + ".jsonl")
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		rows, _, err := read(file)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		want := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
		if len(rows) != len(want) {
			t.Errorf("%s: %d rows, want %d", path, len(rows), len(want))
			continue
		}
		for i := range rows {
			if !same(value(t, rows[i]), value(t, want[i])) {
				t.Errorf("%s, row %d:\n%s\nwant\n%s", path, i+1, rows[i], want[i])
				break
			}
		}
	}
}

// Keys stand in the order of the columns.
func TestOrder(t *testing.T) {
	file, err := os.ReadFile("testdata/none-v1.parquet")
	if err != nil {
		t.Fatal(err)
	}
	rows, _, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, key := range []string{"id", "prompt", "chosen", "rejected", "margin", "tags", "deep", "meta", "counts", "label"} {
		i := strings.Index(rows[0], `"`+key+`":`)
		if i < at {
			t.Errorf("%s stands too early in %s", key, rows[0])
		}
		at = i
	}
}

// A value that no JSON can have spoils its row alone; numbers that JSON has not are null and counted.
func TestRowFaults(t *testing.T) {
	file, err := os.ReadFile("testdata/binary.parquet")
	if err != nil {
		t.Fatal(err)
	}
	rows, notFinite, err := read(file)
	want := []string{`{"prompt":"fine","x":1.5}`, `row 2: column "prompt": bytes that are no text in UTF-8`, `{"prompt":"fine too","x":null}`}
	if err != nil || !reflect.DeepEqual(rows, want) || notFinite != 1 {
		t.Errorf("got %q, %d, %v", rows, notFinite, err)
	}
	f, err := Open(bytes.NewReader(file), int64(len(file)), 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Next(); err == nil || err.Error() != "it has more than 20 bytes" {
		t.Errorf("a long row: %v", err)
	}
}

// written is a file of the library's writer.
func written[T any](t testing.TB, rows []T, options ...pq.WriterOption) []byte {
	var b bytes.Buffer
	w := pq.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Lists that nobody calls so, as older writers have them, lists of the library, and structs in lists.
func TestShapes(t *testing.T) {
	type pair struct {
		A string   `parquet:"a"`
		B []string `parquet:"b"`
	}
	type row struct {
		Bare   []int64           `parquet:"bare"`
		List   []pair            `parquet:"list,list"`
		Groups []pair            `parquet:"groups"`
		Map    map[string]string `parquet:"map"`
		ID     [16]byte          `parquet:"id,uuid"`
		Maybe  *string           `parquet:"maybe,optional"`
	}
	s := "x"
	file := written(t, []row{
		{Bare: []int64{1, 2}, List: []pair{{"p", []string{"q", "r"}}, {"s", nil}}, Groups: []pair{{"t", []string{"u"}}}, Map: map[string]string{"k": "v"}, ID: [16]byte{0xab, 15: 1}, Maybe: &s},
		{},
	})
	rows, _, err := read(file)
	want := []string{
		`{"bare":[1,2],"list":[{"a":"p","b":["q","r"]},{"a":"s","b":[]}],"groups":[{"a":"t","b":["u"]}],"map":{"k":"v"},"id":"ab000000-0000-0000-0000-000000000001","maybe":"x"}`,
		`{"bare":[],"list":[],"groups":[],"map":{},"id":"00000000-0000-0000-0000-000000000000","maybe":null}`,
	}
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("got\n%s\n%v, want\n%s", strings.Join(rows, "\n"), err, strings.Join(want, "\n"))
	}
}

// A file that is cut off anywhere is an error, and one whose bytes were changed is an error or other rows, but neither a panic nor a gigabyte.
func TestDamage(t *testing.T) {
	for _, path := range fixtures(t) {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(file); n += 1 + len(file)/23 {
			if _, _, err := read(file[:n]); err == nil {
				t.Errorf("%s: its first %d of %d bytes are read", path, n, len(file))
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		step, tries := 1+len(file)/37, 0
		for i := 0; i < len(file); i += step {
			for _, with := range [...]byte{0x01, 0x80, 0xff} {
				damaged := bytes.Clone(file)
				damaged[i] ^= with
				read(damaged)
				tries++
			}
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / uint64(tries); each > 64<<20 {
			t.Errorf("%s: %d MB taken for each reading of %d bytes", path, each>>20, len(file))
		}
	}
}

// Pages say how large they are; what is behind that is not believed.
func TestBombs(t *testing.T) {
	type row struct {
		S string `parquet:"s"`
	}
	file := written(t, []row{{strings.Repeat("a", 1<<20)}}, pq.Compression(&pq.Zstd), pq.DataPageStatistics(false))
	if rows, _, err := read(file); err != nil || len(rows) != 1 || rows[0] != "row 1: it has more than 1048576 bytes" {
		t.Fatal(len(rows), err)
	}
	// A structure that claims more elements than bytes.
	list := []byte{0x19, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0}
	if _, err := structure(list); err == nil {
		t.Error("a list of two billion structures in eight bytes is believed")
	}
	if err := runs([]byte{0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 1}, 1); err == nil {
		t.Error("a run of a billion levels is believed")
	}
	if err := counts([]byte{128, 1, 4, 0xFF, 0xFF, 0xFF, 0x7F, 0}, 5, 10); err == nil {
		t.Error("two hundred million deltas of ten values are believed")
	}
}

// zeros is a file's worth of rows that nobody holds in memory: its own reader.
func TestMemory(t *testing.T) {
	type row struct {
		Prompt string `parquet:"prompt,snappy"`
		Chosen string `parquet:"chosen,zstd"`
	}
	path := filepath.Join(t.TempDir(), "large.parquet")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	buffered := bufio.NewWriter(out)
	w := pq.NewGenericWriter[row](buffered, pq.MaxRowsPerRowGroup(20000), pq.PageBufferSize(64<<10))
	const rows = 100000
	for i := range rows {
		if _, err := w.Write([]row{{fmt.Sprintf("%d %s", i, strings.Repeat("word ", 100)), fmt.Sprintf("%s %d", strings.Repeat("text ", 100), i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := buffered.Flush(); err != nil {
		t.Fatal(err)
	}
	info, err := out.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(out, info.Size(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var most uint64
	n := 0
	for ; ; n++ {
		if _, err := f.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if n%5000 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if n != rows || most > 24<<20 { // of 100 MB of text
		t.Errorf("%d rows, %d MB in use", n, most>>20)
	}
}

// FuzzRead: no file is worth a panic, and what is read is JSON.
func FuzzRead(f *testing.F) {
	for _, path := range fixtures(f) {
		file, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, _, _ := read(file)
		for _, row := range rows {
			if !json.Valid([]byte(row)) && !strings.HasPrefix(row, "row ") {
				t.Fatalf("no JSON: %s", row)
			}
		}
	})
}
