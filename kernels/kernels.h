// kernels.h: the kernel contract. The CPU and the CUDA implementation are exactly this.
//
//   N tokens of the packed batch    H hidden size       F feed-forward size    V vocabulary
//   A query heads   G key heads     D head size         R compacted rows       L leaves   P pairs
//   B sequences being decoded       I, O inner and outer size of a weight matrix (O, I)
//
// Tensors are dense, row-major and owned by the caller. "real" is f32 or bf16, as args.dtype says; statistics,
// losses, rewards and gradients of parameters are f32. Ops on one stream run in order. Outputs marked += accumulate;
// all others are overwritten, every element of them. Inputs are never written. Same inputs, same bits: every sum has
// a fixed order that does not depend on the number of threads.
#ifndef CRITICRM_KERNELS_H
#define CRITICRM_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { K_F32 = 0, K_BF16 = 1, K_I32 = 2, K_U64 = 3, K_U8 = 4 } kdtype;

typedef struct kstream kstream;  // a device and the queue of ops on it

// Token embedding.  out[n] = table[id[n]]
typedef struct {
    void          *out;      // out (N, H)      real
    const void    *table;    // in  (V, H)      real
    const int32_t *id;       // in  (N)
    int32_t        N, H, V;
    kdtype         dtype;
} embed_args;

// dtable[row[u]] += Σ_j dout[src[j]],  j in [ptr[u], ptr[u+1]),  in the order of j. The rows are distinct.
typedef struct {
    float         *dtable;   // += (V, H)
    const void    *dout;     // in  (N, H)      real
    const int32_t *row;      // in  (U)         distinct ids
    const int32_t *ptr;      // in  (U+1)       rising, ptr[0] = 0, ptr[U] = N
    const int32_t *src;      // in  (N)         positions, grouped by id
    int32_t        N, H, V, U;
    kdtype         dtype;
} embed_backward_args;

// Row compaction.  out[r] = x[row[r]]; rows may repeat.
typedef struct {
    void          *out;      // out (R, H)      real
    const void    *x;        // in  (N, H)      real
    const int32_t *row;      // in  (R)
    int32_t        R, N, H;
    kdtype         dtype;
} gather_args;

// dx[n] = Σ_j dout[src[j]],  j in [ptr[n], ptr[n+1]),  in the order of j; zero where the range is empty.
typedef struct {
    void          *dx;       // out (N, H)      real
    const void    *dout;     // in  (R, H)      real
    const int32_t *ptr;      // in  (N+1)
    const int32_t *src;      // in  (R)
    int32_t        R, N, H;
    kdtype         dtype;
} gather_backward_args;

// RMSNorm with the residual sum before it.  sum = x + res;  rstd = 1/sqrt(mean(sum²) + eps);  out = sum · rstd · (shift + w)
// Gemma's weights are kept as what is added to 1: shift is 1 for them, else 0.
typedef struct {
    void          *out;      // out (N, H)      real
    void          *sum;      // out (N, H)      real   NULL iff res is NULL (then sum is x)
    float         *rstd;     // out (N)
    const void    *x;        // in  (N, H)      real
    const void    *res;      // in  (N, H)      real   or NULL
    const void    *w;        // in  (H)         real
    float          eps, shift;
    int32_t        N, H;
    kdtype         dtype;
} rmsnorm_args;

// With y = x·rstd, s = shift + w:  dx += rstd · (dout·s - y · mean(dout·s·y))      dw += Σ_n dout · y        (x is the forward's sum)
// Also gives out once more, which so need not be kept.
typedef struct {
    void          *dx;       // +=  (N, H)      real
    float         *dw;       // +=  (H)
    void          *out;      // out (N, H)      real      as rmsnorm's, to the bit
    const void    *dout;     // in  (N, H)      real
    const void    *x;        // in  (N, H)      real
    const void    *w;        // in  (H)         real
    const float   *rstd;     // in  (N)
    float          shift;
    int32_t        N, H;
    kdtype         dtype;
} rmsnorm_backward_args;

