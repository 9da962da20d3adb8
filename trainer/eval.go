package trainer

import (
	"context"
	"fmt"
	"math"
	"time"

	"criticrm/collective"
	"criticrm/kernels"
	"criticrm/model"
)

// Evaluation are the losses on held-out examples. Figures that do not exist (no pairs, no critiques) are NaN.
type Evaluation struct {
	Name                           string // of the data set, as eval_file gives it; "": it has none
	Loss, CritiqueLoss, RewardLoss float64
	Accuracy, Margin               float64
	Ties                           int
	Examples, Pairs, Dropped       int
	Compared                       int // of Pairs, those whose rewards are compared
	Tokens                         int
	Seconds                        float64
	Rewards                        model.Rewards
	Categories                     []CategoryAccuracy // of examples that have categories, and more than one of them
	Margins                        *Histogram         // of the pairs' mean differences; nil: there are none
}

// CategoryAccuracy is the accuracy of the pairs of a category; without pairs it is NaN.
type CategoryAccuracy struct {
	Name     string
	Pairs    int
	Accuracy float64
}

// evalBatch is how many examples are fetched and packed at once.
const evalBatch = 64

// Evaluate computes the losses of a data set without gradients. Its sums are float64, in order.
func Evaluate(ctx context.Context, m *model.Model, data Dataset, c Config, lambda float64) (Evaluation, error) {
	return evaluate(ctx, m, data, c, lambda, nil)
}

// evaluate is Evaluate by a group, each rank of which takes every size-th batch.
func evaluate(ctx context.Context, m *model.Model, data Dataset, c Config, lambda float64, g *collective.Group) (Evaluation, error) {
	var e Evaluation
	start := time.Now()
	var critique, weight, reward, accuracy, margin float64
	by := newByCategory(data)
	var differences []float64
	for first := 0; first < data.Len(); first += g.Size() * evalBatch {
		if err := ctx.Err(); err != nil {
			return e, err
		}
		lo := first + g.Rank()*evalBatch
		var index []int
		for i := lo; i < min(lo+evalBatch, data.Len()); i++ {
			index = append(index, i)
		}
		p, err := packExamples(data, index, &c, limit(m, c), m.VocabSize)
		if err != nil {
			return e, fmt.Errorf("trainer: evaluation: %w", err)
		}
		idle, err := lacking(m, g, len(p.Batches))
		if err != nil {
			return e, err
		}
		for n, b := range p.Batches {
			logprob, rewards, err := m.Evaluate(b)
			if err != nil {
				return e, fmt.Errorf("trainer: evaluation: %w", err)
			}
			for i, lp := range logprob {
				critique -= float64(b.Weight[i]) * float64(lp)
			}
			s := pairSums(b, rewards, c, func(pair int, accuracy, margin float64) {
				by.add(p.Index[n][pair], accuracy)
				differences = append(differences, margin)
			})
			e.Rewards.Add(rewards)
			reward, accuracy, margin, e.Ties = reward+s.loss, accuracy+s.accuracy, margin+s.margin, e.Ties+s.ties
		}
		for range idle {
			if err := m.IdleForward(); err != nil {
				return e, fmt.Errorf("trainer: evaluation: %w", err)
			}
		}
		weight, e.Pairs, e.Compared, e.Tokens = weight+p.Weight, e.Pairs+p.Pairs, e.Compared+p.Compared, e.Tokens+p.Tokens
		e.Examples, e.Dropped = e.Examples+p.Examples, e.Dropped+p.Dropped
	}
	if g.Size() > 1 {
		whole := []*int{&e.Ties, &e.Pairs, &e.Compared, &e.Tokens, &e.Examples, &e.Dropped}
		real := []*float64{&critique, &weight, &reward, &accuracy, &margin}
		for i := range by.pairs {
			whole, real = append(whole, &by.pairs[i]), append(real, &by.right[i])
		}
		if err := addUp(g, whole, real); err != nil {
			return e, err
		}
		if err := joinRewards(g, &e.Rewards); err != nil {
			return e, err
		}
	}
	var err error
	if e.Margins, err = margins(g, differences); err != nil {
		return e, err
	}
	n, compared := float64(e.Pairs), float64(e.Compared) // without pairs or rows the quotients are 0/0 = NaN
	e.CritiqueLoss, e.RewardLoss, e.Accuracy, e.Margin, e.Categories = critique/weight, reward/n, accuracy/compared, margin/compared, by.accuracies()
	for _, part := range []struct{ share, loss float64 }{{lambda, e.CritiqueLoss}, {1 - lambda, e.RewardLoss}} {
		if part.share > 0 && !math.IsNaN(part.loss) {
			e.Loss += part.share * part.loss
		}
	}
	e.Seconds = time.Since(start).Seconds()
	return e, nil
}

