package trainer

import (
	"fmt"
	"math"

	"criticrm/kernels"
	"criticrm/model"
)

// optimizer updates all parameters of a model with AdamW.
type optimizer struct {
	m    *model.Model
	c    *Config
	skip float32 // norm over which the next step changes nothing; 0: none
}

// decays says whether weight decay applies.
func (c *Config) decays(p *model.Param) bool {
	return p.Kind == model.Head && c.HeadDecay || p.Kind == model.Matrix || p.Kind == model.Embedding || p.Kind == model.Adapter
}

// step queues update number t (from 1) with the learning rate times factor, from the gradients in the model. The function that
// it gives waits for the gradient norm before clipping and the number of elements that are not finite; if there are any, or
// the norm is not finite or over skip, the kernels change nothing.
func (o *optimizer) step(factor float64, t int64) (norm func() (float64, int)) {
	dev, c := o.m.Dev, o.c
	sums := o.m.GradNorm()
	bias1, bias2 := 1-math.Pow(c.Beta1, float64(t)), 1-math.Pow(c.Beta2, float64(t))
	for _, p := range o.m.Spans() {
		if stays(p) {
			continue
		}
		decay := 0.0
		if c.decays(p) {
			decay = c.WeightDecay
		}
		rate := c.LearningRate
		if p.Kind == model.Head {
			rate *= c.HeadLRRatio
		}
		u := kernels.AdamW{W: p.W, Master: p.Master, M: p.M, V: p.V, G: p.G, Norm: sums,
			LR: float32(rate * factor), Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Eps: float32(c.Epsilon), WeightDecay: float32(decay),
			Bias1: float32(bias1), Bias2: float32(bias2), MaxNorm: float32(c.MaxGradNorm), SkipNorm: o.skip,
			Seed: c.Seed, Step: uint32(t), First: p.First}
		if p.Scale.IsNil() {
			dev.AdamW(u)
		} else {
			dev.AdamW8bit(u, p.Scale)
		}
	}
	read := dev.DownloadLater(sums)
	return func() (float64, int) {
		host := read()
		return float64(host[0]), int(host[1])
	}
}

// clear forgets all moments.
func (o *optimizer) clear() {
	for _, p := range o.m.Params() {
		for _, own := range p.Own {
			for _, t := range []kernels.Tensor{own.M, own.V, own.Scale} {
				if !t.IsNil() {
					o.m.Dev.Zero(t)
				}
			}
		}
	}
}

// trains says why the recipe cannot train a parameter as its model was opened, or nil.
func (c *Config) trains(p *model.Param) error {
	switch {
	case p.Packed(): // it is not trained
		return nil
	case p.Kind != model.Head && p.W.Type() != c.dtype():
		return fmt.Errorf("trainer: bf16 is %v, but parameter %s is %v", c.BF16, p.Name, p.W.Type())
	case stays(p): // checkParams has seen to it
		return nil
	case len(p.Own) == 0: // another process keeps what is trained
		return nil
	case p.W.Type() == kernels.BF16 && p.Own[0].Master.IsNil() != c.Stochastic:
		return fmt.Errorf("trainer: stochastic_rounding is %v, but the model was opened otherwise (parameter %s)", c.Stochastic, p.Name)
	case p.Kind == model.Matrix && p.Own[0].Scale.IsNil() != (c.Optim == AdamW):
		return fmt.Errorf("trainer: optim is %s, but the model was opened for the other one (parameter %s)", c.Optim, p.Name)
	}
	return nil
}

// finite says whether a gradient is.
func finite(norm float64, bad int) bool { return bad == 0 && !math.IsNaN(norm) && !math.IsInf(norm, 0) }
