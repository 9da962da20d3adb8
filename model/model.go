// Package model is a decoder of the Llama kind, in all families of the table in family.go, with a language-model head and a reward head, for training and for sampling, on
// the ops of package kernels.
//
// A batch is a packed forest ([Forest]): trees of token runs, depth first and without padding, in which a shared prefix is computed
// once. [Model.TrainStep] runs forward, losses and backward over a [Batch] and adds to the gradients; [Model.Evaluate] gives
// log-probabilities and rewards; [Model.Generate] samples continuations with a cache of keys and values. [Load] and the Save
// methods read and write the directories of Hugging Face transformers. A Model must not be used by two goroutines at once.
package model

import (
	"errors"
	"fmt"

	"criticrm/checkpoint"
	"criticrm/kernels"
)

// Options say what a model is opened for.
type Options struct {
	DType kernels.DType // of weights and activations: F32 or BF16
	Train bool          // make gradients, moments and (bfloat16) float32 master weights
	Head  bool          // make a reward head of zeros if the files have none

	// StochasticRounding trains bfloat16 weights without float32 masters: updates round them by chance. A parameter takes 14 bytes
	// (weight 2, gradient 4, moments 8) in place of 18.
	StochasticRounding bool

	// Moments8Bit keeps the moments of matrices and embeddings in a byte each, in blocks with a scale (kernels.Device.AdamW8bit): a
	// parameter takes 6 bytes less.
	Moments8Bit bool

	// GradientCheckpointing keeps of a layer's activations only its input for the backward pass, which computes the others again
	// (Chen et al. 2016): the same bits with less memory and a third more work.
	GradientCheckpointing bool

	// Frozen says of a parameter, by its name, that it is not trained: it has no gradient, no moments and no master, and the backward pass
	// ends above the lowest layer in which something is trained. nil: all are trained. The reward head always is. Parameters that are multiplied
	// together (q, k, v; gate, up) are frozen together or not at all.
	Frozen func(name string) bool

	// LoRA gives the model a low-rank adapter; what Frozen does not name is trained beside it, and without Frozen only the adapter and the
	// reward head are. Load sets it of a directory that holds an adapter. nil: none.
	LoRA *LoRA

	// NF4 keeps the projections of the layers that are not trained in 4 bits (QLoRA's NF4 with doubly quantised maxima, in bitsandbytes' layout): about
	// half a byte a parameter. Embeddings, heads and norms stay as they are.
	NF4 bool

	// Unpack has weights that are stored in blocks (Config.Blocks) as the numbers that they stand for, all of them; else those that are trained.
	Unpack bool

	// Over is Load's of an adapter: the weights of its base are those of this model, which is open, has no adapter, and must stay open and as it is for as long.
	// The two may be used by turns. nil: the base is read.
	Over *Model

	// Sharding divides what training keeps among several processes.
	Sharding Sharding

	// Config is Load's, of whoever has read and checked the directory's already; nil: Load reads config.json.
	Config *Config
}

// Model is a model on a device.
type Model struct {
	Config
	Dev *kernels.Device

	opt       Options
	hasReward bool
	traits
	params []*Param
	spans  []*Param

	embed, norm, head, score weight // head is the LM head: the embedding where they are tied, zero in a plain classifier
	blocks                   []block
	deep                     *deepHead // what the reward head has before score; nil: it is linear

	flatW, flatScore, flatG, flatMaster, flatM, flatV kernels.Tensor
	codeM, codeV, scale                               kernels.Tensor // moments in 8 bits
	gradNorm                                          kernels.Tensor // (2) f32
	storedMap                                         []float32      // what the maxima of stored weights of 4 bits stand for
	packedCode, packedMost, packedScale, packedMap    kernels.Tensor // weights of 4 bits, see kernels.NF4
	packedBlocks                                      kernels.Tensor // weights in blocks
	pending                                           map[*Param][]float32
	nowhere                                           kernels.Tensor // f32: gradients of norms that are not trained
	lowest                                            int            // layer in which something is trained; len(blocks): none
	shards                                            *shards        // nil: the model is not divided

	acts     []acts // one per layer; see Model.shared
	scratch  scratch
	tail     tail
	staging  staging
	embedLow kernels.Tensor   // (n, r) s·A[:, id] of the embedding's adapter
	kv       []kernels.Tensor // per layer (S, 2G, D): cache of Generate
	sampled  sampled
	memory   map[*kernels.Tensor]kernels.Tensor // behind each view that fit has made
}