// joinRewards makes statistics those of all ranks.
func joinRewards(g *collective.Group, r *model.Rewards) error {
	all, err := g.Share("the rewards of an evaluation", []float64{float64(r.N), float64(r.Min), float64(r.Max), r.Sum, r.Squares})
	if err != nil {
		return err
	}
	*r = model.Rewards{}
	for _, x := range all {
		r.Join(model.Rewards{N: int(x[0]), Min: float32(x[1]), Max: float32(x[2]), Sum: x[3], Squares: x[4]})
	}
	return nil
}

// addUp makes figures the sums of all ranks', in their order.
func addUp(g *collective.Group, whole []*int, real []*float64) error {
	var own []float64
	for _, x := range whole {
		own = append(own, float64(*x))
	}
	for _, x := range real {
		own = append(own, *x)
	}
	all, err := g.Share("the figures of an evaluation", own)
	if err != nil {
		return err
	}
	for i := range own {
		sum := 0.0
		for _, rank := range all {
			sum += rank[i]
		}
		if i < len(whole) {
			*whole[i] = int(sum)
		} else {
			*real[i-len(whole)] = sum
		}
	}
	return nil
}

// sums over pairs, each pair the mean of its terms.
type sums struct {
	loss, accuracy, margin float64
	ties                   int
}

// pairSums is the pairs of the kernels' reward_loss in float64, without a gradient: with z = c - r - margin, weight·(-log σ(z) + smoothing·z), plus
// center·(c + r)². A side that is alone is compared with 0. each hears the accuracy and the mean difference of every
// pair.
func pairSums(b *model.Batch, reward []float32, c Config, each func(pair int, accuracy, margin float64)) sums {
	var total sums
	if len(b.List) > 0 {
		return listSums(b, reward, c.pairing(), each)
	}
	for p := 0; 2*p+2 < len(b.SidePtr); p++ {
		chosen, rejected := reward[b.SidePtr[2*p]:b.SidePtr[2*p+1]], reward[b.SidePtr[2*p+1]:b.SidePtr[2*p+2]]
		if len(chosen)+len(rejected) == 0 {
			continue
		}
		pairing := c.pairing()
		if b.Score != nil {
			total.loss += squaredErrors([2][]float32{chosen, rejected}, b.Score[2*p:], pairing)
			if len(chosen) == 0 || len(rejected) == 0 {
				continue
			}
		}
		for _, side := range []*[]float32{&chosen, &rejected} {
			if len(*side) > 0 {
				continue
			}
			*side = []float32{0}
			if pairing == kernels.Zip {
				pairing = kernels.Cross // each leaf of the other side by itself
			}
		}
		offset, weight := 0.0, 1.0
		if b.Margin != nil {
			offset = float64(b.Margin[p])
		}
		if b.Scale != nil {
			weight = float64(b.Scale[p])
		}
		var s sums
		n := 0.0
		term := func(x, y float64) {
			d := x - y
			if b.Score == nil {
				s.loss += weight*(softplus(offset-d)+c.LabelSmoothing*(d-offset)) + c.CenterCoefficient*(x+y)*(x+y)
			}
			s.margin += d
			switch {
			case d > 0:
				s.accuracy++
			case d == 0:
				s.accuracy += 0.5
				s.ties++
			}
			n++
		}
		switch pairing {
		case kernels.Mean:
			term(mean(chosen), mean(rejected))
		case kernels.Zip:
			for i := range min(len(chosen), len(rejected)) {
				term(float64(chosen[i]), float64(rejected[i]))
			}
		default:
			for _, x := range chosen {
				for _, y := range rejected {
					term(float64(x), float64(y))
				}
			}
		}
		each(p, s.accuracy/n, s.margin/n)
		total.loss, total.accuracy, total.margin, total.ties = total.loss+s.loss/n, total.accuracy+s.accuracy/n, total.margin+s.margin/n, total.ties+s.ties
	}
	return total
}

// squaredErrors is the mean over the sides with rewards of their squared error against their score: of each reward, or of their mean.
func squaredErrors(sides [2][]float32, scores []float32, pairing kernels.Pairing) float64 {
	sum, n := 0.0, 0.0
	for i, rewards := range sides {
		if len(rewards) == 0 {
			continue
		}
		n++
		if pairing == kernels.Mean {
			e := mean(rewards) - float64(scores[i])
			sum += e * e
			continue
		}
		for _, r := range rewards {
			e := float64(r) - float64(scores[i])
			sum += e * e / float64(len(rewards))
		}
	}
	return sum / n
}

// softplus is log(1 + exp(x)) = -log σ(-x) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func mean(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v)
	}
	return s / float64(len(x))
}
