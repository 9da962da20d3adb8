//go:build cuda && emu

#include "emu/emu.h"
#include "reward_head.cu"
