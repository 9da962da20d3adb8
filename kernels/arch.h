// arch.h: compiles the part of an op's file after #else once per instruction set; ARCH_RUN picks at run time.
//
//   #ifndef ARCH
//   #define ARCH_FILE "op.cc"
//   #include "arch.h"
//   void cpu_op(…) { ARCH_RUN(op, …); }
//   #else
//   namespace { namespace ARCH { void op(…) { … } } }
//   #endif
//
// target_clones would be less text, but the compiler splits vectors before it knows the clone's registers, and gives up on
// broadcasts and reductions; here all of it is compiled for the set, and tiles are sized by its registers. Standard headers must be
// included before, as their templates must not be compiled for a set that the processor may lack.
//
// tune=haswell: a·b + c has one rounding everywhere, see -mtune in kernels.go; arch= by itself would forget that.
//
// With -DARCH_NATIVE -march=native there is this processor's set alone, which takes half the time to compile: for tests.
#include "cpu.h"

#if defined(__x86_64__) && !defined(ARCH_NATIVE)

#define ARCH v4
#define W 16
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,tune=haswell")
#include "vec.h"
#include ARCH_FILE
#pragma GCC pop_options
#undef ARCH
#undef W

#define ARCH v3
#define W 8
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3,tune=haswell")
#include "vec.h"
#include ARCH_FILE
#pragma GCC pop_options
#undef ARCH
#undef W

#endif

#define ARCH base
#if defined(ARCH_NATIVE) && defined(__AVX512VL__)
#define W 16
#elif defined(ARCH_NATIVE) && defined(__AVX2__)
#define W 8
#else
#define W 4
#endif
#include "vec.h"
#include ARCH_FILE
#undef ARCH
#undef W

#if defined(__x86_64__) && !defined(ARCH_NATIVE)
#define ARCH_RUN(f, ...)                                                     \
    do {                                                                     \
        if (__builtin_cpu_supports("x86-64-v4")) v4::f(__VA_ARGS__);         \
        else if (__builtin_cpu_supports("x86-64-v3")) v3::f(__VA_ARGS__);    \
        else base::f(__VA_ARGS__);                                           \
    } while (0)
#else
#define ARCH_RUN(f, ...) base::f(__VA_ARGS__)
#endif
