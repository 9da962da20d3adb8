//go:build cuda && emu

#include "emu/emu.h"
#include "critique_loss.cu"