// New makes a model with random weights, which depend on the seed and on the parameters' names and shapes only.
func New(dev *kernels.Device, c Config, o Options, seed uint64) (*Model, error) {
	if c.blockTypes != nil && !o.Unpack {
		return nil, errors.New("model: random weights are not made in blocks (quantization_config)")
	}
	m, err := Blank(dev, c, o)
	if err == nil {
		m.initialise(seed)
	}
	return m, err
}

// Blank makes a model whose weights are all zero, for what depends on sizes alone.
func Blank(dev *kernels.Device, c Config, o Options) (*Model, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return build(dev, c, o, o.Head || c.classifier)
}

func build(dev *kernels.Device, c Config, o Options, reward bool) (m *Model, err error) {
	if o.DType != kernels.F32 && o.DType != kernels.BF16 {
		return nil, fmt.Errorf("model: weights of type %v: want float32 or bfloat16", o.DType)
	}
	if c.quantised {
		if o.NF4 = true; o.Train && o.LoRA == nil {
			return nil, errors.New("model: its weights are of 4 bits (quantization_config), which are not trained themselves: train an adapter (lora_r)")
		}
	}
	if c.blockTypes != nil && o.NF4 {
		return nil, errors.New("model: its weights are in blocks of a GGUF file already (quantization_config), and are not quantised again: leave load_in_4bit out, or take the model without --keep_quantized")
	}
	if o.StochasticRounding && o.DType != kernels.BF16 {
		return nil, errors.New("model: stochastic rounding is for bfloat16 weights")
	}
	m = &Model{Config: c, Dev: dev, opt: o, hasReward: reward, traits: c.traits(o.DType), memory: map[*kernels.Tensor]kernels.Tensor{}}
	defer func() {
		if err != nil {
			m.Close()
			m = nil
		}
	}()
	defer kernels.Recover(&err)
	if o.LoRA != nil && o.StochasticRounding {
		return m, errors.New("model: stochastic rounding is not for adapters: they are small, and their masters are float32")
	}
	m.blocks = make([]block, c.NumHiddenLayers)
	if err := m.makeAdapter(); err != nil {
		return m, err
	}
	m.acts = make([]acts, c.NumHiddenLayers)
	m.kv = make([]kernels.Tensor, c.NumHiddenLayers)
	if err := m.allocate(); err != nil {
		return m, err
	}
	return m, nil
}

