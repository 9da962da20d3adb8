// emu.cc: threads as fibers, warps and blocks, and where they meet. A thread that must wait picks the next and jumps to it.
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "core.h"
#include "switch.h"

namespace emu {

thread_local worker *self;

#define X(name) #name,
const char *const names[] = {EMU_INSTRUCTIONS(X)};
#undef X

std::string text(const char *format, ...) {
    char buffer[1024];
    va_list a;
    va_start(a, format);
    vsnprintf(buffer, sizeof buffer, format, a);
    va_end(a);
    return buffer;
}

const char *base_name(const char *file) {
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

namespace {

const size_t stack_bytes = 64 << 10;
const unsigned most_sleeps = 100000;
const char canary = 0x5a;

std::string place(instruction what, const char *file, int line) {
    return file ? text("%s (%s:%d)", names[what], base_name(file), line) : names[what];
}
std::string place(const meeting &m) { return place((instruction)(m.what & 0xff), m.file, (int)(m.what >> 8)); }

char *reserve(size_t bytes) {
    void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::runtime_error("the software GPU has no host memory left");
    return (char *)p;
}

// ---- fibers

void entry();

void prepare(thread &t) {  // a stack that emu_switch resumes at entry
    void **sp = (void **)t.stack - saved_words;
    memset(sp, 0, saved_words * sizeof *sp);
    sp[return_word] = (void *)entry;
    t.sp = sp;
}

// Goes on with t, and saves in *from what it takes to come back.
inline void go_on(worker &w, thread *t, void **from) {
    w.running = t;
    threadIdx = t->index;
    if (!t->sp) prepare(*t);
    TSAN(switch_to_fiber(t->tsan, 1));
    emu_switch(from, t->sp);
}

inline void resume(worker &w, thread *t) {
    if (t != w.running) go_on(w, t, &w.running->sp);
}

[[noreturn]] void to_host(worker &w) {
    void *gone;
    w.running = nullptr;
    TSAN(switch_to_fiber(w.host_tsan, 1));
    emu_switch(&gone, w.host);
    __builtin_unreachable();
}

// Which bit of a mask is next.
inline int choose(worker &w, unsigned mask) {
    if (w.order == EMU_FORWARD) return __builtin_ctz(mask);
    if (w.order == EMU_REVERSE) return 31 - __builtin_clz(mask);
    int turn = draw(w.random) & 31;
    return (__builtin_ctz(turn ? mask >> turn | mask << (32 - turn) : mask) + turn) & 31;
}

inline void wake(worker &w, warp &p, unsigned lanes) {
    p.ready |= lanes;
    w.awake |= 1u << (&p - w.warps);
}

std::string waits_at(const worker &w, const thread &t) {
    const warp &p = w.warps[t.warp];
    for (const meeting &m : p.at) {
        if (m.here >> t.lane & 1) return "wait at " + place(m) + text(" for lanes %08x", m.mask);
    }
    if (p.done >> t.lane & 1) return "have returned";
    return "wait at " + (p.sleeping >> t.lane & 1 ? "__nanosleep" : place(w.barrier, w.file, w.line));
}

[[noreturn]] void deadlock(const worker &w) {
    std::string s, last;
    for (unsigned i = 0, from = 0; i <= w.count; i++) {
        std::string now = i < w.count ? waits_at(w, w.threads[i]) : "";
        if (i && now != last) s += text("%s threads %u-%u ", from ? ";" : "", from, i - 1) + last, from = i;
        last.swap(now);
    }
    fail("nobody can go on:" + s);
}

void idle(worker &w) {  // nobody is ready
    bool any = false;
    for (unsigned i = 0; i < (w.count + 31) / 32; i++) any = any || w.warps[i].sleeping;
    if (!any || ++w.slept > most_sleeps) deadlock(w);
    for (unsigned i = 0; i < (w.count + 31) / 32; i++) {
        if (w.warps[i].sleeping) wake(w, w.warps[i], w.warps[i].sleeping), w.warps[i].sleeping = 0;
    }
    if (w.launch->failed.load(std::memory_order_relaxed) < w.number) fail("stopped, since another block failed");
    std::this_thread::yield();  // they may wait for another block
}

// A thread of a warp that is ready.
inline thread *take(worker &w, warp &p) {
    int lane = choose(w, p.ready);
    p.ready &= ~(1u << lane);
    w.of = &p;
    return p.threads + lane;
}

__attribute__((noinline)) thread *pick_anywhere(worker &w) {
    for (;;) {
        if (!w.awake) idle(w);
        int i = choose(w, w.awake);
        if (w.warps[i].ready) return take(w, w.warps[i]);
        w.awake &= ~(1u << i);
    }
}

// The thread that runs next: one of the same warp, if any of it is ready.
inline thread *pick(worker &w) {
    if (w.of->ready && (w.order != EMU_RANDOM || draw(w.random) & 3)) return take(w, *w.of);
    return pick_anywhere(w);
}

// A thread that has returned must not be waited for.
[[noreturn]] void returned(unsigned who, const std::string &where) {
    fail(text("thread %u has returned, and is waited for at ", who) + where);
}

// Ends the running thread.
void finish(worker &w) {
    thread &t = *w.running;
    warp &p = *w.of;
    unsigned bit = 1u << t.lane, number = t.warp * 32 + t.lane;
    if (!t.copies.empty()) fail(text("returns with %zu cp.async copies that it has not waited for", t.copies.size()));
    p.done |= bit, p.absent |= bit;
    for (const meeting &m : p.at) {
        if (m.here && m.mask & bit) returned(number, place(m));
    }
    if (w.at_barrier) returned(number, place(w.barrier, w.file, w.line));
    TSAN(release(w.launch));
    t.sp = nullptr;
    w.finished++;
}

// Where the stack of a thread begins. When the thread is done, the next that has not begun gets the stack, and needs no switch.
void entry() {
    worker &w = *self;
    for (;;) {
        TSAN(acquire(&w.host));
        w.launch->body();
        finish(w);
        if (w.finished == w.count) to_host(w);
        thread *next = pick(w);
        if (!next->sp && !sanitized) {
            std::swap(next->stack, w.running->stack);
            w.running = next;
            threadIdx = next->index;
        } else {
            void *gone;
            go_on(w, next, &gone);
        }
    }
}

}  // namespace

void fail(const std::string &why) {
    worker &w = *self;
    uint3 t = w.running->index;
    w.error = text("block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y, blockIdx.z, t.x, t.y, t.z) + why;
    w.failed = true;
    to_host(w);
}

void trap(const char *file, int line) { fail(text("__trap (%s:%d)", base_name(file), line)); }

// ---- meetings of lanes

namespace {

// Errors are made out of line: the functions of every instruction stay short.
#define COLD __attribute__((noinline, cold))

// Why the running thread cannot come to a meeting, or which other than the warp's first it comes to.
COLD meeting *other_meeting(worker &w, instruction what, unsigned mask, const char *file, int line) {
    warp &p = *w.of;
    thread &t = *w.running;
    if (!(mask >> t.lane & 1)) fail(place(what, file, line) + text(": its lane %d is not in its mask %08x", t.lane, mask));
    if (unsigned gone = mask & p.done) returned(t.warp * 32 + __builtin_ctz(gone), place(what, file, line));
    if (unsigned no = mask & p.absent) {
        fail(place(what, file, line) + text(": the mask %08x has lane %d, which a block of %u threads has not", mask, __builtin_ctz(no), w.count));
    }
    meeting *free = nullptr;
    for (meeting &m : p.at) {
        if (m.here && m.mask == mask) return &m;
        if (!m.here && !free) free = &m;
    }
    if (!free) fail(place(what, file, line) + ": a fifth mask in a warp at once");
    return free;
}

[[noreturn]] COLD void different(const meeting &m, instruction what, const char *file, int line) {
    fail(text("lanes of mask %08x meet in different instructions: ", m.mask) + place(what, file, line) + text(", but lanes %08x in ", m.here) + place(m));
}
[[noreturn]] COLD void bad_width(instruction what, int width, const char *file, int line) { fail(place(what, file, line) + text(": width %d", width)); }
[[noreturn]] COLD void not_in_mask(instruction what, int lane, int from, unsigned mask, const char *file, int line) {
    fail(place(what, file, line) + text(": lane %d reads lane %d, which is not in the mask %08x", lane, from, mask));
}

}  // namespace

__attribute__((always_inline)) inline meeting *arrive(instruction what, unsigned mask, const char *file, int line) {
    worker &w = *self;
    thread &t = *w.running;
    warp &p = *w.of;
    unsigned bit = 1u << t.lane;
    uint64_t id = (uint64_t)line << 8 | what;
    meeting *m = &p.at[0];
    if (__builtin_expect(m->mask != mask || !(mask & bit) || mask & p.absent, 0)) m = other_meeting(w, what, mask, file, line);
    if (!m->here) {
        m->mask = mask, m->what = id, m->file = file;
    } else if (__builtin_expect(m->what != id, 0)) {
        different(*m, what, file, line);
    }
    if ((m->here |= bit) == mask) return m;
    resume(w, pick(w));
    return nullptr;
}

inline void leave(meeting *m) {
    worker &w = *self;
    m->here = 0;
    wake(w, *w.of, m->mask);
    resume(w, pick(w));
}

meeting *arrive_at(instruction what) { return arrive(what, all_lanes, nullptr, 0); }
void leave_from(meeting *m) { leave(m); }

uint64_t shuffle(instruction what, unsigned mask, uint64_t value, int argument, int width, const char *file, int line) {
    worker &w = *self;
    int lane = w.running->lane, last = lane | (width - 1), first = lane & ~(width - 1), from;
    warp &p = *w.of;
    if (__builtin_expect(width < 1 || width > 32 || (width & (width - 1)), 0)) bad_width(what, width, file, line);
    if (what == i__shfl_xor_sync) from = lane ^ argument;
    else if (what == i__shfl_sync) from = first | (argument & (width - 1));
    else from = what == i__shfl_up_sync ? lane - argument : lane + argument;
    p.in[lane] = value, p.from[lane] = from > last || (from < first && what == i__shfl_up_sync) ? lane : from & 31;
    if (meeting *m = arrive(what, mask, file, line)) {
        if (mask == all_lanes) {
            for (int i = 0; i < 32; i++) p.out[i] = p.in[p.from[i]];
        } else {
            for (int i = 0; i < 32; i++) {
                if (!(mask >> i & 1)) continue;
                if (!(mask >> p.from[i] & 1)) not_in_mask(what, i, p.from[i], mask, file, line);
                p.out[i] = p.in[p.from[i]];
            }
        }
        leave(m);
    }
    return p.out[lane];
}

unsigned vote(instruction what, unsigned mask, unsigned value, bool is_signed, const char *file, int line) {
    worker &w = *self;
    int lane = w.running->lane;
    warp &p = *w.of;
    p.in[lane] = value;
    char *token = &p.turns[mask == all_lanes ? (int)p.turn : 0];
    if (what == i__syncwarp) TSAN(release(token));
    if (meeting *m = arrive(what, mask, file, line)) {
        unsigned r = 0;
        bool begun = false;
        for (int i = 0; i < 32 && what != i__syncwarp; i++) {
            if (!(mask >> i & 1)) continue;
            unsigned x = (unsigned)p.in[i];
            bool less = is_signed ? (int)x < (int)r : x < r;
            switch (what) {
            case i__ballot_sync: r |= x << i; break;
            case i__any_sync: case i__reduce_or_sync: r |= x; break;
            case i__all_sync: case i__reduce_and_sync: r = begun ? r & x : x; break;
            case i__reduce_xor_sync: r ^= x; break;
            case i__reduce_min_sync: r = !begun || less ? x : r; break;
            case i__reduce_max_sync: r = !begun || !less ? x : r; break;
            default: r += x;
            }
            begun = true;
        }
        for (int i = 0; i < 32; i++) {
            if (mask >> i & 1) p.out[i] = r;
        }
        if (what == i__syncwarp && mask == all_lanes) p.turn ^= 1;
        leave(m);
    }
    if (what == i__syncwarp) TSAN(acquire(token));
    (void)token;
    return (unsigned)p.out[lane];
}

// ---- the block's barrier

int barrier(instruction what, int predicate, const char *file, int line) {
    worker &w = *self;
    if (w.finished) {
        unsigned i = 0;
        while (!(w.warps[i / 32].done >> i % 32 & 1)) i++;
        returned(i, place(what, file, line));
    }
    if (!w.at_barrier) {
        w.barrier = what, w.file = file, w.line = line, w.sum = 0;
    } else if (w.barrier != what || w.line != line) {
        fail("a divergent barrier: " + place(what, file, line) + text(", but %u threads wait at ", w.at_barrier) + place(w.barrier, w.file, w.line));
    }
    char *token = &w.turns[(int)w.turn];
    TSAN(release(token));
    w.sum += predicate != 0;
    if (++w.at_barrier < w.count) {
        resume(w, pick(w));
    } else {
        w.result = what == i__syncthreads_and ? w.sum == (int)w.count : what == i__syncthreads_or ? w.sum > 0 : w.sum;
        w.at_barrier = 0, w.turn ^= 1;
        for (unsigned i = 0; i < (w.count + 31) / 32; i++) wake(w, w.warps[i], w.warps[i].exist);
        resume(w, pick_anywhere(w));
    }
    TSAN(acquire(token));
    (void)token;
    return w.result;
}

void give_way() {
    worker &w = *self;
    if (w.order != EMU_RANDOM || (draw(w.random) & 3)) return;
    wake(w, *w.of, 1u << w.running->lane);
    resume(w, pick(w));
}

void nanosleep() {
    worker &w = *self;
    w.of->sleeping |= 1u << w.running->lane;
    resume(w, pick(w));
}

// ---- shared memory. Its addresses are offsets from the dynamic part, or from 2³¹ on those of static variables, which lie in
// the OS thread's own storage.

char *dynamic_shared() { return self->shared; }

namespace {
const uint32_t dynamic_base = 1024, static_base = 1u << 31;

int find_storage(dl_phdr_info *m, size_t, void *) {
    for (int i = 0; i < m->dlpi_phnum; i++) {
        const char *lo = (const char *)m->dlpi_tls_data, *here = (const char *)&threadIdx;
        if (m->dlpi_phdr[i].p_type != PT_TLS || here < lo || here >= lo + m->dlpi_phdr[i].p_memsz) continue;
        self->statics = lo, self->statics_size = m->dlpi_phdr[i].p_memsz;
        return 1;
    }
    return 0;
}
}  // namespace

uint32_t shared_address(const void *p) {
    worker &w = *self;
    const char *c = (const char *)p;
    if (c >= w.shared && c <= w.shared + w.launch->shared) return dynamic_base + (uint32_t)(c - w.shared);
    if (!w.statics) dl_iterate_phdr(find_storage, nullptr);
    if (c >= w.statics && c < w.statics + w.statics_size) return static_base + (uint32_t)(c - w.statics);
    fail(text("%p is not in shared memory", p));
}

char *shared_bytes(uint32_t a, unsigned n, const char *what) {
    worker &w = *self;
    size_t size = w.launch->shared;
    if (a >= static_base) {
        const char *p = w.statics + (a - static_base);
        if ((uintptr_t)p % n) fail(text("%s: a static shared variable that is not aligned to %u bytes", what, n));
        if (a - static_base + n > w.statics_size) fail(text("%s: outside of the static shared variables", what));
        return const_cast<char *>(p);
    }
    int64_t at = (int64_t)a - dynamic_base;
    if (at % n) fail(text("%s: byte %ld of shared memory is not aligned to %u bytes", what, (long)at, n));
    if (at < 0 || (size_t)at + n > size) fail(text("%s: bytes %ld to %ld of %zu bytes of shared memory", what, (long)at, (long)at + n, size));
    return w.shared + at;
}

// ---- blocks

namespace {

// A fault in a kernel, say at a guard page, fails its block: the handler returns into landing.
struct sigaction previous_segv, previous_bus;

void landing() {
    worker &w = *self;
    uintptr_t a = w.fault;
    if (w.fault_code == SI_KERNEL) fail("an access that is misaligned, or to no address at all");
    for (const thread &t : w.threads) {
        if (t.stack && a < (uintptr_t)t.stack && a + stack_bytes + 2 * page_bytes >= (uintptr_t)t.stack) fail(text("its stack is full (%zu bytes)", stack_bytes));
    }
    if (a >= (uintptr_t)w.arena && a < (uintptr_t)w.arena_end + page_bytes) {
        fail(text("an access at byte %ld of %zu bytes of shared memory", (long)(a - (uintptr_t)w.shared), w.launch->shared));
    }
    fail("an access at " + describe_global((const void *)a, 1));
}

void on_fault(int signal, siginfo_t *info, void *context) {
    worker *w = self;
    if (!w || !w->running) {
        struct sigaction &p = signal == SIGSEGV ? previous_segv : previous_bus;
        if (p.sa_flags & SA_SIGINFO) p.sa_sigaction(signal, info, context);
        else if (p.sa_handler == SIG_DFL || p.sa_handler == SIG_IGN) sigaction(signal, &p, nullptr);  // happens again
        else p.sa_handler(signal);
        return;
    }
    w->fault = (uintptr_t)info->si_addr, w->fault_code = info->si_code;
    go_on_at(context, w->running->stack, landing);  // nothing on that stack is needed any more
}

// A thread whose stack is full needs another for the handler.
void give_handler_a_stack() {
    thread_local bool given = false;
    stack_t s = {};
    if (given || sigaltstack(nullptr, &s) || !(s.ss_flags & SS_DISABLE)) return;
    s.ss_flags = 0, s.ss_size = 64 << 10, s.ss_sp = reserve(s.ss_size);
    given = !sigaltstack(&s, nullptr);
}

void catch_faults() {
    struct sigaction a = {};
    a.sa_sigaction = on_fault;
    a.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&a.sa_mask);
    sigaction(SIGSEGV, &a, &previous_segv);
    sigaction(SIGBUS, &a, &previous_bus);
}

void resize(worker &w, const dim3 &b) {
    unsigned n = b.x * b.y * b.z;
    if (!w.arena) {
        w.arena = reserve(most_shared + 2 * page_bytes);
        w.arena_end = w.arena + (most_shared + page_bytes - 1) / page_bytes * page_bytes;
        mprotect(w.arena_end, page_bytes, PROT_NONE);
        w.threads.reserve(most_threads);
    }
    while (w.threads.size() < n) {
        unsigned i = (unsigned)w.threads.size();
        w.threads.emplace_back();
        thread &t = w.threads.back();
        t.lane = i % 32, t.warp = i / 32;
        char *bottom = reserve(stack_bytes + 2 * page_bytes);
        mprotect(bottom, page_bytes, PROT_NONE);
#ifdef EMU_TSAN
        t.tsan = i < most_fibers ? __tsan_create_fiber(0) : w.threads[i % most_fibers].tsan;
#endif
        t.stack = bottom + page_bytes + stack_bytes + page_bytes - i * 1088 % page_bytes / 16 * 16;  // equal offsets would share cache sets
    }
    w.count = n, w.shape = b;
    for (unsigned i = 0; i < n; i++) w.threads[i].index = {i % b.x, i / b.x % b.y, i / b.x / b.y};
    for (unsigned i = 0; i < (n + 31) / 32; i++) w.warps[i].threads = &w.threads[i * 32], w.warps[i].exist = n - i * 32 >= 32 ? all_lanes : (1u << n % 32) - 1;
}

void run_block(worker &w, uint64_t i) {
    grid_launch &l = *w.launch;
    uint64_t b = (uint64_t)(((unsigned __int128)i * l.step + l.start) % l.total);
    blockIdx = {(unsigned)(b % l.grid.x), (unsigned)(b / l.grid.x % l.grid.y), (unsigned)(b / l.grid.x / l.grid.y)};
    blockDim = l.block, gridDim = l.grid;
    w.number = i;
    w.random = l.schedule.seed ^ i * 0x9e3779b97f4a7c15u;
    size_t slack = (size_t)(w.arena_end - w.shared) - l.shared;
    if (sanitized) w.arena = (char *)mmap(w.arena, (size_t)(w.arena_end - w.arena), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset(w.shared, 0xff, l.shared);
    memset(w.shared + l.shared, canary, slack);
    w.finished = w.slept = w.at_barrier = 0;
    w.awake = 0;
    for (unsigned k = 0; k < (w.count + 31) / 32; k++) {
        warp &p = w.warps[k];
        p.ready = p.sleeping = p.done = 0;
        p.absent = ~p.exist;
        for (meeting &m : p.at) m.here = 0;
        wake(w, p, p.exist);
    }
#ifdef EMU_TSAN
    w.host_tsan = __tsan_get_current_fiber();
#endif
    TSAN(release(&w.host));
    go_on(w, pick_anywhere(w), &w.host);
    if (!w.failed) {
        const char *end = w.shared + l.shared;
        size_t k = 0;
        while (k < slack && end[k] == canary) k++;
        if (k < slack) {
            w.failed = true;
            w.error = text("block (%u, %u, %u): a write at byte %zu of %zu bytes of shared memory", blockIdx.x, blockIdx.y, blockIdx.z, l.shared + k, l.shared);
        }
    }
    if (!w.failed) return;
    for (thread &t : w.threads) t.sp = nullptr, t.copies.clear();  // abandoned
    w.failed = false;
    std::lock_guard<std::mutex> hold(l.lock);
    if (i < l.failed) l.failed = i, l.error = w.error;
}

// Runs blocks of a launch until there are none left, or one.
void work(worker &w, grid_launch &l, bool one = false) {
    w.launch = &l;
    w.order = l.schedule.order;
    self = &w;
    w.statics = nullptr;  // may be of another OS thread
    if (w.shape.x != l.block.x || w.shape.y != l.block.y || w.shape.z != l.block.z) resize(w, l.block);
    w.shared = w.arena_end - (l.shared + 1023) / 1024 * 1024;
    for (uint64_t i; (i = l.next.fetch_add(1)) < l.total && i < l.failed.load() && (run_block(w, i), !one);) {}
    self = nullptr;
}

// ---- OS threads

// For the sanitizer the threads of a block and of the next are not ordered but by the launch, since two workers take turns, each with fibers and
// meeting places of its own. Each block has an OS thread, for it to see new static shared memory, and new dynamic shared memory: only what blocks
// do to global memory can be a race of two blocks.
void run_sanitized(grid_launch &l) {
    static worker *w = new worker, *other = new worker;
    static grid_launch *now;
    now = &l;
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 256 << 10);  // a stack's size is what a thread costs with the sanitizer
    while (l.next < l.total && l.failed == UINT64_MAX) {
        pthread_t t;
        auto block = [](void *) -> void * { return work(*w, *now, true), nullptr; };
        if (pthread_create(&t, &a, block, nullptr)) throw std::runtime_error("no thread for a block");
        pthread_join(t, nullptr);
        std::swap(w, other);
    }
    pthread_attr_destroy(&a);
    TSAN(acquire(&l));
}

struct pool {
    std::mutex lock;
    std::condition_variable more, done;
    std::vector<grid_launch *> launches;  // that want help
    std::vector<worker *> spare;          // of threads that wait for streams
    int wanted = -1, started = 0, waiting = 0;
};
pool &all() {
    static pool *p = new pool;  // never destroyed: its threads live as long as the process
    return *p;
}

void help(int number) {
    give_handler_a_stack();
    worker *w = new worker;
    pool &p = all();
    std::unique_lock<std::mutex> hold(p.lock);
    for (;;) {
        grid_launch *l = nullptr;
        for (grid_launch *x : p.launches) {
            if (number < p.wanted && x->next.load() < x->total && x->failed.load() == UINT64_MAX) l = x;
        }
        if (!l) {
            p.waiting++;
            p.more.wait(hold);
            p.waiting--;
            continue;
        }
        l->helpers++;
        hold.unlock();
        work(*w, *l);
        hold.lock();
        l->helpers--;
        p.done.notify_all();
    }
}

void start_helpers(pool &p) {  // with its lock
    if (p.wanted < 0) p.wanted = std::max(1, (int)std::thread::hardware_concurrency());
    for (; p.started + 1 < p.wanted; p.started++) start_quietly([n = p.started + 1] { help(n); });
}

}  // namespace

void start_quietly(std::function<void()> f) {
    sigset_t block, old;
    sigfillset(&block);
    for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&block, s);
    pthread_sigmask(SIG_SETMASK, &block, &old);
    std::thread(std::move(f)).detach();
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void run(grid_launch &l) {
    static std::once_flag once;
    std::call_once(once, catch_faults);
    give_handler_a_stack();
    if (sanitized) {
        run_sanitized(l);
        if (l.failed != UINT64_MAX) throw std::runtime_error(l.error);
        return;
    }
    pool &p = all();
    worker *w;
    bool helped;
    {
        std::lock_guard<std::mutex> hold(p.lock);
        start_helpers(p);
        if (p.spare.empty()) p.spare.push_back(new worker);
        w = p.spare.back();
        p.spare.pop_back();
        helped = l.total > 1 && p.wanted > 1;
        if (helped) {
            p.launches.push_back(&l);
            if (p.waiting) p.more.notify_all();
        }
    }
    work(*w, l);
    std::unique_lock<std::mutex> hold(p.lock);
    p.spare.push_back(w);
    if (helped) {
        p.launches.erase(std::find(p.launches.begin(), p.launches.end(), &l));
        p.done.wait(hold, [&] { return l.helpers == 0; });
    }
    if (l.failed != UINT64_MAX) throw std::runtime_error(l.error);
}

}  // namespace emu

void emu_workers(int n) {
    emu::pool &p = emu::all();
    std::lock_guard<std::mutex> hold(p.lock);
    p.wanted = n > 0 ? n : std::max(1, (int)std::thread::hardware_concurrency());
}