// RMSNorm of parts of each row, in place: groups neighbouring parts of width columns each, from column offset on, one by one, with the
// same weights.  x = the part;  rstd = 1/sqrt(mean(x²) + eps);  it becomes x · rstd · (shift + w)
// Queries or keys of qkv, seen as (N, C): each head by itself (Qwen 3, Gemma 3: width D, groups A or G), or all as one (OLMo 2: groups 1).
typedef struct {
    void          *y;        // in/out (N, C)           real   the other columns stay
    void          *x;        // out (N, groups, width)  real   the parts as they were, kept for backward; or NULL
    float         *rstd;     // out (N, groups)                or NULL (with x)
    const void    *w;        // in  (width)             real
    float          eps, shift;
    int32_t        N, C, groups, width, offset;
    kdtype         dtype;
} slice_norm_args;

// With y = x·rstd, s = shift + w, and dy in the parts of dx:  dx = rstd · (dy·s - y · mean(dy·s·y))      dw += Σ dy · y  over rows and groups
typedef struct {
    void          *dx;       // in/out (N, C)           real   the other columns stay
    float         *dw;       // +=  (width)
    const void    *x;        // in  (N, groups, width)  real
    const void    *w;        // in  (width)             real
    const float   *rstd;     // in  (N, groups)
    float          shift;
    int32_t        N, C, groups, width, offset;
    kdtype         dtype;
} slice_norm_backward_args;

// Rotary position embedding in place on the first A+G heads (queries and keys) of qkv; the values stay. Channel i of a
// head turns with channel i + R/2 (Hugging Face's layout):  a' = a·cos - b·sin,  b' = b·cos + a·sin.  Channels from R on stay.
// rope_backward has the same arguments, holds dqkv in qkv, and turns by the opposite angle.
typedef struct {
    void          *qkv;      // in/out (N, A + 2G, D)  real
    const float   *table;    // in  (T, R)      row t: cos(t·θ_i), i < R/2, then sin(t·θ_i)
    const int32_t *pos;      // in  (N)         < T
    int32_t        N, A, G, D, R, T;           // R even, R <= D
    kdtype         dtype;
} rope_args;
typedef rope_args rope_backward_args;

// y = x·wᵀ (+ add)
typedef struct {
    void          *y;        // out (N, O)      real, or f32 if y_f32
    const void    *x;        // in  (N, I)      real
    const void    *w;        // in  (O, I)      real
    const void    *add;      // in  (N, O)      as y, or NULL; may be y itself
    int32_t        N, O, I, y_f32;
    kdtype         dtype;
} matmul_args;

// dx = dy·w, or dx += dy·w if accumulate
typedef struct {
    void          *dx;       // out or += (N, I)  real
    const void    *dy;       // in  (N, O)      real
    const void    *w;        // in  (O, I)      real
    int32_t        N, O, I, accumulate;
    kdtype         dtype;
} matmul_dx_args;

// dw += dyᵀ·x
typedef struct {
    float         *dw;       // +=  (O, I)
    const void    *dy;       // in  (N, O)      real
    const void    *x;        // in  (N, I)      real
    int32_t        N, O, I;
    kdtype         dtype;
} matmul_dw_args;

// Low-rank part of a projection (LoRA, Hu et al. 2021), t = x·aᵀ being its first product: R columns of t from column `from` on give O columns
// of y from column `at` on.  y[n, at+o] += Σ_k t[n, from+k]·b[o, k]
typedef struct {
    void          *y;        // +=  (N, C)      real   the other columns stay
    const void    *t;        // in  (N, P)      real
    const void    *b;        // in  (O, R)      real
    int32_t        N, C, P, O, R, at, from;
    kdtype         dtype;
} lora_args;

