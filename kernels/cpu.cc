// cpu.cc: the CPU device: threads, scratch memory, faults, and the table of its ops.
#include "cpu.h"

#include <sched.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

const size_t align = 64, huge_page = (size_t)2 << 20;

// Large blocks begin at a huge page and ask for more of them: a fault and a TLB entry per 2 MiB instead of per 4 KiB.
void *allocate(size_t n) {
    bool huge = n >= 2 * huge_page;
    void *p = nullptr;
    n = (n + align - 1) & ~(align - 1);
    if (posix_memalign(&p, huge ? huge_page : align, n ? n : align)) return nullptr;
#if defined(__linux__)
    if (huge) (void)madvise(p, n, MADV_HUGEPAGE);  // advice only
#endif
    return p;
}

// Denormals cost a hundred cycles each and carry nothing here; every thread that runs items treats them as zero.
struct flush_denormals {
#if defined(__x86_64__)
    unsigned saved = _mm_getcsr();
    flush_denormals() { _mm_setcsr(saved | 0x8040); }  // flush to zero, denormals are zero
    ~flush_denormals() { _mm_setcsr(saved); }
#elif defined(__aarch64__)
    unsigned saved = __builtin_aarch64_get_fpcr();
    flush_denormals() { __builtin_aarch64_set_fpcr(saved | 1 << 24); }
    ~flush_denormals() { __builtin_aarch64_set_fpcr(saved); }
#else
    flush_denormals() {}
#endif
};

void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Polls for up to 20 µs, about what going to sleep and being woken costs. The clock is read seldom; yielding lets a
// neighbour that waits for this core have it.
template <class P> bool spin(P ready) {
    typedef std::chrono::steady_clock clock;
    auto limit = clock::now() + std::chrono::microseconds(20);
    do {
        for (int i = 0; i < 16; i++) {
            if (ready()) return true;
            relax();
        }
        sched_yield();
    } while (clock::now() < limit);
    return ready();
}

const uint64_t open_bit = (uint64_t)1 << 31, inside_mask = open_bit - 1;
uint32_t generation(uint64_t gate) { return (uint32_t)(gate >> 32); }

}  // namespace

arena::~arena() {
    for (block &b : blocks) ::free(b.p);
}

void *arena::bytes(size_t n) {
    n = (n + align - 1) & ~(align - 1);
    if (blocks.empty() || used + n > blocks.back().size) {
        size_t size = blocks.empty() ? (size_t)64 << 10 : 2 * blocks.back().size;
        while (size < n) size *= 2;
        blocks.reserve(blocks.size() + 1);
        char *p = static_cast<char *>(allocate(size));
        if (!p) throw std::bad_alloc();
        blocks.push_back({p, size});
        used = 0;
    }
    char *p = blocks.back().p + used;
    used += n;
    return p;
}

void arena::reset() {
    used = 0;
    if (blocks.size() < 2) return;
    size_t total = 0;
    for (block &b : blocks) {
        total += b.size;
        ::free(b.p);
    }
    blocks.clear();
    bytes(total);
    used = 0;
}

thread_pool::thread_pool(int threads) {
    for (int i = 0; i < threads; i++) scratch.emplace_back(new arena);
    try {
        for (int i = 1; i < threads; i++) workers.emplace_back(&thread_pool::worker, this, i);
    } catch (...) {  // fewer threads than wished for: go on with those
        if (workers.empty() && threads > 1) return;
    }
}

thread_pool::~thread_pool() {
    {
        std::lock_guard<std::mutex> lock(mu);
        stop = true;
    }
    wake.notify_all();
    for (std::thread &t : workers) t.join();
}

// Enters the open job, once each.
bool thread_pool::join(uint32_t &seen) {
    uint64_t g = gate.load();
    while ((g & open_bit) && generation(g) != seen) {
        if (gate.compare_exchange_weak(g, g + 1)) {
            seen = generation(g);
            return true;
        }
    }
    return false;
}

void thread_pool::leave() {
    uint64_t g = gate.fetch_sub(1) - 1;
    if ((g & open_bit) || (g & inside_mask) || !caller_sleeps.load()) return;
    { std::lock_guard<std::mutex> lock(mu); }
    done.notify_one();
}

void thread_pool::worker(int index) {
    flush_denormals flush;
    uint32_t seen = 0;
    for (;;) {
        bool in = false;
        spin([&] { return (in = join(seen)) || stop.load(); });
        if (!in) {
            std::unique_lock<std::mutex> lock(mu);
            sleepers++;
            wake.wait(lock, [&] { return stop.load() || (in = join(seen)); });
            sleepers--;
        }
        if (!in) return;
        work(*scratch[index]);
        leave();
    }
}

