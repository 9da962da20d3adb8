package kernels

// The ops behind the model: losses, the optimizer, and drawing tokens.

/*
#include "kernels.h"

#define X(op) static inline void call_##op(const kernel_table *t, kstream *s, const op##_args *a) { t->op(s, a); }
KERNEL_OPS(X)
#undef X

#cgo noescape call_critique_loss
#cgo nocallback call_critique_loss
#cgo noescape call_soft_cap
#cgo nocallback call_soft_cap
#cgo noescape call_reward_head
#cgo nocallback call_reward_head
#cgo noescape call_reward_loss
#cgo nocallback call_reward_loss
#cgo noescape call_grad_norm
#cgo nocallback call_grad_norm
#cgo noescape call_adamw
#cgo nocallback call_adamw
#cgo noescape call_adamw_8bit
#cgo nocallback call_adamw_8bit
#cgo noescape call_sample
#cgo nocallback call_sample
#cgo noescape call_logprobs
#cgo nocallback call_logprobs
*/
import "C"

// CritiqueLoss are the arguments of the LM head with cross-entropy on R compacted rows.
type CritiqueLoss struct {
	Loss, LogProb        Tensor  // out (1), (R) f32
	DX, DW               Tensor  // out (R, H) real, += (V, H) f32; zero Tensors for no gradient; DW alone where W is not trained
	X, W                 Tensor  // in (R, H), (V, H) real
	Target, Weight       Tensor  // in (R) int32, (R) f32
	LossScale, GradScale float32 // factors of Σ weight·ce in the loss and in the gradient
	LogitScale, LogitCap float32 // logits are cap·tanh(x·w·scale/cap), or x·w·scale where the cap is 0
	Scratch              Tensor  // (rows, V) f32: logits of one chunk
}

// CritiqueLoss runs the LM head and the cross-entropy, and their gradient, chunk by chunk.
func (d *Device) CritiqueLoss(c CritiqueLoss) {
	must(c.Loss.is(F32, 1), "kernels: critique_loss: loss is not (1) f32")
	must(c.X.real(2), "kernels: critique_loss: x is not (R, H) real")
	must(c.LogProb.is(F32, c.X.dim[0]), "kernels: critique_loss: logprob is not (R) f32")
	must(!c.DX.IsNil() || c.DW.IsNil(), "kernels: critique_loss: dw without dx")
	must(c.W.real(2) && c.W.is(c.X.typ, c.W.dim[0], c.X.dim[1]), "kernels: critique_loss: w is not (V, H) of x's type")
	must(c.DX.IsNil() || c.DX.is(c.X.typ, c.X.dim[0], c.X.dim[1]), "kernels: critique_loss: dx is not as x")
	must(c.DW.IsNil() || c.DW.is(F32, c.W.dim[0], c.W.dim[1]), "kernels: critique_loss: dw is not (V, H) f32")
	must(c.Target.is(I32, c.X.dim[0]), "kernels: critique_loss: target is not (R) int32")
	must(c.Weight.is(F32, c.X.dim[0]), "kernels: critique_loss: weight is not (R) f32")
	must(c.Scratch.rank == 2 && c.Scratch.dim[0] > 0 && c.Scratch.is(F32, c.Scratch.dim[0], c.W.dim[0]), "kernels: critique_loss: scratch is not (rows, V) f32")
	must(c.LogitScale > 0 && c.LogitCap >= 0, "kernels: critique_loss: logit_scale is not above 0, or logit_cap is below")
	a := C.critique_loss_args{loss: c.Loss.f32(), logprob: c.LogProb.f32(), dx: c.DX.ptr, dw: c.DW.f32(), x: c.X.ptr, w: c.W.ptr,
		target: c.Target.i32(), weight: c.Weight.f32(), loss_scale: C.float(c.LossScale), grad_scale: C.float(c.GradScale),
		logit_scale: C.float(c.LogitScale), logit_cap: C.float(c.LogitCap),
		scratch: c.Scratch.f32(), R: c.X.n(0), H: c.X.n(1), V: c.W.n(0), scratch_rows: c.Scratch.n(0), dtype: c.X.dt()}
	C.call_critique_loss(d.table, d.stream, &a)
}

