package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	pq "github.com/parquet-go/parquet-go"
)

// markInputs are inputs of every kind of file and mixture, with all that a Reader counts.
func markInputs(t *testing.T) map[string]string {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var b strings.Builder
	for i := range 12 {
		switch {
		case i%5 == 1:
			b.WriteString("\n{\"prompt\": 1}\n")
		case i%5 == 3:
			fmt.Fprintf(&b, `{"prompt":"p%d","chosen":"c","rejected":"c"}`+"\n", i)
		}
		fmt.Fprintf(&b, `{"prompt":"p%d","chosen":"c","rejected":"r","odd%d":1}`+"\n", i, i%3)
	}
	pairs := "\xef\xbb\xbf" + b.String()
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	io.WriteString(z, pairs)
	z.Close()
	e, _ := zstd.NewWriter(nil)
	a := write("a.jsonl", pairs)
	g := write("g.jsonl.gz", gz.String())
	s := write("s.jsonl.zst", string(e.EncodeAll([]byte(pairs), nil)))
	c := write("c.csv", "prompt,chosen,rejected\np,\"c\nd\",r\nq,c,r\ns,c,r\n")
	j := write("j.json", `{"version":1,"data":[{"prompt":"p","chosen":"a","rejected":"b"},{"prompt":"q","chosen":"a","rejected":"b"},{"prompt":"r","chosen":"a"},{"prompt":"s","chosen":"a","rejected":"b"}]}`)
	r := write("r.jsonl", strings.Repeat(`{"prompt":"p","answers":[{"answer":"a","rank":1},{"answer":"b","rank":2},{"answer":"c","rank":3}]}`+"\n", 3))
	var h strings.Builder
	for i := range 6 { // HelpSteer's rows stand in pairs; one has no partner, and behind one stands a bad row
		row := `{"prompt":"p%d","response":"%s","helpfulness":%d,"correctness":3,"coherence":3,"complexity":1,"verbosity":1}` + "\n"
		fmt.Fprintf(&h, row, i, "a", 4)
		if i == 2 {
			h.WriteString(`{"prompt":"bad"}` + "\n")
		}
		if i != 3 && i != 5 {
			fmt.Fprintf(&h, row, i, "b", 1)
		}
	}
	half := write("h.jsonl", h.String())
	list := map[string]string{"lines": a, "gzip": g, "zstd": s, "csv": c, "json": j, "ranked": r, "halves": half}
	list["parquet"] = filepath.Join(dir, "p.parquet")
	f, err := os.Create(list["parquet"])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type row struct {
		Prompt   string `parquet:"prompt"`
		Chosen   string `parquet:"chosen"`
		Rejected string `parquet:"rejected"`
	}
	if err := pq.Write(f, []row{{"p", "c", "r"}, {"q", "c", "r"}, {"s", "c", "c"}, {"t", "c", "r"}}); err != nil {
		t.Fatal(err)
	}
	list["list"] = strings.Join([]string{half, a, c, g}, ",")
	list["mixture"] = a + ":0.5," + j + ":0.2," + half + ":0.3"
	return list
}

// restOf reads what is left row by row, and gives a mark behind each and how many records there were before it.
func restOf(t *testing.T, r *Reader) (lines []string, marks map[*Mark]int, found Found, layouts string) {
	t.Helper()
	marks = map[*Mark]int{}
	for {
		f, err := r.row()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		list, err := r.take(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range list {
			b, err := rec.AppendJSON(nil)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("%s %s %d", b, rec.Where("x"), rec.ordinal))
		}
		marks[again(t, r.Mark())] = len(lines)
	}
	marks[again(t, r.Mark())] = len(lines)
	if _, _, err := r.Sum(); err != nil {
		t.Fatal(err)
	}
	return lines, marks, r.Found, r.Layouts()
}

// again is a mark as it comes back from JSON.
func again(t *testing.T, m *Mark) *Mark {
	t.Helper()
	if m == nil {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	m = &Mark{}
	if err := json.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// A reader that goes on at a mark gives what one gives that has read all: records, counts, notes, hashes.
func TestResume(t *testing.T) {
	halves := 0
	for name, input := range markInputs(t) {
		o := ReadOptions{MaxBad: 100, Marks: true, Layout: Layout{}}
		if name == "ranked" {
			o.Ranked = "all"
		}
		open := func() *Reader {
			r, err := Open(input, o)
			if err != nil {
				t.Fatal(name, err)
			}
			t.Cleanup(func() { r.Close() })
			return r
		}
		whole := open()
		lines, marks, found, layouts := restOf(t, whole)
		sum, size, _ := whole.Sum()
		for m, n := range marks {
			for _, f := range m.Files {
				if f.Half > 0 {
					halves++
				}
			}
			r := open()
			if err := r.Resume(m, func() error { return nil }); err != nil {
				t.Fatalf("%s, %d: %v", name, n, err)
			}
			rest, _, now, l := restOf(t, r)
			if want := lines[n:]; strings.Join(rest, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s behind %d records:\n%s\nwant\n%s", name, n, strings.Join(rest, "\n"), strings.Join(want, "\n"))
			}
			if !reflect.DeepEqual(now, found) || l != layouts {
				t.Errorf("%s behind %d records: %+v (%s), want %+v (%s)", name, n, now, l, found, layouts)
			}
			if s, bytes, _ := r.Sum(); s != sum || bytes != size {
				t.Errorf("%s behind %d records: another sum", name, n)
			}
		}
	}
	if halves == 0 {
		t.Error("no mark is between the two rows of a record")
	}
}

// Next gives no mark inside of a row.
func TestMarkInside(t *testing.T) {
	r, err := Open(markInputs(t)["ranked"], ReadOptions{Marks: true, Layout: Layout{Ranked: "all"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 9 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if m := r.Mark(); (m != nil) != (i%3 == 2) {
			t.Errorf("record %d: %v", i, m)
		}
	}
}

// Rows that are others, or fewer, or of other files, are an error; so is what tick says.
func TestResumeOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.jsonl")
	open := func(text string) *Reader {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path, ReadOptions{Marks: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	text := rowsOf(5, nil)
	r := open(text)
	for range 3 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	m := again(t, r.Mark())
	none := func() error { return nil }
	if err := open(text+text).Resume(m, none); err != nil {
		t.Errorf("rows behind the mark do not count: %v", err)
	}
	for what, other := range map[string]string{"fewer": rowsOf(2, nil), "another": strings.Replace(text, `"p2"`, `"q2"`, 1)} {
		if err := open(other).Resume(m, none); !errors.Is(err, ErrOther) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	stop := errors.New("stop")
	if err := open(text).Resume(m, func() error { return stop }); err != stop {
		t.Error(err)
	}
	more, err := Open(path+","+filepath.Join("..", "record", "mark_test.go"), ReadOptions{Marks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	if err := more.Resume(m, none); !errors.Is(err, ErrOther) {
		t.Error(err)
	}
}
