package model

// Rotary position embeddings (Su et al. 2021), and the ways to stretch them: a line each in scalings.

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Rope are rotary position embeddings. A type other than "default" stretches them to longer texts; what it reads stands beside it.
type Rope struct {
	Type             string    `json:"rope_type"`                                  // "default" (also ""), "linear", "dynamic", "llama3", "yarn", "longrope"
	Theta            float64   `json:"rope_theta"`                                 // base of the frequencies; 0: 10000
	Factor           float64   `json:"factor,omitempty"`                           // all but longrope
	LowFreqFactor    float64   `json:"low_freq_factor,omitempty"`                  // llama3
	HighFreqFactor   float64   `json:"high_freq_factor,omitempty"`                 // llama3
	OriginalPosition int       `json:"original_max_position_embeddings,omitempty"` // llama3, yarn, longrope
	BetaFast         float64   `json:"beta_fast,omitempty"`                        // yarn
	BetaSlow         float64   `json:"beta_slow,omitempty"`                        // yarn
	Smooth           bool      `json:"-"`                                          // yarn: "truncate" is false
	AttentionFactor  float64   `json:"attention_factor,omitempty"`                 // yarn, longrope: of cosines and sines; 0: 1
	ShortFactor      []float64 `json:"short_factor,omitempty"`                     // longrope: one for each plane
	LongFactor       []float64 `json:"long_factor,omitempty"`                      // longrope: beyond the original positions; kept, not used
}

// scaling is a rope_type: the keys of its object, how they are read, and what it makes of the frequencies of n planes.
type scaling struct {
	name    string
	keys    []string
	read    func(r *Rope, f *fields, c *Config)
	stretch func(r *Rope, inverse []float64)
}

