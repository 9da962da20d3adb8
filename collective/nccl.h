// nccl.h: the part of NVIDIA's NCCL that is used here, found when it is asked for, without its headers. Types and values are those of the public
// interface, of 2.14 and newer.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct ncclComm *nccl_comm;
typedef struct {
    char bytes[128];
} nccl_id;
enum { nccl_success = 0, nccl_internal_error = 3, nccl_invalid_argument = 4, nccl_invalid_usage = 5, nccl_in_progress = 7 };
enum { nccl_uint8 = 1 };
enum { nccl_oldest = 21400 };  // in the form of GetVersion: 10000·major + 100·minor + patch

// What a communicator is made with: the beginning of the library's own struct, of which it takes as much as size says. All that came after 2.14 it
// then sets itself.
typedef struct {
    size_t   size;
    uint32_t magic, version;
    int32_t  blocking;  // 0: calls do not wait for other ranks, and return nccl_in_progress; CommGetAsyncError says when one has ended
    int32_t  unset;
} nccl_config;
enum { nccl_undefined = INT32_MIN };
#define NCCL_MAGIC 0xcafebeefu

// X(result, name, parameters): the library's function is nccl<name>.
#define NCCL_FUNCTIONS(X)                                                                                      \
    X(int, GetVersion, (int *))                                                                                \
    X(const char *, GetErrorString, (int))                                                                     \
    X(const char *, GetLastError, (nccl_comm))                                                                 \
    X(int, GetUniqueId, (nccl_id *))                                                                           \
    X(int, CommInitRankConfig, (nccl_comm *, int size, nccl_id, int rank, nccl_config *))                      \
    X(int, CommGetAsyncError, (nccl_comm, int *))                                                              \
    X(int, CommFinalize, (nccl_comm))                                                                          \
    X(int, CommDestroy, (nccl_comm))                                                                           \
    X(int, CommAbort, (nccl_comm))                                                                             \
    X(int, GroupStart, (void))                                                                                 \
    X(int, GroupEnd, (void))                                                                                   \
    X(int, Send, (const void *, size_t count, int type, int peer, nccl_comm, void *stream))                    \
    X(int, Recv, (void *, size_t count, int type, int peer, nccl_comm, void *stream))                          \
    X(int, AllGather, (const void *from, void *to, size_t count, int type, nccl_comm, void *stream))           \
    X(int, Broadcast, (const void *from, void *to, size_t count, int type, int root, nccl_comm, void *stream))

// nccl_load opens the library at a path, or where the loader finds that name. NULL, or why it cannot; version is then set, too.
const char *nccl_load(const char *path, int *version);

// Each of these is one call of the library, or one group of calls, and gives its result. Bytes at p + at[r], n[r] of them, belong to rank r.
int nccl_new_id(nccl_id *);
int nccl_begin(nccl_comm *, int size, const nccl_id *, int rank);
int nccl_exchange(nccl_comm, void *stream, int size, char *dst, const size_t *rn, const size_t *rat, const char *src, const size_t *sn, const size_t *sat);
int nccl_gather(nccl_comm, void *stream, int size, int rank, char *p, const size_t *n, const size_t *at);  // in place
int nccl_broadcast(nccl_comm, void *stream, char *p, size_t n, int root);
int nccl_state(nccl_comm);  // of the last call and of what runs
int nccl_finalize(nccl_comm);
int nccl_destroy(nccl_comm);
int nccl_abort(nccl_comm);
const char *nccl_text(nccl_comm, int code);
