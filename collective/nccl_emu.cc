//go:build cuda && emu

// nccl_emu.cc: a stand-in for NCCL on the software GPU. Ranks are processes that share memory by the name in the id. It is stricter than the
// library: what there hangs or is undefined is an error here that says what is wrong. Calls end late, in the state of the communicator and on the
// stream; each message carries which group of its sender's it is of, and as what, which must be so at the receiver's; a rank that does not come is an
// error after EMU_NCCL_SECONDS, 60 without it.
#include "nccl.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "../kernels/emu/device.h"

namespace {

const int most_ranks = 8, library_version = 22700;
const size_t piece = 64 << 10;
const uint64_t magic = 0x6c63636e756d65;

// ---- what processes share

enum kind : uint32_t { of_send, of_gather, of_broadcast };
const char *const names[] = {"ncclSend", "ncclAllGather", "ncclBroadcast"};

struct header {
    uint64_t group;  // of the communicator, from 1
    uint32_t as, root, type;
    uint64_t count;
    bool operator==(const header &o) const { return group == o.group && as == o.as && root == o.root && type == o.type && count == o.count; }
};

struct channel {  // from one rank to another, a piece at a time
    std::atomic<uint32_t> full;
    header h;
    char data[piece];
};

struct world {
    std::atomic<uint32_t> size, joined;
    struct {
        std::atomic<int> pid, device;  // device: its number + 1 where the driver has opened it
    } rank[most_ranks];
    channel to[most_ranks][most_ranks];  // [from][to]
};

struct id_content {
    uint64_t magic;
    char name[64];
};

std::string text(const char *format, ...) {
    char buffer[512];
    va_list a;
    va_start(a, format);
    vsnprintf(buffer, sizeof buffer, format, a);
    va_end(a);
    return buffer;
}

std::string said(const header &h) {
    if (h.as == of_broadcast) return text("%s of %zu bytes from rank %u in group %zu", names[h.as], (size_t)h.count, h.root, (size_t)h.group);
    return text("%s of %zu bytes in group %zu", names[h.as], (size_t)h.count, (size_t)h.group);
}

double limit() {
    const char *s = getenv("EMU_NCCL_SECONDS");
    return s ? atof(s) : 60;
}

struct clock {
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }
};

// ---- communicators

struct move {  // bytes to or from a rank
    int peer;
    char *at;
    header h;
    uint64_t done = 0;
};

struct group {
    uint64_t number;
    void *stream;
    std::vector<move> sends, recvs;
};

struct comm {
    int size, rank, device;
    std::string name;
    world *w = nullptr;
    std::mutex lock;
    std::string error;
    bool joining = true, finalized = false;
    std::atomic<bool> aborted{false};
    std::atomic<int> queued{0};
    uint64_t groups = 0;
    std::shared_ptr<group> waiting;  // has ended, and comes on the stream after so many questions
    int questions = 0;
    clock since;
    ~comm() { munmap(w, sizeof *w); }

    int fail(const std::string &e) {
        std::lock_guard<std::mutex> hold(lock);
        if (error.empty()) error = e;
        return nccl_invalid_usage;
    }
    bool failed() {
        std::lock_guard<std::mutex> hold(lock);
        return !error.empty();
    }
};

std::mutex table_lock;
std::map<nccl_comm, std::shared_ptr<comm>> table;  // those that live
thread_local std::string last;                     // error of this thread
thread_local int depth;
thread_local std::vector<move> open_sends, open_recvs;
thread_local std::pair<comm *, void *> open_of;
thread_local int open_code;

int invalid(const std::string &why) { return last = why, nccl_invalid_argument; }

std::shared_ptr<comm> find(nccl_comm c) {
    std::lock_guard<std::mutex> hold(table_lock);
    auto i = table.find(c);
    return i == table.end() ? nullptr : i->second;
}

// ---- the work of a group, on its stream

// A piece of a message, if its channel is free, or full. What is wrong goes to the communicator.
bool send_piece(comm &c, move &m) {
    channel &to = c.w->to[c.rank][m.peer];
    if (to.full.load(std::memory_order_acquire)) return false;
    const size_t n = std::min<uint64_t>(piece, m.h.count - m.done);
    to.h = m.h;
    memcpy(to.data, m.at + m.done, n);
    m.done += n;
    to.full.store(1, std::memory_order_release);
    return true;
}

