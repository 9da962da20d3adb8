package record

// What is said of rows: --schema and --columns.

import (
	"strings"
	"testing"
)

// readOne reads one row as it is said.
func readOne(row string, l Layout) (*Record, *Reader, error) {
	r, err := NewReader(strings.NewReader(row), "f", ReadOptions{Layout: l})
	if err != nil {
		return nil, nil, err
	}
	rec, err := r.Next()
	return rec, r, err
}

func TestColumnNames(t *testing.T) {
	const row = `{"question":"p","good":"c","bad":"r","prompt":"other"}`
	for _, c := range []struct{ name, row, columns, want string }{
		{"renamed", `{"question":"p","good":"c","bad":"r"}`, "prompt=question,chosen=good, rejected = bad,", "p|c|r"},
		{"swapped", `{"prompt":"p","chosen":"c","rejected":"r"}`, "chosen=rejected,rejected=chosen", "p|r|c"},
		{"in a ring", `{"prompt":"p","chosen":"c","rejected":"r"}`, "chosen=prompt,rejected=chosen,prompt=rejected", "r|p|c"},
		{"the old name is taken", row, "prompt=question,chosen=good,rejected=bad", `"prompt": two columns have this name, one of them by --columns`},
		{"missing", `{"prompt":"p","good":"c","bad":"r"}`, "prompt=question,chosen=good,rejected=bad", `key "question" is missing, which --columns calls "prompt"`},
		{"near miss", `{"qestion":"p","good":"c","bad":"r"}`, "prompt=question,chosen=good,rejected=bad", `key "question" is missing, which --columns calls "prompt", did you mean "qestion"?`},
		{"first of several by name", `{"x":"p"}`, "prompt=question,chosen=good,rejected=bad", `key "bad" is missing, which --columns calls "rejected"`},
		{"unknown", row, "chosenn=good", `columns: "chosenn" is no column that is known, did you mean "chosen"?`},
		{"for two", row, "chosen=good,rejected=good", `columns: "good" is to be both "chosen" and "rejected"`},
		{"twice", row, "chosen=good,chosen=bad", `columns: "good" and "bad" are both to be "chosen"`},
		{"no pair", row, "chosen", `columns: got "chosen", want KNOWN=FILE'S`},
		{"half a pair", row, "chosen=", `columns: got "chosen=", want KNOWN=FILE'S`},
	} {
		for range 20 { // guards against an error that changed from run to run
			rec, _, err := readOne(c.row, Layout{Columns: c.columns})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = rec.Prompt.Text + "|" + rec.Chosen + "|" + rec.Rejected
			}
			if !strings.HasSuffix(got, c.want) && !strings.Contains(got, c.want+" (") && !strings.Contains(got, c.want+", as") {
				t.Fatalf("%s: got %q, want %q", c.name, got, c.want)
			}
		}
	}
}

func TestSchemaNames(t *testing.T) {
	const row = `{"prompt":"p","chosen":"c","rejected":"r"}`
	for name, want := range map[string]string{
		"prompt/chosen/rejected":         "",
		"Prompt/Chosen/Rejected":         "",
		"prompt/response":                `key "response" is missing`,
		"chosen/rejected-message_lists":  `"chosen": got string, want a list of messages`,
		"chosen/rejected message lists":  `"chosen": got string, want a list of messages`,
		"prompt/chosen/rejectd":          `schema: "prompt/chosen/rejectd" is not known, did you mean "prompt/chosen/rejected"?`,
		"something that is like nothing": `is not known: want one of `,
	} {
		_, r, err := readOne(row, Layout{Schema: name})
		switch {
		case want == "" && (err != nil || r.Schema != &Pairs):
			t.Errorf("%s: %v", name, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// TestNearestLayout: a row without a layout is told what it lacks, of the layout that it is nearest to.
func TestNearestLayout(t *testing.T) {
	for row, want := range map[string]string{
		`{"prompt":"p","chosen":"c"}`:                       `key "rejected" is missing, the nearest layout is prompt/chosen/rejected`,
		`{"question":"p","chosen":"c","rejected":"r"}`:      `key "prompt" is missing, the nearest layout is prompt/chosen/rejected; if "question" holds it: --columns prompt=question`,
		`{"question":"q","good":"a","bad":"b"}`:             `no known layout: the row has "question", "good", "bad"; say what is what with --columns`,
		`{"Prompt":"p","chosen":"c","rejected":"r"}`:        `key "prompt" is missing (found "Prompt": keys are case-sensitive)`,
		`{"prompt":"p","chosen":"c","reward":1,"source":2}`: `key "rejected" is missing, the nearest layout is prompt/chosen/rejected`,
		`{"prompt":"p"}`: `key "chosen" is missing, the nearest layout is prompt/chosen/rejected`,
		`{}`:             `no known layout: the row has no columns`,
		`{"` + strings.Repeat("k", 999) + `":1,"` + strings.Repeat("\u00e9", 300) + `":1,"a":1,"` + strings.Repeat("b", 80) + `":1}`: ` and 1 more; say`,
	} {
		_, _, err := readOne(row, Layout{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %v, want %q", row, err, want)
		}
	}
}
