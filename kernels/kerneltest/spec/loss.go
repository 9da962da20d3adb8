package spec

import (
	"math"
	"slices"
)

// CritiqueLoss is the LM head with cross-entropy: logit[r, v] = softCap(x[r]·w[v]), ce[r] = log Σ_v exp(logit[r, v]) - logit[r, target[r]],
// loss = loss_scale · Σ_r weight[r]·ce[r], logprob = -ce; with DX also the gradient of grad_scale · Σ_r weight[r]·ce[r].
type CritiqueLoss[T Real] struct {
	Loss                 []T     `arg:"out f32 1 unit"`
	LogProb              []T     `arg:"out f32 R unit"`
	DX                   []T     `arg:"out real R,H or-nil"`
	DW                   []T     `arg:"+= f32 V,H or-nil"`
	X                    []T     `arg:"in real R,H"`
	W                    []T     `arg:"in real V,H"`
	Target               []int32 `arg:"in i32 R"`
	Weight               []T     `arg:"in f32 R"`
	Scratch              []T     `arg:"scratch f32 ScratchRows,V"`
	LossScale, GradScale T
	LogitScale, LogitCap T
	R, H, V, ScratchRows int
	Round                func(T) T // gradients of logits may be rounded before they are multiplied
}

func (*CritiqueLoss[T]) twin() Op { return new(CritiqueLoss[float32]) }

// Run gives loss and gradients.
func (o *CritiqueLoss[T]) Run() {
	o.Loss[0] = 0
	clear(o.DX)
	var dw []T
	if o.DW != nil {
		dw = make([]T, len(o.DW))
	}
	logit := make([]T, o.V)
	for r, target := range o.Target {
		x := o.X[r*o.H:][:o.H]
		for v := range logit {
			logit[v] = softCap(dot(x, o.W[v*o.H:][:o.H]), o.LogitScale, o.LogitCap)
		}
		lse := logSumExp(logit)
		o.LogProb[r] = logit[target] - lse
		o.Loss[0] -= o.Weight[r] * o.LogProb[r]
		if o.DX == nil {
			continue
		}
		for v := range logit {
			d := exp(logit[v] - lse)
			if v == int(target) {
				d--
			}
			d *= o.Weight[r] * o.GradScale * o.LogitScale
			if o.LogitCap > 0 {
				d *= 1 - logit[v]/o.LogitCap*(logit[v]/o.LogitCap)
			}
			d = round(o.Round, d)
			for h := range o.H {
				o.DX[r*o.H+h] += d * o.W[v*o.H+h]
				if dw != nil {
					dw[v*o.H+h] += d * x[h]
				}
			}
		}
	}
	o.Loss[0] *= o.LossScale
	for i := range dw {
		o.DW[i] += dw[i]
	}
}

// softCap is cap·tanh(z·scale/cap), or z·scale where cap is 0.
func softCap[T Real](z, scale, limit T) T {
	if limit == 0 {
		return z * scale
	}
	return limit * tanh(z*scale/limit)
}

// SoftCap is softCap of each element.
type SoftCap[T Real] struct {
	X          []T `arg:"in/out f32 N"`
	Scale, Cap T
	N          int
}

func (*SoftCap[T]) twin() Op { return new(SoftCap[float32]) }

// Run replaces each element.
func (o *SoftCap[T]) Run() {
	for i, z := range o.X {
		o.X[i] = softCap(z, o.Scale, o.Cap)
	}
}

func logSumExp[T Real](x []T) T {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	var sum T
	for _, v := range x {
		sum += exp(v - top)
	}
	return top + log(sum)
}

// RewardHead is reward[l] = x[row[l]]·w.
type RewardHead[T Real] struct {
	Reward  []T     `arg:"out f32 L"`
	X       []T     `arg:"in real N,H"`
	Row     []int32 `arg:"in i32 L"`
	W       []T     `arg:"in f32 H"`
	L, N, H int
}

func (*RewardHead[T]) twin() Op { return new(RewardHead[float32]) }

// Run reads the rewards.
func (o *RewardHead[T]) Run() {
	for l, n := range o.Row {
		o.Reward[l] = dot(o.X[int(n)*o.H:][:o.H], o.W)
	}
}

// Pairing says which rewards of a pair are compared.
type Pairing int32

// Cross is all chosen against all rejected leaves, Mean the means of both sides, Zip leaf i against leaf i.
const (
	Cross Pairing = iota
	Mean
	Zip
)