// dt[n, from+k] = Σ_o dy[n, at+o]·b[o, k]      db[o, k] += Σ_n dy[n, at+o]·t[n, from+k]
typedef struct {
    void          *dt;       // in/out (N, P)   real   the other columns stay
    float         *db;       // +=  (O, R)
    const void    *dy;       // in  (N, C)      real
    const void    *t;        // in  (N, P)      real
    const void    *b;        // in  (O, R)      real
    int32_t        N, C, P, O, R, at, from;
    kdtype         dtype;
} lora_backward_args;

// Products with a weight of 4 bits, in bitsandbytes' layout of NF4 with doubly quantised maxima (Dettmers et al. 2023, QLoRA): a block is 64 neighbours
// of a row, two codes a byte, the first in the higher bits. In float32, b being the block's number among all of the matrix:
//   w = nf4[code] · fma(map[absmax[b]], scale[b / 256], offset),  rounded to bfloat16 where the rest is bfloat16
#define NF4_VALUES                                                                                                         \
    {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f, \
     -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,    \
     0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f}

// y[:, at … at+O) = x·wᵀ
typedef struct {
    void          *y;        // in/out (N, C)   real   the other columns stay
    const void    *x;        // in  (N, 64B)    real
    const uint8_t *code;     // in  (O, 32B)
    const uint8_t *absmax;   // in  (O, B)
    const float   *scale;    // in  (S)                S >= O·B / 256
    const float   *map;      // in  (256)
    float          offset;
    int32_t        N, C, O, B, S, at;
    kdtype         dtype;
} matmul_nf4_args;

// dx = dy[:, at … at+O)·w, or dx += … if accumulate
typedef struct {
    void          *dx;       // out or += (N, 64B)  real
    const void    *dy;       // in  (N, C)      real
    const uint8_t *code;     // in  (O, 32B)
    const uint8_t *absmax;   // in  (O, B)
    const float   *scale;    // in  (S)
    const float   *map;      // in  (256)
    float          offset;
    int32_t        N, C, O, B, S, at, accumulate;
    kdtype         dtype;
} matmul_nf4_dx_args;

// How the weight of a product is stored in blocks of ggml's: the types of GGUF files that have one, under ggml's numbers. blocks.h reads them.
typedef enum { K_Q4_0 = 2, K_Q4_1 = 3, K_Q5_0 = 6, K_Q5_1 = 7, K_Q8_0 = 8, K_Q4_K = 12, K_Q5_K = 13, K_Q6_K = 14 } kblock;

// y[:, at … at+O) = x·wᵀ with a weight in blocks, a row after the other as a GGUF file has it. In float32 w is to the bit what ggml's
// dequantize_row_… gives; it is rounded to bfloat16 where the rest is bfloat16.
typedef struct {
    void          *y;        // in/out (N, C)   real   the other columns stay
    const void    *x;        // in  (N, I)      real   I: whole blocks
    const uint8_t *code;     // in  (O, R)             the bytes of a row
    int32_t        N, C, O, I, R, at;
    kblock         type;
    kdtype         dtype;
} matmul_blocks_args;

// dx = dy[:, at … at+O)·w, or dx += … if accumulate
typedef struct {
    void          *dx;       // out or += (N, I)    real
    const void    *dy;       // in  (N, C)      real
    const uint8_t *code;     // in  (O, R)
    int32_t        N, C, O, I, R, at, accumulate;
    kblock         type;
    kdtype         dtype;
} matmul_blocks_dx_args;

// Bias of a projection, in place.  y[n] += b
typedef struct {
    void          *y;        // +=  (N, O)      real
    const void    *b;        // in  (O)         real
    int32_t        N, O;
    kdtype         dtype;
} add_bias_args;

// db += Σ_n dy[n]
typedef struct {
    float         *db;       // +=  (O)
    const void    *dy;       // in  (N, O)      real
    int32_t        N, O;
    kdtype         dtype;
} add_bias_backward_args;

