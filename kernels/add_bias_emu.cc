//go:build cuda && emu

#include "emu/emu.h"
#include "add_bias.cu"
