//go:build cuda

// nccl.c: NCCL by dlopen, or the software GPU's where that is linked in.
#include "nccl.h"

#include <dlfcn.h>
#include <stdio.h>

#define X(result, name, parameters) static result(*name) parameters;
NCCL_FUNCTIONS(X)
#undef X

static const struct {
    const char *name;
    void      **to;
} symbols[] = {
#define X(result, name, parameters) {"nccl" #name, (void **)&name},
    NCCL_FUNCTIONS(X)
#undef X
};

// The software GPU's entry point of a name, where it is linked in (nccl_emu.cc).
void *emu_nccl(const char *name) __attribute__((weak));

const char *nccl_load(const char *path, int *version) {
    static char text[1024];
    void *lib = NULL;
    if (!emu_nccl && !(lib = dlopen(path, RTLD_NOW | RTLD_LOCAL))) {
        const char *e = dlerror();
        snprintf(text, sizeof text, "%s", e ? e : path);
        return text;
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (!(*symbols[i].to = emu_nccl ? emu_nccl(symbols[i].name) : dlsym(lib, symbols[i].name))) {
            snprintf(text, sizeof text, "%s has no %s", path, symbols[i].name);
            return text;
        }
    int code = GetVersion(version);
    if (code == nccl_success && *version >= nccl_oldest) return NULL;
    snprintf(text, sizeof text, "%s is NCCL %d, and 2.14 or newer is needed", path, code == nccl_success ? *version : 0);
    return text;
}

int nccl_new_id(nccl_id *id) { return GetUniqueId(id); }

int nccl_begin(nccl_comm *comm, int size, const nccl_id *id, int rank) {
    nccl_config config = {sizeof config, NCCL_MAGIC, nccl_oldest, 0, nccl_undefined};
    return CommInitRankConfig(comm, size, *id, rank, &config);
}

// first keeps the first result that is an error.
static int first(int was, int now) { return was == nccl_success || was == nccl_in_progress ? (now == nccl_success ? was : now) : was; }

// A group is ended also behind a call that has failed, which does not queue it.
static int ended(int code) { return first(code, GroupEnd()); }

int nccl_exchange(nccl_comm comm, void *stream, int size, char *dst, const size_t *rn, const size_t *rat, const char *src, const size_t *sn, const size_t *sat) {
    int code = GroupStart();
    if (code != nccl_success) return code;
    for (int r = 0; r < size; r++) {
        if (sn[r]) code = first(code, Send(src + sat[r], sn[r], nccl_uint8, r, comm, stream));
        if (rn[r]) code = first(code, Recv(dst + rat[r], rn[r], nccl_uint8, r, comm, stream));
    }
    return ended(code);
}

// gather is one call where the parts are alike and lie in order, else a broadcast of each.
int nccl_gather(nccl_comm comm, void *stream, int size, int rank, char *p, const size_t *n, const size_t *at) {
    int alike = 1;
    for (int r = 0; r < size; r++) alike = alike && n[r] == n[0] && at[r] == at[0] + r * n[0];
    if (alike) return AllGather(p + at[rank], p + at[0], n[0], nccl_uint8, comm, stream);
    int code = GroupStart();
    if (code != nccl_success) return code;
    for (int r = 0; r < size; r++)
        if (n[r]) code = first(code, Broadcast(p + at[r], p + at[r], n[r], nccl_uint8, r, comm, stream));
    return ended(code);
}

int nccl_broadcast(nccl_comm comm, void *stream, char *p, size_t n, int root) { return Broadcast(p, p, n, nccl_uint8, root, comm, stream); }

int nccl_state(nccl_comm comm) {
    int state = nccl_success, code = CommGetAsyncError(comm, &state);
    return code != nccl_success ? code : state;
}

int nccl_finalize(nccl_comm comm) { return CommFinalize(comm); }
int nccl_destroy(nccl_comm comm) { return CommDestroy(comm); }
int nccl_abort(nccl_comm comm) { return CommAbort(comm); }

const char *nccl_text(nccl_comm comm, int code) {
    static _Thread_local char text[1200];
    const char *name = GetErrorString(code), *last = comm ? GetLastError(comm) : NULL;
    snprintf(text, sizeof text, "%s%s%s", name ? name : "an error", last && *last ? ": " : "", last ? last : "");
    return text;
}
