//go:build cuda && emu

#include "emu/emu.h"
#include "sample.cu"