// SoftCap makes of products the logits that CritiqueLoss has: x = cap·tanh(x·scale/cap), or x·scale where cap is 0. x f32 of any shape, in place.
func (d *Device) SoftCap(x Tensor, scale, limit float32) {
	must(x.ptr != nil && x.typ == F32, "kernels: soft_cap: x is not f32")
	must(scale > 0 && limit >= 0, "kernels: soft_cap: scale is not above 0, or cap is below")
	a := C.soft_cap_args{x: x.f32(), scale: C.float(scale), cap: C.float(limit), n: C.int64_t(x.Len())}
	C.call_soft_cap(d.table, d.stream, &a)
}

// RewardHead is reward[l] = x[row[l]]·w. reward (L) f32; x (N, H) real; row (L) distinct; w (H) f32.
func (d *Device) RewardHead(reward, x, row, w Tensor) {
	must(reward.rank == 1 && reward.is(F32, reward.dim[0]), "kernels: reward_head: reward is not (L) f32")
	must(x.real(2), "kernels: reward_head: x is not (N, H) real")
	must(row.is(I32, reward.dim[0]), "kernels: reward_head: row is not (L) int32")
	must(w.is(F32, x.dim[1]), "kernels: reward_head: w is not (H) f32")
	a := C.reward_head_args{reward: reward.f32(), x: x.ptr, row: row.i32(), w: w.f32(), L: reward.n(0), N: x.n(0), H: x.n(1), dtype: x.dt()}
	C.call_reward_head(d.table, d.stream, &a)
}

// Pairing says which rewards of a pair the pairwise loss compares.
type Pairing int32

// Cross compares every chosen leaf with every rejected one, Mean the mean rewards of the sides, Zip leaves of equal rank.
const (
	Cross Pairing = iota
	Mean
	Zip
)

// RewardLoss are the arguments of the reward head on L leaves and of the loss on P pairs of them, joined with the critique loss.
type RewardLoss struct {
	Loss                 Tensor  // out (6) f32: joint, critique, reward, accuracy, mean margin, ties
	Reward, DReward      Tensor  // out (L) f32
	DX, DW               Tensor  // out (L, H) real, += (H) f32
	X, W                 Tensor  // in (L, H) real, (H) f32
	Side                 Tensor  // in (S+1) int32: leaves of chosen, rejected, chosen, …, S = 2P
	List, Worse          Tensor  // in (P+1), (S) int32: ranked lists in place of pairs, see kernels.h; or zero Tensors
	Margin               Tensor  // in (P) f32, or the zero Tensor
	Weight               Tensor  // in (P) f32, or the zero Tensor: of each pair's logistic loss
	Target               Tensor  // in (S) f32, or the zero Tensor: scores that rewards are to equal
	Critique             Tensor  // in (1) f32, or the zero Tensor
	Lambda, Center       float32 // weight of the critique loss; coefficient of (c + r)²
	Smoothing            float32 // share of the labels that are taken to be wrong, in [0, ½)
	LossScale, GradScale float32
	Pairing              Pairing
	Alone                bool // leaves of a pair's only side are compared with the reward 0, not skipped
}

