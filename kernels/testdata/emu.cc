// emu.cc: tests the software GPU (emu_core_test.go): each feature under all schedules, and mistakes that it must see. With the argument
// "speed" it gives the cost of instructions instead.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <functional>
#include <string>
#include <vector>

#include "../cuda.cuh"
#include "../emu/core.h"

using gpu::block_sum;

static int failures, checks;
static std::string context;
static emu_schedule schedule;
static void *stream;

static void expect(bool ok, const std::string &what) {
    checks++;
    if (ok) return;
    if (failures++ < 20) printf("%s, order %d, async %d: %s\n", context.c_str(), schedule.order, schedule.async, what.c_str());
}

// An array on the device. Reading it waits for the stream.
template <class T> struct array {
    size_t n;
    T *p;
    explicit array(size_t n) : n(n), p((T *)emu_malloc(n * sizeof(T))) {}
    array(const std::vector<T> &x) : array(x.size()) {
        emu_copy(stream, p, x.data(), n * sizeof(T));
        emu_wait(stream);
    }
    ~array() { emu_release(p); }
    array(const array &) = delete;
    std::vector<T> get() {
        std::vector<T> x(n);
        if (const char *e = emu_wait(stream)) expect(false, e);
        emu_copy(stream, x.data(), p, n * sizeof(T));
        if (const char *e = emu_wait(stream)) expect(false, e);
        return x;
    }
};

template <class F> static void launch(dim3 grid, dim3 block, size_t shared, F f) { emu::launch(stream, grid, block, shared, f); }

// The error of the stream must contain these words.
static void expect_error(const char *words) {
    const char *e = emu_wait(stream);
    expect(e && strstr(e, words), std::string("want an error with: ") + words + "; got: " + (e ? e : "none"));
}

static uint32_t mix(uint32_t x) {
    x = (x ^ 61) ^ x >> 16, x *= 9, x ^= x >> 4, x *= 0x27d4eb2d;
    return x ^ x >> 15;
}
static uint16_t bf16_of(float x) { return (uint16_t)(__float_as_uint(x) >> 16); }  // of numbers that have few bits
static float small(uint32_t i) { return (float)(int)(mix(i) % 255) / 64 - 2; }        // 8 bits: exact in bf16

// ---- features

static void indices() {
    array<uint32_t> out(2 * 3 * 2 * 4 * 5 * 3);
    uint32_t *o = out.p;
    launch(dim3(2, 3, 2), dim3(4, 5, 3), 0, [=] {
        uint32_t block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x, t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        uint32_t first = threadIdx.x;
        __syncthreads();
        expect(first == threadIdx.x && gridDim.z == 2 && blockDim.x == 4, "indices change at a barrier");
        o[block * 60 + t] = block * 60 + t;
    });
    auto x = out.get();
    for (uint32_t i = 0; i < x.size(); i++) expect(x[i] == i, "a thread has not run");
}

template <class T> static void shuffle_type(T (*value)(uint32_t)) {
    for (int width : {32, 16, 8, 4, 2, 1}) {
        for (int by : {0, 1, 3, 7, 16, 31}) {
            array<T> out(4 * 64);
            T *o = out.p;
            launch(1, 64, 0, [=] {
                int t = threadIdx.x;
                T v = value(t);
                o[t] = __shfl_sync(~0u, v, by, width);
                o[64 + t] = __shfl_up_sync(~0u, v, by, width);
                o[128 + t] = __shfl_down_sync(~0u, v, by, width);
                o[192 + t] = __shfl_xor_sync(~0u, v, by, width);
            });
            auto x = out.get();
            for (int t = 0; t < 64; t++) {  // from CUDA's guide: a segment of `width` lanes is a warp of its own
                int segment = t / width * width, i = t % width;
                expect(x[t] == value(segment + by % width), "shfl");
                expect(x[64 + t] == value(i - by < 0 ? t : t - by), "shfl_up");
                expect(x[128 + t] == value(i + by >= width ? t : t + by), "shfl_down");
                int other = t ^ by;
                expect(x[192 + t] == value(other / width > t / width ? t : other), "shfl_xor");
            }
        }
    }
}

static void shuffles() {
    shuffle_type<float>([](uint32_t i) { return small(i); });
    shuffle_type<int>([](uint32_t i) { return (int)mix(i); });
    shuffle_type<unsigned long long>([](uint32_t i) { return (unsigned long long)mix(i) << 32 | mix(i + 99); });
    shuffle_type<double>([](uint32_t i) { return small(i) / 3.0; });
}

