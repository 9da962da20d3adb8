// ops.cc: every CUDA op on the software GPU, for planted mistakes (emu_mutation_test.go) and the thread sanitizer
// (emu_race_test.go). Conformance has the values; here a run is compared with one of the right kernels.
//
//   ops write FILE CASE...     runs the cases whose names begin so, and keeps their outputs
//   ops compare FILE CASE...   runs them under each schedule and says: case, schedule, and ok, wrong (with what) or error (with what)
//   ops run CASE...            runs them once
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "../cuda.cuh"
#include "../emu/core.h"

static uint32_t state;
static float draw() {
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / (1 << 24) - 0.5f;
}

typedef std::vector<float> numbers;
typedef std::vector<int32_t> integers;

// The buffers of one case, and the stream it runs on.
struct bench {
    enum kind { in, out, inout };
    struct buffer {
        kind how;
        kdtype type;
        char *p;
        std::vector<char> sent;
    };
    kdtype type;  // of real numbers
    void *queue;
    kstream *s = nullptr;
    std::vector<buffer> buffers;
    std::vector<void *> others;
    std::string error;

    void note(const char *e) {
        if (e && error.empty()) error = e;
    }
    bench(kdtype type, emu_schedule schedule, size_t shared) : type(type), queue(emu_stream(schedule)) {
        const size_t bytes = 2 << 20;
        emu_lower_shared(queue, shared);
        others.push_back(emu_malloc(bytes));
        const char *e = nullptr;
        s = cuda_open(0, queue, others[0], bytes, &e);
        note(e);
        state = 1;
    }
    ~bench() {
        kernels_cuda.close(s);
        for (buffer &b : buffers) emu_release(b.p);
        for (void *p : others) emu_release(p);
        emu_stream_end(queue);
    }

    char *add(kind how, kdtype t, std::vector<char> bytes) {
        char *p = (char *)emu_malloc(bytes.size());
        buffers.push_back({how, t, p, std::move(bytes)});
        emu_copy(queue, p, buffers.back().sent.data(), buffers.back().sent.size());
        note(emu_wait(queue));
        return p;
    }
    char *floats(kind how, kdtype t, const numbers &x) {
        std::vector<char> bytes(x.size() * (t == K_BF16 ? 2 : 4));
        for (size_t i = 0; i < x.size(); i++) {
            uint32_t b = t == K_BF16 ? emu::round_bf16(x[i]) : __float_as_uint(x[i]);
            memcpy(bytes.data() + i * (t == K_BF16 ? 2 : 4), &b, t == K_BF16 ? 2 : 4);
        }
        return add(how, t, bytes);
    }
    static numbers random(size_t n, float scale, float shift = 0) {
        numbers x(n);
        for (float &v : x) v = draw() * scale + shift;
        return x;
    }
    void *real(size_t n, float scale = 2) { return floats(in, type, random(n, scale)); }
    void *changed(size_t n) { return floats(inout, type, random(n, 2)); }
    void *result(size_t n) { return floats(out, type, numbers(n, NAN)); }
    float *f32(const numbers &x) { return (float *)floats(in, K_F32, x); }
    float *f32(size_t n, float scale = 2, float shift = 0) { return f32(random(n, scale, shift)); }
    float *changed_f32(size_t n, float scale = 2, float shift = 0) { return (float *)floats(inout, K_F32, random(n, scale, shift)); }
    float *result_f32(size_t n) { return (float *)floats(out, K_F32, numbers(n, NAN)); }
    float *scratch(size_t n) { return others.push_back(emu_malloc(n * 4)), (float *)others.back(); }
    template <class T> const T *list(const std::vector<T> &x, kdtype t = K_I32) {
        const char *p = (const char *)x.data();
        return (const T *)add(in, t, std::vector<char>(p, p + x.size() * sizeof(T)));
    }
    uint8_t *codes(size_t n) {
        std::vector<char> bytes(n);
        for (char &c : bytes) c = (char)(draw() * 255);
        return (uint8_t *)add(inout, K_U8, bytes);
    }
    int32_t *result_i32(size_t n) { return (int32_t *)add(out, K_I32, std::vector<char>(n * 4, -1)); }

