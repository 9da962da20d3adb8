package limit

import (
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	for text, want := range map[string]time.Duration{"": time.Minute, "2s": 2 * time.Second, "1m30s": 90 * time.Second, "1s": 0, "30": 0, "-1m": 0} {
		t.Setenv(Silence, text)
		if got, err := Of(Silence, time.Minute); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