// RewardLoss gives rewards, losses and their gradient.
func (d *Device) RewardLoss(r RewardLoss) {
	must(r.Loss.is(F32, 6), "kernels: reward_loss: loss is not (6) f32")
	must(r.X.real(2), "kernels: reward_loss: x is not (L, H) real")
	must(r.Reward.is(F32, r.X.dim[0]), "kernels: reward_loss: reward is not (L) f32")
	must(r.DReward.is(F32, r.X.dim[0]), "kernels: reward_loss: dreward is not (L) f32")
	must(r.DX.is(r.X.typ, r.X.dim[0], r.X.dim[1]), "kernels: reward_loss: dx is not as x")
	must(r.DW.is(F32, r.X.dim[1]), "kernels: reward_loss: dw is not (H) f32")
	must(r.W.is(F32, r.X.dim[1]), "kernels: reward_loss: w is not (H) f32")
	must(r.Side.rank == 1 && r.Side.dim[0] > 0 && r.Side.is(I32, r.Side.dim[0]), "kernels: reward_loss: side is not (S+1) int32")
	sides := r.Side.dim[0] - 1
	pairs := sides / 2
	if r.List.IsNil() {
		must(sides%2 == 0, "kernels: reward_loss: side is not (2P+1) int32")
		must(r.Worse.IsNil(), "kernels: reward_loss: worse without list")
	} else {
		must(r.List.rank == 1 && r.List.dim[0] > 0 && r.List.is(I32, r.List.dim[0]), "kernels: reward_loss: list is not (P+1) int32")
		must(r.Worse.is(I32, sides), "kernels: reward_loss: worse is not (S) int32")
		must(r.Pairing != Cross, "kernels: reward_loss: lists are not compared crosswise")
		pairs = r.List.dim[0] - 1
	}
	must(r.Margin.IsNil() || r.Margin.is(F32, pairs), "kernels: reward_loss: margin is not (P) f32")
	must(r.Weight.IsNil() || r.Weight.is(F32, pairs), "kernels: reward_loss: weight is not (P) f32")
	must(r.Target.IsNil() || r.List.IsNil() && r.Target.is(F32, sides), "kernels: reward_loss: target is not (S) f32, or is given with lists")
	must(r.Smoothing >= 0 && r.Smoothing < 0.5, "kernels: reward_loss: smoothing is not in [0, 1/2)")
	must(r.Critique.IsNil() || r.Critique.is(F32, 1), "kernels: reward_loss: critique is not (1) f32")
	must(r.Pairing >= Cross && r.Pairing <= Zip, "kernels: reward_loss: unknown pairing")
	a := C.reward_loss_args{loss: r.Loss.f32(), reward: r.Reward.f32(), dreward: r.DReward.f32(), dx: r.DX.ptr, dw: r.DW.f32(), x: r.X.ptr,
		w: r.W.f32(), side: r.Side.i32(), list: r.List.i32(), worse: r.Worse.i32(), target: r.Target.f32(), margin: r.Margin.f32(), weight: r.Weight.f32(), critique: r.Critique.f32(), lambda: C.float(r.Lambda), center: C.float(r.Center), smooth: C.float(r.Smoothing),
		loss_scale: C.float(r.LossScale), grad_scale: C.float(r.GradScale), pairing: C.kpairing(r.Pairing), L: r.X.n(0), H: r.X.n(1),
		P: C.int32_t(pairs), S: C.int32_t(sides), dtype: r.X.dt()}
	if r.Alone {
		a.alone = 1
	}
	C.call_reward_loss(d.table, d.stream, &a)
}

// GradNorm gives norm (2) f32 of g: its Euclidean norm, and how many elements are not finite.
func (d *Device) GradNorm(norm, g Tensor) {
	must(norm.is(F32, 2), "kernels: grad_norm: norm is not (2) f32")
	must(g.typ == F32 && g.ptr != nil, "kernels: grad_norm: g is not f32")
	a := C.grad_norm_args{norm: norm.f32(), g: g.f32(), n: C.int64_t(g.Len())}
	C.call_grad_norm(d.table, d.stream, &a)
}