static void masks() {  // three groups of lanes at different instructions, then a shuffle among lanes that read different lanes
    array<unsigned> out(32);
    unsigned *o = out.p;
    launch(1, 32, 0, [=] {
        int t = threadIdx.x;
        if (t < 10) o[t] = __ballot_sync(0x3ffu, t & 1);
        else if (t < 20) o[t] = __reduce_add_sync(0xffc00u, (unsigned)t);
        else o[t] = (unsigned)__shfl_sync(0xfff00000u, t, 20 + (t + 1) % 12);
        __syncwarp();
        if (t % 2) __syncwarp(0xaaaaaaaau);
        else o[t] += __popc(__ballot_sync(0x55555555u, 1)) - 16;
    });
    auto x = out.get();
    for (unsigned t = 0; t < 32; t++) expect(x[t] == (t < 10 ? 0x2aau : t < 20 ? 145u : 20 + (t + 1) % 12), "lane " + std::to_string(t) + ": " + std::to_string(x[t]));
}

static void votes() {
    array<int> out(32 * 12);
    int *o = out.p;
    launch(1, 32, 0, [=] {
        int t = threadIdx.x, v = (int)mix(t);
        int r[12] = {__any_sync(~0u, t == 7), __any_sync(~0u, t == 70), __all_sync(~0u, t < 32), __all_sync(~0u, t < 31), __reduce_add_sync(~0u, v),
                     __reduce_min_sync(~0u, v), __reduce_max_sync(~0u, v), (int)__reduce_min_sync(~0u, (unsigned)v), (int)__reduce_max_sync(~0u, (unsigned)v),
                     (int)__reduce_and_sync(~0u, v | 0xff0fu), (int)__reduce_or_sync(~0u, (unsigned)v & 0x1234u), (int)__reduce_xor_sync(~0u, (unsigned)v)};
        for (int i = 0; i < 12; i++) o[t * 12 + i] = r[i];
    });
    int want[12] = {1, 0, 1, 0, 0, INT32_MAX, INT32_MIN, -1, 0, -1, 0, 0};
    for (int t = 0; t < 32; t++) {
        unsigned u = mix(t);
        int v = (int)u;
        want[4] = (int)((unsigned)want[4] + u), want[5] = std::min(want[5], v), want[6] = std::max(want[6], v);
        want[7] = (int)std::min((unsigned)want[7], u), want[8] = (int)std::max((unsigned)want[8], u);
        want[9] &= (int)(u | 0xff0fu), want[10] |= (int)(u & 0x1234u), want[11] ^= v;
    }
    auto x = out.get();
    for (int i = 0; i < 32 * 12; i++) expect(x[i] == want[i % 12], "vote " + std::to_string(i % 12));
}

static void barriers() {
    array<int> out(3 * 100);
    int *o = out.p;
    launch(1, 100, 0, [=] {
        int t = threadIdx.x;
        for (int i = 0; i < 3; i++) {  // in a row: the result of one is not that of the next
            int c = __syncthreads_count(t % 3 == i), a = __syncthreads_and(t < 100 - i), b = __syncthreads_or(t == i * 60);
            o[i * 100 + t] = c * 4 + a * 2 + b;
        }
    });
    auto x = out.get();
    for (int i = 0; i < 300; i++) expect(x[i] == (i < 100 ? 34 * 4 + 3 : i < 200 ? 33 * 4 + 1 : 33 * 4), "barrier");
}

static void sums() {  // of cuda.cuh: warps, blocks, and the block that is last
    const int blocks = 7;
    array<float> partial(blocks), out(blocks + 1);
    array<int32_t> counter(std::vector<int32_t>{0});
    float *p = partial.p, *o = out.p;
    int32_t *c = counter.p;
    launch(blocks, 96, 0, [=] {
        __shared__ float part[32];
        float s = block_sum((float)(threadIdx.x * blockIdx.x), part);
        if (threadIdx.x == 0) p[blockIdx.x] = s;
        o[blockIdx.x] = s;
        if (!gpu::last_block(c, blocks)) return;
        float total = 0;
        for (int i = 0; i < blocks; i++) total += p[i];
        o[blocks] = total;
    });
    auto x = out.get();
    for (int b = 0; b < blocks; b++) expect(x[b] == 4560.f * b, "block sum");
    expect(x[blocks] == 4560.f * 21, "the last block's sum");
    expect(counter.get()[0] == 0, "the counter");
}

