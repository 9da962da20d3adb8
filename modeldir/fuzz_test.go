package modeldir

import (
	"reflect"
	"testing"
)

// FuzzFacts: facts that are accepted are whole, and come back when they are written.
func FuzzFacts(f *testing.F) {
	good := facts()
	good.Version = factsVersion
	good.SHA256 = good.digest()
	f.Add(good.text())
	for _, s := range []string{`{"method":"bt","head_position":"end"}`, `null`, `{}`, `{"method":"bt","method":"lm"}`, `{"version":1e0,"method":"bt","head_position":"end"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseFacts(b)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		again, err := parseFacts(got.text())
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%v: %s", err, b)
		}
	})
}
