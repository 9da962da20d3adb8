// nccl.c: compares ../nccl.h with NVIDIA's nccl.h, when it is compiled with that; and tries to load the library at a path, when it is run
// (library_test.go).
#include "../nccl.h"

#include <stdio.h>

#ifdef HAVE_NCCL
#include <nccl.h>

#define SAME(ours, theirs) _Static_assert((long long)(ours) == (long long)(theirs), #theirs)
SAME(nccl_success, ncclSuccess);
SAME(nccl_internal_error, ncclInternalError);
SAME(nccl_invalid_argument, ncclInvalidArgument);
SAME(nccl_invalid_usage, ncclInvalidUsage);
SAME(nccl_in_progress, ncclInProgress);
SAME(nccl_uint8, ncclUint8);
SAME(nccl_oldest, NCCL_VERSION(2, 14, 0));
SAME(nccl_undefined, NCCL_CONFIG_UNDEF_INT);
SAME(sizeof(nccl_id), sizeof(ncclUniqueId));
SAME(sizeof(ncclResult_t), sizeof(int));
SAME(sizeof(ncclDataType_t), sizeof(int));
SAME(offsetof(nccl_config, size), offsetof(ncclConfig_t, size));
SAME(offsetof(nccl_config, magic), offsetof(ncclConfig_t, magic));
SAME(offsetof(nccl_config, version), offsetof(ncclConfig_t, version));
SAME(offsetof(nccl_config, blocking), offsetof(ncclConfig_t, blocking));
_Static_assert(sizeof(nccl_config) <= sizeof(ncclConfig_t), "the library takes as much as size says");
#endif

int main(int count, char **args) {
    int version = 0;
    const char *why = nccl_load(count > 1 ? args[1] : "libnccl.so.2", &version);
    if (why) printf("%s\n", why);
    else printf("loaded %d\n", version);
#ifdef HAVE_NCCL
    ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
    if (theirs.magic != NCCL_MAGIC) return printf("another magic number\n"), 1;
#endif
    return 0;
}
