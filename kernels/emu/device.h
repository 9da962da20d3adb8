// device.h: the software GPU as the host sees it: how it schedules, its memory and its streams.
#ifndef CRITICRM_EMU_DEVICE_H
#define CRITICRM_EMU_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// In which order blocks, warps and threads run, and when asynchronous copies happen: at their wait, at their issue, or either
// at random. No schedule may change a result.
typedef enum { EMU_FORWARD = 0, EMU_REVERSE = 1, EMU_RANDOM = 2 } emu_order;
typedef enum { EMU_LAZY = 0, EMU_EAGER = 1, EMU_MIXED = 2 } emu_async;
typedef struct {
    emu_order order;
    emu_async async;
    uint64_t  seed;
} emu_schedule;

// Streams hold what is queued until somebody waits for it, so that a missing wait shows. Errors are sentences. After one the
// rest of the queue is dropped; it is the stream's until a wait gives it, and is valid until the next wait.
void *emu_stream(emu_schedule);
void  emu_stream_end(void *stream);                                      // runs the queue
void  emu_copy(void *stream, void *dst, const void *src, size_t bytes);  // either may be the host's, which must live until the wait
void  emu_fill(void *stream, void *dst, int byte, size_t bytes);
void  emu_fill32(void *stream, void *dst, uint32_t word, size_t words);
void  emu_call(void *stream, void (*f)(void *), void *argument);         // f runs when the stream gets to it
const char *emu_wait(void *stream);                                      // runs the queue; its first error or NULL
int   emu_idle(void *stream);                                            // whether the queue is empty; runs nothing
size_t emu_shared(void *stream);                                         // bytes of shared memory that a block may have: 227 KiB, as at first
void  emu_lower_shared(void *stream, size_t bytes);                      // as on smaller GPUs

// A place in a stream's queue. Places of a stream that has ended have been passed.
typedef struct {
    uint64_t stream, at;
} emu_event;
emu_event   emu_record(void *stream);
void        emu_follow(void *stream, emu_event);  // what is queued from now on runs after the event
int         emu_passed(emu_event);                // runs nothing
const char *emu_reach(emu_event);                 // runs its stream up to it; the stream's first error or NULL
int         emu_pursue(emu_event, const char **); // whether it has passed; if not, a thread runs its stream up to it from now on. The error as emu_reach

// Device memory: 64-byte aligned, between two guard pages, its end as near to the second as that allows; filled with 0xFF.
// NULL if the device is full. Release checks the bytes between the memory and the guard pages, and says what is wrong.
void *emu_malloc(size_t bytes);
const char *emu_release(void *);
void emu_memory(size_t *total, size_t *used);
void emu_resize(size_t total);                                 // 8 GiB at first
int  emu_find(const void *p, void **base, size_t *bytes);      // the allocation that p is in; 0: none
const char *emu_outside(const void *p, size_t bytes);          // NULL if all of it is in one allocation, else what is wrong

// How often, or how many bytes of it, was asked for since the program started. A drain is a wait that left the device without work.
typedef enum {
    EMU_LAUNCHES, EMU_PRODUCTS, EMU_COPIES, EMU_FILLS, EMU_UPLOADS, EMU_UPLOADED, EMU_DOWNLOADS, EMU_DOWNLOADED, EMU_RECORDS, EMU_WAITS, EMU_DRAINS, EMU_KINDS
} emu_kind;
uint64_t emu_counted(emu_kind);
void     emu_count(emu_kind, uint64_t n);

// From now on the device only pretends: it counts, takes any amount of memory, which has addresses but no bytes, runs nothing, and
// copies zeros to the host. What the host does for a model can then be measured at its full size.
void emu_pretend(int on);
int  emu_pretends(void);

// The driver's entry point of a name, NULL if there is none, and in a sentence the first fault since the last call (driver.cc).
void       *emu_driver(const char *name);
const char *emu_driver_fault(void);

// NVIDIA's runtime, as far as threads have a device and a context (driver.cc). emu_set_device is cudaSetDevice: the device's primary
// context is current on the calling thread from then on, and the runtime holds it until the process ends. A launch makes that of the
// thread's device current if the thread has none; libraries that call the driver do not. emu_unbound says why the calling thread cannot
// use a stream (NULL: any), or NULL if it can.
int         emu_set_device(int device);
void        emu_bind(void);
const char *emu_unbound(void *stream);
int         emu_device(void);  // whose context is current on the calling thread, among those that the driver has made streams on; -1: none

// A fault of a device lasts as long as the process, also when everything on it is closed. From now on the process counts as another one.
void emu_new_process(void);

// How many OS threads run the blocks of a launch, the waiting one included. 0: one per processor, as at first.
void emu_workers(int n);

#ifdef __cplusplus
}
#endif
#endif
