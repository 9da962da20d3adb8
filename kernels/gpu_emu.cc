//go:build cuda && emu

// The software GPU, for cgo, which compiles the files of this folder only.
#include "emu/driver.cc"
#include "emu/emu.cc"
#include "emu/memory.cc"
#include "emu/tensor.cc"