static void atomics() {
    array<unsigned> out(std::vector<unsigned>{0, 0, 7, 0, 0xffffffffu, 0});
    array<unsigned> tickets(64 * 40);
    unsigned *o = out.p, *k = tickets.p;
    launch(40, 64, 0, [=] {
        k[atomicAdd(&o[0], 1)] = 1;
        atomicMax(&o[1], threadIdx.x * 3 + blockIdx.x);
        atomicMin(&o[2], 5 + threadIdx.x);
        atomicOr(&o[3], 1u << (threadIdx.x & 31));
        atomicAnd(&o[4], ~(1u << (threadIdx.x & 15)));
        unsigned seen = 0, was;
        while ((was = atomicCAS(&o[5], seen, seen + 2)) != seen) seen = was;
    });
    auto x = out.get();
    const unsigned want[6] = {2560, 63 * 3 + 39, 5, ~0u, 0xffff0000u, 5120};
    for (int i = 0; i < 6; i++) expect(x[i] == want[i], "atomic " + std::to_string(i));
    for (unsigned t : tickets.get()) expect(t == 1, "a ticket was given twice");
    array<int> flag(std::vector<int>{0, 0});
    int *f = flag.p;
    launch(1, 64, 0, [=] {  // a warp waits for another
        if (threadIdx.x == 63) atomicExch(&f[0], 5);
        if (threadIdx.x == 0) {
            while (atomicAdd(&f[0], 0) != 5) __nanosleep(100);
            f[1] = 1;
        }
    });
    expect(flag.get()[1] == 1, "a wait with nanosleep");
}

static void shared_memory() {
    array<float> out(256);
    float *o = out.p;
    launch(4, 64, 1000, [=] {
        float *s = (float *)ptx::dynamic_shared();
        expect((uintptr_t)s % 1024 == 0, "dynamic shared memory is not aligned");
        expect(isnan(s[threadIdx.x]), "shared memory is not NaN at first");
        __syncthreads();
        s[threadIdx.x] = (float)threadIdx.x;
        __syncthreads();
        o[blockIdx.x * 64 + threadIdx.x] = s[63 - threadIdx.x];
    });
    auto x = out.get();
    for (int i = 0; i < 256; i++) expect(x[i] == (float)(63 - i % 64), "shared memory");
}

static void async_copies() {  // three stages, the tail filled with zeros
    const int rows = 10, stages = 3, threads = 32;
    std::vector<float> in(rows * threads * 4 - 8);
    for (size_t i = 0; i < in.size(); i++) in[i] = (float)i + 1;
    array<float> src(in), out(rows * threads * 4);
    const float *s = src.p;
    float *o = out.p;
    const size_t n = in.size();
    launch(1, threads, stages * threads * 16, [=] {
        float *ring = (float *)ptx::dynamic_shared();
        auto issue = [&](int row) {
            size_t at = (size_t)(row * threads + (int)threadIdx.x) * 4;
            if (row < rows) ptx::cp_async(ptx::shared(ring + (row % stages * threads + threadIdx.x) * 4), s + (at < n ? at : 0), at < n);
            ptx::cp_async_commit();
        };
        for (int r = 0; r < stages - 1; r++) issue(r);
        for (int r = 0; r < rows; r++) {
            ptx::cp_async_wait<stages - 2>();
            __syncthreads();
            issue(r + stages - 1);
            for (int i = 0; i < 4; i++) o[(r * threads + threadIdx.x) * 4 + i] = ring[(r % stages * threads + (threadIdx.x ^ 5)) * 4 + i];
        }
    });
    auto x = out.get();
    for (int i = 0; i < rows * threads * 4; i++) {
        int from = (i / 4 ^ 5) * 4 + i % 4;
        expect(x[i] == (from < (int)n ? (float)(from + 1) : 0), "cp.async at " + std::to_string(i));
    }
}

