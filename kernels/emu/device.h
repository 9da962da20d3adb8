// device.h: the software GPU as the host sees it: how it schedules, its memory and its streams.
#ifndef CRITICRM_EMU_DEVICE_H
#define CRITICRM_EMU_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// In which order threads and warps run, and when asynchronous copies happen: at their wait, at their issue, or either at random.
typedef enum { EMU_FORWARD = 0, EMU_REVERSE = 1, EMU_RANDOM = 2 } emu_order;
typedef enum { EMU_LAZY = 0, EMU_EAGER = 1, EMU_MIXED = 2 } emu_async;
typedef struct {
    emu_order order;
    emu_async async;
    uint64_t  seed;
} emu_schedule;

// Streams hold what is queued until somebody waits. Errors are sentences; they are the stream's until emu_wait gives them.
void *emu_stream(emu_schedule);
void  emu_stream_end(void *stream);
void  emu_copy(void *stream, void *dst, const void *src, size_t bytes);  // either may be the host's, which must live until the wait
void  emu_fill(void *stream, void *dst, int byte, size_t bytes);
const char *emu_wait(void *stream);                                      // runs the queue; its first error or NULL

// Device memory: 64-byte aligned, ends at a guard page, filled with 0xFF. Release checks the bytes between its end and the
// guard page, and says what is wrong.
void *emu_malloc(size_t bytes);
const char *emu_release(void *);

#ifdef __cplusplus
}
#endif
#endif