bool receive_piece(comm &c, move &m) {
    channel &from = c.w->to[m.peer][c.rank];
    if (!from.full.load(std::memory_order_acquire)) return false;
    if (!(from.h == m.h)) {
        c.fail(text("rank %d has %s where rank %d has %s", m.peer, said(from.h).c_str(), c.rank, said(m.h).c_str()));
        return false;
    }
    const size_t n = std::min<uint64_t>(piece, m.h.count - m.done);
    memcpy(m.at + m.done, from.data, n);
    m.done += n;
    from.full.store(0, std::memory_order_release);
    return true;
}

// step does one piece of each peer's first move.
bool step(comm &c, std::vector<move> &list, bool (*one)(comm &, move &)) {
    bool moved = false, seen[most_ranks] = {};
    for (auto m = list.begin(); m != list.end();) {
        const int peer = m->peer;
        if (!seen[peer] && one(c, *m)) moved = true;
        seen[peer] = true;
        m = m->done == m->h.count ? list.erase(m) : m + 1;
    }
    return moved;
}

bool inside(comm &c, const std::vector<move> &list) {
    for (const move &m : list)
        if (const char *e = emu_outside(m.at, m.h.count)) return c.fail(said(m.h) + ", when it runs: " + e), false;
    return true;
}

void work(comm &c, group g) {
    if (!inside(c, g.sends) || !inside(c, g.recvs)) return;
    for (clock since; !g.sends.empty() || !g.recvs.empty();) {
        const bool sent = step(c, g.sends, send_piece), received = step(c, g.recvs, receive_piece);
        if (c.aborted || c.failed()) return;
        if (sent || received) since = clock();
        else usleep(50);
        if (since.seconds() > limit()) {
            const move &m = g.recvs.empty() ? g.sends[0] : g.recvs[0];
            c.fail(text("rank %d does not come to %s, where rank %d waits since %.0f seconds", m.peer, said(m.h).c_str(), c.rank, since.seconds()));
            return;
        }
    }
}

// queue puts the group that waits on its stream.
void queue(const std::shared_ptr<comm> &c) {
    struct job {
        std::shared_ptr<comm> c;
        std::shared_ptr<group> g;
    };
    c->queued++;
    emu_call(c->waiting->stream, [](void *p) {
        std::unique_ptr<job> j((job *)p);
        work(*j->c, *j->g);
        j->c->queued--;
    }, new job{c, c->waiting});
    c->waiting.reset();
}

// ---- checks of calls

// usable says whether a call may use the communicator now.
int usable(const std::shared_ptr<comm> &c, const char *what) {
    if (!c) return invalid(text("%s: this communicator has been destroyed, or was never made", what));
    if (c->finalized) return invalid(text("%s: this communicator has been finalized", what));
    if (c->joining || c->waiting) return last = text("%s: the call before is still in progress: ask ncclCommGetAsyncError first", what), nccl_invalid_usage;
    if (c->failed()) return last = text("%s: the communicator has failed", what), nccl_invalid_usage;
    emu_bind();
    if (const int at = emu_device(); at >= 0 && c->device >= 0 && at != c->device)
        return invalid(text("%s: the communicator is of device %d, and the thread's is %d", what, c->device, at));
    return nccl_success;
}

int close_group(const std::shared_ptr<comm> &c) {
    auto g = std::make_shared<group>();
    g->number = ++c->groups, g->stream = open_of.second;
    g->sends.swap(open_sends), g->recvs.swap(open_recvs);
    for (auto *list : {&g->sends, &g->recvs})
        for (move &m : *list) m.h.group = g->number;
    c->waiting = g;
    c->questions = (int)((g->number * 5 + (uint64_t)c->rank * 3) % 4);
    if (c->questions == 0) queue(c);
    return c->waiting ? nccl_in_progress : nccl_success;
}

// add takes a call, alone or in a group.
template <class F> int add(nccl_comm handle, const char *what, int type, void *stream, const void *p, size_t bytes, F moves) {
    auto c = find(handle);
    int code = usable(c, what);
    if (!code && type != nccl_uint8) code = invalid(text("%s: type %d is not known here", what, type));
    if (!code && !p) code = invalid(text("%s: no memory", what));
    if (!code)
        if (const char *e = emu_outside(p, bytes)) code = invalid(text("%s: %s", what, e));
    if (!code && (!stream || emu_unbound(stream))) code = invalid(text("%s: %s", what, stream ? emu_unbound(stream) : "no stream"));
    const std::pair<comm *, void *> of{c.get(), stream};
    if (!code && open_of.first && open_of != of) code = invalid(text("%s: another communicator or stream than the group's", what));
    if (code) return open_code = depth ? code : 0, code;
    open_of = of;
    moves(*c);
    if (depth) return nccl_success;
    code = close_group(c);
    open_of = {};
    return code;
}