static void matrices() {  // layouts as in the PTX ISA, "Matrix multiply-accumulate operation using mma instruction", m16n8k16
    array<uint32_t> loaded(2 * 32 * 4);
    uint32_t *o = loaded.p;
    launch(1, 32, 4 * 128, [=] {
        uint16_t *s = (uint16_t *)ptx::dynamic_shared();  // (32, 8): row i, column j holds 8·i + j
        for (int j = 0; j < 8; j++) s[threadIdx.x * 8 + j] = (uint16_t)(threadIdx.x * 8 + j);
        __syncwarp();
        uint32_t r[4];
        ptx::ldmatrix_x4(r, ptx::shared(s + threadIdx.x * 8));
        for (int i = 0; i < 4; i++) o[threadIdx.x * 4 + i] = r[i];
        ptx::ldmatrix_x4_trans(r, ptx::shared(s + threadIdx.x * 8));
        for (int i = 0; i < 4; i++) o[128 + threadIdx.x * 4 + i] = r[i];
    });
    auto x = loaded.get();
    for (uint32_t l = 0; l < 32; l++) {
        for (uint32_t m = 0; m < 4; m++) {
            uint32_t row = l >> 2, column = (l & 3) * 2;
            expect(x[l * 4 + m] == ((m * 64 + row * 8 + column) | (m * 64 + row * 8 + column + 1) << 16), "ldmatrix");
            expect(x[128 + l * 4 + m] == ((m * 64 + column * 8 + row) | (m * 64 + (column + 1) * 8 + row) << 16), "ldmatrix, transposed");
        }
    }
    array<float> product(32 * 4);
    float *d = product.p;
    auto A = [](uint32_t i, uint32_t k) { return small(i * 16 + k); };
    auto B = [](uint32_t k, uint32_t j) { return small(1000 + k * 8 + j); };
    launch(1, 32, 0, [=] {
        uint32_t lane = threadIdx.x, group = lane >> 2, in_group = lane % 4, a[4] = {}, b[2] = {};
        for (uint32_t i = 0; i < 8; i++) {
            uint32_t row = i < 2 || (i >= 4 && i < 6) ? group : group + 8, column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
            a[i / 2] |= (uint32_t)bf16_of(A(row, column)) << 16 * (i % 2);
        }
        for (uint32_t i = 0; i < 4; i++) b[i / 2] |= (uint32_t)bf16_of(B(in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0), group)) << 16 * (i % 2);
        float c[4] = {1, 2, 3, 4};
        ptx::mma_bf16(c, a, b[0], b[1]);
        for (int i = 0; i < 4; i++) d[lane * 4 + i] = c[i];
    });
    auto y = product.get();
    for (uint32_t l = 0; l < 32; l++) {
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t row = i < 2 ? l >> 2 : (l >> 2) + 8, column = l % 4 * 2 + (i & 1);
            double want = i + 1;
            for (uint32_t k = 0; k < 16; k++) want += (double)A(row, k) * B(k, column);
            expect(fabs(y[l * 4 + i] - want) < 1e-4, "mma");
        }
    }
}

static void numbers() {
    expect(ptx::pack_bf16(1.f, -2.f) == 0xc0003f80u, "pack");
    expect(emu::round_bf16(__uint_as_float(0x3f808000)) == 0x3f80 && emu::round_bf16(__uint_as_float(0x3f818000)) == 0x3f82, "ties to even");
    expect(emu::round_bf16(__uint_as_float(0x3f808001)) == 0x3f81 && emu::round_bf16(INFINITY) == 0x7f80, "to nearest");
    expect(emu::round_bf16(3.4e38f) == 0x7f80 && emu::round_bf16(NAN) == 0x7fff, "overflow and NaN");
    expect(__brev(1) == 1u << 31 && __clz(0) == 32 && __clz(1) == 31 && __ffs(8) == 4 && __umulhi(1u << 31, 6) == 3 && __popcll(~0ull) == 64, "bits");
    expect(min(-1, 2) == -1 && min(3u, -1) == 3u && max(1.5f, NAN) == 1.5f && max(7l, 8l) == 8, "min and max");
    expect(ptx::exp2_approx(-127.f) == 0 && ptx::exp2_approx(3.f) == 8, "exp2");
    expect(__funnelshift_l(0x80000000u, 1, 1) == 3 && __funnelshift_r(2, 1, 1) == 0x80000001u, "funnel shift");
}

static void streams() {
    int host = 0;
    array<int> a(std::vector<int>{1}), b(std::vector<int>{2});
    int *p = a.p, *q = b.p;
    launch(1, 1, 0, [=] { *p += 10; });
    emu_copy(stream, &host, p, 4);
    expect(host == 0 && *p == 1 && !emu_idle(stream), "ran before the wait");
    emu_event e = emu_record(stream);
    emu_fill32(stream, p, 77, 1);
    expect(!emu_passed(e) && !emu_reach(e) && emu_passed(e) && host == 11 && *p == 11, "an event");
    expect(!emu_wait(stream) && *p == 77 && emu_idle(stream), "a wait");
    void *other = emu_stream(schedule);
    emu_fill(stream, p, 0, 4);
    launch(1, 1, 0, [=] { *p += 5; });
    e = emu_record(stream);
    launch(1, 1, 0, [=] { *p += 100; });
    emu_follow(other, e);
    emu::launch(other, 1, 1, 0, [=] { *q = *p; });
    expect(!emu_wait(other) && *q == 5 && *p == 5, "a stream that follows another");
    emu_call(other, [](void *x) { *(int *)x = 3; }, &host);
    emu_stream_end(other);
    expect(host == 3 && emu_passed(e), "the end of a stream runs it");
    launch(1, 1, 0, [] { __trap(); });
    launch(1, 1, 0, [=] { *p = 1000; });
    emu_copy(stream, &host, p, 4);
    expect_error("__trap (emu.cc:");
    expect(!emu_wait(stream) && *p == 105 && host == 3, "the queue goes on after an error");
    emu::enqueue(stream, [] { throw std::runtime_error("a library's error"); });
    expect_error("a library's error");
    emu_copy(stream, p, p + 1, 4);
    expect_error("copy from: bytes 4 to 8 of an allocation of 4 bytes");
    emu_fill(stream, p, 0, 5);
    expect_error("fill: bytes 0 to 5 of an allocation of 4 bytes");
}

