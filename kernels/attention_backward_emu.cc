//go:build cuda && emu

#include "emu/emu.h"
#include "attention_backward.cu"