void thread_pool::work(arena &a) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < items;) {
        try {
            a.reset();
            fn(ctx, i, a);
        } catch (...) {
            if (!failed.exchange(true)) error = std::current_exception();
            next.store(items, std::memory_order_relaxed);
        }
    }
}

void thread_pool::await_workers() {
    gate.fetch_and(~open_bit);
    auto empty = [&] { return (gate.load() & inside_mask) == 0; };
    if (spin(empty)) return;
    std::unique_lock<std::mutex> lock(mu);
    caller_sleeps = true;
    done.wait(lock, empty);
    caller_sleeps = false;
}

void thread_pool::run(int64_t n, item_fn f, void *context) {
    if (n <= 0) return;
    items = n;
    fn = f;
    ctx = context;
    next = 0;
    failed = false;
    if (n == 1 || workers.empty()) {
        work(*scratch[0]);
    } else {
        gate.store(((uint64_t)generation(gate.load()) + 1) << 32 | open_bit);
        if (int asleep = sleepers.load()) {  // wake no more than there are items for
            { std::lock_guard<std::mutex> lock(mu); }
            for (int64_t i = std::min<int64_t>(asleep, n - 1); i > 0; i--) wake.notify_one();
        }
        work(*scratch[0]);
        await_workers();
    }
    if (failed) std::rethrow_exception(std::exchange(error, nullptr));
}

namespace {

// All C++ that Go calls goes through here, so no exception reaches it.
template <class F> void guard(kstream *s, const char *op, F f) {
    if (s->faulted) return;
    try {
        flush_denormals flush;
        s->scratch.reset();
        f();
    } catch (const std::exception &e) {
        s->faulted = true;
        s->fault = std::string(op) + ": " + e.what();
    } catch (...) {
        s->faulted = true;
        s->fault = std::string(op) + ": unknown exception";
    }
}

}  // namespace

kstream *cpu_open(int32_t threads, const char **error) {
    try {
        if (threads <= 0) {
            cpu_set_t set;  // the cores this process may use, not all of the machine's
            threads = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)std::thread::hardware_concurrency();
            if (threads < 1) threads = 1;
        }
        return new kstream(threads);
    } catch (...) {
        *error = "cannot start the device: out of memory";
        return nullptr;
    }
}

void *cpu_alloc(size_t bytes) { return allocate(bytes); }

// Pages that are given back to the system come again as zeros, when they are touched: nobody waits for what is not used yet.
void *cpu_alloc_zero(size_t bytes) {
    char *p = static_cast<char *>(allocate(bytes));
    if (!p) return nullptr;
    size_t lazy = 0;
#if defined(__linux__)
    lazy = bytes / huge_page * huge_page;
    if (bytes < 2 * huge_page || madvise(p, lazy, MADV_DONTNEED)) lazy = 0;
#endif
    memset(p + lazy, 0, bytes - lazy);
    return p;
}

void cpu_free(void *p) { ::free(p); }

const int64_t copy_block = (int64_t)1 << 20;  // bytes

void cpu_copy(kstream *s, void *dst, const void *src, size_t bytes) {
    guard(s, "copy", [&] {
        parallel_blocks(s, (int64_t)bytes, copy_block, [&](int64_t lo, int64_t hi, arena &) {
            memcpy((char *)dst + lo, (const char *)src + lo, (size_t)(hi - lo));
        });
    });
}

void cpu_zero(kstream *s, void *dst, size_t bytes) {
    guard(s, "zero", [&] {
        parallel_blocks(s, (int64_t)bytes, copy_block,
                        [&](int64_t lo, int64_t hi, arena &) { memset((char *)dst + lo, 0, (size_t)(hi - lo)); });
    });
}

namespace {

void cpu_close(kstream *s) { delete s; }

const char *cpu_sync(kstream *s) {
    if (!s->faulted) return nullptr;
    s->faulted = false;
    s->reported.swap(s->fault);
    return s->reported.c_str();
}

const char *cpu_algorithms(kstream *) { return ""; }
const char *cpu_use_algorithms(kstream *, const char *) { return nullptr; }
void cpu_fix(kstream *, int32_t) {}

#define X(op) \
    void guarded_##op(kstream *s, const op##_args *a) { guard(s, #op, [&] { cpu_##op(s, a); }); }
KERNEL_OPS(X)
#undef X

}  // namespace

#define X(op) guarded_##op,
const kernel_table kernels_cpu = {"cpu", cpu_close, cpu_sync, cpu_algorithms, cpu_use_algorithms, cpu_fix, KERNEL_OPS(X)};
#undef X