// Load reads a model directory: config.json, model.safetensors or its shards, and reward_head.safetensors if it is there: score.weight, or what DeepHead names.
// Causal models and sequence classifiers with one label are read. Values are converted to the type that is asked for. Of a directory that holds
// an adapter (IsAdapter) the base is read, and the adapter stays apart from it: see Merge. A new adapter (Options.LoRA) begins as PEFT's do:
// the model computes what its base does, to the bit.
func Load(dev *kernels.Device, dir string, o Options) (*Model, error) {
	base := dir
	adapted := IsAdapter(dir)
	if adapted {
		if o.LoRA != nil {
			return nil, fmt.Errorf("model: %s is an adapter already: merge it first ('criticrm export --format causal-lm' does), or go on with its base", dir)
		}
		l, err := ReadAdapter(dir)
		if err != nil {
			return nil, err
		}
		o.LoRA, base = l, l.Base
	}
	if o.Config == nil {
		c, err := LoadConfig(dir)
		if err != nil {
			return nil, err
		}
		o.Config = &c
	}
	c := *o.Config
	if err := o.checkOver(c, adapted); err != nil {
		return nil, err
	}
	files, err := checkpoint.OpenModelDir(base)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	defer files.Close()
	source, err := openSource(dir, base, files)
	if err != nil {
		return nil, err
	}
	defer source.close()
	if err := source.check(c, base); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if source.deep() && (o.Train || adapted) {
		return nil, fmt.Errorf("model: %s: %w", base, errDeepHead)
	}
	withHead := o.Head || source.has(headName) || source.deep()
	if adapted && !withHead {
		if withHead, err = adapterHasHead(dir); err != nil {
			return nil, err
		}
	}
	m, err := build(dev, c, o, withHead)
	if err != nil {
		return nil, err
	}
	err = m.read(source, dir)
	if err == nil && adapted {
		err = m.readAdapter(dir)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Check says whether a directory holds the tensors that its config.json describes, reward head included, as Load wants them. It reads no weights.
func Check(dir string) error {
	c, err := LoadConfig(dir)
	if err != nil {
		return err
	}
	files, err := checkpoint.OpenModelDir(dir)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer files.Close()
	source, err := openSource(dir, dir, files)
	if err != nil {
		return err
	}
	defer source.close()
	if err := source.check(c, dir); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}

// Params lists all parameters, in the order of the layers; the tied LM head is the embedding and is listed once.
func (m *Model) Params() []*Param { return m.params }

// Spans are the parameters once more, those of one kind that are neighbours in memory as one: what an op does to each element, it does to
// them at once.
func (m *Model) Spans() []*Param { return m.spans }

// Multiplications is how many a forward pass makes in the layers for so many tokens, the longest branch of which has so many: those of the
// projections, and of attention, whose queries see half of a branch on average.
func (c *Config) Multiplications(tokens, longest int) float64 {
	h, ad, gd, f := float64(c.HiddenSize), float64(c.NumAttentionHeads*c.HeadDim), float64(c.NumKeyValueHeads*c.HeadDim), float64(c.IntermediateSize)
	return float64(c.NumHiddenLayers) * float64(tokens) * (h*(2*ad+2*gd) + 3*h*f + ad*float64(longest))
}

// HasHead says whether the model has a reward head.
func (m *Model) HasHead() bool { return m.hasReward }

// HasLM says whether the model has an LM head: all have, except an untied sequence classifier.
func (m *Model) HasLM() bool { return !m.head.W.IsNil() }

// DType is the type of weights and activations.
func (m *Model) DType() kernels.DType { return m.opt.DType }

// Size is the number of parameters.
func (m *Model) Size() int {
	n := 0
	for _, p := range m.params {
		n += p.Len()
	}
	return n
}

// ZeroGrad clears all gradients. It panics without Options.Train.
func (m *Model) ZeroGrad() {
	m.mustTrain()
	m.Dev.Zero(m.flatG)
	if m.shards != nil {
		m.Dev.Zero(m.shards.flatOwn)
	}
}

// Gradients are the gradients of all parameters as one flat tensor, in the order of Params, with zeros in between. Where gradients are divided (Sharding of
// stages 2 and 3) those of the layers are missing.
func (m *Model) Gradients() kernels.Tensor {
	m.mustTrain()
	return m.flatG
}

// GradNorm gives (2) f32 on the device: the norm of all gradients together, and how many elements are not finite.
// It panics without Options.Train.
func (m *Model) GradNorm() kernels.Tensor {
	m.mustTrain()
	if m.shards != nil {
		m.dividedNorm()
	} else {
		m.Dev.GradNorm(m.gradNorm, m.flatG)
	}
	return m.gradNorm
}

func (m *Model) mustTrain() {
	if !m.opt.Train {
		panic("model: no gradients: the model was opened without Options.Train")
	}
}

var errNotTrained = errors.New("model: the model was opened without Options.Train")

// Close frees the model's memory on the device. The device stays open.
func (m *Model) Close() {
	for _, t := range []kernels.Tensor{m.flatW, m.flatScore, m.flatG, m.flatMaster, m.flatM, m.flatV, m.codeM, m.codeV, m.scale, m.gradNorm, m.nowhere, m.packedCode, m.packedMost, m.packedScale, m.packedMap, m.packedBlocks} {
		m.Dev.Free(t)
	}
	if s := m.shards; s != nil {
		for _, t := range []kernels.Tensor{s.g[0], s.g[1], s.w[0], s.w[1], s.flatOwn, s.flatOwnW, s.norms} {
			m.Dev.Free(t)
		}
	}
	if h := m.deep; h != nil {
		for _, t := range []kernels.Tensor{h.dense, h.bias, h.c} {
			m.Dev.Free(t)
		}
	}
	for _, t := range m.kv {
		m.Dev.Free(t)
	}
	for _, r := range m.ropes {
		m.Dev.Free(r.table)
	}
	for _, t := range m.memory {
		m.Dev.Free(t)
	}
	*m = Model{Config: m.Config, Dev: m.Dev}
}
