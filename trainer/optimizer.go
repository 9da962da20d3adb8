package trainer

import (
	"math"

	"criticrm/kernels"
	"criticrm/model"
)

// optimizer updates all parameters of a model with AdamW.
type optimizer struct {
	m *model.Model
	c *Config
}

// decays says whether weight decay applies.
func decays(p *model.Param) bool { return p.Kind == model.Matrix || p.Kind == model.Embedding }

// step queues update number t (from 1) with the learning rate times factor, from the gradients in the model. The function that
// it gives waits for the gradient norm before clipping and the number of elements that are not finite; if there are any, or
// the norm is not finite, the kernels change nothing.
func (o *optimizer) step(factor float64, t int64) (norm func() (float64, int)) {
	dev, c := o.m.Dev, o.c
	sums := o.m.GradNorm()
	bias1, bias2 := 1-math.Pow(c.Beta1, float64(t)), 1-math.Pow(c.Beta2, float64(t))
	for _, p := range o.m.Params() {
		decay := 0.0
		if decays(p) {
			decay = c.WeightDecay
		}
		dev.AdamW(kernels.AdamW{W: p.W, Master: p.Master, M: p.M, V: p.V, G: p.G, Norm: sums,
			LR: float32(c.LearningRate * factor), Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Eps: float32(c.Epsilon), WeightDecay: float32(decay),
			Bias1: float32(bias1), Bias2: float32(bias2), MaxNorm: float32(c.MaxGradNorm),
			Seed: c.Seed, Step: uint32(t), First: p.First})
	}
	read := dev.DownloadLater(sums)
	return func() (float64, int) {
		host := read()
		return float64(host[0]), int(host[1])
	}
}

// finite says whether step made an update.
func finite(norm float64, bad int) bool { return bad == 0 && !math.IsNaN(norm) && !math.IsInf(norm, 0) }
