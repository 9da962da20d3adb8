// reward_loss.cc: the joint objective, a loss on leaf rewards mixed with the critique loss, and the gradient of the reward head. Of pairs, Bradley-Terry:
//   z = c - r - margin,  bt = -(1 - smooth)·log σ(z) - smooth·log σ(-z) = -log σ(z) + smooth·z,  centre = center·(c + r)²
//   reward loss = loss_scale·Σ_p mean over the terms of p (weight·bt + centre)
//   joint = lambda·critique + (1 - lambda)·reward loss
// Rewards with scores have their squared error, ranked lists the likelihood of their order: squares and order below.
// There are a few hundred terms in a batch: one thread, in double, in the order of the pairs.
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "reward_loss.cc"
#include "arch.h"

namespace {

struct totals {
    double loss = 0, wins = 0, margin = 0, ties = 0;
    void add(const totals &t, double weight) {
        loss += t.loss * weight;
        wins += t.wins * weight;
        margin += t.margin * weight;
        ties += t.ties;  // a count, not a mean
    }
};

// What a pair's terms have in common.
struct terms {
    double margin, weight, center, smooth;
};

// Adds one term and gives its derivatives to c and r.
void term(double c, double r, const terms &of, totals *t, double *dc, double *dr) {
    const double z = c - r - of.margin, e = exp(-fabs(z));               // e <= 1: nothing overflows
    const double toward = of.weight * ((z > 0 ? e / (1 + e) : 1 / (1 + e)) - of.smooth);  // σ(-z) - smooth
    double loss = of.weight * ((z > 0 ? 0 : -z) + log1p(e) + of.smooth * z), pull = 0;
    if (of.center != 0) {
        loss += of.center * (c + r) * (c + r);
        pull = 2 * of.center * (c + r);
    }
    t->loss += loss;
    t->wins += c > r ? 1 : c == r ? 0.5 : 0;
    t->margin += c - r;
    t->ties += c == r;
    *dc = pull - toward;
    *dr = pull + toward;
}

double mean(const float *x, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += x[i];
    return s / n;
}

// The terms of one pair: c (nc) and r (nr) are its rewards, dc (nc) and dr (nr) += the derivatives of the sum of its terms.
int64_t pair_terms(kpairing pairing, const float *c, int64_t nc, const float *r, int64_t nr, const terms &of, totals *t, double *dc, double *dr) {
    double u, v;
    if (pairing == K_MEAN) {
        term(mean(c, nc), mean(r, nr), of, t, &u, &v);
        for (int64_t i = 0; i < nc; i++) dc[i] += u / nc;
        for (int64_t j = 0; j < nr; j++) dr[j] += v / nr;
        return 1;
    }
    if (pairing == K_ZIP) {
        const int64_t n = nc < nr ? nc : nr;
        for (int64_t i = 0; i < n; i++) {
            term(c[i], r[i], of, t, &u, &v);
            dc[i] += u;
            dr[i] += v;
        }
        return n;
    }
    for (int64_t i = 0; i < nc; i++)
        for (int64_t j = 0; j < nr; j++) {
            term(c[i], r[j], of, t, &u, &v);
            dc[i] += u;
            dr[j] += v;
        }
    return nc * nr;
}

// Adds the squared error of the n > 0 rewards of a side against its score, and gives its derivative to each of them.
double squares(kpairing pairing, const float *r, int64_t n, double target, double weight, double *d) {
    double loss = 0;
    const bool one = pairing == K_MEAN;
    const double middle = one ? mean(r, n) : 0;
    for (int64_t i = 0; i < n; i++) {
        const double e = (one ? middle : r[i]) - target;
        loss += weight * e * e / n;
        d[i] = weight * 2 * e / n;
    }
    return loss;
}

// A pair with scores: weight · the mean over its sides with leaves, c and r (L) as in pair_terms. The sides are compared, without a loss.
void scored(const reward_loss_args *a, int64_t p, totals *all, double *grad) {
    const int64_t at[3] = {a->side[2 * p], a->side[2 * p + 1], a->side[2 * p + 2]};
    const int sides = (at[0] < at[1]) + (at[1] < at[2]);
    const double weight = (a->weight ? a->weight[p] : 1.) / (sides ? sides : 1);
    if (sides == 2) {
        totals pair;
        const int64_t n = pair_terms(a->pairing, a->reward + at[0], at[1] - at[0], a->reward + at[1], at[2] - at[1], {0, 0, 0, 0}, &pair, grad + at[0], grad + at[1]);
        pair.loss = 0;
        all->add(pair, 1.0 / n);
    }
    for (int k = 0; k < 2; k++)
        if (at[k] < at[k + 1])
            all->loss += squares(a->pairing, a->reward + at[k], at[k + 1] - at[k], a->target[2 * p + k], weight, grad + at[k]);
    for (int64_t l = at[0]; l < at[2]; l++) a->dreward[l] = (float)(a->grad_scale * grad[l]);
}

// The order of a list's sides by one reward of each, s (K), of which those count that have leaves: has (K). worse[k] - first is where those behind k begin.
// Gives how many comparisons there were; d (K) += derivatives.
int64_t order(const double *s, const bool *has, const int32_t *worse, int64_t first, int64_t K, double weight, totals *t, double *d) {
    int64_t compared = 0;
    for (int64_t k = 0; k < K; k++) {
        if (!has[k]) continue;
        int64_t top = k, behind = 0;
        for (int64_t z = worse[k] - first; z < K; z++)
            if (has[z]) {
                behind++;
                t->wins += s[k] > s[z] ? 1 : s[k] == s[z] ? 0.5 : 0;
                t->margin += s[k] - s[z];
                t->ties += s[k] == s[z];
                if (s[z] > s[top]) top = z;
            }
        if (behind == 0) continue;
        compared += behind;
        auto among = [&](auto f) {
            f(k);
            for (int64_t z = worse[k] - first; z < K; z++)
                if (has[z]) f(z);
        };
        double rest = 0;  // beside the largest, whose exponential is 1: nothing overflows
        among([&](int64_t z) { rest += z == top ? 0 : exp(s[z] - s[top]); });
        t->loss += weight * (s[top] - s[k] + log1p(rest));
        among([&](int64_t z) {
            const double share = (z == top ? 1 : exp(s[z] - s[top])) / (1 + rest);
            d[z] += weight * (z != k ? share : z == top ? -rest / (1 + rest) : share - 1);
        });
    }
    return compared;
}

// A list: the mean over its terms.
void listed(kstream *s, const reward_loss_args *a, int64_t p, totals *all) {
    const int64_t first = a->list[p], K = a->list[p + 1] - first;
    double *r = s->scratch.get<double>(K), *d = s->scratch.get<double>(K);  // (K)
    bool *has = s->scratch.get<bool>(K);
    int64_t terms = 0;
    auto leaves = [&](int64_t k) { return (int64_t)a->side[first + k + 1] - a->side[first + k]; };
    for (int64_t k = 0; k < K; k++) {
        const int64_t n = a->pairing == K_MEAN && leaves(k) > 0 ? 1 : leaves(k);
        has[k] = n > 0;
        if (n > 0 && (terms == 0 || n < terms)) terms = n;
    }
    totals list;
    int64_t compared = 0;
    const double weight = a->weight ? a->weight[p] : 1.;
    for (int64_t i = 0; i < terms; i++) {
        for (int64_t k = 0; k < K; k++) {
            const float *own = a->reward + a->side[first + k];
            d[k] = 0;
            r[k] = !has[k] ? 0 : a->pairing == K_MEAN ? mean(own, leaves(k)) : own[i];
        }
        compared += order(r, has, a->worse + first, first, K, weight / terms, &list, d);
        for (int64_t k = 0; k < K; k++) {
            float *to = a->dreward + a->side[first + k];
            if (has[k] && a->pairing != K_MEAN) to[i] = (float)(a->grad_scale * d[k]);
            for (int64_t l = 0; a->pairing == K_MEAN && l < leaves(k); l++) to[l] = (float)(a->grad_scale * d[k] / leaves(k));
        }
    }
    all->loss += list.loss;
    all->ties += list.ties;
    if (compared == 0) return;
    all->wins += list.wins / compared;
    all->margin += list.margin / compared;
}

// A product in which a weight of zero leaves the term out, even if the term is infinite.
double weighted(double weight, double x) { return weight == 0 ? 0 : weight * x; }

// The losses, and the gradient of the rewards.
void pairs(kstream *s, const reward_loss_args *a) {
    double *grad = s->scratch.get<double>(a->L);                         // (L)
    for (int64_t l = 0; l < a->L; l++) {
        grad[l] = 0;
        a->dreward[l] = 0;
    }
    totals all;
    for (int64_t p = 0; p < a->P; p++) {
        if (a->list) {
            listed(s, a, p, &all);
            continue;
        }
        if (a->target) {
            scored(a, p, &all, grad);
            continue;
        }
        const int64_t c = a->side[2 * p], r = a->side[2 * p + 1], end = a->side[2 * p + 2];
        const bool alone = a->alone && (c == r) != (r == end);
        if ((c == r || r == end) && !alone) continue;
        const terms of = {a->margin ? a->margin[p] : 0., a->weight ? a->weight[p] : 1., a->center, a->smooth};
        const kpairing pairing = alone && a->pairing == K_ZIP ? K_CROSS : a->pairing;
        const float nothing = 0;
        double none = 0;
        totals pair;
        const int64_t n = pair_terms(pairing, c == r ? &nothing : a->reward + c, c == r ? 1 : r - c, r == end ? &nothing : a->reward + r,
                                     r == end ? 1 : end - r, of, &pair, c == r ? &none : grad + c, r == end ? &none : grad + r);
        all.add(pair, 1.0 / n);
        for (int64_t l = c; l < end; l++) a->dreward[l] = (float)(a->grad_scale * grad[l] / n);
    }
    const double critique = a->critique ? *a->critique : 0, reward = weighted(a->loss_scale, all.loss);
    a->loss[0] = (float)(weighted(a->lambda, critique) + weighted(1.0 - a->lambda, reward));
    a->loss[1] = (float)critique;
    a->loss[2] = (float)reward;
    a->loss[3] = (float)(a->loss_scale * all.wins);
    a->loss[4] = (float)(a->loss_scale * all.margin);
    a->loss[5] = (float)all.ties;
}

}  // namespace

