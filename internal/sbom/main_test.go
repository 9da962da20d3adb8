package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestBill(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Path: "criticrm", Version: "v0.1.0"},
		Deps: []*debug.Module{
			{Path: "example.org/a", Version: "v1.0.0", Sum: "h1:a"},
			{Path: "example.org/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/c", Version: "v2.0.0", Sum: "h1:c"}},
		},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}},
	}
	d := bill(info, []string{"glibc 2.36"}, "00ff", time.Unix(0, 0).UTC())
	if d.Metadata.Timestamp != "1970-01-01T00:00:00Z" || d.Metadata.Component.Hashes[0].Content != "00ff" || d.Metadata.Component.Properties[0].Value != "abc" {
		t.Errorf("the program is %+v", d.Metadata)
	}
	var refs []string
	for _, c := range d.Components {
		refs = append(refs, c.Ref+" "+c.Purl)
	}
	want := "example.org/a@v1.0.0 pkg:golang/example.org/a@v1.0.0|example.org/c@v2.0.0 pkg:golang/example.org/c@v2.0.0|std@1.26.8 pkg:golang/std@1.26.8|glibc@2.36 "
	if got := strings.Join(refs, "|"); got != want {
		t.Errorf("components are\n%s\nwant\n%s", got, want)
	}
}

func TestLicenses(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "a", "m@v1")
	if err := copyFrom(from, to); err == nil || !strings.Contains(err.Error(), "no licence") {
		t.Errorf("a module without a licence gives %v", err)
	}
	for _, name := range []string{"LICENSE.md", "notice", "main.go"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyFrom(from, to); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(to)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

// Without a time the bytes would be those of the day.
func TestEpoch(t *testing.T) {
	if _, err := epoch(""); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("no time gives %v", err)
	}
	if made, err := epoch("86400"); err != nil || made.Format(time.DateOnly) != "1970-01-02" {
		t.Errorf("a day gives %v, %v", made, err)
	}
}
