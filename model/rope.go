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
	Type                string    `json:"rope_type"`                                  // "default" (also ""), "linear", "dynamic", "llama3", "yarn", "longrope"
	Theta               float64   `json:"rope_theta"`                                 // base of the frequencies; 0: 10000
	Factor              float64   `json:"factor,omitempty"`                           // all but longrope
	LowFreqFactor       float64   `json:"low_freq_factor,omitempty"`                  // llama3
	HighFreqFactor      float64   `json:"high_freq_factor,omitempty"`                 // llama3
	OriginalPosition    int       `json:"original_max_position_embeddings,omitempty"` // llama3, yarn, longrope
	BetaFast            float64   `json:"beta_fast,omitempty"`                        // yarn
	BetaSlow            float64   `json:"beta_slow,omitempty"`                        // yarn
	Smooth              bool      `json:"-"`                                          // yarn: "truncate" is false
	AttentionFactor     float64   `json:"attention_factor,omitempty"`                 // yarn, longrope: of cosines and sines; 0: 1
	PartialRotaryFactor float64   `json:"partial_rotary_factor,omitempty"`            // this part of a head's channels is turned; 0: all
	ShortFactor         []float64 `json:"short_factor,omitempty"`                     // longrope: one for each plane
	LongFactor          []float64 `json:"long_factor,omitempty"`                      // longrope: beyond the original positions; kept, not used
	QueryBeta           float64   `json:"llama_4_scaling_beta,omitempty"`             // how queries grow beyond the original positions; kept, not used
}

const queryBeta = "llama_4_scaling_beta"

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

// readRopes takes both spellings: rope_theta beside rope_scaling (most published files), or rope_parameters (transformers 5).
func (c *Config) readRopes(f *fields, fam *family) {
	theta := f.positive("rope_theta", 0)
	r, old := f.object("rope_parameters"), f.object("rope_scaling")
	if r == nil {
		r = old
	} else if old != nil && fmt.Sprint(old.m) != fmt.Sprint(r.m) {
		f.fail("rope_scaling", "differs from rope_parameters; keep one of them")
	}
	if f.err != nil {
		return
	}
	if fam.localKey != "" {
		c.LocalRope = &Rope{Type: "default", Theta: f.positive(fam.localKey, 0)}
		if f.has("rope_parameters") {
			local := r.object("sliding_attention")
			if r.object("full_attention") == nil || local == nil || len(r.m) != 2 {
				f.fail("rope_parameters", "want full_attention and sliding_attention in it, for model_type %q", c.ModelType)
				return
			}
			r = r.object("full_attention")
			*c.LocalRope = c.readRope(f, local, c.LocalRope.Theta, fam)
		}
		if theta != 0 && fam.localKey == noKey && theta != fam.like.LocalRope.Theta && !f.has("rope_parameters") {
			f.fail("rope_theta", "got %v, which transformers takes for some layers only: write rope_parameters with full_attention and sliding_attention", theta)
		}
		setDefault(&c.LocalRope.Theta, fam.like.LocalRope.Theta)
	}
	c.Rope = c.readRope(f, r, theta, fam)
	setDefault(&c.Rope.Theta, fam.like.Rope.Theta)
	for _, r := range []*Rope{&c.Rope, c.LocalRope} {
		if r != nil && (r.Type == "longrope" || r.QueryBeta != 0) {
			c.MaxPositionEmbeddings = min(c.MaxPositionEmbeddings, max(r.OriginalPosition, 1))
		}
	}
}

