package trainer

import (
	"math"
	"strings"

	"criticrm/kernels"
	"criticrm/model"
)

// optimizer updates all parameters of a model with AdamW, or the matrices of its blocks with Muon and the rest with AdamW.
type optimizer struct {
	m       *model.Model
	c       *Config
	scratch kernels.Tensor // f32, for the largest matrix that Muon updates
}

func newOptimizer(m *model.Model, c *Config) *optimizer {
	o := &optimizer{m: m, c: c}
	need := 0
	for _, p := range m.Params() {
		if o.muon(p) {
			need = max(need, kernels.MuonScratch(p.Shape[0], p.Shape[1]))
		}
	}
	if need > 0 {
		o.scratch = m.Dev.Alloc(kernels.F32, need)
	}
	return o
}

func (o *optimizer) close() { o.m.Dev.Free(o.scratch) }

// muon says whether Muon updates the parameter: embeddings, the LM head, norms and the reward head belong to AdamW.
func (o *optimizer) muon(p *model.Param) bool {
	return o.c.Optimizer == "muon" && p.Kind == model.Matrix && len(p.Shape) == 2 && strings.HasPrefix(p.Name, "model.layers.")
}

// decays says whether weight decay applies.
func decays(p *model.Param) bool { return p.Kind == model.Matrix || p.Kind == model.Embedding }

// step makes update number t (from 1) with the learning rates times factor, from the gradients in the model. It gives the
// gradient norm before clipping and how many elements are not finite; if there are any, or the norm is not finite, the
// kernels change nothing.
func (o *optimizer) step(factor float64, t int64) (norm float64, bad int, err error) {
	dev, c := o.m.Dev, o.c
	sums := o.m.GradNorm()
	bias1, bias2 := 1-math.Pow(c.Beta1, float64(t)), 1-math.Pow(c.Beta2, float64(t))
	for _, p := range o.m.Params() {
		if o.muon(p) {
			dev.Muon(kernels.Muon{W: p.W, Master: p.Master, M: p.M, G: p.G, Norm: sums, Scratch: o.scratch,
				LR: float32(c.MuonLearningRate * factor), Momentum: float32(c.MuonMomentum), WeightDecay: float32(c.MuonWeightDecay), MaxNorm: float32(c.MaxGradNorm)})
			continue
		}
		decay := 0.0
		if decays(p) {
			decay = c.WeightDecay
		}
		dev.AdamW(kernels.AdamW{W: p.W, Master: p.Master, M: p.M, V: p.V, G: p.G, Norm: sums,
			LR: float32(c.LearningRate * factor), Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Eps: float32(c.Epsilon), WeightDecay: float32(decay),
			Bias1: float32(bias1), Bias2: float32(bias2), MaxNorm: float32(c.MaxGradNorm)})
	}
	host := make([]float32, 2)
	dev.Download(host, sums)
	if err := dev.Sync(); err != nil {
		return 0, 0, err
	}
	return float64(host[0]), int(host[1]), nil
}

// finite says whether step made an update.
func finite(norm float64, bad int) bool { return bad == 0 && !math.IsNaN(norm) && !math.IsInf(norm, 0) }