static void memory() {
    size_t total, used, now, bytes;
    void *base;
    emu_memory(&total, &used);
    char *p = (char *)emu_malloc(100);
    emu_memory(&total, &now);
    expect((uintptr_t)p % 64 == 0 && now == used + 128 && (unsigned char)p[99] == 0xff, "an allocation");
    expect(emu_find(p + 99, &base, &bytes) && base == p && bytes == 100 && !emu_find(p + 100, &base, &bytes) && !emu_find(&total, &base, &bytes), "find");
    expect(!emu_outside(p + 1, 99) && strstr(emu_outside(p + 1, 100), "bytes 1 to 101 of an allocation of 100") && emu_outside(&total, 1), "outside");
    expect(strstr(emu_release(p + 64), "is not an allocation"), "release of the middle");
    p[100] = 0;
    expect(strstr(emu_release(p), "a write at byte 100 of an allocation of 100 bytes"), "a write past the end");
    expect(strstr(emu_release(p), "is not an allocation"), "a second release");
    p = (char *)emu_malloc(64);
    p[-1] = 1;
    expect(strstr(emu_release(p), "a write at byte -1 of"), "a write before the beginning");
    emu_resize(now + 1000);
    expect(!emu_malloc(2000), "memory without end");
    emu_resize((size_t)8 << 30);
    expect(!emu_release(nullptr), "release of nothing");
}

static void refused(dim3 grid, dim3 block, size_t shared, const char *words) {
    std::string got = "none";
    try {
        launch(grid, block, shared, [] {});
    } catch (const std::runtime_error &e) {
        got = e.what();
    }
    expect(strstr(got.c_str(), words), std::string("want a launch to fail with: ") + words + "; got: " + got);
}
static void limits() {
    refused(1, 1025, 0, "a block of (1025, 1, 1) threads");
    refused(1, dim3(32, 32, 2), 0, "a block of (32, 32, 2) threads");
    refused(1, dim3(1, 1, 65), 0, "a block of");
    refused(dim3(1, 65536), 1, 0, "a grid of (1, 65536, 1) blocks");
    refused(dim3(0), 1, 0, "a grid of");
    refused(1, 1, (227 << 10) + 1, "bytes of shared memory");
    launch(1, 1024, 227 << 10, [] { ptx::dynamic_shared()[(227 << 10) - 1] = 0; });
    const char *e = emu_wait(stream);
    expect(emu_shared(stream) == 227 << 10, "shared memory at first");
    emu_lower_shared(stream, 99 << 10);
    refused(1, 1, (99 << 10) + 1, "a block has at most 101376");
    expect(!e, e ? e : "");
}

// Neither the number of OS threads nor chance may decide: a random schedule is the same each time.
static void repeats() {
    std::vector<unsigned> first;
    for (int workers : {1, 2, 4, 0}) {
        emu_workers(workers);
        void *s = emu_stream({EMU_RANDOM, EMU_MIXED, 5});
        std::swap(s, stream);
        array<unsigned> out(8 * 64);
        unsigned *o = out.p;
        launch(8, 64, 0, [=] {
            __shared__ unsigned ticket;
            if (threadIdx.x == 0) ticket = 0;
            __syncthreads();
            o[blockIdx.x * 64 + atomicAdd(&ticket, 1)] = threadIdx.x;
        });
        auto x = out.get();
        std::swap(s, stream);
        emu_stream_end(s);
        if (first.empty()) first = x;
        expect(x == first, "a random schedule does not repeat");
    }
    bool other = false;
    for (int i = 0; i < 64; i++) other = other || first[i] != first[64 + i];
    expect(other, "two blocks have the same random order");
}

// ---- mistakes with a message