// RewardLoss is the reward head, the loss on its rewards (of pairs, of scores or of ranked lists) joined with the critique loss, and the
// gradient; see kernels.h for the losses.
type RewardLoss[T Real] struct {
	Loss                                 []T     `arg:"out f32 6 each unit"`
	Reward                               []T     `arg:"out f32 L"`
	DReward                              []T     `arg:"out f32 L"`
	DX                                   []T     `arg:"out real L,H"`
	DW                                   []T     `arg:"+= f32 H"`
	X                                    []T     `arg:"in real L,H ties"`
	W                                    []T     `arg:"in f32 H ties"`
	Side                                 []int32 `arg:"in i32 S+1"`
	List                                 []int32 `arg:"in i32 P+1 or-nil"`
	Worse                                []int32 `arg:"in i32 S or-nil"`
	Margin                               []T     `arg:"in f32 P or-nil"`
	Weight                               []T     `arg:"in f32 P or-nil"`
	Target                               []T     `arg:"in f32 S or-nil"`
	Critique                             []T     `arg:"in f32 1 or-nil"`
	Lambda, Center, LossScale, GradScale T
	Smooth                               T // share of labels that are taken to be wrong
	Alone                                bool
	Pairing                              Pairing
	L, H, P, S                           int
	Ties                                 bool // some rewards are equal to the bit
}

func (*RewardLoss[T]) twin() Op { return new(RewardLoss[float32]) }

// Run gives rewards, losses, statistics and gradients.
func (o *RewardLoss[T]) Run() {
	for l := range o.Reward {
		o.Reward[l] = dot(o.X[l*o.H:][:o.H], o.W)
	}
	o.pairs()
	dw := make([]T, o.H)
	for l, d := range o.DReward {
		for h := range o.H {
			o.DX[l*o.H+h] = d * o.W[h]
			dw[h] += d * o.X[l*o.H+h]
		}
	}
	for h := range dw {
		o.DW[h] += dw[h]
	}
}

// pairs gives losses, statistics and the gradient of the rewards.
func (o *RewardLoss[T]) pairs() {
	clear(o.DReward)
	var reward, accuracy, difference, ties T
	for p := range o.P {
		weight := o.weight(p)
		if o.List != nil {
			order, right, apart, equal := o.order(p)
			reward, accuracy, difference, ties = reward+weight*order, accuracy+right, difference+apart, ties+equal
			continue
		}
		chosen, rejected := o.side(2*p), o.side(2*p+1)
		terms := o.terms(chosen, rejected)
		if o.Target != nil {
			reward += weight * o.scores(p)
		}
		var margin T
		if o.Margin != nil {
			margin = o.Margin[p]
		}
		for _, t := range terms {
			c, r := o.mean(t.chosen), o.mean(t.rejected)
			share := 1 / T(len(terms))
			// bt = -log σ(z) = log(1 + exp(-z)), which does not overflow in this form
			z := c - r - margin
			logistic := func(z T) T { return max(-z, 0) + log1p(exp(-max(z, -z))) }
			bt := (1-o.Smooth)*logistic(z) + o.Smooth*logistic(-z)
			difference += share * (c - r)
			switch {
			case c > r:
				accuracy += share
			case c == r:
				accuracy += share / 2
				ties++
			}
			if o.Target != nil {
				continue // compared, not learned
			}
			reward += share * (weight*bt + o.Center*(c+r)*(c+r))
			dbt, dcentre := weight*(o.Smooth/(1+exp(-z))-(1-o.Smooth)/(1+exp(z))), 2*o.Center*(c+r)
			o.spread(t.chosen, o.GradScale*share*(dcentre+dbt))
			o.spread(t.rejected, o.GradScale*share*(dcentre-dbt))
		}
	}
	var critique T
	if o.Critique != nil {
		critique = o.Critique[0]
	}
	reward *= o.LossScale
	joint := o.Lambda*critique + (1-o.Lambda)*reward
	copy(o.Loss, []T{joint, critique, reward, o.LossScale * accuracy, o.LossScale * difference, ties})
}

// weight of a pair's loss.
func (o *RewardLoss[T]) weight(p int) T {
	if o.Weight == nil {
		return 1
	}
	return o.Weight[p]
}

