// memory.cc: device memory, and streams with what is queued on them.
#include <errno.h>
#include <sys/mman.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <thread>

#include "core.h"

namespace emu {

std::atomic<uint64_t> memory_epoch{1};

namespace {

std::atomic<uint64_t> counted[EMU_KINDS];
std::atomic<bool> pretends{false};

const char guard_byte = 0x5a;

// ---- allocations

struct allocation {
    char *map, *base;   // a guard page, guard bytes, the memory from base on, guard bytes, a guard page
    size_t mapped, bytes;
    bool hollow;        // addresses only
    char *lo() const { return map + page_bytes; }
    char *hi() const { return map + mapped - page_bytes; }
};

struct device_memory {
    std::mutex lock;
    std::map<const char *, allocation> at;  // by map
    size_t total = (size_t)8 << 30, used = 0;
};
device_memory &memory() {
    static device_memory *m = new device_memory;
    return *m;
}

// The allocation whose mapping, guards included, p is in. With the lock.
const allocation *mapping(const void *p) {
    device_memory &m = memory();
    auto i = m.at.upper_bound((const char *)p);
    if (i == m.at.begin()) return nullptr;
    const allocation &a = (--i)->second;
    return (const char *)p < a.map + a.mapped ? &a : nullptr;
}

bool inside(const allocation &a, const void *p, size_t n) {
    const char *c = (const char *)p;
    return c >= a.base && c <= a.base + a.bytes && n <= (size_t)(a.base + a.bytes - c);
}

}  // namespace

std::string describe_global(const void *p, size_t n) {
    device_memory &m = memory();
    std::lock_guard<std::mutex> hold(m.lock);
    const allocation *a = mapping(p);
    if (!a) return text("%p, which is not in device memory", p);
    long at = (long)((const char *)p - a->base);
    return n == 1 ? text("byte %ld of an allocation of %zu bytes", at, a->bytes) : text("bytes %ld to %ld of an allocation of %zu bytes", at, at + (long)n, a->bytes);
}

// Most accesses are to one of the few allocations that the block has used already.
void check_global(const void *p, unsigned n, const char *what) {
    worker &w = *self;
    if ((uintptr_t)p % n) fail(text("%s: %p is not aligned to %u bytes: ", what, p, n) + describe_global(p, n));
    uint64_t epoch = memory_epoch.load(std::memory_order_relaxed);
    const char *c = (const char *)p;
    const unsigned count = sizeof w.window / sizeof w.window[0];
    if (w.epoch == epoch) {
        for (const auto &v : w.window) {
            if (c >= v.lo && c + n <= v.hi) return;
        }
    } else {
        for (auto &v : w.window) v = {nullptr, nullptr};
        w.epoch = epoch;
    }
    bool ok = false;
    {
        unseen hide;
        device_memory &m = memory();
        std::lock_guard<std::mutex> hold(m.lock);
        const allocation *a = mapping(p);
        if (a && inside(*a, p, n)) {
            w.window[w.windows++ % count] = {a->base, a->base + a->bytes};
            ok = true;
        }
    }
    if (!ok) fail(text("%s: ", what) + describe_global(p, n));
}

uint4 load16(const void *p) {
    check_global(p, 16, "load16");
    TSAN(read16(const_cast<void *>(p)));
    return *(const uint4 *)p;
}

void store16(void *p, uint4 v) {
    check_global(p, 16, "store16");
    TSAN(write16(p));
    *(uint4 *)p = v;
}

uint2 load8(const void *p) {
    check_global(p, 8, "load8");
    TSAN(read8(const_cast<void *>(p)));
    return *(const uint2 *)p;
}

void store8(void *p, uint2 v) {
    check_global(p, 8, "store8");
    TSAN(write8(p));
    *(uint2 *)p = v;
}

// ---- streams

namespace {

struct queue {
    uint64_t id;
    emu_schedule schedule;
    size_t shared = most_shared;
    std::mutex lock;
    std::condition_variable moved;
    std::deque<std::function<void()>> work;
    uint64_t queued = 0, ran = 0, launches = 0;
    uint64_t pursued = 0;  // a thread runs it up to there
    bool busy = false;
    std::string error, reported;
};

struct registry {
    std::mutex lock;
    std::map<uint64_t, std::shared_ptr<queue>> at;
    uint64_t next = 1;
};
registry &queues() {
    static registry *r = new registry;
    return *r;
}

queue &of(void *stream) {
    if (!stream) throw std::runtime_error("no stream");
    return *(queue *)stream;
}

std::shared_ptr<queue> find(uint64_t id) {
    registry &r = queues();
    std::lock_guard<std::mutex> hold(r.lock);
    auto i = r.at.find(id);
    return i == r.at.end() ? nullptr : i->second;
}

// Runs what is queued up to a place. Several OS threads may do so at once, one item at a time.
void run_to(queue &q, uint64_t place) {
    std::unique_lock<std::mutex> hold(q.lock);
    while (q.ran < place) {
        if (q.busy) {
            q.moved.wait(hold);
            continue;
        }
        q.busy = true;
        std::function<void()> f = std::move(q.work.front());
        q.work.pop_front();
        hold.unlock();
        std::string error;
        try {
            f();
        } catch (const std::exception &e) {
            error = e.what();
            if (error.empty()) error = "failed";
        }
        f = nullptr;
        hold.lock();
        q.busy = false;
        q.ran++;
        if (!error.empty()) {
            if (q.error.empty()) q.error = error;
            q.ran += q.work.size();
            q.work.clear();
        }
        q.moved.notify_all();
    }
}

const char *take_error(queue &q) {
    std::lock_guard<std::mutex> hold(q.lock);
    if (q.error.empty()) return nullptr;
    q.reported.swap(q.error);
    q.error.clear();
    return q.reported.c_str();
}

void push(queue &q, std::function<void()> f) {
    std::lock_guard<std::mutex> hold(q.lock);
    q.work.push_back(std::move(f));
    q.queued++;
}

// A copy may touch host memory, but device memory only inside of one allocation.
void check_copy(const char *what, const void *p, size_t n) {
    bool bad;
    {
        device_memory &m = memory();
        std::lock_guard<std::mutex> hold(m.lock);
        const allocation *a = mapping(p);
        bad = a && !inside(*a, p, n);
    }
    if (bad) throw std::runtime_error(std::string(what) + ": " + describe_global(p, n));
}

}  // namespace

void enqueue(void *stream, std::function<void()> f) {
    emu_count(EMU_PRODUCTS, 1);
    if (!pretends) push(of(stream), std::move(f));
}

void launch(void *stream, dim3 grid, dim3 block, size_t shared, std::function<void()> body) {
    queue &q = of(stream);
    emu_bind();
    if (const char *e = emu_unbound(stream)) throw std::runtime_error(std::string("launch: ") + e);
    if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        throw std::runtime_error(text("launch: a grid of (%u, %u, %u) blocks", grid.x, grid.y, grid.z));
    if (!block.x || !block.y || !block.z || block.x > 1024 || block.y > 1024 || block.z > 64 || (uint64_t)block.x * block.y * block.z > most_threads)
        throw std::runtime_error(text("launch: a block of (%u, %u, %u) threads", block.x, block.y, block.z));
    if (shared > q.shared) throw std::runtime_error(text("launch: %zu bytes of shared memory, a block has at most %zu", shared, q.shared));
    emu_count(EMU_LAUNCHES, 1);
    if (pretends) return;
    auto l = std::make_shared<grid_launch>();
    l->grid = grid, l->block = block, l->shared = shared, l->body = std::move(body), l->schedule = q.schedule;
    l->total = (uint64_t)grid.x * grid.y * grid.z;
    l->start = 0, l->step = 1;
    uint64_t state = l->schedule.seed + q.launches++;
    l->schedule.seed = draw(state);
    if (q.schedule.order == EMU_REVERSE) l->start = l->step = l->total - 1;
    if (q.schedule.order == EMU_RANDOM) {
        l->start = draw(state) % l->total;
        do l->step = draw(state) % l->total + 1;
        while (std::gcd(l->step, l->total) != 1);
    }
    push(q, [l] { run(*l); });
}

}  // namespace emu