static void mistakes() {
    array<float> data(std::vector<float>(100, 1.f));
    float *g = data.p;
    auto is = [&](const char *words, dim3 block, size_t shared, std::function<void()> f) {
        launch(3, block, shared, f);
        expect_error(words);
    };
    is("a divergent barrier: __syncthreads (emu.cc:", 64, 0, [] {
        if (threadIdx.x < 32) __syncthreads();
        else __syncthreads();
    });
    is("has returned, and is waited for at __syncthreads (emu.cc:", 64, 0, [] {
        if (threadIdx.x == 40) return;
        __syncthreads();
    });
    is("lane 3 is not in its mask 0000fff7", 32, 0, [] { if (threadIdx.x < 16) __syncwarp(0xfff7); });
    is("thread 5 has returned, and is waited for at __shfl_xor_sync (emu.cc:", 32, 0, [] {
        if (threadIdx.x == 5) return;
        __shfl_xor_sync(~0u, 1, 1);
    });
    is("meet in different instructions", 32, 0, [] {
        if (threadIdx.x < 4) __shfl_sync(~0u, 1, 0);
        else __ballot_sync(~0u, 1);
    });
    is("the mask ffffffff has lane 16, which a block of 48 threads has not", 48, 0, [] { gpu::warp_sum(1); });
    is("which is not in the mask 0000ffff", 32, 0, [] { if (threadIdx.x < 16) __shfl_down_sync(0xffffu, 1, 1); });
    is("nobody can go on: threads 0-31 wait at __syncthreads (emu.cc:", 64, 0, [] {
        if (threadIdx.x / 16 != 2) __syncthreads();
        else __syncwarp();
    });
    is("nobody can go on: threads 0-63 wait at __nanosleep", 64, 0, [] { for (;;) __nanosleep(1); });
    is("ldmatrix: byte 8 of shared memory is not aligned to 16 bytes", 32, 1024, [] {
        uint32_t r[4];
        ptx::ldmatrix_x4(r, ptx::shared(ptx::dynamic_shared() + 8));
    });
    is("ldmatrix_trans: bytes 992 to 1008 of 1000 bytes of shared memory", 32, 1000, [] {
        uint32_t r[4];
        ptx::ldmatrix_x4_trans(r, ptx::shared(ptx::dynamic_shared() + threadIdx.x * 32));
    });
    is("has lane 16, which a block of 16 threads has not", 16, 1024, [] {
        uint32_t r[4];
        ptx::ldmatrix_x4(r, ptx::shared(ptx::dynamic_shared()));
    });
    is("is not in shared memory", 32, 1024, [] {
        uint32_t on_the_stack[4] = {};
        ptx::ldmatrix_x4(on_the_stack, ptx::shared(on_the_stack));
    });
    is("cp.async: byte 4 of shared memory is not aligned", 32, 1024, [=] { ptx::cp_async(ptx::shared(ptx::dynamic_shared() + 4), g, true); });
    is("cp.async: bytes 1024 to 1040 of 1024 bytes", 32, 1024, [=] { ptx::cp_async(ptx::shared(ptx::dynamic_shared() + 1024), g, true); });
    is("is not aligned to 16 bytes: bytes 4 to 20 of an allocation of 400 bytes", 32, 1024, [=] { ptx::cp_async(ptx::shared(ptx::dynamic_shared()), g + 1, true); });
    is("cp.async: bytes 400 to 416 of an allocation of 400 bytes", 32, 1024, [=] { ptx::cp_async(ptx::shared(ptx::dynamic_shared()), g + 100, true); });
    is("returns with 2 cp.async copies that it has not waited for", 32, 1024, [=] {  // the commit is missing
        for (int i = 0; i < 2; i++) ptx::cp_async(ptx::shared(ptx::dynamic_shared() + threadIdx.x * 32 + i * 16), g, true);
        ptx::cp_async_wait<0>();
    });
    is("returns with 1 cp.async copies that it has not waited for", 32, 1024, [=] {  // waits for one group too few
        for (int i = 0; i < 2; i++) {
            ptx::cp_async(ptx::shared(ptx::dynamic_shared() + threadIdx.x * 32 + i * 16), g, true);
            ptx::cp_async_commit();
        }
        ptx::cp_async_wait<1>();
    });
    is("load16: bytes 400 to 416 of an allocation of 400 bytes", 32, 0, [=] { ptx::load16(g + 100); });
    is("load16: bytes -16 to 0 of an allocation of 400 bytes", 32, 0, [=] { ptx::load16(g - 4); });
    is("store16: bytes 400 to 416 of an allocation", 32, 0, [=] { ptx::store16(g + 100, uint4{}); });
    is("is not aligned to 16 bytes", 32, 0, [=] { ptx::load16(g + 2); });
    alignas(16) static float host[4];
    is("which is not in device memory", 32, 0, [] { ptx::load16(host); });
    is("of an allocation of 400 bytes", 32, 0, [=] { g[112 + threadIdx.x] = 1; });
    is("an access at", 32, 0, [=] { ((volatile float *)g)[(int)(threadIdx.x + 0x80000000u)] += 1; });  // an index that overflows
    is("an access at", 32, 0, [=] { *(volatile int *)(uintptr_t)(threadIdx.x + 1) = 1; });
    is("an access at byte 1024 of 1000 bytes of shared memory", 32, 1000, [] { ((volatile float *)ptx::dynamic_shared())[256] = 1; });
    is("a write at byte 1000 of 1000 bytes of shared memory", 32, 1000, [] { ((volatile float *)ptx::dynamic_shared())[250] = 1; });
    is("an access at byte 0 of 0 bytes of shared memory", 32, 0, [] { *(volatile char *)ptx::dynamic_shared() = 1; });
    typedef float vector __attribute__((vector_size(16)));
    is("an access that is misaligned", 32, 1024, [] { *(volatile vector *)(ptx::dynamic_shared() + 4) = vector{}; });
    is("its stack is full", 32, 0, [] {
        std::function<int(int)> down = [&](int i) { volatile char frame[100] = {}; return frame[i % 100] + down(i + 1) + frame[1]; };
        down(0);
    });
    is("block (1, 0, 0), thread (2, 1, 0): __trap", dim3(3, 2), 0, [] { if (blockIdx.x == 1 && threadIdx.x == 2 && threadIdx.y == 1) __trap(); });
    float *gone = (float *)emu_malloc(4096);
    emu_release(gone);
    is("which is not in device memory", 32, 0, [=] { ptx::load16(gone); });
}