void send_to(int peer, const void *p, header h) { open_sends.push_back({peer, (char *)p, h}); }
void receive_from(int peer, void *p, header h) { open_recvs.push_back({peer, (char *)p, h}); }

// ---- the functions

int GetVersion(int *v) { return *v = library_version, nccl_success; }
const char *GetErrorString(int code) {
    switch (code) {
    case nccl_success: return "no error";
    case nccl_internal_error: return "internal error";
    case nccl_invalid_argument: return "invalid argument";
    case nccl_invalid_usage: return "invalid usage";
    case nccl_in_progress: return "in progress";
    }
    return "unknown error";
}
const char *GetLastError(nccl_comm) { return last.c_str(); }

int GetUniqueId(nccl_id *id) {
    static std::atomic<int> count;
    id_content x = {magic, {}};
    snprintf(x.name, sizeof x.name, "/emu-nccl-%d-%d-%llx", (int)getpid(), (int)count++, (unsigned long long)std::chrono::steady_clock::now().time_since_epoch().count());
    memset(id, 0, sizeof *id);
    memcpy(id, &x, sizeof x);
    return nccl_success;
}

int CommInitRankConfig(nccl_comm *out, int size, nccl_id id, int rank, nccl_config *config) {
    id_content x;
    memcpy(&x, &id, sizeof x);
    if (x.magic != magic) return invalid("ncclCommInitRankConfig: the id is none of ncclGetUniqueId's");
    if (size < 1 || size > most_ranks || rank < 0 || rank >= size) return invalid(text("ncclCommInitRankConfig: rank %d of %d", rank, size));
    if (config->magic != NCCL_MAGIC || config->size != sizeof *config || config->blocking != 0) return invalid("ncclCommInitRankConfig: another config than is used here");
    emu_bind();
    const int fd = shm_open(x.name, O_CREAT | O_RDWR, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(world))) return invalid(text("ncclCommInitRankConfig: %s: no shared memory", x.name));
    void *p = mmap(nullptr, sizeof(world), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED) return invalid("ncclCommInitRankConfig: no shared memory");
    auto c = std::make_shared<comm>();
    c->size = size, c->rank = rank, c->device = emu_device(), c->name = x.name, c->w = (world *)p;
    uint32_t none = 0;
    if (!c->w->size.compare_exchange_strong(none, (uint32_t)size) && none != (uint32_t)size)
        return invalid(text("ncclCommInitRankConfig: rank %d says that there are %d ranks, and another says %u", rank, size, none));
    int nobody = 0;
    if (!c->w->rank[rank].pid.compare_exchange_strong(nobody, (int)getpid())) return invalid(text("ncclCommInitRankConfig: rank %d has come twice", rank));
    c->w->rank[rank].device = c->device + 1;
    c->w->joined++;
    std::lock_guard<std::mutex> hold(table_lock);
    *out = (nccl_comm)c.get();
    table[*out] = c;
    return nccl_in_progress;
}

// join looks whether all ranks are there, on a device each.
void join(comm &c) {
    if (c.w->joined.load() == (uint32_t)c.size) {
        c.joining = false;
        if (c.rank == 0) shm_unlink(c.name.c_str());
        for (int r = 0; r < c.size; r++)
            if (r != c.rank && c.device >= 0 && c.w->rank[r].device == c.device + 1) c.fail(text("ranks %d and %d use the same device, %d", c.rank, r, c.device));
    } else if (c.since.seconds() > limit()) {
        c.fail(text("only %u of %d ranks have come within %.0f seconds", c.w->joined.load(), c.size, limit()));
    }
}

int CommGetAsyncError(nccl_comm handle, int *state) {
    auto c = find(handle);
    if (!c) return invalid("ncclCommGetAsyncError: this communicator has been destroyed, or was never made");
    if (c->joining && !c->failed()) join(*c);
    if (c->waiting && --c->questions <= 0) queue(c);
    std::lock_guard<std::mutex> hold(c->lock);
    *state = !c->error.empty() ? nccl_invalid_usage : c->joining || c->waiting ? nccl_in_progress : nccl_success;
    if (*state == nccl_invalid_usage) last = c->error;
    return nccl_success;
}

