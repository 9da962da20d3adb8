//go:build cuda && emu

#include "emu/emu.h"
#include "blocks.cu"