    // Waits, and gives the outputs as numbers.
    numbers outputs() {
        note(emu_wait(queue));
        note(kernels_cuda.sync(s));
        numbers all;
        for (buffer &b : buffers) {
            std::vector<char> now(b.sent.size());
            emu_copy(queue, now.data(), b.p, now.size());
            note(emu_wait(queue));
            if (b.how == in && now != b.sent) note("an input was written");
            size_t size = b.type == K_BF16 ? 2 : b.type == K_U8 ? 1 : 4;
            for (size_t i = 0; b.how != in && i < now.size(); i += size) {
                uint32_t bits = 0;
                memcpy(&bits, now.data() + i, size);
                all.push_back(b.type == K_I32 || b.type == K_U8 ? (float)(int)bits : __uint_as_float(b.type == K_BF16 ? bits << 16 : bits));
            }
        }
        for (buffer &b : buffers) {
            note(emu_release(b.p));
            b.p = nullptr;
        }
        return all;
    }
};

// ---- cases

typedef std::function<void(bench &)> body;
static std::vector<std::pair<std::string, body>> cases;  // of both types
static std::set<std::string> ran;
#define RUN(op, ...)                            \
    do {                                        \
        op##_args a = {__VA_ARGS__};            \
        kernels_cuda.op(b.s, &a);               \
        ran.insert(#op);                        \
    } while (0)

static integers upto(int n, int step = 1) {
    integers x(n);
    for (int i = 0; i < n; i++) x[i] = i * step;
    return x;
}

// A forest with siblings and nodes that end inside of tiles.
static integers ends(int N) {
    integers end(N, N);
    for (int i = 0; i < N; i++) {
        int tree = i / 300 * 300, past = std::min(tree + 300, N), at = i - tree;
        end[i] = at < 90 ? past : at < 170 ? std::min(tree + 170, past) : at < 210 ? past : at < 250 ? std::min(tree + 250, past) : past;
    }
    return end;
}

// What package tile makes of it, without its order of work.
static integers tiles(const integers &end) {
    int N = (int)end.size(), Q = (N + 127) / 128, K = (N + 63) / 64;
    integers t(2 * Q + 1 + 3 * K);
    for (int k = 0; k < K; k++) {
        auto first = end.begin() + k * 64, past = end.begin() + std::min(k * 64 + 64, N);
        t[2 * Q + 1 + k] = k;
        t[2 * Q + 1 + K + k] = past - first == 64 ? *std::min_element(first, past) : 0;
        t[2 * Q + 1 + 2 * K + k] = *std::max_element(first, past);
    }
    for (int q = 0; q < Q; q++) {
        t[q] = q, t[Q + q] = (int)t.size();
        for (int k = 0; k < K && k * 64 < std::min(q * 128 + 128, N); k++) {
            int entry = k * 16, least = t[2 * Q + 1 + K + k], most = t[2 * Q + 1 + 2 * K + k];
            if (most <= q * 128) continue;
            for (int half = 0; half < 2; half++) {
                int lo = q * 128 + half * 64, hi = std::min(lo + 64, N);
                int see = lo >= hi || k * 64 >= hi || most <= lo ? 0 : k * 64 + 63 <= lo && least >= hi ? 2 : 1;
                entry += see << 2 * half;
            }
            t.push_back(entry);
        }
    }
    t[2 * Q] = (int)t.size();
    return t;
}

static void add_cases() {
    auto add = [](const std::string &name, body f) { cases.push_back({name, std::move(f)}); };
    for (int H : {72, 1001, 2048}) {
        std::string h = "/H" + std::to_string(H);
        const int N = 37, V = 19;
        add("embed" + h, [=](bench &b) {
            integers id(N);
            for (int i = 0; i < N; i++) id[i] = i * 7 % V;
            RUN(embed, b.result(N * H), b.real(V * H), b.list(id), N, H, V, b.type);
        });
        add("embed_backward" + h, [=](bench &b) {
            const int n = 211;  // the longest range lies in many tiles
            integers ptr = {0, 1, 150, 160, n}, src(n);
            for (int i = 0; i < n; i++) src[i] = i * 5 % n;
            RUN(embed_backward, b.changed_f32(V * H), b.real(n * H), b.list(integers{3, 0, 18, 7}), b.list(ptr), b.list(src), n, H, V, 4, b.type);
        });
        add("gather" + h, [=](bench &b) { RUN(gather, b.result(20 * H), b.real(N * H), b.list(integers(20, N - 1)), 20, N, H, b.type); });
        add("gather_backward" + h, [=](bench &b) {
            integers ptr(N + 1);
            for (int i = 0; i <= N; i++) ptr[i] = std::min(i * i, 50);
            RUN(gather_backward, b.result(N * H), b.real(50 * H), b.list(ptr), b.list(upto(50)), 50, N, H, b.type);
        });
        add("rmsnorm" + h, [=](bench &b) {
            RUN(rmsnorm, b.result(N * H), b.result(N * H), b.result_f32(N), b.real(N * H), b.real(N * H), b.real(H), 1e-5f, N, H, b.type);
        });
        add("rmsnorm_backward" + h, [=](bench &b) {
            RUN(rmsnorm_backward, b.changed(N * H), b.changed_f32(H), b.result(N * H), b.real(N * H), b.real(N * H), b.real(H), b.f32(N, 1, 1), N, H, b.type);
        });
        add("swiglu" + h, [=](bench &b) { RUN(swiglu, b.result(N * H), b.real(N * 2 * H), N, H, b.type); });
        add("swiglu_backward" + h, [=](bench &b) { RUN(swiglu_backward, b.result(N * 2 * H), b.result(N * H), b.real(N * H), b.real(N * 2 * H), N, H, b.type); });
        add("reward_head" + h, [=](bench &b) { RUN(reward_head, b.result_f32(5), b.real(N * H), b.list(integers{0, 36, 2, 9, 30}), b.f32(H), 5, N, H, b.type); });
        for (kpairing p : {K_CROSS, K_MEAN, K_ZIP}) {
            add("reward_loss" + h + "/" + std::to_string(p), [=](bench &b) {
                const int L = 21, P = 4;
                RUN(reward_loss, b.result_f32(6), b.result_f32(L), b.result_f32(L), b.result(L * H), b.changed_f32(H), b.real(L * H, .5f), b.f32(H, .1f),
                    b.list(integers{0, 3, 5, 9, 12, 14, 14, 15, 20}), b.f32(P, .1f), b.f32(1), .3f, .05f, .25f, .125f, p, L, H, P, b.type);
            });
        }
    }
    add("matmul_dx", [](bench &b) { RUN(matmul_dx, b.changed(33 * 24), b.real(33 * 40), b.real(40 * 24), 33, 40, 24, 1, b.type); });
    add("matmul_dx/odd", [](bench &b) { RUN(matmul_dx, b.result(33 * 23), b.real(33 * 41), b.real(41 * 23), 33, 41, 23, 0, b.type); });
    add("matmul_dw", [](bench &b) { RUN(matmul_dw, b.changed_f32(40 * 24), b.real(33 * 40), b.real(33 * 24), 33, 40, 24, b.type); });
    add("matmul_dw/odd", [](bench &b) { RUN(matmul_dw, b.changed_f32(41 * 23), b.real(33 * 41), b.real(33 * 23), 33, 41, 23, b.type); });
    add("matmul", [](bench &b) { RUN(matmul, b.result(33 * 40), b.real(33 * 24), b.real(40 * 24), nullptr, 33, 40, 24, 0, b.type); });
    add("matmul/odd", [](bench &b) { RUN(matmul, b.result(33 * 41), b.real(33 * 23), b.real(41 * 23), nullptr, 33, 41, 23, 0, b.type); });
    add("critique_loss", [](bench &b) {
        const int R = 70, H = 64, V = 1003;
        integers target(R);
        for (int i = 0; i < R; i++) target[i] = i * 14;
        RUN(critique_loss, b.result_f32(1), b.result_f32(R), b.result(R * H), b.changed_f32(V * H), b.real(R * H), b.real(V * H), b.list(target), b.f32(R), .1f, .2f,
            b.scratch(32 * V), R, H, V, 32, b.type);
    });
    for (int D : {16, 64, 128}) {
        std::string d = "/D" + std::to_string(D);
        const int N = D == 16 ? 70 : D == 64 ? 333 : 200, A = 4, G = 2;
        const integers end = ends(N);
        add("rope" + d, [=](bench &b) { RUN(rope, b.changed(N * (A + 2 * G) * D), b.f32(N * D), b.list(upto(N)), N, A, G, D, N, b.type); });
        add("rope_backward" + d, [=](bench &b) { RUN(rope_backward, b.changed(N * (A + 2 * G) * D), b.f32(N * D), b.list(upto(N)), N, A, G, D, N, b.type); });
        add("attention" + d, [=](bench &b) {
            integers t = tiles(end);
            RUN(attention, b.result(N * A * D), b.result_f32(N * A), b.real(N * (A + 2 * G) * D), b.list(end), b.list(t), N, A, G, D, (int)t.size(), b.type);
        });
        add("attention_backward" + d, [=](bench &b) {  // with any lse that keeps p small: values need not be those of a forward
            integers t = tiles(end);
            RUN(attention_backward, b.result(N * (A + 2 * G) * D), b.scratch(N * A), b.real(N * A * D), b.real(N * A * D), b.f32(N * A, 1, 4), b.real(N * (A + 2 * G) * D),
                b.list(end), b.list(t), N, A, G, D, (int)t.size(), b.type);
        });
        add("kv_store" + d, [=](bench &b) { RUN(kv_store, b.changed(2 * N * 2 * G * D), b.real(N * (A + 2 * G) * D), b.list(upto(N, 2)), N, A, G, D, 2 * N, b.type); });
        add("attention_decode" + d, [=](bench &b) {
            const int B = 21, S = 900;
            integers group(B), own(B), owned(B);
            for (int i = 0; i < B; i++) group[i] = i / 11, own[i] = 400 + 20 * i, owned[i] = i % 20;
            RUN(attention_decode, b.result(B * A * D), b.real(B * (A + 2 * G) * D), b.real(S * 2 * G * D), b.list(group), b.list(integers{0, 2, 3}), b.list(integers{0, 200, 150}),
                b.list(integers{130, 30, 77}), b.list(own), b.list(owned), B, A, G, D, S, 2, 3, b.type);
        });
    }
    add("attention_decode/tiles", [](bench &b) {  // several tiles of keys in a part
        const int B = 2, A = 2, G = 1, D = 64, S = 8800;
        RUN(attention_decode, b.result(B * A * D), b.real(B * (A + 2 * G) * D), b.real(S * 2 * G * D), b.list(integers(B, 0)), b.list(integers{0, 2}), b.list(integers{0, 4200}),
            b.list(integers{4100, 230}), b.list(integers{4500, 8700}), b.list(integers{4110, 90}), B, A, G, D, S, 1, 2, b.type);
    });
    add("attention_decode/many", [](bench &b) {  // so many sequences that each has one part
        const int B = 300, A = 2, G = 2, D = 16, S = 900;
        RUN(attention_decode, b.result(B * A * D), b.real(B * (A + 2 * G) * D), b.real(S * 2 * G * D), b.list(integers(B, 0)), b.list(integers{0, 1}), b.list(integers{0}),
            b.list(integers{200}), b.list(upto(B)), b.list(integers(B, 3)), B, A, G, D, S, 1, 1, b.type);
    });
    for (int64_t n : {1, 1000, 70001}) {
        std::string size = "/" + std::to_string(n);
        add("grad_norm" + size, [=](bench &b) { RUN(grad_norm, b.result_f32(2), b.f32(n), n); });
        add("adamw" + size, [=](bench &b) {
            RUN(adamw, b.changed(n), b.type == K_BF16 ? b.changed_f32(n) : nullptr, b.changed_f32(n), b.changed_f32(n, 1, 1), b.f32(n), b.f32(numbers{3, 0}), 1e-3f, .9f, .95f,
                1e-8f, .1f, .1f, .05f, 1, 3, 4, 5, n, b.type);
        });
        add("adamw_by_chance" + size, [=](bench &b) {
            RUN(adamw, b.changed(n), nullptr, b.changed_f32(n), b.changed_f32(n, 1, 1), b.f32(n), b.f32(numbers{3, 0}), 1e-3f, .9f, .95f, 1e-8f, .1f, .1f, .05f, 1, 3, 4, 8, n, b.type);
        });
        for (bool master : {false, true}) {
            add((master ? "adamw_8bit" : "adamw_8bit_by_chance") + size, [=](bench &b) {
                RUN(adamw_8bit, b.changed(n), master ? b.changed_f32(n) : nullptr, b.codes(n), b.codes(n), b.changed_f32((n + 255) / 256 * 2, 0, .125f), b.f32(n), b.f32(numbers{3, 0}),
                    1e-3f, .9f, .95f, 1e-8f, .1f, .1f, .05f, 1, 3, 4, 8, n, b.type);
            });
        }
    }
    for (int k : {0, 7}) {
        add("sample/k" + std::to_string(k), [=](bench &b) {
            const int B = 5, V = 1777;
            RUN(sample, b.result_i32(B), b.result_f32(B), b.f32(B * V, 9), b.list(std::vector<uint64_t>{1, 2, 3, 4, 5}, K_U64), b.list(upto(B)), 3, .8f, k ? .9f : 1, k, B, V);
        });
    }
}

// The last is a GPU with little shared memory.
static const struct { const char *name; emu_schedule schedule; size_t shared; } schedules[] = {
    {"forward/lazy", {EMU_FORWARD, EMU_LAZY, 1}, 227 << 10}, {"reverse/eager", {EMU_REVERSE, EMU_EAGER, 2}, 227 << 10}, {"random/mixed", {EMU_RANDOM, EMU_MIXED, 3}, 99 << 10}};

static std::string compare(const numbers &want, const numbers &got) {
    if (want.size() != got.size()) return "wrong: no run to compare with";
    float largest = 0;
    for (float x : want) largest = std::max(largest, fabsf(x));
    size_t at = 0, bad = 0;
    for (size_t i = 0; i < want.size(); i++) {
        if (want[i] == got[i] || (isnan(want[i]) && isnan(got[i])) || fabsf(want[i] - got[i]) < 2e-2f * std::max(fabsf(want[i]), largest * .1f)) continue;
        if (!bad++) at = i;
    }
    return bad ? emu::text("wrong: %zu of %zu, the first at %zu: %g, want %g", bad, want.size(), at, (double)got[at], (double)want[at]) : "ok";
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    std::string mode = argv[1], file = mode == "run" || argc < 3 ? "" : argv[2];
    int first = mode == "run" ? 2 : 3, failed = 0;
    add_cases();
    setvbuf(stdout, nullptr, _IOLBF, 0);  // whoever reads may have seen enough
    std::map<std::string, numbers> kept;
    if (mode == "compare") {
        FILE *f = fopen(file.c_str(), "rb");
        char name[100];
        size_t n;
        while (f && fread(name, 1, sizeof name, f) == sizeof name && fread(&n, 1, sizeof n, f) == sizeof n) {
            kept[name].resize(n);
            if (fread(kept[name].data(), sizeof(float), n, f) != n) return 2;
        }
        if (f) fclose(f);
    }
    FILE *to = mode == "write" ? fopen(file.c_str(), "wb") : nullptr;
    for (auto &c : cases) {
        for (kdtype type : {K_F32, K_BF16}) {
            std::string name = (type == K_F32 ? "f32/" : "bf16/") + c.first;
            bool wanted = argc <= first;
            for (int i = first; i < argc; i++) wanted = wanted || name.rfind(argv[i], 0) == 0 || c.first.rfind(argv[i], 0) == 0;
            if (!wanted) continue;
            for (auto &how : schedules) {
                if (mode != "compare" && &how != schedules) break;
                bench b(type, how.schedule, how.shared);
                c.second(b);
                numbers got = b.outputs();
                std::string said = !b.error.empty() ? "error: " + b.error : mode == "compare" ? compare(kept[name], got) : "ok";
                printf("%s\t%s\t%s\n", name.c_str(), how.name, said.c_str());
                failed += said != "ok" && said.find("not written yet") == std::string::npos;
                if (!to) continue;
                char padded[100] = {};
                size_t n = got.size();
                memcpy(padded, name.c_str(), std::min(name.size(), sizeof padded - 1));
                fwrite(padded, 1, sizeof padded, to), fwrite(&n, 1, sizeof n, to), fwrite(got.data(), sizeof(float), n, to);
            }
        }
    }
    if (to) fclose(to);
#define HAS_CASE(op) \
    if (argc <= first && !ran.count(#op)) failed++, printf("%s\t\tno case runs it\n", #op);
    KERNEL_OPS(HAS_CASE)
    return failed > 0;
}
