package checkpoint

import (
	"bytes"
	"strings"
	"testing"
)

// short fails for errors that nobody would read.
func short(t *testing.T, err error) {
	t.Helper()
	if err != nil && len(err.Error()) > 1000 {
		t.Fatalf("error of %d bytes", len(err.Error()))
	}
}

// FuzzManifest: what is accepted is written back as the same bytes.
func FuzzManifest(f *testing.F) {
	m := &Manifest{Format: 1, Files: []FileInfo{{Name: "a.zst"}}}
	f.Add(m.encode())
	f.Add([]byte(`{"format":1,"files":[]}`))
	f.Add([]byte(`{"format":1,"format":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if short(t, err); err != nil {
			return
		}
		again, err := parseManifest(m.encode())
		if err != nil || !bytes.Equal(again.encode(), m.encode()) {
			t.Fatalf("%v, %s", err, b)
		}
	})
}

// FuzzIndex: shards are plain names, which cannot lead out of the directory.
func FuzzIndex(f *testing.F) {
	for _, s := range []string{`{"metadata":{"total_size":1},"weight_map":{"a":"model-00001-of-00002.safetensors"}}`, `{"weight_map":{"a":"../b.safetensors"}}`, `{"weight_map":{}}`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := parseIndex(b)
		short(t, err)
		for _, name := range files {
			if err == nil && (strings.ContainsAny(name, "/\\\x00") || !strings.HasSuffix(name, ".safetensors")) {
				t.Fatalf("%q", name)
			}
		}
	})
}

// FuzzFrame: a frame is what it says it is, or an error; its own frames come back.
func FuzzFrame(f *testing.F) {
	raw := bytes.Repeat([]byte("abcd"), 100)
	frame := encodeFrame(nil, raw, nil)
	f.Add(frame, int64(len(raw)))
	f.Add(frame[:len(frame)/2], int64(len(raw)))
	f.Add([]byte{0x28, 0xB5, 0x2F, 0xFD, 0x04, 0x98, 1, 0, 0}, int64(1))
	f.Fuzz(func(t *testing.T, b []byte, n int64) {
		if n < 0 || n > 1<<20 {
			return
		}
		if checkFrame(b, n) != nil {
			return
		}
		got, err := decodeFrame(b, n, anew)
		if short(t, err); err == nil && int64(len(got)) != n {
			t.Fatalf("%d bytes, said %d", len(got), n)
		}
	})
}
