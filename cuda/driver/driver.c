// driver.c: libcuda.a, against which a GPU build links in place of NVIDIA's libcuda.so, which only machines with a driver have.
//
// Every entry point is a jump through a pointer. Until criticrm_driver has found the driver they lead to functions that fail, so
// a GPU build starts on any machine. gorgonia.org/cu calls cuInit when the program starts and ends it on an error: that call is
// answered here, and the true one waits for criticrm_driver.
#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { no_device = 100, not_supported = 801 };  // CUresult

static int absent(void) { return no_device; }
static int unknown(void) { return not_supported; }

__attribute__((visibility("hidden"))) int cuInit(unsigned flags);
int cuInit(unsigned flags) { return flags != 0; }

#if defined __x86_64__
#define JUMP(name) "\tendbr64\n\tjmp *criticrm_" #name "(%rip)\n"
#elif defined __aarch64__
#define JUMP(name) "\thint #34\n\tadrp x16, criticrm_" #name "\n\tldr x16, [x16, :lo12:criticrm_" #name "]\n\tbr x16\n"
#else
#error "x86-64 and aarch64 only"
#endif

#define X(name)                                                                        \
    __attribute__((visibility("hidden"))) int (*criticrm_##name)(void) = absent;       \
    __asm__(".text\n.p2align 4\n.globl " #name "\n.hidden " #name "\n.type " #name     \
            ", %function\n" #name ":\n" JUMP(name) ".size " #name ", . - " #name "\n");
#include "symbols.h"
#undef X

static const struct {
    const char *name;
    int (**entry)(void);
} entries[] = {
#define X(name) {#name, &criticrm_##name},
#include "symbols.h"
#undef X
};

// The software GPU's driver, where it is linked in: the entry point of a name or NULL.
void *emu_driver(const char *name) __attribute__((weak));

static void *library;
static void *lookup(const char *name) { return emu_driver ? emu_driver(name) : dlsym(library, name); }

static const char *why;
static char text[512];

static void start(void) {
    if (!emu_driver && !(library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL))) {
        const char *e = dlerror();
        if (e && !strstr(e, "No such file"))
            snprintf(text, sizeof text, "the NVIDIA driver cannot be loaded (%s): install it again", e);
        else
            snprintf(text, sizeof text, "no NVIDIA driver on this machine (libcuda.so.1 not found): install it");
        why = text;
        return;
    }
    int (*init)(unsigned) = (int (*)(unsigned))lookup("cuInit");
    int (*explain)(int, const char **) = (int (*)(int, const char **))lookup("cuGetErrorString");
    int code = init ? init(0) : not_supported;
    if (code == no_device) {
        why = "the NVIDIA driver sees no device: compare nvidia-smi and CUDA_VISIBLE_DEVICES";
        return;
    }
    if (code != 0) {
        const char *e = "unknown error";
        if (explain) explain(code, &e);
        snprintf(text, sizeof text, "the NVIDIA driver does not start (error %d: %s): see nvidia-smi and the system's log", code, e);
        why = text;
        return;
    }
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        int (*entry)(void) = (int (*)(void))lookup(entries[i].name);
        *entries[i].entry = entry ? entry : unknown;
    }
}

const char *criticrm_driver(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    return why;
}
