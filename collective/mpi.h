// mpi.h: the part of Open MPI that is used here, found when it is asked for, without its headers: the plain build does not need it.
#pragma once
#include <stddef.h>

// mpi_load opens the library and begins. NULL, or why it cannot: what, and what to do.
const char *mpi_load(void);
void mpi_size(int *rank, int *size);

// Bytes at p + at[r], n[r] of them, belong to rank r. Each call begins a transfer, whose name it leaves in request; mpi_done says whether it has
// ended: 1, 0, or -1 for an error, whose text mpi_error has.
int mpi_exchange(void *dst, const int *rn, const int *rat, const void *src, const int *sn, const int *sat, void **request);
int mpi_gather(void *p, const int *n, const int *at, void **request);  // in place: rank r gives its part, all get all
int mpi_broadcast(void *p, int n, int root, void **request);
int mpi_done(void **request);
void mpi_turn(void);  // lets the library go on with what is under way
const char *mpi_error(void);
const char *mpi_version(void);
void mpi_end(void);    // when all ranks get here
void mpi_abort(void);  // ends this process, and asks the launcher to end the others
