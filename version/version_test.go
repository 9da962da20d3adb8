package version

import (
	"os"
	"regexp"
	"testing"
)

func TestSemantic(t *testing.T) {
	for stamped, want := range map[string]string{
		"":                                     coming + "-dev",
		"(devel)":                              coming + "-dev",
		"v0.3.0":                               "0.3.0",
		"v0.0.0-20261128184426-5c1b1876635a":   coming + "-0.20261128184426-5c1b1876635a",
		"v0.3.1-0.20261128184426-5c1b1876635a": "0.3.1-0.20261128184426-5c1b1876635a",
		"v0.3.1-0.20261128184426-5c1b1876635a+dirty": "0.3.1-0.20261128184426-5c1b1876635a+dirty",
	} {
		if got := semantic(stamped); got != want {
			t.Errorf("%q is %s, want %s", stamped, got, want)
		}
	}
	if String() == "" {
		t.Error("this program has no version")
	}
}

// The release that the tree is on its way to is the one on top of CHANGELOG.md.
func TestComingIsTheChangelogs(t *testing.T) {
	text, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	top := regexp.MustCompile(`(?m)^## (\S+)`).FindSubmatch(text)
	if top == nil || string(top[1]) != coming {
		t.Errorf("the heading on top of CHANGELOG.md is %s, the coming release is %s", top, coming)
	}
}
