package stage

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzSidecar: a state that is accepted counts nothing below zero.
func FuzzSidecar(f *testing.F) {
	f.Add([]byte(`{"version":1,"stage":"filter","settings":{},"max_bad":0,"input":{"name":"a","sha256":"00","bytes":1,"records":1},"done":1,"bytes":2,"sha256":"00","complete":true}`))
	f.Add([]byte(`{"done":-1}`))
	f.Add([]byte(`{"version":1} {"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		out := filepath.Join(t.TempDir(), "o.jsonl")
		if err := os.WriteFile(SidecarPath(out), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readSidecar(out)
		if err == nil && (s.Done < 0 || s.Bytes < 0 || s.Input.Records < 0) {
			t.Fatalf("%+v of %s", s, b)
		}
	})
}
