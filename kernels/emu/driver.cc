// driver.cc: the entry points of NVIDIA's driver that package cuda calls, on the software GPU. cuda/driver/driver.c finds them.
//
// What is queued runs when somebody waits for it, so a missing wait shows. The driver is stricter than NVIDIA's: host memory of an
// asynchronous copy must be page-locked, and memory that queued work may use must not be freed. There are three devices: one, one with
// little memory, and one that is too old; or, where the environment has EMU_DEVICES, so many like the first.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "device.h"

namespace {

enum {  // CUresult
    success = 0, invalid_value = 1, out_of_memory = 2, invalid_device = 101, invalid_context = 201, invalid_handle = 400, not_ready = 600, launch_failed = 719
};

struct context {
    const char *name;
    int major, minor;
    size_t total, used = 0;
    int retained = 0;
    bool runtime = false;  // the runtime has retained it
    bool dead = false;  // after a fault, for as long as the process lives
    std::set<void *> streams = {};
};
struct event {
    context *owner;
    bool recorded = false;
    emu_event at;
};

struct driver {
    std::mutex lock;
    std::vector<context> devices = {{"software GPU", 8, 0, (size_t)8 << 30}, {"software GPU with little memory", 9, 0, (size_t)256 << 20}, {"software GPU of old", 7, 5, (size_t)1 << 30}};
    std::map<uintptr_t, std::pair<context *, size_t>> memory;
    std::map<char *, size_t> pinned;  // by address, with length
    std::string fault;
    driver() {
        if (const char *n = getenv("EMU_DEVICES")) devices.assign(std::min(std::max(atoi(n), 1), 16), context(devices[0]));
    }
};
driver &state() {
    static driver *d = new driver;
    return *d;
}

thread_local context *current;
thread_local int runtime_device;  // of the thread, as the runtime counts: 0 until it is told

int device_of(int i, context **c) {
    if (i < 0 || i >= (int)state().devices.size()) return invalid_device;
    *c = &state().devices[i];
    return success;
}

int fail(context *c, const char *sentence, int code) {
    driver &d = state();
    if (!c->dead) d.fault = sentence;
    c->dead = code == launch_failed;
    return code;
}

// With the lock: whether the calling thread may use a stream.
int check(void *stream) {
    if (!current || !current->retained) return invalid_context;
    if (current->dead) return launch_failed;
    if (!current->streams.count(stream)) return fail(current, "the stream is of another context than the thread's", invalid_handle);
    return success;
}

int check_device(uintptr_t p, size_t n) {
    const char *e = emu_outside((void *)p, n);
    return e ? fail(current, e, invalid_value) : success;
}

int check_host(const void *p, size_t n) {
    driver &d = state();
    auto i = d.pinned.upper_bound((char *)p);
    if (i != d.pinned.begin() && (char *)p + n <= (--i)->first + i->second) return success;
    return fail(current, "the host memory of an asynchronous copy is not page-locked", invalid_value);
}

// With the lock.
bool idle(context *c) {
    for (void *s : c->streams)
        if (!emu_idle(s)) return false;
    return true;
}

// ---- devices

int init(unsigned) { return success; }
int version(int *v) { return *v = 13000, success; }
int count(int *n) { return *n = (int)state().devices.size(), success; }
int get(int *device, int i) {
    context *c;
    return *device = i, device_of(i, &c);
}
int name(char *text, int n, int i) {
    context *c;
    if (int e = device_of(i, &c)) return e;
    snprintf(text, n, "%s", c->name);
    return success;
}
int total(size_t *bytes, int i) {
    context *c;
    if (int e = device_of(i, &c)) return e;
    return *bytes = c->total, success;
}
int attribute(int *value, int which, int i) {
    context *c;
    if (int e = device_of(i, &c)) return e;
    switch (which) {
    case 16: return *value = 2, success;         // multiprocessors
    case 75: return *value = c->major, success;  // compute capability
    case 76: return *value = c->minor, success;
    }
    return invalid_value;
}
int retain(context **out, int i) {
    if (int e = device_of(i, out)) return e;
    std::lock_guard<std::mutex> hold(state().lock);
    (*out)->retained++;
    return success;
}
// With the lock: frees what is left on a device.
void clean(context *c) {
    driver &d = state();
    for (void *s : c->streams) emu_stream_end(s);
    c->streams.clear();
    for (auto m = d.memory.begin(); m != d.memory.end();) {
        if (m->second.first != c) {
            m++;
            continue;
        }
        emu_release((void *)m->first);
        m = d.memory.erase(m);
    }
    c->used = 0;
}
int release(int i) {
    context *c;
    if (int e = device_of(i, &c)) return e;
    driver &d = state();
    std::lock_guard<std::mutex> hold(d.lock);
    if (c->retained == 0) return invalid_context;
    if (--c->retained == 0) clean(c);
    return success;
}
int set_current(context *c) { return current = c, success; }

// ---- memory

int info(size_t *free, size_t *all) {
    if (!current) return invalid_context;
    std::lock_guard<std::mutex> hold(state().lock);
    *free = current->total - current->used, *all = current->total;
    return success;
}
int alloc(uintptr_t *p, size_t bytes) {
    driver &d = state();
    std::lock_guard<std::mutex> hold(d.lock);
    if (!current || !current->retained) return invalid_context;
    if (current->dead) return launch_failed;
    if (bytes == 0) return invalid_value;
    size_t room = (bytes + 511) / 512 * 512;  // ends at a guard page, so it begins aligned
    if (room > current->total - current->used && !emu_pretends()) return out_of_memory;
    void *got = emu_malloc(room);
    if (!got) return out_of_memory;
    current->used += room;
    d.memory[*p = (uintptr_t)got] = {current, room};
    return success;
}
int free_memory(uintptr_t p) {
    driver &d = state();
    std::lock_guard<std::mutex> hold(d.lock);
    if (!current) return invalid_context;
    auto m = d.memory.find(p);
    if (m == d.memory.end() || m->second.first != current) return fail(current, "free of memory that is not allocated", invalid_value);
    if (!idle(current) && !current->dead) return fail(current, "free of memory while work is queued", invalid_value);
    current->used -= m->second.second;
    d.memory.erase(m);
    const char *e = emu_release((void *)p);
    return e ? fail(current, e, launch_failed) : success;
}
int host_alloc(void **p, size_t bytes, unsigned) {
    driver &d = state();
    std::lock_guard<std::mutex> hold(d.lock);
    if (!current) return invalid_context;
    char *got = (char *)aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!got) return out_of_memory;
    memset(got, 0xff, bytes);
    d.pinned[got] = bytes;
    return *p = got, success;
}
int host_free(void *p) {
    driver &d = state();
    std::lock_guard<std::mutex> hold(d.lock);
    if (!d.pinned.erase((char *)p)) return invalid_value;
    free(p);
    return success;
}

