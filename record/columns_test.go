package record

// What rows hold is read, refused, or told.

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// readRows reads rows and gives what else they hold.
func readRows(t *testing.T, o ReadOptions, rows ...string) Found {
	t.Helper()
	r, err := NewReader(strings.NewReader(strings.Join(rows, "\n")+"\n"), "rows", o)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := r.Next(); err == io.EOF {
			return r.Found
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnreadColumns guards against a column that somebody meant to count and that nothing reads: it had no word at all.
func TestUnreadColumns(t *testing.T) {
	const pair = `"prompt":"p","chosen":"c","rejected":"r"`
	for _, c := range []struct {
		name string
		rows []string
		want string // lines, joined by |
	}{
		{"none", []string{"{" + pair + "}"}, ""},
		{"metadata", []string{"{" + pair + `,"source":"web","prompt_id":7,"metadata":{"a":1}}`}, ""},
		{"two rows of three", []string{"{" + pair + `,"weight":2}`, "{" + pair + `,"weight":1}`, "{" + pair + "}"}, `column "weight" of 2 rows is not read`},
		{"most first", []string{"{" + pair + `,"a":2,"b":0}`, "{" + pair + `,"b":1}`}, `column "b" of 2 rows is not read|column "a" of 1 rows is not read`},
		{"letter case", []string{"{" + pair + `,"Margin":2}`}, `column "Margin" of 1 rows is not read (keys are case-sensitive: want "margin")`},
		{"empty", []string{"{" + pair + `,"x":null,"tools":[],"input":"","history":[]}`}, ""},
		{"of the other kind of row", []string{"{" + pair + `,"reward":2,"critiques":["a"],"label":true}`}, `column "critiques" of 1 rows is not read|column "label" of 1 rows is not read|column "reward" of 1 rows is not read`},
		{"second label", []string{`{"prompt":"p","response":"x","correct":true,"label":false}`}, `column "label" of 1 rows is not read`},
		{"label without a critique", []string{`{"prompt":"p","response":"x","critique_correct":false}`}, `column "critique_correct" of 1 rows is not read`},
		{"system of a text", []string{`{"text":"x","system":"s","tools":[1]}`}, `column "system" of 1 rows is not read|column "tools" of 1 rows is not read`},
		{"in a critique", []string{"{" + pair + `,"chosen_critiques":[{"text":"t","stars":1},{"text":"u","stars":2,"note":""}]}`}, `column "chosen_critiques[].stars" of 1 rows is not read`},
		{"given as the caller's", []string{"{" + pair + `,"domain":"x"}`}, ""},
	} {
		found := readRows(t, ReadOptions{Reads: []string{"domain"}}, c.rows...)
		if got := strings.Join(found.Lines(), "|"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	var wide []string
	for i := range 2*maxUnread + 7 {
		wide = append(wide, fmt.Sprintf(`{%s,"k%d":1}`, pair, i))
	}
	found := readRows(t, ReadOptions{}, wide...)
	if lines := found.Lines(); len(found.Unread) != maxUnread+1 || len(lines) != 11 || found.Unread[otherColumns] != maxUnread+7 {
		t.Errorf("%d columns are counted, %d lines, %d beyond", len(found.Unread), len(lines), found.Unread[otherColumns])
	}
}

// TestColumns: every column of the table is read in some row, written as it was read where it is written at all, and in no other list.
func TestColumns(t *testing.T) {
	read := map[string]bool{}
	for _, line := range []string{
		`{"id":"a","prompt":"p","chosen":"chosen","rejected":"rejected","category":"x","subset":"y","margin":1,"chosen_critiques":["a"],"rejected_critiques":["b"],` +
			`"critic":{"prompts":"h","sampling":{}},"shortened":{"policy":"truncate-right","chosen":1},"plain_shortened":{"policy":"truncate-right","rejected":1},"dropped":"d","chosen_reward":1,"rejected_reward":2,"system":"s"}`,
		`{"prompt":"p","chosen":"c","rejected":"r","chosen_feedback":"a","rejected_feedback":"b"}`,
		`{"prompt":"p","response":"c","correct":true,"critiques":["a"],"critique":"b","critique_correct":true,"reward":1}`,
		`{"prompt":"p","completion":"c","label":true}`,
		`{"prompt":"p","chosen":"c","rejected":"r","benchmark":{"name":"shp"}}`,
		`{"text":"t"}`, `{"input_ids":[1],"weights":[1]}`, `{"messages":[{"role":"user","content":"p"}]}`,
	} {
		rec, err := ParseRecord([]byte(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, m := range rec.order {
			read[m.key] = read[m.key] || m.raw == nil
		}
	}
	var keys []string
	for _, c := range columns() {
		keys = append(keys, c.key)
		if c.use == "" || (c.has == nil) != (c.write == nil) {
			t.Errorf("%s: the table does not say what reads it, or how it is written", c.key)
		}
		if !read[c.key] {
			t.Errorf("%s is in the table, and nothing reads it", c.key)
		}
	}
	for _, key := range append(append(keys, refusedColumns()...), harmlessColumns()...) {
		n := 0
		for _, list := range [][]string{keys, refusedColumns(), harmlessColumns()} {
			for _, k := range list {
				if k == key {
					n++
				}
			}
		}
		if n != 1 {
			t.Errorf("%s is listed %d times", key, n)
		}
	}
	for _, key := range refusedColumns() {
		line := fmt.Sprintf(`{"prompt":"p","chosen":"c","rejected":"r",%q:"x"}`, key)
		if _, err := ParseRecord([]byte(line)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q is part of what the model is asked", key)) {
			t.Errorf("%s: %v", key, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a key beside the table can be read")
		}
	}()
	newRow(nil, columns(), 9).get("no column")
}