// AdamW are the arguments of one AdamW update of n parameters.
type AdamW struct {
	W      Tensor // in/out (n) real
	Master Tensor // in/out (n) f32, or the zero Tensor: then W is updated itself, a BF16 one with rounding by chance
	M, V   Tensor // in/out (n) f32
	G      Tensor // in (n) f32
	Norm   Tensor // in (2) f32, from GradNorm of all gradients

	LR, Beta1, Beta2, Eps, WeightDecay float32
	Bias1, Bias2                       float32 // 1 - βᵗ
	MaxNorm                            float32 // 0: no clipping
	SkipNorm                           float32 // of a larger norm nothing is changed; 0: of any

	// Of rounding by chance: what is drawn depends on these and on nothing else.
	Seed  uint64
	Step  uint32
	First int // index of W's first element among all parameters
}

// AdamW updates parameters in place.
func (d *Device) AdamW(p AdamW) {
	n := p.W.Len()
	must(p.W.ptr != nil && (p.W.typ == F32 || p.W.typ == BF16), "kernels: adamw: w is not real")
	must(p.Master.IsNil() || p.Master.typ == F32 && p.Master.Len() == n, "kernels: adamw: master is not (n) f32")
	must(p.M.typ == F32 && p.M.ptr != nil && p.M.Len() == n, "kernels: adamw: m is not (n) f32")
	must(p.V.typ == F32 && p.V.ptr != nil && p.V.Len() == n, "kernels: adamw: v is not (n) f32")
	must(p.G.typ == F32 && p.G.ptr != nil && p.G.Len() == n, "kernels: adamw: g is not (n) f32")
	must(p.Norm.is(F32, 2), "kernels: adamw: norm is not (2) f32")
	must(p.First >= 0, "kernels: adamw: first is negative")
	a := C.adamw_args{w: p.W.ptr, master: p.Master.f32(), m: p.M.f32(), v: p.V.f32(), g: p.G.f32(), norm: p.Norm.f32(),
		lr: C.float(p.LR), beta1: C.float(p.Beta1), beta2: C.float(p.Beta2), eps: C.float(p.Eps), weight_decay: C.float(p.WeightDecay),
		bias1: C.float(p.Bias1), bias2: C.float(p.Bias2), max_norm: C.float(p.MaxNorm), skip_norm: C.float(p.SkipNorm),
		seed: C.uint64_t(p.Seed), step: C.uint32_t(p.Step), first: C.int64_t(p.First), n: C.int64_t(n), dtype: p.W.dt()}
	C.call_adamw(d.table, d.stream, &a)
}

// MomentBlock is how many elements share the scales of their moments in AdamW8bit.
const MomentBlock = 256

// AdamW8bit is AdamW with moments that are kept in 8 bits: p.M and p.V are (n) U8, codes in units of scale (ceil(n/MomentBlock), 2) f32,
// which is in/out like them. All zeros are moments of zero. Moments are rounded by chance, so p.Seed, p.Step and p.First always count.
func (d *Device) AdamW8bit(p AdamW, scale Tensor) {
	n := p.W.Len()
	must(p.W.ptr != nil && (p.W.typ == F32 || p.W.typ == BF16), "kernels: adamw_8bit: w is not real")
	must(p.Master.IsNil() || p.Master.typ == F32 && p.Master.Len() == n, "kernels: adamw_8bit: master is not (n) f32")
	must(p.M.typ == U8 && p.M.ptr != nil && p.M.Len() == n, "kernels: adamw_8bit: m is not (n) u8")
	must(p.V.typ == U8 && p.V.ptr != nil && p.V.Len() == n, "kernels: adamw_8bit: v is not (n) u8")
	must(scale.is(F32, (n+MomentBlock-1)/MomentBlock, 2), "kernels: adamw_8bit: scale is not (ceil(n/256), 2) f32")
	must(p.G.typ == F32 && p.G.ptr != nil && p.G.Len() == n, "kernels: adamw_8bit: g is not (n) f32")
	must(p.Norm.is(F32, 2), "kernels: adamw_8bit: norm is not (2) f32")
	must(p.First >= 0, "kernels: adamw_8bit: first is negative")
	a := C.adamw_8bit_args{w: p.W.ptr, master: p.Master.f32(), m: (*C.uint8_t)(p.M.ptr), v: (*C.uint8_t)(p.V.ptr), scale: scale.f32(), g: p.G.f32(), norm: p.Norm.f32(),
		lr: C.float(p.LR), beta1: C.float(p.Beta1), beta2: C.float(p.Beta2), eps: C.float(p.Eps), weight_decay: C.float(p.WeightDecay),
		bias1: C.float(p.Bias1), bias2: C.float(p.Bias2), max_norm: C.float(p.MaxNorm), skip_norm: C.float(p.SkipNorm),
		seed: C.uint64_t(p.Seed), step: C.uint32_t(p.Step), first: C.int64_t(p.First), n: C.int64_t(n), dtype: p.W.dt()}
	C.call_adamw_8bit(d.table, d.stream, &a)
}