// ---- copies

int upload(uintptr_t dst, const void *src, size_t n, void *stream) {
    std::lock_guard<std::mutex> hold(state().lock);
    int e = check(stream);
    if (!e) e = check_host(src, n);
    if (!e) e = check_device(dst, n);
    if (!e) emu_count(EMU_UPLOADS, 1), emu_count(EMU_UPLOADED, n), emu_copy(stream, (void *)dst, src, n);
    return e;
}
int download(void *dst, uintptr_t src, size_t n, void *stream) {
    std::lock_guard<std::mutex> hold(state().lock);
    int e = check(stream);
    if (!e) e = check_host(dst, n);
    if (!e) e = check_device(src, n);
    if (!e) emu_count(EMU_DOWNLOADS, 1), emu_count(EMU_DOWNLOADED, n), emu_copy(stream, dst, (void *)src, n);
    return e;
}
int copy(uintptr_t dst, uintptr_t src, size_t n, void *stream) {
    std::lock_guard<std::mutex> hold(state().lock);
    int e = check(stream);
    if (!e) e = check_device(src, n);
    if (!e) e = check_device(dst, n);
    if (!e) emu_count(EMU_COPIES, 1), emu_copy(stream, (void *)dst, (void *)src, n);
    return e;
}
int fill(uintptr_t dst, unsigned char byte, size_t n, void *stream) {
    std::lock_guard<std::mutex> hold(state().lock);
    int e = check(stream);
    if (!e) e = check_device(dst, n);
    if (!e) emu_count(EMU_FILLS, 1), emu_fill(stream, (void *)dst, byte, n);
    return e;
}

// ---- streams and events

