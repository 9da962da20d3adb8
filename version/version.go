// Package version says which program this is.
package version

import "runtime/debug"

// String is the program's version and the commit it was built from, where the build knows it.
func String() string {
	v := "0.1.0"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += "+" + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
