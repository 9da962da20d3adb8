//go:build cuda && emu

#include "emu/emu.h"
#include "reward_loss.cu"
