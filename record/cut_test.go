package record_test

import (
	"strings"
	"testing"

	"criticrm/record"
	"criticrm/record/recordtest"
)

// TestCutRows: marks are written and read back; one that is not of its row is refused.
func TestCutRows(t *testing.T) {
	const row = `{"id":"a","prompt":"äöü","chosen":"語語","rejected":"b"`
	read := func(s string) (*record.Record, error) {
		in, err := record.NewReader(strings.NewReader(s), "f", record.ReadOptions{})
		if err != nil {
			return nil, err
		}
		return in.Next()
	}
	good := row + `,"shortened":{"policy":"truncate-left","prompt":2,"chosen":1},"plain_shortened":{"policy":"truncate-right","chosen":1}}`
	r, err := read(good)
	if err != nil {
		t.Fatal(err)
	}
	if got := recordtest.JSON(t, r); got != good {
		t.Errorf("%s", got)
	}
	if s := r.AsRead(); s.Prompt.Text != "ü" || s.Chosen != "語" || s.Rejected != "b" || s.Cut != nil || r.Cut.Characters() != 3 {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{`{"policy":"x"}`, `{"policy":"truncate-left","prompt":4}`, `{"policy":"truncate-left","prompt":-1}`, `{"policy":"truncate-right","chosen":2}`,
		`{"policy":"truncate-right","response":1}`, `{"policy":"truncate-right","chosen":"1"}`} {
		_, err := read(row + `,"shortened":` + bad + `}`)
		recordtest.WantError(t, err, `"shortened": not a cut of this row's texts`)
	}
	_, err = read(row + `,"plain_shortened":true}`)
	recordtest.WantError(t, err, `"plain_shortened": got boolean, want object`)
}
