package progress

import (
	"strings"
	"testing"
	"time"
)

// A stage speaks within its first seconds, before its first record is finished, then every ten seconds and at every tenth.
func TestLines(t *testing.T) {
	var b strings.Builder
	m := New(&b)
	now := time.Unix(0, 0)
	m.now = func() time.Time { return now }
	m.Samples(20)
	m.Records("generate", 0, 100, 0)
	for range 30 { // 30 seconds in the first record
		now = now.Add(time.Second)
		m.Wrote(50, 0)
	}
	now = now.Add(time.Second)
	m.Wrote(50, 10)
	m.Records("generate", 10, 100, 0)
	m.Records("generate", 100, 100, 0)
	want := `generate: 0/100 records, 50 tokens/s, no record finished yet
generate: 0/100 records, 50 tokens/s, no record finished yet
generate: 0/100 records, 50 tokens/s, no record finished yet
generate: 10/100 records, 50 tokens/s, 4m39s left
generate: 100/100 records, 50 tokens/s, 0s left
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	m.Records("filter", 40, 100, 40)
	m.Records("filter", 50, 100, 40)
	if got := b.String(); !strings.HasPrefix(got, "filter: going on after 40 of 100 records\nfilter: 50/100 records, ") {
		t.Error(got)
	}
	b.Reset()
	m.Records("check", 0, 0, 0)
	for i := range 30 { // no tenths of what is not known
		now = now.Add(time.Second)
		m.Records("check", 200*(i+1), 0, 0)
	}
	if want := "check: 400 records, 200 a second\ncheck: 2400 records, 200 a second\ncheck: 4400 records, 200 a second\n"; b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	m.Records("done", 5, 5, 5)
	m.Records("done", 5, 5, 5)
	if got := b.String(); got != "done: going on after 5 of 5 records\n" {
		t.Errorf("a stage that was finished before says %q", got)
	}
}

func TestRound(t *testing.T) {
	for d, want := range map[time.Duration]string{1400 * time.Millisecond: "1s", 61 * time.Second: "1m01s", 3*time.Hour + 7*time.Minute: "3h07m", -time.Second: "0s"} {
		if got := Round(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// A file that takes long is spoken of within its first seconds, and then every ten; one that does not is not.
func TestRead(t *testing.T) {
	var b strings.Builder
	m := New(&b)
	now := time.Unix(0, 0)
	m.now = func() time.Time { return now }
	for i := range 15 {
		m.Read("reading a", 1000*i, int64(i)<<20, 20<<20)
		now = now.Add(time.Second)
	}
	m.Close()
	m.Read("reading b", 1, 2<<20, 0)
	now = now.Add(3 * time.Second)
	m.Read("reading b", 300, 3<<20, 0)
	m.Close()
	m.Read("reading c", 1, 1, 1)
	m.Close()
	want := `reading a: 2000 rows, 1000 a second, 2.0 MiB of 20.0, 18s left
reading a: 12000 rows, 1000 a second, 12.0 MiB of 20.0, 8s left
reading b: 300 rows, 100 a second, 3.0 MiB
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// A download tells what has come, at the speed of this session.
func TestBytes(t *testing.T) {
	var b strings.Builder
	m := New(&b)
	now := time.Unix(0, 0)
	m.now = func() time.Time { return now }
	for i := range 15 {
		m.Bytes("downloading a", int64(10+i)<<20, 40<<20)
		now = now.Add(time.Second)
	}
	m.Bytes("downloading a", 5<<20, 40<<20) // it begins again
	m.Close()
	want := `downloading a: 12.0 of 40.0 MiB, 1.0 a second, 28s left
downloading a: 22.0 of 40.0 MiB, 1.0 a second, 18s left
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