// ---- mistakes that only values show: the right kernel passes under every schedule, the wrong one fails under those given, a bit each

enum { load_barrier = 1, overwrite_barrier, copy_wait, warp_barrier, arrival_order, uninitialised, last_block_early };

// Whether a kernel with this mistake (0: none) gives what it must.
static bool right(int mistake, int kind) {
    const int threads = 128;
    std::vector<float> in(4 * threads * 4);
    for (size_t i = 0; i < in.size(); i++) in[i] = small((uint32_t)i);
    array<float> src(in), out(4 * threads);
    array<int> ticket(std::vector<int>{0, 0});
    const float *s = src.p;
    float *o = out.p;
    int *c = ticket.p;
    emu_fill(stream, o, 0, out.n * 4);
    auto wrong = [=](int k) { return mistake == k; };
    if (kind == 0) {  // stages through shared memory, read by another warp
        launch(1, threads, threads * 16, [=] {
            float *stage = (float *)ptx::dynamic_shared(), sum = 0;
            int t = threadIdx.x;
            for (int r = 0; r < 4; r++) {
                ptx::cp_async(ptx::shared(stage + t * 4), s + (r * threads + t) * 4, true);
                ptx::cp_async_commit();
                if (!wrong(copy_wait)) ptx::cp_async_wait<0>();
                if (!wrong(load_barrier)) __syncthreads();
                for (int i = 0; i < 4; i++) sum += stage[(t ^ 64) * 4 + i];
                if (!wrong(overwrite_barrier)) __syncthreads();
            }
            ptx::cp_async_wait<0>();
            o[t] = sum;
        });
        auto x = out.get();
        for (int t = 0; t < threads; t++) {
            float sum = 0;
            for (int r = 0; r < 4; r++) {
                for (int i = 0; i < 4; i++) sum += in[(r * threads + (t ^ 64)) * 4 + i];
            }
            if (!(x[t] == sum)) return false;
        }
        return true;
    }
    if (kind == 1) {  // between the lanes of a warp
        launch(1, 32, 128, [=] {
            float *row = (float *)ptx::dynamic_shared();
            if (!wrong(uninitialised) || threadIdx.x != 9) row[threadIdx.x] = s[threadIdx.x];
            if (!wrong(warp_barrier)) __syncwarp();
            o[threadIdx.x] = row[31 - threadIdx.x];
        });
        auto x = out.get();
        for (int t = 0; t < 32; t++) {
            if (!(x[t] == in[31 - t])) return false;
        }
        return true;
    }
    auto value = [](unsigned b) { return b % 2 ? 1.f : b ? -1e8f : 1e8f; };  // a sum of them depends on the order
    launch(4, 32, 0, [=] {  // a sum over blocks, by the last of them, in a fixed order
        __shared__ int turn;
        if (threadIdx.x == 0) {
            turn = wrong(arrival_order) ? atomicAdd(&c[1], 1) : (int)blockIdx.x;
            o[1 + turn] = value(blockIdx.x);
        }
        if (gpu::last_block(c, wrong(last_block_early) ? 3 : 4) && threadIdx.x == 0) o[0] = ((o[1] + o[2]) + o[3]) + o[4];
    });
    float x = out.get()[0];
    return x == 1;
}

static const emu_schedule schedules[] = {{EMU_FORWARD, EMU_LAZY, 1}, {EMU_FORWARD, EMU_EAGER, 2}, {EMU_FORWARD, EMU_MIXED, 3},
                                         {EMU_REVERSE, EMU_LAZY, 4}, {EMU_REVERSE, EMU_EAGER, 5}, {EMU_REVERSE, EMU_MIXED, 6},
                                         {EMU_RANDOM, EMU_LAZY, 7}, {EMU_RANDOM, EMU_EAGER, 8}, {EMU_RANDOM, EMU_MIXED, 9}};