// h = silu(gate)·up,  silu(g) = g/(1 + exp(-g));  a row of gu is gate (F) then up (F)
typedef struct {
    void          *h;        // out (N, F)      real
    const void    *gu;       // in  (N, 2F)     real
    int32_t        N, F;
    kdtype         dtype;
} swiglu_args;

// Also gives h once more, which so need not be kept.
typedef struct {
    void          *dgu;      // out (N, 2F)     real
    void          *h;        // out (N, F)      real      as swiglu's, to the bit
    const void    *dh;       // in  (N, F)      real
    const void    *gu;       // in  (N, 2F)     real
    int32_t        N, F;
    kdtype         dtype;
} swiglu_backward_args;

// The same with another activation:  h = gelu(gate)·up,  gelu(g) = ½·g·(1 + tanh(sqrt(2/π)·(g + 0.044715·g³)))
typedef swiglu_args geglu_args;
typedef swiglu_backward_args geglu_backward_args;

// x *= s, each element
typedef struct {
    void          *x;        // in/out (n)      real
    float          s;
    int64_t        n;
    kdtype         dtype;
} scale_args;

// Attention over a packed forest. Query head a reads key head a·G/A. Subtrees nest, and pos counts the tokens above on the branch.
//   query q sees key k  iff  k <= q < end[k]  and, with a window,  pos[q] - pos[k] < window
//   s = scale·q·kᵀ, and with a cap s = cap·tanh(scale·q·kᵀ/cap)
//   out = softmax(s)·v over the visible keys                   lse = log Σ exp(s), kept for backward
// On the CPU the bits of a token's result depend on the tokens that it sees alone.
//
// tiles says the same by tiles: Q = ⌈N/128⌉ tiles of queries, each with two halves, and as many blocks of keys, each two tiles of 64.
// Package tile makes it from end, pos and window. An implementation may read either, or both.
//   index        elements
//   0            Q          query tiles in order of work: the longest list first
//   Q            Q+1        ptr: the list of query tile t is [ptr[t], ptr[t+1]), indices of this very array
//   2Q+1         Q          key blocks in order of work: the longest list first
//   3Q+1         Q+1        ptr: the list of key block t is [ptr[t], ptr[t+1])
//   4Q+2         …          lists of query tiles: key tile·16 + second half·4 + first half, in rising order. What the queries of a
//                           half see of the tile: 0 nothing, 1 some pairs, 2 all. Key tiles of which both see nothing are left out
//   ptr of key blocks …     lists of key blocks: half·4 + what its queries see of the block, in rising order, where that is something
typedef struct {
    void          *out;      // out (N, A, D)          real
    float         *lse;      // out (N, A)
    const void    *qkv;      // in  (N, A + 2G, D)     real   after rope
    const int32_t *end;      // in  (N)                just past the subtree of the token's node; n < end[n] <= N
    const int32_t *pos;      // in  (N)                read with a window only
    const int32_t *tiles;    // in  (T)
    int32_t        N, A, G, D, T;
    int32_t        window;   // 0: none
    float          scale;    // > 0
    float          cap;      // 0: none
    kdtype         dtype;
} attention_args;

// p = exp(s - lse);  delta = Σ_d dout·out;  dv += pᵀ·dout;  ds = p·(dout·vᵀ - delta)·(1 - (s/cap)²), without a cap p·(dout·vᵀ - delta);
// dq = scale·ds·k;  dk = scale·dsᵀ·q
typedef struct {
    void          *dqkv;     // out (N, A + 2G, D)     real
    float         *delta;    // scratch (N, A)
    const void    *dout;     // in  (N, A, D)          real
    const void    *out;      // in  (N, A, D)          real
    const float   *lse;      // in  (N, A)
    const void    *qkv;      // in  (N, A + 2G, D)     real
    const int32_t *end;      // in  (N)
    const int32_t *pos;      // in  (N)                as for attention, and the rest
    const int32_t *tiles;    // in  (T)
    int32_t        N, A, G, D, T;
    int32_t        window;
    float          scale, cap;
    kdtype         dtype;
} attention_backward_args;

