//go:build cuda && emu

package kernels

import "embed"

// The go tool does not know that the .cc files include these, and would take an old build for a new one: embedded, they count.
//
//go:embed *.cu *.cuh emu
var _ embed.FS