// Runs f under all schedules; gives those that it failed under, a bit each.
static int under_all(const char *name, const std::function<bool()> &f) {
    int failed = 0;
    context = name;
    for (int i = 0; i < 9; i++) {
        schedule = schedules[i];
        stream = emu_stream(schedule);
        if (!f()) failed |= 1 << i;
        emu_stream_end(stream);
    }
    return failed;
}

// ---- the cost of instructions, in nanoseconds for a warp

static double processor_time() {  // in seconds; a busy machine does not count
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void speed() {
    emu_workers(1);
    schedule = {EMU_FORWARD, EMU_LAZY, 1};
    stream = emu_stream(schedule);
    auto time = [&](const char *name, int threads, int times, size_t shared, std::function<void()> f) {
        double best = 1e9;
        for (int i = 0; i < 3; i++) {
            double start = processor_time();
            launch(20, threads, shared, f);
            if (const char *e = emu_wait(stream)) puts(e);
            best = std::min(best, processor_time() - start);
        }
        printf("%-20s %8.0f ns\n", name, best * 1e9 / 20 / (threads / 32) / times);
    };
    const int n = 1000;
    array<float> data(4096);
    float *g = data.p;
    time("block of 32", 32, 1, 0, [] {});
    time("block of 256", 256, 1, 0, [] {});
    time("block of 256, 100 KB", 256, 1, 100000, [] {});
    time("shuffle", 32, n, 0, [=] { float x = 1; for (int i = 0; i < n; i++) x += __shfl_xor_sync(~0u, x, 1); if (x == 0) g[0] = x; });
    time("shuffle of 8 warps", 256, n, 0, [=] { float x = 1; for (int i = 0; i < n; i++) x += __shfl_xor_sync(~0u, x, 1); if (x == 0) g[0] = x; });
    time("__syncwarp", 32, n, 0, [] { for (int i = 0; i < n; i++) __syncwarp(); });
    time("__syncthreads of 128", 128, n, 0, [] { for (int i = 0; i < n; i++) __syncthreads(); });
    time("load16", 32, n, 0, [=] { for (int i = 0; i < n; i++) ptx::load16(g + 4 * (i & 255)); });
    time("ldmatrix", 32, n, 1024, [] { uint32_t r[4]; for (int i = 0; i < n; i++) ptx::ldmatrix_x4(r, ptx::shared(ptx::dynamic_shared() + threadIdx.x * 16)); });
    time("mma", 32, n, 0, [] { float d[4] = {}; uint32_t a[4] = {}; for (int i = 0; i < n; i++) ptx::mma_bf16(d, a, 1, 2); });
    time("cp.async and wait", 32, n, 1024, [=] {
        for (int i = 0; i < n; i++) {
            ptx::cp_async(ptx::shared(ptx::dynamic_shared() + threadIdx.x * 16), g, true);
            ptx::cp_async_commit();
            ptx::cp_async_wait<0>();
        }
    });
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "speed")) return speed(), 0;
    const std::pair<const char *, void (*)()> features[] = {{"indices", indices}, {"shuffles", shuffles}, {"masks", masks}, {"votes", votes}, {"barriers", barriers},
        {"sums", sums}, {"atomics", atomics}, {"shared memory", shared_memory}, {"cp.async", async_copies}, {"matrices", matrices}, {"numbers", numbers},
        {"streams", streams}, {"memory", memory}, {"limits", limits}, {"mistakes", mistakes}};
    for (auto &f : features) under_all(f.first, [&] { return f.second(), true; });
    repeats();
    for (int kind = 0; kind < 3; kind++) {
        int failed = under_all("right kernels", [&] { return right(0, kind); });
        expect(!failed, "kind " + std::to_string(kind) + " fails under " + emu::text("%03o", failed));
    }
    emu_workers(1);  // for the order of blocks to be as said
    // Which schedules see it: bits of forward, reverse and random order, each with late, early and mixed copies.
    const struct { const char *name; int mistake, kind, seen; } wrong[] = {
        {"no __syncthreads after the load", load_barrier, 0, 0777}, {"no __syncthreads before the next load", overwrite_barrier, 0, 0777},
        {"no wait for the copies", copy_wait, 0, 0555}, {"no __syncwarp", warp_barrier, 1, 0777}, {"a sum in the order of arrival", arrival_order, 2, 0070},
        {"shared memory that nobody wrote", uninitialised, 1, 0777}, {"a last block that is not", last_block_early, 2, 0077}};
    for (auto &w : wrong) {
        int failed = under_all(w.name, [&] { return right(w.mistake, w.kind); });
        context = w.name;
        expect((failed & w.seen) == w.seen, "fails under " + emu::text("%03o, want at least %03o", failed, w.seen));
        if (argc > 1) printf("%-40s %03o\n", w.name, failed);
    }
    printf("%d checks, %d failures\n", checks, failures);
    return failures > 0;
}
