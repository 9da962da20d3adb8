package trainer

// Training an adapter in place of the model's parameters.

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"criticrm/kernels"
	"criticrm/model"
)

// adapter is the adapter that the recipe trains; nil: none.
func (c *Config) adapter() *model.LoRA {
	if c.LoraR == 0 {
		return nil
	}
	base, err := filepath.Abs(c.Model)
	if err != nil {
		base = c.Model
	}
	return &model.LoRA{Rank: c.LoraR, Alpha: cmp.Or(c.LoraAlpha, 2*float64(c.LoraR)), RSLoRA: c.RSLoRA, Targets: c.LoraTargets, Base: base, Seed: c.Seed}
}

// checkAdapter is Validate's part of it.
func (c *Config) checkAdapter() error {
	if c.LoraR == 0 {
		if c.LoadIn4bit {
			return fmt.Errorf("trainer: config: load_in_4bit: weights of 4 bits are not trained themselves: give lora_r, too")
		}
		if c.LoraAlpha != 0 || c.RSLoRA || c.LoraTargets != model.AllLinear {
			return fmt.Errorf("trainer: config: lora_alpha, lora_target_modules and use_rslora are of an adapter: give lora_r, too")
		}
		return nil
	}
	switch {
	case c.Freeze != "" || c.LastLayers > 0:
		return fmt.Errorf("trainer: config: lora_r: nothing but the adapter and the reward head is trained: leave freeze and freeze_trainable_layers out, and name layers by lora_target_modules (a regular expression)")
	case c.Stochastic:
		return fmt.Errorf("trainer: config: lora_r: an adapter's masters are float32: leave stochastic_rounding out")
	case c.Optim == AdamW8bit:
		return fmt.Errorf("trainer: config: lora_r: an adapter's moments are float32, and few: use optim adamw")
	}
	if err := c.adapter().Check(); err != nil {
		return fmt.Errorf("trainer: config: lora: %w", err)
	}
	return nil
}

// stays says whether a parameter is not trained: its weight is the base's, now and at the end.
func stays(p *model.Param) bool { return p.G.IsNil() }

// frozenHash is the sha256 of all weights that stay as they are, in the type that they have on the device: a checkpoint does not hold them, and
// goes on with no others. "" if all are trained.
func frozenHash(m *model.Model) (string, error) {
	r, h, some := &downloads{m: m}, sha256.New(), false
	buffer := make([]byte, 0)
	for _, p := range m.Params() {
		if !stays(p) {
			continue
		}
		some = true
		list := []kernels.Tensor{p.W}
		if q := p.NF4; q != nil {
			list = []kernels.Tensor{q.Code, q.Absmax, q.Scale}
			fmt.Fprintf(h, "offset %v\n", q.Offset)
		}
		if b := p.Blocks; b != nil {
			list = []kernels.Tensor{b.Code}
			fmt.Fprintf(h, "blocks %s\n", b.Type.Name)
		}
		for _, t := range list {
			fmt.Fprintf(h, "%s %v %v\n", p.Name, t.Type(), t.Shape())
			r.tensors = append(r.tensors[:0], download{t: t.View(t.Len())})
			const part = 8 << 20
			for at, n := 0, t.Bytes(); at < n; at += part {
				size := min(part, n-at)
				if cap(buffer) < size {
					buffer = make([]byte, part)
				}
				if err := r.read(buffer[:size], 0, at); err != nil {
					return "", fmt.Errorf("trainer: %s: %w", p.Name, err)
				}
				h.Write(buffer[:size])
			}
		}
	}
	if !some {
		return "", nil
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
