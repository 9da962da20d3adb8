// race.cc: ops with four threads, for a build with -fsanitize=thread (race_test.go). Values do not matter here; conformance has them.
#include "../cpu.h"

#include <stdint.h>
#include <stdio.h>

#include <vector>

static uint32_t state = 1;
static float draw() {
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / (1 << 24) - 0.5f;
}
static std::vector<float> reals(size_t n) {
    std::vector<float> x(n);
    for (float &v : x) v = draw();
    return x;
}

int main(int argc, char **) {
    const char *error = nullptr;
    kstream *s = cpu_open(4, &error);
    if (!s) return printf("open: %s\n", error), 2;
    if (argc > 1) {  // a race on purpose: the sanitizer must see what the pool's threads do
        int sum = 0;
        parallel_for(s, 100000, [&](int64_t, arena &) { sum++; });
        return printf("%d\n", sum), 0;
    }
    const kernel_table &k = kernels_cpu;
    const int N = 300, H = 64, F = 96, V = 130, A = 4, G = 2, D = 16, B = 24;
    auto x = reals(N * H), w = reals(F * H), y = reals(N * F), dw = reals(F * H), dx = reals(N * H), norm = reals(H), rstd = reals(N), dnorm = reals(H);
    std::vector<int32_t> end(N, N), pos(N), id(N), ptr(N + 1), zero(N);
    for (int i = 0; i < N; i++) pos[i] = i, id[i] = i, ptr[i + 1] = i + 1;
    for (int i = 0; i < N; i++) end[i] = i < 40 ? N : i < 170 ? 170 : N;

    for (int round = 0; round < 3; round++) {
        matmul_args m = {y.data(), x.data(), w.data(), nullptr, N, F, H, 1, K_F32};
        k.matmul(s, &m);
        matmul_dx_args mx = {dx.data(), y.data(), w.data(), N, F, H, 1, K_F32};
        k.matmul_dx(s, &mx);
        matmul_dw_args mw = {dw.data(), y.data(), x.data(), N, F, H, K_F32};
        k.matmul_dw(s, &mw);
        rmsnorm_args r = {dx.data(), nullptr, rstd.data(), x.data(), nullptr, norm.data(), 1e-5f, N, H, K_F32};
        k.rmsnorm(s, &r);
        rmsnorm_backward_args rb = {dx.data(), dnorm.data(), y.data(), x.data(), x.data(), norm.data(), rstd.data(), N, H, K_F32};
        k.rmsnorm_backward(s, &rb);
        auto gu = reals(2 * N * F), dgu = gu, h = y;
        swiglu_args sw = {y.data(), gu.data(), N, F, K_F32};
        k.swiglu(s, &sw);
        swiglu_backward_args sb = {dgu.data(), h.data(), y.data(), gu.data(), N, F, K_F32};
        k.swiglu_backward(s, &sb);

        auto qkv = reals(N * (A + 2 * G) * D), dqkv = qkv, out = reals(N * A * D), dout = out, lse = reals(N * A), delta = lse, table = reals(N * D);
        rope_args ro = {qkv.data(), table.data(), pos.data(), N, A, G, D, N, K_F32};
        k.rope(s, &ro);
        attention_args at = {out.data(), lse.data(), qkv.data(), end.data(), nullptr, N, A, G, D, 0, K_F32};  // the CPU reads no tiles
        k.attention(s, &at);
        attention_backward_args ab = {dqkv.data(), delta.data(), dout.data(), out.data(), lse.data(), qkv.data(), end.data(), nullptr, N, A, G, D, 0, K_F32};
        k.attention_backward(s, &ab);
        auto kv = reals((size_t)2 * N * 2 * G * D);
        kv_store_args ks = {kv.data(), qkv.data(), pos.data(), N, A, G, D, 2 * N, K_F32};
        k.kv_store(s, &ks);
        std::vector<int32_t> group(B), seg_ptr, start, len, own(B), owned(B, 5);
        for (int i = 0; i < B; i++) group[i] = i / 8, own[i] = N + 5 * i;
        for (int g = 0; g < B / 8; g++) seg_ptr.push_back(g), start.push_back(10 * g), len.push_back(70);
        seg_ptr.push_back(B / 8);
        attention_decode_args ad = {out.data(), qkv.data(), kv.data(), group.data(), seg_ptr.data(), start.data(), len.data(), own.data(), owned.data(),
                                    B, A, G, D, 2 * N, B / 8, B / 8, K_F32};
        k.attention_decode(s, &ad);

        auto lm = reals(V * H), dlm = lm, lp = reals(N), scratch = reals(64 * V), loss = reals(6), weight = reals(N);
        std::vector<int32_t> target(N);
        for (int i = 0; i < N; i++) target[i] = i % V;
        critique_loss_args cl = {loss.data(), lp.data(), dx.data(), dlm.data(), x.data(), lm.data(), target.data(), weight.data(), 1, 1, scratch.data(), N, H, V, 64, K_F32};
        k.critique_loss(s, &cl);
        std::vector<int32_t> side = {0, 4, 8, 20, N - 1};
        auto reward = reals(N), dreward = reward;
        reward_loss_args rl = {loss.data(), reward.data(), dreward.data(), dx.data(), dnorm.data(), x.data(), norm.data(), side.data(), nullptr, lp.data(),
                               .5f, .1f, 1, 1, K_CROSS, N, H, 2, K_F32};
        k.reward_loss(s, &rl);
        embed_backward_args eb = {dx.data(), x.data(), id.data(), ptr.data(), pos.data(), N, H, N, N, K_F32};
        k.embed_backward(s, &eb);
        gather_backward_args gb = {dx.data(), x.data(), ptr.data(), pos.data(), N, N, H, K_F32};
        k.gather_backward(s, &gb);
        auto big = reals(100000), m1 = big, v1 = std::vector<float>(100000, 1.f), g1 = big, sums = reals(2);
        grad_norm_args gn = {sums.data(), g1.data(), 100000};
        k.grad_norm(s, &gn);
        adamw_args aw = {big.data(), nullptr, m1.data(), v1.data(), g1.data(), sums.data(), 1e-3f, .9f, .95f, 1e-8f, .1f, .1f, .05f, 1, 3, 4, 5, 100000, K_F32};
        k.adamw(s, &aw);
        aw.dtype = K_BF16;  // any bits are weights
        k.adamw(s, &aw);
        std::vector<uint8_t> m8(100000), v8(100000, 200);
        auto scale = reals(2 * 391);
        adamw_8bit_args a8 = {big.data(), nullptr, m8.data(), v8.data(), scale.data(), g1.data(), sums.data(), 1e-3f, .9f, .95f, 1e-8f, .1f, .1f, .05f, 1, 3, 4, 5, 100000, K_BF16};
        k.adamw_8bit(s, &a8);
        auto logits = reals(B * V);
        std::vector<uint64_t> key(B, 7);
        sample_args sa = {id.data(), lp.data(), logits.data(), key.data(), zero.data(), 3, .8f, .9f, 20, B, V};
        k.sample(s, &sa);
        for (int i = 0; i < N; i++) id[i] = i;
        if (const char *fault = k.sync(s)) return printf("fault: %s\n", fault), 2;
    }
    k.close(s);
    puts("ok");
}
