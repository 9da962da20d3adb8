package record

import (
	"bytes"
	"testing"
)

// An empty response is a response: what is one was once told by its text, and such a row was none.
func TestEmptyResponse(t *testing.T) {
	for _, row := range []string{
		`{"id":"a","prompt":"p","response":"","correct":false}`,
		`{"id":"a","prompt":"p","completion":"","label":false}`,
		`{"id":"a","prompt":[{"role":"user","content":"p"}],"completion":[{"role":"assistant","content":""}],"label":false}`,
		`{"id":"a","instruction":"p","output":"","kto_tag":false}`,
		`{"id":"a","conversations":[{"from":"human","value":"p"},{"from":"gpt","value":""}],"kto_tag":false}`,
		`{"id":"a","prompt":"p","response":"","correct":false,"benchmark":{"name":"rmbench","row":"1","answers":6}}`,
	} {
		r, err := ParseRecord([]byte(row))
		if err != nil {
			t.Errorf("%s: %v", row, err)
			continue
		}
		for range 2 {
			if r.Paired() || r.Response == nil || len(r.Sides()) != 1 || r.Text(Single) != "" || r.Correct == nil || r.AsRead().Paired() {
				t.Errorf("%s: %+v", row, r)
			}
			var b bytes.Buffer
			if err := WriteRecords(&b, []*Record{r}); err != nil {
				t.Fatalf("%s: %v", row, err)
			}
			if r, err = ParseRecord(bytes.TrimSpace(b.Bytes())); err != nil {
				t.Fatalf("%s: written as %s: %v", row, &b, err)
			}
		}
	}
	// The sides of a pair to train on have words.
	for _, row := range []string{`{"prompt":"p","chosen":"","rejected":"b"}`, `{"prompt":"p","chosen":"b","rejected":" "}`, `{"instruction":"p","output":""}`} {
		if r, err := ParseRecord([]byte(row)); err == nil {
			t.Errorf("%s: %+v", row, r)
		}
	}
}