// readRope reads one object of f, nil for the default; theta stands beside it, or is 0.
func (c *Config) readRope(f, r *fields, theta float64, fam *family) Rope {
	if r == nil {
		r = &fields{at: "rope_parameters."}
	}
	rope := Rope{Type: r.text("rope_type"), Theta: r.positive("rope_theta", 0)}
	if theta != 0 && rope.Theta != 0 && theta != rope.Theta {
		f.fail("rope_theta", "got %v, but %srope_theta is %v", theta, r.at, rope.Theta)
	}
	rope.Theta = max(theta, rope.Theta)
	switch old := r.text("type"); { // the spelling before Llama 3.1
	case rope.Type == "":
		rope.Type = old
	case old != "" && old != rope.Type:
		r.fail("type", "got %q, but rope_type is %q; keep one of them", old, rope.Type)
	}
	c.readPartial(&rope, f, r, fam)
	known := []string{"rope_type", "type", "rope_theta", "partial_rotary_factor"}
	if fam.growing {
		known = append(known, queryBeta, "max_position_embeddings")
		if rope.QueryBeta = r.positive(queryBeta, 0); !r.has(queryBeta) {
			r.fail(queryBeta, "missing: model_type %q computes nothing without it", fam.name)
		}
	}
	if rope.Type != "" {
		s := scalingOf(fam.ropeType(rope.Type))
		if s == nil {
			r.fail("rope_type", "got %q, supported: %s", rope.Type, fam.ropeTypes())
		} else if rope.Type, known = s.name, append(known, s.keys...); s.read != nil {
			stated := 0
			if slices.Contains(s.keys, "original_max_position_embeddings") {
				stated = f.whole("original_max_position_embeddings", int64(fam.like.Rope.OriginalPosition), 1, 1<<27)
			}
			rope.OriginalPosition = stated
			s.read(&rope, r, c)
			if rope.OriginalPosition != stated && stated != 0 {
				f.fail("original_max_position_embeddings", "got %d, but %soriginal_max_position_embeddings is %d; keep one of them", stated, r.at, rope.OriginalPosition)
			}
		}
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
	if f.err == nil {
		f.err = r.err
	}
	return rope
}

// readPartial reads how much of a head is turned.
func (c *Config) readPartial(rope *Rope, f, r *fields, fam *family) {
	const key = "partial_rotary_factor"
	part, inner := f.positive(key, 1), r.positive(key, 0)
	if inner != 0 {
		if f.has(key) && inner != part {
			f.fail(key, "got %v, but %s%s is %v; keep one of them", part, r.at, key, inner)
		}
		part = inner
	}
	switch {
	case part == 1:
	case !fam.partial:
		f.fail(key, "got %v, only 1 is supported for model_type %q", part, c.ModelType)
	case part > 1:
		f.fail(key, "got %v, want at most 1", part)
	default:
		rope.PartialRotaryFactor = part
	}
}

// ropeType is the name that a rope_type has here, "" for none.
func (m *family) ropeType(name string) string {
	if m.ropes != nil {
		return m.ropes[name]
	}
	return name
}

func (m *family) ropeTypes() string {
	if m.ropes == nil {
		return scalingNames()
	}
	return fmt.Sprintf("%q", slices.Sorted(maps.Keys(m.ropes)))
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
	def := r.OriginalPosition // what stands beside the object
	setDefault(&def, c.MaxPositionEmbeddings)
	r.OriginalPosition = f.whole("original_max_position_embeddings", int64(def), 1, 1<<27)
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
}

func (r Rope) withDefaults() Rope {
	setDefault(&r.Type, "default")
	setDefault(&r.Theta, 10000)
	return r
}

// channels is how many of a head's d channels are turned.
func (r *Rope) channels(d int) int {
	if r.PartialRotaryFactor == 0 {
		return d
	}
	return int(float64(d) * r.PartialRotaryFactor)
}

func (c *Config) checkRopes(fam *family) error {
	if err := c.Rope.check(c.HeadDim); err != nil {
		return err
	}
	switch {
	case c.LocalRope == nil:
		return nil
	case fam.localKey == "":
		return fmt.Errorf("rope_parameters: model_type %q has one rope for all layers", c.ModelType)
	}
	return c.LocalRope.check(c.HeadDim)
}

// check says whether a Rope, by whatever way it came, is one that can be computed, for heads of d channels.
func (r *Rope) check(d int) error {
	positive := func(x float64) bool { return x > 0 && !math.IsInf(x, 0) }
	s, n := scalingOf(r.Type), r.channels(d)
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
	case !(r.PartialRotaryFactor >= 0 && r.PartialRotaryFactor <= 1) || n < 2 || n%2 != 0:
		return fmt.Errorf("partial_rotary_factor: got %v, want an even number of a head's %d channels", r.PartialRotaryFactor, d)
	case r.Type == "longrope" && (len(r.ShortFactor) != n/2 || len(r.LongFactor) != n/2):
		return fmt.Errorf("rope_parameters: short_factor and long_factor have %d and %d numbers, want one for each of %d planes", len(r.ShortFactor), len(r.LongFactor), n/2)
	}
	for _, x := range append(slices.Clone(r.ShortFactor), r.LongFactor...) {
		if !positive(x) {
			return fmt.Errorf("rope_parameters: short_factor, long_factor: got %v, want finite numbers above 0", x)
		}
	}
	return nil
}

