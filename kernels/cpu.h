// cpu.h: what every CPU op builds on: the stream with its threads, loops over items in parallel, and scratch memory.
//
// An op cuts its work into items of a fixed meaning (so many rows, one block and head, …) that does not depend on the number
// of threads, and writes each result from one item only. Then the bits of a result do not depend on it either.
// An op may throw; the table turns that into the stream's fault, and later ops do nothing until sync has given it.
#ifndef CRITICRM_CPU_H
#define CRITICRM_CPU_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "kernels.h"

typedef uint16_t bf16;  // the upper half of a float

static inline float to_f32(float x) { return x; }
static inline float to_f32(bf16 x) {
    uint32_t b = (uint32_t)x << 16;
    float f;
    memcpy(&f, &b, 4);
    return f;
}
static inline void from_f32(float *p, float x) { *p = x; }
static inline void from_f32(bf16 *p, float x) {  // to nearest, ties to even
    uint32_t b;
    memcpy(&b, &x, 4);
    *p = (b & 0x7fffffff) > 0x7f800000 ? (bf16)(b >> 16 | 0x40) : (bf16)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

// Memory that lives until the next reset. It grows and is kept, so that a repeated op allocates nothing. Contents are
// undefined, addresses 64-byte aligned.
class arena {
  public:
    arena() = default;
    arena(const arena &) = delete;
    arena &operator=(const arena &) = delete;
    ~arena();

    template <class T> T *get(size_t n) { return static_cast<T *>(bytes(n * sizeof(T))); }
    void reset();  // the blocks of an op that did not fit are joined to one here

  private:
    void *bytes(size_t n);
    struct block {
        char *p;
        size_t size;
    };
    std::vector<block> blocks;  // the last one is being used
    size_t used = 0;            // of the last block
};

typedef void (*item_fn)(void *context, int64_t item, arena &scratch);

// Persistent threads that claim items one by one. The calling thread takes part. A worker that the system does not run
// in time is not waited for: its items are claimed by the others.
class thread_pool {
  public:
    explicit thread_pool(int threads);
    ~thread_pool();
    void run(int64_t n, item_fn f, void *context);  // rethrows the first exception of an item
    int size() const { return (int)workers.size() + 1; }

  private:
    void worker(int index);
    void work(arena &scratch);
    bool join(uint32_t &seen);
    void leave();
    void await_workers();

    // gate: generation (32 bits), open (1 bit), workers inside (31 bits). The job is written while nobody is inside.
    std::atomic<uint64_t> gate{0};
    std::atomic<int64_t> next{0};
    int64_t items = 0;
    item_fn fn = nullptr;
    void *ctx = nullptr;
    std::atomic<bool> failed{false};
    std::exception_ptr error;

    std::atomic<int> sleepers{0};
    std::atomic<bool> stop{false}, caller_sleeps{false};
    std::mutex mu;
    std::condition_variable wake, done;
    std::vector<std::unique_ptr<arena>> scratch;  // one per thread, the caller's first
    std::vector<std::thread> workers;
};

// A CPU device.
struct kstream {
    explicit kstream(int threads) : pool(threads) {}
    thread_pool pool;
    arena scratch;          // of the op that runs, for what all its items share; reset before each op
    bool faulted = false;   // sticky until sync
    std::string fault, reported;
};

// f(item, scratch) for every item in [0, n), on all threads. scratch is the thread's own and is reset before each item.
// Calls do not nest.
template <class F> void parallel_for(kstream *s, int64_t n, F &&f) {
    typedef typename std::remove_reference<F>::type fn;
    s->pool.run(n, [](void *c, int64_t i, arena &a) { (*static_cast<fn *>(c))(i, a); }, (void *)&f);
}

// The same for blocks of up to size consecutive indices of [0, n):  f(lo, hi, scratch)
template <class F> void parallel_blocks(kstream *s, int64_t n, int64_t size, F &&f) {
    parallel_for(s, (n + size - 1) / size, [&](int64_t i, arena &a) {
        int64_t lo = i * size, hi = lo + size < n ? lo + size : n;
        f(lo, hi, a);
    });
}

#endif