// sets are the leaves of a side that count as one reward: all of them, or each.
func (o *RewardLoss[T]) sets(side int) (sets [][]int) {
	leaves := o.side(side)
	if o.Pairing == Mean && len(leaves) > 0 {
		return [][]int{leaves}
	}
	for i := range leaves {
		sets = append(sets, leaves[i:i+1])
	}
	return sets
}

// scores is the squared error of a pair's rewards, the mean over the sides that have any.
func (o *RewardLoss[T]) scores(p int) (loss T) {
	sides := slices.DeleteFunc([]int{2 * p, 2*p + 1}, func(s int) bool { return len(o.side(s)) == 0 })
	for _, s := range sides {
		sets := o.sets(s)
		share := 1 / T(len(sides)) / T(len(sets))
		for _, set := range sets {
			e := o.mean(set) - o.Target[s]
			loss += share * e * e
			o.spread(set, o.GradScale*share*o.weight(p)*2*e)
		}
	}
	return loss
}

// order is the loss of a list, and of the comparisons in it the share that is right, the mean difference and the ties.
func (o *RewardLoss[T]) order(p int) (loss, right, apart, ties T) {
	var sides []int
	terms := math.MaxInt
	for s := int(o.List[p]); s < int(o.List[p+1]); s++ {
		if n := len(o.sets(s)); n > 0 {
			sides, terms = append(sides, s), min(terms, n)
		}
	}
	if len(sides) == 0 {
		return
	}
	share := 1 / T(terms)
	compared := 0
	for i := range terms {
		for _, s := range sides {
			among := [][]int{o.sets(s)[i]} // s itself, and the sides behind it
			for _, z := range sides {
				if z >= int(o.Worse[s]) {
					among = append(among, o.sets(z)[i])
				}
			}
			if len(among) == 1 {
				continue
			}
			rewards := make([]T, len(among))
			for k, set := range among {
				rewards[k] = o.mean(set)
			}
			top := slices.Max(rewards)
			var all T
			for _, r := range rewards {
				all += exp(r - top)
			}
			loss += share * (top - rewards[0] + log(all))
			for k, set := range among {
				d := exp(rewards[k]-top) / all
				if k == 0 {
					d--
				} else {
					compared++
					apart += rewards[0] - rewards[k]
					if rewards[0] > rewards[k] {
						right++
					} else if rewards[0] == rewards[k] {
						right += 0.5
						ties++
					}
				}
				o.spread(set, o.GradScale*share*o.weight(p)*d)
			}
		}
	}
	if compared > 0 {
		right, apart = right/T(compared), apart/T(compared)
	}
	return loss, right, apart, ties
}

// term compares the mean rewards of two sets of leaves; most often they are one leaf each.
type term struct{ chosen, rejected []int }

func (o *RewardLoss[T]) side(s int) (leaves []int) {
	for l := o.Side[s]; l < o.Side[s+1]; l++ {
		leaves = append(leaves, int(l))
	}
	return leaves
}

func (o *RewardLoss[T]) terms(chosen, rejected []int) (terms []term) {
	alone := len(chosen) == 0 || len(rejected) == 0
	if alone && o.Target != nil {
		return nil
	}
	switch {
	case alone && !o.Alone || len(chosen)+len(rejected) == 0:
		return nil
	case alone && o.Pairing == Mean:
		return []term{{chosen, rejected}}
	case alone:
		for i := range chosen {
			terms = append(terms, term{chosen[i : i+1], nil})
		}
		for i := range rejected {
			terms = append(terms, term{nil, rejected[i : i+1]})
		}
		return terms
	}
	switch o.Pairing {
	case Cross:
		for _, c := range chosen {
			for _, r := range rejected {
				terms = append(terms, term{[]int{c}, []int{r}})
			}
		}
	case Mean:
		terms = append(terms, term{chosen, rejected})
	case Zip:
		for i := range min(len(chosen), len(rejected)) {
			terms = append(terms, term{chosen[i : i+1], rejected[i : i+1]})
		}
	}
	return terms
}

// mean is 0 of none.
func (o *RewardLoss[T]) mean(leaves []int) T {
	var sum T
	if len(leaves) == 0 {
		return 0
	}
	for _, l := range leaves {
		sum += o.Reward[l]
	}
	return sum / T(len(leaves))
}

func (o *RewardLoss[T]) spread(leaves []int, d T) {
	for _, l := range leaves {
		o.DReward[l] += d / T(len(leaves))
	}
}
