// Package version says which program this is.
package version

import (
	"runtime/debug"
	"strings"
)

// coming is the release that the tree is on its way to: the version of a build that knows no commit, or no tag before its commit.
const coming = "0.1.0"

// String is the program's semantic version, from git: 1.2.3 when it was built from the commit with the tag v1.2.3; a version between that
// and the next, with time and commit, for later commits; and +dirty after it if files were changed.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return semantic("")
	}
	return semantic(info.Main.Version)
}

// semantic is the version in the terms of Go's build information: v1.2.3, v1.2.4-0.20261128184426-5c1b1876635a, and without a tag
// v0.0.0-20261128184426-5c1b1876635a.
func semantic(stamped string) string {
	v, ok := strings.CutPrefix(stamped, "v")
	if !ok { // "(devel)": a test, or a build outside of git
		return coming + "-dev"
	}
	if commit, ok := strings.CutPrefix(v, "0.0.0-"); ok {
		return coming + "-0." + commit
	}
	return v
}
