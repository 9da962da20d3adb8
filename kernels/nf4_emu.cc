//go:build cuda && emu

#include "emu/emu.h"
#include "nf4.cu"