// Keys and values of new tokens into their cache slots (slots are distinct).
typedef struct {
    void          *kv;       // in/out (S, 2G, D)      real   cache of one layer: keys, then values; other slots unchanged
    const void    *qkv;      // in  (N, A + 2G, D)     real   after rope
    const int32_t *slot;     // in  (N)
    int32_t        N, A, G, D, S;
    kdtype         dtype;
} kv_store_args;

// The way back: keys and values of M tokens out of their cache slots into rows of qkv (rows are distinct), so that attention over a packed
// forest sees tokens that were computed before. Queries, and other rows, stay as they are.
typedef struct {
    void          *qkv;      // in/out (N, A + 2G, D)  real
    const void    *kv;       // in  (S, 2G, D)         real
    const int32_t *slot;     // in  (M)
    const int32_t *row;      // in  (M)
    int32_t        M, N, A, G, D, S;
    kdtype         dtype;
} kv_load_args;

// One query token for each of B sequences against the cache. The context of sequence b is the shared segments of its
// group g = group[b] (slots seg_start[i] … + seg_len[i], i in [seg_ptr[g], seg_ptr[g+1])) and then its own slots
// own_start[b] … + own_len[b]. Sequences of a group are consecutive. The query is the last token of its context, and sees all of it, or
// with a window the last `window` tokens; scores as for attention.
// On the CPU the bits of a result depend on the context alone, not on where its segments are cut.
typedef struct {
    void          *out;      // out (B, A, D)          real
    const void    *qkv;      // in  (B, A + 2G, D)     real   only the queries are read
    const void    *kv;       // in  (S, 2G, D)         real
    const int32_t *group;    // in  (B)                rising
    const int32_t *seg_ptr;  // in  (groups + 1)
    const int32_t *seg_start;// in  (segments)
    const int32_t *seg_len;  // in  (segments)
    const int32_t *own_start;// in  (B)
    const int32_t *own_len;  // in  (B)                >= 0; a context is never empty
    int32_t        B, A, G, D, S, groups, segments;
    int32_t        window;   // 0: none
    float          scale;    // > 0
    float          cap;      // 0: none
    kdtype         dtype;
} attention_decode_args;

// Critique loss: the LM head and the cross-entropy on compacted rows; never more than a chunk of logits exists.
//   z[r, v] = x[r]·w[v];  logit = logit_cap·tanh(z·logit_scale/logit_cap), or z·logit_scale where logit_cap is 0
//   ce[r] = log Σ_v exp(logit[r, v]) - logit[r, target[r]]        loss = loss_scale · Σ_r weight[r]·ce[r]
// With dx and dw, also the gradient of grad_scale · Σ_r weight[r]·ce[r], in the same pass.
typedef struct {
    float         *loss;     // out (1)
    float         *logprob;  // out (R)                -ce
    void          *dx;       // out (R, H)      real   or NULL (no gradient)
    float         *dw;       // +=  (V, H)             or NULL (w is not trained)
    const void    *x;        // in  (R, H)      real   after the final norm
    const void    *w;        // in  (V, H)      real
    const int32_t *target;   // in  (R)
    const float   *weight;   // in  (R)
    float          loss_scale, grad_scale, logit_scale, logit_cap;
    float         *scratch;  // scratch (scratch_rows, V): logits of one chunk of rows
    int32_t        R, H, V, scratch_rows;
    kdtype         dtype;
} critique_loss_args;

// The logits of critique_loss, in place, for sampling.  x = cap·tanh(x·scale/cap), or x·scale where cap is 0
typedef struct {
    float         *x;        // in/out (n)
    float          scale, cap;
    int64_t        n;
} soft_cap_args;

// Reward head.  reward[l] = Σ_h x[row[l], h]·w[h], in f32 (rows are distinct)
typedef struct {
    float         *reward;   // out (L)
    const void    *x;        // in  (N, H)      real   after the final norm
    const int32_t *row;      // in  (L)
    const float   *w;        // in  (H)
    int32_t        L, N, H;
    kdtype         dtype;
} reward_head_args;