var scalings = []scaling{
	{"default", nil, nil, nil},
	{"linear", []string{"factor"}, readFactor, func(r *Rope, inverse []float64) {
		for i := range inverse {
			inverse[i] /= r.Factor
		}
	}},
	// It changes the frequencies of texts beyond max_position_embeddings, which are refused here.
	{"dynamic", []string{"factor"}, readFactor, nil},
	{"llama3", []string{"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}, readLlama3, stretchLlama3},
	{"yarn", []string{"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"}, readYaRN, stretchYaRN},
	{"longrope", []string{"factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"}, readLongRope, func(r *Rope, inverse []float64) {
		for i := range inverse {
			inverse[i] /= r.ShortFactor[i]
		}
	}},
}

func scalingOf(name string) *scaling {
	i := slices.IndexFunc(scalings, func(s scaling) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return &scalings[i]
}

// readRope takes both spellings: rope_theta beside rope_scaling (most published files), or rope_parameters (transformers 5).
func (c *Config) readRope(f *fields, like Rope) {
	theta := f.positive("rope_theta", 0)
	r, old := f.object("rope_parameters"), f.object("rope_scaling")
	if r == nil {
		r = old
	} else if old != nil && fmt.Sprint(old.m) != fmt.Sprint(r.m) {
		f.fail("rope_scaling", "differs from rope_parameters; keep one of them")
	}
	c.Rope = c.readScaling(f, r)
	if inner := c.Rope.Theta; theta != 0 && inner != 0 && theta != inner {
		f.fail("rope_theta", "got %v, but %srope_theta is %v", theta, r.at, inner)
	}
	c.Rope.Theta = max(theta, c.Rope.Theta)
	setDefault(&c.Rope.Theta, like.Theta)
}

// readScaling reads one object of f, nil for the default.
func (c *Config) readScaling(f, r *fields) Rope {
	if r == nil {
		return Rope{Type: "default"}
	}
	rope := Rope{Type: r.text("rope_type"), Theta: r.positive("rope_theta", 0)}
	switch old := r.text("type"); { // the spelling before Llama 3.1
	case rope.Type == "":
		rope.Type = old
	case old != "" && old != rope.Type:
		r.fail("type", "got %q, but rope_type is %q; keep one of them", old, rope.Type)
	}
	known := []string{"rope_type", "type", "rope_theta", "partial_rotary_factor"}
	if rope.Type != "" {
		if s := scalingOf(rope.Type); s == nil {
			r.fail("rope_type", "got %q, supported: %s", rope.Type, scalingNames())
		} else if known = append(known, s.keys...); s.read != nil {
			s.read(&rope, r, c)
		}
	}
	if n := f.whole("original_max_position_embeddings", 0, 1, 1<<27); n != 0 && rope.OriginalPosition != 0 && n != rope.OriginalPosition {
		f.fail("original_max_position_embeddings", "got %d, but %soriginal_max_position_embeddings is %d; keep one of them", n, r.at, rope.OriginalPosition)
	}
	for _, k := range slices.Sorted(maps.Keys(r.m)) {
		switch {
		case slices.Contains(known, k) || r.m[k] == nil:
		case rope.Type == "":
			r.fail(k, "given without a rope_type, so that transformers would not use it: say which type it belongs to, or remove it")
		default:
			r.fail(k, "is not known with rope_type %q: remove it if it is not used", rope.Type)
		}
	}
	if p := r.positive("partial_rotary_factor", 1); p != 1 {
		r.fail("partial_rotary_factor", "got %v, only 1 is supported", p)
	}
	if f.err == nil {
		f.err = r.err
	}
	return rope
}

func scalingNames() string {
	var names []string
	for _, s := range scalings {
		names = append(names, fmt.Sprintf("%q", s.name))
	}
	return strings.Join(names, ", ")
}

func readFactor(r *Rope, f *fields, _ *Config) { r.Factor = f.positive("factor", -1) }

func readOriginal(r *Rope, f *fields, c *Config) {
	r.OriginalPosition = f.whole("original_max_position_embeddings", int64(c.MaxPositionEmbeddings), 1, 1<<27)
}

func readLlama3(r *Rope, f *fields, c *Config) {
	readFactor(r, f, c)
	r.LowFreqFactor = f.positive("low_freq_factor", -1)
	r.HighFreqFactor = f.positive("high_freq_factor", -1)
	readOriginal(r, f, c)
}

// stretchLlama3 keeps waves shorter than original/high, divides the frequency of those longer than original/low by factor, and blends
// between (Llama 3.1).
func stretchLlama3(r *Rope, inverse []float64) {
	for i, f := range inverse {
		turns := float64(r.OriginalPosition) * f / (2 * math.Pi)
		keep := min(max((turns-r.LowFreqFactor)/(r.HighFreqFactor-r.LowFreqFactor), 0), 1)
		inverse[i] *= keep + (1-keep)/r.Factor
	}
}

// readYaRN gives the attention factor that transformers takes where none is given: 0.1·ln(factor) + 1, or a quotient of two such.
func readYaRN(r *Rope, f *fields, c *Config) {
	readFactor(r, f, c)
	readOriginal(r, f, c)
	r.BetaFast, r.BetaSlow = f.positive("beta_fast", 32), f.positive("beta_slow", 1)
	r.Smooth = f.given("truncate") && !f.flag("truncate") && f.has("truncate")
	scale := func(m float64) float64 {
		if r.Factor <= 1 {
			return 1
		}
		return 0.1*m*math.Log(r.Factor) + 1
	}
	usual := scale(1)
	if m, all := f.positive("mscale", 0), f.positive("mscale_all_dim", 0); m != 0 && all != 0 {
		usual = scale(m) / scale(all)
	}
	r.AttentionFactor = f.positive("attention_factor", usual)
}

// stretchYaRN divides by factor the frequencies of planes that turn less than beta_slow times within the original positions, keeps those
// that turn more than beta_fast times, and blends between along the planes (Peng et al. 2023).
func stretchYaRN(r *Rope, inverse []float64) {
	n := float64(2 * len(inverse)) // channels
	plane := func(turns float64) float64 {
		return n * math.Log(float64(r.OriginalPosition)/(turns*2*math.Pi)) / (2 * math.Log(r.Theta))
	}
	low, high := plane(r.BetaFast), plane(r.BetaSlow)
	if !r.Smooth {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, n-1)
	if low == high {
		high += 0.001
	}
	for i := range inverse {
		stretched := min(max((float64(i)-low)/(high-low), 0), 1)
		inverse[i] *= stretched/r.Factor + (1 - stretched)
	}
}

// readLongRope (Ding et al. 2024). A text longer than the original positions has other frequencies from its first token on, which tokens
// that several texts share cannot have: so the model ends at the original positions, where transformers computes the same.
func readLongRope(r *Rope, f *fields, c *Config) {
	readOriginal(r, f, c)
	r.ShortFactor, r.LongFactor = f.numbers("short_factor"), f.numbers("long_factor")
	r.Factor = f.positive("factor", float64(c.MaxPositionEmbeddings)/float64(max(r.OriginalPosition, 1)))
	usual := 1.0
	if r.Factor > 1 {
		usual = math.Sqrt(1 + math.Log(r.Factor)/math.Log(float64(r.OriginalPosition)))
	}
	r.AttentionFactor = f.positive("attention_factor", usual)
	c.MaxPositionEmbeddings = min(c.MaxPositionEmbeddings, max(r.OriginalPosition, 1))
}

// check says whether a Rope, by whatever way it came, is one that can be computed, for so many planes.
func (r *Rope) check(planes int) error {
	positive := func(x float64) bool { return x > 0 && !math.IsInf(x, 0) }
	s := scalingOf(r.Type)
	switch {
	case !positive(r.Theta):
		return fmt.Errorf("rope_theta: got %v, want a finite number above 0", r.Theta)
	case s == nil:
		return fmt.Errorf("rope_type: got %q, supported: %s", r.Type, scalingNames())
	case slices.Contains(s.keys, "factor") && r.Type != "longrope" && !positive(r.Factor):
		return fmt.Errorf("rope_parameters: %s wants factor > 0", r.Type)
	case slices.Contains(s.keys, "original_max_position_embeddings") && r.OriginalPosition < 1:
		return fmt.Errorf("rope_parameters: %s wants original_max_position_embeddings > 0", r.Type)
	case r.AttentionFactor != 0 && !positive(r.AttentionFactor):
		return fmt.Errorf("rope_parameters: attention_factor: got %v, want a finite number above 0", r.AttentionFactor)
	case r.Type == "llama3" && (!positive(r.LowFreqFactor) || !(r.HighFreqFactor > r.LowFreqFactor)):
		return errors.New("rope_parameters: llama3 wants factor > 0, high_freq_factor > low_freq_factor > 0 and original_max_position_embeddings > 0")
	case r.Type == "yarn" && (!positive(r.BetaFast) || !positive(r.BetaSlow) || r.Theta == 1):
		return errors.New("rope_parameters: yarn wants beta_fast > 0, beta_slow > 0 and rope_theta other than 1")
	case r.Type == "longrope" && (len(r.ShortFactor) != planes || len(r.LongFactor) != planes):
		return fmt.Errorf("rope_parameters: short_factor and long_factor have %d and %d numbers, want one for each of %d planes", len(r.ShortFactor), len(r.LongFactor), planes)
	}
	for _, x := range append(slices.Clone(r.ShortFactor), r.LongFactor...) {
		if !positive(x) {
			return fmt.Errorf("rope_parameters: short_factor, long_factor: got %v, want finite numbers above 0", x)
		}
	}
	return nil
}

// inverse gives the turn per position of each of the D/2 planes in radians.
func (r *Rope) inverse(d int) []float64 {
	f := make([]float64, d/2)
	for i := range f {
		f[i] = math.Pow(r.Theta, -2*float64(i)/float64(d))
	}
	if s := scalingOf(r.Type); s.stretch != nil {
		s.stretch(r, f)
	}
	return f
}

// table gives rows [0, t) of the (t, D) table: cos of each plane's angle, then sin, both times the attention factor.
func (r *Rope) table(t, d int) []float32 {
	inverse, scale := r.inverse(d), r.AttentionFactor
	setDefault(&scale, 1)
	table := make([]float32, t*d)
	for p := range t {
		for i, f := range inverse {
			sin, cos := math.Sincos(float64(p) * f)
			table[p*d+i], table[p*d+d/2+i] = float32(scale*cos), float32(scale*sin)
		}
	}
	return table
}

// describe spells a Rope in the form that all versions of transformers read.
func (r *Rope) describe(file map[string]any) {
	file["rope_theta"], file["rope_scaling"] = r.Theta, nil
	if r.Type == "default" {
		return
	}
	all := map[string]any{"factor": r.Factor, "low_freq_factor": r.LowFreqFactor, "high_freq_factor": r.HighFreqFactor, "original_max_position_embeddings": r.OriginalPosition,
		"attention_factor": r.AttentionFactor, "beta_fast": r.BetaFast, "beta_slow": r.BetaSlow, "truncate": !r.Smooth, "short_factor": r.ShortFactor, "long_factor": r.LongFactor}
	object := map[string]any{"rope_type": r.Type}
	for _, k := range scalingOf(r.Type).keys {
		if v, ok := all[k]; ok {
			object[k] = v
		}
	}
	file["rope_scaling"] = object
}
