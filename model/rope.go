package model

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Rope are the rotary position embeddings. Type "llama3" stretches the long waves as Llama 3.1 does.
type Rope struct {
	Type             string  `json:"rope_type"`  // "default" or "llama3"
	Theta            float64 `json:"rope_theta"` // base of the frequencies; 0: 10000
	Factor           float64 `json:"factor,omitempty"`
	LowFreqFactor    float64 `json:"low_freq_factor,omitempty"`
	HighFreqFactor   float64 `json:"high_freq_factor,omitempty"`
	OriginalPosition int     `json:"original_max_position_embeddings,omitempty"`
}

// readRope takes both spellings: rope_theta beside rope_scaling (most published files), or rope_parameters (transformers 5).
func (c *Config) readRope(f *fields) {
	theta := f.positive("rope_theta", 0)
	r, old := f.object("rope_parameters"), f.object("rope_scaling")
	if r == nil {
		r = old
	} else if old != nil && fmt.Sprint(old.m) != fmt.Sprint(r.m) {
		f.fail("rope_scaling", "differs from rope_parameters; keep one of them")
	}
	if r == nil {
		c.Rope = Rope{Type: "default", Theta: theta}
		return
	}
	inner := r.positive("rope_theta", 0)
	if theta != 0 && inner != 0 && theta != inner {
		f.fail("rope_theta", "got %v, but %srope_theta is %v", theta, r.at, inner)
	}
	c.Rope = Rope{Type: r.text("rope_type"), Theta: max(theta, inner)}
	known := []string{"rope_type", "type", "rope_theta", "partial_rotary_factor"}
	switch old := r.text("type"); { // the spelling before Llama 3.1
	case c.Rope.Type == "":
		c.Rope.Type = old
	case old != "" && old != c.Rope.Type:
		r.fail("type", "got %q, but rope_type is %q; keep one of them", old, c.Rope.Type)
	}
	switch c.Rope.Type {
	case "llama3":
		c.Rope.Factor = r.positive("factor", -1)
		c.Rope.LowFreqFactor = r.positive("low_freq_factor", -1)
		c.Rope.HighFreqFactor = r.positive("high_freq_factor", -1)
		c.Rope.OriginalPosition = r.whole("original_max_position_embeddings", int64(c.MaxPositionEmbeddings), 1, 1<<27)
		known = append(known, "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
		if n := f.whole("original_max_position_embeddings", 0, 1, 1<<27); n != 0 && n != c.Rope.OriginalPosition {
			f.fail("original_max_position_embeddings", "got %d, but %soriginal_max_position_embeddings is %d; keep one of them", n, r.at, c.Rope.OriginalPosition)
		}
	case "", "default":
	default:
		r.fail("rope_type", "got %q, supported: \"default\", \"llama3\"", c.Rope.Type)
	}
	for _, k := range slices.Sorted(maps.Keys(r.m)) {
		switch {
		case slices.Contains(known, k) || r.m[k] == nil:
		case c.Rope.Type == "":
			r.fail(k, "given without a rope_type, so that transformers would not use it: say which type it belongs to, or remove it")
		default:
			r.fail(k, "is not known with rope_type %q: remove it if it is not used", c.Rope.Type)
		}
	}
	if p := r.positive("partial_rotary_factor", 1); p != 1 {
		r.fail("partial_rotary_factor", "got %v, only 1 is supported", p)
	}
	if f.err == nil {
		f.err = r.err
	}
}

// inverse gives the turn per position of each of the D/2 planes in radians. Type llama3 keeps waves shorter than
// original/high, divides the frequency of those longer than original/low by factor, and blends between.
func (c Config) inverse() []float64 {
	r, d := c.Rope, c.HeadDim
	f := make([]float64, d/2)
	for i := range f {
		f[i] = math.Pow(r.Theta, -2*float64(i)/float64(d))
		if r.Type == "llama3" {
			turns := float64(r.OriginalPosition) * f[i] / (2 * math.Pi)
			keep := min(max((turns-r.LowFreqFactor)/(r.HighFreqFactor-r.LowFreqFactor), 0), 1)
			f[i] *= keep + (1-keep)/r.Factor
		}
	}
	return f
}

// ropeTable gives rows [0, t) of the (t, D) table: cos of each plane's angle, then sin.
func (c Config) ropeTable(t int) []float32 {
	inv, d := c.inverse(), c.HeadDim
	table := make([]float32, t*d)
	for p := range t {
		for i, f := range inv {
			sin, cos := math.Sincos(float64(p) * f)
			table[p*d+i], table[p*d+d/2+i] = float32(cos), float32(sin)
		}
	}
	return table
}
