package record

import "testing"

// Rows that hold two responses and say which is better tell which stood first; rows whose columns are sorted do not.
func TestShownFirst(t *testing.T) {
	for row, want := range map[string]string{
		`{"prompt":"p","response_0":"a","response_1":"b","better_response_id":1}`:                                 "rejected",
		`{"prompt":"p","response_0":"a","response_1":"b","better_response_id":0}`:                                 "chosen",
		`{"question":"p","response_A":"a","response_B":"b","source":"s","pair_id":"1","label":"B>A"}`:             "rejected",
		`{"input":"p","output_1":"a","output_2":"b","label":1}`:                                                   "chosen",
		`{"prompt":"p","chosen":"a","rejected":"b"}`:                                                              "",
		`{"instruction":"p","chosen_response":"a","rejected_response":"b","chosen_rating":5,"rejected_rating":1}`: "",
	} {
		rec, err := ParseRecord([]byte(row))
		if err != nil {
			t.Errorf("%s: %v", row, err)
			continue
		}
		got := ""
		if rec.ShownFirst != nil {
			got = rec.ShownFirst.String()
		}
		if got != want {
			t.Errorf("%s: %q stood first, want %q", row, got, want)
		}
	}
}
