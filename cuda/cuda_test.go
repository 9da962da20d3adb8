package cuda

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	good := Info{Major: 8, Driver: 12040}
	for _, c := range []struct {
		name  string
		info  Info
		built int
		want  string // "" if the device can be used
	}{
		{"oldest of all", good, 12040, ""},
		{"new device, newer driver", Info{Major: 10, Driver: 13010}, 12080, ""},
		{"old driver", Info{Major: 8, Driver: 12020}, 12040, "the driver is for CUDA 12.2"},
		{"driver of CUDA 12 for a program of CUDA 13", good, 13000, "the driver is for CUDA 12.4, this program is built with CUDA 13.0 and needs a driver for CUDA 13.0 or newer: update the driver to 580 or newer, or build with"},
		{"driver of CUDA 13 for a program of CUDA 13", Info{Major: 9, Driver: 13000}, 13010, ""},
		{"old device", Info{Major: 7, Minor: 5, Driver: 12040}, 12040, "compute capability 7.5 is too old, 8.0"},
	} {
		got := judge(c.info, c.built)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTexts(t *testing.T) {
	for n, want := range map[int]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 3 << 19: "1.5 MiB", 80 << 30: "80.0 GiB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	e := full{"cuda:0 (X)", 3 << 30, 1 << 30, 80 << 30, Stats{Allocated: 70 << 30, Reserved: 72 << 30}}
	for _, want := range []string{"cuda:0 (X)", "asked for 3.0 GiB", "1.0 GiB free of 80.0 GiB", "uses 70.0 GiB", "keeps 2.0 GiB", "--max_tokens_per_batch", "--max_sequences"} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("%q lacks %q", e.Error(), want)
		}
	}
	var b strings.Builder
	s := Stats{Allocated: 1 << 30, HighAllocated: 2 << 30, Reserved: 3 << 30, HighReserved: 4 << 30, Requests: 17, Segments: 5, Largest: []Request{{1 << 30, 2}, {512, 1}}}
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	const want = `device memory       now        most
  in use        1.0 GiB     2.0 GiB
  reserved      3.0 GiB     4.0 GiB   in 5 segments
  kept          2.0 GiB
  17 requests, the largest: 1.0 GiB × 2, 512 bytes
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
