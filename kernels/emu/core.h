// core.h: what the parts of the software GPU share: threads, warps and blocks at work.
#ifndef CRITICRM_EMU_CORE_H
#define CRITICRM_EMU_CORE_H

#include <stdarg.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "device.h"
#include "emu.h"

namespace emu {

const unsigned all_lanes = 0xffffffffu;
const int most_threads = 1024, most_shared = 227 << 10;
#if defined(__x86_64__)
const size_t page_bytes = 4096;
#else
const size_t page_bytes = 64 << 10;  // the largest that kernels use
#endif
extern const char *const names[];  // of instructions

struct grid_launch {
    dim3 grid, block;
    size_t shared;
    std::function<void()> body;
    emu_schedule schedule;
    uint64_t total, start, step;     // blocks run in the order start + i·step modulo total
    std::atomic<uint64_t> next{0};   // i of the next block
    int helpers = 0;                 // other OS threads that work on it
    std::mutex lock;
    std::string error;               // of the first i that failed
    std::atomic<uint64_t> failed{UINT64_MAX};
};

struct copy {  // of cp.async
    char *dst;
    const char *src;
    bool valid, done;
    uint32_t group;
};

struct warp;

struct thread {
    void *sp = nullptr;              // NULL: has not begun
    char *stack = nullptr;           // its upper end
    uint3 index = {};
    uint8_t lane = 0, warp = 0;
    std::vector<copy> copies;        // issued, the oldest first
    uint32_t group = 0;              // the one that is open
    void *tsan = nullptr;
};

// Lanes of a warp that come together at an instruction.
struct meeting {
    unsigned mask, here;             // who shall come, who has; here = 0: not in use
    uint64_t what;                   // line and instruction
    const char *file;
};

struct warp {
    unsigned exist, ready, sleeping, done, absent;  // absent: done or not existing
    thread *threads;                 // the first
    meeting at[4];
    char turns[2], turn;             // what tells the sanitizer one __syncwarp from the next
    uint64_t in[32], out[32];
    int from[32];
    void *argument[32];              // of instructions with more than a number; they lie on the lanes' stacks
};

// A block at work, on one OS thread.
struct worker {
    std::vector<thread> threads;
    warp warps[most_threads / 32];
    thread *running = nullptr;       // NULL: no kernel is running
    warp *of = nullptr;              // its warp
    emu_order order = EMU_FORWARD;
    grid_launch *launch = nullptr;
    unsigned awake = 0;              // warps with lanes that are ready, at least
    unsigned count = 0, finished = 0, slept = 0;
    unsigned at_barrier = 0;
    char turns[2], turn = 0;         // what tells the sanitizer one barrier from the next
    int sum = 0;                     // of the barrier's predicates
    int result = 0;
    instruction barrier = inone;
    const char *file = nullptr;
    int line = 0;
    dim3 shape = dim3(0, 0, 0);      // that thread.index holds
    char *arena = nullptr, *arena_end = nullptr, *shared = nullptr;
    void *host = nullptr;            // stack pointer of who runs the block
    void *host_tsan = nullptr;
    uint64_t number = 0;             // of the block in the launch's order
    const char *statics = nullptr;   // the OS thread's variables, static shared memory among them; found when needed
    size_t statics_size = 0;
    bool failed = false;
    std::string error;
    uintptr_t fault = 0;             // address of an access that faulted
    int fault_code = 0;
    uint64_t random = 1;
    struct { const char *lo, *hi; } window[8];  // allocations that were used last
    unsigned windows = 0;
    uint64_t epoch = 0;              // of the windows
};
extern thread_local worker *self;

inline uint64_t draw(uint64_t &state) {  // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

std::string text(const char *format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void fail(const std::string &why);  // ends the running block
const char *base_name(const char *file);

// Where all lanes of the warp meet. NULL for all but the last to come, when that has done the work of all and left.
meeting *arrive_at(instruction);
void leave_from(meeting *);

// Shared memory: n bytes at an address of shared(), aligned by n. Fails if they are not all the block's.
char *shared_bytes(uint32_t address, unsigned n, const char *instruction);
// Device memory: fails if n bytes, aligned by n, are not all in one allocation.
void check_global(const void *p, unsigned n, const char *instruction);
std::string describe_global(const void *p, size_t n);
extern std::atomic<uint64_t> memory_epoch;  // changes with every release

void run(grid_launch &);  // throws std::runtime_error
void start_quietly(std::function<void()>);  // a thread that takes no signals of the process: they are others' business

// What the thread sanitizer is told, in a build where kernels are compiled with -fsanitize=thread and the emulator with
// -DEMU_TSAN alone. Threads of the GPU are fibers for it, of which only barriers order what they do.
#ifdef EMU_TSAN
extern "C" {
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
void __tsan_read16(void *addr);
void __tsan_write16(void *addr);
void __tsan_read8(void *addr);
void __tsan_write8(void *addr);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);
}
#define TSAN(call) __tsan_##call
// The sanitizer of g++ 13 and newer tells some 250 threads apart at a time, and misses races where there are more: then several threads of a block
// are one for it.
const unsigned most_fibers = __GNUC__ < 13 ? 1024 : 120;
struct unseen {  // the emulator's own accesses, of which the sanitizer knows those by library calls, and its locks
    unseen() { AnnotateIgnoreReadsBegin("", 0), AnnotateIgnoreWritesBegin("", 0), AnnotateIgnoreSyncBegin("", 0); }
    ~unseen() { AnnotateIgnoreReadsEnd("", 0), AnnotateIgnoreWritesEnd("", 0), AnnotateIgnoreSyncEnd("", 0); }
};
const bool sanitized = true;
#else
#define TSAN(call) (void)0
struct unseen {
    ~unseen() {}
};
const bool sanitized = false;
#endif

}  // namespace emu
#endif