int CommFinalize(nccl_comm handle) {
    auto c = find(handle);
    if (int code = usable(c, "ncclCommFinalize")) return code;
    if (c->queued) return invalid("ncclCommFinalize: work is queued that has not run");
    return c->finalized = true, nccl_success;
}

int drop(nccl_comm handle, const char *what, bool abort) {
    auto c = find(handle);
    if (!c) return invalid(text("%s: this communicator has been destroyed, or was never made", what));
    if (!abort && !c->finalized) return invalid(text("%s: not finalized", what));
    c->aborted = abort;
    if (c->joining) shm_unlink(c->name.c_str());
    std::lock_guard<std::mutex> hold(table_lock);
    table.erase(handle);
    return nccl_success;
}
int CommDestroy(nccl_comm handle) { return drop(handle, "ncclCommDestroy", false); }
int CommAbort(nccl_comm handle) { return drop(handle, "ncclCommAbort", true); }

int GroupStart() {
    if (depth++ == 0) open_of = {}, open_code = nccl_success, open_sends.clear(), open_recvs.clear();
    return nccl_success;
}
int GroupEnd() {
    if (depth == 0) return last = "ncclGroupEnd without ncclGroupStart", nccl_invalid_usage;
    if (--depth) return nccl_success;
    const auto of = open_of;
    open_of = {};
    if (open_code) return open_code;
    if (!of.first) return nccl_success;
    open_of = of;
    const int code = close_group(find((nccl_comm)of.first));
    open_of = {};
    return code;
}

int Send(const void *p, size_t n, int type, int peer, nccl_comm handle, void *stream) {
    auto c = find(handle);
    if (c && (peer < 0 || peer >= c->size)) return open_code = invalid(text("ncclSend: to rank %d of %d", peer, c->size));
    return add(handle, "ncclSend", type, stream, p, n, [&](comm &) { send_to(peer, p, {0, of_send, 0, (uint32_t)type, n}); });
}
int Recv(void *p, size_t n, int type, int peer, nccl_comm handle, void *stream) {
    auto c = find(handle);
    if (c && (peer < 0 || peer >= c->size)) return open_code = invalid(text("ncclRecv: from rank %d of %d", peer, c->size));
    return add(handle, "ncclRecv", type, stream, p, n, [&](comm &) { receive_from(peer, p, {0, of_send, 0, (uint32_t)type, n}); });
}
int AllGather(const void *from, void *to, size_t n, int type, nccl_comm handle, void *stream) {
    auto known = find(handle);
    const size_t all = known ? n * (size_t)known->size : n;
    if (known && from != (char *)to + n * (size_t)known->rank) return invalid("ncclAllGather: not in place");
    return add(handle, "ncclAllGather", type, stream, to, all, [&](comm &c) {
        const header h = {0, of_gather, 0, (uint32_t)type, n};
        for (int r = 0; r < c.size; r++)
            if (r != c.rank) send_to(r, from, h), receive_from(r, (char *)to + n * r, h);
    });
}
int Broadcast(const void *from, void *to, size_t n, int type, int root, nccl_comm handle, void *stream) {
    auto known = find(handle);
    if (known && (root < 0 || root >= known->size)) return open_code = invalid(text("ncclBroadcast: from rank %d of %d", root, known->size));
    if (from != to) return open_code = invalid("ncclBroadcast: not in place");
    return add(handle, "ncclBroadcast", type, stream, to, n, [&](comm &c) {
        const header h = {0, of_broadcast, (uint32_t)root, (uint32_t)type, n};
        if (c.rank != root) return receive_from(root, to, h);
        for (int r = 0; r < c.size; r++)
            if (r != root) send_to(r, from, h);
    });
}

const struct {
    const char *name;
    void *entry;
} entries[] = {
#define X(result, name, parameters) {"nccl" #name, (void *)name},
    NCCL_FUNCTIONS(X)
#undef X
};

}  // namespace

extern "C" void *emu_nccl(const char *name) {
    for (const auto &e : entries)
        if (!strcmp(e.name, name)) return e.entry;
    return nullptr;
}