void cpu_reward_loss(kstream *s, const reward_loss_args *a) {
    for (int64_t i = 0; i <= a->S; i++)
        if (a->side[i] < (i ? a->side[i - 1] : 0) || a->side[i] > a->L) throw std::out_of_range("reward_loss: side does not rise within [0, L]");
    if (a->list && (a->list[0] != 0 || a->list[a->P] != a->S)) throw std::out_of_range("reward_loss: list does not go from 0 to S");
    for (int64_t p = 0; a->list && p < a->P; p++) {
        if (a->list[p] > a->list[p + 1]) throw std::out_of_range("reward_loss: list falls");
        for (int64_t k = a->list[p]; k < a->list[p + 1]; k++)
            if (a->worse[k] <= k || a->worse[k] > a->list[p + 1]) throw std::out_of_range("reward_loss: worse is not behind its side, within its list");
    }
    int32_t *row = s->scratch.get<int32_t>(a->L);
    for (int32_t l = 0; l < a->L; l++) row[l] = l;
    const reward_head_args head = {a->reward, a->x, row, a->w, a->L, a->L, a->H, a->dtype};
    cpu_reward_head(s, &head);
    pairs(s, a);
    ARCH_RUN(head_gradient, s, a);
}

#else
#include "rows.h"

namespace {
namespace ARCH {

// Columns [lo, hi) of both gradients. One item has all leaves of its columns, in order, so dw needs no second stage.
template <class T> inline void columns(const reward_loss_args *a, int64_t lo, int64_t hi) {
    each(hi - lo, [&](int64_t i, int k) {
        const int64_t c = lo + i;
        const vf w = load(a->w + c, k);
        vf acc = {};
        for (int64_t l = 0; l < a->L; l++) {
            const int64_t at = l * a->H + c;
            acc += load((const T *)a->x + at, k) * a->dreward[l];
            store((T *)a->dx + at, vf{} + w * a->dreward[l], k);  // no negative zeros
        }
        store(a->dw + c, load(a->dw + c, k) + acc, k);
    });
}

FLAT void gradient_columns(const reward_loss_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? columns<bf16>(a, lo, hi) : columns<float>(a, lo, hi);
}

void head_gradient(kstream *s, const reward_loss_args *a) {
    parallel_blocks(s, a->H, 64, [=](int64_t lo, int64_t hi, arena &) { gradient_columns(a, lo, hi); });
}

}  // namespace ARCH
}  // namespace
#endif