using namespace emu;

void *emu_malloc(size_t bytes) {
    device_memory &m = memory();
    if (bytes > ((size_t)1 << 46)) return nullptr;
    size_t room = (bytes + 63) / 64 * 64, mapped = (room + page_bytes - 1) / page_bytes * page_bytes + 2 * page_bytes;
    std::lock_guard<std::mutex> hold(m.lock);
    if (!pretends && room > m.total - m.used) return nullptr;
    char *map = (char *)mmap(nullptr, mapped, pretends ? PROT_NONE : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return nullptr;
    allocation a = {map, map + mapped - page_bytes - room, mapped, bytes, pretends};
    if (pretends) {
        m.at[map] = a;
        return a.base;
    }
    mprotect(map, page_bytes, PROT_NONE);
    mprotect(a.hi(), page_bytes, PROT_NONE);
    memset(a.lo(), guard_byte, (size_t)(a.base - a.lo()));
    memset(a.base, 0xff, bytes);
    memset(a.base + bytes, guard_byte, room - bytes);
    m.at[map] = a;
    m.used += room;
    return a.base;
}

const char *emu_release(void *p) {
    thread_local std::string error;
    if (!p) return nullptr;
    device_memory &m = memory();
    std::lock_guard<std::mutex> hold(m.lock);
    const allocation *found = mapping(p);
    if (!found || found->base != p) return (error = text("release: %p is not an allocation of the device", p)).c_str();
    allocation a = *found;
    error.clear();
    for (const char *c = a.lo(); !a.hollow && c < a.hi() && error.empty(); c++) {
        if (c == a.base) c += a.bytes;
        if (c < a.hi() && *c != guard_byte) error = text("a write at byte %ld of an allocation of %zu bytes", (long)(c - a.base), a.bytes);
    }
    m.at.erase(a.map);
    if (!a.hollow) m.used -= (a.bytes + 63) / 64 * 64;
    memory_epoch++;
    munmap(a.map, a.mapped);
    return error.empty() ? nullptr : error.c_str();
}

uint64_t emu_counted(emu_kind k) { return counted[k]; }
void emu_count(emu_kind k, uint64_t n) { counted[k] += n; }
void emu_pretend(int on) { pretends = on; }
int emu_pretends(void) { return pretends; }

void emu_memory(size_t *total, size_t *used) {
    device_memory &m = memory();
    std::lock_guard<std::mutex> hold(m.lock);
    *total = m.total, *used = m.used;
}

void emu_resize(size_t total) {
    device_memory &m = memory();
    std::lock_guard<std::mutex> hold(m.lock);
    m.total = std::max(total, m.used);
}

int emu_find(const void *p, void **base, size_t *bytes) {
    device_memory &m = memory();
    std::lock_guard<std::mutex> hold(m.lock);
    const allocation *a = mapping(p);
    if (!a || !inside(*a, p, 1)) return 0;
    *base = a->base, *bytes = a->bytes;
    return 1;
}

const char *emu_outside(const void *p, size_t bytes) {
    thread_local std::string error;
    {
        device_memory &m = memory();
        std::lock_guard<std::mutex> hold(m.lock);
        const allocation *a = mapping(p);
        if (a && inside(*a, p, bytes)) return nullptr;
    }
    return (error = describe_global(p, bytes)).c_str();
}

void *emu_stream(emu_schedule s) {
    registry &r = queues();
    auto q = std::make_shared<queue>();
    q->schedule = s;
    std::lock_guard<std::mutex> hold(r.lock);
    q->id = r.next++;
    r.at[q->id] = q;
    return q.get();
}

void emu_stream_end(void *stream) {
    queue &q = of(stream);
    run_to(q, q.queued);
    registry &r = queues();
    std::lock_guard<std::mutex> hold(r.lock);
    r.at.erase(q.id);
}

void emu_copy(void *stream, void *dst, const void *src, size_t bytes) {
    if (pretends) {
        if (emu_outside(dst, bytes)) memset(dst, 0, bytes);  // the host's
        return;
    }
    push(of(stream), [=] {
        check_copy("copy to", dst, bytes);
        check_copy("copy from", src, bytes);
        memmove(dst, src, bytes);
    });
}

void emu_fill(void *stream, void *dst, int byte, size_t bytes) {
    if (pretends) return;
    push(of(stream), [=] {
        check_copy("fill", dst, bytes);
        memset(dst, byte, bytes);
    });
}

void emu_fill32(void *stream, void *dst, uint32_t word, size_t words) {
    push(of(stream), [=] {
        check_copy("fill", dst, words * 4);
        std::fill_n((uint32_t *)dst, words, word);
    });
}

void emu_call(void *stream, void (*f)(void *), void *argument) {
    push(of(stream), [=] { f(argument); });
}

const char *emu_wait(void *stream) { return emu_reach(emu_record(stream)); }

int emu_idle(void *stream) {
    queue &q = of(stream);
    std::lock_guard<std::mutex> hold(q.lock);
    return q.ran == q.queued;
}

size_t emu_shared(void *stream) { return of(stream).shared; }
void emu_lower_shared(void *stream, size_t bytes) { of(stream).shared = std::min(bytes, of(stream).shared); }

emu_event emu_record(void *stream) {
    queue &q = of(stream);
    std::lock_guard<std::mutex> hold(q.lock);
    return {q.id, q.queued};
}

void emu_follow(void *stream, emu_event e) {
    push(of(stream), [=] {
        if (auto q = find(e.stream)) run_to(*q, e.at);
    });
}

int emu_passed(emu_event e) {
    auto q = find(e.stream);
    if (!q) return 1;
    std::lock_guard<std::mutex> hold(q->lock);
    return q->ran >= e.at;
}

const char *emu_reach(emu_event e) {
    auto q = find(e.stream);
    if (!q) return nullptr;
    run_to(*q, e.at);
    return take_error(*q);
}

int emu_pursue(emu_event e, const char **error) {
    *error = nullptr;
    auto q = find(e.stream);
    if (!q) return 1;
    {
        std::lock_guard<std::mutex> hold(q->lock);
        if (q->ran < e.at) {
            if (q->pursued < e.at) q->pursued = e.at, start_quietly([q, e] { run_to(*q, e.at); });
            return 0;
        }
    }
    *error = take_error(*q);
    return 1;
}
