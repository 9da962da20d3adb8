package trainer

import (
	"context"
	"fmt"
	"math/bits"

	"criticrm/collective"
	"criticrm/kernels"
	"criticrm/model"
)

// With gradient_sum: tree the sum of an update's gradients is ((0+1)+(2+3))+((4+5)+(6+7)), where leaf i is the sum of the micro-batches i, i+8, …
// in that order. Neither the leaves nor the tree depend on how many ranks there are, as long as each has a whole subtree.
const leaves = 8

// ownLeaves are the leaves [lo, hi) of a rank.
func ownLeaves(g *collective.Group) (lo, hi int) {
	n := leaves / g.Size()
	return g.Rank() * n, (g.Rank() + 1) * n
}

// gradients makes the gradients of the update's micro-batches of this rank, and queues their losses' reading.
func (r *run) gradients(ctx context.Context, p *Packed, o model.LossOptions, now *pending) error {
	tokens, next := 0, 0
	work := func(of func(leaf int) bool) error {
		r.m.ZeroGrad()
		for ; next < len(p.Batches) && r.work(ctx).Err() == nil && of(p.Leaf[next]); next++ {
			b := p.Batches[next]
			if r.c.GradientSum != SumTree && next == len(p.Batches)-1 {
				r.m.SendGradients()
			}
			losses, err := r.m.TrainStepLater(b, o)
			if err != nil {
				return fmt.Errorf("trainer: step %d: %w", r.st.Step+1, err)
			}
			now.losses = append(now.losses, losses)
			tokens += b.Len()
			r.console.within(r.st.Step+1, next+1, len(p.Batches), tokens, now.start)
		}
		for idle := len(p.Batches); idle < p.Rounds; idle++ {
			if err := r.m.IdleStep(); err != nil {
				return fmt.Errorf("trainer: step %d: %w", r.st.Step+1, err)
			}
		}
		return nil
	}
	if r.c.GradientSum != SumTree {
		return work(func(int) bool { return true })
	}
	lo, hi := ownLeaves(r.group)
	for leaf := lo; leaf < hi; leaf++ {
		if err := work(func(of int) bool { return of == leaf }); err != nil {
			return err
		}
		r.sums.add(r.m.Dev, r.m.Gradients(), leaf-lo, leaf == hi-1)
	}
	return nil
}

// treeSums are the sums of whole subtrees of 1, 2 and 4 leaves that wait for their neighbours.
type treeSums struct{ held [3]kernels.Tensor }

// add takes the gradients of leaf i, the next one; of the last leaf they become the sum of all.
func (t *treeSums) add(dev *kernels.Device, g kernels.Tensor, i int, last bool) {
	level := 0
	for ; i>>level&1 == 1; level++ {
		left := t.held[level]
		dev.AddBiasBackward(left, g.View(1, g.Len())) // left + right
		dev.Copy(g, left)
	}
	if last {
		return
	}
	if t.held[level].IsNil() {
		t.held[level] = dev.Alloc(kernels.F32, g.Len())
	}
	dev.Copy(t.held[level], g)
}

func (t *treeSums) close(dev *kernels.Device) {
	for _, x := range t.held {
		dev.Free(x)
	}
	*t = treeSums{}
}

// sum makes the gradients those of all ranks.
func (r *run) sum() error {
	tree := r.c.GradientSum == SumTree
	if r.m.Divided() > 0 {
		return r.m.Reduce(tree)
	}
	return r.group.Sum(fmt.Sprintf("the gradients of step %d", r.st.Step+1), r.m.Gradients(), tree)
}

// checkRanks says whether a group of so many can train with the recipe.
func (c *Config) checkRanks(n int) error {
	if c.GradientSum == SumTree && (n > leaves || bits.OnesCount(uint(n)) != 1) {
		return fmt.Errorf("trainer: gradient_sum: tree is for 1, 2, 4 or 8 processes, and there are %d", n)
	}
	return nil
}