// Reward loss: the reward head on L leaves, the loss on pairs of their rewards, joined with the critique loss, and its gradient.
//   reward[l] = x[l]·w        dx[l] = dreward[l]·w        dw += Σ_l dreward[l]·x[l]
// Side 2p of pair p is the chosen, 2p+1 the rejected one; its leaves are [side[s], side[s+1]).
// Terms of a pair: CROSS all (c, r) combinations of its leaves; MEAN one, on the mean rewards of the sides;
// ZIP (c_i, r_i) for i < min of the leaf counts. Each pair is the mean of its terms. A pair with an empty side is skipped or, if alone is set, the
// leaves of its other side are compared with the reward 0, each by itself or with MEAN as one: bt is then the binary cross-entropy of a label.
//   z = c - r - margin      bt = -(1 - smooth)·log σ(z) - smooth·log σ(-z)      centre = center·(c + r)²
//   reward loss = loss_scale · Σ_p mean(weight·bt + centre)
// With target, rewards are held against scores: the loss of a pair, in place of that mean, is weight · the mean over its sides that have leaves of
//   mean_i (r_i - target)²                          MEAN: (mean r - target)². Margin, center and smooth are not used; 3 to 5 leave out a side alone
// With list, "pair" p is the sides [list[p], list[p+1]), the best first, and MEAN or ZIP only (ZIP: i < min over its sides; sides without leaves are
// left out). Behind side s are those of its list from worse[s] on: none of s's rank. Its loss (Plackett and Luce; ListMLE) is, with weight,
//   mean over terms of Σ_s log(1 + Σ_{z behind s} exp(r_z - r_s))         3 to 5: of each s with each side behind it, 3 and 4 the mean of these
// loss: 0 joint = lambda·critique + (1 - lambda)·reward   1 critique   2 reward loss
//       3 loss_scale·Σ_p mean([c > r] + ½[c = r])         4 loss_scale·Σ_p mean(c - r)    5 number of terms with c = r
// dreward: gradient of grad_scale · Σ_p of the same
typedef enum { K_CROSS = 0, K_MEAN = 1, K_ZIP = 2 } kpairing;
typedef struct {
    float         *loss;     // out (6)
    float         *reward;   // out (L)
    float         *dreward;  // out (L)
    void          *dx;       // out (L, H)      real
    float         *dw;       // +=  (H)
    const void    *x;        // in  (L, H)      real   after the final norm
    const float   *w;        // in  (H)
    const int32_t *side;     // in  (S+1)              rising within [0, L]; leaves outside of it have no gradient
    const int32_t *list;     // in  (P+1)              rising from 0 to S, or NULL: pairs, S = 2P
    const int32_t *worse;    // in  (S)                with list: within (s, end of the list], not falling in a list; else NULL
    const float   *margin;   // in  (P)                or NULL: 0
    const float   *weight;   // in  (P)                or NULL: 1
    const float   *target;   // in  (S)                or NULL: rewards are compared; not with list
    const float   *critique; // in  (1)                critique loss of the same batch, or NULL: 0
    float          lambda, center, smooth, loss_scale, grad_scale;   // 0 <= smooth < ½
    kpairing       pairing;
    int32_t        alone;    // 0, 1
    int32_t        L, H, P, S;
    kdtype         dtype;
} reward_loss_args;

// norm[0] = sqrt(Σ g²);  norm[1] = how many elements are not finite
typedef struct {
    float         *norm;     // out (2)
    const float   *g;        // in  (n)
    int64_t        n;
} grad_norm_args;