// Sample are the arguments of drawing one token for each row of logits.
type Sample struct {
	ID          Tensor // out (B) int32
	LogProb     Tensor // out (B) f32: log-probability of the token at temperature 1
	Logits      Tensor // in (B, V) f32
	Key         Tensor // in (B) uint64: the sequence's stream of random numbers
	Step        Tensor // in (B) int32: index of the token in its sequence
	Seed        uint64
	Temperature float32 // 0: greedy
	TopP        float32 // 1: off
	TopK        int     // 0: off
}

// Sample draws tokens; the result depends on seed, key, step and logits only.
func (d *Device) Sample(p Sample) {
	must(p.ID.rank == 1 && p.ID.is(I32, p.ID.dim[0]), "kernels: sample: id is not (B) int32")
	must(p.LogProb.is(F32, p.ID.dim[0]), "kernels: sample: logprob is not (B) f32")
	must(p.Logits.rank == 2 && p.Logits.is(F32, p.ID.dim[0], p.Logits.dim[1]), "kernels: sample: logits is not (B, V) f32")
	must(p.Key.is(U64, p.ID.dim[0]), "kernels: sample: key is not (B) uint64")
	must(p.Step.is(I32, p.ID.dim[0]), "kernels: sample: step is not (B) int32")
	must(p.Temperature >= 0 && p.TopP > 0 && p.TopP <= 1 && p.TopK >= 0, "kernels: sample: temperature, top_p or top_k is out of range")
	a := C.sample_args{id: p.ID.i32(), logprob: p.LogProb.f32(), logits: p.Logits.f32(), key: (*C.uint64_t)(p.Key.ptr), step: p.Step.i32(),
		seed: C.uint64_t(p.Seed), temperature: C.float(p.Temperature), top_p: C.float(p.TopP), top_k: C.int32_t(p.TopK), B: p.Logits.n(0), V: p.Logits.n(1)}
	C.call_sample(d.table, d.stream, &a)
}

// LogProbs gives log softmax(logits[b])[id[i]] of the tokens i in [ptr[b], ptr[b+1]) of each row b. logprob (M) f32; logits (B, V) f32;
// ptr (B+1), rising from 0 to M, and id (M) int32.
func (d *Device) LogProbs(logprob, logits, ptr, id Tensor) {
	must(logprob.rank == 1 && logprob.is(F32, logprob.dim[0]), "kernels: logprobs: logprob is not (M) f32")
	must(logits.rank == 2 && logits.is(F32, logits.dim[0], logits.dim[1]), "kernels: logprobs: logits is not (B, V) f32")
	must(ptr.is(I32, logits.dim[0]+1), "kernels: logprobs: ptr is not (B+1) int32")
	must(id.is(I32, logprob.dim[0]), "kernels: logprobs: id is not (M) int32")
	a := C.logprobs_args{logprob: logprob.f32(), logits: logits.f32(), ptr: ptr.i32(), id: id.i32(), B: logits.n(0), V: logits.n(1), M: logprob.n(0)}
	C.call_logprobs(d.table, d.stream, &a)
}
