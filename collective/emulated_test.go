//go:build cuda && emu

package collective

const emulated = true