// inverse gives the turn per position of each plane of n channels in radians.
func (r *Rope) inverse(n int) []float64 {
	f := make([]float64, n/2)
	for i := range f {
		f[i] = math.Pow(r.Theta, -2*float64(i)/float64(n))
	}
	if s := scalingOf(r.Type); s.stretch != nil {
		s.stretch(r, f)
	}
	return f
}

// table gives rows [0, t) of the (t, n) table: cos of each plane's angle, then sin, both times the attention factor.
func (r *Rope) table(t, n int) []float32 {
	inverse, scale := r.inverse(n), r.AttentionFactor
	setDefault(&scale, 1)
	table := make([]float32, t*n)
	for p := range t {
		for i, f := range inverse {
			sin, cos := math.Sincos(float64(p) * f)
			table[p*n+i], table[p*n+n/2+i] = float32(scale*cos), float32(scale*sin)
		}
	}
	return table
}

// describeRopes spells the ropes in the form that all versions of transformers read, where there is one.
func (c *Config) describeRopes(file map[string]any, fam *family) {
	if fam.localKey != "" {
		local := c.Rope
		if c.LocalRope != nil {
			local = *c.LocalRope
		}
		file["rope_parameters"] = map[string]any{"full_attention": c.Rope.object(true), "sliding_attention": local.object(true)}
		return
	}
	file["rope_theta"], file["rope_scaling"] = c.Rope.Theta, nil
	if c.Rope.Type != "default" {
		file["rope_scaling"] = c.Rope.object(false)
	}
	if c.Rope.PartialRotaryFactor != 0 {
		file["partial_rotary_factor"] = c.Rope.PartialRotaryFactor
	}
	if fam.like.Rope.OriginalPosition != 0 && c.Rope.OriginalPosition != 0 {
		file["original_max_position_embeddings"] = c.Rope.OriginalPosition
	}
}

// object spells a Rope, with its theta or without.
func (r *Rope) object(theta bool) map[string]any {
	all := map[string]any{"factor": r.Factor, "low_freq_factor": r.LowFreqFactor, "high_freq_factor": r.HighFreqFactor, "original_max_position_embeddings": r.OriginalPosition,
		"attention_factor": r.AttentionFactor, "beta_fast": r.BetaFast, "beta_slow": r.BetaSlow, "truncate": !r.Smooth, "short_factor": r.ShortFactor, "long_factor": r.LongFactor}
	object := map[string]any{"rope_type": r.Type}
	if theta {
		object["rope_theta"] = r.Theta
	}
	if r.QueryBeta != 0 {
		object[queryBeta] = r.QueryBeta
	}
	for _, k := range scalingOf(r.Type).keys {
		if v, ok := all[k]; ok && v != 0.0 {
			object[k] = v
		}
	}
	return object
}
