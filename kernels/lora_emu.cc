//go:build cuda && emu

#include "emu/emu.h"
#include "lora.cu"