// AdamW (Loshchilov & Hutter 2019) with clipping by the global norm. g' = g·min(1, max_norm/norm) (max_norm 0: no clipping)
//   m = β1·m + (1-β1)·g';  v = β2·v + (1-β2)·g'²;  p -= lr·( (m/bias1)/(sqrt(v/bias2) + eps) + weight_decay·p )
// p is master (then w = round(master)), or w itself where master is NULL. bf16 weights without master are rounded by chance, so
// that steps smaller than their precision are not lost but taken as often as they should: of the new p in f32, the bits plus r
// lose their lower half (not finite: no r is added). r is the upper half of word i%4 of Philox4x32-10 with key = seed and
// counter = (low i/4, high i/4, step, 2), where i = first + the element's index: the same r however parameters are split into
// calls. Equal p have equal w on all devices.
// Nothing is changed if norm is not finite, norm[1] > 0, or skip_norm > 0 and norm > skip_norm.
typedef struct {
    void          *w;        // in/out (n)      real
    float         *master;   // in/out (n)             or NULL
    float         *m, *v;    // in/out (n)
    const float   *g;        // in  (n)
    const float   *norm;     // in  (2)                of all parameters' gradients
    float          lr, beta1, beta2, eps, weight_decay, bias1, bias2, max_norm, skip_norm;   // biasK = 1 - βK^t
    uint64_t       seed;     // seed, step and first: for bf16 without master
    uint32_t       step;
    int64_t        first, n;
    kdtype         dtype;
} adamw_args;

// adamw with moments of 8 bits, quantised by blocks (Dettmers et al. 2022): of m and v only a byte each is kept, in units that the up to 256
// elements of a block share. They are decoded, updated in f32 as in adamw, used for p, and encoded again.
//   m = ±k(code%128)·2^-17·scale[0], minus from code 128 on      v = k(code)·2^-33·scale[1]      k(c) = c < 8 ? c : (8 + c%8)·2^(c/8 - 1)
// These are floats with 3 bits of mantissa and 4 or 5 of exponent. A scale is a power of two, the least from 2^-90 to 2^126 with which the block's
// largest magnitude is not over 1.875·scale, the largest code's: what is kept stays exact when the scale changes. Encoding rounds by chance,
// because a step changes v by less than half of what its code can tell: of the two codes around m or v, the higher one (in magnitude) is taken if
// the distance from the lower, as a share of that between the two, and r·2^-16 are 1 or more together. r < 2¹⁶ are bits 8…23 (m) or 0…15 (v) of
// the word whose upper half adamw rounds w with. What is too large has the largest code; a v of 2^-126 or more has code 1 at least, because p is
// divided by its root.
typedef struct {
    void          *w;        // in/out (n)      real
    float         *master;   // in/out (n)             or NULL
    uint8_t       *m, *v;    // in/out (n)             codes; with scales all zeros at first
    float         *scale;    // in/out (blocks, 2)     of m and v, blocks = ceil(n/256)
    const float   *g;        // in  (n)
    const float   *norm;     // in  (2)                of all parameters' gradients
    float          lr, beta1, beta2, eps, weight_decay, bias1, bias2, max_norm, skip_norm;
    uint64_t       seed;     // seed, step and first: always
    uint32_t       step;
    int64_t        first, n;
    kdtype         dtype;
} adamw_8bit_args;

// One token for each row. temperature 0: the largest logit, the lowest id on ties. Otherwise p = softmax(logits/temperature);
// with top_k > 0 or top_p < 1 the candidates are sorted by falling p, ties by rising id, cut after top_k and after the
// first whose cumulative p reaches top_p; else they stay in order of id. u = uniform(seed, key[b], step[b]) in [0, 1)
// picks the first candidate whose running sum exceeds u·total. uniform is the first word of Philox4x32-10 (Salmon et al.
// 2011) with key = seed and counter = (step, 0, low key, high key), times 2⁻³².
typedef struct {
    int32_t       *id;       // out (B)
    float         *logprob;  // out (B)                log softmax(logits)[id], at temperature 1
    const float   *logits;   // in  (B, V)
    const uint64_t*key;      // in  (B)                one stream of numbers per sequence
    const int32_t *step;     // in  (B)                index of the token in its sequence
    uint64_t       seed;
    float          temperature, top_p;
    int32_t        top_k, B, V;
} sample_args;

