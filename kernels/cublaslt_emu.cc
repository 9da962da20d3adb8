//go:build cuda && emu

#include "emu/cublaslt.cc"
