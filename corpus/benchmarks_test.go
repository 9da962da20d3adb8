package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"regexp"
	"slices"
	"testing"

	"criticrm/record"
	"criticrm/tokenizer"
)

// The list and the files of hashes say the same, and each entry says where it is from.
func TestEmbeddedBenchmarks(t *testing.T) {
	m := Benchmarks()
	files := []string{ManifestName}
	for _, b := range m.Benchmarks {
		files = append(files, b.File())
		text, err := embedded.ReadFile("benchmarks/" + b.File())
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		list, err := ParseFingerprints(text)
		if err != nil || len(list) != b.Prompts || hex.EncodeToString(sum[:]) != b.SHA256 {
			t.Errorf("%s: %d fingerprints, %v; the list has %d and another hash, or the same", b.Name, len(list), err, b.Prompts)
		}
		if !regexp.MustCompile(`^[^/]+/[^/]+ [0-9a-f]{40} 20\d\d-\d\d-\d\d$`).MatchString(b.Repository+" "+b.Commit+" "+b.Date) || b.Licence == "" || len(b.Files) == 0 || len(b.Fields) == 0 {
			t.Errorf("%s: where it is from is not said: %+v", b.Name, b)
		}
	}
	for _, u := range m.Unknown {
		if u.Name == "" || u.Why == "" {
			t.Errorf("%+v", u)
		}
	}
	entries, err := fs.ReadDir(embedded, "benchmarks")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(files, e.Name()) {
			t.Errorf("benchmarks/%s is in no list", e.Name())
		}
	}
	if len(m.Benchmarks) < 10 || len(m.Benchmarks) > 255 {
		t.Errorf("%d benchmarks", len(m.Benchmarks))
	}
}

func TestFingerprintFile(t *testing.T) {
	b := AppendFingerprints(nil, []uint64{7, 1 << 63, 2, 7})
	list, err := ParseFingerprints(b)
	if err != nil || !slices.Equal(list, []uint64{2, 7, 1 << 63}) {
		t.Fatal(list, err)
	}
	for i := range b {
		bad := slices.Clone(b)
		bad[i] ^= 0x80
		if list, err := ParseFingerprints(bad); err == nil && i < 16 {
			t.Errorf("byte %d changed: %v", i, list)
		}
		if _, err := ParseFingerprints(b[:i]); err == nil {
			t.Errorf("cut to %d bytes, and read", i)
		}
	}
	swapped := slices.Concat(b[:16], b[24:32], b[16:24], b[32:])
	if _, err := ParseFingerprints(swapped); err == nil {
		t.Error("numbers out of order are read")
	}
}

func FuzzFingerprints(f *testing.F) {
	f.Add(AppendFingerprints(nil, []uint64{3, 1, 2}))
	f.Add([]byte("crmprnt\x01\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := ParseFingerprints(b)
		if err == nil && !slices.Equal(AppendFingerprints(nil, slices.Clone(list)), b) {
			t.Errorf("%d fingerprints are read, and written otherwise", len(list))
		}
	})
}

// A prompt is found by its text alone: without system message, and at the end of a conversation.
func TestMatch(t *testing.T) {
	x := index(t, 1)
	x.file()
	x.table[Fingerprint("How many legs has a beetle?")] = []uint8{1}
	o := Options{Index: x}
	say := func(role, content string) tokenizer.Message { return tokenizer.Message{Role: role, Content: content} }
	for line, p := range []record.Prompt{
		{Text: "how many legs  has a beetle?"},
		{Messages: []tokenizer.Message{say("system", "Be short."), say("user", "How many legs has a beetle?")}},
		{Messages: []tokenizer.Message{say("user", "Hello."), say("assistant", "Hello!"), say("user", "How many legs has a BEETLE?")}},
		{Messages: []tokenizer.Message{say("user", "How many legs has a beetle?"), say("assistant", "Six."), say("user", "And a spider?")}},
		{Text: "How many legs has a beetle"},
	} {
		m := o.measure(&record.Record{Prompt: p, Chosen: "Six.", Rejected: "Eight.", Line: line + 1}, "f")
		x.match(&m, "f")
	}
	got := x.Matches()
	if len(got) != 1 || got[0].Name != x.list[1].Name || got[0].Rows != 3 || got[0].Prompts != 1 || !slices.Equal(got[0].First, []string{"f:1", "f:2", "f:3"}) {
		t.Errorf("%+v", got)
	}
}