// Log-probabilities, at temperature 1, of some tokens of each row of logits. Row b's are [ptr[b], ptr[b+1]).
//   logprob[i] = logits[b, id[i]] - log Σ_v exp(logits[b, v])        NaN for a row with a NaN or without a finite maximum
typedef struct {
    float         *logprob;  // out (M)
    const float   *logits;   // in  (B, V)
    const int32_t *ptr;      // in  (B+1)              rising, from 0 to M
    const int32_t *id;       // in  (M)
    int32_t        B, V, M;
} logprobs_args;

// The list of ops. An implementation that lacks one, or has another signature, does not link.
#define KERNEL_OPS(X)                                                                          \
    X(embed) X(embed_backward) X(gather) X(gather_backward) X(rmsnorm) X(rmsnorm_backward)     \
    X(slice_norm) X(slice_norm_backward) X(add_bias) X(add_bias_backward) X(lora) X(lora_backward) \
    X(rope) X(rope_backward) X(matmul) X(matmul_dx) X(matmul_dw) X(swiglu) X(swiglu_backward)  \
    X(geglu) X(geglu_backward) X(scale) X(matmul_nf4) X(matmul_nf4_dx)                         \
    X(matmul_blocks) X(matmul_blocks_dx)                                                       \
    X(attention) X(attention_backward) X(kv_store) X(kv_load) X(attention_decode)              \
    X(critique_loss) X(soft_cap)                                                               \
    X(reward_head) X(reward_loss) X(grad_norm) X(adamw) X(adamw_8bit) X(sample) X(logprobs)

// One implementation. Memory is the business of whoever opens the stream: of the CPU's functions below, or of the driver.
typedef struct {
    const char *name;                    // "cpu", "cuda"
    void (*close)(kstream *);
    const char *(*sync)(kstream *);      // waits for the ops; first fault since the last sync, or NULL
    // Which algorithms were chosen for matrix products so far: lines of text, "" if there is nothing to choose. A later stream that
    // takes them before its first op has the same bits. What it cannot use it chooses anew, and says so in a sentence, or gives NULL.
    // Texts are the stream's until its next call.
    const char *(*algorithms)(kstream *);
    const char *(*use_algorithms)(kstream *, const char *text);
    // From here on what an op gives for a token depends on that token and the ones above it alone, to the bit: not on what else is computed
    // with it. Gradients of weights, which are sums over all tokens, are as before. The CPU always does so.
    void (*fix)(kstream *, int32_t on);
#define X(op) void (*op)(kstream *, const op##_args *);
    KERNEL_OPS(X)
#undef X
} kernel_table;

extern const kernel_table kernels_cpu;

kstream *cpu_open(int32_t threads, const char **error);        // threads 0: all cores; NULL with *error set
void *cpu_alloc(size_t bytes);                                 // 64-byte aligned, not cleared; NULL: out of memory
void *cpu_alloc_zero(size_t bytes);                            // the same, cleared
void cpu_free(void *);
void cpu_copy(kstream *, void *dst, const void *src, size_t bytes);
void cpu_zero(kstream *, void *dst, size_t bytes);

// The CUDA implementation runs on a stream and with a workspace that the caller owns; both outlive the kstream.
extern const kernel_table kernels_cuda;

extern const kernel_table kernels_dry;  // ops that do nothing, on no stream

kstream *cuda_open(int32_t device, void *stream, void *workspace, size_t workspace_bytes, const char **error);

// Every op of one implementation is declared from the list; defining one with other arguments is a compile error.
#define KERNEL_DECLARE(op)                         \
    void cpu_##op(kstream *, const op##_args *);   \
    void cuda_##op(kstream *, const op##_args *);
KERNEL_OPS(KERNEL_DECLARE)
#undef KERNEL_DECLARE

#ifdef __cplusplus
}
#endif
#endif
