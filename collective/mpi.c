// mpi.c: Open MPI by dlopen. Its ABI (libmpi.so.40, versions 3 to 5): handles are addresses of the library's own objects, which have names.
#include "mpi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *handle;

static int (*Init_thread)(int *, char ***, int, int *);
static int (*Comm_rank)(handle, int *);
static int (*Comm_size)(handle, int *);
static int (*Comm_set_errhandler)(handle, handle);
static int (*Ialltoallv)(const void *, const int *, const int *, handle, void *, const int *, const int *, handle, handle, handle *);
static int (*Iallgatherv)(const void *, int, handle, void *, const int *, const int *, handle, handle, handle *);
static int (*Ibcast)(void *, int, handle, int, handle, handle *);
static int (*Test)(handle *, int *, void *);
static int (*Iprobe)(int, int, handle, int *, void *);
static int (*Error_string)(int, char *, int *);
static int (*Get_library_version)(char *, int *);
static int (*Finalize)(void);
static int (*Abort)(handle, int);
static handle world, byte_type, errors_return;

static const struct {
    const char *name;
    void      **to;
} symbols[] = {
#define F(name) {"MPI_" #name, (void **)&name}
    F(Init_thread), F(Comm_rank), F(Comm_size), F(Comm_set_errhandler), F(Ialltoallv), F(Iallgatherv), F(Ibcast), F(Test), F(Iprobe),
    F(Error_string), F(Get_library_version), F(Finalize), F(Abort),
#undef F
    {"ompi_mpi_comm_world", &world}, {"ompi_mpi_byte", &byte_type}, {"ompi_mpi_errors_return", &errors_return},
};

static char text[1024], version[512];

static const char *load(void) {
    void *lib = dlopen("libmpi.so.40", RTLD_NOW | RTLD_GLOBAL);  // its plug-ins look for its symbols
    if (!lib) {
        void *other = dlopen("libmpi.so.12", RTLD_NOW | RTLD_LOCAL);
        snprintf(text, sizeof text, "Open MPI is not installed (libmpi.so.40 not found%s): apt-get install openmpi-bin",
                 other ? "; there is an MPICH, whose interface is another one" : "");
        return text;
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (!(*symbols[i].to = dlsym(lib, symbols[i].name))) {
            snprintf(text, sizeof text, "libmpi.so.40 lacks %s: this is no Open MPI 3, 4 or 5", symbols[i].name);
            return text;
        }
    return NULL;
}

const char *mpi_load(void) {
    const char *why = load();
    if (why) return why;
    setenv("OMPI_MCA_opal_signal", "", 0);  // faults are the Go runtime's
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);  // one process reads another's memory: containers forbid it
    enum { serialized = 2 };
    int has = 0, n = 0;
    if (Init_thread(NULL, NULL, serialized, &has) || Comm_set_errhandler(world, errors_return)) return "Open MPI does not start";
    if (has < serialized) return "this Open MPI is built without threads";
    Get_library_version(version, &n);
    char *comma = strchr(version, ',');
    if (comma) *comma = 0;
    return NULL;
}

void mpi_size(int *rank, int *size) {
    Comm_rank(world, rank);
    Comm_size(world, size);
}

static int checked(int code) {
    int n = 0;
    if (code) Error_string(code, text, &n);
    return code ? -1 : 0;
}

int mpi_exchange(void *dst, const int *rn, const int *rat, const void *src, const int *sn, const int *sat, void **request) {
    return checked(Ialltoallv(src, sn, sat, byte_type, dst, rn, rat, byte_type, world, request));
}
int mpi_gather(void *p, const int *n, const int *at, void **request) {
    return checked(Iallgatherv((void *)1, 0, byte_type, p, n, at, byte_type, world, request));  // 1: MPI_IN_PLACE
}
int mpi_broadcast(void *p, int n, int root, void **request) { return checked(Ibcast(p, n, byte_type, root, world, request)); }

int mpi_done(void **request) {
    int done = 0;
    return checked(Test(request, &done, NULL)) ? -1 : done;  // NULL: MPI_STATUS_IGNORE
}

void mpi_turn(void) {
    int       found;
    enum { any = -1 };
    Iprobe(any, any, world, &found, NULL);  // nobody sends what it could find: it is for what the library does on its way
}

const char *mpi_error(void) { return text; }
const char *mpi_version(void) { return version; }
void        mpi_end(void) { Finalize(); }
void        mpi_abort(void) { Abort(world, 75); }