int stream_create(void **stream, unsigned) {
    std::lock_guard<std::mutex> hold(state().lock);
    if (!current || !current->retained) return invalid_context;
    *stream = emu_stream(emu_schedule{EMU_FORWARD, EMU_LAZY, 0});
    current->streams.insert(*stream);
    return success;
}
int stream_destroy(void *stream) {
    std::lock_guard<std::mutex> hold(state().lock);
    if (!current || !current->streams.erase(stream)) return invalid_handle;
    emu_stream_end(stream);
    return success;
}
// Waits without the lock, since kernels run here.
template <class F> int waited(context *c, F wait) {
    emu_count(EMU_WAITS, 1);
    std::unique_lock<std::mutex> hold(state().lock);
    const bool busy = !idle(c);
    hold.unlock();
    const char *e = wait();
    hold.lock();
    if (busy && idle(c)) emu_count(EMU_DRAINS, 1);
    return e ? fail(c, e, launch_failed) : success;
}
int stream_wait(void *stream) {
    {
        std::lock_guard<std::mutex> hold(state().lock);
        if (int e = check(stream)) return e;
    }
    return waited(current, [=] { return emu_wait(stream); });
}
int event_create(event **out, unsigned) {
    if (!current || !current->retained) return invalid_context;
    *out = new event;
    (*out)->owner = current;
    return success;
}
int event_destroy(event *e) { return delete e, success; }
int event_record(event *e, void *stream) {
    std::lock_guard<std::mutex> hold(state().lock);
    if (int code = check(stream)) return code;
    if (e->owner != current) return fail(current, "the event is of another context than the stream", invalid_handle);
    emu_count(EMU_RECORDS, 1);
    e->recorded = true, e->at = emu_record(stream);
    return success;
}
int event_wait(event *e) {
    if (e->owner->dead) return launch_failed;
    if (!e->recorded) return success;
    return waited(e->owner, [=] { return emu_reach(e->at); });
}
// A GPU goes on by itself; here the first question makes a thread do so.
int event_query(event *e) {
    if (e->owner->dead) return launch_failed;
    if (!e->recorded) return success;
    const char *error;
    if (!emu_pursue(e->at, &error)) return not_ready;
    std::lock_guard<std::mutex> hold(state().lock);
    return error ? fail(e->owner, error, launch_failed) : success;
}
int stream_follow(void *stream, event *e, unsigned) {
    std::lock_guard<std::mutex> hold(state().lock);
    if (int code = check(stream)) return code;
    if (e->recorded) emu_follow(stream, e->at);
    return success;
}

const struct {
    const char *name;
    void *entry;
} entries[] = {
    {"cuInit", (void *)init},
    {"cuDriverGetVersion", (void *)version},
    {"cuDeviceGetCount", (void *)count},
    {"cuDeviceGet", (void *)get},
    {"cuDeviceGetName", (void *)name},
    {"cuDeviceTotalMem_v2", (void *)total},
    {"cuDeviceGetAttribute", (void *)attribute},
    {"cuDevicePrimaryCtxRetain", (void *)retain},
    {"cuDevicePrimaryCtxRelease_v2", (void *)release},
    {"cuCtxSetCurrent", (void *)set_current},
    {"cuMemGetInfo_v2", (void *)info},
    {"cuMemAlloc_v2", (void *)alloc},
    {"cuMemFree_v2", (void *)free_memory},
    {"cuMemHostAlloc", (void *)host_alloc},
    {"cuMemFreeHost", (void *)host_free},
    {"cuMemcpyHtoDAsync_v2", (void *)upload},
    {"cuMemcpyDtoHAsync_v2", (void *)download},
    {"cuMemcpyDtoDAsync_v2", (void *)copy},
    {"cuMemsetD8Async", (void *)fill},
    {"cuStreamCreate", (void *)stream_create},
    {"cuStreamDestroy_v2", (void *)stream_destroy},
    {"cuStreamSynchronize", (void *)stream_wait},
    {"cuEventCreate", (void *)event_create},
    {"cuEventDestroy_v2", (void *)event_destroy},
    {"cuEventRecord", (void *)event_record},
    {"cuEventSynchronize", (void *)event_wait},
    {"cuEventQuery", (void *)event_query},
    {"cuStreamWaitEvent", (void *)stream_follow},
};

}  // namespace

int emu_set_device(int device) {
    context *c;
    if (int e = device_of(device, &c)) return e;
    std::lock_guard<std::mutex> hold(state().lock);
    if (!c->runtime) c->runtime = true, c->retained++;
    runtime_device = device, current = c;
    return success;
}

void emu_new_process(void) {
    std::lock_guard<std::mutex> hold(state().lock);
    for (context &c : state().devices)
        if (c.dead) clean(&c), c.dead = c.runtime = false, c.retained = 0;
}

void emu_bind(void) {
    if (!current) emu_set_device(runtime_device);
}

const char *emu_unbound(void *stream) {
    if (!current) return "the calling thread has no current CUDA context";
    driver &d = state();
    std::lock_guard<std::mutex> hold(d.lock);
    for (context &c : d.devices)
        if (&c != current && c.streams.count(stream)) return "the stream is of another context than the calling thread's";
    return nullptr;
}

int emu_device(void) {
    driver &d = state();
    std::lock_guard<std::mutex> hold(d.lock);
    return current && !current->streams.empty() ? (int)(current - d.devices.data()) : -1;
}

void *emu_driver(const char *name) {
    for (const auto &e : entries) {
        if (std::string(e.name) == name) return e.entry;
    }
    return nullptr;
}

const char *emu_driver_fault(void) {
    thread_local std::string told;
    driver &d = state();
    std::lock_guard<std::mutex> hold(d.lock);
    told.swap(d.fault);
    d.fault.clear();
    return told.empty() ? nullptr : told.c_str();
}
