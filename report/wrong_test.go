package report

import (
	"testing"

	"criticrm/record"
)

// A score that was asked for is told as such, and a mean of numbers in four digits.
func TestCritiqueFacts(t *testing.T) {
	score := 6.3728
	for want, c := range map[string]record.Critique{
		"score 6.373, asked for · cut by the token limit": {Score: &score, Verdict: record.VerdictExpected, AskedTokens: 4, FinishReason: record.FinishLength},
		"score 6.373": {Score: &score},
		"no score":    {},
	} {
		if got := critiqueFacts(&c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
